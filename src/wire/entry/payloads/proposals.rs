//! Payloads about proposals: parties, documents, versions, labels, withdrawal, and the vaults and keys of calls, too.

use super::payload;
use crate::{
    domain::{
        id::{DocumentId, MemberId, PartnerCode, Sha256, Slug, VaultId, WrappedKeyId},
        label::Label,
        vault::VaultKind,
    },
    wire::Time,
};
use std::collections::{BTreeMap, BTreeSet};

payload! {
    /// A proposal was begun.
    pub struct ProposalCreated {
        /// One of the call's topics, if it has any.
        pub topic: Option<Slug>,
        /// Who is to be in each party: the caller, and those who are asked to join.
        pub parties: BTreeMap<PartnerCode, BTreeSet<MemberId>>,
        /// When the request was here as a whole.
        pub arrived_at: Time,
    }

    /// A member was asked to join a party.
    pub struct MemberInvited {
        pub member: MemberId,
        /// Of type `entente-invitation+jws`.
        pub statement: String,
    }

    /// An invitation was withdrawn or declined, or a member was removed from a party.
    pub struct PartyMemberNamed {
        pub member: MemberId,
    }

    /// An officer consented that a member joins after the deadline, or took the consent back.
    pub struct JoinConsent {
        pub member: MemberId,
        /// Where the member works; none when consent was taken back.
        pub organisation: Option<String>,
    }

    /// A member joined a party.
    pub struct MemberJoined {
        pub member: MemberId,
        /// Of type `entente-acceptance+jws`.
        pub statement: String,
        /// When the request was here as a whole.
        pub arrived_at: Time,
    }

    /// A sealed document was uploaded.
    pub struct DocumentStored {
        pub document: DocumentId,
        pub slot: Slug,
        /// The party whose restricted document it is.
        pub party: Option<PartnerCode>,
        /// Of the sealed file.
        pub sha256: Sha256,
        /// Of the sealed file, in bytes.
        pub size: u64,
        /// When its last byte was here.
        pub arrived_at: Time,
    }

    /// A document was taken out of the working set.
    pub struct DocumentRemoved {
        pub slot: Slug,
        /// The party whose restricted document it was.
        pub party: Option<PartnerCode>,
        /// When the request was here as a whole.
        pub arrived_at: Time,
    }

    /// A document was fetched, or was dropped long after it had been replaced.
    pub struct DocumentNamed {
        pub document: DocumentId,
        pub slot: Slug,
        /// The party whose restricted document it is.
        pub party: Option<PartnerCode>,
        /// Of the sealed file.
        pub sha256: Sha256,
    }

    /// A party signed a version.
    pub struct ManifestSigned {
        /// From 1, by proposal.
        pub version: u32,
        /// Digest of what is signed, which all parties' signatures share.
        pub manifest_sha256: Sha256,
        /// The party that signed.
        pub partner: PartnerCode,
        /// Of type `entente-manifest+jws`.
        pub manifest: String,
        /// When the request was here as a whole.
        pub arrived_at: Time,
    }

    /// A version stands: every party signed it, and every document that it names is here.
    pub struct ProposalSubmitted {
        /// From 1, by proposal.
        pub version: u32,
        pub manifest_sha256: Sha256,
    }

    /// A party signed a releasability label for the version that stands.
    pub struct LabelSigned {
        /// From 1, by proposal.
        pub number: u32,
        /// Digest of what is signed, which all parties' signatures share.
        pub label_sha256: Sha256,
        /// The version that it is about.
        pub manifest_sha256: Sha256,
        /// The party that signed.
        pub partner: PartnerCode,
        /// Of type `entente-label+jws`.
        pub statement: String,
    }

    /// Another label took effect.
    pub struct LabelInForce {
        /// Of the label that the parties signed by itself; none when it came with a version.
        pub number: Option<u32>,
        /// The version that it is about.
        pub manifest_sha256: Sha256,
        /// None when the version is without a label.
        pub label: Option<Label>,
    }

    /// A party asked to withdraw the proposal, or took that back.
    pub struct WithdrawalWish {
        pub partner: PartnerCode,
    }

    /// A proposal was withdrawn. The entry says everything.
    pub struct ProposalWithdrawn {}

    /// A withdrawn proposal was brought back.
    pub struct ProposalReinstated {
        /// When the request was here as a whole.
        pub arrived_at: Time,
    }

    /// A vault was made.
    pub struct VaultCreated {
        pub vault: VaultId,
        pub kind: VaultKind,
        /// The party whose restricted documents are sealed to it.
        pub party: Option<PartnerCode>,
        /// The age recipient of the vault.
        pub recipient: String,
    }

    /// The identity of a vault was wrapped for a holder.
    pub struct KeyWrapped {
        pub vault: VaultId,
        pub key: WrappedKeyId,
        /// A member or a vault.
        pub holder: String,
        /// The age recipient of the holder.
        pub recipient: String,
        /// Of type `entente-wrap+jws`.
        pub statement: String,
        /// The holder's own key that it takes the place of; left out when there was none.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        pub replaces: Option<WrappedKeyId>,
    }

    /// A holder lost all keys to a vault, or discarded one of them.
    pub struct KeyRemoved {
        pub vault: VaultId,
        /// A member or a vault.
        pub holder: String,
        /// The one key that its holder discarded: these fields stand beside the others. Absent when all keys went.
        #[serde(flatten)]
        pub discarded: Option<DiscardedKey>,
    }

    /// Which of several keys its holder discarded.
    pub struct DiscardedKey {
        pub key: WrappedKeyId,
        /// The age recipient that it was wrapped for.
        pub recipient: String,
        pub wrapped_by: MemberId,
    }

    /// A member was handed keys to a vault.
    pub struct KeyFetched {
        pub vault: VaultId,
        pub keys: Vec<WrappedKeyId>,
    }
}
