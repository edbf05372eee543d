//! The operator's own routes, as requests find them once the table of built-in ones has nothing.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use domain::own_route::{Found, Method, Table, Template, TemplateError, UpstreamPath};
use uuid::Uuid;

use super::{Aliases, BASE, Target};

/// A route of an own permission.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OwnRoute {
    /// Its path template, as usage records, metrics and logs name it.
    pub path: &'static str,
    /// The permission that guards it.
    pub permission: &'static str,
    /// Where its requests go.
    pub upstream: Uuid,
    /// Nano-dollars for a call.
    pub price: i64,
    upstream_path: UpstreamPath,
}

/// All of them.
pub type OwnRoutes = Table<Arc<OwnRoute>>;

/// The routes of these rows. One that is none by this program's rules (a later release may have a path of its own there)
/// is left out, and the log says so.
pub fn read(rows: Vec<store::own_routes::OwnRoute>) -> OwnRoutes {
    let read = |row: store::own_routes::OwnRoute| match read_one(&row) {
        Ok(route) => Some(route),
        Err(error) => {
            let store::own_routes::OwnRoute { permission, method, path, .. } = row;
            tracing::error!(permission, method, path, %error, "a route of the operator's own is not served");
            None
        }
    };
    Table::new(rows.into_iter().filter_map(read))
}

type Row = (Method, Template, Arc<OwnRoute>);

fn read_one(row: &store::own_routes::OwnRoute) -> Result<Row, TemplateError> {
    let template = Template::parse(&row.path)?;
    let route = OwnRoute {
        path: interned(&row.path),
        permission: interned(&row.permission),
        upstream: row.upstream,
        price: row.price,
        upstream_path: UpstreamPath::parse(&row.upstream_path, &template)?,
    };
    // The table's CHECK knows the same methods.
    let method = Method::parse(&row.method).ok_or(TemplateError::Segment)?;
    Ok((method, template, Arc::new(route)))
}

/// The own route at a raw path, compared as it came. `aliases` are prefixes that stand for `/v1`.
pub fn target<'a>(method: &http::Method, path: &'a str, aliases: &Aliases, routes: &OwnRoutes) -> Target<'a> {
    for below in aliases.below(BASE, path) {
        match routes.find(method.as_str(), below) {
            Found::Route(route, values) => {
                return Target::Own(route.clone(), route.upstream_path.fill(&values));
            }
            Found::OtherMethod(methods) => {
                let names: Vec<&str> = methods.into_iter().map(Method::as_str).collect();
                return Target::OtherMethodOfOwn(names.join(", "));
            }
            Found::Nothing => {}
        }
    }
    Target::Nothing
}

/// The text as one that lasts as long as the process. Labels of metrics last as long all the same, and there are as many
/// as an operator has thought of.
fn interned(text: &str) -> &'static str {
    static KNOWN: OnceLock<Mutex<HashSet<&'static str>>> = OnceLock::new();
    let mut known = KNOWN.get_or_init(Mutex::default).lock().unwrap_or_else(PoisonError::into_inner);
    known.get(text).copied().unwrap_or_else(|| {
        let lasting: &'static str = Box::leak(text.into());
        known.insert(lasting);
        lasting
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(method: &str, path: &str, upstream_path: &str) -> store::own_routes::OwnRoute {
        store::own_routes::OwnRoute {
            permission: "own".to_owned(),
            method: method.to_owned(),
            path: path.to_owned(),
            upstream: Uuid::nil(),
            upstream_path: upstream_path.to_owned(),
            price: 7,
        }
    }

    fn found(method: &http::Method, path: &str, routes: &OwnRoutes) -> String {
        match target(method, path, &Aliases::parse("/api/openai/v1").unwrap(), routes) {
            Target::Own(route, there) => format!("{} -> {there}", route.path),
            Target::OtherMethodOfOwn(allow) => allow,
            _ => String::new(),
        }
    }

    #[test]
    fn paths_are_found_below_the_base_and_its_aliases() {
        let routes =
            read(vec![row("GET", "/v1/c/{id}", "/people/{id}"), row("DELETE", "/v1/c/{id}", "/c/{id}")]);
        let get = http::Method::GET;
        assert_eq!(found(&get, "/v1/c/7", &routes), "/v1/c/{id} -> /people/7");
        assert_eq!(found(&get, "/api/openai/v1/c/Zo%C3%AB", &routes), "/v1/c/{id} -> /people/Zo%C3%AB");
        assert_eq!(found(&http::Method::POST, "/v1/c/7", &routes), "GET, DELETE");
        for path in ["/c/7", "/v1/c/7/", "/v1/c", "/v1//c/7", "/v1/v1/c/7", "/v1/c/%2e%2e", "/v1/c/a%2fb"] {
            assert_eq!(found(&get, path, &routes), "", "{path}");
        }
    }

    #[test]
    fn what_is_no_route_by_our_rules_is_left_out() {
        let rows = [
            row("GET", "/v1/models/mine", "/x"),
            row("GET", "/v1/key", "/x"),
            row("HEAD", "/v1/a", "/x"),
            row("GET", "/v1/b/{x}", "/{y}"),
            row("GET", "/v1/ok", "/x"),
        ];
        let served: Vec<&str> = read(rows.to_vec()).items().map(|route| route.path).collect();
        assert_eq!(served, ["/v1/ok"]);
    }

    #[test]
    fn the_same_text_is_kept_once() {
        assert!(std::ptr::eq(interned(&String::from("twice")), interned(&String::from("twice"))));
    }
}
