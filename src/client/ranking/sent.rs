//! The ranking that officers send to those who decide: sealed here line by line, and opened there.
//!
//! The exchange sees that a line about a proposal was sent, and neither a score nor an order. Each line is sealed to the vault of its own
//! proposal's deliberation, so that a member who is kept from a proposal gets no line about it. Ranks are not sent: each reader's machine
//! puts the lines that it opened in order, and no gap tells of a line that it has not.

use super::{Ranking, check_note};
use crate::{
    client::{
        Client, ClientError, Result, blocking,
        participation::Roles,
        verified::{VerifiedCall, VersionChoice, newest},
        verify::{check_reference, invalid},
    },
    domain::{
        id::{CallId, MemberId, ProposalId, Sha256, Slug},
        member::CallRole,
        proposal::Status,
        reopening::Reopening,
        review::{ExactPoints, Points, Ranked, put_in_order},
        set_aside::SetAside,
        vault::VaultKind,
    },
    sealing::{
        seal::{open_bytes, seal_bytes},
        statement::{RankingStatement, STATED_AHEAD, Signed, verify_signed},
    },
    wire::{
        Time,
        proposal::Proposal,
        review::{RankingLine, Review, SendRanking},
    },
};
use base64::{Engine, prelude::BASE64_STANDARD};
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};
use zeroize::Zeroizing;

/// The longest line, in bytes of plaintext.
const MAX_LINE: usize = 48 << 10;

/// What is sealed about a proposal.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct LineBody {
    /// Hundredths of a point, and by what they are divided: totals are compared without rounding.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    total: Option<(i64, i64)>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    median: Option<(i64, i64)>,
    spread: (i64, i64),
    /// Hundredths of a point by criterion.
    averages: BTreeMap<Slug, i64>,
    below: BTreeSet<String>,
    missing: BTreeSet<MemberId>,
    set_aside: BTreeMap<MemberId, SetAside>,
    reopened: BTreeMap<MemberId, ReopenedBody>,
    /// Whose review is in the numbers, and which revision of it.
    counted: BTreeMap<MemberId, u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    note: Option<String>,
}

/// A reopening as it is sealed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct ReopenedBody {
    at: Time,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    by: Option<MemberId>,
}

/// A ranking that is about to be sent.
#[derive(Debug)]
pub struct RankingPlan {
    pub ranking: Ranking,
    /// The proposals whose line would be sent, and whether it takes the place of another one.
    pub lines: BTreeMap<ProposalId, bool>,
    /// Those whose line says already what would be sent.
    pub unchanged: BTreeSet<ProposalId>,
    /// Notes that were sent, on proposals on which this machine has none: they stay with their lines.
    pub kept_notes: BTreeSet<ProposalId>,
    /// Notes that were sent and removed on this machine: they go with their lines.
    pub dropped_notes: BTreeSet<ProposalId>,
    /// Proposals whose line stands and does not verify or open here: nobody knows whether it has a note.
    pub unread: BTreeSet<ProposalId>,
    stated_at: Timestamp,
}

/// What came of it, proposal by proposal.
#[derive(Debug, Default)]
pub struct DoneByProposal {
    pub done: Vec<ProposalId>,
    pub failed: Vec<(ProposalId, ClientError)>,
}

/// What is known of a line beside what it says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SentLine {
    pub sent_by: MemberId,
    pub sent_at: Timestamp,
    /// Reviews that came since: whose, and which revision.
    pub came_since: BTreeMap<MemberId, u32>,
    /// Those whose review is in the line's numbers and no longer counts.
    pub gone_since: BTreeSet<MemberId>,
    /// Whether no document of the proposal was opened on this machine.
    pub is_unopened: bool,
    /// How many of its reviews were not.
    pub unopened_reviews: usize,
}

