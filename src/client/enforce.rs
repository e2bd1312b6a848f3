//! Whom a key may be wrapped to: the key's holder evaluates the policies that the nations signed, whatever the exchange says.
//!
//! The engine is the one that the exchange decides with; policies are verified up to the pinned partner cards, and facts are those
//! of `facts`, which separates what this machine verified from what it took unverified.

use super::{
    Client, ClientError, Result,
    directory::{FRESH, PARTNERS},
    verified::VerifiedMember,
    verify::invalid,
};
use crate::{
    domain::{
        id::{MemberId, PartnerCode, Sha256},
        label::Label,
        policy::PolicyOwner,
        vault::VaultKind,
    },
    policy::{
        Action, AuthorizationTrace, Engine, Guardrails, PartnerRules, Resource, Side, Standing,
        facts::{CallFacts, MemberFacts, ProposalFacts},
    },
    remembered::Remembered,
    wire::policy::PolicyVersion,
};
use jiff::Timestamp;
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};
use tokio::sync::OnceCell;

/// Somebody to whom a key may be wrapped.
///
/// INVARIANT: only this file makes one, and wrapping to a member takes one. So no place that wraps can forget to ask.
#[derive(Debug)]
pub(super) struct Admitted(Arc<VerifiedMember>);

impl Admitted {
    pub(super) fn member(&self) -> &VerifiedMember {
        &self.0
    }
}

/// The policies in force that were read and verified, and which partner hosts.
#[derive(Debug, Default)]
pub(super) struct PolicyCache {
    read: Remembered<PolicyOwner, InForce, PARTNERS>,
    host: OnceCell<PartnerCode>,
}

/// A version that is in force, with the instant at which the exchange was asked.
#[derive(Debug, Clone)]
struct InForce {
    version: u32,
    text_sha256: Sha256,
    rules: Rules,
    read_at: Timestamp,
}

#[derive(Debug, Clone)]
enum Rules {
    Guardrails(Arc<Guardrails>),
    Partner(Arc<PartnerRules>),
}

/// Signed policies, ready to be asked.
struct Policies {
    engine: Engine,
    /// Which version of each owner's; an owner without any is left out, and then permits nothing.
    versions: BTreeMap<PolicyOwner, u32>,
}

impl Client {
    /// Whether the policies in force let a member read what a vault of a proposal protects.
    ///
    /// There is no check of oneself: a member who can wrap a key holds it. A refusal is given only by policies read this moment.
    pub(super) async fn admit(
        &self,
        reader: &MemberId,
        kind: VaultKind,
        party: Option<&PartnerCode>,
        facts: &ProposalFacts,
    ) -> Result<Admitted> {
        let (action, resource) = match (kind, party) {
            (VaultKind::Panel, _) => (Action::Read, Resource::Proposal(facts)),
            (VaultKind::Parties, _) => (Action::ReadLetter, Resource::Proposal(facts)),
            (VaultKind::Deliberation, _) => (Action::ViewDeliberation, Resource::Proposal(facts)),
            (VaultKind::Staff, Some(owner)) if facts.gets_letters_alone(reader, owner) => {
                (Action::ReadLetter, Resource::Proposal(facts))
            }
            (VaultKind::Staff, Some(owner)) => (Action::ReadStaff, Resource::StaffSlots { proposal: facts, owner }),
            (VaultKind::Staff, None) | (VaultKind::Call, _) => {
                return Err(invalid(format!("a `{kind}` vault of a proposal is not for anyone to read")));
            }
        };
        // Whom oneself asks to join stands among those who are asked, so a member of a party is one who is said to have joined.
        let me = self.member_id().await?;
        if facts.party_members.contains(reader) && *reader != me {
            // Officers pass on what a party restricts to itself, too, and do not learn who asked whom for it.
            if kind == VaultKind::Staff && facts.party_members.contains(&me) {
                self.check_joined_own(facts.id, reader).await?;
            } else {
                self.check_joined(facts.id, reader).await?;
            }
        }
        if let Some(label) = facts.label.as_ref().filter(|label| !label.admits(reader.partner())) {
            return Err(outside(label, reader, kind));
        }
        let mut partners = facts.parties.clone();
        partners.insert(reader.partner().clone());
        self.ask_policies(reader, kind, &partners, action, resource).await
    }

