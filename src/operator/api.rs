//! The operator's pages: server functions and what they carry. No logic. Texts are ready to show.

use leptos::prelude::*;
use serde::{Deserialize, Serialize};

use crate::auth::{Done, Flash};
use crate::error::AppError;
use crate::keys::AccountView;
use crate::ui::Change;

/// What `/operator` shows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OverviewView {
    /// The frame.
    pub account: AccountView,
    /// `4 offered, 1 disabled`.
    pub models: String,
    /// `2 in use, 1 disabled`.
    pub upstreams: String,
    /// `10 built in, 2 of your own`.
    pub permissions: String,
    /// `2 running, 1 silent`.
    pub gateways: String,
    /// The newest changes, newest first.
    pub events: Vec<EventRow>,
}

/// One change.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EventRow {
    /// When, RFC 3339 in UTC.
    pub at_iso: String,
    /// When, to show.
    pub at_text: String,
    /// The exact time in words.
    pub at_exact: String,
    /// Who.
    pub actor: String,
    /// `Changed model`.
    pub act: String,
    /// What it is called.
    pub target: String,
    /// What was changed: the field, before, after.
    pub changes: Vec<Change>,
}

/// What `/operator/models` shows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ModelsView {
    /// The frame.
    pub account: AccountView,
    /// The models, by name.
    pub rows: Vec<ModelRow>,
    /// What the last post led to.
    pub flash: Flash,
}

/// One model.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ModelRow {
    /// The name clients use.
    pub id: String,
    /// Where it is edited.
    pub href: String,
    /// Its other names: `mini, small`.
    pub aliases: String,
    /// Where its requests go, in order.
    pub upstreams: Vec<String>,
    /// Whether its requests have somewhere to go.
    pub reachable: bool,
    /// `128 000`, or `Unknown`.
    pub context: String,
    /// `16 384`.
    pub output_cap: String,
    /// Input, cached input, output in dollars per million tokens; none where they are unknown.
    pub prices: Option<[String; 3]>,
    /// `$0.04 per image`, `$0.0001 per second`; those that are known.
    pub unit_prices: Vec<String>,
    /// Whether keys may use it.
    pub enabled: bool,
}

/// What the form of a model shows: a new one's, or an existing one's.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ModelFormView {
    /// The frame.
    pub account: AccountView,
    /// Whether there is no such model yet.
    pub is_new: bool,
    /// What is in the fields.
    pub typed: ModelTyped,
    /// One line for each upstream.
    pub ways: Vec<WayField>,
    /// The version of the row that was read; 0 for a new one.
    pub row_version: i64,
    /// What is wrong: field and message.
    pub errors: Vec<(String, String)>,
    /// What somebody else changed meanwhile: the field, what it is now, what was typed.
    pub conflict: Vec<Change>,
}

/// A model's fields as texts.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ModelTyped {
    /// The name clients use.
    pub id: String,
    /// Other names, one a line.
    pub aliases: String,
    /// Its name at the upstream of the gateways' settings.
    pub upstream_model: String,
    /// Dollars per million input tokens.
    pub input_price: String,
    /// Dollars per million cached input tokens.
    pub cached_input_price: String,
    /// Dollars per million output tokens.
    pub output_price: String,
    /// Dollars per generated image.
    pub price_per_image: String,
    /// Dollars per second of sound.
    pub price_per_second: String,
    /// Tokens it reads and writes.
    pub context_window: String,
    /// Tokens it writes.
    pub max_output: String,
    /// Whether keys may use it.
    pub enabled: bool,
}

/// An upstream in the form of a model.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct WayField {
    /// Its id.
    pub upstream: String,
    /// What it is called, with a remark where it is disabled.
    pub label: String,
    /// Its place in the order: `1`, or empty where it is not used.
    pub rank: String,
    /// What it calls the model; empty is the same name.
    pub upstream_model: String,
}

/// What `/operator/upstreams` shows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UpstreamsView {
    /// The frame.
    pub account: AccountView,
    /// The upstreams, by name.
    pub rows: Vec<UpstreamRow>,
    /// What the last post led to.
    pub flash: Flash,
}

