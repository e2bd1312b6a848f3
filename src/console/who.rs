//! Who acts in a console: on every page, in the colour of the partner, so that nobody signs as somebody else.

use crate::{
    client::{Client, Result},
    domain::{id::Sha256, name::visible},
};

/// So many colours distinguish partners.
const HUES: u8 = 12;

/// The member of a profile.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Who {
    /// The member, or the profile's name where the exchange has not said yet whose it is.
    pub(super) name: String,
    pub(super) partner: String,
    pub(super) organisation: String,
    pub(super) roles: String,
    /// Which of the colours is the partner's.
    pub(super) hue: u8,
}

impl Who {
    /// As far as this machine knows.
    pub(super) fn of_profile(profile: &str) -> Self {
        Self { name: profile.to_owned(), ..Self::default() }
    }

    /// As the exchange says.
    pub(super) async fn ask(client: &Client) -> Result<Self> {
        let me = client.api().me().await?;
        let roles: Vec<String> = me.roles.iter().map(ToString::to_string).collect();
        Ok(Self {
            name: me.member.as_ref().map_or_else(|| client.profile().name.clone(), ToString::to_string),
            hue: hue(me.partner.as_str()),
            partner: me.partner.to_string(),
            organisation: me.organisation.as_deref().map(visible).unwrap_or_default(),
            roles: roles.join(", "),
        })
    }
}

/// The colour of a partner, the same on every machine.
fn hue(partner: &str) -> u8 {
    Sha256::of(partner.as_bytes()).as_bytes()[0] % HUES
}
