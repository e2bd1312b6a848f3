//! Titles as they are kept on this machine, for what the exchange has just said of proposals without showing them.

use super::{Titles, store::FoundTitles};
use crate::{
    client::{Client, kept_key::KeptKey},
    domain::id::ProposalId,
};
use std::collections::BTreeSet;

impl Client {
    /// The titles of these proposals that are kept here, if nobody has to be asked for a passphrase. The exchange is asked nothing, so
    /// this is for proposals that it has just named as the member's to read, and for those whose documents the member sealed here.
    pub async fn kept_titles(&self, proposals: &BTreeSet<ProposalId>) -> Titles {
        let Ok(FoundTitles::File(file)) = self.home().titles(&self.profile().name) else { return Titles::default() };
        let places =
            file.places().into_iter().filter(|place| proposals.contains(&place.proposal)).collect::<BTreeSet<_>>();
        let Some(sealed) = file.sealed_key().filter(|_| !places.is_empty()) else { return Titles::default() };
        let Some(keyring) = self.unasked_keyring().await else { return Titles::default() };
        let Ok(key) = KeptKey::unseal(&keyring, sealed.to_owned()) else { return Titles::default() };
        file.open(&key, &places).into_iter().map(|(place, title)| (place.proposal, title)).collect()
    }
}