/// The ranking that was sent, as far as the reader may see it.
#[derive(Debug)]
pub struct SentRanking {
    /// In order and with ranks among these lines.
    pub ranking: Ranking,
    pub about: BTreeMap<ProposalId, SentLine>,
    /// Proposals that the reader decides on, and about which no line was sent.
    pub unsent: Vec<ProposalId>,
}

impl Client {
    /// The ranking as it would be sent: what changed since it was sent last.
    pub async fn plan_ranking(&self, id: CallId) -> Result<RankingPlan> {
        let mut ranking = self.ranking(id).await?;
        let call = self.call(id).await?;
        let roles = self.verified_roles(&call).await?;
        let me = self.member_id().await?;
        if !roles.members_with(CallRole::Officer).contains(&me) {
            return Err(ClientError::usage(
                "only an officer of the call sends its ranking",
                "`entente ranking show` shows it to you",
            ));
        }
        let shown = self.api().all_proposals(Some(id)).await?;
        let (mut lines, mut unchanged, mut latest) = (BTreeMap::new(), BTreeSet::new(), None);
        let (mut kept_notes, mut dropped_notes, mut unread) = (BTreeSet::new(), BTreeSet::new(), BTreeSet::new());
        for line in &ranking.lines {
            let Some(proposal) = shown.iter().find(|proposal| proposal.id == line.proposal) else { continue };
            let stands = if proposal.ranking_sent_at.is_some() {
                match self.sent_body(proposal, &call, &roles).await {
                    Ok((body, line)) => {
                        latest = latest.max(Some(line.sent_at.0));
                        Some((body, line.sent_at.0))
                    }
                    Err(error) if error.ends_a_series() => return Err(error),
                    Err(_) => {
                        unread.insert(proposal.id);
                        None
                    }
                }
            } else {
                None
            };
            let noted = stands.as_ref().and_then(|(body, at)| Some((body.note.clone()?, *at)));
            if let Some((note, at)) = noted.filter(|_| !ranking.notes.contains_key(&proposal.id)) {
                if self.note_removed_at(proposal.id)?.is_some_and(|removed| at <= removed) {
                    dropped_notes.insert(proposal.id);
                } else {
                    kept_notes.insert(proposal.id);
                    ranking.notes.insert(proposal.id, note);
                }
            }
            if stands.is_some_and(|(body, _)| body == LineBody::of(&ranking, line)) {
                unchanged.insert(proposal.id);
            } else {
                lines.insert(proposal.id, proposal.ranking_sent_at.is_some());
            }
        }
        // A wrong clock of this machine keeps nobody from sending.
        let now = self.exchange_now();
        let stated_at = Timestamp::from_millisecond(now.as_millisecond()).unwrap_or(now);
        // After those that they replace, also where the clock of another officer's machine goes ahead.
        let stated_at = latest.map_or(stated_at, |latest| stated_at.max(latest + SignedDuration::from_millis(1)));
        Ok(RankingPlan { ranking, lines, unchanged, kept_notes, dropped_notes, unread, stated_at })
    }

    /// Seals, signs and sends what was planned, each line to those who may read its proposal's reviews. Done again, it goes on where it
    /// was cut off.
    pub async fn send_ranking(&self, call: CallId, plan: &RankingPlan) -> Result<DoneByProposal> {
        let call = self.call(call).await?;
        let mut came = DoneByProposal::default();
        for line in plan.ranking.lines.iter().filter(|line| plan.lines.contains_key(&line.proposal)) {
            let body = LineBody::of(&plan.ranking, line);
            match self.send_line(line.proposal, &call, &body, plan.stated_at).await {
                Ok(_) => came.done.push(line.proposal),
                Err(error) if error.ends_a_series() => return Err(error),
                Err(error) => came.failed.push((line.proposal, error)),
            }
        }
        Ok(came)
    }

