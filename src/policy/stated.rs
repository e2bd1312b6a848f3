//! The policies of a text one by one, each with its own words: for those who read a text before they sign it.

use super::{
    PolicyError,
    source::{self, PartnerSide},
};
use crate::domain::policy::PolicyOwner;
use cedar_policy::{ActionConstraint, Effect};
use serde::Serialize;

/// A policy, in the words that it carries.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct StatedPolicy {
    /// Its `@id`.
    pub policy: String,
    /// `release` or `reader`; none in the guardrails.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub side: Option<&'static str>,
    /// Whether it permits; else it forbids.
    pub permits: bool,
    /// The actions that it is about; none if it is about all.
    pub actions: Vec<String>,
    /// Its `@reason`: the rule in plain words.
    pub words: String,
}

/// The policies of an owner's text, in its order.
///
/// # Errors
/// When the text could not be proposed.
pub fn stated(place: &str, owner: &PolicyOwner, text: &str) -> Result<Vec<StatedPolicy>, PolicyError> {
    let policies = source::parse(place, text, owner)?;
    let state = |sourced: source::Sourced| StatedPolicy {
        policy: sourced.name.id.to_string(),
        side: sourced.side.map(|side| match side {
            PartnerSide::Release => "release",
            PartnerSide::Reader => "reader",
        }),
        permits: sourced.policy.effect() == Effect::Permit,
        actions: match sourced.policy.action_constraint() {
            ActionConstraint::Any => Vec::new(),
            ActionConstraint::Eq(only) => vec![only.id().unescaped().to_owned()],
            ActionConstraint::In(some) => some.iter().map(|one| one.id().unescaped().to_owned()).collect(),
        },
        words: sourced.sentence.to_string(),
    };
    Ok(policies.into_iter().map(state).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn policies_are_stated_in_their_order_with_side_effect_and_words() {
        let text = "@id(\"owners\") @side(\"release\") @reason(\"parties have it\")\n\
                    permit(principal, action in [Action::\"View\", Action::\"Read\"], resource);\n\
                    @id(\"none\") @side(\"reader\") @reason(\"nobody reads\")\nforbid(principal, action, resource);\n";
        let found = stated("ISR", &"ISR".parse().unwrap(), text).unwrap();
        assert_eq!((found[0].policy.as_str(), found[0].side, found[0].permits), ("owners", Some("release"), true));
        assert_eq!((found[0].actions.join(" "), found[0].words.as_str()), ("View Read".into(), "parties have it"));
        assert_eq!((found[1].side, found[1].permits, found[1].actions.len()), (Some("reader"), false, 0));
        assert!(stated("ISR", &"ISR".parse().unwrap(), "permit(principal, action, resource);").is_err());
        let guardrails = stated("guardrails", &PolicyOwner::Guardrails, crate::policy::GUARDRAILS).unwrap();
        assert!(guardrails.len() > 30 && guardrails.iter().all(|one| one.side.is_none() && !one.words.is_empty()));
    }
}
