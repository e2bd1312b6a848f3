//! Writes what packages add to the two programs: man pages and completions, from the very command lines that they parse.
//!
//!     cargo run --example manual -- FOLDER
//!
//! makes `FOLDER/entente` and `FOLDER/entente-server`, each with what belongs into `/usr/share`.

use clap::{Command, CommandFactory};
use clap_complete::{Shell, generate_to};
use clap_mangen::Man;
use entente::{cli::Cli, http::arguments::Arguments};
use std::{env, error::Error, fs, io, path::Path};

fn main() -> Result<(), Box<dyn Error>> {
    let folder = env::args_os().nth(1).ok_or("name the folder to write into")?;
    for command in [Cli::command(), Arguments::command()] {
        write(&command, &Path::new(&folder).join(command.get_name()))?;
    }
    Ok(())
}

fn write(command: &Command, share: &Path) -> Result<(), Box<dyn Error>> {
    let man = share.join("man/man1");
    fs::create_dir_all(&man)?;
    let mut described = command.clone().disable_help_subcommand(true);
    described.build();
    write_pages(&described, described.render_version().trim(), &man)?;
    let name = command.get_name();
    for (shell, place) in [
        (Shell::Bash, format!("bash-completion/completions/{name}")),
        (Shell::Zsh, format!("zsh/vendor-completions/_{name}")),
        (Shell::Fish, format!("fish/vendor_completions.d/{name}.fish")),
    ] {
        let place = share.join(place);
        let folder = place.parent().expect("a file is in a folder");
        fs::create_dir_all(folder)?;
        let written = generate_to(shell, &mut command.clone(), name, folder)?;
        fs::rename(written, &place)?;
    }
    Ok(())
}

/// A page for the command and for each one below it, with the version of the whole program.
fn write_pages(command: &Command, version: &str, folder: &Path) -> io::Result<()> {
    for below in command.get_subcommands().filter(|below| !below.is_hide_set()) {
        write_pages(below, version, folder)?;
    }
    Man::new(command.clone()).source(version).generate_to(folder)?;
    Ok(())
}
