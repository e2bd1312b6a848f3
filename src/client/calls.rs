//! Calls: drafting, publishing with a vault made here, and reading them only once their publication verified.

use super::{
    Client, ClientError, Result, facts::call_facts, participation::Roles, transport::Tagged, verified::VerifiedCall,
    verify::invalid,
};
use crate::{
    domain::{
        call::Phase,
        id::{CallId, MemberId, PartnerCode, ProgramId, Sha256, VaultId},
        member::CallRole,
        vault::VaultKind,
    },
    reading,
    sealing::{
        statement::{CallPublication, Signed, VaultStatement, verify_signed},
        vault::VaultSecret,
    },
    wire::{
        call::{Amended, Call, CallText, DraftCall, EditCall, GrantRoles, PublishCall, RoleHolder},
        proposal::AddKeys,
    },
};
use http::Method;
use std::{collections::BTreeSet, sync::Arc};

/// A draft that is about to be published.
#[derive(Debug)]
pub struct PublicationPlan {
    call: Call,
    etag: String,
    roles: Roles,
}

impl PublicationPlan {
    /// The draft.
    #[must_use]
    pub fn call(&self) -> &Call {
        &self.call
    }

    /// The partners of its program.
    #[must_use]
    pub fn partners(&self) -> &BTreeSet<PartnerCode> {
        &self.roles.partners
    }

    /// The members whom the roll would name with a role.
    #[must_use]
    pub fn members_with(&self, role: CallRole) -> BTreeSet<MemberId> {
        self.roles.members_with(role)
    }
}

impl Client {
    /// Drafts a call.
    pub async fn draft_call(&self, program: ProgramId, text: &CallText) -> Result<Call> {
        text.to_domain()?;
        let drafted = self.api().draft_call(&DraftCall { program, text: text.clone() }).await?.body;
        self.home().see_draft(drafted.id, text.digest())?;
        Ok(drafted)
    }

    /// Replaces the text of a draft.
    pub async fn edit_call(&self, id: CallId, text: &CallText) -> Result<Call> {
        text.to_domain()?;
        let etag = tag(&self.api().call(id).await?)?;
        let edited = self.api().edit_call(id, &etag, &EditCall { text: text.clone() }).await?.body;
        self.home().see_draft(id, text.digest())?;
        Ok(edited)
    }

    /// Deletes a call that was never published, cancelled or not, in the state that the exchange shows now.
    pub async fn delete_draft(&self, id: CallId) -> Result<()> {
        let etag = tag(&self.api().call(id).await?)?;
        self.api().transport().send_only(Method::DELETE, &format!("/v1/calls/{id}"), None::<&()>, Some(&etag)).await
    }

    /// Publishes a draft as it is now.
    pub async fn publish_call(&self, id: CallId) -> Result<Call> {
        self.publish_planned(&self.plan_publication(id).await?).await
    }

    /// A draft as it would be published now, with the roll of members that would be signed.
    ///
    /// A draft that this machine wrote is published only if it is still that text.
    pub async fn plan_publication(&self, id: CallId) -> Result<PublicationPlan> {
        let drafted = self.api().call(id).await?;
        let (etag, call) = (tag(&drafted)?, drafted.body);
        if call.phase != Phase::Draft {
            return Err(ClientError::usage("the call is published already", "change it with `entente call amend`"));
        }
        if self.home().drafted(id)?.is_some_and(|digest| digest != call.text.digest()) {
            return Err(ClientError::unverified(
                "the draft is not the text that this machine sent last",
                "another officer may have edited it: look at it, send the text you mean with `entente call edit`, then publish",
            ));
        }
        let me = self.member_id().await?;
        if *me.partner() != call.lead {
            return Err(ClientError::usage(
                format!(
                    "only an officer of the lead, `{}`, can sign the publication, or nobody would believe it",
                    call.lead
                ),
                "ask one of them to publish",
            ));
        }
        let holders = self.api().roles(id).await?;
        let by_member = holders.into_iter().map(|holder| (holder.member, holder.roles)).collect();
        let roles = Roles::unsigned(by_member, self.api().program(call.program).await?.partners);
        let rules = call.text.to_domain()?;
        roles.by_member.iter().try_for_each(|(member, roles)| rules.check_roles(member, roles))?;
        Ok(PublicationPlan { call, etag, roles })
    }

