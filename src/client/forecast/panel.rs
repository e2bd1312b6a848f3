//! Forecasts of passing keys on: to whom, of which proposals, and which this machine refuses. Each key is judged as before it is wrapped, which
//! opens the vaults; nothing is signed.

use super::{Effect, Forecast, Undo, listed};
use crate::{
    client::{Client, Result, naming::FoundProposal, panel::Prepared, vaults::KeyPass},
    domain::{id::CallId, text::counted},
};
use std::collections::BTreeSet;

/// What passing keys on would do.
#[derive(Debug)]
pub struct PanelForecast {
    /// The keys that would be wrapped and the vaults that would be made; what would be refused or left out, and why.
    pub prepared: Prepared,
    pub forecast: Forecast,
}

impl Client {
    /// What making a call ready for its panel would do.
    pub async fn forecast_panel(&self, call: CallId) -> Result<PanelForecast> {
        let code = self.api().call(call).await?.body.text.code;
        let prepared = self.pass_to_panel(call, KeyPass::Foreseen).await?;
        Ok(foreseen(format!("passing on keys of {code}"), prepared))
    }

    /// What passing on the keys of one proposal would do.
    pub async fn forecast_keys(&self, proposal: &FoundProposal) -> Result<PanelForecast> {
        let prepared = self.pass_of_proposal(proposal.id, KeyPass::Foreseen).await?;
        Ok(foreseen(format!("passing on keys of {proposal}"), prepared))
    }

    /// What wrapping a proposal's vaults to the call once more would do.
    pub async fn forecast_keys_to_call(&self, proposal: &FoundProposal) -> Result<Forecast> {
        let vaults = self.pass_to_call(proposal.id, KeyPass::Foreseen).await?;
        let vaults = counted(vaults, "vault that you open is", "vaults that you open are");
        let effect =
            Effect::that(format!("{vaults} wrapped to the call's vault again, beside what is there, for its officers"));
        let undo = Undo::Others("nobody takes such a key back; the officers of the call have one anyway".to_owned());
        Ok(Forecast::new(format!("wrapping the vaults of {proposal} to its call"), [effect], undo))
    }
}

fn foreseen(act: String, prepared: Prepared) -> PanelForecast {
    let mut effects = Vec::new();
    let done = &prepared.wrapped.done;
    if !done.is_empty() {
        let holders: BTreeSet<_> = done.iter().map(|key| &key.key.holder).collect();
        effects.push(Effect::that(format!(
            "{} passed on to {}",
            counted(done.len(), "key is", "keys are"),
            listed(holders)
        )));
    }
    if !prepared.vaults_made.is_empty() {
        effects.push(Effect::that(format!(
            "{} made for reviews of {}, with keys for everybody who may read them",
            counted(prepared.vaults_made.len(), "vault is", "vaults are"),
            listed(&prepared.vaults_made)
        )));
    }
    if !prepared.wrapped.refused.is_empty() {
        let refused = counted(prepared.wrapped.refused.len(), "key is", "keys are");
        effects.push(Effect::that(format!("{refused} not wrapped, because this machine refuses")));
    }
    if !prepared.skipped.is_empty() {
        effects.push(Effect::that(format!(
            "{} left out",
            counted(prepared.skipped.len(), "proposal is", "proposals are")
        )));
    }
    if effects.is_empty() {
        effects.push(Effect::that("nobody lacks a key"));
    }
    let undo = Undo::Others(
        "a key agent removes keys whose holder policy no longer admits; what was read stays read".to_owned(),
    );
    PanelForecast { prepared, forecast: Forecast::new(act, effects, undo) }
}
