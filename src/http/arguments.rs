//! The words of `entente-server`'s command line. The binary reads them; man page and completions are made from them.

use super::{
    backup::{BackUp, Restore, Verify},
    blobs_command::BlobsCommand,
    clock::ClockCommand,
    operator::OperatorCommand,
};
use crate::process;
use clap::{Parser, Subcommand};
use std::path::PathBuf;

/// Mutual-TLS exchange of end-to-end encrypted research proposals between nations
#[derive(Debug, Parser)]
#[command(
    name = "entente-server",
    version = process::version(),
    after_help = "Without a command it serves until SIGTERM or SIGINT. SIGHUP makes it read certificate, \
    revocation lists, partners and policies again.\n\nExamples:\n  entente-server --config /etc/entente/server.toml --check\n  \
    entente-server --config /etc/entente/server.toml\n  entente-server --config server.toml --set api.listen=0.0.0.0:4433\n  \
    entente-server --config server.toml partner show ISR"
)]
pub struct Arguments {
    /// Configuration file, TOML
    #[arg(long, value_name = "FILE", global = true, env = "ENTENTE_CONFIG")]
    pub config: Option<PathBuf>,
    /// Check settings and data without starting; change nothing
    #[arg(long)]
    pub check: bool,
    /// A setting that goes before file and environment, such as `api.listen=127.0.0.1:4433`
    #[arg(long = "set", value_name = "KEY=VALUE", value_parser = setting, global = true)]
    pub settings: Vec<(String, String)>,
    #[command(subcommand)]
    pub command: Option<ServerCommand>,
}

/// What the server's program does besides serving.
#[derive(Debug, Subcommand)]
pub enum ServerCommand {
    /// Enrol and show partners
    #[command(subcommand)]
    Partner(OperatorCommand),
    /// Look after the folder of sealed documents
    #[command(subcommand)]
    Blobs(BlobsCommand),
    /// Look at the exchange's clock, and go on after it was wrong
    #[command(subcommand)]
    Clock(ClockCommand),
    /// Take a backup of database and documents, beside running servers
    Backup(BackUp),
    /// Put a backup into an empty database and an empty folder of documents
    Restore(Restore),
    /// Look for damage in what is configured, or in a backup
    Verify(Verify),
    /// Ask the server that runs here whether it is ready; exit code 0 if it is, else 1
    #[command(after_help = "Example:\n  entente-server --config /etc/entente/server.toml health")]
    Health,
    /// Print the API's description, OpenAPI 3.1
    Openapi,
    /// Print the catalogue of problems, Markdown
    Problems,
    /// Print the payload of each type of statement, Markdown
    Statements,
}

fn setting(text: &str) -> Result<(String, String), String> {
    let (key, value) = text.split_once('=').ok_or("write `key=value`")?;
    Ok((key.to_owned(), value.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn words_fit_together_and_the_version_has_the_name_of_the_program() {
        let mut command = Arguments::command();
        command.build();
        command.clone().debug_assert();
        assert!(command.render_version().starts_with("entente-server "), "{}", command.render_version());
    }
}
