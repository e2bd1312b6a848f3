//! What the host's operator does about the exchange's clock from the command line: look at it, and accept that entries are ahead of it.
//!
//! Must never set anything back: whatever was closed stays closed.

use crate::service::{Exchange, ServiceError, operator, time};
use clap::Subcommand;
use std::io::{self, Write};

/// `entente-server clock …`.
#[derive(Debug, Subcommand)]
pub enum ClockCommand {
    /// Show this machine's clock beside what is on record
    Show,
    /// Let the exchange go on although entries are ahead of a clock that is right now
    #[command(
        long_about = "Let the exchange go on although entries are ahead of a clock that is right now: a clock was ahead, \
        things were written, and then it was set right.\n\nTime on the exchange then stands still at the last entry until the clock \
        has caught up: deadlines that have passed stay passed, and none passes meanwhile. It is an entry of the log that every member \
        reads. To undo what was written instead, restore a backup from before."
    )]
    Accept,
}

/// Why nothing was done.
#[derive(Debug, thiserror::Error)]
pub enum ClockError {
    #[error(transparent)]
    Exchange(#[from] ServiceError),
    #[error("cannot write the answer: {0}")]
    Write(#[from] io::Error),
}

/// Does what was asked and says what it did on `out`.
pub async fn clock(exchange: &Exchange, command: ClockCommand, out: &mut impl Write) -> Result<(), ClockError> {
    let shown = time::show(exchange).await?;
    let (clock, last) = (shown.clock, shown.mark.last);
    match command {
        ClockCommand::Show => {
            writeln!(out, "this machine's clock  {clock}\nlatest on record      {last}")?;
            if let Some(database) = shown.mark.database {
                writeln!(out, "the database's clock  {database}")?;
            }
            match shown.fault {
                Some(fault) => writeln!(out, "{fault}: nothing is written")?,
                None => writeln!(out, "nothing prevents writing")?,
            }
        }
        ClockCommand::Accept => match operator::accept_clock(exchange).await? {
            Some(until) => writeln!(
                out,
                "accepted: time on the exchange stands still at {until} until this machine's clock has caught up"
            )?,
            None => writeln!(out, "nothing to accept: nothing on record is ahead of this machine's clock")?,
        },
    }
    Ok(())
}
