use domain::money::Price;

use super::*;

const WORD: &[u8] =
    br#"data: {"choices":[{"index":0,"delta":{"content":" key"},"finish_reason":null}],"usage":null}

"#;
const USAGE: &[u8] =
    br#"data: {"choices":[],"usage":{"prompt_tokens":9,"completion_tokens":3,"total_tokens":12}}

"#;

fn chat(usage_is_injected: bool) -> Meter {
    Meter::new(UsageDialect::Choices, usage_is_injected)
}

fn sent(tokens: u32) -> Sent {
    Sent { tokens, audio_ms: None }
}

/// Input, cached input, output and whether that is an estimate, with 100 tokens of input by the gateway's count.
fn consumed(meter: &Meter) -> (u32, u32, u32, bool) {
    let Consumed { usage, estimated, .. } = meter.consumed(sent(100), Price::default().into(), "");
    (usage.input, usage.cached_input, usage.output, estimated)
}

fn read_all(dialect: UsageDialect, events: &[&str]) -> (Meter, Vec<Fate>) {
    let mut meter = Meter::new(dialect, false);
    let fates = events.iter().map(|event| meter.read(format!("data: {event}\n\n").as_bytes())).collect();
    (meter, fates)
}

#[test]
fn an_injected_usage_event_is_read_and_removed() {
    let mut meter = chat(true);
    assert_eq!(meter.read(WORD), Fate::Forward);
    assert_eq!(meter.read(USAGE), Fate::Remove);
    assert_eq!(meter.read(b"data: [DONE]\n\n"), Fate::Last);
    assert_eq!(consumed(&meter), (9, 0, 3, false));
    assert_eq!(meter.pieces, 1);
}

#[test]
fn a_usage_event_the_client_asked_for_stays() {
    let mut meter = chat(false);
    assert_eq!(meter.read(USAGE), Fate::Forward);
    assert_eq!(consumed(&meter), (9, 0, 3, false));
}

#[test]
fn usage_that_comes_with_words_stays_even_if_injected() {
    let mut meter = chat(true);
    let frame =
        br#"data: {"choices":[{"delta":{"content":"usage"}}],"usage":{"prompt_tokens":1,"completion_tokens":2}}

"#;
    assert_eq!(meter.read(frame), Fate::Forward);
    assert_eq!(consumed(&meter), (1, 0, 2, false));
}

#[test]
fn only_an_empty_list_of_choices_makes_a_usage_event() {
    let mut meter = chat(true);
    let other = br#"data: {"type":"other","usage":{"prompt_tokens":1,"completion_tokens":2}}

"#;
    assert_eq!(meter.read(other), Fate::Forward);
    assert_eq!(meter.read(b": keep-alive\n\n"), Fate::Forward);
    assert_eq!(meter.read(b"data: {\"choices\":[]}\n\n"), Fate::Forward);
    assert_eq!(meter.read(b"data: \"usage\" is not json {\n\n"), Fate::Forward);
}

#[test]
fn words_are_counted_where_no_usage_comes() {
    let mut meter = chat(false);
    meter.read(WORD);
    meter.read(WORD);
    assert_eq!((meter.pieces, meter.bytes), (2, 8));
    assert_eq!(consumed(&meter), (100, 0, 4, true));
}

#[test]
fn a_report_that_words_follow_is_not_the_last_word() {
    let mut meter = chat(false);
    let early =
        br#"data: {"choices":[{"delta":{"content":"a"}}],"usage":{"prompt_tokens":7,"completion_tokens":1}}

"#;
    meter.read(early);
    assert_eq!(consumed(&meter), (7, 0, 1, false));
    for _ in 0..5 {
        meter.read(WORD);
    }
    assert_eq!(consumed(&meter), (7, 0, 11, true), "21 bytes in six events");
}