    /// Publishes exactly what was planned: makes the call's vault here, wraps it to every officer and signs the text. Had the draft changed
    /// meanwhile, the exchange refuses.
    pub async fn publish_planned(&self, plan: &PublicationPlan) -> Result<Call> {
        let PublicationPlan { call, etag, roles } = plan;
        let (id, me) = (call.id, self.member_id().await?);
        let vault = VaultId::new_of(&me, &*self.ambient().clock, &*self.ambient().rng);
        let secret = VaultSecret::generate();
        let statement = VaultStatement {
            vault,
            kind: VaultKind::Call,
            call: id,
            proposal: None,
            party: None,
            recipient: secret.recipient().to_owned(),
        };
        let mut keys = Vec::new();
        let facts = call_facts(call, &call.text.to_domain()?, roles, self.now());
        for officer in facts.officers() {
            let officer = self.admit_officer(officer, &facts).await?;
            keys.extend(self.wrap_to_member(vault, &secret, &officer).await?);
        }
        let publication = publication(call, 1, vault, secret.recipient(), &me)?;
        let body = PublishCall {
            publication: self.signed(&publication).await?,
            vault: Some(self.signed(&statement).await?),
            roll: Some(self.roll(id, roles).await?),
            keys,
            reason: None,
            voids: None,
            dry_run: false,
        };
        let published = self.api().publish_call(id, etag, &body).await?.body;
        self.home().see_publication(&publication)?;
        Ok(published)
    }

    /// What amending a published call would do.
    pub async fn preview_amendment(&self, id: CallId, text: &CallText, reason: &str) -> Result<Amended> {
        Ok(self.send_amendment(id, text, reason, None, true).await?.0)
    }

    /// Amends a published call. `voids` is how many proposals must be signed again, as [`Client::preview_amendment`] said.
    pub async fn amend_call(&self, id: CallId, text: &CallText, reason: &str, voids: Option<u32>) -> Result<Amended> {
        let (amended, publication) = self.send_amendment(id, text, reason, voids, false).await?;
        self.home().see_publication(&publication)?;
        Ok(amended)
    }

    async fn send_amendment(
        &self,
        id: CallId,
        text: &CallText,
        reason: &str,
        voids: Option<u32>,
        dry_run: bool,
    ) -> Result<(Amended, CallPublication)> {
        text.to_domain()?;
        let present = self.api().call(id).await?;
        let etag = tag(&present)?;
        let (call, present) = self.call_to_amend(present.body).await?;
        let me = self.member_id().await?;
        let amended = Call { text: text.clone(), ..call };
        let version = present.version + 1;
        let (vault, recipient) = (present.vault, &present.recipient);
        let publication = publication(&amended, version, vault, recipient, &me)?;
        let body = PublishCall {
            publication: self.signed(&publication).await?,
            vault: None,
            roll: None,
            keys: Vec::new(),
            reason: Some(reason.to_owned()),
            voids,
            dry_run,
        };
        Ok((self.api().amend_call(id, &etag, &body).await?.body, publication))
    }

    /// A call, verified, or one that this machine verified before its signer's key card was revoked as stolen: the amendment is signed by
    /// somebody else, and brings it back.
    async fn call_to_amend(&self, call: Call) -> Result<(Call, CallPublication)> {
        let error = match self.verify_call(call.clone()).await {
            Ok(call) => return Ok((call.call, call.publication)),
            Err(error @ ClientError::Unverified { .. }) => error,
            Err(error) => return Err(error),
        };
        let Some(published) = &call.publication else { return Err(error) };
        let signed: Signed<CallPublication> = verify_signed(published)?;
        check_publication(&signed.statement, &call)?;
        if self.home().seen_text(call.id, call.version)? != Some(signed.statement.text_sha256) {
            return Err(error);
        }
        self.home().see_publication(&signed.statement)?;
        Ok((call, signed.statement))
    }

    /// Replaces a member's roles in a call. An officer gets the keys to the call's vault that they lack. Members lay down their own.
    pub async fn grant_roles(&self, id: CallId, member: &MemberId, roles: &BTreeSet<CallRole>) -> Result<RoleHolder> {
        self.grant_roles_vouching(id, member, roles, None).await
    }

    /// The same by an officer who vouches for so many statements about roles, though some can no longer be proven.
    pub async fn grant_roles_vouching(
        &self,
        id: CallId,
        member: &MemberId,
        roles: &BTreeSet<CallRole>,
        vouched: Option<u32>,
    ) -> Result<RoleHolder> {
        let call = self.api().call(id).await?.body;
        // An observer is not shown the statements about roles, and lays that role down without one.
        let observes = call.my_roles.len() == 1 && call.my_roles.contains(&CallRole::Observer);
        let lays_it_down = observes && roles.is_empty() && *member == self.member_id().await?;
        if call.publication.is_none() || lays_it_down {
            return self.api().grant_roles(id, member, &GrantRoles { roles: roles.clone(), statement: None }).await;
        }
        let call = self.verify_call(call).await?;
        let change = self.role_change(&call, member, roles, vouched).await?;
        if !roles.contains(&CallRole::Officer) {
            return self.api().grant_roles(id, member, &change).await;
        }
        // All that can fail is done before the exchange hears of it.
        let mut facts = self.call_facts(&call).await?;
        facts.grant(member.clone(), CallRole::Officer);
        let holder = self.admit_officer(member, &facts).await?;
        let secret = self.call_vault(&call).await?;
        self.wrap_to_member(call.publication.vault, &secret, &holder).await?;
        let granted = self.api().grant_roles(id, member, &change).await?;
        let missing = self.api().missing_call_keys(id).await?;
        if let Some(missing) = missing.into_iter().find(|missing| missing.holder == *member) {
            let wrapped = self.wrap_to_recipients(call.publication.vault, &secret, &holder, &missing.recipients);
            match wrapped.await {
                Ok(keys) => self.api().add_keys(call.publication.vault, &AddKeys { keys }).await?,
                // One that only they can seal to, beside one that they hold a key for.
                Err(ClientError::Local { .. }) if missing.recipients.len() < holder.member().recipients().len() => {}
                Err(error) => return Err(error),
            }
        }
        Ok(granted)
    }

