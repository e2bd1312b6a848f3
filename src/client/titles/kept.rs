//! Titles as they are kept on this machine, for what the exchange has just said of proposals without showing them.

use super::{
    Titles, Wanted,
    store::{FoundTitles, TitleFile, TitlePlace},
};
use crate::{
    client::{Client, kept_key::KeptKey},
    domain::id::ProposalId,
    wire::proposal::Proposal,
};
use std::collections::BTreeSet;

impl Client {
    /// The titles of these proposals that are kept here, if nobody has to be asked for a passphrase. The exchange is asked nothing, so
    /// this is for proposals that it has just named as the member's to read, and for those whose documents the member sealed here.
    pub async fn kept_titles(&self, proposals: &BTreeSet<ProposalId>) -> Titles {
        let Some(file) = self.title_file() else { return Titles::default() };
        let places = file.places().into_iter().filter(|place| proposals.contains(&place.proposal)).collect();
        self.open_places(&file, &places).await
    }

    /// The same of rows that the exchange has just shown, for the versions that stand now. Counts those that are not known here.
    pub async fn known_titles(&self, rows: &[Proposal]) -> Titles {
        let wanted: BTreeSet<TitlePlace> = rows.iter().filter_map(Wanted::of).map(|wanted| wanted.place).collect();
        let titles = match self.title_file() {
            Some(file) => {
                let places = file.places().intersection(&wanted).copied().collect();
                self.open_places(&file, &places).await
            }
            None => Titles::default(),
        };
        Titles { closed: wanted.len().saturating_sub(titles.len()), ..titles }
    }

    fn title_file(&self) -> Option<TitleFile> {
        match self.home().titles(&self.profile().name) {
            Ok(FoundTitles::File(file)) => Some(file),
            _ => None,
        }
    }

    async fn open_places(&self, file: &TitleFile, places: &BTreeSet<TitlePlace>) -> Titles {
        let Some(sealed) = file.sealed_key().filter(|_| !places.is_empty()) else { return Titles::default() };
        let Some(keyring) = self.unasked_keyring().await else { return Titles::default() };
        let Ok(key) = KeptKey::unseal(&keyring, sealed.to_owned()) else { return Titles::default() };
        file.open(&key, places).into_iter().map(|(place, title)| (place.proposal, title)).collect()
    }
}
