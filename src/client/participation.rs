//! Who participates in a call and how: roles, assignments and declarations of interest, each verified from its
//! signature.
//!
//! The exchange can hold back what was stated last. It can make nothing up, and leave nothing out in the middle: roles go on from
//! the roll that a call is published with, and each statement names the one before.

use super::{
    Client, ClientError, Result,
    verified::VerifiedCall,
    verify::{check_valid, invalid},
};
use crate::{
    domain::{
        id::{CallId, MemberId, PartnerCode, ProposalId, Sha256},
        member::{CallRole, ConflictGround, Declared},
        reference::{CallCode, Reference},
        text::counted,
    },
    sealing::statement::{
        AssignmentStatement, DeclarationStatement, RoleStatement, RollStatement, Signed, Statement, verify_signed,
    },
    wire::{
        call::GrantRoles,
        problem::{Kind, LineFault, Problem},
        proposal::Proposal,
        review::{Assign, Assigned, Assignment, Declaration, DeclareConflict, LiftConflict, Pair},
    },
};
use jiff::Timestamp;
use std::collections::{BTreeMap, BTreeSet, HashMap};

/// The roles of members in a call, by the roll that it was published with and what was signed since.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Roles {
    pub(super) by_member: BTreeMap<MemberId, BTreeSet<CallRole>>,
    /// Former officers, who no longer have the role.
    former_officers: BTreeSet<MemberId>,
    /// The partners of the call's program.
    pub(super) partners: BTreeSet<PartnerCode>,
    /// How much was stated about roles so far, and the digest of the last of it.
    statements: u32,
    last: Option<Sha256>,
}

/// What members declared about their interest in a proposal.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Interests {
    pub(super) clear: BTreeSet<MemberId>,
    pub(super) conflicts: BTreeSet<MemberId>,
}

impl Roles {
    /// Roles of a draft, as the exchange states them; publishing it signs them.
    pub(super) fn unsigned(by_member: BTreeMap<MemberId, BTreeSet<CallRole>>, partners: BTreeSet<PartnerCode>) -> Self {
        Self { by_member, partners, ..Self::default() }
    }

    pub(super) fn members_with(&self, role: CallRole) -> BTreeSet<MemberId> {
        let holders = self.by_member.iter().filter(|(_, roles)| roles.contains(&role));
        holders.map(|(member, _)| member.clone()).collect()
    }

    /// Everybody with a role, and former officers, who signed what still holds.
    pub(super) fn all_named(&self) -> BTreeSet<MemberId> {
        self.by_member.keys().chain(&self.former_officers).cloned().collect()
    }

    /// Up to which statement they are known.
    pub(super) fn state(&self) -> String {
        let last = self.last.map(|last| last.to_string()).unwrap_or_default();
        format!("{} {last}", self.statements)
    }

    /// Whether the member is an officer of the call.
    pub(super) fn is_officer(&self, member: &MemberId) -> bool {
        self.by_member.get(member).is_some_and(|roles| roles.contains(&CallRole::Officer))
    }

    /// Whether a statement takes from its signer roles that they have, and does nothing else.
    pub(super) fn lays_down(&self, signer: &MemberId, said: &RoleStatement) -> bool {
        let present = self.by_member.get(signer);
        said.member == *signer && present.is_some_and(|roles| said.roles != *roles && said.roles.is_subset(roles))
    }

    /// Whether the member is an officer of the call, or was one.
    pub(super) fn was_officer(&self, member: &MemberId) -> bool {
        self.is_officer(member) || self.former_officers.contains(member)
    }

    pub(super) fn apply(&mut self, change: &RoleStatement) {
        let was_officer = self.is_officer(&change.member);
        if change.roles.is_empty() {
            self.by_member.remove(&change.member);
        } else {
            self.by_member.insert(change.member.clone(), change.roles.clone());
        }
        if self.is_officer(&change.member) {
            self.former_officers.remove(&change.member);
        } else if was_officer {
            self.former_officers.insert(change.member.clone());
        }
    }
}

/// The roles in a call, and whether they are beyond doubt.
struct RoleChain {
    roles: Roles,
    /// Of each statement, the roll first.
    digests: Vec<Sha256>,
    /// The first statement that nobody vouches for and whose signer cannot be proven any longer, with why.
    doubt: Option<(u32, ClientError)>,
}

