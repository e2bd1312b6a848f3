//! Every way in which the exchange, or the member's own client, says no: each with its slug or class, and each leaving nothing
//! half-written behind. Played with the real client over mutual TLS on a clock that stands still until it is set.

mod accounted;
mod announced;
mod arrivals;
mod bulk;
mod certificates;
mod evaluations;
mod innocents;
mod intake;
mod invitations;
mod key_cards;
mod labels;
pub(crate) mod lies;
mod midway;
mod names;
mod oracles;
mod panel;
mod parties;
mod parts;
mod quotas;
mod remedies;
mod reopened;
mod roles;
pub(crate) mod set_aside;
mod signers;
mod times;
mod turns;
mod unasked;
mod uploads;
mod wraps;
