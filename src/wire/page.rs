//! Lists: `{items, next}` with an opaque cursor.

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};

/// A page of a list. `next`, when present, is passed as `cursor` to get the page after it.
#[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
pub struct Page<T> {
    pub items: Vec<T>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

/// Most items a page can have; fewer when the caller asks for fewer.
pub const MAX_PAGE: u32 = 200;
/// Items on a page when the caller does not say.
pub const DEFAULT_PAGE: u32 = 50;

/// Makes a cursor of the last key on a page. Opaque to clients: its content may change with any release.
#[must_use]
pub fn cursor(last_key: &str) -> String {
    BASE64_URL_SAFE_NO_PAD.encode(last_key)
}

/// Reads a cursor back; `None` when it is not one of ours.
#[must_use]
pub fn last_key(cursor: &str) -> Option<String> {
    String::from_utf8(BASE64_URL_SAFE_NO_PAD.decode(cursor).ok()?).ok()
}
