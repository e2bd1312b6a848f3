//! Small files that people write, read as JSON or TOML.

use crate::reading;
use serde::de::DeserializeOwned;
use serde_json::Value;

/// Reads any small file of people's as JSON or TOML, by its content.
///
/// # Errors
/// What is wrong with it.
pub(super) fn value_of(content: &[u8]) -> Result<Value, String> {
    let text = reading::text(content)?;
    if text.trim_start().starts_with('{') {
        return reading::value(text.as_bytes()).map_err(|fault| fault.to_string());
    }
    let table: toml::Table = text.parse().map_err(|error: toml::de::Error| error.to_string().trim_end().to_owned())?;
    Ok(plain(toml::Value::Table(table)))
}

/// Takes what is wanted from such a file.
///
/// # Errors
/// What is wrong with it, and where.
pub(super) fn read<T: DeserializeOwned>(content: &[u8]) -> Result<T, String> {
    reading::typed(value_of(content)?).map_err(|fault| fault.to_string())
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
