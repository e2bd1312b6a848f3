//! Who is in the parties of a proposal: asking, joining, leaving; and that signatures lead everybody who is said to have joined back to
//! whoever began it.
//!
//! The exchange can hide that somebody joined or left. It can make nobody a member of a party.

use super::{Client, ClientError, Result, verify::invalid};
use crate::{
    domain::{
        id::{MemberId, ProposalId},
        vault::VaultKind,
    },
    policy::facts::ProposalFacts,
    sealing::statement::{AcceptanceStatement, InvitationStatement, Signed, sign_statement, verify_signed},
    wire::proposal::{AcceptInvitation, AddMember, Joined, Proposal},
};
use jiff::Timestamp;
use std::collections::{BTreeMap, BTreeSet};
use tokio::sync::OnceCell;

/// What came of handing over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HandOver {
    /// The colleague is asked to join; once they have, it is done by handing over again.
    Asked,
    /// The colleague is a member, and oneself is none any more.
    Done,
}

impl Client {
    /// Asks a colleague to join one's own party, or somebody to join a party that nobody has joined, with keys to what they will read.
    pub async fn invite(&self, id: ProposalId, member: &MemberId) -> Result<Proposal> {
        let proposal = self.api().proposal(id).await?;
        let call = self.call(proposal.call).await?;
        let me = self.member_id().await?;
        let is_colleague = member.partner() == me.partner();
        if !is_colleague && proposal.parties.get(member.partner()).is_none_or(|members| !members.is_empty()) {
            return Err(ClientError::usage(
                format!("`{member}` belongs to another partner than you"),
                "each party asks its own members; ask the counterpart",
            ));
        }
        let vaults = self.api().vaults(id).await?;
        // As they will be asked; found out only if there is something to wrap.
        let facts = OnceCell::new();
        let asked = || async {
            let mut facts = self.proposal_facts(&proposal, &call, &vaults).await?;
            facts.invited.insert(member.clone());
            Ok::<ProposalFacts, ClientError>(facts)
        };
        let mut kinds = vec![(VaultKind::Panel, None), (VaultKind::Parties, None)];
        if is_colleague {
            kinds.push((VaultKind::Staff, Some(me.partner())));
        }
        let mut keys = BTreeMap::new();
        for (kind, party) in kinds {
            if let Some(vault) = self.find_vault(&vaults, kind, party, &proposal, &call).await? {
                let reader = self.admit(member, kind, party, facts.get_or_try_init(asked).await?).await?;
                let secret = self.open_vault(&vault, &call).await?;
                keys.insert(vault.vault.id, self.wrap_to_member(vault.vault.id, &secret, &reader)?);
            }
        }
        let invitation = self.invitation(id, member)?;
        self.api().invite(id, member, &AddMember { invitation, keys }).await
    }

    /// That oneself asks a member to join, signed.
    pub(super) fn invitation(&self, proposal: ProposalId, member: &MemberId) -> Result<String> {
        let statement = InvitationStatement { proposal, member: member.clone(), stated_at: self.stated_at() };
        Ok(sign_statement(&*self.signing_key()?, &statement)?)
    }

    /// Joins the party that one is asked to join, if whoever asks is a member of the proposal.
    pub async fn accept_invitation(&self, id: ProposalId) -> Result<Proposal> {
        let me = self.member_id().await?;
        let lines = self.lines(id).await?;
        let Some(line) = lines.get(&me).filter(|line| line.acceptance.is_none()) else {
            return Err(ClientError::usage(
                format!("no invitation of `{me}` to a party of `{id}` waits for an answer"),
                "see `entente proposal show` for who is in the parties",
            ));
        };
        let invitation = self.verified_invitation(id, line).await?;
        self.check_led_back(id, &line.invited_by, &lines).await?;
        let statement = AcceptanceStatement {
            proposal: id,
            member: me,
            invitation_sha256: invitation.payload_sha256,
            stated_at: self.stated_at(),
        };
        let statement = sign_statement(&*self.signing_key()?, &statement)?;
        self.api().accept_invitation(id, &AcceptInvitation { statement }).await
    }

