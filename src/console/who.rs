//! Who acts in a console: on every page, in the colour of the partner, so that nobody signs as somebody else.

use crate::{
    client::{Client, Profile, Result},
    domain::name::visible,
};

/// So many colours distinguish partners.
const HUES: u32 = 36;

/// The member of a profile.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Who {
    /// The member, or the profile's name where the exchange has not said yet whose it is.
    pub(super) name: String,
    pub(super) partner: String,
    pub(super) organisation: String,
    pub(super) roles: String,
    /// The colour of the partner, if it is known.
    pub(super) hue: String,
}

impl Who {
    /// For who may not know whose console it is.
    pub(super) fn nobody() -> Self {
        Self {
            name: "Entente".to_owned(),
            partner: String::new(),
            organisation: String::new(),
            roles: String::new(),
            hue: "none".to_owned(),
        }
    }

    /// As far as this machine knows.
    pub(super) fn of_profile(profile: &Profile) -> Self {
        let partner = profile.member.as_ref().map(|member| member.partner().to_string());
        Self {
            name: profile.member.as_ref().map_or_else(|| format!("profile {}", profile.name), ToString::to_string),
            hue: partner.as_deref().map_or_else(|| "none".to_owned(), hue),
            partner: partner.unwrap_or_default(),
            organisation: String::new(),
            roles: String::new(),
        }
    }

    /// As the exchange says.
    pub(super) async fn ask(client: &Client) -> Result<Self> {
        let me = client.api().me().await?;
        let roles: Vec<String> = me.roles.iter().map(ToString::to_string).collect();
        Ok(Self {
            name: me.member.as_ref().map_or_else(|| format!("profile {}", client.profile().name), ToString::to_string),
            hue: hue(me.partner.as_str()),
            partner: me.partner.to_string(),
            organisation: me.organisation.as_deref().map(visible).unwrap_or_default(),
            roles: roles.join(", "),
        })
    }
}

/// The colour of a partner, the same on every machine. The factors are chosen so that nations that are partners today do not share one.
fn hue(partner: &str) -> String {
    let letters = partner.bytes().zip([3, 7, 34].into_iter().cycle());
    let sum: u32 = letters.map(|(letter, factor)| u32::from(letter.saturating_sub(b'@')) * factor).sum();
    (sum % HUES).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn partners_have_colours_of_their_own() {
        let codes = ["ISR", "USA", "KOR", "GBR", "EU", "ITA", "DEU", "ESP", "JPN", "NZL", "CAN", "AUS", "FRA", "IND"];
        assert_eq!(codes.map(hue).into_iter().collect::<BTreeSet<_>>().len(), codes.len());
    }
}
