//! Reviews: drafts sealed to oneself, scores checked against the verified call, handed in sealed to the deliberation vault; and
//! the reviews of others, opened only once their statements verified.

use super::{
    Client, ClientError, Result, blocking, files,
    verified::{VerifiedCall, VerifiedManifest, VerifiedVault, VersionChoice, newest},
    verify::invalid,
};
use crate::{
    domain::{
        id::{MemberId, ProposalId, ReviewId, Sha256, Slug},
        review::{Criterion, Points, ScoreFault, check_scores},
        vault::VaultKind,
    },
    sealing::{
        seal::{SealError, open_bytes, seal_bytes},
        statement::ReviewStatement,
        vault::VaultSecret,
    },
    wire::{
        proposal::{Proposal, Vault},
        review::{Review, SubmitReview},
    },
};
use base64::{Engine, prelude::BASE64_STANDARD};
use serde::{Deserialize, Serialize};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};
use zeroize::Zeroizing;

/// The longest review, in bytes of plaintext.
const MAX_REVIEW: usize = 1_000_000;

/// What a review says; sealed, never seen by the exchange.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReviewBody {
    /// One score per criterion.
    pub scores: BTreeMap<Slug, f64>,
    /// Remarks by criterion.
    #[serde(default)]
    pub comments: BTreeMap<Slug, String>,
    /// The assessment as a whole.
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
    pub fault: ClientError,
}

/// The reviews in force of a proposal, and which were reopened.
#[derive(Debug, Default)]
pub struct OpenedReviews {
    pub reviews: Vec<OpenedReview>,
    pub invalid: Vec<InvalidReview>,
    /// By the exchange's word, and not opened: none of them is in force, and nothing in them counts.
    pub reopened: Vec<Review>,
}

impl ReviewBody {
    /// The scores as the rules see them: one per criterion, each on its scale.
    pub fn points(&self, criteria: &[Criterion]) -> Result<BTreeMap<Slug, Points>> {
        let points = self.read_points()?;
        check_scores(criteria, &points).map_err(off_scale)?;
        Ok(points)
    }

    /// Checks the scores that are there; others may still be missing.
    pub fn check_draft(&self, criteria: &[Criterion]) -> Result<()> {
        match check_scores(criteria, &self.read_points()?) {
            // Faults of what is there are found first for unknown criteria only, so look at each by itself.
            Ok(()) | Err(ScoreFault::Missing { .. }) => {
                for criterion in criteria.iter().filter(|criterion| self.scores.contains_key(&criterion.name)) {
                    let one = self.read_points()?.into_iter().filter(|(name, _)| *name == criterion.name).collect();
                    check_scores(std::slice::from_ref(criterion), &one).map_err(off_scale)?;
                }
                Ok(())
            }
            Err(fault) => Err(off_scale(fault)),
        }
    }

    fn read_points(&self) -> Result<BTreeMap<Slug, Points>> {
        let read = |(name, score): (&Slug, &f64)| match Points::from_number(*score) {
            Some(points) => Ok((name.clone(), points)),
            None => Err(ClientError::usage(
                format!("`{name}` is scored {score}, which is not a multiple of 0.01 from 0 to 10000"),
                "give a score on the scale of the criterion",
            )),
        };
        self.scores.iter().map(read).collect()
    }
}

impl Client {
    /// Keeps a draft on this machine, sealed to oneself. Scores may be missing, those there must be on their scales.
    pub async fn save_draft(&self, id: ProposalId, body: &ReviewBody) -> Result<()> {
        let proposal = self.api().proposal(id).await?;
        body.check_draft(&self.call(proposal.call).await?.rules.criteria)?;
        let (me, text) = (self.member(&self.member_id().await?).await?, to_json(body)?);
        let sealed = blocking(move || Ok(seal_bytes(me.recipients(), &text)?)).await?;
        files::write(&self.home().draft_path(&self.profile().name, id), &sealed)
    }

