//! The operator's pages, on the server: who is let in, what they show, and the release of leases.

mod admit;
mod check;
mod check_permission;
mod events;
mod fleet;
mod rows;
mod save;
mod save_permission;

use domain::catalogue::CATALOGUE;
use store::operator::{models, permissions, upstreams};
use store::policy;

use super::{
    FormOutcome, GatewaysView, ModelFormView, ModelTyped, ModelsView, OverviewView, PermissionFormView,
    PermissionTyped, PermissionsView, ReleaseView, UpstreamFormView, UpstreamTyped, UpstreamsView,
};
use crate::auth::Done;
use crate::error::AppError;
use crate::server::respond;

pub use admit::{Operator, hide};
pub use save::{add_model, add_upstream, change_model, change_upstream};
pub use save_permission::{add_permission, change_permission};

/// How many changes the overview shows.
const NEWEST: i32 = 20;
/// The columns' own defaults, for new forms.
const OUTPUT_CAP: &str = "16384";
const ANSWER_SECONDS: &str = "300";

pub(super) async fn load_overview() -> Result<OverviewView, AppError> {
    respond("load_operator", async move |visit| {
        let operator = Operator::admit(visit).await?;
        let mut tx = operator.begin().await?;
        let events = store::operator::events::list_newest(&mut tx, NEWEST).await?;
        tx.commit().await?;
        let pool = &operator.visit.state.pool;
        let models = models::list(pool).await?;
        let upstreams = upstreams::list(pool).await?;
        let own = permissions::list(pool).await?;
        let served = own.iter().filter(|permission| permission.setup.enabled).count();
        let gateways = store::operator::fleet::list(pool).await?;
        let now = policy::pulse(pool).await?.now;
        let enabled = models.iter().filter(|model| model.setup.enabled).count();
        let used = upstreams.iter().filter(|upstream| upstream.setup.enabled).count();
        Ok(OverviewView {
            account: operator.account().await?,
            models: rows::count_two(enabled, "offered", models.len() - enabled, "disabled"),
            upstreams: rows::count_two(used, "in use", upstreams.len() - used, "disabled"),
            permissions: rows::count_permissions(served, own.len() - served),
            gateways: fleet::count(&gateways),
            events: events.into_iter().map(|event| events::row(event, now, &upstreams)).collect(),
        })
    })
    .await
}

pub(super) async fn load_models() -> Result<ModelsView, AppError> {
    respond("load_operator_models", async move |visit| {
        let operator = Operator::admit(visit).await?;
        let pool = &operator.visit.state.pool;
        let models = models::list(pool).await?;
        let upstreams = upstreams::list(pool).await?;
        Ok(ModelsView {
            account: operator.account().await?,
            rows: models.iter().map(|model| rows::model(model, &upstreams)).collect(),
            flash: operator.visit.take_flash(),
        })
    })
    .await
}

pub(super) async fn load_model(id: String) -> Result<ModelFormView, AppError> {
    respond("load_operator_model", async move |visit| {
        let operator = Operator::admit(visit).await?;
        let pool = &operator.visit.state.pool;
        let upstreams = upstreams::list(pool).await?;
        let found = if id.is_empty() {
            None
        } else {
            Some(models::find(pool, &id).await?.ok_or(AppError::NotFound)?)
        };
        let new = ModelTyped { max_output: OUTPUT_CAP.to_owned(), enabled: true, ..ModelTyped::default() };
        Ok(ModelFormView {
            account: operator.account().await?,
            is_new: found.is_none(),
            typed: found.as_ref().map_or(new, rows::model_typed),
            ways: rows::way_fields(found.as_ref(), &upstreams),
            row_version: found.map_or(0, |model| model.row_version),
            errors: Vec::new(),
            conflict: Vec::new(),
        })
    })
    .await
}

pub(super) async fn load_upstreams() -> Result<UpstreamsView, AppError> {
    respond("load_operator_upstreams", async move |visit| {
        let operator = Operator::admit(visit).await?;
        let pool = &operator.visit.state.pool;
        let upstreams = upstreams::list(pool).await?;
        let gateways = store::operator::fleet::list(pool).await?;
        Ok(UpstreamsView {
            account: operator.account().await?,
            rows: upstreams.iter().map(|upstream| rows::upstream(upstream, &gateways)).collect(),
            flash: operator.visit.take_flash(),
        })
    })
    .await
}