    /// Whether the guardrails in force let a member hold the key of a call's vault.
    pub(super) async fn admit_officer(&self, officer: &MemberId, facts: &CallFacts) -> Result<Admitted> {
        let nobody = BTreeSet::new();
        self.ask_policies(officer, VaultKind::Call, &nobody, Action::UseCallVault, Resource::Call(facts)).await
    }

    /// The partner that hosts. Which one does is the exchange's word, so it is believed once.
    pub(super) async fn host(&self) -> Result<PartnerCode> {
        let ask = || async { self.home().see_host(self.api().me().await?.host) };
        self.0.policies.host.get_or_try_init(ask).await.cloned()
    }

    async fn ask_policies(
        &self,
        reader: &MemberId,
        kind: VaultKind,
        partners: &BTreeSet<PartnerCode>,
        action: Action,
        resource: Resource<'_>,
    ) -> Result<Admitted> {
        let member = self.member(reader).await?;
        if *reader == self.member_id().await? {
            return Ok(Admitted(member));
        }
        let host = self.host().await?;
        let principal = member_facts(&member, &host);
        let policies = self.policies_of(partners, false).await?;
        if policies.engine.explain(&principal, action, resource).standing == Standing::Permitted {
            return Ok(Admitted(member));
        }
        // What was read a moment ago may have been replaced by what permits it.
        let policies = self.policies_of(partners, true).await?;
        let decision = policies.engine.explain(&principal, action, resource);
        if decision.standing == Standing::Permitted {
            return Ok(Admitted(member));
        }
        Err(refusal(&decision, reader, kind, &policies.versions, &host))
    }

    /// The guardrails and these partners' policies. A partner that has none permits nothing.
    async fn policies_of(&self, partners: &BTreeSet<PartnerCode>, read_again: bool) -> Result<Policies> {
        let (mut guardrails, mut of_partners, mut versions) = (None, Vec::new(), BTreeMap::new());
        let owners = partners.iter().cloned().map(PolicyOwner::Partner);
        for owner in std::iter::once(PolicyOwner::Guardrails).chain(owners) {
            let Some(present) = self.rules_of(&owner, read_again).await? else { continue };
            versions.insert(owner, present.version);
            match present.rules {
                Rules::Guardrails(rules) => guardrails = Some(rules),
                Rules::Partner(rules) => of_partners.push(rules),
            }
        }
        let guardrails = guardrails.unwrap_or_else(|| Arc::new(Guardrails::none()));
        Ok(Policies { engine: Engine::new(guardrails, of_partners), versions })
    }

    async fn rules_of(&self, owner: &PolicyOwner, read_again: bool) -> Result<Option<InForce>> {
        let known = self.0.policies.read.get(owner);
        let now = self.now();
        if let Some(known) = &known
            && !read_again
            && now.duration_since(known.read_at).abs() <= FRESH
        {
            return Ok(Some(known.clone()));
        }
        let Some(policy) = self.policy_in_force(owner).await? else { return Ok(None) };
        let rules = match known {
            Some(known) if known.text_sha256 == policy.text_sha256 => known.rules,
            _ => read(owner, &policy)?,
        };
        let present = InForce { version: policy.version, text_sha256: policy.text_sha256, rules, read_at: now };
        self.0.policies.read.insert(owner.clone(), present.clone());
        Ok(Some(present))
    }
}

/// A signed text with the code that the exchange reads it with.
fn read(owner: &PolicyOwner, policy: &PolicyVersion) -> Result<Rules> {
    let (place, text) = (owner.to_string(), policy.text.as_deref().unwrap_or_default());
    let read = match owner {
        PolicyOwner::Guardrails => Guardrails::shared(&place, text).map(Rules::Guardrails),
        PolicyOwner::Partner(code) => PartnerRules::shared(&place, code, text).map(Rules::Partner),
    };
    read.map_err(|error| {
        ClientError::local(
            error.to_string(),
            "nothing was wrapped; these policies may need a newer version of this program",
        )
    })
}

