//! Forecasts of what policy officers do with the text of a version: propose another one, or that of an earlier version again. What a proposed
//! version would change for whom, the exchange previews.

use super::{Effect, Forecast, Undo};
use crate::{
    client::{Client, ClientError, Result, policies::ProposedText},
    domain::{
        Refusal,
        member::PartnerRole,
        policy::{GUARDRAILS_NOTICE, PolicyOwner, PolicyStatus, check_active_at},
    },
};
use jiff::Timestamp;

impl Client {
    /// What proposing a text as the next version would do.
    pub async fn forecast_proposed_policy(
        &self,
        owner: &PolicyOwner,
        place: &str,
        text: &str,
        active_at: Option<Timestamp>,
    ) -> Result<Forecast> {
        let plan = self.plan_policy(owner, place, text, active_at).await?;
        let act = format!("proposing version {} of {owner}", plan.statement.version);
        self.forecast_version(&plan, act, active_at).await
    }

    /// What proposing the text of an earlier version as the next one would do.
    pub async fn forecast_restored_policy(
        &self,
        owner: &PolicyOwner,
        number: u32,
        active_at: Option<Timestamp>,
    ) -> Result<Forecast> {
        let earlier = self.policy_version(owner, number).await?;
        let text = earlier.text.as_deref().unwrap_or_default();
        let plan = self.plan_policy(owner, &owner.to_string(), text, active_at).await?;
        let act = format!("proposing the text of version {number} of {owner} as version {}", plan.statement.version);
        self.forecast_version(&plan, act, active_at).await
    }

    async fn forecast_version(
        &self,
        plan: &ProposedText,
        act: String,
        active_at: Option<Timestamp>,
    ) -> Result<Forecast> {
        let ProposedText { statement, versions } = plan;
        let (owner, number, now) = (&statement.owner, statement.version, self.now());
        let (me, writer) = (self.member_id().await?, self.policies_writer(owner).await?);
        if *me.partner() != writer || !self.member(&me).await?.card.roles.contains(&PartnerRole::PolicyOfficer) {
            return Err(ClientError::usage(
                format!("you are no policy officer of {writer}"),
                format!("ask one of its policy officers: `entente member list --partner {writer}`"),
            ));
        }
        if let Some(open) = versions.iter().find(|version| version.status == PolicyStatus::Proposed) {
            return Err(Refusal::PolicyWaiting { version: open.version }.into());
        }
        check_active_at(statement.active_at, now)?;
        let mut effects = vec![
            Effect::that(format!(
                "it waits for a second policy officer of {writer}; until they approve it, nothing changes"
            )),
            match active_at {
                Some(at) => Effect::at("approved before then, it takes effect at", at),
                None if *owner == PolicyOwner::Guardrails => Effect::that(
                    "nobody can approve it in time, since guardrails are announced three days ahead: give `--active-at`",
                ),
                None => Effect::that("it takes effect as soon as it is approved"),
            },
        ];
        if *owner == PolicyOwner::Guardrails && active_at.is_some() {
            effects.push(Effect::at("it can be approved until", statement.active_at - GUARDRAILS_NOTICE));
        }
        let present = versions.iter().find(|version| version.status == PolicyStatus::InForce);
        if present.is_some_and(|present| present.text_sha256 == statement.text_sha256) {
            effects.push(Effect::that("its text is the one that is in force, so it changes nothing"));
        } else {
            effects.push(Effect::that(format!(
                "`entente policy preview {owner} {number}` says then who gains and who loses access"
            )));
        }
        Ok(Forecast::new(act, effects, Undo::Yourself(format!("entente policy withdraw {owner} {number}"))))
    }
}
