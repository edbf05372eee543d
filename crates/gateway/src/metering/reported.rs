//! What an upstream says a request consumed, and whether that can be believed.

use domain::usage::TokenUsage;
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::value::RawValue;

use crate::router::UsageDialect;

/// No model reads or writes as much in one request; a larger figure is a mistake or a lie.
const MAX_BELIEVABLE: u32 = 10_000_000;
/// A day of sound: more than the largest body holds at any rate that speech is understood at.
const MAX_BELIEVABLE_MS: u32 = 24 * 60 * 60 * 1_000;

/// A whole answer or one event of a stream, as far as it concerns its cost.
#[derive(Debug, Deserialize)]
struct Wire<'a> {
    #[serde(borrow)]
    choices: Option<&'a RawValue>,
    #[serde(borrow)]
    usage: Option<&'a RawValue>,
    #[serde(borrow)]
    response: Option<&'a RawValue>,
    #[serde(borrow)]
    message: Option<&'a RawValue>,
    /// Of a transcript in its verbose form.
    #[serde(borrow)]
    duration: Option<&'a RawValue>,
}

/// What an event is about, where that has a usage of its own.
#[derive(Debug, Deserialize)]
struct Inner<'a> {
    #[serde(borrow)]
    usage: Option<&'a RawValue>,
}

/// A usage report.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Report {
    /// The figures; `None` where they make no sense.
    pub figures: Option<Figures>,
    /// It came with an empty list of choices: nothing else is in this chunk.
    pub is_alone: bool,
}

/// Some proxy's page, or half an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the answer is not JSON")]
pub struct NotJson;

/// The figures of a report. A stream may tell its input first and its output later.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Figures {
    /// Input tokens, cached ones included, and how many of them were cached.
    pub input: Option<(u32, u32)>,
    /// Output tokens so far.
    pub output: Option<u32>,
    /// Sound that was heard, in milliseconds, where the upstream charges by its length.
    pub audio_ms: Option<u32>,
}

impl Report {
    /// Reads the report in a JSON event; `None` where there is none.
    pub fn read(json: &[u8], dialect: UsageDialect) -> Option<Self> {
        Self::of(serde_json::from_slice(json).ok()?, dialect)
    }

    /// Reads the report in a whole answer, and on the way whether that is JSON at all; `None` where there is none.
    pub fn read_whole(json: &[u8], dialect: UsageDialect) -> Result<Option<Self>, NotJson> {
        match serde_json::from_slice(json) {
            Ok(wire) => Ok(Self::of(wire, dialect)),
            // A list, or something of another type where an object stands elsewhere.
            Err(_) if serde_json::from_slice::<IgnoredAny>(json).is_ok() => Ok(None),
            Err(_) => Err(NotJson),
        }
    }

    fn of(wire: Wire<'_>, dialect: UsageDialect) -> Option<Self> {
        let inner = match dialect {
            UsageDialect::Responses => wire.response,
            UsageDialect::Messages => wire.message,
            _ => None,
        };
        let inner = inner.and_then(|inner| serde_json::from_str::<Inner<'_>>(inner.get()).ok());
        let usage = inner.and_then(|inner| inner.usage).or(wire.usage);
        let duration = wire.duration.filter(|_| dialect == UsageDialect::Transcripts);
        let is_alone = wire.choices.is_some_and(|choices| is_empty_list(choices.get()));
        let figures = usage.and_then(|usage| Figures::read(usage.get().as_bytes(), dialect));
        let lasted = duration.and_then(|seconds| Figures::of_sound(seconds.get()));
        let figures = match (figures, lasted) {
            (Some(figures), Some(lasted)) => Some(figures.or(lasted)),
            (figures, lasted) => figures.or(lasted),
        };
        (usage.is_some() || duration.is_some()).then_some(Self { figures, is_alone })
    }
}

fn is_empty_list(json: &str) -> bool {
    json.strip_prefix('[')
        .and_then(|rest| rest.strip_suffix(']'))
        .is_some_and(|inside| inside.trim().is_empty())
}

/// The names of the chat API, of its successor, and of Anthropic's messages.
#[derive(Deserialize)]
struct WireFigures<'a> {
    prompt_tokens: Option<u32>,
    input_tokens: Option<u32>,
    completion_tokens: Option<u32>,
    output_tokens: Option<u32>,
    prompt_tokens_details: Option<Details>,
    input_tokens_details: Option<Details>,
    cache_creation_input_tokens: Option<u32>,
    cache_read_input_tokens: Option<u32>,
    /// Of sound, instead of tokens.
    #[serde(borrow)]
    seconds: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct Details {
    #[serde(default)]
    cached_tokens: Option<u32>,
}

impl Figures {
    /// Figures that are negative, fractional, of another type or out of all proportion count as none.
    pub fn read(json: &[u8], dialect: UsageDialect) -> Option<Self> {
        let wire: WireFigures<'_> = serde_json::from_slice(json).ok()?;
        let output = wire.completion_tokens.or(wire.output_tokens);
        let figures = if dialect == UsageDialect::Messages {
            // What comes from the cache or goes into it is told apart from the rest of the input.
            let cached = wire.cache_read_input_tokens.unwrap_or(0);
            let made = wire.cache_creation_input_tokens.unwrap_or(0);
            let all = |fresh: u32| fresh.saturating_add(cached).saturating_add(made);
            Self { input: wire.input_tokens.map(|fresh| (all(fresh), cached)), output, audio_ms: None }
        } else {
            let input = wire.prompt_tokens.or(wire.input_tokens);
            let details = wire.prompt_tokens_details.or(wire.input_tokens_details);
            let cached = details.and_then(|details| details.cached_tokens).unwrap_or(0);
            let seconds = wire.seconds.filter(|_| dialect == UsageDialect::Transcripts);
            Self {
                input: input.map(|input| (input, cached.min(input))),
                output: input.map(|_| output.unwrap_or(0)),
                audio_ms: seconds.and_then(|seconds| milliseconds(seconds.get())),
            }
        };
        figures.is_believable().then_some(figures)
    }