    /// The draft for a proposal, if there is one.
    pub async fn draft(&self, id: ProposalId) -> Result<Option<ReviewBody>> {
        let path = self.home().draft_path(&self.profile().name, id);
        let Some(sealed) = files::read(&path)? else { return Ok(None) };
        let keyring = self.keyring().await?;
        let text = blocking(move || Ok(open_bytes(&keyring.identities(), &sealed, MAX_REVIEW)?)).await?;
        from_json(&text).map(Some)
    }

    /// The proposals for which there are drafts.
    pub fn drafts(&self) -> Result<Vec<ProposalId>> {
        self.home().drafts(&self.profile().name)
    }

    /// Throws a draft away; whether there was one.
    pub fn discard_draft(&self, id: ProposalId) -> Result<bool> {
        files::remove(&self.home().draft_path(&self.profile().name, id))
    }

    /// Seals a review to the deliberation vault, signs it for the version that stands, and hands it in. The draft goes.
    pub async fn submit_review(&self, id: ProposalId, body: &ReviewBody) -> Result<Review> {
        let proposal = self.api().proposal(id).await?;
        let call = self.call(proposal.call).await?;
        body.points(&call.rules.criteria)?;
        let vaults = self.api().vaults(id).await?;
        let manifest = self.verified_manifest(&proposal, &call, &vaults, VersionChoice::Standing).await?;
        let vault = self.review_vault(&vaults, &proposal, &call).await?;
        let (recipient, text) = (vault.statement.recipient, to_json(body)?);
        let sealed = blocking(move || Ok(seal_bytes(&[recipient], &text)?)).await?;
        let me = self.member_id().await?;
        let earlier = self.api().reviews(id).await?;
        let earlier = earlier.iter().filter(|review| review.reviewer == me).map(|review| review.revision).max();
        let statement = ReviewStatement {
            proposal: id,
            manifest_sha256: manifest.sha256,
            call_text_sha256: call.publication.text_sha256,
            reviewer: me,
            revision: earlier.unwrap_or(0) + 1,
            sha256: Sha256::of(&sealed),
        };
        let statement = self.signed(&statement).await?;
        let submit = SubmitReview { statement, ciphertext: BASE64_STANDARD.encode(sealed) };
        let submitted = self.api().submit_review(id, &submit).await?;
        self.discard_draft(id)?;
        Ok(submitted)
    }

    /// The vault that reviews of a proposal are sealed to.
    pub(super) async fn review_vault(
        &self,
        vaults: &[Vault],
        proposal: &Proposal,
        call: &Arc<VerifiedCall>,
    ) -> Result<VerifiedVault> {
        let vault = self.find_vault(vaults, VaultKind::Deliberation, None, proposal, call).await?;
        vault.ok_or_else(|| {
            ClientError::usage(
                "the proposal has no deliberation vault yet, so there is nothing to seal the review to",
                "keep it as a draft and ask a call officer to prepare the panel",
            )
        })
    }

    /// The reviews in force of a proposal, opened; those that do not verify are set apart with what is wrong.
    pub async fn open_reviews(&self, id: ProposalId) -> Result<OpenedReviews> {
        let proposal = self.api().proposal(id).await?;
        let call = self.call(proposal.call).await?;
        let opened = self.open_reviews_of(&proposal, &call).await?;
        self.remember_opened_reviews(id, opened.reviews.iter().map(|opened| opened.review.id));
        Ok(opened)
    }

    /// One review, opened. A review that was replaced since is opened too, if it is of the version that stands.
    pub async fn open_review(&self, id: ReviewId) -> Result<OpenedReview> {
        let review = self.api().review(id).await?;
        let proposal = self.api().proposal(review.proposal).await?;
        let call = self.call(proposal.call).await?;
        let (manifest, secret) = self.deliberation(&proposal, &call).await?;
        let opened = self.verified_review(review, &manifest, &call, &secret).await?;
        self.remember_opened_reviews(proposal.id, [id]);
        Ok(opened)
    }

