//! One form for everything that a member has to review under a call: filled offline, in an editor or a spreadsheet, and read back line by
//! line. All faults are found at once, and nothing is saved while there is one.
//!
//! INVARIANT: what others wrote (titles, words of the call) never becomes a part of the form when it is read back, and a draft that was
//! changed since the form was made is not replaced unless that is asked for.

mod check;
pub mod markdown;

use super::{
    Client, Result, files,
    form_lines::{FormFault, normal_text},
    records::{read_record, write_record},
    reviews::ReviewBody,
    titles::Titles,
};
use crate::{
    domain::{
        id::{CallId, ProposalId, Sha256},
        name::directs,
        reference::{CallCode, Reference},
        review::{Criterion, Points},
        score_total::ScoreTotal,
    },
    wire::proposal::Proposal,
};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// What a form calls the assessment as a whole, and the recommendation. Names of criteria have no parentheses.
pub const OVERALL: &str = "(overall)";
pub const RECOMMENDATION: &str = "(recommendation)";
/// What stands for the state of a draft that is not there.
const NO_DRAFT: &str = "none";
/// So many letters of a digest tell one state of a draft from another.
const MARK_LETTERS: usize = 16;
/// The longest file that is read as a form, in bytes.
pub const MAX_FORM: u64 = 32 << 20;

/// A form for reviews, filled as far as there are drafts.
#[derive(Debug, Clone, PartialEq)]
pub struct ReviewForm {
    pub code: CallCode,
    pub title: String,
    pub criteria: Vec<Criterion>,
    pub total_threshold: Option<Points>,
    pub reviews_due_at: Timestamp,
    /// What is to be reviewed, by reference.
    pub proposals: Vec<FormProposal>,
    /// Assigned, and the member's review is in.
    pub handed_in: Vec<Reference>,
    /// Assigned, and the member has not declared to have no conflict of interest.
    pub undeclared: Vec<Reference>,
}

/// A proposal in a form.
#[derive(Debug, Clone, PartialEq)]
pub struct FormProposal {
    pub id: ProposalId,
    pub reference: Reference,
    /// None where the summary is not open here.
    pub title: Option<String>,
    /// The state of the draft, by which a newer one is noticed.
    pub mark: String,
    pub body: ReviewBody,
}

/// What a file has for one proposal.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct FormSection {
    /// Where it begins, as an editor counts lines.
    pub line: u64,
    /// The proposal, as it was written.
    pub proposal: String,
    pub mark: String,
    pub parts: Vec<FormPart>,
}

/// What it has for one criterion, for [`OVERALL`] or for [`RECOMMENDATION`].
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct FormPart {
    pub line: u64,
    pub name: String,
    /// With its line.
    pub score: Option<(u64, String)>,
    pub comment: String,
}

/// A form that was read, without a fault in it.
#[derive(Debug, Clone, PartialEq)]
pub struct FilledForm {
    pub reviews: Vec<FilledReview>,
    /// Proposals in it whose review is in: passed over.
    pub handed_in: Vec<Reference>,
}

/// What it says about one proposal.
#[derive(Debug, Clone, PartialEq)]
pub struct FilledReview {
    pub id: ProposalId,
    pub reference: Reference,
    pub title: Option<String>,
    pub body: ReviewBody,
    pub total: ScoreTotal,
    /// The state of the draft for which the form was made.
    pub mark: String,
    pub state: FilledState,
}

/// What saving it would do to the draft.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum FilledState {
    /// It becomes the draft.
    Saved,
    /// It is the draft already.
    Unchanged,
    /// Nothing is filled in: the draft stays, if there is one.
    Empty,
    /// The draft was changed since the form was made, otherwise than by this form.
    Newer,
}

/// Which form a draft came from: beside it, so that the same form can be read again after more of it was filled.
#[derive(Debug, Serialize, Deserialize)]
struct DraftOrigin {
    /// The mark in the form.
    form: String,
    /// The mark of the draft that was made of it.
    draft: String,
}

impl Client {
    /// The form for what is assigned to the member under a call, filled with the drafts on this machine. `assigned` is
    /// [`Client::assigned_proposals`].
    pub async fn review_form(&self, id: CallId, assigned: &[Proposal], titles: &Titles) -> Result<ReviewForm> {
        let call = self.call(id).await?;
        let mut form = ReviewForm {
            code: call.rules.code.clone(),
            title: call.rules.title.clone(),
            criteria: call.rules.criteria.clone(),
            total_threshold: call.rules.total_threshold,
            reviews_due_at: call.call.reviews_due_at.0,
            proposals: Vec::new(),
            handed_in: Vec::new(),
            undeclared: Vec::new(),
        };
        for proposal in assigned {
            let reference = proposal.reference.clone();
            if proposal.mine.has_reviewed && proposal.mine.reopened_at.is_none() {
                form.handed_in.push(reference);
            } else if proposal.mine.is_clear {
                let (mark, body) = (self.draft_mark(proposal.id)?, self.draft(proposal.id).await?);
                let title = titles.title(proposal.id).map(str::to_owned);
                let body = normal(body.unwrap_or_default());
                form.proposals.push(FormProposal { id: proposal.id, reference, title, mark, body });
            } else {
                form.undeclared.push(reference);
            }
        }
        Ok(form)
    }

