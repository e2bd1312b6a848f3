//! Opening an address in the browser of who sits at this machine.

use std::{
    env, io,
    process::{Command, Stdio},
};

/// Asks the system to open an address. Whether a window comes up is not known here.
pub(crate) fn open_in_browser(address: &str) -> io::Result<()> {
    let (program, arguments): (&str, &[&str]) = if cfg!(windows) {
        // Not `cmd /c start`: it takes an `&` of the address for the end of a command.
        ("rundll32", &["url.dll,FileProtocolHandler"])
    } else if cfg!(target_os = "macos") {
        ("open", &[])
    } else {
        ("xdg-open", &[])
    };
    let mut opener = Command::new(program);
    opener.args(arguments).arg(address).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let mut started = opener.spawn()?;
    // It ends once it has handed the address over; nobody waits for that.
    std::thread::spawn(move || started.wait());
    Ok(())
}

/// Whether there is a screen to show a window on, as far as the environment says.
pub(crate) fn has_screen() -> bool {
    let is_set = |name: &str| env::var_os(name).is_some_and(|value| !value.is_empty());
    cfg!(windows) || cfg!(target_os = "macos") || is_set("DISPLAY") || is_set("WAYLAND_DISPLAY")
}