    pub(super) async fn open_reviews_of(&self, proposal: &Proposal, call: &VerifiedCall) -> Result<OpenedReviews> {
        let (in_force, reopened) = newest(self.api().reviews(proposal.id).await?);
        let mut opened = OpenedReviews { reopened, ..OpenedReviews::default() };
        if in_force.is_empty() {
            return Ok(opened);
        }
        let (manifest, secret) = self.deliberation(proposal, call).await?;
        for listed in in_force {
            let fetched = self.api().review(listed.id).await?;
            if fetched.proposal != proposal.id || fetched.reviewer != listed.reviewer {
                return Err(invalid("the exchange answered with another review than was asked for"));
            }
            match self.verified_review(fetched, &manifest, call, &secret).await {
                Ok(review) => opened.reviews.push(review),
                // What cannot be reached is not invalid.
                Err(error @ (ClientError::Transport { .. } | ClientError::Problem { .. })) => return Err(error),
                Err(fault) => opened.invalid.push(InvalidReview {
                    id: listed.id,
                    proposal: proposal.id,
                    reviewer: listed.reviewer,
                    fault,
                }),
            }
        }
        Ok(opened)
    }

    /// What reviews are about and what they are opened with.
    async fn deliberation(
        &self,
        proposal: &Proposal,
        call: &VerifiedCall,
    ) -> Result<(VerifiedManifest, Arc<VaultSecret>)> {
        let vaults = self.api().vaults(proposal.id).await?;
        let manifest = self.verified_manifest(proposal, call, &vaults, VersionChoice::Standing).await?;
        let vault = self.find_vault(&vaults, VaultKind::Deliberation, None, proposal, call).await?;
        let vault = vault.ok_or_else(|| {
            ClientError::usage(
                "the deliberation vault of the proposal is not open to you yet",
                "hand in your own review first",
            )
        })?;
        let secret = self.open_vault(&vault, call).await?;
        Ok((manifest, secret))
    }

    async fn verified_review(
        &self,
        review: Review,
        manifest: &VerifiedManifest,
        call: &VerifiedCall,
        secret: &VaultSecret,
    ) -> Result<OpenedReview> {
        let sealed = review.ciphertext.as_deref().map(|text| BASE64_STANDARD.decode(text));
        let sealed = sealed.and_then(Result::ok).ok_or_else(|| invalid("the review came without its content"))?;
        self.verify_review(&review, manifest.sha256, call, &sealed).await?;
        let opened = open_bytes(&[secret.identity()], &sealed, MAX_REVIEW).map_err(|error| match error {
            // The reviewer signed for these very bytes, so no other ones will come.
            SealError::Truncated => invalid("the review breaks off; its reviewer sealed it so"),
            error => error.into(),
        })?;
        let body = from_json(&opened)?;
        body.points(&call.rules.criteria)?;
        Ok(OpenedReview { review, body })
    }
}

fn to_json(body: &ReviewBody) -> Result<Zeroizing<Vec<u8>>> {
    let mut text = Zeroizing::new(Vec::with_capacity(64 << 10));
    serde_json::to_writer(&mut *text, body).map_err(|error| ClientError::usage(error.to_string(), "fix the review"))?;
    if text.len() > MAX_REVIEW / 2 {
        // Half: base64 and the envelope have to fit into what the exchange takes.
        return Err(ClientError::usage("the review is longer than 500,000 bytes", "shorten it"));
    }
    Ok(text)
}

/// Refuses a review that is too long to be handed in.
pub(super) fn check_length(body: &ReviewBody) -> Result<()> {
    to_json(body).map(drop)
}

/// What is wrong with the text is not repeated: the message could hold a piece of it.
fn from_json(text: &[u8]) -> Result<ReviewBody> {
    serde_json::from_slice(text)
        .map_err(|_| ClientError::local("the review is malformed", "ask its reviewer to hand it in again"))
}

fn off_scale(fault: ScoreFault) -> ClientError {
    ClientError::usage(fault.to_string(), "see the criteria with `entente call show`")
}

