//! The state that every handler works with: the exchange, and what the edge counts beside it.

use super::{rates::Rates, refusals::Refusals};
use crate::service::Exchange;
use std::{ops::Deref, sync::Arc};

/// What handlers work with. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Api {
    exchange: Arc<Exchange>,
    body_bytes: usize,
    rates: Arc<Rates>,
    refusals: Arc<Refusals>,
}

impl Api {
    /// The API of an exchange. JSON bodies have at most `body_bytes`, unless they carry ciphertext.
    #[must_use]
    pub fn new(exchange: Arc<Exchange>, body_bytes: usize, refusals: Arc<Refusals>) -> Self {
        let rates = Arc::new(Rates::new(&exchange.quotas));
        Self { exchange, body_bytes, rates, refusals }
    }

    /// The exchange, for work that outlives its request.
    pub(super) fn exchange(&self) -> &Arc<Exchange> {
        &self.exchange
    }

    /// What was refused to whom.
    pub(super) fn refusals(&self) -> &Refusals {
        &self.refusals
    }

    /// How often members act, and read what leaves an entry.
    pub(super) fn rates(&self) -> &Rates {
        &self.rates
    }

    /// Most bytes of a JSON body.
    #[must_use]
    pub fn body_bytes(&self) -> usize {
        self.body_bytes
    }
}

impl Deref for Api {
    type Target = Exchange;

    fn deref(&self) -> &Exchange {
        &self.exchange
    }
}
