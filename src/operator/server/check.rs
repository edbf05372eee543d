//! What was typed into the operator's forms: read, judged, and given back with what is wrong at each field.

use std::net::IpAddr;

use axum::http::Uri;
use domain::dollars::{parse_price, parse_unit_price};
use domain::money::Price;
use store::models::Way;
use store::operator::{models, upstreams};
use uuid::Uuid;

use crate::operator::{ModelTyped, UpstreamTyped, WayField};
use crate::server::forms::{Errors, Judge, Posted};

impl Posted<'_> {
    /// A model's fields.
    pub fn model(&self) -> ModelTyped {
        ModelTyped {
            id: self.text("id"),
            aliases: self.text("aliases").replace("\r\n", "\n"),
            upstream_model: self.text("upstream_model"),
            input_price: self.text("input_price"),
            cached_input_price: self.text("cached_input_price"),
            output_price: self.text("output_price"),
            price_per_image: self.text("price_per_image"),
            price_per_second: self.text("price_per_second"),
            context_window: self.text("context_window"),
            max_output: self.text("max_output"),
            enabled: self.is_on("enabled"),
        }
    }

    /// What was chosen for each of these upstreams.
    pub fn ways(&self, upstreams: &[upstreams::Upstream]) -> Vec<WayField> {
        let field = |upstream: &upstreams::Upstream| WayField {
            upstream: upstream.id.to_string(),
            label: way_label(upstream),
            rank: self.text(&format!("rank-{}", upstream.id)),
            upstream_model: self.text(&format!("name-{}", upstream.id)),
        };
        upstreams.iter().map(field).collect()
    }

    /// An upstream's fields.
    pub fn upstream(&self) -> UpstreamTyped {
        UpstreamTyped {
            name: self.text("name"),
            base_url: self.text("base_url"),
            secret_name: self.text("secret_name"),
            answer_seconds: self.text("answer_seconds"),
            enabled: self.is_on("enabled"),
        }
    }
}

/// What an upstream is called in the form of a model.
pub fn way_label(upstream: &upstreams::Upstream) -> String {
    let name = &upstream.setup.name;
    if upstream.setup.enabled { name.clone() } else { format!("{name} (disabled)") }
}

/// A model as it is to be, or everything that is wrong with it.
pub fn model(typed: &ModelTyped, ways: &[WayField]) -> Result<models::Setup, Errors> {
    let mut judge = Judge::default();
    judge.take("id", model_name(&typed.id));
    let aliases = judge.take("aliases", aliases(&typed.id, &typed.aliases));
    let same_or = |name: &str| if name.is_empty() { typed.id.clone() } else { name.to_owned() };
    let upstream_model = judge.take("upstream_model", upstream_name(same_or(&typed.upstream_model)));
    let price = price(typed).map_err(|errors| judge.0.extend(errors)).ok();
    let price_per_image = judge.take("price_per_image", unit_price(&typed.price_per_image));
    let price_per_second = judge.take("price_per_second", unit_price(&typed.price_per_second));
    let context_window = judge.take("context_window", optional_tokens(&typed.context_window));
    let max_output = judge.take("max_output", tokens(&typed.max_output));
    if let (Some(Some(window)), Some(most)) = (context_window, max_output)
        && most > window
    {
        judge.take::<()>("max_output", Err("The output cap is at most the context window"));
    }
    let ways = chosen_ways(&mut judge, ways, same_or);
    let setup = || {
        Some(models::Setup {
            aliases: aliases?,
            upstream_model: upstream_model?,
            ways: ways?,
            price: price?,
            price_per_image: price_per_image?,
            price_per_second: price_per_second?,
            context_window: context_window?,
            max_output: max_output?,
            enabled: typed.enabled,
        })
    };
    match setup() {
        Some(setup) if judge.0.is_empty() => Ok(setup),
        _ => Err(judge.0),
    }
}