    fn is_believable(self) -> bool {
        let Self { input, output, audio_ms } = self;
        let in_proportion = |tokens: u32| tokens <= MAX_BELIEVABLE;
        (input.is_some() || output.is_some() || audio_ms.is_some())
            && audio_ms.is_none_or(|ms| ms <= MAX_BELIEVABLE_MS)
            && input.is_none_or(|(tokens, _)| in_proportion(tokens))
            && output.is_none_or(in_proportion)
    }

    /// These figures, and where they are silent the `earlier` ones.
    #[must_use]
    pub fn or(self, earlier: Self) -> Self {
        Self {
            input: self.input.or(earlier.input),
            output: self.output.or(earlier.output),
            audio_ms: self.audio_ms.or(earlier.audio_ms),
        }
    }

    /// A transcript's own word on how many seconds it heard.
    fn of_sound(seconds: &str) -> Option<Self> {
        let figures = Self { audio_ms: Some(milliseconds(seconds)?), ..Self::default() };
        figures.is_believable().then_some(figures)
    }

    /// Both figures, where both have come.
    pub fn complete(self) -> Option<TokenUsage> {
        let (input, cached_input) = self.input?;
        Some(TokenUsage { input, cached_input, output: self.output? })
    }
}

/// A number of seconds in JSON, as milliseconds, rounded up. Some servers write it as a text; an exponent or a sign is
/// nonsense. Never by way of a float: it is money in the end.
fn milliseconds(seconds: &str) -> Option<u32> {
    let seconds = seconds.strip_prefix('"').and_then(|text| text.strip_suffix('"')).unwrap_or(seconds);
    let (whole, fraction) = seconds.split_once('.').unwrap_or((seconds, "0"));
    let is_number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    if !is_number(whole) || !is_number(fraction) {
        return None;
    }
    let digits = fraction.bytes().chain(std::iter::repeat(b'0')).map(|digit| u32::from(digit - b'0'));
    let ms = digits.take(3).fold(0, |ms, digit| ms * 10 + digit);
    let rest = u32::from(fraction.bytes().skip(3).any(|digit| digit != b'0'));
    whole.parse::<u32>().ok()?.checked_mul(1_000)?.checked_add(ms + rest)
}

/// How many images an answer holds.
pub fn images(json: &[u8]) -> u32 {
    #[derive(Deserialize)]
    struct Images {
        data: Vec<IgnoredAny>,
    }
    let count = serde_json::from_slice(json).map_or(0, |Images { data }| data.len());
    u32::try_from(count).unwrap_or(u32::MAX)
}

/// What kind of event a stream's JSON is: its own `type`, wherever that stands.
pub fn event_kind(json: &[u8]) -> &[u8] {
    let Some(inside) = json.iter().position(|byte| *byte == b'{') else { return b"" };
    let mut walk = Walk { rest: &json[inside + 1..], name: b"", depth: 0, bytes: 0 };
    while let Some(first) = walk.rest.first() {
        match first {
            b'"' => {
                let text = walk.string();
                if walk.depth > 0 {
                    continue;
                }
                if walk.rest.trim_ascii_start().first() == Some(&b':') {
                    walk.name = text;
                } else if walk.name == b"type" {
                    return text;
                }
                continue;
            }
            b'{' | b'[' => walk.depth += 1,
            b'}' | b']' => walk.depth -= 1,
            _ => {}
        }
        walk.rest = &walk.rest[1..];
    }
    b""
}

/// Bytes of generated text in an answer or an event: the string values inside its `field`, but not the names of
/// things. Escapes count as they are written, so the figure is never too small.
pub fn text_bytes(json: &[u8], field: &[u8]) -> u64 {
    let Some(mut walk) = Walk::to(json, field) else { return 0 };
    if walk.rest.first() == Some(&b'"') {
        walk.bytes = walk.string().len();
    } else {
        while walk.step() {}
    }
    u64::try_from(walk.bytes).unwrap_or(u64::MAX)
}

/// Fields whose values are words of the API.
const NAMES: [&[u8]; 11] = [
    b"role",
    b"finish_reason",
    b"stop_reason",
    b"stop_sequence",
    b"status",
    b"type",
    b"id",
    b"call_id",
    b"object",
    b"signature",
    b"encrypted_content",
];

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
    /// To the value of the first field called `field`, which is given with its quotes.
    fn to(json: &'a [u8], field: &[u8]) -> Option<Self> {
        let start = find(json, field)? + field.len();
        let after = json[start..].trim_ascii_start().strip_prefix(b":")?;
        Some(Self { rest: after.trim_ascii_start(), name: b"", depth: 0, bytes: 0 })
    }