    /// Notes what saving a form would do to each draft.
    pub fn compare_drafts(&self, form: &ReviewForm, mut filled: FilledForm) -> Result<FilledForm> {
        for review in &mut filled.reviews {
            let present = form.proposals.iter().find(|proposal| proposal.id == review.id);
            let Some(present) = present else { continue };
            review.state = if is_empty(&review.body) {
                FilledState::Empty
            } else if present.body == review.body {
                FilledState::Unchanged
            } else if self.is_from(review, &present.mark)? {
                FilledState::Saved
            } else {
                FilledState::Newer
            };
        }
        Ok(filled)
    }

    /// Saves what a form says as drafts, each sealed to oneself. Newer drafts stay unless they are to be replaced.
    pub async fn save_filled(&self, filled: &FilledForm, replace: bool) -> Result<()> {
        for review in &filled.reviews {
            let is_meant = match review.state {
                FilledState::Saved => true,
                FilledState::Newer => replace,
                FilledState::Unchanged | FilledState::Empty => false,
            };
            if is_meant {
                self.save_draft(review.id, &review.body).await?;
                let origin = DraftOrigin { form: review.mark.clone(), draft: self.draft_mark(review.id)? };
                write_record(&self.origin_path(review.id), &origin)?;
            }
        }
        Ok(())
    }

    /// The state of a draft: of its sealed bytes, so that the mark says nothing of its content.
    fn draft_mark(&self, id: ProposalId) -> Result<String> {
        let sealed = files::read(&self.home().draft_path(&self.profile().name, id))?;
        Ok(sealed.map_or_else(
            || NO_DRAFT.to_owned(),
            // A spreadsheet would make a number of digits alone, or of digits around an `e`.
            |sealed| "d".chars().chain(Sha256::of(&sealed).to_string().chars()).take(MARK_LETTERS).collect(),
        ))
    }

    /// Whether the present draft is the one for which the form was made, or came from that form. Where there is none, none is lost.
    fn is_from(&self, review: &FilledReview, present: &str) -> Result<bool> {
        if present == NO_DRAFT || present == review.mark {
            return Ok(true);
        }
        let origin: Option<DraftOrigin> = read_record(&self.origin_path(review.id))?;
        Ok(origin.is_some_and(|origin| origin.form == review.mark && origin.draft == present))
    }

    fn origin_path(&self, id: ProposalId) -> PathBuf {
        self.home().draft_path(&self.profile().name, id).with_extension("form")
    }
}

impl FilledForm {
    /// What it says about a proposal, if anything is filled in.
    #[must_use]
    pub fn review_of(&self, id: ProposalId) -> Option<&ReviewBody> {
        let filled = self.reviews.iter().filter(|review| review.state != FilledState::Empty);
        filled.map(|review| (review.id, &review.body)).find_map(|(of, body)| (of == id).then_some(body))
    }
}

impl ReviewForm {
    /// Checks what a file has, section by section, against the form as it would be made now.
    ///
    /// # Errors
    /// Every fault, by line, those that reading the file found among them.
    pub fn filled_by(
        &self,
        sections: Vec<FormSection>,
        faults: Vec<FormFault>,
    ) -> std::result::Result<FilledForm, Vec<FormFault>> {
        check::filled(self, sections, faults)
    }

    /// What a criterion is about, in a line: its words and its scale.
    #[must_use]
    pub fn criterion_in_words(criterion: &Criterion) -> String {
        let Criterion { title, max, step, weight, threshold, .. } = criterion;
        let least = threshold.map(|least| format!("; at least {} to pass", plain(least))).unwrap_or_default();
        let weight = if *weight == 1 { String::new() } else { format!("; weight {weight}") };
        format!("{}: 0 to {} in steps of {}{least}{weight}", one_line(title), plain(*max), plain(*step))
    }
}

/// A text on one line, without what nobody sees or what changes the direction of the rest.
#[must_use]
pub fn one_line(text: &str) -> String {
    let seen = text.chars().filter(|c| !directs(*c));
    let seen: String =
        seen.map(|c| if c.is_control() || matches!(c, '\u{2028}' | '\u{2029}') { ' ' } else { c }).collect();
    seen.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Points as people write them: `5`, `0.5`.
#[must_use]
pub fn plain(points: Points) -> String {
    let text = points.to_string();
    let short = text.trim_end_matches('0').trim_end_matches('.');
    if text.contains('.') { short.to_owned() } else { text }
}

/// A review as a form brings it back: without blanks around texts, with line feeds alone, without empty comments.
fn normal(body: ReviewBody) -> ReviewBody {
    let comments = body.comments.into_iter().map(|(name, text)| (name, normal_text(&text)));
    ReviewBody {
        scores: body.scores,
        comments: comments.filter(|(_, text)| !text.is_empty()).collect(),
        overall: normal_text(&body.overall),
        recommendation: body.recommendation.map(|text| normal_text(&text)).filter(|text| !text.is_empty()),
    }
}

fn is_empty(body: &ReviewBody) -> bool {
    body.scores.is_empty() && body.comments.is_empty() && body.overall.is_empty() && body.recommendation.is_none()
}

#[cfg(test)]
mod tests;
