//! `entente demo`: a whole cycle between five partners on this machine.

use std::path::PathBuf;

#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  entente demo                     runs a cycle, then keeps serving so that you can try commands by hand
  entente demo --once              exits when the cycle is done
  entente demo --data demo-data --documents ~/proposal-files")]
pub struct Args {
    /// Exit when the cycle is done
    #[arg(long)]
    pub once: bool,
    /// Folder for everything the demo makes [default: a temporary one]
    #[arg(long, value_name = "DIR")]
    pub data: Option<PathBuf>,
    /// Folder with files to use as the proposals' documents
    #[arg(long, value_name = "DIR")]
    pub documents: Option<PathBuf>,
    /// Folder with the policies [default: the shipped ones]
    #[arg(long, value_name = "DIR")]
    pub policies: Option<PathBuf>,
}

/// Runs the demo.
#[cfg(feature = "server")]
#[expect(clippy::unused_async, reason = "the demo waits for its server")]
pub async fn run(_args: Args, _out: &super::output::Out) -> super::error::Result<()> {
    Err(super::error::CliError::failed("this build has no demo in it"))
}
