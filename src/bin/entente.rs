//! The command line of a member. Everything is in [`entente::cli`].

use std::process::ExitCode;

fn main() -> ExitCode {
    entente::cli::main()
}