/// One upstream.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UpstreamRow {
    /// What it is called.
    pub name: String,
    /// Where it is edited.
    pub href: String,
    /// Its base URL.
    pub base_url: String,
    /// The variable with its key.
    pub secret_name: String,
    /// `300 s`.
    pub timeout: String,
    /// The models and own routes that go there.
    pub used_by: Vec<String>,
    /// Whether gateways use it.
    pub enabled: bool,
    /// What the running gateways say of it.
    pub health: Health,
}

/// How something is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Health {
    /// How much it asks for attention.
    pub level: Level,
    /// In words.
    pub text: String,
    /// More words, or none.
    pub detail: String,
}

/// How much something asks for attention.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Level {
    /// It works.
    Good,
    /// It is switched off, or nothing is known.
    Off,
    /// It works less than it should.
    Warn,
    /// It does not work.
    Bad,
}

/// What the form of an upstream shows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UpstreamFormView {
    /// The frame.
    pub account: AccountView,
    /// Whether there is no such upstream yet.
    pub is_new: bool,
    /// Its id; a new one's is made with the form, so that sending it twice makes one upstream.
    pub id: String,
    /// What is in the fields.
    pub typed: UpstreamTyped,
    /// The models and own routes that go there.
    pub used_by: Vec<String>,
    /// The version of the row that was read; 0 for a new one.
    pub row_version: i64,
    /// What is wrong: field and message.
    pub errors: Vec<(String, String)>,
    /// What somebody else changed meanwhile: the field, what it is now, what was typed.
    pub conflict: Vec<Change>,
}

/// An upstream's fields as texts.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct UpstreamTyped {
    /// What the operator calls it.
    pub name: String,
    /// Its base URL.
    pub base_url: String,
    /// The variable with its key.
    pub secret_name: String,
    /// Seconds until an answer has begun.
    pub answer_seconds: String,
    /// Whether gateways use it.
    pub enabled: bool,
}

/// What became of a posted form; given to its page by context.
#[derive(Clone)]
pub enum FormOutcome {
    /// The form of a model is shown again.
    Model(Box<ModelFormView>),
    /// The form of an upstream is shown again.
    Upstream(Box<UpstreamFormView>),
    /// The form of a permission is shown again.
    Permission(Box<PermissionFormView>),
    /// There is nothing to show but the error.
    Failed(AppError),
}

/// What `/operator/permissions` shows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PermissionsView {
    /// The frame.
    pub account: AccountView,
    /// The operator's own, by name.
    pub own: Vec<PermissionRow>,
    /// The built-in catalogue.
    pub built_in: Vec<PermissionRow>,
    /// What the last post led to.
    pub flash: Flash,
}

/// One permission.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PermissionRow {
    /// Its name.
    pub name: String,
    /// What it lets a key do.
    pub allows: String,
    /// The routes it guards.
    pub routes: Vec<RouteRow>,
    /// What only one of the operator's own has.
    pub own: Option<OwnPermission>,
}

/// What only a permission of the operator's own has.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OwnPermission {
    /// Where it is edited.
    pub href: String,
    /// Whether its routes are served.
    pub enabled: bool,
}

/// One route.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RouteRow {
    /// `POST /v1/chat/completions`.
    pub route: String,
    /// `$0.002 per call, europe /people/{id}`; empty for a built-in one.
    pub detail: String,
}

/// What the form of an own permission shows: a new one's, or an existing one's.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PermissionFormView {
    /// The frame.
    pub account: AccountView,
    /// Whether there is no such permission yet.
    pub is_new: bool,
    /// What is in its own fields.
    pub typed: PermissionTyped,
    /// What is in the fields of its routes.
    pub routes: Vec<RouteField>,
    /// The upstreams to choose from.
    pub upstreams: Vec<UpstreamChoice>,
    /// The version of the row that was read; 0 for a new one.
    pub row_version: i64,
    /// What is wrong: field and message.
    pub errors: Vec<(String, String)>,
    /// What somebody else changed meanwhile: the field, what it is now, what was typed.
    pub conflict: Vec<Change>,
}

