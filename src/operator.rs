//! The operator's pages: what is on offer, from whom, at which price, and how the gateways are. They belong to no
//! account; whoever is not named in `OPERATOR_EMAILS` finds nothing here.

mod api;
mod frame;
mod gateways_page;
mod model_form;
mod model_list_page;
mod overview_page;
mod permission_form;
mod permissions_page;
mod route_lines;
#[cfg(feature = "ssr")]
pub mod server;
mod upstream_form;
mod upstream_list_page;

pub use api::*;
pub use gateways_page::{OperatorGatewaysPage, ReleasePage};
pub use model_form::ModelRoute;
pub use model_list_page::ModelsRoute;
pub use overview_page::OperatorPage;
pub use permission_form::PermissionRoute;
pub use permissions_page::PermissionsRoute;
pub use upstream_form::UpstreamRoute;
pub use upstream_list_page::UpstreamsRoute;