    async fn send_line(
        &self,
        id: ProposalId,
        call: &Arc<VerifiedCall>,
        body: &LineBody,
        stated_at: Timestamp,
    ) -> Result<RankingLine> {
        let proposal = self.api().proposal(id).await?;
        check_reference(&proposal, call)?;
        let vaults = self.api().vaults(id).await?;
        let manifest = self.verified_manifest(&proposal, call, &vaults, VersionChoice::Standing).await?;
        let vault = self.review_vault(&vaults, &proposal, call).await?;
        let text = Zeroizing::new(serde_json::to_vec(body).expect("a line has string keys and whole numbers"));
        let recipient = vault.statement.recipient;
        let sealed = blocking(move || Ok(seal_bytes(&[recipient], &text)?)).await?;
        let statement = RankingStatement {
            proposal: id,
            reference: proposal.reference,
            manifest_sha256: manifest.sha256,
            call_text_sha256: call.publication.text_sha256,
            sha256: Sha256::of(&sealed),
            stated_at,
        };
        let statement = self.signed(&statement).await?;
        let line = SendRanking { statement, ciphertext: BASE64_STANDARD.encode(sealed) };
        self.api().send_ranking(id, &line).await
    }

    /// The proposals of a call about which a line stands.
    pub async fn sent_lines(&self, call: CallId) -> Result<Vec<ProposalId>> {
        let sent = self.api().all_proposals(Some(call)).await?.into_iter();
        Ok(sent.filter(|proposal| proposal.ranking_sent_at.is_some()).map(|proposal| proposal.id).collect())
    }

    /// Takes lines back. One that is gone already is done.
    pub async fn withdraw_ranking(&self, lines: &[ProposalId]) -> Result<DoneByProposal> {
        let mut came = DoneByProposal::default();
        for id in lines {
            match self.api().withdraw_ranking(*id).await {
                Ok(()) => came.done.push(*id),
                Err(error) if error.is_not_found() => {}
                Err(error) if error.ends_a_series() => return Err(error),
                Err(error) => came.failed.push((*id, error)),
            }
        }
        Ok(came)
    }

    /// The ranking that was sent: each line verified to an officer of the call by the signed roles, opened, and put in order here.
    pub async fn sent_ranking(&self, id: CallId) -> Result<SentRanking> {
        let call = self.call(id).await?;
        let roles = self.verified_roles(&call).await?;
        let (mut lines, mut closed, mut unsent) = (Vec::new(), Vec::new(), Vec::new());
        let (mut references, mut notes, mut about) = (BTreeMap::new(), BTreeMap::new(), BTreeMap::new());
        let mut counted = BTreeMap::new();
        for proposal in self.api().all_proposals(Some(id)).await? {
            if proposal.status != Status::Submitted {
                continue;
            }
            references.insert(proposal.id, proposal.reference.clone());
            if proposal.ranking_sent_at.is_none() {
                unsent.push(proposal.id);
                continue;
            }
            match self.sent_line(&proposal, &call, &roles).await {
                Ok((body, sent)) => {
                    lines.push(body.ranked(proposal.id)?);
                    notes.extend(body.note.map(|note| (proposal.id, note)));
                    counted.insert(proposal.id, body.counted);
                    about.insert(proposal.id, sent);
                }
                Err(error) if error.ends_a_series() => return Err(error),
                Err(error) => closed.push((proposal.id, error)),
            }
        }
        put_in_order(&mut lines);
        let comments = BTreeMap::new();
        let ranking = Ranking { lines, invalid: Vec::new(), closed, references, notes, comments, counted };
        Ok(SentRanking { ranking, about, unsent })
    }

    async fn sent_line(&self, proposal: &Proposal, call: &VerifiedCall, roles: &Roles) -> Result<(LineBody, SentLine)> {
        let (body, line) = self.sent_body(proposal, call, roles).await?;
        let (in_force, reopened) = newest(self.api().reviews(proposal.id).await?);
        let here = self.home().opened_here(&self.profile().name, proposal.id)?;
        let unopened_reviews = in_force.iter().filter(|review| !here.reviews.contains(&review.id)).count();
        let (came_since, gone_since) = since(&body.counted, &in_force, &reopened);
        let sent = SentLine {
            sent_by: line.sent_by,
            sent_at: line.sent_at.0,
            came_since,
            gone_since,
            is_unopened: !here.is_opened,
            unopened_reviews,
        };
        Ok((body, sent))
    }

