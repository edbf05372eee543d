//! Components that know no feature, and the frame that all signed-in pages stand in. They render
//! what they are given; data, routes and rights are the features' business.

mod banner;
pub(crate) mod browser;
mod button;
mod choice;
mod copy_button;
mod data_table;
mod dialog;
mod entry;
mod error_page;
mod field;
mod frame;
mod head;
mod icon;
mod local_times;
mod mark;
mod not_saved;
mod snippets;
mod submit_guard;
mod time_ago;
mod toaster;

pub use banner::{Banner, Note, Tone};
pub use button::{ButtonLook, LinkButton, SubmitButton};
pub use choice::{CheckBox, RadioGroup, SelectField, TextArea};
pub use copy_button::CopyButton;
pub use data_table::{Column, DataTable};
pub use dialog::Dialog;
pub use entry::Entry;
pub use error_page::ErrorPage;
pub use field::{FieldError, TextField};
pub use frame::{Frame, PageHead, Section};
pub use head::DocumentHead;
pub use icon::{Icon, IconName};
pub use local_times::LocalTimes;
pub use mark::Mark;
pub use not_saved::{Change, NotSaved, error_of, or_nothing};
pub use snippets::{Snippet, Snippets};
pub use submit_guard::SubmitGuard;
pub use time_ago::TimeAgo;
pub use toaster::Toaster;
