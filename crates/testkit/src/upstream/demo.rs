//! The built-in model: friendly text chosen by the prompt, honest usage figures, stable vectors.

mod media;
mod messages;
mod responses;
mod text;

use std::time::Duration;

use hyper::Method;
use serde_json::{Value, json};

use super::script::{Answer, Step};

/// The models it says it has.
const MODELS: [&str; 9] = [
    "gpt-4o-mini",
    "gpt-4o",
    "text-embedding-3-small",
    "gpt-3.5-turbo-instruct",
    "gpt-image-1",
    "tts-1",
    "whisper-1",
    "omni-moderation-latest",
    "claude-sonnet-4-5",
];
const DIMENSIONS: u32 = 64;
/// A fixed time of creation: equal requests get equal answers.
const CREATED: u64 = 1_760_000_000;

/// Answers one request the way the API it stands for does.
pub(super) fn answer(method: &Method, path: &str, body: &[u8], pace: Duration) -> Answer {
    match (method, path) {
        (&Method::GET, "/v1/models") => models(),
        (&Method::POST, "/v1/chat/completions") => with_json(body, |request| chat(request, pace)),
        (&Method::POST, "/v1/completions") => with_json(body, |request| completions(request, pace)),
        (&Method::POST, "/v1/responses") => with_json(body, |request| responses::answer(request, pace)),
        (&Method::POST, "/v1/messages") => with_json(body, |request| messages::answer(request, pace)),
        (&Method::POST, "/v1/embeddings") => with_json(body, embeddings),
        (&Method::POST, "/v1/images/generations") => with_json(body, media::images),
        (&Method::POST, "/v1/audio/speech") => with_json(body, media::speech),
        (&Method::POST, "/v1/audio/transcriptions") => media::transcription(body),
        (&Method::POST, "/v1/moderations") => with_json(body, media::moderation),
        _ => error(404, "invalid_request_error", &format!("Unknown request: {method} {path}")),
    }
}

/// What a provider says to a wrong key.
pub(super) fn wrong_key() -> Answer {
    error(401, "invalid_request_error", "Incorrect API key provided")
}

fn error(status: u16, kind: &str, message: &str) -> Answer {
    Answer::json(
        status,
        &json!({ "error": { "message": message, "type": kind, "param": null, "code": null } }),
    )
}

fn with_json(body: &[u8], answer: impl FnOnce(&Value) -> Answer) -> Answer {
    match serde_json::from_slice(body) {
        Ok(request) => answer(&request),
        Err(_) => error(400, "invalid_request_error", "The body is not JSON"),
    }
}

fn models() -> Answer {
    let data: Vec<Value> = MODELS
        .iter()
        .map(|id| json!({ "id": id, "object": "model", "created": CREATED, "owned_by": "demo" }))
        .collect();
    Answer::json(200, &json!({ "object": "list", "data": data }))
}

/// A finished completion before it is cut into an answer.
struct Completion {
    id: String,
    model: String,
    pieces: Vec<String>,
    choices: u64,
    finish_reason: &'static str,
    prompt_tokens: u64,
}

impl Completion {
    fn of(request: &Value) -> Self {
        let prompt = prompt(request);
        let mut pieces = text::pieces(text::reply_to(&prompt));
        let cap = ["max_completion_tokens", "max_tokens"].iter().find_map(|name| request[*name].as_u64());
        let cap = cap.and_then(|cap| usize::try_from(cap).ok()).unwrap_or(usize::MAX);
        let finish_reason = if pieces.len() > cap { "length" } else { "stop" };
        pieces.truncate(cap);
        Self {
            id: format!("chatcmpl-demo{:016x}", text::hash(&prompt)),
            model: request["model"].as_str().unwrap_or(MODELS[0]).to_owned(),
            pieces,
            choices: request["n"].as_u64().unwrap_or(1).clamp(1, 16),
            finish_reason,
            prompt_tokens: text::tokens(&prompt),
        }
    }

    fn usage(&self) -> Value {
        let output = self.choices.saturating_mul(u64::try_from(self.pieces.len()).unwrap_or(u64::MAX));
        json!({
            "prompt_tokens": self.prompt_tokens,
            "completion_tokens": output,
            "total_tokens": self.prompt_tokens.saturating_add(output),
            "prompt_tokens_details": { "cached_tokens": 0 },
        })
    }

    fn whole(&self) -> Value {
        let text = self.pieces.concat();
        let choices: Vec<Value> = (0..self.choices)
            .map(|index| {
                json!({
                    "index": index,
                    "message": { "role": "assistant", "content": text, "refusal": null },
                    "logprobs": null,
                    "finish_reason": self.finish_reason,
                })
            })
            .collect();
        json!({
            "id": self.id, "object": "chat.completion", "created": CREATED, "model": self.model,
            "choices": choices, "usage": self.usage(),
        })
    }

    fn chunk(&self, choices: &Value, usage: Option<&Value>) -> String {
        let mut chunk = json!({
            "id": self.id, "object": "chat.completion.chunk", "created": CREATED, "model": self.model,
            "choices": choices,
        });
        if let (Some(usage), Some(chunk)) = (usage, chunk.as_object_mut()) {
            chunk.insert("usage".to_owned(), usage.clone());
        }
        chunk.to_string()
    }