    /// A line, verified and opened.
    async fn sent_body(
        &self,
        proposal: &Proposal,
        call: &VerifiedCall,
        roles: &Roles,
    ) -> Result<(LineBody, RankingLine)> {
        let mut line = self.api().ranking_line(proposal.id).await?;
        let sealed = line.ciphertext.as_deref().and_then(|text| BASE64_STANDARD.decode(text).ok());
        let sealed = sealed.ok_or_else(|| invalid("the line of the ranking came without its content"))?;
        let signed: Signed<RankingStatement> = verify_signed(&line.statement)?;
        let vaults = self.api().vaults(proposal.id).await?;
        let manifest = self.verified_manifest(proposal, call, &vaults, VersionChoice::Standing).await?;
        check_line(&signed.statement, &line, proposal, manifest.sha256, call, &sealed)?;
        self.check_signed_by(&signed, &line.sent_by, line.sent_at.0).await?;
        // Of those who were officers it cannot be told when they signed.
        if !roles.is_officer(&line.sent_by) {
            return Err(ClientError::unverified(
                format!(
                    "the line was sent by `{}`, who is not an officer of the call by the signed roles",
                    line.sent_by
                ),
                "do not rely on it; an officer sends it again with `entente ranking send`",
            ));
        }
        // One of tomorrow would be taken for the latest until then.
        let latest = line.sent_at.0.min(self.now().max(self.exchange_now())) + STATED_AHEAD;
        if signed.statement.stated_at > latest {
            return Err(ClientError::unverified(
                format!("the line was signed at {}, which is yet to come", signed.statement.stated_at),
                "do not rely on it; tell the call's officers and the host's operator",
            ));
        }
        // Its reader sees when it was signed: the exchange could show an earlier line as the latest.
        line.sent_at = signed.statement.stated_at.into();
        let vault = self.find_vault(&vaults, VaultKind::Deliberation, None, proposal, call).await?;
        let vault = vault.ok_or_else(|| invalid("a line was sent, but the deliberation vault is not shown"))?;
        let secret = self.open_vault(&vault, call).await?;
        let opened = blocking(move || Ok(open_bytes(&[secret.identity()], &sealed, MAX_LINE)?)).await?;
        // What is wrong with the text is not repeated: the message could hold a piece of it.
        let body: LineBody = serde_json::from_slice(&opened).map_err(|_| {
            ClientError::local("the line of the ranking is malformed", "ask its sender to send it again")
        })?;
        if let Some(note) = &body.note {
            check_note(note)?;
        }
        self.home().see_ranking_line(proposal.id, signed.statement.stated_at, signed.statement.sha256)?;
        Ok((body, line))
    }
}

impl LineBody {
    fn of(ranking: &Ranking, line: &Ranked) -> Self {
        let reopened = |(member, Reopening { at, by }): (&MemberId, &Reopening)| {
            (member.clone(), ReopenedBody { at: Time(*at), by: by.clone() })
        };
        Self {
            total: line.total.map(ExactPoints::parts),
            median: line.median.map(ExactPoints::parts),
            spread: line.spread.parts(),
            averages: line.averages.iter().map(|(name, points)| (name.clone(), points.hundredths())).collect(),
            below: line.below.clone(),
            missing: line.missing.clone(),
            set_aside: line.set_aside.clone(),
            reopened: line.reopened.iter().map(reopened).collect(),
            counted: ranking.counted.get(&line.proposal).cloned().unwrap_or_default(),
            note: ranking.notes.get(&line.proposal).cloned(),
        }
    }