/// Assigned reviewers without a valid review.
pub(super) fn missing(assigned: &BTreeSet<MemberId>, opened: &OpenedReviews) -> BTreeSet<MemberId> {
    let here: BTreeSet<&MemberId> = opened.reviews.iter().map(|opened| &opened.review.reviewer).collect();
    assigned.iter().filter(|reviewer| !here.contains(reviewer)).cloned().collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::testing::{at, call, proposal};

    fn review(reviewer: &str, revision: u32, is_reopened: bool) -> Review {
        Review {
            id: "rev_01J9ZQ4N6M8V7X5T3R2P1K0HGF".parse().unwrap(),
            proposal: proposal().id,
            reference: proposal().reference,
            reviewer: reviewer.parse().unwrap(),
            revision,
            manifest_sha256: Sha256::of(b"manifest"),
            submitted_at: at("2026-05-01T00:00:00Z").into(),
            reopened_at: is_reopened.then(|| at("2026-05-02T00:00:00Z").into()),
            reopened_by: is_reopened.then(|| "KOR:office".parse().unwrap()),
            set_aside: None,
            statement: String::new(),
            ciphertext: None,
        }
    }

    fn body(scores: &[(&str, f64)]) -> ReviewBody {
        let scores = scores.iter().map(|(name, score)| (name.parse().unwrap(), *score)).collect();
        ReviewBody { scores, ..ReviewBody::default() }
    }

    #[test]
    fn newest_revision_counts_unless_reopened() {
        let reviews = vec![
            review("GBR:ann", 1, true),
            review("GBR:ann", 2, false),
            review("KOR:kim", 1, true),
            review("ISR:noa", 1, false),
        ];
        let (in_force, reopened) = newest(reviews);
        let named = |reviews: &[Review]| -> Vec<String> {
            reviews.iter().map(|review| format!("{} {}", review.reviewer, review.revision)).collect()
        };
        assert_eq!(named(&in_force), ["GBR:ann 2", "ISR:noa 1"]);
        assert_eq!(named(&reopened), ["KOR:kim 1"]);
    }

    #[test]
    fn draft_may_lack_scores_but_not_be_off_the_scale() {
        let criteria = call().rules.criteria;
        assert!(body(&[]).check_draft(&criteria).is_ok());
        assert!(body(&[("impact", 3.5)]).check_draft(&criteria).is_ok());
        for scores in
            [&[("impact", 3.2)][..], &[("impact", 5.5)], &[("style", 3.0)], &[("merit", 1.0), ("impact", -1.0)]]
        {
            assert_eq!(body(scores).check_draft(&criteria).unwrap_err().class().code(), 2, "{scores:?}");
        }
        assert!(body(&[("impact", 3.5)]).points(&criteria).is_err(), "handed in, none may be missing");
        assert_eq!(body(&[("impact", 3.5), ("merit", 4.0)]).points(&criteria).unwrap().len(), 2);
    }

    #[test]
    fn reviewer_whose_review_did_not_verify_is_missing() {
        let assigned: BTreeSet<MemberId> = ["GBR:ann", "KOR:kim"].map(|member| member.parse().unwrap()).into();
        let opened = OpenedReviews {
            reviews: vec![OpenedReview { review: review("GBR:ann", 1, false), body: body(&[]) }],
            invalid: vec![InvalidReview {
                id: review("KOR:kim", 1, false).id,
                proposal: proposal().id,
                reviewer: "KOR:kim".parse().unwrap(),
                fault: ClientError::unverified("x", "y"),
            }],
            reopened: Vec::new(),
        };
        assert_eq!(missing(&assigned, &opened), ["KOR:kim".parse().unwrap()].into());
    }

    #[test]
    fn review_reads_back_and_says_nothing_when_it_does_not() {
        let full =
            ReviewBody { overall: "sound".into(), recommendation: Some("fund".into()), ..body(&[("merit", 4.5)]) };
        assert_eq!(from_json(&to_json(&full).unwrap()).unwrap(), full);
        let refused = from_json(br#"{"scores":{},"secret":1}"#).unwrap_err();
        assert!(!refused.to_string().contains("secret"), "{refused}");
    }
}
