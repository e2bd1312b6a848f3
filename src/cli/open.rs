//! `entente open`: a bare age file with identities of one's own choice.

use super::{
    context::Context,
    error::{CliError, Result},
    handover::path_text,
};
use crate::client::bare;
use clap::Args;
use serde_json::json;
use std::path::PathBuf;

/// Open a bare age file with your identities, without an exchange
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  entente open report.pdf.age --identity identity.txt --output report.pdf
  entente open note.age --identity ~/.ssh/id_ed25519
  entente open - --identity identity.txt                 from standard input

The plaintext goes to standard output, up to 64 MiB, or into a new file, and only after the end of the sealed file is verified. Use it to check the files of other programs; documents of proposals are opened by `entente proposal open`, which verifies also who signed them.")]
pub struct OpenArgs {
    /// The age file; `-` for standard input
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// A file of identities: age, ssh or a plugin's; may be given several times
    #[arg(long = "identity", short, value_name = "FILE", required = true)]
    identities: Vec<PathBuf>,
    /// Write the plaintext into this new file
    #[arg(long, short, value_name = "FILE")]
    output: Option<PathBuf>,
}

pub(super) async fn run(args: OpenArgs, context: &Context) -> Result<()> {
    let context = context.clone();
    // On a thread of its own: a person may be asked for a passphrase, and an interruption is heard meanwhile.
    tokio::task::spawn_blocking(move || open(&args, &context)).await.map_err(CliError::failed)?
}

fn open(args: &OpenArgs, context: &Context) -> Result<()> {
    let OpenArgs { file, identities, output } = args;
    let keyring = bare::keyring(identities, &context.keyboard())?;
    let Some(output) = output else { return context.out.bytes(&bare::open(&keyring, file)?) };
    let opened = bare::open_into(&context.home()?, &keyring, file, output)?;
    let value = json!({ "output": path_text(output), "bytes": opened.size, "sealed_sha256": opened.sealed.sha256 });
    context.out.answer(&value, |screen| screen.line(&format!("{} bytes in `{}`", opened.size, output.display())))
}
