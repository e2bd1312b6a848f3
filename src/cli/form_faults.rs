//! How the faults of a form are shown: each with its line as an editor shows it, all before the error that ends the command.

use super::{
    context::Context,
    error::{CliError, Result},
    output::Style,
};
use crate::{client::form_lines::FormFault, domain::text::counted};
use serde_json::json;
use std::path::Path;

/// What a form says, or the error after all of its faults were shown. `nothing` names the act that was not done, as `saved`.
///
/// # Errors
/// When there is a fault.
pub(super) fn without<T>(
    filled: Result<T, Vec<FormFault>>,
    context: &Context,
    path: &Path,
    nothing: &str,
) -> Result<T> {
    let faults = match filled {
        Ok(filled) => return Ok(filled),
        Err(faults) => faults,
    };
    if context.out.is_json() {
        context.out.stderr_json(&json!({ "faults": faults }));
    } else {
        for FormFault { line, detail } in &faults {
            context.out.stderr_line(&[(Style::Plain, &format!("line {line}: {detail}"))]);
        }
    }
    let count = counted(faults.len(), "fault", "faults");
    Err(CliError::usage(format!("`{}` has {count}, so nothing was {nothing}", path.display()))
        .help("fix these lines and read the file again"))
}
