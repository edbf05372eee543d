//! The operator's log in words: who changed which field, from what to what.

use domain::dollars::write_price;
use serde_json::{Map, Value};
use store::operator::events::OperatorEvent;
use store::operator::upstreams::Upstream;
use time::OffsetDateTime;

use crate::operator::EventRow;
use crate::server::text;
use crate::ui::Change;

/// One line of the log. `upstreams` are there for their names.
pub fn row(event: OperatorEvent, now: OffsetDateTime, upstreams: &[Upstream]) -> EventRow {
    EventRow {
        at_iso: text::iso(event.at),
        at_text: text::ago(event.at, now),
        at_exact: text::date_time(event.at),
        actor: event.actor,
        act: act(&event.action).to_owned(),
        target: event.target,
        changes: changes(event.before.as_ref(), event.after.as_ref(), upstreams),
    }
}

fn act(action: &str) -> &str {
    match action {
        "model.added" => "Added model",
        "model.changed" => "Changed model",
        "model.removed" => "Removed model",
        "alias.added" => "Added a name of",
        "alias.removed" => "Removed a name of",
        "way.added" => "Added an upstream of",
        "way.changed" => "Changed an upstream of",
        "way.removed" => "Removed an upstream of",
        "upstream.added" => "Added upstream",
        "upstream.changed" => "Changed upstream",
        "upstream.removed" => "Removed upstream",
        "permission.added" => "Added permission",
        "permission.changed" => "Changed permission",
        "route.added" => "Added route",
        "route.changed" => "Changed route",
        "route.removed" => "Removed route",
        "gateway.released" => "Released leases of",
        other => other,
    }
}

/// Every field of a row that is another one now; of a new or removed row those that say something.
fn changes(before: Option<&Value>, after: Option<&Value>, upstreams: &[Upstream]) -> Vec<Change> {
    let empty = Map::new();
    let fields =
        |row: Option<&'_ Value>| row.and_then(Value::as_object).cloned().unwrap_or_else(|| empty.clone());
    let (before, after) = (fields(before), fields(after));
    let names = before.keys().chain(after.keys().filter(|name| !before.contains_key(*name)));
    let change = |name: &String| {
        let value = |row: &Map<String, Value>| {
            row.get(name).map(|value| value_text(name, value, upstreams)).unwrap_or_default()
        };
        Change { field: words(name)?, before: value(&before), after: value(&after) }.into()
    };
    names.filter_map(change).filter(|change: &Change| change.before != change.after).collect()
}

/// A column in words; what says nothing to a person is left out.
fn words(column: &str) -> Option<String> {
    match column {
        "id" | "model_id" | "created_at" | "gateway" | "shape" => None,
        "upstream_path" => Some("path there".to_owned()),
        "price" => Some("price per call".to_owned()),
        "alias" => Some("name".to_owned()),
        "rank" => Some("place".to_owned()),
        "base_url" => Some("base URL".to_owned()),
        "upstream_id" => Some("upstream".to_owned()),
        "upstream_model" => Some("name there".to_owned()),
        "max_output" => Some("output cap".to_owned()),
        "answer_seconds" => Some("timeout".to_owned()),
        other => Some(other.replace('_', " ")),
    }
}

fn value_text(column: &str, value: &Value, upstreams: &[Upstream]) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(id) if column == "upstream_id" => {
            let found = upstreams.iter().find(|upstream| upstream.id.to_string() == *id);
            found.map_or_else(|| id.clone(), |upstream| upstream.setup.name.clone())
        }
        Value::String(text) => text.clone(),
        Value::Bool(true) => "yes".to_owned(),
        Value::Bool(false) => "no".to_owned(),
        Value::Number(number) => match number.as_i64() {
            Some(nanos)
                if column == "price" || column.ends_with("_price") || column.starts_with("price_per_") =>
            {
                format!("${}", write_price(nanos))
            }
            Some(count) => text::count(count),
            None => number.to_string(),
        },
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn only_what_is_another_one_now_is_told() {
        let before = json!({ "id": "m", "input_price": 150_000_000, "price_per_image": null, "enabled": true,
                             "max_output": 16_384 });
        let after = json!({ "id": "m", "input_price": 2_500_000_000_i64, "price_per_image": 40_000_000,
                            "enabled": false, "max_output": 16_384 });
        let told: Vec<_> = changes(Some(&before), Some(&after), &[])
            .into_iter()
            .map(|c| (c.field, c.before, c.after))
            .collect();
        let row =
            |field: &str, before: &str, after: &str| (field.to_owned(), before.to_owned(), after.to_owned());
        let all = [
            row("enabled", "yes", "no"),
            row("input price", "$0.15", "$2.50"),
            row("price per image", "", "$0.04"),
        ];
        assert_eq!(told, all);
        assert_eq!(changes(None, Some(&json!({ "alias": "mini", "model_id": "m" })), &[])[0].after, "mini");
    }
}
