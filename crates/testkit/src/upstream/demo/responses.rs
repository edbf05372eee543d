//! The demo of the responses API, the successor of chat.

use std::time::Duration;

use serde_json::{Value, json};

use super::{CREATED, content, error, text};
use crate::upstream::script::{Answer, Step};

/// The event that carries a word.
const DELTA: &str = "response.output_text.delta";

/// A response that is said word by word.
struct Response<'a> {
    request: &'a Value,
    pieces: Vec<String>,
    input_tokens: u64,
    prompt: String,
}

pub(super) fn answer(request: &Value, pace: Duration) -> Answer {
    let prompt = match &request["input"] {
        Value::String(text) => text.clone(),
        Value::Array(items) => {
            items.iter().map(|item| content(&item["content"])).collect::<Vec<_>>().join("\n")
        }
        _ => return error(400, "invalid_request_error", "'input' must be a string or an array"),
    };
    let mut pieces = text::pieces(text::reply_to(&prompt));
    let cap = request["max_output_tokens"].as_u64().and_then(|cap| usize::try_from(cap).ok());
    pieces.truncate(cap.unwrap_or(usize::MAX));
    let response = Response { request, pieces, input_tokens: text::tokens(&prompt), prompt };
    if request["stream"] == true {
        return Answer::events(response.steps(pace));
    }
    Answer::json(200, &response.whole("completed"))
}

impl Response<'_> {
    fn whole(&self, status: &str) -> Value {
        let is_over = status == "completed";
        let output = u64::try_from(self.pieces.len()).unwrap_or_default();
        let usage = json!({
            "input_tokens": self.input_tokens, "input_tokens_details": { "cached_tokens": 0 },
            "output_tokens": output, "output_tokens_details": { "reasoning_tokens": 0 },
            "total_tokens": self.input_tokens.saturating_add(output),
        });
        json!({
            "id": format!("resp_demo{:016x}", text::hash(&self.prompt)), "object": "response", "created_at": CREATED,
            "status": status, "error": null, "incomplete_details": null, "instructions": null,
            "max_output_tokens": self.request["max_output_tokens"], "model": self.request["model"],
            "output": if is_over { json!([self.message()]) } else { json!([]) },
            "parallel_tool_calls": true, "previous_response_id": null, "temperature": 1.0, "text": { "format": { "type": "text" } },
            "tool_choice": "auto", "tools": [], "top_p": 1.0, "truncation": "disabled",
            "usage": if is_over { usage } else { Value::Null }, "user": null, "metadata": {},
        })
    }

    fn message(&self) -> Value {
        json!({
            "id": "msg_demo", "type": "message", "status": "completed", "role": "assistant",
            "content": [{ "type": "output_text", "text": self.pieces.concat(), "annotations": [] }],
        })
    }

    fn steps(&self, pace: Duration) -> Vec<Step> {
        let mut number = 0;
        let mut steps = Vec::new();
        let mut say = |kind: &str, mut event: Value| {
            event["type"] = json!(kind);
            event["sequence_number"] = json!(number);
            number += 1;
            steps.extend((kind == DELTA && !pace.is_zero()).then_some(Step::Pause(pace)));
            steps.push(Step::named(kind, &event.to_string()));
        };
        say("response.created", json!({ "response": self.whole("in_progress") }));
        say("response.in_progress", json!({ "response": self.whole("in_progress") }));
        let begun = json!({ "id": "msg_demo", "type": "message", "status": "in_progress", "role": "assistant", "content": [] });
        say("response.output_item.added", json!({ "output_index": 0, "item": begun }));
        let item = json!({ "item_id": "msg_demo", "output_index": 0, "content_index": 0 });
        let with = |name: &str, value: Value| {
            let mut event = item.clone();
            event[name] = value;
            event
        };
        let part = |text: &str| json!({ "type": "output_text", "text": text, "annotations": [] });
        say("response.content_part.added", with("part", part("")));
        for piece in &self.pieces {
            let mut event = with("delta", json!(piece));
            event["logprobs"] = json!([]);
            say(DELTA, event);
        }
        let text = self.pieces.concat();
        say("response.output_text.done", with("text", json!(text)));
        say("response.content_part.done", with("part", part(&text)));
        say("response.output_item.done", json!({ "output_index": 0, "item": self.message() }));
        say("response.completed", json!({ "response": self.whole("completed") }));
        steps
    }
}