/// All three prices, or none.
fn price(typed: &ModelTyped) -> Result<Option<Price>, Errors> {
    let fields = [
        ("input_price", &typed.input_price),
        ("cached_input_price", &typed.cached_input_price),
        ("output_price", &typed.output_price),
    ];
    if fields.iter().all(|(_, text)| text.is_empty()) {
        return Ok(None);
    }
    let mut judge = Judge::default();
    let prices = fields.map(|(field, text)| {
        let read = if text.is_empty() {
            Err("Give all three prices, or none where they are unknown. Nothing to pay is 0".to_owned())
        } else {
            parse_price(text).map_err(|error| error.to_string())
        };
        judge.take(field, read)
    });
    match prices {
        [Some(input), Some(cached_input), Some(output)] => Ok(Some(Price { input, cached_input, output })),
        _ => Err(judge.0),
    }
}

/// The price of an image or a second; an empty text is none.
fn unit_price(text: &str) -> Result<Option<i64>, String> {
    if text.is_empty() {
        Ok(None)
    } else {
        parse_unit_price(text).map(Some).map_err(|error| error.to_string())
    }
}

/// The chosen upstreams in their order.
fn chosen_ways(judge: &mut Judge, ways: &[WayField], same_or: impl Fn(&str) -> String) -> Option<Vec<Way>> {
    let mut chosen: Vec<(u16, Way)> = Vec::new();
    let before = judge.0.len();
    for way in ways.iter().filter(|way| !way.rank.is_empty()) {
        let place = way.rank.parse::<u16>().ok().filter(|place| *place > 0);
        let place = match place {
            Some(place) if chosen.iter().any(|(taken, _)| *taken == place) => {
                Err("Another upstream has this place already")
            }
            Some(place) => Ok(place),
            None => Err("Choose a place in the order"),
        };
        let place = judge.take(&format!("rank-{}", way.upstream), place);
        let name = judge.take(&format!("name-{}", way.upstream), upstream_name(same_or(&way.upstream_model)));
        if let (Some(place), Some(upstream_model), Ok(upstream)) = (place, name, way.upstream.parse::<Uuid>())
        {
            chosen.push((place, Way { upstream, upstream_model }));
        }
    }
    chosen.sort_by_key(|(place, _)| *place);
    (judge.0.len() == before).then(|| chosen.into_iter().map(|(_, way)| way).collect())
}

/// A name that clients put into a request's body and path.
fn model_name(name: &str) -> Result<(), &'static str> {
    if name.is_empty() {
        return Err("Give the model the name clients use");
    }
    if name.len() > 200 {
        return Err("A name has at most 200 characters");
    }
    if !name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._:/@+".contains(&byte)) {
        return Err("A name has letters, digits and - . _ : / @ + only");
    }
    if name.split('/').any(|segment| matches!(segment, "" | "." | "..")) {
        return Err("Between slashes a name has more than dots");
    }
    Ok(())
}

fn aliases(id: &str, text: &str) -> Result<Vec<String>, String> {
    let mut names: Vec<String> = Vec::new();
    for name in text.lines().map(str::trim).filter(|name| !name.is_empty()) {
        model_name(name).map_err(|error| format!("{name}: {error}"))?;
        if name == id {
            return Err(format!("{name} is the model\u{2019}s own name"));
        }
        if names.iter().any(|other| other == name) {
            return Err(format!("{name} is here twice"));
        }
        names.push(name.to_owned());
    }
    if names.len() > 100 {
        return Err("A model has at most 100 other names".to_owned());
    }
    names.sort_unstable();
    Ok(names)
}

fn upstream_name(name: String) -> Result<String, &'static str> {
    if name.len() > 200 {
        return Err("A name has at most 200 characters");
    }
    if name.bytes().all(|byte| byte.is_ascii_graphic()) { Ok(name) } else { Err("A name has no spaces") }
}

fn optional_tokens(text: &str) -> Result<Option<u32>, &'static str> {
    if text.is_empty() { Ok(None) } else { tokens(text).map(Some) }
}

/// Digits, perhaps with spaces between thousands.
fn tokens(text: &str) -> Result<u32, &'static str> {
    let digits: String = text.chars().filter(|c| !matches!(c, ' ' | '\u{202f}' | '\u{a0}')).collect();
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err("Write a number of tokens such as 16384");
    }
    let number = digits.parse::<i32>().ok().filter(|number| *number > 0);
    number.and_then(|number| u32::try_from(number).ok()).ok_or("From 1 to 2147483647 tokens")
}

