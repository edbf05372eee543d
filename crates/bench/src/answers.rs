//! What the upstream says: one answer of ordinary size for each kind of request, made once.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;

/// Frames of a stream, the usage and the end included.
pub const FRAMES: usize = 19;
/// Between two frames of a paced stream.
pub const PACE: Duration = Duration::from_millis(20);
/// The model that answers without a pause.
pub const MODEL: &str = "bench";
/// The model whose streams are paced.
pub const PACED_MODEL: &str = "bench-paced";
/// What stands before the time at which a frame was sent, in microseconds since 1970.
pub const SENT_MARK: &[u8] = b"\"content\":\"at ";

const USAGE: &str = r#""usage":{"prompt_tokens":50,"completion_tokens":16,"total_tokens":66,"prompt_tokens_details":{"cached_tokens":0},"completion_tokens_details":{"reasoning_tokens":0}}"#;

/// Everything the upstream can say.
#[derive(Debug)]
pub struct Answers {
    /// A chat completion.
    pub chat: Bytes,
    /// Embeddings of one text.
    pub embeddings: Bytes,
    frames: [Bytes; FRAMES],
}

impl Answers {
    /// Makes them.
    pub fn new() -> Self {
        let text = "The quick brown fox jumps over the lazy dog. ".repeat(7);
        let chat = format!(
            r#"{{"id":"chatcmpl-bench","object":"chat.completion","created":1700000000,"model":"{MODEL}","choices":[{{"index":0,"message":{{"role":"assistant","content":"{text}"}},"finish_reason":"stop"}}],{USAGE}}}"#
        );
        let vector = ["0.0123"; 64].join(",");
        let embeddings = format!(
            r#"{{"object":"list","model":"{MODEL}","data":[{{"object":"embedding","index":0,"embedding":[{vector}]}}],"usage":{{"prompt_tokens":8,"total_tokens":8}}}}"#
        );
        let frames = std::array::from_fn(|index| frame(index, 0));
        Self { chat: chat.into(), embeddings: embeddings.into(), frames }
    }

    /// One frame of a stream that is not paced.
    pub fn frame(&self, index: usize) -> Option<Bytes> {
        self.frames.get(index).cloned()
    }

    /// One frame of a paced stream, with the present time in it.
    pub fn timed_frame(&self, index: usize) -> Option<Bytes> {
        (index < FRAMES).then(|| frame(index, micros_now()))
    }
}

impl Default for Answers {
    fn default() -> Self {
        Self::new()
    }
}

/// The first names the role, the last three end the answer, tell the usage, and end the stream.
fn frame(index: usize, sent: u64) -> Bytes {
    const LAST_WORD: usize = FRAMES - 4;
    let chunk = |rest: &str| {
        let head = r#""id":"chatcmpl-bench","object":"chat.completion.chunk","created":1700000000"#;
        format!("data: {{{head},\"model\":\"{MODEL}\",{rest}}}\n\n")
    };
    let choice = |delta: &str, end: &str| {
        chunk(&format!(r#""choices":[{{"index":0,"delta":{{{delta}}},"finish_reason":{end}}}],"usage":null"#))
    };
    let text = match index {
        0 => choice(&format!(r#""role":"assistant","content":"at {sent:016}""#), "null"),
        1..=LAST_WORD => choice(&format!(r#""content":"at {sent:016}""#), "null"),
        16 => choice("", r#""stop""#),
        17 => chunk(&format!(r#""choices":[],{USAGE}"#)),
        _ => "data: [DONE]\n\n".to_owned(),
    };
    text.into()
}

/// Microseconds since 1970. Sender and receiver are on one machine, so they have one clock.
pub fn micros_now() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_micros()).unwrap_or(u64::MAX)
}
