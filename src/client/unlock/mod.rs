//! Keys that are opened once and held by a process of their own, so that a passphrase is asked for once a day and not with every command.
//!
//! `entente unlock` opens what a passphrase protects ([`opened`]) and starts the holder ([`holder`]), which answers the commands of the same
//! account and profile ([`link`]) at a socket. It opens headers and signs; it never gives a key out (ADR 38). It has nothing to do with
//! the key agent ([`agent`](super::agent)), which acts as a member and does not use it.

mod held;
pub mod holder;
mod lease;
pub mod link;
pub mod opened;
mod place;
pub mod protocol;

pub use lease::{HoldLimits, LONGEST_LIMIT, USUAL_IDLE, USUAL_LIMIT};
pub use link::KeyHolder;
pub use opened::{OpenedKeys, open};

use crate::{
    client::{ClientError, Result},
    platform::{self, holder::HOLDS_KEYS},
};

/// Protects the memory of this process as that of a holder is: for a command, before it opens keys. What the system does not do the holder
/// says.
pub fn protect_memory() {
    platform::holder::harden();
}

/// Refuses on systems where no process holds keys for others.
///
/// # Errors
/// On Windows.
pub fn require_support() -> Result<()> {
    if HOLDS_KEYS {
        return Ok(());
    }
    Err(ClientError::usage(
        "keys cannot be held on Windows: commands ask for the passphrase each time",
        "name a file whose first line is the passphrase: `--passphrase-file`",
    ))
}