fn doubtful(call: &CallCode, number: u32, last: u32, error: &ClientError) -> ClientError {
    ClientError::unverified(
        format!("statement {number} of {last} about the roles in `{call}` can no longer be proven: {error}"),
        format!(
            "an officer of the call vouches for them by changing any role: at once on a machine that verified them before, and on another \
             one with `entente call role set --vouch {last}`, if `entente call role list` and the log show what was agreed"
        ),
    )
}

impl Client {
    /// The roles in a published call: those of the roll that a member of its lead signed, and each change since, signed by an
    /// officer of that time, or by the member who lays down roles of their own.
    pub(super) async fn verified_roles(&self, call: &VerifiedCall) -> Result<Roles> {
        let chain = self.role_chain(call).await?;
        if let Some((number, error)) = chain.doubt {
            return Err(doubtful(&call.rules.code, number, chain.roles.statements, &error));
        }
        self.home().see_roles(call.call.id, &call.rules.code, &chain.digests)?;
        Ok(chain.roles)
    }

    /// The statements about the roles in a call, each following from the one before.
    ///
    /// A signature can stop being provable: its signer's key card was revoked as stolen since. Then the next statement of an officer who is
    /// beyond doubt vouches for it: they signed on to what their own machine had verified.
    async fn role_chain(&self, call: &VerifiedCall) -> Result<RoleChain> {
        let (id, code, lead) = (call.call.id, &call.rules.code, &call.publication.host);
        let mut stated = self.api().role_statements(id).await?.into_iter();
        let Some(first) = stated.next() else {
            return Err(invalid(format!("nobody signed the roles in `{code}`")));
        };
        let roll: Signed<RollStatement> = verify_signed(&first.statement)?;
        if roll.statement.call != id || first.stated_by.partner() != lead {
            return Err(invalid(format!("the roll of `{code}` is of another call, or was not signed by its lead")));
        }
        let mut doubt = self.doubt_about(&roll, &first.stated_by, first.stated_at.0).await?.map(|error| (1, error));
        let mut roles = Roles {
            by_member: roll.statement.roles,
            partners: roll.statement.partners,
            statements: 1,
            last: Some(roll.payload_sha256),
            former_officers: BTreeSet::new(),
        };
        let mut digests = vec![roll.payload_sha256];
        let mut beyond_doubt = if doubt.is_none() { roles.members_with(CallRole::Officer) } else { BTreeSet::new() };
        for change in stated {
            let signed: Signed<RoleStatement> = verify_signed(&change.statement)?;
            let (said, by, number) = (&signed.statement, &change.stated_by, roles.statements + 1);
            if said.call != id || said.number != number || Some(said.previous) != roles.last {
                return Err(invalid(format!(
                    "statement {number} about the roles in `{code}` does not follow from the one before"
                )));
            }
            let is_officer = roles.is_officer(by);
            if !is_officer && !roles.lays_down(by, said) {
                return Err(invalid(format!(
                    "`{by}` changed roles in `{code}` without being an officer of it, and did more than lay down their own"
                )));
            }
            // A roll in doubt leaves nobody beyond it; like the roll, what vouches for it is of the lead's.
            let vouches = |first, by: &MemberId| beyond_doubt.contains(by) || first == 1 && by.partner() == lead;
            match self.doubt_about(&signed, by, change.stated_at.0).await? {
                // That somebody gave up roles of their own takes nothing from anybody else.
                Some(_) if !is_officer || said.member == *by && roles.lays_down(by, said) => {}
                Some(error) => doubt = doubt.or(Some((number, error))),
                None if is_officer => doubt = doubt.filter(|(first, _)| !vouches(*first, by)),
                None => {}
            }
            (roles.statements, roles.last) = (number, Some(signed.payload_sha256));
            digests.push(signed.payload_sha256);
            roles.apply(said);
            if doubt.is_none() {
                beyond_doubt = roles.members_with(CallRole::Officer);
            }
        }
        Ok(RoleChain { roles, digests, doubt })
    }

