//! What was typed into the form of an own permission, judged by the rules of `domain::own_route`.

use domain::dollars::parse_unit_price;
use domain::own_route::{MAX_ROUTES, Method, Template, UpstreamPath, check_name, same_path_there};
use store::operator::permissions::{Route, Setup};
use uuid::Uuid;

use crate::operator::{PermissionTyped, RouteField, UpstreamChoice};
use crate::server::forms::{Errors, Judge, Posted};

impl Posted<'_> {
    /// A permission's own fields.
    pub fn permission(&self) -> PermissionTyped {
        PermissionTyped {
            name: self.text("name"),
            allows: self.text("allows"),
            enabled: self.is_on("enabled"),
        }
    }

    /// The blocks of its routes, filled in or not, as they were sent.
    pub fn routes(&self) -> Vec<RouteField> {
        let field = |number: usize| RouteField {
            method: self.text(&format!("method-{number}")),
            path: self.text(&format!("path-{number}")),
            upstream: self.text(&format!("upstream-{number}")),
            there: self.text(&format!("there-{number}")),
            price: self.text(&format!("price-{number}")),
        };
        let is_sent = |number: &usize| self.is_on(&format!("path-{number}"));
        (1..=MAX_ROUTES).take_while(is_sent).map(field).collect()
    }
}

/// A permission as it is to be, or everything that is wrong with it. `upstreams` are those that can be chosen. The name is
/// judged only where it `is_new`: nobody can change it later, though a release may have taken its word for itself.
pub fn permission(
    is_new: bool,
    typed: &PermissionTyped,
    routes: &[RouteField],
    upstreams: &[UpstreamChoice],
) -> Result<Setup, Errors> {
    let mut judge = Judge::default();
    if is_new {
        judge.take("name", check_name(&typed.name).map_err(|error| error.to_string()));
    }
    let allows = judge.take("allows", one_line(&typed.allows));
    let mut read: Vec<(Template, Route)> = Vec::new();
    for (number, field) in (1_usize..).zip(routes).filter(|(_, field)| !field.path.is_empty()) {
        let Some((template, route)) = read_route(&mut judge, number, field, upstreams) else { continue };
        let is_there = |(other, known): &(Template, Route)| {
            known.method == route.method && other.has_shape_of(&template)
        };
        if read.iter().any(is_there) {
            let message = "A route above has this method and matches the same paths";
            judge.take::<()>(&format!("path-{number}"), Err(message));
        }
        read.push((template, route));
    }
    let routes = read.into_iter().map(|(_, route)| route).collect();
    match allows {
        Some(allows) if judge.0.is_empty() => Ok(Setup { allows, routes, enabled: typed.enabled }.in_order()),
        _ => Err(judge.0),
    }
}

fn read_route(
    judge: &mut Judge,
    number: usize,
    field: &RouteField,
    upstreams: &[UpstreamChoice],
) -> Option<(Template, Route)> {
    let at = |name: &str| format!("{name}-{number}");
    let method = judge.take(&at("method"), Method::parse(&field.method).ok_or("Choose a method"));
    let template = judge.take(&at("path"), Template::parse(&field.path).map_err(|error| error.to_string()));
    let chosen = upstreams.iter().find(|choice| choice.id == field.upstream);
    let upstream = chosen.and_then(|choice| choice.id.parse::<Uuid>().ok());
    let upstream = judge.take(&at("upstream"), upstream.ok_or("Choose an upstream"));
    let price = judge.take(&at("price"), price(&field.price));
    let template = template?;
    let there = if field.there.is_empty() { same_path_there(&field.path) } else { &field.there };
    let judged = UpstreamPath::parse(there, &template).map_err(|error| error.to_string());
    judge.take(&at("there"), judged)?;
    let (path, upstream_path) = (field.path.clone(), there.to_owned());
    Some((template, Route { method: method?, path, upstream: upstream?, upstream_path, price: price? }))
}

fn price(text: &str) -> Result<i64, String> {
    if text.is_empty() {
        return Err("Give the price of a call. Nothing to pay is 0".to_owned());
    }
    parse_unit_price(text).map_err(|error| error.to_string())
}

fn one_line(text: &str) -> Result<String, &'static str> {
    if text.is_empty() {
        return Err("Say what it lets a key do");
    }
    if text.chars().count() > 200 {
        return Err("At most 200 characters");
    }
    if text.chars().any(char::is_control) { Err("Write one line") } else { Ok(text.to_owned()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    const UPSTREAM: &str = "01932f2a-0000-7000-8000-000000000001";

    fn route(method: &str, path: &str, there: &str, price: &str) -> RouteField {
        let text = str::to_owned;
        RouteField {
            method: text(method),
            path: text(path),
            upstream: text(UPSTREAM),
            there: text(there),
            price: text(price),
        }
    }

    fn judged(name: &str, routes: &[RouteField]) -> Result<Setup, Errors> {
        let typed =
            PermissionTyped { name: name.to_owned(), allows: "Read characters".to_owned(), enabled: true };
        let choice = UpstreamChoice { id: UPSTREAM.to_owned(), label: String::new() };
        permission(true, &typed, routes, &[choice])
    }

    #[test]
    fn a_permission_is_read() {
        let routes = [
            route("GET", "/v1/characters/{id}", "/people/{id}", "0.002"),
            route("GET", "", "", ""),
            route("POST", "/v1/characters", "", "0"),
        ];
        let setup = judged("character_info", &routes).unwrap();
        let told: Vec<_> = setup
            .routes
            .iter()
            .map(|r| (r.method, r.path.as_str(), r.upstream_path.as_str(), r.price))
            .collect();
        assert_eq!(
            told,
            [
                (Method::Post, "/v1/characters", "/characters", 0),
                (Method::Get, "/v1/characters/{id}", "/people/{id}", 2_000_000),
            ]
        );
    }

    #[test]
    fn each_mistake_is_told_at_its_field() {
        let good = || route("GET", "/v1/c/{id}", "", "1");
        for (name, routes, field) in [
            ("Bad", vec![good()], "name"),
            ("chat:write", vec![good()], "name"),
            ("own", vec![route("HEAD", "/v1/c", "", "1")], "method-1"),
            ("own", vec![good(), route("GET", "/v1/chat/completions", "", "1")], "path-2"),
            ("own", vec![good(), route("GET", "/v1/c/{name}", "", "1")], "path-2"),
            ("own", vec![route("GET", "/v1/c", "", "")], "price-1"),
            ("own", vec![route("GET", "/v1/c", "", "-1")], "price-1"),
            ("own", vec![route("GET", "/v1/c", "/{id}", "1")], "there-1"),
            ("own", vec![RouteField { upstream: "x".to_owned(), ..good() }], "upstream-1"),
        ] {
            let fields: Vec<String> =
                judged(name, &routes).unwrap_err().into_iter().map(|(field, _)| field).collect();
            assert_eq!(fields, [field], "{name} {routes:?}");
        }
    }
}
