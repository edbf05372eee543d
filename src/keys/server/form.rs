//! The form of a key: what was posted, what an existing key has, what there is to choose from.

use domain::address_list;
use domain::catalogue::{CATALOGUE, is_read_only};
use domain::credits::CreditRate;
use domain::dollars::write_price;
use domain::limit::{Fit, Period};
use store::keys::{self, Setup};
use store::operator::permissions;
use store::{TenantTx, models};
use time::OffsetDateTime;
use time::macros::format_description;

use super::account_view;
use crate::keys::{Choice, KeyChoices, KeyFormOf, KeyFormView, KeyTyped};
use crate::server::forms::Posted;
use crate::server::{Failure, Member, text};

/// Offered before any key has them.
const USUAL_ENVIRONMENTS: [&str; 3] = ["production", "staging", "development"];

impl Posted<'_> {
    /// A key's fields. What was not sent is as in an empty form, so that a name alone makes a key.
    pub(super) fn key(&self) -> KeyTyped {
        let or = |field: &str, other: &str| {
            let sent = self.text(field);
            if sent.is_empty() { other.to_owned() } else { sent }
        };
        KeyTyped {
            name: self.raw("name"),
            note: self.lines("note"),
            group: self.text("group"),
            environment: self.text("environment"),
            expires: or("expires", "never"),
            expires_at: self.text("expires_at"),
            cost_on: self.is_on("cost_on"),
            cost: self.text("cost"),
            cost_unit: or("cost_unit", "usd"),
            tokens_on: self.is_on("tokens_on"),
            tokens: self.text("tokens"),
            period: or("period", "monthly"),
            rate_on: self.is_on("rate_on"),
            rate: self.text("rate"),
            fit: or("fit", "clamp"),
            models: self.all("models"),
            access: or("access", "all"),
            permissions: self.all("permissions"),
            addresses: self.lines("addresses"),
            addresses_sure: self.is_on("addresses_sure"),
        }
    }
}

/// A key as it is, in the form's words.
pub(super) fn typed(setup: &Setup, choices: &Offers) -> KeyTyped {
    let access = match &setup.permissions {
        None => "all",
        Some(list) if *list == choices.read_only() => "read",
        Some(_) => "some",
    };
    let number = |number: Option<i64>| number.map(|number| number.to_string()).unwrap_or_default();
    KeyTyped {
        name: setup.name.to_string(),
        note: setup.note.clone(),
        group: setup.group.to_string(),
        environment: setup.environment.clone().unwrap_or_default(),
        expires: if setup.expires_at.is_some() { "at" } else { "never" }.to_owned(),
        expires_at: setup.expires_at.map(minute).unwrap_or_default(),
        cost_on: setup.cost.is_some(),
        cost: setup.cost.map(|cost| write_price(cost.0)).unwrap_or_default(),
        cost_unit: "usd".to_owned(),
        tokens_on: setup.tokens.is_some(),
        tokens: number(setup.tokens),
        period: if setup.cost.is_none() && setup.tokens.is_none() {
            "monthly".to_owned()
        } else {
            period_word(setup.period).to_owned()
        },
        rate_on: setup.requests_per_minute.is_some(),
        rate: number(setup.requests_per_minute.map(i64::from)),
        fit: fit_word(setup.fit).to_owned(),
        models: setup.models.clone().unwrap_or_default(),
        access: access.to_owned(),
        permissions: setup.permissions.clone().unwrap_or_default(),
        addresses: setup.addresses.as_deref().map(address_list::write).unwrap_or_default(),
        addresses_sure: false,
    }
}

/// `2026-12-12T08:05`, as a browser's field for a time has it; in UTC.
pub(super) fn minute(at: OffsetDateTime) -> String {
    let form = format_description!("[year]-[month]-[day]T[hour]:[minute]");
    at.to_offset(time::UtcOffset::UTC).format(form).unwrap_or_default()
}

/// The form's word for a period.
pub(super) const fn period_word(period: Period) -> &'static str {
    match period {
        Period::Never => "never",
        Period::Daily => "daily",
        Period::Weekly => "weekly",
        Period::Monthly => "monthly",
    }
}

/// The form's word for what happens to a request that may not fit.
pub(super) const fn fit_word(fit: Fit) -> &'static str {
    match fit {
        Fit::Clamp => "clamp",
        Fit::Strict => "strict",
    }
}

/// What a key can be given.
pub(super) struct Offers {
    pub(super) groups: Vec<keys::GroupChoice>,
    environments: Vec<String>,
    models: Vec<String>,
    /// Name, what it lets a key do, whether it only reads.
    permissions: Vec<(String, String, bool)>,
}

impl Offers {
    /// Reads all of it.
    pub(super) async fn load(member: &Member) -> Result<Self, Failure> {
        let pool = &member.visit.state.pool;
        let mut tx = TenantTx::begin(pool, member.membership.account_id).await?;
        let groups = keys::list_groups(&mut tx).await?;
        let mut environments = keys::list_environments(&mut tx).await?;
        tx.commit().await?;
        let usual = USUAL_ENVIRONMENTS.iter().map(|name| (*name).to_owned());
        let missing: Vec<String> = usual.filter(|name| !environments.contains(name)).collect();
        environments.extend(missing);
        let models = models::list(pool).await?.into_iter().map(|model| model.id).collect();
        let built_in = CATALOGUE.iter().map(|entry| {
            let reads = is_read_only(entry.routes.iter().map(|route| route.0));
            (entry.permission.to_owned(), entry.allows.to_owned(), reads)
        });
        let own = permissions::list(pool).await?.into_iter().filter(|own| own.setup.enabled).map(|own| {
            let reads = is_read_only(own.setup.routes.iter().map(|route| route.method.as_str()));
            (own.name, own.setup.allows, reads)
        });
        Ok(Self { groups, environments, models, permissions: built_in.chain(own).collect() })
    }