    /// Why it cannot be proven now that the member signed, if it cannot.
    async fn doubt_about<T: Statement>(
        &self,
        signed: &Signed<T>,
        member: &MemberId,
        recorded_at: Timestamp,
    ) -> Result<Option<ClientError>> {
        check_valid(signed, member, recorded_at)?;
        match self.check_signed_by(signed, member, recorded_at).await {
            Ok(()) => Ok(None),
            Err(error @ (ClientError::NotSigned(_) | ClientError::Unverified { .. })) => Ok(Some(error)),
            Err(error) => Err(error),
        }
    }

    /// Who has which role by what was signed, also where a signature can no longer be proven: an officer who changes
    /// a role then vouches for it.
    pub(super) async fn signed_roles(&self, call: &VerifiedCall) -> Result<BTreeMap<MemberId, BTreeSet<CallRole>>> {
        Ok(self.role_chain(call).await?.roles.by_member)
    }

    /// The change of a member's roles as it is sent: signed, once the call is published.
    pub(super) async fn role_change(
        &self,
        call: &VerifiedCall,
        member: &MemberId,
        roles: &BTreeSet<CallRole>,
        vouched: Option<u32>,
    ) -> Result<GrantRoles> {
        let RoleChain { roles: before, digests, doubt } = self.role_chain(call).await?;
        // An officer whose machine verified them once vouches for them by going on; another one has to say so.
        if let Some((number, error)) = doubt
            && vouched != Some(before.statements)
            && !self.home().has_seen_roles(call.call.id, &digests)?
        {
            return Err(doubtful(&call.rules.code, number, before.statements, &error));
        }
        self.home().see_roles(call.call.id, &call.rules.code, &digests)?;
        let Some(previous) = before.last else { return Err(invalid("the call has no roll")) };
        let present = before.by_member.get(member).cloned().unwrap_or_default();
        call.rules.check_new_roles(member, &present, roles)?;
        let statement = RoleStatement {
            call: call.call.id,
            number: before.statements + 1,
            previous,
            member: member.clone(),
            roles: roles.clone(),
        };
        Ok(GrantRoles { roles: roles.clone(), statement: Some(self.signed(&statement).await?) })
    }

    /// The roll that a call is published with.
    pub(super) async fn roll(&self, call: CallId, roles: &Roles) -> Result<String> {
        let roll = RollStatement { call, partners: roles.partners.clone(), roles: roles.by_member.clone() };
        self.signed(&roll).await
    }

    /// Assigns reviewers, all or none; or returns the fault of each line.
    ///
    /// More than one request takes go in several, each all or none by itself. So the faults of all lines are asked for beforehand,
    /// and an error in between says how many are assigned.
    pub async fn assign(&self, call: CallId, pairs: &[(ProposalId, MemberId)], dry_run: bool) -> Result<Assigned> {
        if pairs.len() <= Assign::MOST {
            return self.assign_at_once(call, pairs, dry_run).await;
        }
        check_repeated(pairs)?;
        let foreseen = self.assign_in_parts(call, pairs, true).await?;
        if dry_run {
            return Ok(foreseen);
        }
        if !foreseen.faults.is_empty() {
            let detail =
                format!("{} of {} cannot be done", foreseen.faults.len(), counted(pairs.len(), "line", "lines"));
            let problem = Problem { faults: foreseen.faults, ..Problem::new(Kind::LinesRefused, detail) };
            return Err(ClientError::Problem { problem: Box::new(problem), request_id: None });
        }
        self.assign_in_parts(call, pairs, false).await
    }

    /// The same in as many requests as it takes, without a look beforehand.
    pub(super) async fn assign_in_parts(
        &self,
        call: CallId,
        pairs: &[(ProposalId, MemberId)],
        dry_run: bool,
    ) -> Result<Assigned> {
        let mut all = Assigned { dry_run, accepted: 0, faults: Vec::new(), changes: Vec::new() };
        for (before, part) in (0..).step_by(Assign::MOST).zip(pairs.chunks(Assign::MOST)) {
            let done = self.assign_at_once(call, part, dry_run).await;
            let done = done.map_err(|error| in_part(error, before, dry_run))?;
            all.accepted += done.accepted;
            all.faults.extend(done.faults.into_iter().map(|fault| LineFault { line: fault.line + before, ..fault }));
            all.changes.extend(done.changes);
        }
        Ok(all)
    }