    /// A published call, verified.
    pub async fn call(&self, id: CallId) -> Result<Arc<VerifiedCall>> {
        let call = self.api().call(id).await?.body;
        if call.id != id {
            return Err(invalid("the exchange answered with another call"));
        }
        self.verify_call(call).await.map(Arc::new)
    }

    /// Verifies a published call: its text, its vault and that a member of its lead signed it.
    pub async fn verify_call(&self, call: Call) -> Result<VerifiedCall> {
        let Some(publication) = &call.publication else {
            return Err(ClientError::usage(
                format!("`{}` is not published yet", call.text.code),
                "publish it with `entente call publish`",
            ));
        };
        let signed: Signed<CallPublication> = verify_signed(publication)?;
        let text = check_publication(&signed.statement, &call)?;
        let signer = self.verified_signer(&signed, &BTreeSet::from([call.lead.clone()])).await?;
        self.home().see_publication(&signed.statement)?;
        let rules = text.to_domain()?;
        self.api().named().check_call(call.id, &rules.code)?;
        Ok(VerifiedCall { text, rules, signed_by: signer.card.member.clone(), publication: signed.statement, call })
    }
}

fn publication(call: &Call, version: u32, vault: VaultId, recipient: &str, me: &MemberId) -> Result<CallPublication> {
    let text = serde_json::to_value(&call.text)
        .map_err(|error| ClientError::usage(error.to_string(), "fix the text of the call"))?;
    Ok(CallPublication {
        call: call.id,
        version,
        text,
        text_sha256: call.text.digest(),
        vault,
        recipient: recipient.to_owned(),
        host: me.partner().clone(),
    })
}

/// Compares what was signed with what the exchange states; gives the text that was signed.
fn check_publication(publication: &CallPublication, call: &Call) -> Result<CallText> {
    if publication.call != call.id || publication.version != call.version {
        return Err(invalid("the publication is for another call or version"));
    }
    if publication.host != call.lead {
        return Err(invalid(format!(
            "the publication is signed for `{}`, but `{}` leads",
            publication.host, call.lead
        )));
    }
    if call.vault != Some(publication.vault) {
        return Err(invalid("the exchange names another vault than the publication"));
    }
    let text: CallText = reading::typed_as_signed(publication.text.clone())
        .map_err(|fault| invalid(format!("this version does not understand the text of the call: {fault}")))?;
    let digests: [Sha256; 3] = [text.digest(), call.text.digest(), call.text_sha256];
    if digests.iter().any(|digest| *digest != publication.text_sha256) {
        return Err(invalid("the text that the exchange shows is not the one that was signed"));
    }
    Ok(text)
}

fn tag(call: &Tagged<Call>) -> Result<String> {
    call.etag.clone().ok_or_else(|| ClientError::Transport {
        what: "the exchange sent no `ETag`".into(),
        help: "check that client and exchange have compatible versions".into(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::testing::{at, call};

    #[test]
    fn text_other_than_the_signed_is_refused() {
        let call = call();
        assert_eq!(check_publication(&call.publication, &call.call).unwrap(), call.text);
        let mut other = call.call.clone();
        other.text.criteria[0].max = 10.0;
        assert_eq!(check_publication(&call.publication, &other).unwrap_err().class().code(), 4);
        let other = Call { lead: "KOR".parse().unwrap(), ..call.call.clone() };
        assert!(check_publication(&call.publication, &other).is_err());
        let other = Call { vault: Some("vault_01J9ZQ4N6M8V7X5T3R2P1K0HGA".parse().unwrap()), ..call.call.clone() };
        assert!(check_publication(&call.publication, &other).is_err());
        let other = Call { version: 2, ..call.call };
        assert!(check_publication(&call.publication, &other).is_err());
    }

    #[test]
    fn exchange_can_move_the_opening_later_but_not_earlier() {
        let mut call = call();
        assert_eq!(call.sealed_until(), at("2026-04-01T17:00:00Z"));
        call.call.sealed_until = at("2026-03-01T00:00:00Z").into();
        assert!(!call.is_opened(at("2026-04-01T17:00:00Z")), "the signed schedule holds");
        call.call.sealed_until = at("2026-04-05T00:00:00Z").into();
        assert!(!call.is_opened(at("2026-04-02T00:00:00Z")), "an extension holds too");
        assert!(call.require_opened(at("2026-04-05T00:00:01Z")).is_ok());
    }
}
