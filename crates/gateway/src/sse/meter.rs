//! Reads a passing stream for what it costs: the usage event where there is one, else a count of what was emitted.

use domain::usage::TokenUsage;

use super::frame;
use crate::metering::reported::{Report, text_bytes};

/// What to do with a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// Pass it on.
    Forward,
    /// Keep it: it answers a question the client did not ask.
    Remove,
    /// Pass it on, and nothing that matters follows.
    Last,
}

/// What has been read from one stream so far.
#[derive(Debug, Default)]
pub struct Meter {
    usage: Option<TokenUsage>,
    events: u32,
    text_bytes: u64,
    /// The client did not ask for a usage event; the gateway did.
    usage_is_injected: bool,
}

impl Meter {
    /// A meter for a stream whose usage event was, or was not, asked for by the gateway alone.
    pub fn new(usage_is_injected: bool) -> Self {
        Self { usage_is_injected, ..Self::default() }
    }

    /// Reads one whole frame.
    pub fn read(&mut self, bytes: &[u8]) -> Fate {
        let Some(data) = frame::data(bytes) else { return Fate::Forward };
        if data.as_ref() == b"[DONE]" {
            return Fate::Last;
        }
        if contains(&data, b"\"usage\"")
            && let Some(report) = Report::read(&data)
        {
            self.usage = report.usage;
            if report.is_alone {
                return if self.usage_is_injected { Fate::Remove } else { Fate::Forward };
            }
        }
        self.events = self.events.saturating_add(1);
        self.text_bytes = self.text_bytes.saturating_add(text_bytes(&data));
        Fate::Forward
    }

    /// Counts bytes of a frame too large to be read: all of them, since none can be told from the others.
    pub fn count(&mut self, bytes: &[u8]) {
        self.text_bytes = self.text_bytes.saturating_add(u64::try_from(bytes.len()).unwrap_or(u64::MAX));
    }

    /// The usage the upstream has reported, the last one where there were several.
    pub fn usage(&self) -> Option<TokenUsage> {
        self.usage
    }

    /// Events and bytes of text that have passed.
    pub fn emitted(&self) -> (u32, u64) {
        (self.events, self.text_bytes)
    }
}

fn contains(data: &[u8], word: &[u8]) -> bool {
    data.windows(word.len()).any(|window| window == word)
}

#[cfg(test)]
mod tests {
    use super::*;

    const WORD: &[u8] =
        br#"data: {"choices":[{"index":0,"delta":{"content":" key"},"finish_reason":null}],"usage":null}

"#;
    const USAGE: &[u8] =
        br#"data: {"choices":[],"usage":{"prompt_tokens":9,"completion_tokens":3,"total_tokens":12}}

"#;

    #[test]
    fn an_injected_usage_event_is_read_and_removed() {
        let mut meter = Meter::new(true);
        assert_eq!(meter.read(WORD), Fate::Forward);
        assert_eq!(meter.read(USAGE), Fate::Remove);
        assert_eq!(meter.read(b"data: [DONE]\n\n"), Fate::Last);
        let usage = meter.usage().unwrap();
        assert_eq!((usage.input, usage.output), (9, 3));
        assert_eq!(meter.emitted().0, 1);
    }

    #[test]
    fn a_usage_event_the_client_asked_for_stays() {
        let mut meter = Meter::new(false);
        assert_eq!(meter.read(USAGE), Fate::Forward);
        assert!(meter.usage().is_some());
    }

    #[test]
    fn usage_that_comes_with_words_stays_even_if_injected() {
        let mut meter = Meter::new(true);
        let frame = br#"data: {"choices":[{"delta":{"content":"usage"}}],"usage":{"prompt_tokens":1,"completion_tokens":2}}

"#;
        assert_eq!(meter.read(frame), Fate::Forward);
        assert_eq!(meter.usage().unwrap().output, 2);
    }

    #[test]
    fn only_an_empty_list_of_choices_makes_a_usage_event() {
        let mut meter = Meter::new(true);
        let other = br#"data: {"type":"other","usage":{"prompt_tokens":1,"completion_tokens":2}}

"#;
        assert_eq!(meter.read(other), Fate::Forward);
        assert_eq!(meter.read(b": keep-alive\n\n"), Fate::Forward);
        assert_eq!(meter.read(b"data: {\"choices\":[]}\n\n"), Fate::Forward);
        assert_eq!(meter.read(b"data: \"usage\" is not json {\n\n"), Fate::Forward);
    }

    #[test]
    fn words_are_counted_where_no_usage_comes() {
        let mut meter = Meter::new(false);
        meter.read(WORD);
        meter.read(WORD);
        let (events, bytes) = meter.emitted();
        assert_eq!((events, bytes), (2, 8));
    }
}