    /// The permissions that make nothing and cost nothing.
    pub(super) fn read_only(&self) -> Vec<String> {
        self.permissions.iter().filter(|(_, _, reads)| *reads).map(|(name, ..)| name.clone()).collect()
    }

    /// Whether there is such a model.
    pub(super) fn has_model(&self, id: &str) -> bool {
        self.models.iter().any(|model| model == id)
    }

    /// Whether there is such a permission.
    pub(super) fn has_permission(&self, name: &str) -> bool {
        self.permissions.iter().any(|(known, ..)| known == name)
    }

    /// What a group is called.
    pub(super) fn group_name(&self, id: &str) -> String {
        let found = self.groups.iter().find(|group| group.id.to_string() == id);
        found.map(|group| group.name.clone()).unwrap_or_default()
    }

    /// The choices of a form. What the key has already stays in sight, on offer or not.
    fn choices(&self, member: &Member, typed: &KeyTyped) -> KeyChoices {
        let plain =
            |value: &str| Choice { value: value.to_owned(), label: value.to_owned(), hint: String::new() };
        let gone = |value: &String| Choice { hint: "not on offer".to_owned(), ..plain(value) };
        let mut models: Vec<Choice> = self.models.iter().map(|model| plain(model)).collect();
        models.extend(typed.models.iter().filter(|model| !self.has_model(model)).map(gone));
        let offered =
            |(name, allows, _): &(String, String, bool)| Choice { hint: allows.clone(), ..plain(name) };
        let mut permissions: Vec<Choice> = self.permissions.iter().map(offered).collect();
        permissions.extend(typed.permissions.iter().filter(|name| !self.has_permission(name)).map(gone));
        let group =
            |group: &keys::GroupChoice| Choice { label: group.name.clone(), ..plain(&group.id.to_string()) };
        KeyChoices {
            groups: self.groups.iter().map(group).collect(),
            environments: self.environments.clone(),
            models,
            permissions,
            your_address: member.visit.address().to_canonical().to_string(),
            credits_per_dollar: text::count(member.visit.state.config.credits.of_dollar()),
        }
    }

    /// The form around what is in its fields.
    pub(super) fn form(&self, member: &Member, of: KeyFormOf, typed: KeyTyped) -> KeyFormView {
        KeyFormView {
            account: account_view(member),
            of,
            choices: self.choices(member, &typed),
            limits_text: limits_text(&typed, member.visit.state.config.credits),
            access_text: access_text(&typed),
            typed,
            errors: Vec::new(),
            conflict: Vec::new(),
        }
    }
}

/// `$100 monthly, 60 requests/min`, or `Unlimited`.
fn limits_text(typed: &KeyTyped, credits: CreditRate) -> String {
    let mut parts = Vec::new();
    if typed.cost_on && !typed.cost.is_empty() {
        parts.push(match typed.cost_unit.as_str() {
            "credits" => credits
                .parse(&typed.cost)
                .map_or_else(|_| format!("{} credits", typed.cost), |amount| amount.to_string()),
            _ => format!("${}", typed.cost.trim_start_matches('$')),
        });
    }
    if typed.tokens_on && !typed.tokens.is_empty() {
        parts.push(format!("{} tokens", typed.tokens));
    }
    if let Some(last) = parts.last_mut()
        && typed.period != "never"
    {
        *last = format!("{last} {}", typed.period);
    }
    if typed.rate_on && !typed.rate.is_empty() {
        parts.push(format!("{} requests/min", typed.rate));
    }
    if parts.is_empty() { "Unlimited".to_owned() } else { parts.join(", ") }
}

/// `3 models, 2 permissions, 1 address`, or that it is not restricted.
fn access_text(typed: &KeyTyped) -> String {
    let count =
        |number: usize, one: &str, more: &str| format!("{number} {}", if number == 1 { one } else { more });
    let mut parts = Vec::new();
    if !typed.models.is_empty() {
        parts.push(count(typed.models.len(), "model", "models"));
    }
    match typed.access.as_str() {
        "read" => parts.push("read only".to_owned()),
        "some" => parts.push(count(typed.permissions.len(), "permission", "permissions")),
        _ => {}
    }
    let addresses = typed.addresses.split_whitespace().count();
    if addresses > 0 {
        parts.push(count(addresses, "address or network", "addresses or networks"));
    }
    if parts.is_empty() { "All models, all permissions, any address".to_owned() } else { parts.join(", ") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_alone_is_a_key_that_may_do_everything() {
        let posted = [("name".to_owned(), " bot ".to_owned())];
        let typed = Posted(&posted).key();
        assert_eq!(
            (typed.name.trim(), typed.expires.as_str(), typed.access.as_str()),
            ("bot", "never", "all")
        );
        assert_eq!(limits_text(&typed, CreditRate::default()), "Unlimited");
        assert_eq!(access_text(&typed), "All models, all permissions, any address");
    }

    #[test]
    fn sections_say_what_they_hold() {
        let typed = KeyTyped {
            cost_on: true,
            cost: "50000000".to_owned(),
            cost_unit: "credits".to_owned(),
            rate_on: true,
            rate: "60".to_owned(),
            period: "monthly".to_owned(),
            models: vec!["gpt".to_owned()],
            access: "read".to_owned(),
            addresses: "10.0.0.1\n10.0.0.2".to_owned(),
            ..KeyTyped::default()
        };
        assert_eq!(limits_text(&typed, CreditRate::default()), "$100.00 monthly, 60 requests/min");
        assert_eq!(access_text(&typed), "1 model, read only, 2 addresses or networks");
    }
}