    /// The line without a rank: it gets one among the others that the reader has.
    fn ranked(&self, proposal: ProposalId) -> Result<Ranked> {
        let exact = |parts: (i64, i64)| {
            ExactPoints::of_parts(parts)
                .ok_or_else(|| invalid("the line of the ranking has points that nobody can have"))
        };
        let reopened = |(member, body): (&MemberId, &ReopenedBody)| {
            (member.clone(), Reopening { at: body.at.0, by: body.by.clone() })
        };
        Ok(Ranked {
            proposal,
            rank: None,
            is_tied: false,
            total: self.total.map(exact).transpose()?,
            median: self.median.map(exact).transpose()?,
            averages: self.averages.iter().map(|(name, at)| (name.clone(), Points::from_hundredths(*at))).collect(),
            spread: exact(self.spread)?,
            below: self.below.clone(),
            missing: self.missing.clone(),
            set_aside: self.set_aside.clone(),
            reopened: self.reopened.iter().map(reopened).collect(),
            reviews: u32::try_from(self.counted.len()).unwrap_or(u32::MAX),
        })
    }
}

/// That a statement is about this line, this version and these bytes.
fn check_line(
    statement: &RankingStatement,
    line: &RankingLine,
    proposal: &Proposal,
    standing: Sha256,
    call: &VerifiedCall,
    sealed: &[u8],
) -> Result<()> {
    let is_about = statement.proposal == proposal.id && statement.reference == proposal.reference;
    if line.proposal != proposal.id || !is_about {
        return Err(invalid("the line of the ranking is about another proposal"));
    }
    if statement.sha256 != Sha256::of(sealed) {
        return Err(invalid("the line of the ranking was signed for other bytes"));
    }
    if statement.manifest_sha256 != standing {
        return Err(invalid("the line of the ranking is about another version than the one that stands"));
    }
    if statement.call_text_sha256 != call.publication.text_sha256 {
        return Err(invalid("the line of the ranking was made for another text of the call"));
    }
    Ok(())
}

