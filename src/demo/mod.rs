//! `entente demo`: a whole cycle between five partners on this machine. Needs a build with the server in it.

#[cfg(feature = "server")]
mod access;
#[cfg(feature = "server")]
mod afterwards;
#[cfg(feature = "server")]
mod cast;
#[cfg(feature = "server")]
mod clock;
#[cfg(feature = "server")]
mod cycle;
#[cfg(feature = "server")]
mod desk;
#[cfg(feature = "server")]
mod documents;
#[cfg(feature = "server")]
mod narrator;
#[cfg(feature = "server")]
mod policies;
#[cfg(feature = "server")]
mod story;
#[cfg(feature = "server")]
pub mod world;

use std::path::PathBuf;

#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  entente demo
      runs a cycle, then keeps serving so that you can try commands by hand
  entente demo --once   exits when the cycle is done
  entente demo --data demo-data --documents ~/proposal-files")]
pub struct Args {
    /// Exit when the cycle is done
    #[arg(long)]
    pub once: bool,
    /// Folder for everything the demo makes [default: a temporary one]; must be empty or absent
    #[arg(long, value_name = "DIR")]
    pub data: Option<PathBuf>,
    /// Folder with your own files: `work-plan.pdf`, `budget.docx`, `shareholders.pdf`, `dataset.*`; samples fill the rest
    #[arg(long, value_name = "DIR")]
    pub documents: Option<PathBuf>,
    /// Folder with the policies of each nation, `USA.cedar` and so on [default: those that come as examples]
    #[arg(long, value_name = "DIR")]
    pub policies: Option<PathBuf>,
}

/// Runs the demo. Ctrl-C is its ordinary end.
#[cfg(feature = "server")]
pub async fn run(args: Args) -> Result<(), world::Error> {
    cycle::run(&args).await
}
