//! What those who judge did with a proposal, checked: declarations, assignments, reviews, the ranking, decisions and letters.

use super::{
    DossierPart,
    case::{CaseAct, CaseCheck, check_about},
};
use crate::{
    client::{Result, verify::invalid},
    domain::{
        entry::EntryKind,
        id::{MemberId, Sha256},
        member::{CallRole, Declared},
    },
    sealing::statement::{
        AssignmentStatement, DecisionStatement, DeclarationStatement, LetterStatement, RankingStatement,
        ReviewStatement, Signed, Statement, decision_digest, verify_signed,
    },
    wire::entry::payloads::{DecisionFinal, Payload},
};

impl CaseCheck<'_> {
    /// An act of those who judge.
    pub(super) fn judging(&mut self, act: &CaseAct<'_>) -> Result<()> {
        match act.kind() {
            EntryKind::ConflictDeclared | EntryKind::ClearDeclared | EntryKind::ConflictLifted => {
                return self.declaration(act);
            }
            EntryKind::ReviewerAssigned => return self.assignment(act),
            EntryKind::ReviewSubmitted => return self.review(act),
            EntryKind::RankingSent => return self.ranking(act),
            EntryKind::DecisionSigned => return self.decision(act),
            EntryKind::LetterSent => return self.letter(act),
            _ => {}
        }
        match act.payload() {
            Some(Payload::ReviewerUnassigned(entry)) => {
                self.assigned.remove(&entry.reviewer);
            }
            Some(Payload::AssignmentDeclined(entry)) => {
                self.assigned.remove(&entry.reviewer);
            }
            Some(Payload::AssignmentResumed(entry)) => {
                self.assigned.insert(entry.reviewer.clone());
            }
            Some(Payload::DecisionUnsigned(entry)) => {
                let shown = self.shows(DossierPart::Decisions);
                let decision = self.decisions_by_id.get(&entry.decision);
                match decision.and_then(|digest| self.decisions.get_mut(digest)) {
                    Some(decision) => drop(decision.signed_by.remove(&entry.partner)),
                    None if !shown => {}
                    None => return Err(invalid("a signature is taken back under a decision that the dossier has not")),
                }
            }
            Some(Payload::DecisionFinal(entry)) => return self.check_final(entry, act),
            _ => {}
        }
        Ok(())
    }

    fn declaration(&mut self, act: &CaseAct<'_>) -> Result<()> {
        let signed: Signed<DeclarationStatement> = verify_signed(act.statement()?)?;
        let said = signed.statement.clone();
        let kind = match said.declared {
            Declared::Clear => EntryKind::ClearDeclared,
            Declared::Conflict => EntryKind::ConflictDeclared,
            Declared::Lifted => EntryKind::ConflictLifted,
        };
        check_about(said.proposal == self.case.proposal && kind == act.kind(), "a declaration")?;
        // A conflict holds whatever the proposal was called where it was declared.
        let names_another = said.reference.as_ref().is_some_and(|reference| *reference != self.case.reference);
        check_about(!names_another || said.declared == Declared::Conflict, "a declaration")?;
        let before = self.declared.insert(said.member.clone(), (said.number, signed.payload_sha256, said.declared));
        let follows = before.map_or((1, None), |(number, digest, _)| (number + 1, Some(digest)));
        if self.shows(DossierPart::Declarations) && follows != (said.number, said.previous) {
            return Err(invalid(format!(
                "a declaration about `{}` is missing before number {}",
                said.member, said.number
            )));
        }
        let by = act.member()?;
        if said.declared == Declared::Lifted {
            if by.partner() == said.member.partner() {
                return Err(invalid(format!("`{by}` lifted a conflict of a member of their own nation")));
            }
            self.check_role(by, CallRole::Officer, act.at)?;
        } else if *by != said.member {
            return Err(invalid(format!("`{by}` declared for `{}`", said.member)));
        }
        self.check_signer(&signed, act)
    }

    fn assignment(&mut self, act: &CaseAct<'_>) -> Result<()> {
        let said: AssignmentStatement = self.by(act, CallRole::Officer)?.statement;
        let fits = said.call == self.call.history.call() && said.proposal == self.case.proposal;
        check_about(fits, "an assignment")?;
        self.assigned.insert(said.reviewer);
        Ok(())
    }

    fn review(&mut self, act: &CaseAct<'_>) -> Result<()> {
        let said: ReviewStatement = self.by(act, CallRole::Reviewer)?.statement;
        let by = act.member()?;
        let mut fits = said.proposal == self.case.proposal && said.reviewer == *by;
        if let Some(Payload::ReviewSubmitted(entry)) = act.payload() {
            fits &= (entry.revision, entry.sha256) == (said.revision, said.sha256);
        }
        check_about(fits, "a review")?;
        self.call.history.check_text(&said.call_text_sha256, act.at)?;
        self.check_handed_in(&said.manifest_sha256, "a review")?;
        if self.shows(DossierPart::Assignments) && !self.assigned.contains(by) {
            return Err(invalid(format!("`{by}` reviewed without being assigned")));
        }
        self.check_clear(by, "reviewed")
    }

    fn ranking(&mut self, act: &CaseAct<'_>) -> Result<()> {
        let said: RankingStatement = self.by(act, CallRole::Officer)?.statement;
        let fits = said.proposal == self.case.proposal && said.reference == self.case.reference;
        check_about(fits, "a line of the ranking")?;
        self.call.history.check_text(&said.call_text_sha256, act.at)?;
        self.check_handed_in(&said.manifest_sha256, "a line of the ranking")?;
        self.check_clear(act.member()?, "sent the ranking")
    }

    fn decision(&mut self, act: &CaseAct<'_>) -> Result<()> {
        let said: DecisionStatement = self.by(act, CallRole::Decider)?.statement;
        let by = act.member()?;
        let mut fits = said.proposal == self.case.proposal && said.partner == *by.partner();
        let digest = said.joint_digest();
        if let Some(Payload::DecisionSigned(entry)) = act.payload() {
            fits &= (&entry.partner, entry.outcome, entry.manifest_sha256)
                == (&said.partner, said.outcome, said.manifest_sha256);
            self.decisions_by_id.insert(entry.decision, digest);
        }
        check_about(fits, "a decision")?;
        if !self.call.history.funders(act.at).contains(&said.partner) {
            return Err(invalid(format!("`{}` signed a decision and does not fund under the call", said.partner)));
        }
        self.check_handed_in(&said.manifest_sha256, "a decision")?;
        if let Some(supersedes) = said.supersedes
            && !self.decisions.contains_key(&supersedes)
        {
            return Err(invalid("a decision takes the place of one that the dossier does not have"));
        }
        self.check_clear(by, "signed a decision")?;
        let decision = self.decisions.entry(digest).or_default();
        decision.outcome = Some(said.outcome);
        decision.signed_by.insert(said.partner, by.clone());
        Ok(())
    }

    fn letter(&mut self, act: &CaseAct<'_>) -> Result<()> {
        let said: LetterStatement = self.by(act, CallRole::Officer)?.statement;
        let mut fits = said.proposal == self.case.proposal
            && said.reference.as_ref().is_none_or(|reference| *reference == self.case.reference);
        if let Some(Payload::LetterSent(entry)) = act.payload() {
            fits &= entry.sha256 == said.sha256 && entry.party == said.party;
        }
        check_about(fits, "a letter")?;
        let party = said.party.as_ref();
        let is_of_the_proposal = party.is_none_or(|party| self.case.parties.contains(party));
        if !is_of_the_proposal || !self.call.history.letters(act.at).admits(party) {
            return Err(invalid("a letter is not for whom the call's text says that letters are"));
        }
        self.check_version(&said.manifest_sha256, "a letter")?;
        let is_known = said.decision_sha256.is_none_or(|digest| self.decisions.contains_key(&digest));
        if self.shows(DossierPart::Decisions) && !is_known {
            return Err(invalid("a letter is about a decision that the dossier does not have"));
        }
        self.check_clear(act.member()?, "sent a letter")
    }

    /// A statement by somebody who had the role then.
    fn by<T: Statement>(&self, act: &CaseAct<'_>, role: CallRole) -> Result<Signed<T>> {
        let signed = self.signed(act)?;
        self.check_role(act.member()?, role, act.at)?;
        Ok(signed)
    }

    /// Refuses what is about another version than the one that was handed in.
    fn check_handed_in(&self, manifest: &Sha256, what: &str) -> Result<()> {
        match self.handed_in {
            Some(handed_in) if handed_in != *manifest => {
                Err(invalid(format!("{what} is about another version than the one that was handed in")))
            }
            _ => self.check_version(manifest, what),
        }
    }

    /// Refuses somebody who had not declared to be clear by then, or had a conflict. Of whom no declaration is shown that is not known.
    fn check_clear(&self, member: &MemberId, did: &str) -> Result<()> {
        match self.declared.get(member) {
            Some((_, _, Declared::Clear)) => Ok(()),
            Some((_, _, Declared::Conflict)) => Err(invalid(format!("`{member}` {did} with a conflict of interest"))),
            None if !self.shows(DossierPart::Declarations) => Ok(()),
            _ => Err(invalid(format!("`{member}` {did} without having declared to be clear"))),
        }
    }

    /// Refuses a final decision that not every funder had signed.
    fn check_final(&mut self, entry: &DecisionFinal, act: &CaseAct<'_>) -> Result<()> {
        if !self.shows(DossierPart::Decisions) {
            return Ok(());
        }
        let superseded = entry.superseded.as_ref();
        let digest = decision_digest(
            self.case.proposal,
            entry.manifest_sha256,
            entry.outcome,
            superseded.map(|superseded| superseded.supersedes),
            superseded.and_then(|superseded| superseded.reason.as_deref()),
        );
        let decision = self.decisions.get(&digest);
        self.became_final.push(decision.and_then(|decision| decision.outcome));
        let funders = self.call.history.funders(act.at);
        let missing =
            funders.iter().find(|funder| decision.is_none_or(|decision| !decision.signed_by.contains_key(*funder)));
        missing.map_or(Ok(()), |funder| {
            Err(invalid(format!(
                "a decision is final, and the dossier has no signature of `{funder}` under it that verifies"
            )))
        })
    }

    /// Refuses an outcome that no decision has which every funder signed, or that is not of the one that became final last.
    pub(super) fn check_outcome(&self) -> Result<()> {
        if !self.shows(DossierPart::Decisions) {
            return Ok(());
        }
        let funders = self.call.history.funders(self.call.exported_at);
        let is_signed = |outcome| {
            self.decisions.values().any(|decision| {
                decision.outcome == Some(outcome)
                    && funders.iter().all(|funder| decision.signed_by.contains_key(funder))
            })
        };
        if let Some(outcome) = self.case.decided.filter(|outcome| !is_signed(*outcome)) {
            return Err(invalid(format!("it is shown as decided, `{outcome}`, and not every funder signed that")));
        }
        if self.became_final.last().is_some_and(|outcome| *outcome != self.case.decided) {
            return Err(invalid("another outcome is shown than that of the decision that became final last"));
        }
        Ok(())
    }
}