/// An upstream as it is to be, or everything that is wrong with it.
pub fn upstream(typed: &UpstreamTyped) -> Result<upstreams::Setup, Errors> {
    let mut judge = Judge::default();
    let name = judge.take("name", upstream_label(&typed.name));
    let base_url = judge.take("base_url", base_url(&typed.base_url));
    let secret_name = judge.take("secret_name", secret_name(&typed.secret_name));
    let answer_seconds = judge.take("answer_seconds", seconds(&typed.answer_seconds));
    let setup = || {
        Some(upstreams::Setup {
            name: name?,
            base_url: base_url?,
            secret_name: secret_name?,
            answer_seconds: answer_seconds?,
            enabled: typed.enabled,
        })
    };
    setup().ok_or(judge.0)
}

fn upstream_label(name: &str) -> Result<String, &'static str> {
    if name.is_empty() {
        return Err("Give the upstream a name");
    }
    if name.chars().count() > 100 {
        return Err("A name has at most 100 characters");
    }
    if name.chars().any(char::is_control) { Err("A name is one line") } else { Ok(name.to_owned()) }
}

/// A base URL in the one spelling that is stored, which is the table's: its scheme in small letters, no slash at its end.
fn base_url(text: &str) -> Result<String, &'static str> {
    const FORM: &str = "Write an address such as https://api.example.com/v1";
    if text.len() > 500 {
        return Err("An address has at most 500 characters");
    }
    if text.contains(['?', '#']) {
        return Err("A base URL ends with its path: take away what follows ? or #");
    }
    let uri: Uri = text.parse().map_err(|_| FORM)?;
    let (Some(scheme), Some(authority)) = (uri.scheme_str(), uri.authority()) else { return Err(FORM) };
    if authority.as_str().contains('@') {
        return Err("Take user and password out: the key goes into the variable below");
    }
    let has_bad_port = authority.as_str().len() > authority.host().len() && authority.port_u16().is_none();
    if authority.host().is_empty() || has_bad_port {
        return Err(FORM);
    }
    match scheme {
        "https" => {}
        "http" if is_loopback(authority.host()) => {}
        "http" => return Err("Over http:// the key could be read on the way: use https://"),
        _ => return Err(FORM),
    }
    Ok(format!("{scheme}://{authority}{}", uri.path().trim_end_matches('/')))
}

fn is_loopback(host: &str) -> bool {
    let address = host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
    host.eq_ignore_ascii_case("localhost") || address.is_ok_and(|address| address.is_loopback())
}

/// The form of the table's CHECK: no other variable of a gateway can be named.
fn secret_name(text: &str) -> Result<String, &'static str> {
    let rest = text.strip_prefix("UPSTREAM_").unwrap_or_default();
    let is_name = (1..=90).contains(&rest.len())
        && rest.bytes().all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit() || byte == b'_');
    if !is_name {
        return Err(
            "Write the variable\u{2019}s name, not the key: UPSTREAM_ and then capitals, digits, underscores",
        );
    }
    if text.ends_with("_FILE") {
        return Err("Leave _FILE away: the gateway looks for both");
    }
    Ok(text.to_owned())
}

