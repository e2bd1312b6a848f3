//! Who is in the parties of a proposal: asking, joining, leaving; and that signatures lead everybody who is said to have joined back to
//! the one who began it.
//!
//! The exchange can hide that somebody joined or left. It can make nobody a member of a party.

use super::{Client, ClientError, Result, verify::invalid};
use crate::{
    domain::{
        id::{MemberId, ProposalId},
        vault::VaultKind,
    },
    policy::facts::ProposalFacts,
    sealing::statement::{AcceptanceStatement, InvitationStatement, Signed, verify_signed},
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
    /// The colleague is a member, and oneself no longer.
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
                keys.insert(vault.vault.id, self.wrap_to_member(vault.vault.id, &secret, &reader).await?);
            }
        }
        let invitation = self.invitation(id, member).await?;
        self.api().invite(id, member, &AddMember { invitation, keys }).await
    }

    /// That oneself asks a member to join, signed.
    pub(super) async fn invitation(&self, proposal: ProposalId, member: &MemberId) -> Result<String> {
        let statement = InvitationStatement { proposal, member: member.clone(), stated_at: self.stated_at() };
        self.signed(&statement).await
    }

    /// Joins the party that one is asked to join, if the one who asks is a member of the proposal.
    pub async fn accept_invitation(&self, id: ProposalId) -> Result<Proposal> {
        let invitation = self.own_invitation(id).await?;
        let statement = AcceptanceStatement {
            proposal: id,
            member: self.member_id().await?,
            invitation_sha256: invitation.payload_sha256,
            stated_at: self.stated_at(),
        };
        let statement = self.signed(&statement).await?;
        let joined = self.api().accept_invitation(id, &AcceptInvitation { statement }).await?;
        // Who joins has joined. If it fails now, it is made with the signature.
        if let Err(error) = Box::pin(self.prepare_for_letters(id, joined.call)).await {
            self.warn(&format!("what letters to your party alone are sealed to is not made yet: {error}"));
        }
        Ok(joined)
    }

    /// The invitation of oneself that waits for an answer, by a member of the proposal.
    pub(super) async fn own_invitation(&self, id: ProposalId) -> Result<Signed<InvitationStatement>> {
        let me = self.member_id().await?;
        let lines = self.api().joined(id).await?;
        let Some(line) = lines.iter().find(|line| line.member == me && line.acceptance.is_none()) else {
            let proposal = self.api().proposal(id).await?;
            let (reference, is_party) = (&proposal.reference, proposal.mine.is_party);
            let what = if is_party {
                format!("`{me}` is in a party of `{reference}` already")
            } else {
                format!("no invitation of `{me}` to a party of `{reference}` waits for an answer")
            };
            return Err(ClientError::usage(
                what,
                format!("see `entente proposal show {reference}` for who is in the parties"),
            ));
        };
        let invitation = self.verified_invitation(id, line).await?;
        if !self.chains(id, &lines).await?.lead_back(&line.invited_by) {
            return Err(not_led_back(&self.proposal_name(id), &line.invited_by));
        }
        Ok(invitation)
    }

    /// Refuses to hand over to anybody but a colleague; who hands over.
    pub(super) async fn check_hands_over(&self, to: &MemberId) -> Result<MemberId> {
        let me = self.member_id().await?;
        if me == *to {
            return Err(ClientError::usage("you cannot hand over to yourself", "name a colleague"));
        }
        if me.partner() != to.partner() {
            return Err(ClientError::usage(
                format!("`{to}` belongs to another partner than you"),
                "hand over to a colleague; each party has its own members",
            ));
        }
        Ok(me)
    }

    /// Hands over: asks the colleague to join; once they have, takes oneself out if the member agreed to leave.
    pub async fn hand_over(&self, id: ProposalId, to: &MemberId, may_leave: bool) -> Result<HandOver> {
        let me = self.check_hands_over(to).await?;
        let proposal = self.api().proposal(id).await?;
        if proposal.parties.values().any(|members| members.contains(to)) {
            if !may_leave {
                return Err(ClientError::usage(
                    format!("`{to}` has joined meanwhile, so this would take you out; nothing was done"),
                    "hand over again if you mean that",
                ));
            }
            self.check_joined(id, to).await?;
            self.remove_member(id, &me).await?;
            return Ok(HandOver::Done);
        }
        if !proposal.invited.contains(to) {
            self.invite(id, to).await?;
        }
        Ok(HandOver::Asked)
    }

    /// Takes a member out of a proposal, an invitation back, or declines one's own; who leaves it no longer looks for it.
    pub async fn remove_member(&self, id: ProposalId, member: &MemberId) -> Result<()> {
        let me = self.member_id().await?;
        self.api().remove_member(id, member).await?;
        if me == *member {
            self.api().witness().left(id)?;
        }
        Ok(())
    }

    /// Refuses somebody whom the exchange shows as a member of a party, unless signatures lead them back to the one who began the proposal.
    pub(super) async fn check_joined(&self, id: ProposalId, member: &MemberId) -> Result<()> {
        if id.is_of(member) || *member == self.member_id().await? {
            return Ok(());
        }
        let lines = self.api().joined(id).await?;
        if self.chains(id, &lines).await?.lead_back(member) {
            Ok(())
        } else {
            Err(not_led_back(&self.proposal_name(id), member))
        }
    }

    /// Refuses the same, and a colleague whom another party asked: their party's own members ask for what is restricted to it.
    pub(super) async fn check_joined_own(&self, id: ProposalId, colleague: &MemberId) -> Result<()> {
        let me = self.member_id().await?;
        let lines = self.api().joined(id).await?;
        let chains = self.chains(id, &lines).await?;
        if !chains.lead_back(colleague) {
            return Err(not_led_back(&self.proposal_name(id), colleague));
        }
        if chains.first_of_party(colleague).is_disjoint(&chains.first_of_party(&me)) {
            return Err(ClientError::unverified(
                format!(
                    "`{colleague}` was asked into your party of `{}` by another one, so what is restricted to it is not wrapped to them",
                    self.proposal_name(id)
                ),
                "if you want them in it, take them out and ask them yourself: `entente proposal member remove`, then `invite`",
            ));
        }
        Ok(())
    }

    /// What was signed about who asked whom and who accepted; what does not verify is left out.
    async fn chains(&self, id: ProposalId, lines: &[Joined]) -> Result<Chains> {
        let mut chains = Chains { id, asked_by: BTreeMap::new() };
        for line in lines {
            match self.verify_line(id, line).await {
                Ok(true) => {
                    let asked_by = chains.asked_by.entry(line.member.clone()).or_default();
                    asked_by.insert(line.invited_by.clone());
                }
                Ok(false) | Err(ClientError::Unverified { .. }) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(chains)
    }

    /// Whether the member accepted that invitation.
    async fn verify_line(&self, id: ProposalId, line: &Joined) -> Result<bool> {
        let (Some(acceptance), Some(accepted_at)) = (&line.acceptance, line.accepted_at) else { return Ok(false) };
        let invitation = self.verified_invitation(id, line).await?;
        let signed: Signed<AcceptanceStatement> = verify_signed(acceptance)?;
        let AcceptanceStatement { proposal, member, invitation_sha256, .. } = &signed.statement;
        if *proposal != id || *member != line.member || *invitation_sha256 != invitation.payload_sha256 {
            return Ok(false);
        }
        self.check_signed_by(&signed, &line.member, accepted_at.0).await?;
        Ok(true)
    }

    async fn verified_invitation(&self, id: ProposalId, line: &Joined) -> Result<Signed<InvitationStatement>> {
        let signed: Signed<InvitationStatement> = verify_signed(&line.invitation)?;
        if signed.statement.proposal != id || signed.statement.member != line.member {
            return Err(invalid(format!("the invitation of `{}` is for somebody or something else", line.member)));
        }
        self.check_signed_by(&signed, &line.invited_by, line.invited_at.0).await?;
        Ok(signed)
    }

    /// By the exchange's clock where it was heard, to the millisecond: a wrong clock of this machine makes nobody late.
    fn stated_at(&self) -> Timestamp {
        let now = self.exchange_now();
        Timestamp::from_millisecond(now.as_millisecond()).unwrap_or(now)
    }
}

fn not_led_back(name: &str, member: &MemberId) -> ClientError {
    ClientError::unverified(
        format!(
            "the exchange shows `{member}` in a party of `{name}`, but no chain of signatures leads from them to the member who began it"
        ),
        "nothing that they sign is believed, and nothing is wrapped to them; tell the other parties, the call's officers and the host's operator",
    )
}

/// Who was asked by whom and accepted, as they signed it.
struct Chains {
    id: ProposalId,
    asked_by: BTreeMap<MemberId, BTreeSet<MemberId>>,
}

impl Chains {
    /// Whether some chain ends at the member who began the proposal.
    fn lead_back(&self, member: &MemberId) -> bool {
        self.reached(member, |_, _| true).iter().any(|reached| self.id.is_of(reached))
    }

    /// The first ones of the member's own party: those to whom its other members are led back, and whom somebody else asked.
    fn first_of_party(&self, member: &MemberId) -> BTreeSet<MemberId> {
        let own = self.reached(member, |now, by| now.partner() == by.partner());
        let is_first = |now: &MemberId| {
            let by_others = self.asked_by.get(now).into_iter().flatten().filter(|by| by.partner() != now.partner());
            self.id.is_of(now) || by_others.into_iter().any(|by| self.lead_back(by))
        };
        own.into_iter().filter(is_first).collect()
    }

    /// Everybody to whom a chain leads, the member among them, going on where `goes` says so.
    fn reached(&self, member: &MemberId, goes: impl Fn(&MemberId, &MemberId) -> bool) -> BTreeSet<MemberId> {
        let (mut reached, mut open) = (BTreeSet::from([member.clone()]), vec![member.clone()]);
        while let Some(now) = open.pop() {
            for by in self.asked_by.get(&now).into_iter().flatten().filter(|by| goes(&now, by)) {
                if reached.insert(by.clone()) {
                    open.push(by.clone());
                }
            }
        }
        reached
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::ambient::{SystemClock, SystemRng};

    fn id(member: &str) -> MemberId {
        member.parse().unwrap()
    }

    fn chains(asked: &[(&str, &str)]) -> Chains {
        let mut asked_by = BTreeMap::<MemberId, BTreeSet<MemberId>>::new();
        for (member, by) in asked {
            asked_by.entry(id(member)).or_default().insert(id(by));
        }
        Chains { id: ProposalId::new_of(&id("USA:bob"), &SystemClock, &SystemRng), asked_by }
    }

    #[test]
    fn chain_leads_back_to_the_one_who_began_the_proposal_or_nowhere() {
        let asked =
            [("ISR:avi", "USA:bob"), ("ISR:tamar", "ISR:avi"), ("ISR:mole", "ISR:yael"), ("ISR:yael", "ISR:mole")];
        let chains = chains(&asked);
        for member in ["USA:bob", "ISR:avi", "ISR:tamar"] {
            assert!(chains.lead_back(&id(member)), "{member}");
        }
        for member in ["ISR:mole", "ISR:yael", "USA:opal"] {
            assert!(!chains.lead_back(&id(member)), "{member}");
        }
    }

    #[test]
    fn who_left_and_was_asked_again_breaks_no_chain() {
        let chains = chains(&[("ISR:avi", "USA:bob"), ("ISR:tamar", "ISR:avi"), ("ISR:avi", "ISR:tamar")]);
        assert!(chains.lead_back(&id("ISR:avi")) && chains.lead_back(&id("ISR:tamar")));
    }

    #[test]
    fn party_is_those_whom_its_own_members_asked() {
        let asked =
            [("ISR:avi", "USA:bob"), ("ISR:mole", "USA:bob"), ("ISR:tamar", "ISR:avi"), ("ISR:gal", "ISR:tamar")];
        let chains = chains(&asked);
        let first = |member: &str| chains.first_of_party(&id(member));
        assert_eq!(first("ISR:gal"), [id("ISR:avi")].into());
        assert!(!first("ISR:gal").is_disjoint(&first("ISR:avi")));
        assert!(first("ISR:mole").is_disjoint(&first("ISR:avi")));
        assert_eq!(first("USA:bob"), [id("USA:bob")].into());
    }
}