    async fn assign_at_once(&self, call: CallId, pairs: &[(ProposalId, MemberId)], dry_run: bool) -> Result<Assigned> {
        let mut assignments = Vec::with_capacity(pairs.len());
        for (proposal, reviewer) in pairs {
            let said = AssignmentStatement { call, proposal: *proposal, reviewer: reviewer.clone() };
            let statement = if dry_run { None } else { Some(self.signed(&said).await?) };
            assignments.push(Pair { proposal: *proposal, reviewer: reviewer.clone(), statement });
        }
        self.api().assign(call, &Assign { assignments, dry_run }).await
    }

    /// The assignments that an officer of the call signed. What does not verify is no assignment.
    pub(super) async fn verified_assignments(
        &self,
        id: ProposalId,
        call: CallId,
        roles: &Roles,
    ) -> Result<Vec<Assignment>> {
        self.verify_assignments(id, call, roles, self.api().assignments(id).await?).await
    }

    /// The same of those that were shown.
    pub(super) async fn verify_assignments(
        &self,
        id: ProposalId,
        call: CallId,
        roles: &Roles,
        shown: Vec<Assignment>,
    ) -> Result<Vec<Assignment>> {
        let mut verified = Vec::new();
        for assignment in shown {
            let statement = assignment.statement.as_deref().unwrap_or_default();
            let Ok(signed) = verify_signed::<AssignmentStatement>(statement) else { continue };
            let fits =
                signed.statement == AssignmentStatement { call, proposal: id, reviewer: assignment.reviewer.clone() };
            if fits
                && roles.was_officer(&assignment.assigned_by)
                && self.is_signed_by(&signed, &assignment.assigned_by, assignment.assigned_at.0).await?
            {
                verified.push(assignment);
            }
        }
        Ok(verified)
    }

    /// Declares a conflict of interest of that ground, or that there is no conflict.
    pub async fn declare(&self, id: ProposalId, ground: Option<ConflictGround>) -> Result<()> {
        let reference = self.api().proposal(id).await?.reference;
        self.declare_of(id, reference, ground).await
    }

    /// The same of a proposal that was shown under that reference, which is what the statement says.
    pub(super) async fn declare_of(
        &self,
        id: ProposalId,
        reference: Reference,
        ground: Option<ConflictGround>,
    ) -> Result<()> {
        let me = self.member_id().await?;
        let declared = if ground.is_some() { Declared::Conflict } else { Declared::Clear };
        let statement = self.declaration(id, reference, &me, declared, ground).await?;
        self.api().declare(id, &DeclareConflict { conflict: ground.is_some(), ground, statement }).await?;
        if ground.is_some() {
            // The title, too, is not for somebody with a conflict. It is declared, whatever becomes of that.
            if let Err(error) = self.home().forget_title(&self.profile().name, id) {
                let path = self.home().titles_path(&self.profile().name);
                self.warn(&format!(
                    "the title of the proposal is still on this machine; remove `{}`: {error}",
                    path.display()
                ));
            }
            // From here on nothing of it is shown.
            self.api().witness().left(id)?;
        }
        Ok(())
    }

    /// Takes a conflict off the record, so that the member declares again.
    pub async fn lift_conflict(&self, id: ProposalId, member: &MemberId, reason: &str) -> Result<()> {
        let reference = self.api().proposal(id).await?.reference;
        let statement = self.declaration(id, reference, member, Declared::Lifted, None).await?;
        self.api().lift_declaration(id, member, &LiftConflict { reason: reason.to_owned(), statement }).await
    }

    /// The next statement about a member's interest.
    async fn declaration(
        &self,
        proposal: ProposalId,
        reference: Reference,
        member: &MemberId,
        declared: Declared,
        ground: Option<ConflictGround>,
    ) -> Result<String> {
        let lines = self.api().declarations(proposal).await?;
        let before = lines.iter().filter(|line| line.member == *member).max_by_key(|line| line.number);
        let previous = match before {
            Some(before) => Some(verify_signed::<DeclarationStatement>(&before.statement)?.payload_sha256),
            None => None,
        };
        let number = before.map_or(1, |before| before.number + 1);
        let (member, reference) = (member.clone(), Some(reference));
        let next = DeclarationStatement { proposal, member, number, previous, declared, ground, reference };
        self.signed(&next).await
    }