#[test]
fn a_report_of_nothing_is_not_believed_where_there_is_something() {
    let mut meter = chat(false);
    meter.read(WORD);
    meter.read(br#"data: {"choices":[],"usage":{"prompt_tokens":7,"completion_tokens":0}}"#);
    assert_eq!(consumed(&meter), (7, 0, 2, true));
}

#[test]
fn a_response_ends_with_its_usage() {
    let completed = concat!(
        r#"{"type":"response.completed","response":{"output":[{"type":"message"}],"#,
        r#""usage":{"input_tokens":5,"output_tokens":6,"input_tokens_details":{"cached_tokens":1}}}}"#,
    );
    let events = [
        r#"{"type":"response.created","response":{"instructions":"delta","usage":null}}"#,
        r#"{"type":"response.output_text.delta","delta":"four","obfuscation":"abc"}"#,
        r#"{"type":"response.output_text.done","text":"four"}"#,
        completed,
    ];
    let (meter, fates) = read_all(UsageDialect::Responses, &events);
    assert_eq!(fates, [Fate::Forward, Fate::Forward, Fate::Forward, Fate::Last]);
    assert_eq!(consumed(&meter), (5, 1, 6, false));
    let (cut, _) = read_all(UsageDialect::Responses, &events[..3]);
    assert_eq!(consumed(&cut), (100, 0, 2, true));
}

#[test]
fn a_message_tells_its_input_first_and_its_output_last() {
    let events = [
        r#"{"type":"message_start","message":{"content":[],"usage":{"input_tokens":5,"cache_read_input_tokens":20,"output_tokens":1}}}"#,
        r#"{"type":"content_block_start","index":0,"content_block":{"type":"text","text":""}}"#,
        r#"{"type":"ping"}"#,
        r#"{"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"eight by"}}"#,
        r#"{"type":"message_delta","delta":{"stop_reason":"end_turn"},"usage":{"output_tokens":15}}"#,
        r#"{"type":"message_stop"}"#,
    ];
    let (meter, fates) = read_all(UsageDialect::Messages, &events);
    assert_eq!(fates.last(), Some(&Fate::Last));
    assert_eq!(consumed(&meter), (25, 20, 15, false));
    let (cut, _) = read_all(UsageDialect::Messages, &events[..4]);
    assert_eq!(consumed(&cut), (25, 20, 4, true), "the input is known, the output is counted");
}

#[test]
fn an_event_is_known_by_its_name_wherever_its_type_stands() {
    let mut meter = Meter::new(UsageDialect::Messages, false);
    let sorted = r#"{"delta":{"text":"four","type":"text_delta"},"index":0,"type":"content_block_delta"}"#;
    meter.read(format!("event: content_block_delta\ndata: {sorted}\n\n").as_bytes());
    meter.read(format!("data: {sorted}\n\n").as_bytes());
    assert_eq!(consumed(&meter), (100, 0, 4, true));
}

#[test]
fn pictures_and_sound_are_counted_as_what_they_are() {
    let partial = r#"{"type":"image_generation.partial_image","b64_json":"AAAA"}"#;
    let completed = r#"{"type":"image_generation.completed","b64_json":"AAAA"}"#;
    let (meter, _) = read_all(UsageDialect::Images, &[partial, completed]);
    assert_eq!(consumed(&meter), (100, 0, estimate::images(1), true));
    let mut whole = Meter::new(UsageDialect::Images, false);
    whole.read_whole(br#"{"data":[{"url":"a"},{"url":"b"}]}"#).unwrap();
    assert_eq!(consumed(&whole).2, estimate::images(2));
    whole.read_whole(br#"{"data":[{"url":"a"}],"usage":{"input_tokens":3,"output_tokens":272}}"#).unwrap();
    assert_eq!(consumed(&whole), (3, 0, 272, false));
    let mut sound = Meter::new(UsageDialect::Speech, false);
    sound.count_bytes(&[0; 7_000]);
    let consumed_of = |tariff: Tariff| sound.consumed(sent(9), tariff, "audio/mpeg");
    assert_eq!(
        consumed_of(Price::default().into()).usage,
        TokenUsage { input: 9, cached_input: 0, output: 10 }
    );
    let by_second = Tariff { second: Some(7), ..Tariff::default() };
    let Consumed { usage, units, estimated } = consumed_of(by_second);
    assert_eq!((usage, units.audio_ms, estimated), (TokenUsage::default(), Some(438), true));
    let done = r#"{"type":"speech.audio.done","usage":{"input_tokens":3,"output_tokens":40}}"#;
    let (meter, fates) =
        read_all(UsageDialect::Speech, &[r#"{"type":"speech.audio.delta","audio":"AAAA"}"#, done]);
    assert_eq!((consumed(&meter), fates[1]), ((3, 0, 40, false), Fate::Last));
}

#[test]
fn a_large_frame_is_read_for_its_report_and_not_for_its_echo() {
    let mut meter = Meter::new(UsageDialect::Responses, false);
    let echo = "x".repeat(100_000);
    let frame = format!(
        "event: response.completed\ndata: {{\"type\":\"response.completed\",\"response\":{{\"instructions\":\"{echo}\",\
         \"usage\":{{\"input_tokens\":5,\"output_tokens\":6}}}}}}\n\n"
    );
    let (first, second) = frame.split_at(50_000);
    assert_eq!(meter.read_large(first.as_bytes(), false), Fate::Forward);
    assert_eq!(meter.read_large(second.as_bytes(), true), Fate::Last);
    assert_eq!(consumed(&meter), (5, 0, 6, false));
    let mut meter = Meter::new(UsageDialect::Responses, false);
    let delta = format!("data: {{\"type\":\"response.output_text.delta\",\"delta\":\"{echo}\"}}\n\n");
    assert_eq!(meter.read_large(delta.as_bytes(), true), Fate::Forward);
    assert!(consumed(&meter).2 >= 50_000);
}