    /// Hands over: asks the colleague to join; once they have, takes oneself out.
    pub async fn hand_over(&self, id: ProposalId, to: &MemberId) -> Result<HandOver> {
        let me = self.member_id().await?;
        if me == *to {
            return Err(ClientError::usage("you cannot hand over to yourself", "name a colleague"));
        }
        let proposal = self.api().proposal(id).await?;
        if proposal.parties.values().any(|members| members.contains(to)) {
            self.remove_member(id, &me).await?;
            return Ok(HandOver::Done);
        }
        if !proposal.invited.contains(to) {
            self.invite(id, to).await?;
        }
        Ok(HandOver::Asked)
    }

    /// Takes a member out of a proposal, an invitation back, or declines one's own; who leaves it does not look for it any more.
    pub async fn remove_member(&self, id: ProposalId, member: &MemberId) -> Result<()> {
        let me = self.member_id().await?;
        self.api().remove_member(id, member).await?;
        if me == *member {
            self.api().witness().left(id)?;
        }
        Ok(())
    }

    /// Refuses somebody whom the exchange shows as a member of a party, unless signatures lead them back to whoever began the proposal.
    pub(super) async fn check_joined(&self, id: ProposalId, member: &MemberId) -> Result<()> {
        if id.is_of(member) || *member == self.member_id().await? {
            return Ok(());
        }
        let lines = self.lines(id).await?;
        self.check_led_back(id, member, &lines).await
    }

    async fn lines(&self, id: ProposalId) -> Result<BTreeMap<MemberId, Joined>> {
        let lines = self.api().joined(id).await?;
        Ok(lines.into_iter().map(|line| (line.member.clone(), line)).collect())
    }

    async fn check_led_back(
        &self,
        id: ProposalId,
        member: &MemberId,
        lines: &BTreeMap<MemberId, Joined>,
    ) -> Result<()> {
        let (mut now, mut seen) = (member, BTreeSet::new());
        while !id.is_of(now) {
            let line = lines.get(now).filter(|_| seen.insert(now));
            let accepted = line.and_then(|line| Some((line, line.acceptance.as_deref()?, line.accepted_at?)));
            let Some((line, acceptance, accepted_at)) = accepted else {
                return Err(ClientError::unverified(
                    format!(
                        "the exchange shows `{member}` as a member of a party of `{id}`, but no signatures lead them back to whoever began it"
                    ),
                    "nothing was wrapped to them and nothing of theirs believed; tell the other parties, the call's officers and the \
                     host's operator",
                ));
            };
            let invitation = self.verified_invitation(id, line).await?;
            let signed: Signed<AcceptanceStatement> = verify_signed(acceptance)?;
            let AcceptanceStatement { proposal, member: whose, invitation_sha256, .. } = &signed.statement;
            if *proposal != id || whose != now || *invitation_sha256 != invitation.payload_sha256 {
                return Err(invalid(format!("what `{now}` accepted is another invitation")));
            }
            self.check_signed_by(&signed, now, accepted_at.0).await?;
            now = &line.invited_by;
        }
        Ok(())
    }

    async fn verified_invitation(&self, id: ProposalId, line: &Joined) -> Result<Signed<InvitationStatement>> {
        let signed: Signed<InvitationStatement> = verify_signed(&line.invitation)?;
        if signed.statement.proposal != id || signed.statement.member != line.member {
            return Err(invalid(format!("the invitation of `{}` is for somebody or something else", line.member)));
        }
        self.check_signed_by(&signed, &line.invited_by, line.invited_at.0).await?;
        Ok(signed)
    }

    fn stated_at(&self) -> Timestamp {
        let now = self.now();
        Timestamp::from_millisecond(now.as_millisecond()).unwrap_or(now)
    }
}
