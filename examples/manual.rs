//! Writes what packages add to the two programs: man pages and completions, from the very command lines that they parse.
//!
//!     cargo run --example manual -- FOLDER
//!
//! makes `FOLDER/man/*.1` and `FOLDER/completions/{bash,zsh,fish}/…`, with the names under which each is looked up.

use clap::{Command, CommandFactory};
use clap_complete::{Shell, generate_to};
use entente::{cli::Cli, http::arguments::Arguments};
use std::{env, error::Error, fs, path::Path};

fn main() -> Result<(), Box<dyn Error>> {
    let folder = env::args_os().nth(1).ok_or("name the folder to write into")?;
    for command in [Cli::command(), Arguments::command()] {
        write(&command, Path::new(&folder))?;
    }
    Ok(())
}

fn write(command: &Command, folder: &Path) -> Result<(), Box<dyn Error>> {
    let name = command.get_name().to_owned();
    let man = folder.join("man");
    fs::create_dir_all(&man)?;
    clap_mangen::generate_to(command.clone(), &man)?;
    for (shell, file) in
        [(Shell::Bash, name.clone()), (Shell::Zsh, format!("_{name}")), (Shell::Fish, format!("{name}.fish"))]
    {
        let place = folder.join("completions").join(shell.to_string());
        fs::create_dir_all(&place)?;
        let written = generate_to(shell, &mut command.clone(), &name, &place)?;
        fs::rename(written, place.join(file))?;
    }
    Ok(())
}
