//! Which programs of others are on this machine.

use super::loud::loud;
use std::{env, path::Path};

/// Whether all of these are there. If not, it says loudly which are missing, and what is not tried without them.
pub(crate) fn has_all(programs: &[&str], untried: &str) -> bool {
    let missing: Vec<&str> = programs.iter().copied().filter(|program| !has(program)).collect();
    if !missing.is_empty() {
        loud(&format!("WITHOUT `{}` ON THIS MACHINE {untried}", missing.join("`, `")));
    }
    missing.is_empty()
}

fn has(program: &str) -> bool {
    let folders = env::var_os("PATH").unwrap_or_default();
    let is_on_the_path = env::split_paths(&folders).any(|folder| folder.join(program).is_file());
    // Debian keeps PostgreSQL's programs off the path.
    is_on_the_path || program == "initdb" && Path::new("/usr/lib/postgresql").exists()
}
