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

/// Longest file read, in bytes.
const MAX_FILE: u64 = 1 << 20;
/// The instants of a schedule.
const INSTANTS: [&str; 4] = ["opens_at", "deadline_at", "reviews_due_at", "extendable_until"];

/// Reads a call's text from a file; `-` is standard input.
///
/// # Errors
/// When the file cannot be read, or is not a call's text.
pub(super) fn read(path: &Path) -> Result<CallText> {
    let content = read_input(path, MAX_FILE)?;
    parse(&content).map_err(|fault| {
        CliError::usage(format!("`{}`: {fault}", path.display())).help("`entente call new` writes one to fill in")
    })
}

pub(super) fn parse(content: &[u8]) -> Result<CallText, String> {
    let mut value = value_of(content)?;
    let blanks = blanks(&value);
    if !blanks.is_empty() {
        return Err(format!("fill in {}, where it is blank", listed(&blanks)));
    }
    if let Some(Value::String(code)) = value.get_mut("code") {
        *code = CallCode::typed(code).map_err(|error| format!("`code`: {error}"))?.to_string();
    }
    for name in INSTANTS {
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

/// What `entente call new` leaves to the officer, and the officer has not filled in yet.
fn blanks(value: &Value) -> Vec<&'static str> {
    let is_blank = |value: Option<&Value>| value.and_then(Value::as_str).is_some_and(|text| text.trim().is_empty());
    let schedule = value.get("schedule");
    let instants = INSTANTS.into_iter().filter(|name| is_blank(schedule.and_then(|schedule| schedule.get(name))));
    is_blank(value.get("code")).then_some("code").into_iter().chain(instants).collect()
}

fn listed(names: &[&str]) -> String {
    let quoted: Vec<String> = names.iter().map(|name| format!("`{name}`")).collect();
    match quoted.split_last() {
        Some((last, rest)) if !rest.is_empty() => format!("{} and {last}", rest.join(", ")),
        _ => quoted.concat(),
    }
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
    use super::{
        super::templates::{TEMPLATES, filled_in},
        *,
    };

    fn example() -> String {
        filled_in(TEMPLATES[0].1)
    }

    #[test]
    fn instants_and_sizes_are_read_as_people_write_them() {
        let text = parse(example().as_bytes()).unwrap();
        assert_eq!(text.schedule.deadline_at.0.to_string(), "2028-04-03T14:00:00Z");
        assert_eq!(text.slots[1].max_bytes, 25 << 20);
    }

    #[test]
    fn json_of_the_wire_is_read_as_it_is() {
        let text = parse(example().as_bytes()).unwrap();
        assert_eq!(parse(&serde_json::to_vec(&text).unwrap()).unwrap(), text);
    }

    #[test]
    fn code_is_typed_in_any_case() {
        assert_eq!(parse(example().replace("\"BIRD28\"", "\" bird28\"").as_bytes()).unwrap().code.as_str(), "BIRD28");
    }

    #[test]
    fn fault_names_its_place() {
        let fault = |from: &str, to: &str| parse(example().replacen(from, to, 1).as_bytes()).unwrap_err();
        assert!(fault("17:00 Asia/Jerusalem\"\ngrace", "17:00\"\ngrace").contains("`deadline_at`"));
        assert!(fault("25 MiB", "25 MB").contains("`25 MB` is not a size"));
        assert!(fault("step = 0.5", "stop = 0.5").contains("stop"));
        assert!(fault("title =", "title").contains("line"));
        assert!(fault("BIRD28\"", "BIRD-28\"").contains("`code`: `BIRD-28` is not a code such as `BIRD26`"));
        assert_eq!(fault("\"2028-06-01T00:00:00Z\"", "\" \""), "fill in `reviews_due_at`, where it is blank");
    }
}