    /// One token; false at the end of the value.
    fn step(&mut self) -> bool {
        match self.rest.first() {
            None => return false,
            Some(b'"') => {
                self.value_or_name();
                return true;
            }
            // The value was no container, and the next field begins.
            Some(b',') if self.depth == 0 => return false,
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
        } else if !NAMES.contains(&self.name) {
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

    const CHAT: UsageDialect = UsageDialect::Choices;

    fn usage_as(dialect: UsageDialect, json: &str) -> Option<TokenUsage> {
        Report::read(json.as_bytes(), dialect)?.figures?.complete()
    }

    fn usage(json: &str) -> Option<TokenUsage> {
        usage_as(CHAT, json)
    }

    #[test]
    fn usage_is_read_in_every_dialect() {
        let chat = r#"{"usage":{"prompt_tokens":9,"completion_tokens":3,"prompt_tokens_details":{"cached_tokens":4}}}"#;
        assert_eq!(usage(chat).unwrap(), TokenUsage { input: 9, cached_input: 4, output: 3 });
        let later = r#"{"usage":{"input_tokens":9,"output_tokens":3,"input_tokens_details":null}}"#;
        assert_eq!(usage(later).unwrap(), TokenUsage { input: 9, cached_input: 0, output: 3 });
        assert_eq!(usage(r#"{"usage":{"prompt_tokens":5,"total_tokens":5}}"#).unwrap().input, 5);
        let both =
            r#"{"usage":{"prompt_tokens":5,"input_tokens":5,"completion_tokens":1,"output_tokens":1}}"#;
        assert_eq!(usage(both).unwrap(), TokenUsage { input: 5, cached_input: 0, output: 1 });
        let event = r#"{"type":"response.completed","response":{"usage":{"input_tokens":9,"output_tokens":3,
            "input_tokens_details":{"cached_tokens":2}}}}"#;
        let figures = TokenUsage { input: 9, cached_input: 2, output: 3 };
        assert_eq!(usage_as(UsageDialect::Responses, event), Some(figures));
        assert_eq!(usage_as(CHAT, event), None);
    }

    #[test]
    fn a_messages_cache_is_part_of_its_input() {
        let usage = r#"{"input_tokens":10,"cache_creation_input_tokens":200,"cache_read_input_tokens":3000,
            "output_tokens":7,"service_tier":"standard","cache_creation":{"ephemeral_5m_input_tokens":200}}"#;
        let expected = TokenUsage { input: 3_210, cached_input: 3_000, output: 7 };
        for json in [format!("{{\"usage\":{usage}}}"), format!("{{\"message\":{{\"usage\":{usage}}}}}")] {
            assert_eq!(usage_as(UsageDialect::Messages, &json), Some(expected), "{json}");
        }
        let delta = br#"{"type":"message_delta","usage":{"output_tokens":9,"input_tokens":null}}"#;
        let later = Report::read(delta, UsageDialect::Messages).unwrap().figures.unwrap();
        assert_eq!(later.complete(), None);
        let earlier = Figures { input: Some((12, 2)), output: Some(1), audio_ms: None };
        assert_eq!(later.or(earlier), Figures { output: Some(9), ..earlier });
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
            let json = format!(r#"{{"choices":[],"usage":{figures}}}"#);
            let report = Report::read(json.as_bytes(), CHAT).unwrap();
            assert_eq!(report, Report { figures: None, is_alone: true }, "{figures}");
            if !figures.starts_with('[') {
                let figures = figures.replace("prompt", "input").replace("completion", "output");
                assert_eq!(Figures::read(figures.as_bytes(), UsageDialect::Messages), None, "{figures}");
            }
        }
        assert_eq!(Report::read(br#"{"usage":null}"#, CHAT), None);
        assert_eq!(Report::read(b"{}", CHAT), None);
        assert_eq!(Report::read(b"usage", CHAT), None);
        let huge = br#"{"input_tokens":4000000000,"cache_read_input_tokens":4000000000,"output_tokens":1}"#;
        assert_eq!(Figures::read(huge, UsageDialect::Messages), None);
    }

    #[test]
    fn seconds_of_sound_are_read_where_transcripts_tell_them() {
        let heard = |json: &str| {
            let report = Report::read(json.as_bytes(), UsageDialect::Transcripts);
            report.map(|report| report.figures.and_then(|figures| figures.audio_ms))
        };
        assert_eq!(heard(r#"{"text":"x","usage":{"type":"duration","seconds":3}}"#), Some(Some(3_000)));
        assert_eq!(heard(r#"{"duration":2.0399999618530273,"text":"x"}"#), Some(Some(2_040)));
        assert_eq!(heard(r#"{"duration":"8.470000066757202","text":"x"}"#), Some(Some(8_471)));
        assert_eq!(
            heard(r#"{"duration":2.1,"usage":{"seconds":3}}"#),
            Some(Some(3_000)),
            "the bill goes first"
        );
        assert_eq!(heard(r#"{"duration":2.1,"usage":{"input_tokens":3}}"#), Some(Some(2_100)));
        assert_eq!(heard(r#"{"duration":2.1,"usage":{"seconds":-3}}"#), Some(Some(2_100)));
        for nonsense in ["-1", "1e9", "99999999999", "90000", "\"\"", "\"soon\"", "[3]", "null", "true"] {
            let json = format!(r#"{{"usage":{{"type":"duration","seconds":{nonsense}}}}}"#);
            assert_eq!(heard(&json), Some(None), "{nonsense}");
        }
        assert_eq!(heard(r#"{"text":"x"}"#), None);
        let chat = r#"{"duration":2.1,"usage":{"type":"duration","seconds":3}}"#;
        assert_eq!(Report::read(chat.as_bytes(), CHAT).unwrap().figures, None, "only of transcripts");
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
            Report::read(json.as_bytes(), CHAT).unwrap().is_alone
        };
        assert!(alone(r#""choices":[],"#) && alone(r#""choices":[ ],"#));
        assert!(!alone(r#""choices":[{}],"#) && !alone("") && !alone(r#""choices":null,"#));
    }

    #[test]
    fn text_is_counted_without_the_names_of_things() {
        let text = |json: &[u8], field: &str| text_bytes(json, format!("\"{field}\"").as_bytes());
        let chunk = br#"{"id":"chatcmpl-1","model":"m","choices":[{"index":0,"delta":{"role":"assistant",
            "content":" ke\"y"},"finish_reason":"stop"}],"system_fingerprint":"fp_123"}"#;
        assert_eq!(text(chunk, "choices"), 6);
        let calls = br#"{"choices":[{"delta":{"tool_calls":[{"function":{"name":"f","arguments":"{}"}}]}}]}"#;
        assert_eq!(text(calls, "choices"), 3);
        assert_eq!(text(b"{}", "choices"), 0);
        assert_eq!(text(br#"{"choices":[{"text":"cut of"#, "choices"), 6);
        let delta =
            br#"{"type":"response.output_text.delta","item_id":"i","delta" : "four","obfuscation":"xyz"}"#;
        assert_eq!(text(delta, "delta"), 4);
        let block =
            br#"{"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"four"}}"#;
        assert_eq!(text(block, "delta"), 4);
        assert_eq!(text(br#"{"delta":null,"x":"four"}"#, "delta"), 0);
    }

    #[test]
    fn events_are_known_by_their_type() {
        assert_eq!(event_kind(br#"{"type" : "message_stop"}"#), b"message_stop");
        assert_eq!(event_kind(br#"{"a":{"type":"x"},"b":["type"],"type":"y"}"#), b"y");
        assert_eq!(event_kind(br#"{"type":5}"#), b"");
        assert_eq!(event_kind(b"[DONE]"), b"");
        assert_eq!(images(br#"{"created":1,"data":[{"url":"x"},{"b64_json":"y"}]}"#), 2);
        assert_eq!(images(b"{}"), 0);
    }
}
