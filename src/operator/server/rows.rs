//! From the store's rows to what the pages and forms show.

use domain::catalogue;
use domain::dollars::write_price;
use domain::own_route::{MAX_ROUTES, same_path_there};
use store::operator::fleet::Gateway;
use store::operator::{models, permissions, upstreams};

use super::check::way_label;
use super::fleet::is_running;
use crate::operator::{
    Health, Level, ModelRow, ModelTyped, OwnPermission, PermissionRow, PermissionTyped, RouteField, RouteRow,
    UpstreamChoice, UpstreamRow, UpstreamTyped, WayField,
};
use crate::server::text;

/// `4 offered, 1 disabled`; the second only where there are some.
pub fn count_two(first: usize, word: &str, second: usize, other: &str) -> String {
    if second == 0 { format!("{first} {word}") } else { format!("{first} {word}, {second} {other}") }
}

/// Where a model is edited. Names hold slashes and may hold a plus.
pub fn model_href(id: &str) -> String {
    let query = form_urlencoded::Serializer::new(String::new()).append_pair("model", id).finish();
    format!("/operator/models/edit?{query}")
}

pub fn model(model: &models::Model, upstreams: &[upstreams::Upstream]) -> ModelRow {
    let setup = &model.setup;
    let found = |way: &store::models::Way| upstreams.iter().find(|upstream| upstream.id == way.upstream);
    let way = |way: &store::models::Way| {
        let label = found(way).map(way_label).unwrap_or_default();
        if way.upstream_model == model.id { label } else { format!("{label} as {}", way.upstream_model) }
    };
    let own = || {
        let name = if setup.upstream_model == model.id {
            String::new()
        } else {
            format!(" as {}", setup.upstream_model)
        };
        vec![format!("UPSTREAM_URL{name}")]
    };
    let usable = setup.ways.iter().filter_map(found).any(|upstream| upstream.setup.enabled);
    ModelRow {
        href: model_href(&model.id),
        id: model.id.clone(),
        aliases: setup.aliases.join(", "),
        upstreams: if setup.ways.is_empty() { own() } else { setup.ways.iter().map(way).collect() },
        reachable: setup.ways.is_empty() || usable,
        context: setup
            .context_window
            .map_or_else(|| "Unknown".to_owned(), |tokens| text::count(tokens.into())),
        output_cap: text::count(setup.max_output.into()),
        prices: setup.price.map(|price| {
            [price.input, price.cached_input, price.output].map(|nanos| format!("${}", write_price(nanos)))
        }),
        unit_prices: [(setup.price_per_image, "image"), (setup.price_per_second, "second")]
            .into_iter()
            .filter_map(|(nanos, unit)| Some(format!("${} per {unit}", write_price(nanos?))))
            .collect(),
        enabled: setup.enabled,
    }
}

/// A model as its form shows it.
pub fn model_typed(model: &models::Model) -> ModelTyped {
    let setup = &model.setup;
    let price = |pick: fn(&domain::money::Price) -> i64| {
        setup.price.as_ref().map(|price| write_price(pick(price))).unwrap_or_default()
    };
    ModelTyped {
        id: model.id.clone(),
        aliases: setup.aliases.join("\n"),
        upstream_model: other_than(&model.id, &setup.upstream_model),
        input_price: price(|price| price.input),
        cached_input_price: price(|price| price.cached_input),
        output_price: price(|price| price.output),
        price_per_image: setup.price_per_image.map(write_price).unwrap_or_default(),
        price_per_second: setup.price_per_second.map(write_price).unwrap_or_default(),
        context_window: setup.context_window.map(|tokens| tokens.to_string()).unwrap_or_default(),
        max_output: setup.max_output.to_string(),
        enabled: setup.enabled,
    }
}

/// A name at an upstream; empty where it is the model's own.
fn other_than(id: &str, name: &str) -> String {
    if name == id { String::new() } else { name.to_owned() }
}

/// One line for each upstream, those in use first, in their order.
pub fn way_fields(model: Option<&models::Model>, upstreams: &[upstreams::Upstream]) -> Vec<WayField> {
    let ways = model.map_or(&[][..], |model| &model.setup.ways);
    let mut fields: Vec<(usize, WayField)> = Vec::new();
    for upstream in upstreams {
        let used = ways.iter().zip(1_usize..).find(|(way, _)| way.upstream == upstream.id);
        let field = WayField {
            upstream: upstream.id.to_string(),
            label: way_label(upstream),
            rank: used.map(|(_, place)| place.to_string()).unwrap_or_default(),
            upstream_model: used
                .zip(model)
                .map(|((way, _), model)| other_than(&model.id, &way.upstream_model))
                .unwrap_or_default(),
        };
        fields.push((used.map_or(usize::MAX, |(_, place)| place), field));
    }
    fields.sort_by_key(|(place, _)| *place);
    fields.into_iter().map(|(_, field)| field).collect()
}

pub fn upstream(upstream: &upstreams::Upstream, gateways: &[Gateway]) -> UpstreamRow {
    UpstreamRow {
        name: upstream.setup.name.clone(),
        href: format!("/operator/upstreams/{}", upstream.id),
        base_url: upstream.setup.base_url.clone(),
        secret_name: upstream.setup.secret_name.clone(),
        timeout: format!("{} s", upstream.setup.answer_seconds),
        used_by: used_by(upstream),
        enabled: upstream.setup.enabled,
        health: health(upstream, gateways),
    }
}

