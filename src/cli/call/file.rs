//! The file a call is written in: TOML for people or JSON for programs, with instants in any zone and sizes in units.
//!
//! Turns it into the text that is signed; whether that text holds together is the domain's question, asked before
//! anything is sent.

use crate::{
    cli::{
        error::{CliError, Result, read_input},
        input::value_of,
        time::instant,
    },
    domain::reference::CallCode,
    reading,
    wire::call::CallText,
};
use serde_json::Value;
use std::path::Path;

/// A commented call to fill in.
pub(super) const EXAMPLE: &str = include_str!("example.toml");

/// Longest file read, in bytes.
const MAX_FILE: u64 = 1 << 20;

/// Reads a call's text from a file; `-` is standard input.
///
/// # Errors
/// When the file cannot be read, or is not a call's text.
pub(super) fn read(path: &Path) -> Result<CallText> {
    let content = read_input(path, MAX_FILE)?;
    parse(&content)
        .map_err(|fault| CliError::usage(format!("`{}`: {fault}", path.display())).help("see `entente call example`"))
}

fn parse(content: &[u8]) -> Result<CallText, String> {
    let mut value = value_of(content)?;
    if let Some(Value::String(code)) = value.get_mut("code") {
        *code = CallCode::typed(code).map_err(|error| format!("`code`: {error}"))?.to_string();
    }
    for name in ["opens_at", "deadline_at", "reviews_due_at", "extendable_until"] {
        if let Some(Value::String(text)) = value.pointer_mut(&format!("/schedule/{name}")) {
            let at = instant(text).map_err(|error| format!("`{name}`: {error}"))?;
            *text = at.to_string();
        }
    }
    for slot in value.get_mut("slots").and_then(Value::as_array_mut).into_iter().flatten() {
        if let Some(size) = slot.get_mut("max_bytes")
            && let Some(text) = size.as_str()
        {
            let bytes = bytes(text).ok_or_else(|| format!("`{text}` is not a size such as `25 MiB`"))?;
            *size = bytes.into();
        }
    }
    serde_path(value)
}

fn serde_path(value: Value) -> Result<CallText, String> {
    let text: CallText = reading::typed(value).map_err(|fault| fault.to_string())?;
    text.to_domain().map_err(|refusal| refusal.to_string())?;
    Ok(text)
}

/// A size such as `25 MiB`, in bytes.
fn bytes(text: &str) -> Option<u64> {
    let (number, unit) = text.trim().split_once(' ')?;
    let factor = match unit.trim() {
        "B" => 1,
        "KiB" => 1 << 10,
        "MiB" => 1 << 20,
        "GiB" => 1 << 30,
        _ => return None,
    };
    number.parse::<u64>().ok()?.checked_mul(factor)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn example_is_a_call_that_holds_together() {
        let text = parse(EXAMPLE.as_bytes()).unwrap();
        let partners = text.eligible.clone();
        text.to_domain().unwrap().validate(&partners).unwrap();
        assert_eq!(text.schedule.deadline_at.0.to_string(), "2027-04-01T14:00:00Z");
        assert_eq!(text.slots[0].max_bytes, 25 << 20);
    }

    #[test]
    fn json_of_the_wire_is_read_as_it_is() {
        let text = parse(EXAMPLE.as_bytes()).unwrap();
        assert_eq!(parse(&serde_json::to_vec(&text).unwrap()).unwrap(), text);
    }

    #[test]
    fn code_is_typed_in_any_case() {
        assert_eq!(parse(EXAMPLE.replace("\"AGRI27\"", "\" agri27\"").as_bytes()).unwrap().code.as_str(), "AGRI27");
    }

    #[test]
    fn fault_names_its_place() {
        let fault = |from: &str, to: &str| parse(EXAMPLE.replacen(from, to, 1).as_bytes()).unwrap_err();
        assert!(fault("17:00 Asia/Jerusalem", "17:00").contains("`deadline_at`"));
        assert!(fault("25 MiB", "25 MB").contains("`25 MB` is not a size"));
        assert!(fault("step = 0.5", "stop = 0.5").contains("stop"));
        assert!(fault("title =", "title").contains("line"));
        assert!(fault("AGRI27\"", "AGRI-27\"").contains("`code`: `AGRI-27` is not a code such as `BIRD26`"));
    }
}
