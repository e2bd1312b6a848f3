//! stub
use super::{Client, Result, reviews::InvalidReview};
use crate::domain::{
    id::{CallId, ProposalId},
    review::Ranked,
};

/// The ranking of a call.
#[derive(Debug)]
pub struct Ranking {
    pub lines: Vec<Ranked>,
    pub invalid: Vec<InvalidReview>,
    /** Proposals whose reviews the caller cannot open, and why. */
    pub closed: Vec<(ProposalId, super::ClientError)>,
}

impl Client {
    /// Opens every review of every proposal the caller sees and ranks.
    pub async fn ranking(&self, _call: CallId) -> Result<Ranking> {
        todo!()
    }
}
