//! A change of a member's roles in a call: planned from what was signed about them, shown with what was before, and made only if
//! that is still so.
//!
//! The plan names each nation that would be left without an officer or without a decider: it loses its say, and nobody of the other
//! nations need have noticed.

use super::{Client, ClientError, Result};
use crate::{
    domain::{
        id::{CallId, MemberId},
        member::CallRole,
    },
    wire::call::RoleHolder,
};
use std::collections::{BTreeMap, BTreeSet};

/// What is to be done with the roles that a member has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RoleChange {
    /// These take the place of all that the member has.
    Set(BTreeSet<CallRole>),
    /// These come to those that the member has.
    Add(BTreeSet<CallRole>),
    /// These go; the others stay.
    Remove(BTreeSet<CallRole>),
}

/// A change of roles, with what was before it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RolePlan {
    pub call: CallId,
    pub member: MemberId,
    pub before: BTreeSet<CallRole>,
    pub after: BTreeSet<CallRole>,
    /// What the member's nation would be left without, as far as the caller may know who has which role.
    pub last_of: BTreeSet<CallRole>,
}

/// Roles whose last holder a nation loses only after a question.
const FEARED_FOR: [CallRole; 2] = [CallRole::Officer, CallRole::Decider];

impl RoleChange {
    fn applied_to(&self, before: &BTreeSet<CallRole>) -> BTreeSet<CallRole> {
        match self {
            Self::Set(roles) => roles.clone(),
            Self::Add(roles) => before | roles,
            Self::Remove(roles) => before - roles,
        }
    }
}

impl RolePlan {
    fn of(
        call: CallId,
        member: &MemberId,
        by_member: &BTreeMap<MemberId, BTreeSet<CallRole>>,
        change: &RoleChange,
    ) -> Self {
        let before = by_member.get(member).cloned().unwrap_or_default();
        let after = change.applied_to(&before);
        let has_another = |role: &CallRole| {
            let of_nation = |other: &MemberId| other != member && other.partner() == member.partner();
            by_member.iter().any(|(other, roles)| of_nation(other) && roles.contains(role))
        };
        let is_lost = |role: &CallRole| before.contains(role) && !after.contains(role) && !has_another(role);
        let last_of = FEARED_FOR.into_iter().filter(is_lost).collect();
        Self { call, member: member.clone(), before, after, last_of }
    }

    /// Whether it changes anything.
    #[must_use]
    pub fn changes(&self) -> bool {
        self.before != self.after
    }

    /// What it would leave the member's nation without, in a sentence; none if every nation keeps what it has.
    #[must_use]
    pub fn warning(&self) -> Option<String> {
        let partner = self.member.partner();
        let lost = |role: &CallRole| match role {
            CallRole::Officer => format!(
                "{partner} has no other officer in the call: any officer of another nation can then change its deciders"
            ),
            _ => format!("{partner} has no other decider in the call: nobody can then sign decisions for it"),
        };
        let sentences: Vec<String> = self.last_of.iter().map(lost).collect();
        (!sentences.is_empty()).then(|| sentences.join("; "))
    }
}

impl Client {
    /// Plans a change of a member's roles: of a published call from what was signed about them, of a draft from what the exchange
    /// states. Observers, who are not shown who has which role, know their own.
    pub async fn plan_roles(&self, id: CallId, member: &MemberId, change: &RoleChange) -> Result<RolePlan> {
        let call = self.api().call(id).await?.body;
        let is_own = *member == self.member_id().await?;
        let observes = call.my_roles.len() == 1 && call.my_roles.contains(&CallRole::Observer);
        let by_member = if is_own && observes {
            BTreeMap::from([(member.clone(), call.my_roles.clone())])
        } else if call.publication.is_none() {
            let holders = self.api().roles(id).await?;
            holders.into_iter().map(|holder| (holder.member, holder.roles)).collect()
        } else {
            self.signed_roles(&self.verify_call(call).await?).await?
        };
        Ok(RolePlan::of(id, member, &by_member, change))
    }

    /// Makes the change, by an officer who vouches for so many statements about roles, though some can no longer be proven.
    ///
    /// # Errors
    /// Among others when the member's roles are no longer those that the plan began from.
    pub async fn change_roles(&self, plan: &RolePlan, vouched: Option<u32>) -> Result<RoleHolder> {
        let present = self.plan_roles(plan.call, &plan.member, &RoleChange::Set(plan.after.clone())).await?.before;
        if present != plan.before {
            return Err(ClientError::usage(
                format!("the roles of `{}` have changed meanwhile", plan.member),
                "look at them with `entente call role list`, and make the change again",
            ));
        }
        self.grant_roles_vouching(plan.call, &plan.member, &plan.after, vouched).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use CallRole::{Decider, Observer, Officer, Reviewer};

    fn id(text: &str) -> MemberId {
        text.parse().unwrap()
    }

    fn plan(member: &str, change: &RoleChange) -> RolePlan {
        let by_member = [
            ("USA:dana", [Officer].into()),
            ("USA:olivia", [Officer].into()),
            ("USA:frank", [Decider, Observer].into()),
            ("ISR:noa", [Officer, Decider].into()),
        ];
        let by_member = by_member.map(|(member, roles)| (id(member), roles)).into();
        RolePlan::of("call_01J9ZQ4N6M8V7X5T3R2P1K0HGF".parse().unwrap(), &id(member), &by_member, change)
    }

    #[test]
    fn roles_are_added_to_those_that_are_there_and_taken_from_them() {
        let added = plan("USA:frank", &RoleChange::Add([Reviewer].into()));
        assert_eq!((&added.before, &added.after), (&[Decider, Observer].into(), &[Decider, Observer, Reviewer].into()));
        assert_eq!(plan("GBR:grace", &RoleChange::Add([Reviewer].into())).after, [Reviewer].into());
        assert_eq!(plan("USA:frank", &RoleChange::Remove([Observer, Reviewer].into())).after, [Decider].into());
        assert_eq!(plan("USA:frank", &RoleChange::Set([Reviewer].into())).after, [Reviewer].into());
        assert!(!plan("USA:dana", &RoleChange::Add([Officer].into())).changes() && added.changes());
    }

    #[test]
    fn nation_that_loses_its_last_officer_or_decider_is_named() {
        let lost = |member: &str, change: RoleChange| plan(member, &change).last_of;
        assert_eq!(lost("ISR:noa", RoleChange::Set(BTreeSet::new())), [Officer, Decider].into());
        assert_eq!(lost("ISR:noa", RoleChange::Remove([Officer].into())), [Officer].into());
        assert_eq!(lost("USA:frank", RoleChange::Remove([Decider].into())), [Decider].into());
        assert_eq!(lost("USA:frank", RoleChange::Remove([Observer].into())), BTreeSet::new());
        assert_eq!(lost("USA:dana", RoleChange::Remove([Officer].into())), BTreeSet::new(), "Olivia is one, too");
        assert_eq!(lost("USA:dana", RoleChange::Add([Decider].into())), BTreeSet::new());
        let warning = plan("ISR:noa", &RoleChange::Set(BTreeSet::new())).warning().unwrap();
        assert!(
            warning.starts_with("ISR has no other officer") && warning.contains("; ISR has no other decider"),
            "{warning}"
        );
        assert_eq!(plan("USA:dana", &RoleChange::Set(BTreeSet::new())).warning(), None);
    }
}
