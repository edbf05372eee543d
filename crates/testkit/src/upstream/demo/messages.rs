//! The demo of Anthropic's messages API.

use std::time::Duration;

use serde_json::{Value, json};

use super::{prompt, text};
use crate::upstream::script::{Answer, Step};

pub(super) fn answer(request: &Value, pace: Duration) -> Answer {
    let Some(cap) = request["max_tokens"].as_u64() else { return error("max_tokens: Field required") };
    if !request["messages"].is_array() {
        return error("messages: Input should be a valid list");
    }
    let prompt = prompt(request);
    let mut pieces = text::pieces(text::reply_to(&prompt));
    let cap = usize::try_from(cap).unwrap_or(usize::MAX);
    let reason = if pieces.len() > cap { "max_tokens" } else { "end_turn" };
    pieces.truncate(cap);
    let message = |content: Value, reason: Value, output: u64| {
        json!({
            "id": format!("msg_demo{:016x}", text::hash(&prompt)), "type": "message", "role": "assistant",
            "model": request["model"], "content": content, "stop_reason": reason, "stop_sequence": null,
            "usage": {
                "input_tokens": text::tokens(&prompt), "cache_creation_input_tokens": 0, "cache_read_input_tokens": 0,
                "output_tokens": output,
            },
        })
    };
    let output = u64::try_from(pieces.len()).unwrap_or_default();
    if request["stream"] != true {
        let content = json!([{ "type": "text", "text": pieces.concat() }]);
        return Answer::json(200, &message(content, json!(reason), output));
    }
    let start = message(json!([]), Value::Null, 1);
    let mut steps = vec![
        event(json!({ "type": "message_start", "message": start })),
        event(
            json!({ "type": "content_block_start", "index": 0, "content_block": { "type": "text", "text": "" } }),
        ),
        event(json!({ "type": "ping" })),
    ];
    for piece in &pieces {
        steps.extend((!pace.is_zero()).then_some(Step::Pause(pace)));
        let delta = json!({ "type": "text_delta", "text": piece });
        steps.push(event(json!({ "type": "content_block_delta", "index": 0, "delta": delta })));
    }
    let delta = json!({ "stop_reason": reason, "stop_sequence": null });
    steps.extend([
        event(json!({ "type": "content_block_stop", "index": 0 })),
        event(json!({ "type": "message_delta", "delta": delta, "usage": { "output_tokens": output } })),
        event(json!({ "type": "message_stop" })),
    ]);
    Answer::events(steps)
}

fn event(data: Value) -> Step {
    Step::named(data["type"].as_str().unwrap_or_default(), &data.to_string())
}

fn error(message: &str) -> Answer {
    let error = json!({ "type": "invalid_request_error", "message": message });
    Answer::json(400, &json!({ "type": "error", "error": error, "request_id": "req_demo" }))
}
