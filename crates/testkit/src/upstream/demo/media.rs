//! The demo's pictures, sounds and judgements: small, the same for the same request, and honest about their size.

use serde_json::{Value, json};

use super::{CREATED, error, text};
use crate::upstream::script::Answer;

/// A picture of one pixel.
const PIXEL: &str =
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAQAAAC1HAwCAAAAC0lEQVR42mNkYAAAAAYAAjCB0C8AAAAASUVORK5CYII=";
/// What OpenAI's models count for a small picture of low quality.
const TOKENS_PER_PICTURE: u64 = 272;

pub(super) fn images(request: &Value) -> Answer {
    let Some(prompt) = request["prompt"].as_str() else {
        return error(400, "invalid_request_error", "'prompt' must be a string");
    };
    let count = request["n"].as_u64().unwrap_or(1).clamp(1, 10);
    let data: Vec<Value> = (0..count).map(|_| json!({ "b64_json": PIXEL })).collect();
    let (input, output) = (text::tokens(prompt), count.saturating_mul(TOKENS_PER_PICTURE));
    let usage = json!({
        "input_tokens": input, "input_tokens_details": { "text_tokens": input, "image_tokens": 0 },
        "output_tokens": output, "total_tokens": input.saturating_add(output),
    });
    Answer::json(200, &json!({ "created": CREATED, "data": data, "usage": usage }))
}

pub(super) fn speech(request: &Value) -> Answer {
    let Some(input) = request["input"].as_str() else {
        return error(400, "invalid_request_error", "'input' must be a string");
    };
    Answer::whole(200, "audio/mpeg", [b"ID3", input.as_bytes()].concat().repeat(50))
}

/// The same words for every sound, whatever the form says.
pub(super) fn transcription(body: &[u8]) -> Answer {
    let is_form = body.starts_with(b"--") && find(body, b"name=\"file\"") && find(body, b"name=\"model\"");
    if !is_form {
        return error(400, "invalid_request_error", "'file' and 'model' are needed");
    }
    let usage = json!({ "type": "tokens", "input_tokens": 20, "output_tokens": 6, "total_tokens": 26 });
    Answer::json(200, &json!({ "text": "One key, two doors, no secrets.", "usage": usage }))
}

fn find(body: &[u8], words: &[u8]) -> bool {
    body.windows(words.len()).any(|window| window == words)
}

pub(super) fn moderation(request: &Value) -> Answer {
    let result = json!({
        "flagged": false, "categories": { "harassment": false, "violence": false },
        "category_scores": { "harassment": 0.0, "violence": 0.0 },
    });
    Answer::json(200, &json!({ "id": "modr-demo", "model": request["model"], "results": [result] }))
}
