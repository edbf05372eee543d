use proptest::prelude::*;

use super::*;

fn flaw(text: &str) -> Flaw {
    Object::read(text.as_bytes()).map(|_| ()).unwrap_err()
}

#[test]
fn fields_are_found_where_they_stand() {
    let text = r#" {"model" : "gpt\u002d4o" , "stream":true,"n":[1,{"a":{}}]} "#;
    let object = Object::read(text.as_bytes()).unwrap();
    let model = object.get("model").unwrap();
    assert_eq!(model.value, r#""gpt\u002d4o""#);
    assert_eq!(&text[model.place.clone()], model.value);
    assert_eq!(unquote(model.value).unwrap(), "gpt-4o");
    assert_eq!(object.get("stream").unwrap().value, "true");
    assert_eq!(object.get("n").unwrap().value, r#"[1,{"a":{}}]"#);
    assert_eq!(object.inside(), 2);
}

#[test]
fn a_name_written_with_escapes_is_still_the_same_name() {
    assert_eq!(flaw(r#"{"model":"a","mod\u0065l":"b"}"#), Flaw::Duplicate { field: "model".to_owned() });
}

#[test]
fn what_is_no_object_is_told_apart_from_what_is_no_json() {
    for other in ["[]", "1", "\"x\"", "null", " [ {} ] "] {
        assert_eq!(flaw(other), Flaw::NotAnObject, "{other}");
    }
    for broken in
        ["", " ", "{", "}", "{\"a\":1,}", "{\"a\" 1}", "{'a':1}", "{a:1}", "{\"a\":01}", "{\"a\":NaN}", "{}x"]
    {
        assert!(matches!(flaw(broken), Flaw::NotJson { .. }), "{broken}");
    }
    assert_eq!(Object::read(b"{\"a\":\"\xff\"}").map(|_| ()).unwrap_err(), Flaw::NotUtf8);
}

#[test]
fn depth_is_limited_however_it_is_made() {
    let nested = |depth: usize| format!("{{\"a\":{}{}}}", "[".repeat(depth - 1), "]".repeat(depth - 1));
    assert!(Object::read(nested(64).as_bytes()).is_ok());
    assert_eq!(flaw(&nested(65)), Flaw::TooDeep);
    assert_eq!(flaw(&format!("{{\"a\":{}", "{\"a\":".repeat(100_000))), Flaw::TooDeep);
    assert_eq!(flaw(&"[".repeat(100_000)), Flaw::TooDeep);
}

#[test]
fn fields_are_limited() {
    let fields = |count: usize| (0..count).map(|n| format!("\"f{n}\":0")).collect::<Vec<_>>().join(",");
    assert!(Object::read(format!("{{{}}}", fields(128)).as_bytes()).is_ok());
    assert_eq!(flaw(&format!("{{{}}}", fields(129))), Flaw::TooManyFields);
}

#[test]
fn half_a_surrogate_pair_is_no_text() {
    for broken in [r#"{"a":"\ud800"}"#, r#"{"a":"\udc00"}"#, r#"{"a":"\ud800\u0041"}"#, r#"{"\ud800":1}"#] {
        assert!(matches!(flaw(broken), Flaw::NotJson { .. }), "{broken}");
    }
    assert!(Object::read(r#"{"a":"\ud83d\ude00"}"#.as_bytes()).is_ok());
}

#[test]
fn files_and_what_is_only_pointed_at_are_told_apart_from_text() {
    let embedded = |text: &str| {
        let Embedded { count, bytes, remote } = Object::read(text.as_bytes()).unwrap().embedded();
        (count, bytes, remote)
    };
    for (text, expected) in [
        (r#"{"a":"data: URLs are long"}"#, (1, 19, 0)),
        (r#"{"image_url":{"url":"data:x"}}"#, (1, 6, 0)),
        (r#"{"m":[{"image_url":{"detail":{"a":[1]},"url":"https://x"}}]}"#, (0, 0, 1)),
        (r#"{"m":[{"type":"input_image","image_url":"https://x"}]}"#, (0, 0, 1)),
        (r#"{"m":[{"im\u0061ge_url":"HTTP://x"},{"file_id":"f"}]}"#, (0, 0, 2)),
        (r#"{"m":{"source":{"type":"base64","data":"aGVsbG8="}}}"#, (1, 8, 0)),
        (r#"{"m":{"source":{"type":"url","url":"https://x"}}}"#, (0, 0, 1)),
        (r#"{"i":[{"type":"item_reference","id":"x"}]}"#, (0, 0, 1)),
        (r#"{"m":{"input":{"url":"https://x"},"text":"https://x","data":"x"}}"#, (0, 0, 0)),
        (r#"{"tools":[{"url":{"type":"string"}}],"url":"https://x"}"#, (0, 0, 0)),
    ] {
        assert_eq!(embedded(text), expected, "{text}");
    }
}

/// Texts near JSON: pieces of it in any order, so that about half of them are wrong in an interesting way.
fn almost_json() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        Just("{".to_owned()),
        Just("}".to_owned()),
        Just("[".to_owned()),
        Just("]".to_owned()),
        Just(",".to_owned()),
        Just(":".to_owned()),
        Just(" \n\t".to_owned()),
        Just("\"a\"".to_owned()),
        Just("\"a\":".to_owned()),
        Just("true".to_owned()),
        Just("nul".to_owned()),
        Just("\"\\u00e4\\n\\\"\"".to_owned()),
        Just("\"long enough for the fast path \\\\ and beyond\"".to_owned()),
        "-?[0-9]{0,3}(\\.[0-9]{0,2})?([eE][+-]?[0-9]{0,2})?",
        "\"[ -~äß\u{1}]{0,20}\"",
    ];
    proptest::collection::vec(piece, 0..12).prop_map(|pieces| pieces.concat())
}

fn json() -> impl Strategy<Value = serde_json::Value> {
    let leaf = prop_oneof![
        Just(serde_json::Value::Null),
        any::<bool>().prop_map(Into::into),
        any::<i64>().prop_map(Into::into),
        // Eighths, which every parser reads back exactly.
        any::<i32>().prop_map(|n| (f64::from(n) / 8.0).into()),
        ".{0,30}".prop_map(Into::into),
    ];
    leaf.prop_recursive(4, 64, 8, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..6).prop_map(Into::into),
            proptest::collection::btree_map(".{0,12}", inner, 0..6)
                .prop_map(|map| serde_json::Value::Object(map.into_iter().collect())),
        ]
    })
}

proptest! {
    /// Whatever another strict parser accepts or refuses, this one does too (but for what it refuses on purpose).
    #[test]
    fn agrees_with_another_parser(text in almost_json()) {
        let other = serde_json::from_str::<serde::de::IgnoredAny>(&text).is_ok();
        match Object::read(text.as_bytes()) {
            Ok(_) | Err(Flaw::NotAnObject | Flaw::Duplicate { .. }) => prop_assert!(other, "accepted {text}"),
            Err(Flaw::NotJson { .. }) => prop_assert!(
                serde_json::from_str::<serde_json::Value>(&text).is_err(), "refused {text}"
            ),
            Err(flaw) => prop_assert!(false, "{flaw:?} for {text}"),
        }
    }

    #[test]
    fn every_object_is_read_whole(value in json(), pretty in any::<bool>()) {
        prop_assume!(value.is_object());
        let text = if pretty { serde_json::to_string_pretty(&value) } else { serde_json::to_string(&value) }.unwrap();
        let object = Object::read(text.as_bytes()).unwrap();
        prop_assert_eq!(object.fields().len(), value.as_object().unwrap().len());
        for field in object.fields() {
            let read: serde_json::Value = serde_json::from_str(field.value).unwrap();
            prop_assert_eq!(&read, &value[field.name.as_ref()]);
            prop_assert_eq!(&text[field.place.clone()], field.value);
        }
    }

    #[test]
    fn no_bytes_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let _ = Object::read(&bytes);
    }
}
