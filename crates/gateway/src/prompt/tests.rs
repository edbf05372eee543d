use http_body_util::BodyExt;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;

fn read(text: &str) -> Result<Prompt, Refusal> {
    read_as(BodyDialect::Chat, text)
}

fn read_as(dialect: BodyDialect, text: &str) -> Result<Prompt, Refusal> {
    Prompt::read_json(Bytes::copy_from_slice(text.as_bytes()), reading_of(dialect))
}

fn param(text: &str) -> Option<String> {
    match read(text).unwrap_err() {
        Refusal::InvalidRequest { param, .. } => param,
        other => panic!("{other:?}"),
    }
}

fn sent(prompt: Prompt, model: &str) -> Value {
    let pieces = prompt.for_upstream(model);
    let mut collect = std::pin::pin!(pieces.collect());
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    let std::task::Poll::Ready(body) = collect.as_mut().poll(&mut context) else {
        panic!("a body in memory waits")
    };
    serde_json::from_slice(&body.unwrap().to_bytes()).unwrap()
}

#[test]
fn wrong_fields_are_named() {
    for (text, field) in [
        (r#"{"messages":[]}"#, Some("model")),
        (r#"{"model":5}"#, Some("model")),
        (r#"{"model":""}"#, Some("model")),
        (r#"{"model":"a","model":"b"}"#, Some("model")),
        (r#"{"model":"a","stream":"yes"}"#, Some("stream")),
        (r#"{"model":"a","stream":true,"stream_options":1}"#, Some("stream_options")),
        (r#"{"model":"a","stream":true,"stream_options":{"include_usage":1}}"#, Some("stream_options")),
        (
            r#"{"model":"a","stream":true,"stream_options":{"include_usage":true,"include_usage":false}}"#,
            Some("stream_options"),
        ),
        (r#"{"model":"a","models":["b"]}"#, Some("models")),
        (r#"{"model":"a","Api_Base":"http://169.254.169.254"}"#, Some("Api_Base")),
        (r#"{"model":"a","m\u006fdels":["b"]}"#, Some("models")),
        ("[]", None),
        ("", None),
    ] {
        assert_eq!(param(text).as_deref(), field, "{text}");
    }
}

#[test]
fn a_streamed_request_asks_for_usage_once() {
    for (text, injected) in [
        (r#"{"model":"a","stream":true}"#, true),
        (r#"{"model":"a","stream":true,"stream_options":null}"#, true),
        (r#"{"model":"a","stream":true,"stream_options":{}}"#, true),
        (r#"{"model":"a","stream":true,"stream_options":{ "x" : 1 }}"#, true),
        (r#"{"model":"a","stream":true,"stream_options":{"include_usage":false}}"#, true),
        (r#"{"model":"a","stream":true,"stream_options":{"include_usage":null}}"#, true),
        (r#"{"model":"a","stream":true,"stream_options":{"include_usage":true}}"#, false),
    ] {
        let prompt = read(text).unwrap();
        assert_eq!(prompt.usage_is_injected(), injected, "{text}");
        assert_eq!(sent(prompt, "a")["stream_options"]["include_usage"], true, "{text}");
    }
    for text in
        [r#"{"model":"a"}"#, r#"{"model":"a","stream":false,"stream_options":{"include_usage":false}}"#]
    {
        let prompt = read(text).unwrap();
        assert!(!prompt.usage_is_injected());
        assert_eq!(sent(prompt, "a"), serde_json::from_str::<Value>(text).unwrap());
    }
}

#[test]
fn each_dialect_checks_what_it_reads() {
    use BodyDialect::{Chat, Completions, Embeddings, Images, Messages, Responses, Speech};
    for (dialect, field, wrong) in [
        (Chat, "max_tokens", "0"),
        (Chat, "max_tokens", "1.5"),
        (Chat, "max_tokens", "1e3"),
        (Chat, "max_tokens", "-1"),
        (Chat, "max_tokens", "\"10\""),
        (Chat, "max_completion_tokens", "10000001"),
        (Chat, "max_completion_tokens", "99999999999999999999"),
        (Chat, "n", "0"),
        (Chat, "n", "129"),
        (Chat, "tools", "{}"),
        (Chat, "tools", "[1]"),
        (Completions, "max_tokens", "true"),
        (Completions, "best_of", "129"),
        (Completions, "prompt", "{}"),
        (Completions, "stream", "1"),
        (Responses, "max_output_tokens", "0"),
        (Responses, "stream", "\"true\""),
        (Responses, "background", "1"),
        (Responses, "previous_response_id", "1"),
        (Responses, "tools", "[{\"type\":\"image_generation\",\"model\":\"gpt-image-1\"}]"),
        (Responses, "tools", "[{\"type\":\"function\",\"type\":\"mcp\"}]"),
        (Messages, "max_tokens", "0"),
        (Messages, "stream", "[]"),
        (Embeddings, "dimensions", "0"),
        (Images, "n", "11"),
        (Images, "size", "\"huge\""),
        (Images, "size", "\"0x10\""),
        (Images, "size", "1024"),
        (Images, "partial_images", "4"),
        (Speech, "input", "[]"),
        (Speech, "Fallbacks", "[]"),
        (Messages, "fallback_model", "\"x\""),
    ] {
        let text = format!("{{\"model\":\"a\",\"{field}\":{wrong}}}");
        match read_as(dialect, &text).unwrap_err() {
            Refusal::InvalidRequest { param, .. } => assert_eq!(param.as_deref(), Some(field), "{text}"),
            other => panic!("{other:?}"),
        }
    }
    for (dialect, text) in [
        (Chat, r#"{"model":"a","max_tokens":null,"n":null,"tools":null,"stream":null}"#),
        (Chat, r#"{"model":"a","max_tokens":1,"max_completion_tokens":10000000,"n":128}"#),
        (Images, r#"{"model":"a","n":10,"size":"1024x1536","prompt":"p"}"#),
        (Images, r#"{"model":"a","size":"auto"}"#),
        (Responses, r#"{"model":"a","input":[],"stream":true}"#),
    ] {
        assert!(read_as(dialect, text).is_ok(), "{text}");
    }
}

#[test]
fn what_was_asked_for_is_told() {
    use BodyDialect::{Chat, Completions, Images, Responses};
    for (dialect, text, output_cap, answers) in [
        (Chat, r#"{"model":"a"}"#, None, 1),
        (Chat, r#"{"model":"a","max_tokens":5,"max_completion_tokens":7,"n":3}"#, Some(7), 3),
        (Responses, r#"{"model":"a","max_output_tokens":9,"n":3}"#, Some(9), 1),
        (Completions, r#"{"model":"a","n":2,"best_of":5}"#, None, 5),
        (Completions, r#"{"model":"a","prompt":["a","b"],"n":2}"#, None, 4),
        (Completions, r#"{"model":"a","prompt":[[1,2],[3]]}"#, None, 2),
        (Completions, r#"{"model":"a","prompt":[1,2,3]}"#, None, 1),
        (Completions, r#"{"model":"a","prompt":"a"}"#, None, 1),
        (Images, r#"{"model":"a","n":4}"#, None, 4),
    ] {
        assert_eq!(read_as(dialect, text).unwrap().asked(), Asked { output_cap, answers }, "{text}");
    }
}

#[test]
fn a_clamp_lowers_or_sets_and_says_so() {
    use BodyDialect::{Chat, Completions, Images, Messages};
    let clamp = Clamp { output_cap: Some(5), n: Some(2) };
    for (dialect, text, expected, told) in [
        (
            Chat,
            r#"{"model":"a"}"#,
            r#"{"max_completion_tokens":5,"model":"a"}"#,
            Some("max_completion_tokens=5"),
        ),
        (
            Chat,
            r#"{ "model":"a","max_tokens": 9}"#,
            r#"{ "model":"a","max_tokens": 5}"#,
            Some("max_tokens=5"),
        ),
        (Chat, r#"{"model":"a","max_tokens":4}"#, r#"{"model":"a","max_tokens":4}"#, None),
        (
            Chat,
            r#"{"model":"a","max_tokens":9,"max_completion_tokens":null,"n":3}"#,
            r#"{"model":"a","max_tokens":5,"max_completion_tokens":null,"n":2}"#,
            Some("max_tokens=5, n=2"),
        ),
        (
            Chat,
            r#"{"model":"a","max_completion_tokens":null}"#,
            r#"{"model":"a","max_completion_tokens":5}"#,
            Some("max_completion_tokens=5"),
        ),
        (
            Completions,
            r#"{"model":"a","n":3,"best_of":4,"max_tokens":1}"#,
            r#"{"model":"a","n":2,"best_of":2,"max_tokens":1}"#,
            Some("n=2, best_of=2"),
        ),
        (Images, r#"{"model":"a","n":3}"#, r#"{"model":"a","n":2}"#, Some("n=2")),
        (
            Messages,
            r#"{"model":"a","max_tokens":6}"#,
            r#"{"model":"a","max_tokens":5}"#,
            Some("max_tokens=5"),
        ),
    ] {
        let mut prompt = read_as(dialect, text).unwrap();
        assert_eq!(prompt.clamped(), None);
        prompt.clamp(clamp);
        assert_eq!(prompt.clamped().as_deref(), told, "{text}");
        assert_eq!(sent(prompt, "a"), serde_json::from_str::<Value>(expected).unwrap(), "{text}");
    }
}

#[test]
fn what_cannot_be_bounded_is_recognised() {
    use BodyDialect::{Chat, Messages, Responses};
    for (dialect, field) in [
        (Responses, r#""previous_response_id":"resp_1""#),
        (Responses, r#""conversation":{"id":"c"}"#),
        (Responses, r#""background":true"#),
        (Responses, r#""prompt":{"id":"p"}"#),
        (Responses, r#""tools":[{"type":"function","name":"f"},{"type":"web_search"}]"#),
        (Responses, r#""tools":[{"type":"mcp","server_url":"https://x"}]"#),
        (Responses, r#""input":[{"content":[{"type":"input_image","image_url":"https://x/y.png"}]}]"#),
        (Responses, r#""input":[{"type":"item_reference","id":"i"}]"#),
        (Chat, r#""messages":[{"content":[{"type":"image_url","image_url":{"url":"https://x"}}]}]"#),
        (Chat, r#""web_search_options":{}"#),
        (Messages, r#""tools":[{"type":"web_search_20250305","name":"web_search"}]"#),
        (Messages, r#""mcp_servers":[{"url":"https://x"}]"#),
        (
            Messages,
            r#""messages":[{"content":[{"type":"image","source":{"type":"url","url":"https://x"}}]}]"#,
        ),
        (Messages, r#""messages":[{"content":[{"source":{"type":"file","file_id":"f"}}]}]"#),
    ] {
        let text = format!("{{\"model\":\"a\",{field}}}");
        assert!(read_as(dialect, &text).unwrap().unbounded().is_some(), "{text}");
    }
    for (dialect, field) in [
        (Responses, r#""previous_response_id":null,"background":false,"tools":[]"#),
        (
            Responses,
            r#""input":"https://x","tools":[{"type":"function","parameters":{"model":{"type":"x"}}}]"#,
        ),
        (Chat, r#""messages":[{"content":[{"image_url":{"url":"data:image/png;base64,AA"}}]}]"#),
        (Messages, r#""tools":[{"name":"f"},{"type":"custom","name":"g"},{"type":"bash_20250124"}]"#),
        (Messages, r#""messages":[{"content":[{"type":"tool_use","input":{"url":"https://x"}}]}]"#),
    ] {
        let text = format!("{{\"model\":\"a\",{field}}}");
        assert_eq!(read_as(dialect, &text).unwrap().unbounded(), None, "{text}");
    }
}

#[test]
fn without_an_edit_the_bytes_are_the_same() {
    let text = "{ \"model\" : \"gpt\\u002d4o\",\n\"x\": 1.0e5 }";
    let pieces = read(text).unwrap().for_upstream("gpt-4o");
    assert_eq!(pieces.len(), text.len());
}

proptest! {
    /// The result parses to the same JSON with just the edits.
    #[test]
    fn splicing_changes_the_model_and_the_usage_option_only(
        alias in "[a-zé\"\\\\/ -]{1,20}", upstream in "[a-zé\"\\\\/ -]{1,20}", stream in any::<bool>(),
        options in proptest::option::of(proptest::option::of(any::<bool>())), pretty in any::<bool>(),
        text in ".{0,40}",
    ) {
        let mut request = json!({
            "model": alias, "stream": stream, "messages": [{ "role": "user", "content": text }],
            "stream_optionsx": text, "nested": { "model": "other", "stream_options": { "include_usage": false } },
        });
        if let Some(include) = options {
            request["stream_options"] = json!({ "other": 1, "include_usage": include });
        }
        let body = if pretty { serde_json::to_string_pretty(&request) } else { serde_json::to_string(&request) };
        let got = sent(read(&body.unwrap()).unwrap(), &upstream);
        request["model"] = json!(upstream);
        if stream {
            request["stream_options"]["include_usage"] = json!(true);
        }
        prop_assert_eq!(got, request);
    }
}