pub(super) async fn load_upstream(id: String) -> Result<UpstreamFormView, AppError> {
    respond("load_operator_upstream", async move |visit| {
        let operator = Operator::admit(visit).await?;
        let found = if id.is_empty() {
            None
        } else {
            let id = id.parse().map_err(|_| AppError::NotFound)?;
            Some(upstreams::find(&operator.visit.state.pool, id).await?.ok_or(AppError::NotFound)?)
        };
        let new = UpstreamTyped {
            answer_seconds: ANSWER_SECONDS.to_owned(),
            enabled: true,
            ..UpstreamTyped::default()
        };
        Ok(UpstreamFormView {
            account: operator.account().await?,
            is_new: found.is_none(),
            id: found.as_ref().map_or_else(store::new_id, |upstream| upstream.id).to_string(),
            typed: found.as_ref().map_or(new, |upstream| rows::upstream_typed(&upstream.setup)),
            row_version: found.as_ref().map_or(0, |upstream| upstream.row_version),
            used_by: found.as_ref().map(rows::used_by).unwrap_or_default(),
            errors: Vec::new(),
            conflict: Vec::new(),
        })
    })
    .await
}

pub(super) async fn load_permissions() -> Result<PermissionsView, AppError> {
    respond("load_operator_permissions", async move |visit| {
        let operator = Operator::admit(visit).await?;
        let pool = &operator.visit.state.pool;
        let own = permissions::list(pool).await?;
        let upstreams = upstreams::list(pool).await?;
        Ok(PermissionsView {
            account: operator.account().await?,
            own: own.iter().map(|permission| rows::own_permission(permission, &upstreams)).collect(),
            built_in: CATALOGUE.iter().map(rows::built_in_permission).collect(),
            flash: operator.visit.take_flash(),
        })
    })
    .await
}

pub(super) async fn load_permission(name: String) -> Result<PermissionFormView, AppError> {
    respond("load_operator_permission", async move |visit| {
        let operator = Operator::admit(visit).await?;
        let pool = &operator.visit.state.pool;
        let upstreams = rows::upstream_choices(&upstreams::list(pool).await?);
        let found = if name.is_empty() {
            None
        } else {
            Some(permissions::find(pool, &name).await?.ok_or(AppError::NotFound)?)
        };
        let new = PermissionTyped { enabled: true, ..PermissionTyped::default() };
        let mut routes = found.as_ref().map(rows::route_fields).unwrap_or_default();
        rows::spare_route(&mut routes, &upstreams);
        Ok(PermissionFormView {
            account: operator.account().await?,
            is_new: found.is_none(),
            typed: found.as_ref().map_or(new, rows::permission_typed),
            routes,
            upstreams,
            row_version: found.map_or(0, |permission| permission.row_version),
            errors: Vec::new(),
            conflict: Vec::new(),
        })
    })
    .await
}

pub(super) async fn load_gateways() -> Result<GatewaysView, AppError> {
    respond("load_operator_gateways", async move |visit| {
        let operator = Operator::admit(visit).await?;
        let (rows, version) = fleet::rows(&operator).await?;
        Ok(GatewaysView {
            account: operator.account().await?,
            rows,
            policy_version: crate::server::text::count(version),
            flash: operator.visit.take_flash(),
        })
    })
    .await
}

pub(super) async fn load_release(gateway: String) -> Result<ReleaseView, AppError> {
    respond("load_operator_release", async move |visit| {
        let operator = Operator::admit(visit).await?;
        let (rows, _) = fleet::rows(&operator).await?;
        let gateway = rows.into_iter().find(|row| row.id == gateway).ok_or(AppError::NotFound)?;
        let flash = operator.visit.take_flash();
        Ok(ReleaseView { account: operator.account().await?, gateway, flash })
    })
    .await
}

pub(super) async fn release(gateway: String) -> Result<Done, AppError> {
    respond("release_gateway", async move |visit| {
        let operator = Operator::admit(visit).await?;
        let gateway = gateway.parse().map_err(|_| AppError::NotFound)?;
        let notice = fleet::release(&operator, gateway).await?;
        Ok(Done { notice, next: "/operator/gateways".to_owned() })
    })
    .await
}