/// A permission's fields as texts.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PermissionTyped {
    /// What rules call it.
    pub name: String,
    /// What it lets a key do.
    pub allows: String,
    /// Whether its routes are served.
    pub enabled: bool,
}

/// A route in the form of its permission, as texts.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RouteField {
    /// `GET`
    pub method: String,
    /// `/v1/characters/{id}`; empty is no route.
    pub path: String,
    /// The upstream's id.
    pub upstream: String,
    /// The path there; empty is the same.
    pub there: String,
    /// Dollars per call.
    pub price: String,
}

/// An upstream to choose.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UpstreamChoice {
    /// Its id.
    pub id: String,
    /// What it is called, with a remark where it is disabled.
    pub label: String,
}

/// What `/operator/gateways` shows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GatewaysView {
    /// The frame.
    pub account: AccountView,
    /// The gateways, by name.
    pub rows: Vec<GatewayRow>,
    /// The policy version there is.
    pub policy_version: String,
    /// What the last post led to.
    pub flash: Flash,
}

/// One gateway.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GatewayRow {
    /// Its id.
    pub id: String,
    /// What it is called.
    pub name: String,
    /// Where it listens; empty is unknown.
    pub address: String,
    /// Whether it runs.
    pub state: Health,
    /// When it was heard, RFC 3339 in UTC.
    pub heard_iso: String,
    /// When it was heard, to show.
    pub heard_text: String,
    /// When it was started, RFC 3339 in UTC.
    pub started_iso: String,
    /// When it was started, to show.
    pub started_text: String,
    /// `12 (current)`, or `10, 2 behind`.
    pub policy: Health,
    /// `3 requests, 1.2 MB`, or `Unknown`.
    pub spool: String,
    /// `oldest 4 s`, or empty.
    pub spool_oldest: String,
    /// What it holds of limits: `$0.10 in 2 leases`; empty is nothing.
    pub held: Vec<String>,
    /// Whether what it holds is used by nobody, so that it may be released.
    pub may_release: bool,
}

/// What the question before a release shows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReleaseView {
    /// The frame.
    pub account: AccountView,
    /// The gateway in question.
    pub gateway: GatewayRow,
    /// What the last post led to.
    pub flash: Flash,
}

/// The overview.
#[server]
pub async fn load_operator() -> Result<OverviewView, AppError> {
    super::server::load_overview().await
}

/// The models.
#[server]
pub async fn load_operator_models() -> Result<ModelsView, AppError> {
    super::server::load_models().await
}

/// The form of the model `model`; an empty one where that is empty.
#[server]
pub async fn load_operator_model(model: String) -> Result<ModelFormView, AppError> {
    super::server::load_model(model).await
}

/// The upstreams.
#[server]
pub async fn load_operator_upstreams() -> Result<UpstreamsView, AppError> {
    super::server::load_upstreams().await
}

/// The form of the upstream `upstream`; an empty one where that is empty.
#[server]
pub async fn load_operator_upstream(upstream: String) -> Result<UpstreamFormView, AppError> {
    super::server::load_upstream(upstream).await
}

/// The permission catalogue.
#[server]
pub async fn load_operator_permissions() -> Result<PermissionsView, AppError> {
    super::server::load_permissions().await
}

/// The form of the own permission `permission`; an empty one where that is empty.
#[server]
pub async fn load_operator_permission(permission: String) -> Result<PermissionFormView, AppError> {
    super::server::load_permission(permission).await
}

/// The gateways.
#[server]
pub async fn load_operator_gateways() -> Result<GatewaysView, AppError> {
    super::server::load_gateways().await
}

/// The question before releasing what a gateway holds.
#[server]
pub async fn load_operator_release(gateway: String) -> Result<ReleaseView, AppError> {
    super::server::load_release(gateway).await
}

/// Releases all that a silent gateway holds. Form field: `gateway`. Then the gateways.
#[server]
pub async fn release_gateway(gateway: String) -> Result<Done, AppError> {
    super::server::release(gateway).await
}
