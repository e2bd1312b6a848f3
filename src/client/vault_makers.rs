//! Whose vaults are sealed to: that somebody made them who makes such vaults, and that they are the ones of before.
//!
//! A vault's statement says who made it, and the exchange says who belongs to a proposal. A host with an accomplice in some nation could
//! show a vault of theirs in the place of the right one, and have everything sealed to a key of its own. So a deliberation vault is an
//! officer's by the signed roll; another vault is a member's of the proposal, or one that every party signed for; and what stood in a
//! place once stays there on this machine.

use super::{Client, Home, Result, verified::VerifiedCall, verify::invalid};
use crate::{
    client::ClientError,
    domain::{
        id::{MemberId, PartnerCode, ProposalId, VaultId},
        vault::VaultKind,
    },
    sealing::statement::{VaultStatement, verify_signed},
    wire::proposal::{NewVault, Proposal, Vault},
};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// A vault that was seen in a place of a proposal, and by whom it was made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct SeenVault {
    vault: VaultId,
    recipient: String,
    made_by: MemberId,
}

impl Client {
    /// Refuses a vault that none of those made who make such vaults, or that is another than stood in its place before.
    pub(super) async fn check_maker(
        &self,
        statement: &VaultStatement,
        maker: &MemberId,
        proposal: &Proposal,
        call: &VerifiedCall,
    ) -> Result<()> {
        let (vault, recipient, made_by) = (statement.vault, statement.recipient.clone(), maker.clone());
        let (now, place) = (SeenVault { vault, recipient, made_by }, place(statement.kind, statement.party.as_ref()));
        if self.home().is_seen_vault(proposal.id, &proposal.reference.to_string(), &place, &now)? {
            return Ok(());
        }
        let may_make = match statement.kind {
            VaultKind::Deliberation => self.verified_roles(call).await?.was_officer(maker),
            _ => {
                self.is_proven_member(proposal, maker).await?
                    || self.is_vouched_for(statement, maker, proposal, call).await?
            }
        };
        if !may_make {
            let who = match statement.kind {
                VaultKind::Deliberation => "is not an officer of the call by the signed roles",
                _ => "is not a member of the proposal",
            };
            return Err(ClientError::unverified(
                format!("the {} vault was made by `{maker}`, who {who}, so nothing is sealed to it", statement.kind),
                "do not go on; tell the call's officers and the host's operator",
            ));
        }
        self.home().see_vault(proposal.id, &place, now)
    }

    /// Remembers a vault that was made here and that the exchange has taken, so that no other is believed in its place.
    pub(super) async fn see_made(&self, proposal: ProposalId, made: &NewVault) -> Result<()> {
        let VaultStatement { vault, kind, party, recipient, .. } =
            verify_signed::<VaultStatement>(&made.statement)?.statement;
        let made_by = self.member_id().await?;
        self.home().see_vault(proposal, &place(kind, party.as_ref()), SeenVault { vault, recipient, made_by })
    }