fn seconds(text: &str) -> Result<u32, &'static str> {
    let number = text.parse::<u32>().ok().filter(|seconds| (1..=3600).contains(seconds));
    number.ok_or("From 1 to 3600 seconds")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn typed() -> ModelTyped {
        let text = str::to_owned;
        ModelTyped {
            id: text("acme/big-1"),
            aliases: text("big\nlarge"),
            input_price: text("0.15"),
            cached_input_price: text("0.075"),
            output_price: text("0.6"),
            price_per_image: text("0.04"),
            context_window: text("128 000"),
            max_output: text("16384"),
            enabled: true,
            ..ModelTyped::default()
        }
    }

    fn fields(errors: Result<models::Setup, Errors>) -> Vec<String> {
        errors.unwrap_err().into_iter().map(|(field, _)| field).collect()
    }

    #[test]
    fn a_model_is_read() {
        let way = |rank: &str, id: u128, name: &str| WayField {
            upstream: Uuid::from_u128(id).to_string(),
            rank: rank.to_owned(),
            upstream_model: name.to_owned(),
            ..WayField::default()
        };
        let setup = model(&typed(), &[way("2", 1, ""), way("", 2, ""), way("1", 3, "there")]).unwrap();
        assert_eq!(setup.upstream_model, "acme/big-1");
        assert_eq!(setup.aliases, ["big", "large"]);
        let price = Price { input: 150_000_000, cached_input: 75_000_000, output: 600_000_000 };
        assert_eq!(
            (setup.price, setup.context_window, setup.max_output),
            (Some(price), Some(128_000), 16_384)
        );
        assert_eq!((setup.price_per_image, setup.price_per_second), (Some(40_000_000), None));
        let ways: Vec<_> =
            setup.ways.iter().map(|way| (way.upstream.as_u128(), way.upstream_model.as_str())).collect();
        assert_eq!(ways, [(3, "there"), (1, "acme/big-1")]);
        let twice = model(&typed(), &[way("1", 1, ""), way("1", 2, "")]);
        assert_eq!(fields(twice), [format!("rank-{}", Uuid::from_u128(2))]);
    }

    #[test]
    fn each_mistake_is_told_at_its_field() {
        let text = str::to_owned;
        let wrong = ModelTyped {
            id: text("two words"),
            aliases: text("big\nbig"),
            input_price: text("-1"),
            cached_input_price: text(""),
            output_price: text("1000001"),
            price_per_image: text("100.01"),
            price_per_second: text("-0"),
            context_window: text("many"),
            max_output: text("0"),
            ..ModelTyped::default()
        };
        let all = [
            "id",
            "aliases",
            "upstream_model",
            "input_price",
            "cached_input_price",
            "output_price",
            "price_per_image",
            "price_per_second",
            "context_window",
            "max_output",
        ];
        assert_eq!(fields(model(&wrong, &[])), all);
        let free = ModelTyped {
            input_price: text(""),
            cached_input_price: text(""),
            output_price: text(""),
            ..typed()
        };
        let by_image = model(&free, &[]).unwrap();
        assert_eq!((by_image.price, by_image.price_per_image), (None, Some(40_000_000)));
        let small = ModelTyped { context_window: text("8000"), ..typed() };
        assert_eq!(fields(model(&small, &[])), ["max_output"]);
        for name in ["", "a//b", "../etc", "a/..", "a b", "m\u{f6}del", "a;b", "a?b"] {
            assert_eq!(fields(model(&ModelTyped { id: text(name), ..typed() }, &[]))[0], "id", "{name}");
        }
    }

    #[test]
    fn base_urls() {
        for (typed, stored) in [
            ("https://api.example.com/v1", "https://api.example.com/v1"),
            ("https://api.example.com:8443/v1/", "https://api.example.com:8443/v1"),
            ("HTTPS://api.example.com/v1", "https://api.example.com/v1"),
            ("http://localhost:9000/v1", "http://localhost:9000/v1"),
            ("http://127.0.0.1:9000", "http://127.0.0.1:9000"),
            ("http://[::1]:9000/v1", "http://[::1]:9000/v1"),
        ] {
            assert_eq!(base_url(typed).as_deref(), Ok(stored), "{typed}");
        }
        for bad in [
            "",
            "api.example.com",
            "/v1",
            "ftp://api.example.com",
            "https://",
            "https:///v1",
            "http://api.example.com/v1",
            "http://127.example.com/v1",
            "http://localhost.example.com",
            "http://10.0.0.1/v1",
            "https://user:secret@api.example.com/v1",
            "https://key@api.example.com",
            "https://api.example.com/v1?key=1",
            "https://api.example.com/v1#a",
            "https://api.example.com:99999/v1",
            "https://api.exa mple.com",
            "javascript:alert(1)",
        ] {
            assert!(base_url(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn secret_names() {
        assert!(secret_name("UPSTREAM_EUROPE_KEY").is_ok());
        for bad in
            ["", "UPSTREAM_", "KEY_PEPPER", "upstream_key", "UPSTREAM_KEY_FILE", "UPSTREAM_A-B", "sk-abc"]
        {
            assert!(secret_name(bad).is_err(), "{bad}");
        }
    }
}
