//! Small files that people write, read as JSON or TOML.

use serde_json::Value;

/// Reads any small file of people's as JSON or TOML, by its content.
///
/// # Errors
/// What is wrong with it.
pub(super) fn value_of(content: &[u8]) -> Result<Value, String> {
    let text = str::from_utf8(content).map_err(|_| "it is not text".to_owned())?;
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    if text.trim_start().starts_with('{') {
        return serde_json::from_str(text).map_err(|error| error.to_string());
    }
    let table: toml::Table = text.parse().map_err(|error: toml::de::Error| error.to_string().trim_end().to_owned())?;
    Ok(plain(toml::Value::Table(table)))
}

/// TOML as JSON: instants become text.
fn plain(value: toml::Value) -> Value {
    match value {
        toml::Value::String(text) => text.into(),
        toml::Value::Integer(number) => number.into(),
        toml::Value::Float(number) => number.into(),
        toml::Value::Boolean(truth) => truth.into(),
        toml::Value::Datetime(at) => at.to_string().into(),
        toml::Value::Array(items) => items.into_iter().map(plain).collect(),
        toml::Value::Table(table) => Value::Object(table.into_iter().map(|(name, item)| (name, plain(item))).collect()),
    }
}
