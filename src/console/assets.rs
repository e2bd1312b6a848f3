//! The console's own style, script and picture: in the program, under names that change with their content.

use super::answer::not_found;
use crate::domain::id::Sha256;
use axum::{
    http::{HeaderValue, header},
    response::{IntoResponse, Response},
};

const STYLE: &str = include_str!("assets/console.css");
const SCRIPT: &str = include_str!("assets/console.js");
const ICON: &str = include_str!("assets/icon.svg");

/// So long a browser may keep what never changes under its name. It is the same for everybody and says nothing of anybody.
const KEEP: HeaderValue = HeaderValue::from_static("private, max-age=86400, immutable");

/// The addresses of the files, for pages.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Assets {
    pub(super) style: String,
    pub(super) script: String,
    pub(super) icon: String,
}

impl Assets {
    pub(super) fn new() -> Self {
        Self { style: named("css", STYLE), script: named("js", SCRIPT), icon: named("svg", ICON) }
    }

    /// The file at an address.
    pub(super) fn file(&self, path: &str) -> Response {
        let (content, kind) = match path {
            path if path == self.style => (STYLE, "text/css; charset=utf-8"),
            path if path == self.script => (SCRIPT, "text/javascript; charset=utf-8"),
            path if path == self.icon => (ICON, "image/svg+xml"),
            _ => return not_found(),
        };
        ([(header::CONTENT_TYPE, HeaderValue::from_static(kind)), (header::CACHE_CONTROL, KEEP)], content)
            .into_response()
    }
}

fn named(kind: &str, content: &str) -> String {
    let digest = Sha256::of(content.as_bytes()).to_string();
    format!("/assets/console-{}.{kind}", &digest[..16])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn style_and_script_are_small() {
        assert!(STYLE.len() + SCRIPT.len() <= 60_000, "{} and {}", STYLE.len(), SCRIPT.len());
    }

    #[test]
    fn nothing_is_asked_of_another_place() {
        for content in [STYLE, SCRIPT] {
            for sign in ["http:", "https:", "//cdn", "@import", "eval(", "innerHTML", "document.write"] {
                assert!(!content.contains(sign), "{sign}");
            }
        }
    }
}
