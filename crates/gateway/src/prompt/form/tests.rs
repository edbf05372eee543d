use http_body_util::BodyExt;
use proptest::prelude::*;

use super::*;

const TYPE: &str = "multipart/form-data; boundary=XX";

fn part(name: &str, content: &str) -> String {
    format!("--XX\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n{content}\r\n")
}

fn file(content: &str) -> String {
    format!(
        "--XX\r\nContent-Disposition: form-data; name=\"file\"; filename=\"a.mp3\"\r\nContent-Type: audio/mpeg\r\n\r\n\
         {content}\r\n"
    )
}

fn run<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(future)
}

fn read_as(content_type: &str, body: &str) -> Result<Prompt, Refusal> {
    let content_type = HeaderValue::from_str(content_type).unwrap();
    run(read(Bytes::copy_from_slice(body.as_bytes()), Some(&content_type)))
}

fn param(body: &str) -> Option<String> {
    match read_as(TYPE, body).unwrap_err() {
        Refusal::InvalidRequest { param, .. } => param,
        other => panic!("{other:?}"),
    }
}

#[test]
fn the_model_is_replaced_and_everything_else_stays() {
    let body = [&file("ID3 \u{0} model"), &part("model", "alias"), &part("language", "alias"), "--XX--\r\n"]
        .concat();
    let prompt = read_as(TYPE, &body).unwrap();
    assert_eq!((prompt.model(), prompt.embedded().count), ("alias", 1));
    let sent = run(prompt.for_upstream("whisper-1").collect()).unwrap().to_bytes();
    let expected = body.replacen("\r\n\r\nalias", "\r\n\r\nwhisper-1", 1);
    assert_eq!(sent, expected);
    let same = run(read_as(TYPE, &body).unwrap().for_upstream("alias").collect()).unwrap().to_bytes();
    assert_eq!(same, body);
}

#[test]
fn what_is_wrong_with_a_form_is_named() {
    let (file, model, end) = (file("x"), part("model", "m"), "--XX--\r\n");
    for (parts, expected) in [
        (vec![&file], Some("model")),
        (vec![&model], Some("file")),
        (vec![&file, &file, &model], Some("file")),
        (vec![&file, &model, &model], Some("model")),
        (vec![&self::file(""), &model], Some("file")),
        (vec![&part("file", "x"), &model], Some("file")),
        (vec![&file, &part("model", "")], Some("model")),
        (vec![&file, &part("model", "a\tb")], Some("model")),
        (vec![&file, &model, &part("stream", "yes")], Some("stream")),
        (vec![&file, &model, &part("models[]", "b")], Some("models[]")),
        (vec![&file, &model, &part("Api_Base", "http://x")], Some("Api_Base")),
        (vec![&file, &model, &part("prompt", &"x".repeat(MAX_TEXT + 1))], Some("prompt")),
        (vec![&file, &model, &file.replace("\"file\"", "\"other\"")], Some("other")),
    ] {
        let body = parts.into_iter().map(String::as_str).chain([end]).collect::<String>();
        assert_eq!(param(&body).as_deref(), expected, "{}", &body[..body.len().min(400)]);
    }
    let listed = [&file, &model, &part("include[]", "a"), &part("include[]", "b"), end].concat();
    assert!(read_as(TYPE, &listed).is_ok());
}

#[test]
fn forms_that_could_be_read_in_two_ways_are_refused() {
    let (file, model) = (file("x"), part("model", "m"));
    let good = [&file, &model, "--XX--\r\n"].concat();
    assert!(read_as(TYPE, &good).is_ok());
    for body in [
        String::new(),
        "--XX--".to_owned(),
        format!("text before\r\n{good}"),
        format!("{good}text after"),
        format!("{good}{good}"),
        good.replace("--XX--", "--XX"),
        good.replace("name=\"model\"", "name=\"model\"; name=\"other\""),
        good.replace("name=\"model\"", "name=\"model\"\r\nContent-Disposition: form-data; name=\"other\""),
        good.replace("name=\"model\"", "name=\"model\"\r\nContent-Transfer-Encoding: base64"),
        good.replace("\r\n", "\n"),
        good[..good.len() - 12].to_owned(),
    ] {
        let outcome = read_as(TYPE, &body);
        assert!(matches!(outcome, Err(Refusal::InvalidRequest { .. })), "{body}: {outcome:?}");
    }
    for content_type in [
        "multipart/form-data",
        "multipart/form-data; boundary=",
        "multipart/form-data; boundary=YY",
        "multipart/form-data; boundary=XX; boundary=YY",
        "multipart/mixed; boundary=XX",
    ] {
        assert!(read_as(content_type, &good).is_err(), "{content_type}");
    }
}

proptest! {
    #[test]
    fn any_file_passes_unchanged(content in proptest::collection::vec(any::<u8>(), 1..300), first in any::<bool>()) {
        let mut file = file("").into_bytes();
        file.truncate(file.len() - 2);
        file.extend([content.as_slice(), b"\r\n"].concat());
        let model = part("model", "alias").into_bytes();
        let body = if first { [file, model] } else { [model, file] }.concat();
        let body = Bytes::from([&body[..], b"--XX--\r\n"].concat());
        prop_assume!(memchr::memmem::find(&content, b"--XX").is_none());
        let content_type = HeaderValue::from_static(TYPE);
        let prompt = run(read(body.clone(), Some(&content_type))).unwrap();
        prop_assert_eq!(prompt.embedded().bytes, content.len());
        let sent = run(prompt.for_upstream("alias").collect()).unwrap().to_bytes();
        prop_assert_eq!(sent, body);
    }

    #[test]
    fn no_bytes_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200), inside in any::<bool>()) {
        let bytes = if inside { [b"--XX\r\n", &bytes[..], b"\r\n--XX--"].concat() } else { bytes };
        let content_type = HeaderValue::from_static(TYPE);
        let _ = run(read(Bytes::from(bytes), Some(&content_type)));
    }
}
