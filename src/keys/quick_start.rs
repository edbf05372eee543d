//! The texts to copy: environment variables and first calls, with the real gateway address.

use crate::ui::Snippet;

/// Stands in the examples while the operator has set up no model.
const NO_MODEL: &str = "MODEL";

/// The environment variables that OpenAI clients read, for the four places people keep them.
#[must_use]
pub fn environment(gateway_url: &str, secret: &str) -> Vec<Snippet> {
    let lines = |before: &str, between: &str, after: &str| {
        format!(
            "{before}OPENAI_API_KEY{between}{secret}{after}\n{before}OPENAI_BASE_URL{between}{gateway_url}{after}"
        )
    };
    vec![
        Snippet { label: ".env", code: lines("", "=", "") },
        Snippet { label: "bash", code: lines("export ", "=\"", "\"") },
        Snippet { label: "PowerShell", code: lines("$env:", " = \"", "\"") },
        Snippet { label: "cmd", code: lines("set ", "=", "") },
    ]
}

/// A first call to `model` in three languages. Without a secret they read it from the environment.
#[must_use]
pub fn calls(gateway_url: &str, secret: Option<&str>, model: Option<&str>) -> Vec<Snippet> {
    let model = model.unwrap_or(NO_MODEL);
    vec![
        Snippet { label: "curl", code: curl(gateway_url, secret.unwrap_or("$OPENAI_API_KEY"), model) },
        Snippet { label: "Python", code: python(gateway_url, secret, model) },
        Snippet { label: "JavaScript", code: javascript(gateway_url, secret, model) },
    ]
}

fn curl(gateway_url: &str, bearer: &str, model: &str) -> String {
    format!(
        r#"curl {gateway_url}/chat/completions \
  -H "Authorization: Bearer {bearer}" \
  -H "Content-Type: application/json" \
  -d '{{"model": "{model}", "messages": [{{"role": "user", "content": "Hello"}}]}}'"#
    )
}

fn python(gateway_url: &str, secret: Option<&str>, model: &str) -> String {
    let (import, key) = match secret {
        Some(secret) => ("", format!("\"{secret}\"")),
        None => ("import os\n", "os.environ[\"OPENAI_API_KEY\"]".to_owned()),
    };
    format!(
        r#"{import}from openai import OpenAI

client = OpenAI(
    base_url="{gateway_url}",
    api_key={key},
)
answer = client.chat.completions.create(
    model="{model}",
    messages=[{{"role": "user", "content": "Hello"}}],
)
print(answer.choices[0].message.content)"#
    )
}

fn javascript(gateway_url: &str, secret: Option<&str>, model: &str) -> String {
    let key =
        secret.map_or_else(|| "process.env.OPENAI_API_KEY".to_owned(), |secret| format!("\"{secret}\""));
    format!(
        r#"import OpenAI from "openai";

const client = new OpenAI({{
  baseURL: "{gateway_url}",
  apiKey: {key},
}});
const answer = await client.chat.completions.create({{
  model: "{model}",
  messages: [{{ role: "user", content: "Hello" }}],
}});
console.log(answer.choices[0].message.content);"#
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn snippets_hold_the_real_address_and_the_key() {
        for snippet in calls("https://api.example.com/v1", Some("sk-lk-abc"), Some("gpt-4o")) {
            assert!(snippet.code.contains("https://api.example.com/v1"), "{}", snippet.label);
            assert!(snippet.code.contains("sk-lk-abc"), "{}", snippet.label);
            assert!(snippet.code.contains("\"gpt-4o\""), "{}", snippet.label);
        }
    }

    #[test]
    fn without_a_key_every_snippet_reads_the_environment() {
        for snippet in calls("https://api.example.com/v1", None, None) {
            assert!(snippet.code.contains("OPENAI_API_KEY"), "{}", snippet.label);
        }
    }

    #[test]
    fn every_shell_gets_its_own_syntax() {
        let lines = environment("https://api.example.com/v1", "sk-lk-abc");
        let first = lines.iter().map(|snippet| snippet.code.lines().next().unwrap()).collect::<Vec<_>>();
        assert_eq!(
            first,
            [
                "OPENAI_API_KEY=sk-lk-abc",
                "export OPENAI_API_KEY=\"sk-lk-abc\"",
                "$env:OPENAI_API_KEY = \"sk-lk-abc\"",
                "set OPENAI_API_KEY=sk-lk-abc",
            ]
        );
    }
}
