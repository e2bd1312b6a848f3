//! What an act would do, before it is done: what follows, for whom, and what takes it back. It is for acts that the exchange does not try
//! out by itself; what those would change is in `preview`, and in the dry runs of assignments, amendments and extensions.
//!
//! A forecast refuses what the act would be refused for, as far as this machine can know it, and sends no change. The exchange has the last
//! word when the act is made. Reading is logged as ever: also here the exchange notes that keys were fetched with a proposal's vaults.

mod calls;
mod judging;
mod keys;
mod panel;
mod parties;
mod policies;

pub use keys::CardForecast;
pub use panel::PanelForecast;

use crate::wire::Time;
use serde::Serialize;

/// What an act would do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Forecast {
    /// The act, as a sentence begins with it: `cancelling BIRD26`.
    pub act: String,
    pub effects: Vec<Effect>,
    pub undo: Undo,
}

/// Something that follows from an act.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Effect {
    pub what: String,
    /// The instant with which the sentence ends.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub at: Option<Time>,
}

/// What takes an act back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "by", content = "how", rename_all = "snake_case")]
pub enum Undo {
    /// The member who acts, with this command.
    Yourself(String),
    /// The member who acts, for a while and as the sentence says.
    Meanwhile(String),
    /// Somebody else alone, as the sentence says.
    Others(String),
    Nobody,
}

impl Forecast {
    pub(super) fn new(act: impl Into<String>, effects: impl IntoIterator<Item = Effect>, undo: Undo) -> Self {
        Self { act: act.into(), effects: effects.into_iter().collect(), undo }
    }

    /// Whether the member who acts cannot take it back, or not for good.
    #[must_use]
    pub fn is_final(&self) -> bool {
        !matches!(self.undo, Undo::Yourself(_))
    }
}

impl Effect {
    pub(super) fn that(what: impl Into<String>) -> Self {
        Self { what: what.into(), at: None }
    }

    fn at(what: impl Into<String>, at: impl Into<Time>) -> Self {
        Self { what: what.into(), at: Some(at.into()) }
    }
}

/// A list in a sentence: `A, B and C`.
fn listed<T: ToString>(items: impl IntoIterator<Item = T>) -> String {
    let mut items: Vec<String> = items.into_iter().map(|item| item.to_string()).collect();
    match items.pop() {
        Some(last) if !items.is_empty() => format!("{} and {last}", items.join(", ")),
        last => last.unwrap_or_default(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn list_in_a_sentence_reads_as_one() {
        assert_eq!(listed(["ISR", "KOR", "USA"]), "ISR, KOR and USA");
        assert_eq!(
            (listed(["ISR", "USA"]), listed(["ISR"]), listed::<&str>([])),
            ("ISR and USA".into(), "ISR".into(), String::new())
        );
    }

    #[test]
    fn forecast_for_programs_says_who_takes_an_act_back() {
        let forecast = Forecast::new("x", [Effect::that("y")], Undo::Yourself("entente call reopen BIRD26".into()));
        let json = serde_json::to_value(&forecast).unwrap();
        assert_eq!(json["undo"], serde_json::json!({ "by": "yourself", "how": "entente call reopen BIRD26" }));
        assert!(json["effects"][0].get("at").is_none() && !forecast.is_final());
        let last = Forecast::new("x", [], Undo::Nobody);
        assert_eq!(serde_json::to_value(&last).unwrap()["undo"], serde_json::json!({ "by": "nobody" }));
        assert!(last.is_final());
    }
}