/// The reviews that came since a line was made, and those in its numbers that no longer count; by the exchange's word.
fn since(
    counted: &BTreeMap<MemberId, u32>,
    in_force: &[Review],
    reopened: &[Review],
) -> (BTreeMap<MemberId, u32>, BTreeSet<MemberId>) {
    let counting: BTreeMap<&MemberId, u32> = in_force
        .iter()
        .filter(|review| review.set_aside.is_none())
        .map(|review| (&review.reviewer, review.revision))
        .collect();
    let came = counting.iter().filter(|(reviewer, revision)| counted.get(**reviewer) != Some(*revision));
    let came = came.map(|(reviewer, revision)| ((*reviewer).clone(), *revision)).collect();
    let is_reopened = |reviewer: &MemberId| reopened.iter().any(|review| review.reviewer == *reviewer);
    let gone = counted.keys().filter(|reviewer| is_reopened(reviewer) || !counting.contains_key(reviewer));
    (came, gone.cloned().collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        client::testing::{at, call, proposal},
        domain::reference::Reference,
    };

    fn line() -> Ranked {
        Ranked {
            proposal: proposal().id,
            rank: Some(3),
            is_tied: true,
            total: Some(ExactPoints::new(2500, 3)),
            median: Some(ExactPoints::new(1700, 2)),
            averages: [("merit".parse().unwrap(), Points::from_hundredths(433))].into(),
            spread: Points::from_hundredths(50).into(),
            below: ["impact".to_owned()].into(),
            missing: ["ISR:noa".parse().unwrap()].into(),
            set_aside: [("ISR:yael".parse().unwrap(), SetAside::Conflict)].into(),
            reopened: [("USA:kim".parse().unwrap(), Reopening { at: at("2026-05-02T00:00:00Z"), by: None })].into(),
            reviews: 1,
        }
    }

    fn ranking() -> Ranking {
        let id = proposal().id;
        Ranking {
            lines: vec![line()],
            invalid: Vec::new(),
            closed: Vec::new(),
            references: [(id, proposal().reference)].into(),
            notes: [(id, "high cost".to_owned())].into(),
            comments: BTreeMap::new(),
            counted: [(id, [("GBR:ann".parse().unwrap(), 2)].into())].into(),
        }
    }

    #[test]
    fn line_is_sealed_with_everything_but_its_rank() {
        let body = LineBody::of(&ranking(), &line());
        let text = serde_json::to_vec(&body).unwrap();
        let read: LineBody = serde_json::from_slice(&text).unwrap();
        assert_eq!(read, body);
        assert!(!String::from_utf8(text).unwrap().contains("rank"));
        let without = Ranked { rank: None, is_tied: false, ..line() };
        assert_eq!(read.ranked(proposal().id).unwrap(), without);
        assert_eq!(read.note.as_deref(), Some("high cost"));
        let negative = LineBody { spread: (1, 0), ..body };
        assert!(negative.ranked(proposal().id).is_err());
    }

    #[test]
    fn line_about_another_thing_than_was_signed_is_refused() {
        let (call, proposal) = (call(), proposal());
        let standing = Sha256::of(b"standing");
        let said = RankingStatement {
            proposal: proposal.id,
            reference: proposal.reference.clone(),
            manifest_sha256: standing,
            call_text_sha256: call.publication.text_sha256,
            sha256: Sha256::of(b"sealed"),
            stated_at: at("2026-05-02T00:00:00Z"),
        };
        let line = RankingLine {
            proposal: proposal.id,
            reference: proposal.reference.clone(),
            sent_by: "USA:olga".parse().unwrap(),
            sent_at: at("2026-05-02T00:00:00Z").into(),
            statement: String::new(),
            ciphertext: None,
        };
        let check =
            |said: &RankingStatement, sealed: &[u8]| check_line(said, &line, &proposal, standing, &call, sealed);
        assert!(check(&said, b"sealed").is_ok());
        assert!(check(&said, b"other").is_err());
        for wrong in [
            RankingStatement { proposal: "prop_01J9ZQ4N6M8V7X5T3R2P1K0HGG".parse().unwrap(), ..said.clone() },
            RankingStatement { manifest_sha256: Sha256::of(b"earlier"), ..said.clone() },
            RankingStatement { call_text_sha256: Sha256::of(b"earlier"), ..said.clone() },
            RankingStatement { reference: Reference::new(&call.rules.code, "4818"), ..said.clone() },
        ] {
            assert!(check(&wrong, b"sealed").is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn what_changed_since_a_line_was_made_is_named() {
        let review = |reviewer: &str, revision: u32, aside: Option<SetAside>| Review {
            id: "rev_01J9ZQ4N6M8V7X5T3R2P1K0HGF".parse().unwrap(),
            proposal: proposal().id,
            reference: proposal().reference,
            reviewer: reviewer.parse().unwrap(),
            revision,
            manifest_sha256: Sha256::of(b"manifest"),
            submitted_at: at("2026-05-01T00:00:00Z").into(),
            reopened_at: None,
            reopened_by: None,
            set_aside: aside,
            statement: String::new(),
            ciphertext: None,
        };
        let counted = ["GBR:ann", "ISR:noa", "KOR:kim", "USA:lee"].map(|who| (who.parse().unwrap(), 1)).into();
        let in_force = [
            review("GBR:ann", 1, None),
            review("ISR:noa", 2, None),
            review("KOR:kim", 1, Some(SetAside::Conflict)),
            review("USA:new", 1, None),
        ];
        let (came, gone) = since(&counted, &in_force, &[review("USA:lee", 1, None)]);
        let came: Vec<String> = came.iter().map(|(who, revision)| format!("{who} {revision}")).collect();
        assert_eq!(came, ["ISR:noa 2", "USA:new 1"]);
        assert_eq!(gone, ["KOR:kim", "USA:lee"].map(|who| who.parse().unwrap()).into());
    }
}
