//! API keys, on the server.

use super::{KeyChange, KeyFilter, KeysView, NewKeyView, RevokeView};
use crate::error::AppError;

pub(super) async fn load_keys(_s: String, _f: KeyFilter, _a: String) -> Result<KeysView, AppError> {
    Err(AppError::Unavailable)
}
pub(super) async fn load_new_key(_s: String) -> Result<NewKeyView, AppError> {
    Err(AppError::Unavailable)
}
pub(super) async fn load_revoke(_s: String, _k: String) -> Result<RevokeView, AppError> {
    Err(AppError::Unavailable)
}
pub(super) async fn set_key_enabled(_: String, _: String, _: bool, _: i64) -> Result<KeyChange, AppError> {
    Err(AppError::Unavailable)
}
pub(super) async fn revoke_key(_: String, _: String, _: i64) -> Result<KeyChange, AppError> {
    Err(AppError::Unavailable)
}
