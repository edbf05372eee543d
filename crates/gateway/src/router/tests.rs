use std::collections::HashSet;

use super::*;

fn plain(method: &Method, path: &str) -> Option<(&'static str, String)> {
    named(method, path, &Aliases::default())
}

fn named(method: &Method, path: &str, aliases: &Aliases) -> Option<(&'static str, String)> {
    match target(method, path, aliases) {
        Target::Route(route, tail) => Some((route.path, tail.into_owned())),
        _ => None,
    }
}

#[test]
fn only_the_exact_path_is_a_route() {
    for route in &ROUTES {
        let path = route.path.replace(TAIL, "gpt-4o");
        let method = Method::from_bytes(route.method.as_bytes()).unwrap();
        assert_eq!(plain(&method, &path).unwrap().0, route.path);
        let other = if method == Method::GET { Method::POST } else { Method::GET };
        assert_eq!(target(&other, &path, &Aliases::default()), Target::OtherMethod(route));
    }
    for other in [
        "/",
        "/v1",
        "/v1/",
        "/v1/models/",
        "/v1//models",
        "/V1/models",
        "/v1/%6dodels",
        "/v1/models;a",
        "/x/../v1/models",
        "/v1models",
        "/v1/key/",
    ] {
        assert_eq!(target(&Method::GET, other, &Aliases::default()), Target::Nothing, "{other}");
    }
}

#[test]
fn a_model_takes_the_whole_tail() {
    let tail = |path: &str| plain(&Method::GET, path).map(|(_, tail)| tail);
    assert_eq!(tail("/v1/models/gpt-4o").unwrap(), "gpt-4o");
    assert_eq!(tail("/v1/models/meta/llama-3").unwrap(), "meta/llama-3");
    assert_eq!(tail("/v1/models/meta%2Fllama%2f3").unwrap(), "meta/llama/3");
    assert_eq!(tail("/v1/models/a%252Fb").unwrap(), "a%252Fb");
    assert_eq!(tail("/v1/models/%67pt-4o").unwrap(), "%67pt-4o");
    for other in
        ["/v1/models/", "/v1/models/a//b", "/v1/models/../key", "/v1/models/a%2F..%2Fb", "/v1/models/a;b"]
    {
        assert_eq!(tail(other), None, "{other}");
    }
}

#[test]
fn an_alias_stands_for_the_base_and_nothing_else() {
    let aliases = Aliases::parse("/api/openai/v1,/api").unwrap();
    let at = |path: &str| named(&Method::GET, path, &aliases).map(|(template, _)| template);
    for path in ["/v1/models", "/api/openai/v1/models", "/api/models"] {
        assert_eq!(at(path), Some("/v1/models"), "{path}");
    }
    assert_eq!(at("/api/openai/v1/models/a/b"), Some("/v1/models/{id}"));
    for path in [
        "/api/openai/v1",
        "/api/openai/v1models",
        "/API/models",
        "/api//models",
        "/api/openai/v1/v1/models",
        "/apix/models",
    ] {
        assert_eq!(at(path), None, "{path}");
    }
}

#[test]
fn every_route_has_a_row_of_its_own_and_a_guard() {
    let paths: HashSet<_> = ROUTES.iter().map(|route| route.path).collect();
    assert_eq!(paths.len(), ROUTES.len());
    for route in &ROUTES {
        assert!(route.path.starts_with("/v1/"));
        match route.guard {
            Guard::Permission(name) => assert!(Permission::CATALOGUE.contains(&name), "{name}"),
            Guard::Itself => assert_eq!(route.path, "/v1/key"),
        }
    }
}

#[test]
fn probes_are_no_routes() {
    assert_eq!(probe(&Method::GET, "/readyz"), Some(Probe::Readiness));
    assert_eq!(probe(&Method::POST, "/readyz"), None);
    assert_eq!(target(&Method::GET, "/healthz", &Aliases::default()), Target::Nothing);
}

#[test]
fn the_catalogue_names_every_guarded_route() {
    let mut guarded: Vec<(&str, &str, &str)> = ROUTES
        .iter()
        .filter(|route| route.guard != Guard::Itself)
        .map(|route| (route.permission(), route.method, route.path))
        .collect();
    let mut listed: Vec<(&str, &str, &str)> = domain::catalogue::CATALOGUE
        .iter()
        .flat_map(|entry| entry.routes.iter().map(|(method, path)| (entry.permission, *method, *path)))
        .collect();
    guarded.sort_unstable();
    listed.sort_unstable();
    assert_eq!(guarded, listed);
}
