//! Where a request waits until there is something new for its caller.
//!
//! One that waits gives its place among the requests being answered to others, and takes one among those that wait, of which a certificate, a
//! partner and all together have so many. So however many wait, nobody is kept from asking.

use super::{
    peer::Peer,
    refusal::{EdgeRefusal, Shared},
    shares::{Share, Shares},
};
use crate::metrics;
use axum::{extract::FromRequestParts, http::request::Parts};
use std::{
    convert::Infallible,
    sync::{Arc, Mutex, PoisonError},
};

/// The requests that wait, in the extensions of requests that came by the listener.
#[derive(Debug, Clone)]
pub(super) struct Waits(pub(super) Arc<Shares>);

/// The place of a request among those being answered. It is given back with the answer, or before.
#[derive(Debug, Clone)]
pub(super) struct RequestPlace(Arc<Mutex<Option<Share>>>);

impl RequestPlace {
    fn give_back(&self) {
        // Nothing that holds the lock can panic half-way.
        drop(self.0.lock().unwrap_or_else(PoisonError::into_inner).take());
    }
}

impl From<Share> for RequestPlace {
    fn from(share: Share) -> Self {
        Self(Arc::new(Mutex::new(Some(share))))
    }
}

/// The way to a place among those that wait.
#[derive(Debug)]
pub(super) struct WaitingRoom(Option<(Waits, Peer, RequestPlace)>);

impl WaitingRoom {
    /// Takes a place, which is given back when it is dropped. There is none to take where no listener counts.
    ///
    /// # Errors
    /// When as many requests wait as may.
    pub(super) fn enter(self) -> Result<Option<Share>, EdgeRefusal> {
        let Some((Waits(shares), peer, request)) = self.0 else { return Ok(None) };
        let share = shares.take(&peer, 1).map_err(|full| {
            metrics::refused("waits");
            shares.refusal(Shared::Waits, full)
        })?;
        request.give_back();
        Ok(Some(share))
    }
}

impl<S: Sync> FromRequestParts<S> for WaitingRoom {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        let of = &parts.extensions;
        let found = (of.get::<Waits>(), of.get::<Peer>(), of.get::<RequestPlace>());
        Ok(Self(match found {
            (Some(waits), Some(peer), Some(place)) => Some((waits.clone(), peer.clone(), place.clone())),
            _ => None,
        }))
    }
}