/// The models and own routes whose requests go there.
pub fn used_by(upstream: &upstreams::Upstream) -> Vec<String> {
    upstream.models.iter().chain(&upstream.routes).cloned().collect()
}

/// What the running gateways say of an upstream; the worst news first.
fn health(upstream: &upstreams::Upstream, gateways: &[Gateway]) -> Health {
    let state = |level, text: &str, detail| Health { level, text: text.to_owned(), detail };
    if !upstream.setup.enabled {
        return state(Level::Off, "Disabled", String::new());
    }
    let running: Vec<&Gateway> = gateways.iter().filter(|gateway| is_running(gateway)).collect();
    let names = |has: fn(&Gateway) -> &Vec<uuid::Uuid>| {
        let those = running.iter().filter(|gateway| has(gateway).contains(&upstream.id));
        those.map(|gateway| gateway.name.as_str()).collect::<Vec<_>>().join(", ")
    };
    let unusable = names(|gateway| &gateway.upstreams_unusable);
    if !unusable.is_empty() {
        let detail =
            format!("{} is missing there, or the URL is refused: {unusable}", upstream.setup.secret_name);
        return state(Level::Bad, "Cannot be used", detail);
    }
    let resting = names(|gateway| &gateway.upstreams_resting);
    match (running.is_empty(), resting.is_empty()) {
        (true, _) => state(Level::Off, "Unknown", "No gateway is running".to_owned()),
        (_, true) => state(Level::Good, "In use", String::new()),
        _ => state(Level::Warn, "Failing", format!("Asked last for a while by {resting}")),
    }
}

/// An upstream as its form shows it.
pub fn upstream_typed(setup: &upstreams::Setup) -> UpstreamTyped {
    UpstreamTyped {
        name: setup.name.clone(),
        base_url: setup.base_url.clone(),
        secret_name: setup.secret_name.clone(),
        answer_seconds: setup.answer_seconds.to_string(),
        enabled: setup.enabled,
    }
}

/// `10 built in, 2 of your own, 1 archived`; the last two only where there are some.
pub fn count_permissions(served: usize, archived: usize) -> String {
    let counts = [(catalogue::CATALOGUE.len(), "built in"), (served, "of your own"), (archived, "archived")];
    let told = counts.iter().filter(|(count, _)| *count > 0).map(|(count, what)| format!("{count} {what}"));
    told.collect::<Vec<_>>().join(", ")
}

pub fn built_in_permission(entry: &catalogue::Entry) -> PermissionRow {
    let route =
        |(method, path): &(&str, &str)| RouteRow { route: format!("{method} {path}"), detail: String::new() };
    PermissionRow {
        name: entry.permission.to_owned(),
        allows: entry.allows.to_owned(),
        routes: entry.routes.iter().map(route).collect(),
        own: None,
    }
}

pub fn own_permission(
    permission: &permissions::Permission,
    upstreams: &[upstreams::Upstream],
) -> PermissionRow {
    let query =
        form_urlencoded::Serializer::new(String::new()).append_pair("permission", &permission.name).finish();
    let setup = &permission.setup;
    PermissionRow {
        name: permission.name.clone(),
        allows: setup.allows.clone(),
        routes: setup.routes.iter().map(|setup| route(setup, upstreams)).collect(),
        own: Some(OwnPermission {
            href: format!("/operator/permissions/edit?{query}"),
            enabled: setup.enabled,
        }),
    }
}

/// A route, with where it goes and its price.
pub fn route(route: &permissions::Route, upstreams: &[upstreams::Upstream]) -> RouteRow {
    let upstream = upstreams.iter().find(|upstream| upstream.id == route.upstream);
    let upstream = upstream.map(way_label).unwrap_or_default();
    RouteRow {
        route: format!("{} {}", route.method.as_str(), route.path),
        detail: format!("${} per call, {upstream} {}", write_price(route.price), route.upstream_path),
    }
}

/// A permission as its form shows it.
pub fn permission_typed(permission: &permissions::Permission) -> PermissionTyped {
    let setup = &permission.setup;
    PermissionTyped { name: permission.name.clone(), allows: setup.allows.clone(), enabled: setup.enabled }
}

/// Its routes as its form shows them.
pub fn route_fields(permission: &permissions::Permission) -> Vec<RouteField> {
    let field = |route: &permissions::Route| {
        let is_same = same_path_there(&route.path) == route.upstream_path;
        RouteField {
            method: route.method.as_str().to_owned(),
            path: route.path.clone(),
            upstream: route.upstream.to_string(),
            there: if is_same { String::new() } else { route.upstream_path.clone() },
            price: write_price(route.price),
        }
    };
    permission.setup.routes.iter().map(field).collect()
}

/// Sees to it that there is room for one more route, if there may be one.
pub fn spare_route(routes: &mut Vec<RouteField>, upstreams: &[UpstreamChoice]) {
    if routes.len() < MAX_ROUTES && routes.last().is_none_or(|last| !last.path.is_empty()) {
        let only = if let [only] = upstreams { only.id.clone() } else { String::new() };
        routes.push(RouteField { method: "GET".to_owned(), upstream: only, ..RouteField::default() });
    }
}

/// The upstreams to choose from, by name.
pub fn upstream_choices(upstreams: &[upstreams::Upstream]) -> Vec<UpstreamChoice> {
    let choice = |upstream: &upstreams::Upstream| UpstreamChoice {
        id: upstream.id.to_string(),
        label: way_label(upstream),
    };
    upstreams.iter().map(choice).collect()
}
