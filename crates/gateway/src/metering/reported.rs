//! What an upstream says a request consumed, and whether that can be believed.

use domain::usage::TokenUsage;
use serde::Deserialize;
use serde_json::value::RawValue;

/// No model reads or writes as much in one request; a larger figure is a mistake or a lie.
const MAX_BELIEVABLE: u32 = 10_000_000;

/// A whole answer or a chunk of a stream, as far as it concerns its cost.
#[derive(Debug, Deserialize)]
struct Wire<'a> {
    #[serde(borrow)]
    choices: Option<&'a RawValue>,
    #[serde(borrow)]
    usage: Option<&'a RawValue>,
}

/// A usage report.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Report {
    /// The figures; `None` where they make no sense.
    pub usage: Option<TokenUsage>,
    /// It came with an empty list of choices: nothing else is in this chunk.
    pub is_alone: bool,
}

impl Report {
    /// Reads the report in a JSON answer; `None` where there is none.
    pub fn read(json: &[u8]) -> Option<Self> {
        let wire: Wire<'_> = serde_json::from_slice(json).ok()?;
        let usage = read_usage(wire.usage?.get());
        let is_alone = wire.choices.is_some_and(|choices| is_empty_list(choices.get()));
        Some(Self { usage, is_alone })
    }
}

fn is_empty_list(json: &str) -> bool {
    json.strip_prefix('[')
        .and_then(|rest| rest.strip_suffix(']'))
        .is_some_and(|inside| inside.trim().is_empty())
}

/// The names of the chat API and of its successor.
#[derive(Deserialize)]
struct Figures {
    #[serde(alias = "input_tokens")]
    prompt_tokens: u32,
    #[serde(alias = "output_tokens", default)]
    completion_tokens: u32,
    #[serde(alias = "input_tokens_details", default)]
    prompt_tokens_details: Option<Details>,
}

#[derive(Deserialize)]
struct Details {
    #[serde(default)]
    cached_tokens: Option<u32>,
}

/// Figures that are negative, fractional, of another type or out of all proportion count as none.
fn read_usage(json: &str) -> Option<TokenUsage> {
    let figures: Figures = serde_json::from_str(json).ok()?;
    let cached = figures.prompt_tokens_details.and_then(|details| details.cached_tokens).unwrap_or(0);
    let usage = TokenUsage {
        input: figures.prompt_tokens,
        cached_input: cached.min(figures.prompt_tokens),
        output: figures.completion_tokens,
    };
    (usage.input <= MAX_BELIEVABLE && usage.output <= MAX_BELIEVABLE).then_some(usage)
}

/// Bytes of generated text in an answer or a chunk: the string values inside its `choices`, but not the names of
/// things. Escapes count as they are written, so the figure is never too small.
pub fn text_bytes(json: &[u8]) -> u64 {
    let Some(start) = find(json, b"\"choices\"") else { return 0 };
    let mut walk = Walk { rest: &json[start..], name: b"", depth: 0, bytes: 0 };
    // The field's own name.
    walk.string();
    while walk.step() {}
    u64::try_from(walk.bytes).unwrap_or(u64::MAX)
}

fn find(data: &[u8], word: &[u8]) -> Option<usize> {
    data.windows(word.len()).position(|window| window == word)
}

/// Goes through JSON that has already been accepted by somebody; anything else ends it early and harmlessly.
struct Walk<'a> {
    rest: &'a [u8],
    name: &'a [u8],
    depth: i32,
    bytes: usize,
}

impl<'a> Walk<'a> {
    /// One token; false at the end of the value.
    fn step(&mut self) -> bool {
        match self.rest.first() {
            None => return false,
            Some(b'"') => {
                self.value_or_name();
                return true;
            }
            Some(b'[' | b'{') => self.depth += 1,
            Some(b']' | b'}') => self.depth -= 1,
            Some(_) => {}
        }
        let closed = matches!(self.rest.first(), Some(b']' | b'}')) && self.depth <= 0;
        self.rest = &self.rest[1..];
        !closed
    }