    /// One event per word and choice, then the finish, the usage where asked for, and the end mark.
    fn steps(&self, with_usage: bool, pace: Duration) -> Vec<Step> {
        let no_usage_yet = with_usage.then_some(&Value::Null);
        let event = |delta: Value, finish: Value| {
            let choices = (0..self.choices)
                .map(|index| json!({ "index": index, "delta": delta, "finish_reason": finish }))
                .collect::<Vec<_>>();
            Step::event(&self.chunk(&Value::from(choices), no_usage_yet))
        };
        let mut steps = vec![event(json!({ "role": "assistant", "content": "" }), Value::Null)];
        for piece in &self.pieces {
            if !pace.is_zero() {
                steps.push(Step::Pause(pace));
            }
            steps.push(event(json!({ "content": piece }), Value::Null));
        }
        steps.push(event(json!({}), Value::from(self.finish_reason)));
        if with_usage {
            steps.push(Step::event(&self.chunk(&json!([]), Some(&self.usage()))));
        }
        steps.push(Step::event("[DONE]"));
        steps
    }
}

fn chat(request: &Value, pace: Duration) -> Answer {
    if !request["messages"].is_array() {
        return error(400, "invalid_request_error", "'messages' must be an array");
    }
    let completion = Completion::of(request);
    if request["stream"] == true {
        let with_usage = request["stream_options"]["include_usage"] == true;
        return Answer::events(completion.steps(with_usage, pace));
    }
    Answer::json(200, &completion.whole())
}

/// The older API: a prompt, and answers that are text.
fn completions(request: &Value, pace: Duration) -> Answer {
    let Some(prompt) = request["prompt"].as_str() else {
        return error(400, "invalid_request_error", "'prompt' must be a string");
    };
    let mut pieces = text::pieces(text::reply_to(prompt));
    let cap = request["max_tokens"].as_u64().and_then(|cap| usize::try_from(cap).ok()).unwrap_or(16);
    pieces.truncate(cap);
    let (input, output) = (text::tokens(prompt), u64::try_from(pieces.len()).unwrap_or_default());
    let usage = json!({ "prompt_tokens": input, "completion_tokens": output, "total_tokens": input.saturating_add(output) });
    let chunk = |text: &str, finish: Value, usage: Value| {
        json!({
            "id": format!("cmpl-demo{:016x}", text::hash(prompt)), "object": "text_completion", "created": CREATED,
            "model": request["model"], "usage": usage,
            "choices": [{ "index": 0, "text": text, "logprobs": null, "finish_reason": finish }],
        })
    };
    if request["stream"] != true {
        return Answer::json(200, &chunk(&pieces.concat(), json!("stop"), usage));
    }
    let mut steps = Vec::new();
    for piece in &pieces {
        steps.extend((!pace.is_zero()).then_some(Step::Pause(pace)));
        steps.push(Step::event(&chunk(piece, Value::Null, Value::Null).to_string()));
    }
    steps.push(Step::event(&chunk("", json!("stop"), Value::Null).to_string()));
    if request["stream_options"]["include_usage"] == true {
        let mut last = chunk("", Value::Null, usage);
        last["choices"] = json!([]);
        steps.push(Step::event(&last.to_string()));
    }
    steps.push(Step::event("[DONE]"));
    Answer::events(steps)
}

/// The text of all messages, one a line.
fn prompt(request: &Value) -> String {
    let messages = request["messages"].as_array().map(Vec::as_slice).unwrap_or_default();
    messages.iter().map(|message| content(&message["content"])).collect::<Vec<_>>().join("\n")
}

/// A message's content: a string, or parts of which the text parts count.
fn content(content: &Value) -> String {
    match content {
        Value::String(text) => text.clone(),
        Value::Array(parts) => {
            parts.iter().filter_map(|part| part["text"].as_str()).collect::<Vec<_>>().join(" ")
        }
        _ => String::new(),
    }
}

fn embeddings(request: &Value) -> Answer {
    let inputs: Vec<String> = match &request["input"] {
        Value::String(text) => vec![text.clone()],
        Value::Array(items) if !items.is_empty() => {
            items.iter().map(|item| item.as_str().map_or_else(|| item.to_string(), str::to_owned)).collect()
        }
        _ => return error(400, "invalid_request_error", "'input' must be a string or an array"),
    };
    let dimensions = request["dimensions"].as_u64().and_then(|n| u32::try_from(n).ok()).unwrap_or(DIMENSIONS);
    let data: Vec<Value> = inputs
        .iter()
        .enumerate()
        .map(|(index, input)| {
            json!({ "object": "embedding", "index": index, "embedding": text::vector(input, dimensions.min(4096)) })
        })
        .collect();
    let tokens: u64 = inputs.iter().map(|input| text::tokens(input)).sum();
    Answer::json(
        200,
        &json!({
            "object": "list", "data": data, "model": request["model"],
            "usage": { "prompt_tokens": tokens, "total_tokens": tokens },
        }),
    )
}