    /// Whether signatures lead the maker back to the one who began the proposal: a member of it, now or before. They are for the parties and
    /// for officers; who judges besides goes by what is shown, and by what all parties signed later.
    async fn is_proven_member(&self, proposal: &Proposal, maker: &MemberId) -> Result<bool> {
        let me = self.member_id().await?;
        let judges = !is_member(proposal, &me) && !proposal.invited.contains(&me);
        if judges && (proposal.id.is_of(maker) || is_member(proposal, maker)) {
            return Ok(true);
        }
        match self.check_joined(proposal.id, maker).await {
            Ok(()) => Ok(true),
            Err(ClientError::Unverified { .. }) => Ok(false),
            // Officers are shown who asked whom to join, deciders and reviewers are not.
            Err(error) if judges && matches!(error.slug(), Some("denied" | "not-found")) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Whether every party signed for the vault: it is named in the version that stands, or its maker made one that is.
    async fn is_vouched_for(
        &self,
        statement: &VaultStatement,
        maker: &MemberId,
        proposal: &Proposal,
        call: &VerifiedCall,
    ) -> Result<bool> {
        let versions = self.api().manifests(proposal.id).await?;
        let Some(standing) = versions.iter().find(|version| version.is_standing) else { return Ok(false) };
        let (manifest, signed_by) = self.verify_signatures(standing, proposal, call).await?;
        if manifest.parties.iter().any(|party| !signed_by.contains_key(party)) {
            return Ok(false);
        }
        let names = |id: VaultId, recipient: &str| {
            manifest.documents.iter().any(|named| named.vault == id && named.recipient == recipient)
        };
        if names(statement.vault, &statement.recipient) {
            return Ok(true);
        }
        for other in self.api().vaults(proposal.id).await?.iter().filter(|other| names(other.id, &other.recipient)) {
            if self.is_by(other, maker).await? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    async fn is_by(&self, vault: &Vault, maker: &MemberId) -> Result<bool> {
        let signed = verify_signed::<VaultStatement>(&vault.statement)?;
        if signed.statement.vault != vault.id || signed.statement.recipient != vault.recipient {
            return Err(invalid("the vault's statement says something else than the exchange does"));
        }
        let signer = self.verified_signer(&signed, &BTreeSet::from([maker.partner().clone()])).await;
        match signer {
            Ok(signer) => Ok(signer.card.member == *maker),
            Err(ClientError::Unverified { .. }) => Ok(false),
            Err(error) => Err(error),
        }
    }
}

impl Home {
    /// Whether this very vault stood in the place before.
    ///
    /// # Errors
    /// When another one did.
    fn is_seen_vault(&self, proposal: ProposalId, name: &str, place: &str, now: &SeenVault) -> Result<bool> {
        let Some(seen) = self.seen_vaults(proposal)?.remove(place) else { return Ok(false) };
        if seen == *now {
            return Ok(true);
        }
        Err(ClientError::unverified(
            format!(
                "the {place} vault of `{name}` is shown as `{}` by `{}`, but on this machine it was `{}` by `{}`, so nothing is \
                 sealed to it",
                now.recipient, now.made_by, seen.recipient, seen.made_by
            ),
            format!(
                "do not go on; tell the other parties, the call's officers and the host's operator. What was seen is kept in `{}`",
                self.vaults_path(proposal).display()
            ),
        ))
    }

    fn see_vault(&self, proposal: ProposalId, place: &str, now: SeenVault) -> Result<()> {
        let mut seen = self.seen_vaults(proposal)?;
        seen.insert(place.to_owned(), now);
        super::records::write_record(&self.vaults_path(proposal), &seen)
    }

    fn seen_vaults(&self, proposal: ProposalId) -> Result<BTreeMap<String, SeenVault>> {
        Ok(super::records::read_record(&self.vaults_path(proposal))?.unwrap_or_default())
    }

    fn vaults_path(&self, proposal: ProposalId) -> std::path::PathBuf {
        self.root().join("seen").join("vaults").join(format!("{proposal}.json"))
    }
}

/// The one place of such a vault in a proposal, in words.
fn place(kind: VaultKind, party: Option<&PartnerCode>) -> String {
    party.map_or_else(|| kind.to_string(), |party| format!("{kind} {party}"))
}

fn is_member(proposal: &Proposal, member: &MemberId) -> bool {
    proposal.parties.get(member.partner()).is_some_and(|members| members.contains(member))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::testing::proposal;

    #[test]
    fn vault_that_was_seen_stays_and_another_in_its_place_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let home = Home::locate(Some(folder.path())).unwrap();
        let vault = |recipient: &str| SeenVault {
            vault: "vault_01J9ZQ4N6M8V7X5T3R2P1K0HGA".parse().unwrap(),
            recipient: recipient.to_owned(),
            made_by: "ISR:avi".parse().unwrap(),
        };
        let id = proposal().id;
        assert!(!home.is_seen_vault(id, "BIRD26-48179", "panel", &vault("age1a")).unwrap());
        home.see_vault(id, "panel", vault("age1a")).unwrap();
        assert!(home.is_seen_vault(id, "BIRD26-48179", "panel", &vault("age1a")).unwrap());
        let refused = home.is_seen_vault(id, "BIRD26-48179", "panel", &vault("age1b")).unwrap_err().to_string();
        assert!(refused.contains("`age1b`") && refused.contains("it was `age1a` by `ISR:avi`"), "{refused}");
        assert!(!home.is_seen_vault(id, "BIRD26-48179", "staff ISR", &vault("age1b")).unwrap(), "another place");
    }
}
