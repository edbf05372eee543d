use http_body_util::BodyExt;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;

fn read(text: &str) -> Result<Prompt, Refusal> {
    Prompt::read(Bytes::copy_from_slice(text.as_bytes()), Forwarded::ChatCompletions)
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
