//! All drafts of a member under a call, handed in one after the other: looked at once, agreed to once.

use super::{
    Client, Result,
    forecast::{Effect, Forecast, Undo},
    naming::FoundProposal,
    review_form::FilledForm,
    reviews::ReviewBody,
    titles::Titles,
    verified::VersionChoice,
};
use crate::{
    domain::{
        id::{CallId, ProposalId},
        reference::{CallCode, Reference},
        score_total::ScoreTotal,
        text::counted,
    },
    wire::{proposal::Proposal, review::Review},
};

/// The drafts of a call.
#[derive(Debug)]
pub struct ReviewBatch {
    pub code: CallCode,
    /// Those that can be handed in, by reference.
    pub ready: Vec<ReadyReview>,
    /// Assigned proposals whose reviews cannot, and why.
    pub left: Vec<LeftReview>,
}

/// A review that can be handed in.
#[derive(Debug, Clone, PartialEq)]
pub struct ReadyReview {
    pub id: ProposalId,
    pub reference: Reference,
    /// None where the summary is not open here.
    pub title: Option<String>,
    pub body: ReviewBody,
    pub total: ScoreTotal,
    /// The version of the proposal that it is about.
    pub version: u32,
    /// The revision that it will be.
    pub revision: u32,
}

/// A proposal whose review stays a draft, or is not written yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeftReview {
    pub id: ProposalId,
    pub reference: Reference,
    pub why: String,
}

/// What became of a review of a batch; none if it was not tried, since one before it failed in a way that others would, too.
pub type HandedIn = Option<Result<Review>>;

impl Client {
    /// The drafts that can be handed in, and those that cannot. What a form says goes before the draft on this machine. `assigned` is
    /// [`Client::assigned_proposals`].
    ///
    /// # Errors
    /// When the exchange is not reached, or the call does not verify. What is wrong with one proposal is no reason to leave out the others.
    pub async fn plan_reviews(
        &self,
        id: CallId,
        assigned: &[Proposal],
        titles: &Titles,
        form: Option<&FilledForm>,
    ) -> Result<ReviewBatch> {
        let call = self.call(id).await?;
        let mut batch = ReviewBatch { code: call.rules.code.clone(), ready: Vec::new(), left: Vec::new() };
        for proposal in assigned {
            let (id, reference) = (proposal.id, proposal.reference.clone());
            let mut leave = |why: String| batch.left.push(LeftReview { id, reference: reference.clone(), why });
            let written = form.and_then(|form| form.review_of(id)).cloned();
            let body = match written {
                Some(body) => Some(body),
                None => self.draft(id).await?,
            };
            let Some(body) = body else {
                if !proposal.mine.has_reviewed || proposal.mine.reopened_at.is_some() {
                    leave("there is no draft".into());
                }
                continue;
            };
            let points = match body.points(&call.rules.criteria) {
                Ok(points) => points,
                Err(error) => {
                    leave(error.to_string());
                    continue;
                }
            };
            let total = ScoreTotal::of(&call.rules.criteria, call.rules.total_threshold, &points);
            let title = titles.title(id).map(str::to_owned);
            match self.review_to_be(id, &body).await {
                Ok((version, revision)) => {
                    batch.ready.push(ReadyReview { id, reference, title, body, total, version, revision });
                }
                Err(error) if error.ends_a_series() => return Err(error),
                Err(error) => leave(error.to_string()),
            }
        }
        Ok(batch)
    }

    /// What handing them in would do.
    #[must_use]
    pub fn forecast_reviews(&self, batch: &ReviewBatch) -> Forecast {
        let count = batch.ready.len();
        let effects = [
            Effect::that(format!("{} sealed to the panel", counted(count, "review is", "reviews are"))),
            Effect::that("those drafts on this machine are gone then"),
        ];
        let undo = Undo::Others("only an officer can reopen one: `entente review reopen`".to_owned());
        Forecast::new(format!("handing in {} of {}", counted(count, "review", "reviews"), batch.code), effects, undo)
    }

    /// Hands them in, one after the other; one that fails stays a draft, and the others go on.
    pub async fn submit_reviews(&self, batch: &ReviewBatch) -> Vec<HandedIn> {
        let (mut done, mut is_over) = (Vec::with_capacity(batch.ready.len()), false);
        for review in &batch.ready {
            if is_over {
                done.push(None);
                continue;
            }
            let submitted = self.submit_review(review.id, &review.body).await;
            is_over = submitted.as_ref().is_err_and(super::ClientError::ends_a_series);
            done.push(Some(submitted));
        }
        done
    }

    /// The version that a review of a proposal would be about, and its revision; an error if it cannot be handed in, as far as this
    /// machine can know that.
    pub(super) async fn review_to_be(&self, id: ProposalId, body: &ReviewBody) -> Result<(u32, u32)> {
        let proposal = self.api().proposal(id).await?;
        let call = self.call(proposal.call).await?;
        body.points(&call.rules.criteria)?;
        let vaults = self.api().vaults(id).await?;
        let manifest = self.verified_manifest(&proposal, &call, &vaults, VersionChoice::Standing).await?;
        self.review_vault(&vaults, &proposal, &call).await?;
        let me = self.member_id().await?;
        let earlier = self.api().reviews(id).await?.into_iter().filter(|review| review.reviewer == me);
        let revision = earlier.map(|review| review.revision).max().unwrap_or(0) + 1;
        Ok((manifest.manifest.version, revision))
    }
}

impl From<&ReadyReview> for FoundProposal {
    fn from(review: &ReadyReview) -> Self {
        Self { id: review.id, reference: Some(review.reference.clone()) }
    }
}