fn member_facts(member: &VerifiedMember, host: &PartnerCode) -> MemberFacts {
    MemberFacts {
        id: member.id().clone(),
        organisation: member.card.organisation.clone(),
        roles: member.card.roles.clone(),
        host: member.id().partner() == host,
    }
}

/// The owners say no, whatever the policies in force would permit.
fn outside(label: &Label, reader: &MemberId, kind: VaultKind) -> ClientError {
    ClientError::unverified(
        format!("the owners signed `{label}`, which does not let the {kind} vault be wrapped to `{reader}`"),
        "nothing was wrapped to them; only the parties can relabel the proposal, with `entente proposal label`",
    )
}

/// Who says no, by which version, and whom to inform.
fn refusal(
    decision: &AuthorizationTrace,
    reader: &MemberId,
    kind: VaultKind,
    versions: &BTreeMap<PolicyOwner, u32>,
    host: &PartnerCode,
) -> ClientError {
    let reasons = decision.reasons();
    let Some(first) = reasons.iter().next() else {
        return invalid(format!("no policy permits a key to the {kind} vault for `{reader}`"));
    };
    let (owner, officers) = match &first.side {
        Side::Guardrails => (PolicyOwner::Guardrails, host),
        Side::Release(code) | Side::Reader(code) => (PolicyOwner::Partner(code.clone()), code),
    };
    let whose = match versions.get(&owner) {
        Some(version) => format!("version {version} of the policies of `{owner}` does not permit"),
        None => format!("`{owner}` has no policies in force, which permits nothing, not"),
    };
    let by = first.policy.as_ref().map(|policy| format!(" (`{policy}`)")).unwrap_or_default();
    ClientError::unverified(
        format!("{whose} to wrap the {kind} vault to `{reader}`: {}{by}", first.sentence),
        format!("nothing was wrapped to them; if the exchange asks for it, tell the policy officers of `{officers}`"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        client::facts::tests::{OPEN, OPENED, engine, facts, panel},
        domain::call::Phase,
    };

    #[test]
    fn refusal_names_the_version_that_says_no_and_whom_to_tell() {
        let facts = facts(Phase::Review, OPENED, panel());
        let (reader, host): (MemberId, PartnerCode) = ("GBR:done".parse().unwrap(), "USA".parse().unwrap());
        let member = MemberFacts { id: reader.clone(), organisation: String::new(), roles: [].into(), host: false };
        let versions = |owners: &[&str]| owners.iter().map(|owner| (owner.parse().unwrap(), 3)).collect();
        let refused = |engine: &Engine, owners: &[&str]| {
            let decision = engine.explain(&member, Action::Read, Resource::Proposal(&facts));
            refusal(&decision, &reader, VaultKind::Panel, &versions(owners), &host)
        };
        let shut = r#"@id("nobody") @side("release") @reason("nothing is released")
forbid(principal, action, resource is Proposal);"#;
        let israel = Arc::new(PartnerRules::parse("ISR", &"ISR".parse().unwrap(), shut).unwrap());
        let open =
            ["USA", "GBR"].map(|code| Arc::new(PartnerRules::parse(code, &code.parse().unwrap(), OPEN).unwrap()));
        let shut = Engine::new(Arc::new(Guardrails::built_in()), open.into_iter().chain([israel]));
        let error = refused(&shut, &["ISR", "USA", "GBR", "guardrails"]);
        assert_eq!(error.class().code(), 4);
        let text = error.to_string();
        assert!(text.contains("version 3 of the policies of `ISR`") && text.contains("`ISR/nobody`"), "{text}");
        assert!(error.help().contains("policy officers of `ISR`"), "{}", error.help());
        let error = refused(&engine(&["ISR", "USA"]), &["ISR", "USA", "guardrails"]);
        assert!(error.to_string().contains("`GBR` has no policies in force"), "{error}");
        let error = refused(&Engine::new(Arc::new(Guardrails::none()), []), &["guardrails"]);
        assert!(error.help().contains("policy officers of `USA`"), "{}", error.help());
    }
}
