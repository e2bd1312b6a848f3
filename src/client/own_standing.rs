//! Who the caller is at the exchange, and what they should know of that: a nation that is suspended, a key card that has ended or is missing,
//! keys that end soon.

use super::{Client, Result, joining::welcome_name, zone::Zone};
use crate::{
    domain::{expiry::near_end, text::counted},
    wire::directory::Me,
};

/// Which member the certificate belongs to, and what is to be said of it.
#[derive(Debug, Clone, PartialEq)]
pub struct OwnStanding {
    /// The exchange's word.
    pub me: Me,
    pub note: Option<StandingNote>,
}

/// A sentence about it, with what to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StandingNote {
    /// Something stops, or will.
    Warning(String),
    /// How to become a member, or one again.
    Hint(String),
}

impl Client {
    /// Who the caller is, with what they should know of it; instants are said in this zone.
    pub async fn own_standing(&self, zone: &Zone) -> Result<OwnStanding> {
        let me = self.api().me().await?;
        let note = self.standing_note(&me, zone).await;
        Ok(OwnStanding { me, note })
    }

    async fn standing_note(&self, me: &Me, zone: &Zone) -> Option<StandingNote> {
        if let Some(suspended) = &me.suspended {
            return Some(StandingNote::Warning(format!(
                "{} is suspended since {}: {}; its registrar agrees with the host's operator when it takes part again",
                me.partner,
                zone.both(suspended.since.0),
                suspended.reason.sentence()
            )));
        }
        if let Some(ended) = &me.ended {
            return Some(StandingNote::Hint(format!(
                "ask your registrar to invite you again, by `entente member replace {}`; `entente join --identity` answers with the identity that \
                 you have, so that nobody wraps keys again. Your nation's only registrar publishes a card of their own by `entente key-card issue`",
                ended.member
            )));
        }
        let Some(member) = &me.member else {
            let hint = "ask your partner's registrar for an invitation, which `entente join` answers";
            return Some(StandingNote::Hint(hint.to_owned()));
        };
        // Where the own nation's card is not pinned, nothing is known of the key card.
        let expiry = self.key_expiry().await.ok()?;
        let near = near_end(expiry.first(), self.exchange_now())?;
        let what = if expiry.key_card <= expiry.certificate { "key card" } else { "certificate" };
        let then = if near.is_last() { ", and then you are shut out" } else { "" };
        let next = if self.home().awaits_welcome(member) {
            format!("your request is under way: `entente join {}` takes your registrar's answer", welcome_name(member))
        } else {
            "renew it with `entente member renew`".to_owned()
        };
        Some(StandingNote::Warning(format!(
            "your {what} ends in {}, on {}{then}: {next}",
            counted(near.days_left, "day", "days"),
            zone.both(expiry.first())
        )))
    }
}
