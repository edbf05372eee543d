use super::*;
use crate::rule::Permission;

fn template(text: &str) -> Template {
    Template::parse(text).unwrap_or_else(|error| panic!("{text}: {error}"))
}

#[test]
fn names() {
    for name in
        ["text_generation", "image_generation", "character_info", "user_info", "characters:read", "a1:b2"]
    {
        assert_eq!(check_name(name), Ok(()), "{name}");
    }
    for name in ["", "A", "1a", "_a", "a-b", "a b", "a:", ":a", "a:b:c", "a.b", "ä", "a\n"] {
        assert_eq!(check_name(name), Err(NameError::Form), "{name}");
    }
    assert_eq!(check_name(&"a".repeat(65)), Err(NameError::TooLong));
    for name in Permission::CATALOGUE.into_iter().chain(["key:rotate", "key", "models", "images:edit"]) {
        assert!(matches!(check_name(name), Err(NameError::BuiltIn(_))), "{name}");
    }
}

#[test]
fn templates() {
    for text in
        ["/v1/characters", "/v1/characters/{id}", "/v1/a.b/{x}/c-d/{y_2}", "/v1/images/edits", "/v1/chat"]
    {
        assert_eq!(template(text).to_string(), text);
    }
    let long = format!("/v1/{}", "a".repeat(MAX_PATH));
    for (text, error) in [
        ("", TemplateError::Base),
        ("/", TemplateError::Base),
        ("characters", TemplateError::Base),
        ("/v2/characters", TemplateError::Base),
        ("/v1characters", TemplateError::Base),
        ("/v1/", TemplateError::Segment),
        ("/v1/characters/", TemplateError::Segment),
        ("/v1//characters", TemplateError::Segment),
        ("/v1/./a", TemplateError::Segment),
        ("/v1/a/..", TemplateError::Segment),
        ("/v1/a%2fb", TemplateError::Segment),
        ("/v1/a;b", TemplateError::Segment),
        ("/v1/a?b", TemplateError::Segment),
        ("/v1/a b", TemplateError::Segment),
        ("/v1/a/{Id}", TemplateError::Segment),
        ("/v1/a/{}", TemplateError::Segment),
        ("/v1/a/x{id}", TemplateError::Segment),
        ("/v1/a/*", TemplateError::Segment),
        ("/v1/{all}", TemplateError::First),
        ("/v1/a/{id}/{id}", TemplateError::Twice("id".to_owned())),
        ("/v1/a/b/c/d/e/f/g/h/i", TemplateError::TooLong),
        (&long, TemplateError::TooLong),
    ] {
        assert_eq!(Template::parse(text), Err(error), "{text}");
    }
}

#[test]
fn what_could_match_a_built_in_path_is_no_template() {
    for entry in &CATALOGUE {
        for (_, path) in entry.routes {
            assert!(matches!(Template::parse(path), Err(TemplateError::BuiltIn(_))), "{path}");
        }
    }
    for (text, path) in [
        ("/v1/chat/{id}", "/v1/chat/completions"),
        ("/v1/images/{id}", "/v1/images/generations"),
        ("/v1/audio/{kind}", "/v1/audio/speech"),
        ("/v1/models/{a}/{b}", "/v1/models/{id}"),
        ("/v1/models/a/b/c", "/v1/models/{id}"),
        ("/v1/key", "/v1/key"),
        ("/v1/key/rotate", "/v1/key"),
    ] {
        assert_eq!(Template::parse(text), Err(TemplateError::BuiltIn(path)), "{text}");
    }
    for text in ["/v1/images/edits", "/v1/chat/{id}/{message}", "/v1/keys", "/v1/completions/{id}"] {
        template(text);
    }
}

#[test]
fn a_word_comes_before_a_value_from_the_left() {
    let routes = ["/v1/c/{id}", "/v1/c/{id}/x", "/v1/c/{a}/{b}", "/v1/c/me/{b}", "/v1/c/me", "/v1/d/{x}"];
    for turn in 0..routes.len() {
        let mut turned = routes;
        turned.rotate_left(turn);
        let table = Table::new(turned.map(|text| (Method::Get, template(text), text)));
        for (path, found) in [
            ("/c/7", Some(("/v1/c/{id}", &["7"][..]))),
            ("/c/me", Some(("/v1/c/me", &[]))),
            ("/c/me/x", Some(("/v1/c/me/{b}", &["x"]))),
            ("/c/7/x", Some(("/v1/c/{id}/x", &["7"]))),
            ("/c/7/8", Some(("/v1/c/{a}/{b}", &["7", "8"]))),
            ("/d/Zo%C3%AB", Some(("/v1/d/{x}", &["Zo%C3%AB"]))),
            ("/c", None),
            ("/c/", None),
            ("/c/7/", None),
            ("/c//x", None),
            ("//c/7", None),
            ("/c/../d", None),
            ("/c/%2e%2e", None),
            ("/c/a%2Fb", None),
            ("/c/a;b", None),
            ("/C/7", None),
            ("/%63/7", None),
            ("/c/1/2/3/4/5/6/7/8/9", None),
        ] {
            let expected = found.map_or(Found::Nothing, |(text, values)| {
                let item = turned.iter().find(|route| ***route == *text).unwrap();
                Found::Route(item, values.to_vec())
            });
            assert_eq!(table.find("GET", path), expected, "{path}");
        }
    }
}

#[test]
fn one_template_guards_a_path_whatever_the_method() {
    let rows = [(Method::Post, "/v1/c/{id}"), (Method::Get, "/v1/c/{name}"), (Method::Delete, "/v1/c/me")];
    let table = Table::new(rows.map(|(method, text)| (method, template(text), text)));
    assert_eq!(table.find("GET", "/c/7"), Found::Route(&"/v1/c/{name}", vec!["7"]));
    assert_eq!(table.find("POST", "/c/7"), Found::Route(&"/v1/c/{id}", vec!["7"]));
    assert_eq!(table.find("PUT", "/c/7"), Found::OtherMethod(vec![Method::Get, Method::Post]));
    assert_eq!(table.find("get", "/c/7"), Found::OtherMethod(vec![Method::Get, Method::Post]));
    assert_eq!(table.find("POST", "/c/me"), Found::OtherMethod(vec![Method::Delete]));
    assert!(template("/v1/c/{id}").has_shape_of(&template("/v1/c/{name}")));
    assert!(!template("/v1/c/{id}").has_shape_of(&template("/v1/c/me")));
}

#[test]
fn values_are_spliced_as_they_came() {
    let path = template("/v1/users/{user}/cards/{card}");
    let there = UpstreamPath::parse("/cards/{card}/of/{user}", &path).unwrap();
    assert_eq!(there.fill(&["Zo%c3%ab", "a+b"]), "/cards/a+b/of/Zo%c3%ab");
    let same = UpstreamPath::parse(same_path_there("/v1/users/{user}/cards/{card}"), &path).unwrap();
    assert_eq!(same.fill(&["1", "2"]), "/users/1/cards/2");
    assert_eq!(UpstreamPath::parse("/{nobody}", &path), Err(TemplateError::Unknown("nobody".to_owned())));
    assert_eq!(UpstreamPath::parse("cards", &path), Err(TemplateError::Root));
    assert_eq!(UpstreamPath::parse("/cards/../{card}", &path), Err(TemplateError::Segment));
}
