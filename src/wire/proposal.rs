//! Bodies about proposals, their documents, vaults and wrapped keys.

use super::{
    Time, answer,
    policy::{PreviewedChange, Tally},
    request,
};
use crate::domain::{
    call::Phase,
    decision::Outcome,
    id::{
        CallId, DocumentId, IdBeginning, MemberId, PartnerCode, ProposalId, Sha256, Slug, UploadId, VaultId,
        WrappedKeyId,
    },
    label::Label,
    proposal::{Relation, Status},
    reference::Reference,
    vault::VaultKind,
};
use std::collections::{BTreeMap, BTreeSet};

/// The filters of a list of proposals. An absent filter does not restrict the list.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct Filter {
    pub call: Option<CallId>,
    /// Of the call.
    pub phase: Option<Phase>,
    pub topic: Option<Slug>,
    /// Of this partner among others.
    pub party: Option<PartnerCode>,
    pub status: Option<Status>,
    /// What the caller has to do with it.
    pub mine: Option<Relation>,
    /// Of this very reference.
    pub reference: Option<Reference>,
    /// Whose identifiers begin so.
    pub begins: Option<IdBeginning>,
}

impl Filter {
    /// The parameters of the query.
    #[must_use]
    pub fn query(&self) -> [(&'static str, Option<String>); 8] {
        [
            ("call", self.call.map(|call| call.to_string())),
            ("phase", self.phase.map(|phase| phase.to_string())),
            ("topic", self.topic.as_ref().map(ToString::to_string)),
            ("party", self.party.as_ref().map(ToString::to_string)),
            ("status", self.status.map(|status| status.to_string())),
            ("mine", self.mine.map(|mine| mine.to_string())),
            ("reference", self.reference.as_ref().map(ToString::to_string)),
            ("begins", self.begins.as_ref().map(ToString::to_string)),
        ]
    }
}

request! {
    /// Begins a joint proposal. The caller's client made its vaults and wrapped them beforehand.
    pub struct CreateProposal {
        /// Made by the client, since the vault statements name it: `prop_` and a ULID whose last eight letters are the first 40 bits of the
        /// SHA-256 of what is before them, a blank and the caller, in Crockford's base 32.
        pub id: ProposalId,
        pub call: CallId,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        pub topic: Option<Slug>,
        /// Who is to be in each party, the caller among them. Everybody else is asked to join.
        pub parties: BTreeMap<PartnerCode, BTreeSet<MemberId>>,
        /// For everybody else among the members: compact JWS of type `entente-invitation+jws`. A request has at most 23; others are asked once
        /// the proposal is begun.
        #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
        pub invitations: BTreeMap<MemberId, String>,
        /// One `panel` and one `parties` vault, and the `staff` vault of the caller's own party.
        pub vaults: Vec<NewVault>,
    }

    /// A vault and the keys to it.
    pub struct NewVault {
        /// Compact JWS of type `entente-vault+jws`. The caller makes the vault's identifier, as for a proposal.
        pub statement: String,
        pub keys: Vec<WrappedKeyIn>,
    }

    /// A vault's identity, encrypted to one holder.
    pub struct WrappedKeyIn {
        /// Compact JWS of type `entente-wrap+jws`: vault, holder, recipient and the digest of `ciphertext`.
        pub statement: String,
        /// The age file, standard base64; at most 16 KiB.
        pub ciphertext: String,
    }

    /// Adds wrapped keys to a vault.
    pub struct AddKeys {
        pub keys: Vec<WrappedKeyIn>,
    }

    /// Asks a colleague to join the caller's own party, with keys to the vaults that the party holds.
    pub struct AddMember {
        /// Compact JWS of type `entente-invitation+jws`.
        pub invitation: String,
        pub keys: BTreeMap<VaultId, Vec<WrappedKeyIn>>,
    }

    /// Joins the party that the caller is asked to join.
    pub struct AcceptInvitation {
        /// Compact JWS of type `entente-acceptance+jws`, with the digest of the invitation.
        pub statement: String,
    }

    /// Proposes a version or adds the caller's signature to the one that waits for it.
    pub struct SignManifest {
        /// Compact JWS of type `entente-manifest+jws`.
        pub manifest: String,
    }

    /// Proposes a relabelling or adds the caller's signature to the one that waits for it.
    pub struct SignLabel {
        /// Compact JWS of type `entente-label+jws`.
        pub statement: String,
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
fn is_zero(number: &u64) -> bool {
    *number == 0
}

impl CreateProposal {
    /// The most invitations with which a proposal begins: twenty-four members with the one who begins it. Others wait for their turn at
    /// writing until all are written.
    pub const MOST_INVITATIONS: usize = 23;
    /// The most wrapped keys with which a proposal begins, over all its vaults. Twenty-four members with two recipients each need 103.
    pub const MOST_KEYS: usize = 104;
}

answer! {
    /// A proposal as the caller may see it: routing facts, never content.
    pub struct Proposal {
        pub id: ProposalId,
        /// What people call it: the code of its call and a number with a check digit. The versions that the parties sign name it.
        pub reference: Reference,
        pub call: CallId,
        #[serde(skip_serializing_if = "Option::is_none")]
        pub topic: Option<Slug>,
        pub status: Status,
        /// The parties, each with the members who joined it.
        pub parties: BTreeMap<PartnerCode, BTreeSet<MemberId>>,
        /// Who is asked to join and has not answered; for the parties and the call's officers.
        #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
        pub invited: BTreeSet<MemberId>,
        /// Organisations of the parties' members as of the deadline, for declaring conflicts. Who works at one judges nothing of it.
        pub organisations: BTreeSet<String>,
        /// Organisations that key cards of the parties' members name since the deadline. They keep nobody from judging: who works at one says
        /// whether that is a conflict.
        #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
        pub later_organisations: BTreeSet<String>,
        /// Who joined a party after the deadline, and when: where they worked then is what counts of them.
        #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
        pub joined_late: BTreeMap<MemberId, Time>,
        /// Last instant for signatures on this proposal.
        pub deadline_at: Time,
        /// Last instant for the bytes of a committed manifest.
        pub grace_until: Time,
        /// The version that stands.
        #[serde(skip_serializing_if = "Option::is_none")]
        pub version: Option<u32>,
        #[serde(skip_serializing_if = "Option::is_none")]
        pub manifest_sha256: Option<Sha256>,
        /// Whom it is releasable to, if a label says so.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        pub label: Option<Label>,
        /// What was decided, by the decision in force, for those who may know of it: parties, officers, and deciders who declared to be clear.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        pub decided: Option<Outcome>,
        /// When the present line of the ranking was sent, for those who may read it: officers and deciders who declared to be clear.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        pub ranking_sent_at: Option<Time>,
        /// How many letters to the parties there are, for those who may read them.
        #[serde(default, skip_serializing_if = "is_zero")]
        pub letters: u64,
        /// The version that waits for signatures or bytes.
        #[serde(skip_serializing_if = "Option::is_none")]
        pub pending: Option<Pending>,
        /// What the parties signed before an amendment voided it, until all have signed again; for the parties.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        pub void: Option<Void>,
        /// For its parties: which of them wish to withdraw it. It is withdrawn once each of them does.
        #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
        pub withdrawal: BTreeMap<PartnerCode, Wish>,
        pub created_at: Time,
        /// What the caller has to do with it.
        pub mine: Mine,
    }

    /// A party's wish to withdraw a proposal.
    pub struct Wish {
        /// Who said so for the party.
        pub member: MemberId,
        pub wished_at: Time,
    }

    /// How many proposals a list has in all.
    pub struct Count {
        pub proposals: u64,
    }

    /// The caller's own relation to a proposal.
    pub struct Mine {
        pub is_party: bool,
        /// Whether the caller is asked to join a party and may.
        #[serde(default)]
        pub is_invited: bool,
        pub is_assigned: bool,
        /// Whether the caller has declared that no conflict exists.
        pub is_clear: bool,
        pub has_reviewed: bool,
        /// When an officer reopened the caller's review, while no other revision is in.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        pub reopened_at: Option<Time>,
        /// The officer who reopened it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        pub reopened_by: Option<MemberId>,
    }

    /// An invitation to a party, and its acceptance.
    pub struct Joined {
        pub member: MemberId,
        /// Which of the member's to this proposal, from 1: who left and is asked again has several.
        pub number: u32,
        pub invited_by: MemberId,
        pub invited_at: Time,
        /// Compact JWS of type `entente-invitation+jws`.
        pub invitation: String,
        /// The officer who consented to the member joining after the deadline.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        pub consented_by: Option<MemberId>,
        /// Compact JWS of type `entente-acceptance+jws`; none until the member accepts.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        pub acceptance: Option<String>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        pub accepted_at: Option<Time>,
    }

    /// A version that does not stand yet.
    pub struct Pending {
        pub version: u32,
        pub manifest_sha256: Sha256,
        pub signed_by: BTreeSet<PartnerCode>,
        pub awaiting_signatures: BTreeSet<PartnerCode>,
        /// Slots whose bytes are still to come.
        pub awaiting_documents: Vec<Place>,
    }

    /// A version that no longer counts, because the call was amended.
    pub struct Void {
        pub version: u32,
        /// When the call was amended.
        pub since: Time,
        /// The reason of the amendment, where it is on record.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        pub reason: Option<String>,
    }

    /// A slot, and the party if it is that party's own.
    pub struct Place {
        pub slot: Slug,
        #[serde(skip_serializing_if = "Option::is_none")]
        pub party: Option<PartnerCode>,
    }

    /// A document that the server holds.
    pub struct Document {
        pub id: DocumentId,
        pub slot: Slug,
        #[serde(skip_serializing_if = "Option::is_none")]
        pub party: Option<PartnerCode>,
        pub vault: VaultId,
        pub sha256: Sha256,
        pub size: u64,
        pub media_type: String,
        pub uploaded_by: MemberId,
        pub uploaded_at: Time,
    }

    /// An upload that can be resumed.
    pub struct ResumableUpload {
        pub id: UploadId,
        pub slot: Slug,
        /// Bytes of the whole.
        pub size: u64,
        /// The byte at which it goes on; the size once it became a document.
        pub offset: u64,
        /// When it goes, whatever is here of it. A document stays.
        pub expires_at: Time,
        /// The document that it became.
        #[serde(skip_serializing_if = "Option::is_none")]
        pub document: Option<Document>,
    }

    /// A version's manifest with the signatures under it. All signatures carry the same payload.
    pub struct SignedManifest {
        pub version: u32,
        pub manifest_sha256: Sha256,
        pub call_version: u32,
        /// Compact JWS by party.
        pub signatures: BTreeMap<PartnerCode, String>,
        #[serde(skip_serializing_if = "Option::is_none")]
        pub committed_at: Option<Time>,
        #[serde(skip_serializing_if = "Option::is_none")]
        pub complete_at: Option<Time>,
        /// Whether it is the version that stands.
        pub is_standing: bool,
    }

    /// A relabelling with the signatures under it. All signatures carry the same payload.
    pub struct SignedLabel {
        pub number: u32,
        /// Digest of the statement.
        pub label_sha256: Sha256,
        /// The version that it is about.
        pub manifest_sha256: Sha256,
        /// None: no label from then on.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        pub label: Option<Label>,
        /// Compact JWS by party.
        pub signatures: BTreeMap<PartnerCode, String>,
        pub stated_at: Time,
        /// When the last party had signed.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        pub in_force_at: Option<Time>,
        /// Whether it is what holds for the version that stands.
        pub is_in_force: bool,
    }

    /// What another label would change now.
    pub struct LabelPreview {
        /// In force.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        pub label: Option<Label>,
        /// As it would be.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        pub then: Option<Label>,
        /// By the nation of those who gain.
        pub gains: BTreeMap<PartnerCode, Tally>,
        /// By the nation of those who lose.
        pub losses: BTreeMap<PartnerCode, Tally>,
        /// Members who would need a key.
        pub keys_needed: u64,
        /// Wrapped keys that would be removed, by the nation of their holders.
        pub keys_removed: BTreeMap<PartnerCode, u64>,
        /// Members who lose content that they have fetched already: what was read stays read.
        pub fetched_before: u64,
        /// Each change by member; for policy officers of an owner, since parties do not hear who judges them.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        pub items: Vec<PreviewedChange>,
    }

    /// A vault and who holds keys to it, as far as the caller may know.
    pub struct Vault {
        pub id: VaultId,
        pub kind: VaultKind,
        #[serde(skip_serializing_if = "Option::is_none")]
        pub party: Option<PartnerCode>,
        pub recipient: String,
        /// Compact JWS of type `entente-vault+jws`.
        pub statement: String,
        /// The keys that the caller can use: its own, and those for vaults that it may open.
        pub keys: Vec<WrappedKey>,
    }

    /// A wrapped key.
    pub struct WrappedKey {
        pub id: WrappedKeyId,
        /// A member or a vault.
        pub holder: String,
        pub recipient: String,
        pub statement: String,
        /// The age file, standard base64.
        pub ciphertext: String,
        pub wrapped_by: MemberId,
    }

    /// A member whom policy lets read what a vault protects, but who lacks a key to it for a recipient of their key card.
    pub struct MissingKey {
        pub vault: VaultId,
        pub kind: VaultKind,
        pub holder: MemberId,
        /// The recipients of the key card in force for which there is none.
        pub recipients: Vec<String>,
    }

    /// A member who holds a key to a vault, and whom policy no longer lets read what it protects.
    pub struct SurplusKey {
        pub vault: VaultId,
        pub kind: VaultKind,
        pub holder: MemberId,
    }
}
