//! The few things islands ask of the browser. `live` does them; `inert` stands in for it in the
//! server build, where event handlers and effects are compiled but never run.

#[cfg(not(feature = "hydrate"))]
mod inert;
#[cfg(feature = "hydrate")]
mod live;

#[cfg(not(feature = "hydrate"))]
pub use inert::*;
#[cfg(feature = "hydrate")]
pub use live::*;

/// The event that carries a line to the toaster.
pub const TOAST_EVENT: &str = "latchkey:toast";
/// The id of the element whose changes a screen reader hears.
pub const ANNOUNCER: &str = "announcer";
