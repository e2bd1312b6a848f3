//! stub
use super::{Client, Result};
use crate::{
    domain::{
        id::{MemberId, ProposalId, ReviewId, Slug},
        member::ConflictGround,
    },
    wire::review::Review,
};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// What a review says; sealed, never seen by the exchange.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReviewBody {
    pub scores: BTreeMap<Slug, f64>,
    #[serde(default)]
    pub comments: BTreeMap<Slug, String>,
    #[serde(default)]
    pub overall: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub recommendation: Option<String>,
}

/// A review that verified and opened.
#[derive(Debug, Clone, PartialEq)]
pub struct OpenedReview {
    pub review: Review,
    pub body: ReviewBody,
}

/// A review that did not.
#[derive(Debug)]
pub struct InvalidReview {
    pub id: ReviewId,
    pub proposal: ProposalId,
    pub reviewer: MemberId,
    pub fault: super::ClientError,
}

/// The reviews of a proposal.
#[derive(Debug, Default)]
pub struct OpenedReviews {
    pub reviews: Vec<OpenedReview>,
    pub invalid: Vec<InvalidReview>,
}

impl Client {
    /// Declares a conflict of that ground, or that there is none.
    pub async fn declare(&self, _id: ProposalId, _ground: Option<ConflictGround>) -> Result<()> {
        todo!()
    }
    /// Checks the scores against the call and keeps the draft, sealed to oneself.
    pub async fn save_draft(&self, _id: ProposalId, _body: &ReviewBody) -> Result<()> {
        todo!()
    }
    pub async fn draft(&self, _id: ProposalId) -> Result<Option<ReviewBody>> {
        todo!()
    }
    pub fn drafts(&self) -> Result<Vec<ProposalId>> {
        todo!()
    }
    pub fn discard_draft(&self, _id: ProposalId) -> Result<bool> {
        todo!()
    }
    /// Seals, signs and hands in.
    pub async fn submit_review(&self, _id: ProposalId, _body: &ReviewBody) -> Result<Review> {
        todo!()
    }
    /// The reviews in force, opened.
    pub async fn open_reviews(&self, _id: ProposalId) -> Result<OpenedReviews> {
        todo!()
    }
    pub async fn open_review(&self, _id: ReviewId) -> Result<OpenedReview> {
        todo!()
    }
}