    fn value_or_name(&mut self) {
        let text = self.string();
        if self.rest.trim_ascii_start().first() == Some(&b':') {
            self.name = text;
        } else if !matches!(self.name, b"role" | b"finish_reason" | b"type" | b"id" | b"object") {
            self.bytes += text.len();
        }
    }

    /// Passes a string and gives what is between its quotes.
    fn string(&mut self) -> &'a [u8] {
        let inside = self.rest.get(1..).unwrap_or_default();
        let mut at = 0;
        while let Some(byte) = inside.get(at) {
            match byte {
                b'"' => break,
                b'\\' => at += 2,
                _ => at += 1,
            }
        }
        let end = at.min(inside.len());
        self.rest = inside.get(end + 1..).unwrap_or_default();
        &inside[..end]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn usage(json: &str) -> Option<TokenUsage> {
        Report::read(json.as_bytes()).and_then(|report| report.usage)
    }

    #[test]
    fn usage_is_read_in_both_dialects() {
        let chat = r#"{"usage":{"prompt_tokens":9,"completion_tokens":3,"prompt_tokens_details":{"cached_tokens":4}}}"#;
        assert_eq!(usage(chat).unwrap(), TokenUsage { input: 9, cached_input: 4, output: 3 });
        let later = r#"{"usage":{"input_tokens":9,"output_tokens":3,"input_tokens_details":null}}"#;
        assert_eq!(usage(later).unwrap(), TokenUsage { input: 9, cached_input: 0, output: 3 });
        assert_eq!(usage(r#"{"usage":{"prompt_tokens":5,"total_tokens":5}}"#).unwrap().input, 5);
    }

    #[test]
    fn nonsense_is_a_report_without_figures() {
        for figures in [
            r#"{"prompt_tokens":-1,"completion_tokens":3}"#,
            r#"{"prompt_tokens":1.5,"completion_tokens":3}"#,
            r#"{"prompt_tokens":"9","completion_tokens":3}"#,
            r#"{"prompt_tokens":9,"completion_tokens":4000000000}"#,
            r#"{"prompt_tokens":9,"completion_tokens":99999999999999999999}"#,
            r"{}",
            r"[]",
        ] {
            let report = Report::read(format!(r#"{{"choices":[],"usage":{figures}}}"#).as_bytes()).unwrap();
            assert_eq!(report, Report { usage: None, is_alone: true }, "{figures}");
        }
        assert_eq!(Report::read(br#"{"usage":null}"#), None);
        assert_eq!(Report::read(b"{}"), None);
        assert_eq!(Report::read(b"usage"), None);
    }

    #[test]
    fn more_cached_than_read_is_cut() {
        let json = r#"{"usage":{"prompt_tokens":9,"completion_tokens":3,"prompt_tokens_details":{"cached_tokens":40}}}"#;
        assert_eq!(usage(json).unwrap().cached_input, 9);
    }

    #[test]
    fn only_an_empty_list_of_choices_makes_a_report_alone() {
        let alone = |choices: &str| {
            let json = format!(r#"{{{choices}"usage":{{"prompt_tokens":1,"completion_tokens":1}}}}"#);
            Report::read(json.as_bytes()).unwrap().is_alone
        };
        assert!(alone(r#""choices":[],"#) && alone(r#""choices":[ ],"#));
        assert!(!alone(r#""choices":[{}],"#) && !alone("") && !alone(r#""choices":null,"#));
    }

    #[test]
    fn text_is_counted_without_the_names_of_things() {
        let chunk = br#"{"id":"chatcmpl-1","model":"m","choices":[{"index":0,"delta":{"role":"assistant",
            "content":" ke\"y"},"finish_reason":"stop"}],"system_fingerprint":"fp_123"}"#;
        assert_eq!(text_bytes(chunk), 6);
        let calls = br#"{"choices":[{"delta":{"tool_calls":[{"function":{"name":"f","arguments":"{}"}}]}}]}"#;
        assert_eq!(text_bytes(calls), 3);
        assert_eq!(text_bytes(b"{}"), 0);
        assert_eq!(text_bytes(br#"{"choices":[{"text":"cut of"#), 6);
    }
}