    /// What members declared, each by themselves. Whose statements do not verify has declared nothing.
    pub(super) async fn interests(&self, of: &Proposal, roles: &Roles) -> Result<Interests> {
        let mut by_member: BTreeMap<MemberId, Vec<Declaration>> = BTreeMap::new();
        for line in self.api().declarations(of.id).await? {
            by_member.entry(line.member.clone()).or_default().push(line);
        }
        let mut interests = Interests::default();
        for (member, lines) in by_member {
            match self.declared(of, &member, &lines, roles).await? {
                Some(Declared::Clear) => interests.clear.insert(member),
                Some(Declared::Conflict) => interests.conflicts.insert(member),
                Some(Declared::Lifted) | None => continue,
            };
        }
        Ok(interests)
    }

    /// What holds of a member's interest by a whole chain of statements; nothing if it is not whole.
    async fn declared(
        &self,
        of: &Proposal,
        member: &MemberId,
        lines: &[Declaration],
        roles: &Roles,
    ) -> Result<Option<Declared>> {
        let (mut previous, mut holds) = (None, None);
        for (number, line) in (1..).zip(lines) {
            let Ok(signed) = verify_signed::<DeclarationStatement>(&line.statement) else { return Ok(None) };
            let DeclarationStatement {
                proposal,
                member: whose,
                number: said,
                previous: follows,
                declared,
                reference,
                ..
            } = &signed.statement;
            if (*proposal, whose, *said, *follows) != (of.id, member, number, previous) {
                return Ok(None);
            }
            let may_say = match declared {
                // From a conflict there is no way back but that somebody else lifts it.
                Declared::Clear => line.stated_by == *member && holds != Some(Declared::Conflict),
                Declared::Conflict => line.stated_by == *member,
                Declared::Lifted => {
                    let by = &line.stated_by;
                    by.partner() != member.partner() && roles.was_officer(by) && holds == Some(Declared::Conflict)
                }
            };
            if !may_say || !self.is_signed_by(&signed, &line.stated_by, line.stated_at.0).await? {
                return Ok(None);
            }
            previous = Some(signed.payload_sha256);
            // Said of a proposal that was shown under another name: that clears nobody. A conflict holds, whatever it was called.
            let names_another = reference.as_ref().is_some_and(|reference| *reference != of.reference);
            if *declared == Declared::Conflict || !names_another {
                holds = Some(*declared);
            }
        }
        Ok(holds)
    }

    async fn is_signed_by<T: Statement>(
        &self,
        signed: &Signed<T>,
        member: &MemberId,
        at: jiff::Timestamp,
    ) -> Result<bool> {
        match self.check_signed_by(signed, member, at).await {
            Ok(()) => Ok(true),
            Err(ClientError::Unverified { .. }) => Ok(false),
            Err(error) => Err(error),
        }
    }
}

/// Refuses a duplicate line: of two requests the exchange would not know that they are for one.
fn check_repeated(pairs: &[(ProposalId, MemberId)]) -> Result<()> {
    let mut lines = HashMap::new();
    for (line, pair) in (1..).zip(pairs) {
        if let Some(first) = lines.insert(pair, line) {
            let what = format!("line {line} assigns what line {first} does");
            return Err(ClientError::usage(what, "leave one of them out"));
        }
    }
    Ok(())
}

