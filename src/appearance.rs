//! Light or dark: the reader's choice, kept in a cookie and put on the document by the server, so
//! that no page flashes in the wrong colours and no script is needed.

mod api;
#[cfg(feature = "ssr")]
mod server;
mod theme_choice;

pub use api::*;
#[cfg(feature = "ssr")]
pub use server::theme_of_request;
pub use theme_choice::ThemeChoice;