/// An error in one of several requests, before which so many lines were done: with the lines as the caller counts them.
fn in_part(error: ClientError, before: u32, dry_run: bool) -> ClientError {
    let with_context = |what: String| match before {
        1.. if !dry_run => {
            let are = counted(before, "assignment is", "assignments are");
            format!("the first {are} made, and a file that is loaded again skips what is there; after them: {what}")
        }
        _ => what,
    };
    match error {
        ClientError::Problem { mut problem, request_id } => {
            problem.detail = with_context(problem.detail);
            for fault in &mut problem.faults {
                fault.line += before;
            }
            ClientError::Problem { problem, request_id }
        }
        ClientError::Transport { what, help } => ClientError::Transport { what: with_context(what), help },
        ClientError::Unverified { what, help } => ClientError::Unverified { what: with_context(what), help },
        ClientError::Usage { what, help } => ClientError::Usage { what: with_context(what), help },
        ClientError::NotShown { what, help } => ClientError::NotShown { what: with_context(what), help },
        ClientError::NothingNamed { what, help } => ClientError::NothingNamed { what: with_context(what), help },
        ClientError::Local { what, help } => ClientError::Local { what: with_context(what), help },
        ClientError::NotSigned(error) => ClientError::local(with_context(error.to_string()), error.help()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fault(line: u32) -> LineFault {
        LineFault { line, problem: "already-assigned".into(), detail: "they are".into() }
    }

    #[test]
    fn error_in_a_later_request_says_what_was_done_and_counts_on() {
        let refused = || {
            let problem =
                Problem { faults: vec![fault(7)], ..Problem::new(Kind::LinesRefused, "1 line cannot be done") };
            ClientError::Problem { problem: Box::new(problem), request_id: None }
        };
        let later = in_part(refused(), 200, false);
        assert!(later.to_string().starts_with("the first 200 assignments are made, "), "{later}");
        assert_eq!(later.problem().unwrap().faults, [fault(207)]);
        assert_eq!(in_part(refused(), 200, true).to_string(), "1 line cannot be done");
        assert_eq!(in_part(refused(), 0, false).to_string(), "1 line cannot be done");
    }

    #[test]
    fn who_was_an_officer_stays_one_for_what_was_signed_then() {
        let (avi, dana): (MemberId, MemberId) = ("ISR:avi".parse().unwrap(), "USA:dana".parse().unwrap());
        let mut roles = Roles::default();
        let mut take = |member: &MemberId, given: &[CallRole]| {
            roles.apply(&RoleStatement {
                call: "call_01J9ZQ4N6M8V7X5T3R2P1K0HGF".parse().unwrap(),
                number: 2,
                previous: Sha256::of(b"before"),
                member: member.clone(),
                roles: given.iter().copied().collect(),
            });
            roles.clone()
        };
        assert!(take(&avi, &[CallRole::Officer]).is_officer(&avi));
        let after = take(&avi, &[CallRole::Reviewer]);
        assert!(!after.is_officer(&avi) && after.was_officer(&avi));
        assert_eq!(after.members_with(CallRole::Reviewer), BTreeSet::from([avi.clone()]));
        let after = take(&avi, &[]);
        assert!(after.was_officer(&avi) && after.by_member.is_empty());
        let after = take(&dana, &[CallRole::Observer]);
        assert!(!after.was_officer(&dana));
        assert!(take(&avi, &[CallRole::Officer]).former_officers.is_empty());
    }

    #[test]
    fn member_lays_down_roles_of_their_own_and_gains_none_by_their_own_word() {
        use CallRole::{Decider, Observer, Reviewer};
        let (avi, dana): (MemberId, MemberId) = ("ISR:avi".parse().unwrap(), "USA:dana".parse().unwrap());
        let by_member = BTreeMap::from([(avi.clone(), [Reviewer, Observer].into()), (dana.clone(), [Decider].into())]);
        let roles = Roles { by_member, ..Roles::default() };
        let said = |member: &MemberId, roles: &[CallRole]| RoleStatement {
            call: "call_01J9ZQ4N6M8V7X5T3R2P1K0HGF".parse().unwrap(),
            number: 2,
            previous: Sha256::of(b"before"),
            member: member.clone(),
            roles: roles.iter().copied().collect(),
        };
        assert!(roles.lays_down(&avi, &said(&avi, &[])) && roles.lays_down(&avi, &said(&avi, &[Observer])));
        for gained in [[Decider].as_slice(), &[Reviewer, Observer], &[Reviewer, Observer, Decider]] {
            assert!(!roles.lays_down(&avi, &said(&avi, gained)), "{gained:?}");
        }
        assert!(!roles.lays_down(&avi, &said(&dana, &[])), "nobody else's");
        assert!(!roles.lays_down(&"KOR:minjun".parse().unwrap(), &said(&"KOR:minjun".parse().unwrap(), &[])));
    }
}
