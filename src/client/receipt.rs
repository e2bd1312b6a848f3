//! The receipt of a submission: one file that proves offline, years later, what was handed in and who signed it. It has the signatures of
//! all parties, the key cards that vouch for them and the partner cards that vouch for those.
//!
//! INVARIANT: nothing in a receipt is believed because it is in there. A partner card counts only if this machine pinned it or the reader gave
//! it, a signature only if a key card of that time names its key. The times are the exchange's word, as the member who made the receipt
//! heard it; the digest over all of it shows any change but that of somebody who writes the digest again.

use super::{
    Client, ClientError, Result,
    lineage::OfferedCards,
    log::{LogFilter, LogReader},
    verified::VersionChoice,
    verify::{check_valid, invalid},
};
use crate::{
    domain::{
        entry::EntryKind,
        id::{MemberId, PartnerCode, ProposalId, Sha256},
        reference::Reference,
        text::choices,
    },
    sealing::{
        canonical,
        card::{KeyCard, PartnerCard},
        leaf,
        statement::{Manifest, Signed, Statement, verify_signed},
    },
    wire::{Time, directory::PublishedKeyCard, entry::payloads::Payload, proposal::SignedManifest},
};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::{collections::BTreeMap, time::Duration};

/// What a receipt says that it is. Another number is another form.
const FORM: &str = "entente-receipt/1";
/// The largest receipt, in bytes: 24 parties with a manifest of 1,024 documents each have room.
pub const MAX_RECEIPT: usize = 32 << 20;
/// The most key cards of one signer that are kept.
pub(super) const MOST_CARDS: usize = 256;

/// A receipt, as it is written.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Receipt {
    pub form: String,
    pub proposal: ProposalId,
    pub reference: Reference,
    pub version: u32,
    pub manifest_sha256: Sha256,
    /// When the last party had signed, by the exchange.
    pub committed_at: Time,
    /// When the last byte was there, by the exchange.
    pub complete_at: Time,
    pub signatures: BTreeMap<PartnerCode, ReceiptSignature>,
    pub partner_cards: BTreeMap<PartnerCode, PartnerCard>,
    /// Who made the receipt, and when.
    pub made_by: MemberId,
    pub made_at: Time,
    /// Of all the rest, in canonical form.
    pub sha256: Sha256,
}

/// A party's signature, with what vouches for it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReceiptSignature {
    pub member: MemberId,
    /// When it was with the exchange, by its log; no later than when the last party had signed.
    pub signed_at: Time,
    /// Compact JWS of type `entente-manifest+jws`.
    pub manifest: String,
    /// The member's key cards, the newest first, down to the one that vouches.
    pub key_cards: Vec<PublishedKeyCard>,
}

/// A partner card that the reader believes, and why.
#[derive(Debug, Clone, PartialEq)]
pub struct TrustedCard {
    pub card: PartnerCard,
    pub fingerprint: Sha256,
    /// Given with the receipt, rather than pinned on this machine.
    pub is_given: bool,
}

/// A receipt that verified.
#[derive(Debug, Clone, PartialEq)]
pub struct VerifiedReceipt {
    pub receipt: Receipt,
    pub manifest: Manifest,
    pub signers: BTreeMap<PartnerCode, VouchedSigner>,
    /// What was believed.
    pub trusted: BTreeMap<PartnerCode, TrustedCard>,
}

/// Who signed, as a key card of that time says it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VouchedSigner {
    pub member: MemberId,
    pub name: String,
    pub organisation: String,
    pub signed_at: Timestamp,
    /// The serial of the key card that vouches.
    pub serial: u64,
}

impl Client {
    /// Makes the receipt of the version that stands, and verifies it as a reader will.
    pub async fn receipt(&self, id: ProposalId) -> Result<Vec<u8>> {
        let proposal = self.api().proposal(id).await?;
        if !proposal.mine.is_party {
            return Err(ClientError::usage("you are not a party of this proposal", "only its parties have a receipt"));
        }
        let verified = self.manifest(id, VersionChoice::Standing).await?;
        let versions = self.api().manifests(id).await?;
        let standing = versions.into_iter().find(|version| version.manifest_sha256 == verified.sha256);
        let standing = standing.ok_or_else(|| invalid("the exchange no longer shows the version that stands"))?;
        let SignedManifest {
            version,
            signatures,
            committed_at: Some(committed_at),
            complete_at: Some(complete_at),
            ..
        } = standing
        else {
            return Err(invalid("the exchange does not say when the version that stands was handed in"));
        };
        let times = self.signed_at(id, verified.sha256).await?;
        let (mut receipt_signatures, mut partner_cards) = (BTreeMap::new(), BTreeMap::new());
        for (party, manifest) in signatures {
            let member = verified.signed_by.get(&party).cloned();
            let member = member.ok_or_else(|| invalid(format!("nobody signed for `{party}`")))?;
            let partner = self.partner(&party).await?;
            let signed_at = times.get(&party).copied().unwrap_or(committed_at);
            let published = self.api().key_cards(&member).await?;
            let signed: Signed<Manifest> = verify_signed(&manifest)?;
            let key_cards = needed(published, &partner, &signed.signer_spki, signed_at.0)?;
            receipt_signatures.insert(party.clone(), ReceiptSignature { member, signed_at, manifest, key_cards });
            partner_cards.insert(party, (*partner).clone());
        }
        let receipt = Receipt {
            form: FORM.to_owned(),
            proposal: id,
            reference: verified.manifest.reference.clone(),
            version,
            manifest_sha256: verified.sha256,
            committed_at,
            complete_at,
            signatures: receipt_signatures,
            partner_cards,
            made_by: self.member_id().await?,
            made_at: self.now().into(),
            sha256: Sha256::of(b""),
        };
        let bytes = receipt.written()?;
        verify(&bytes, &trusted(self.home().pins()?.into_iter().map(|pinned| pinned.card), Vec::new())?)?;
        Ok(bytes)
    }

    /// When each party's signature under a version was with the exchange, by its log.
    async fn signed_at(&self, id: ProposalId, manifest: Sha256) -> Result<BTreeMap<PartnerCode, Time>> {
        let filter =
            LogFilter { kinds: [EntryKind::ManifestSigned].into(), proposals: [id].into(), ..LogFilter::default() };
        let read = LogReader::new(filter, None).rest(self.api(), usize::MAX, Duration::ZERO).await?;
        let signed = read.entries.iter().filter_map(|entry| match Payload::parse(entry.kind, &entry.payload) {
            Ok(Payload::ManifestSigned(signed)) if signed.manifest_sha256 == manifest => {
                Some((signed.partner, signed.arrived_at))
            }
            _ => None,
        });
        Ok(signed.collect())
    }
}

impl Receipt {
    /// The bytes of the file, in canonical form and with the digest of all else in it.
    fn written(mut self) -> Result<Vec<u8>> {
        self.sha256 = self.digest()?;
        let bytes = canonical::to_vec(&self).map_err(|error| unreadable(&error.to_string()))?;
        if bytes.len() > MAX_RECEIPT {
            return Err(ClientError::local(
                format!("the receipt would have {} bytes, and {MAX_RECEIPT} are read", bytes.len()),
                "keep what `entente --json proposal verify` says instead",
            ));
        }
        Ok(bytes)
    }

    /// Of everything but the digest itself.
    fn digest(&self) -> Result<Sha256> {
        let mut value = serde_json::to_value(self).map_err(|error| unreadable(&error.to_string()))?;
        if let Some(members) = value.as_object_mut() {
            members.remove("sha256");
        }
        canonical::digest(&value).map_err(|error| unreadable(&error.to_string()))
    }
}

/// The cards that a reader believes: those given come before those pinned here.
///
/// # Errors
/// When a card cannot be read.
pub fn trusted(
    pinned: impl IntoIterator<Item = PartnerCard>,
    given: impl IntoIterator<Item = PartnerCard>,
) -> Result<Vec<TrustedCard>> {
    let given = given.into_iter().map(|card| (card, true));
    let all = given.chain(pinned.into_iter().map(|card| (card, false)));
    all.map(|(card, is_given)| Ok(TrustedCard { fingerprint: card.fingerprint()?, card, is_given })).collect()
}

/// Verifies a receipt, without a network: by these partner cards alone, each signature at the time that the exchange recorded for it.
pub fn verify(bytes: &[u8], trusted: &[TrustedCard]) -> Result<VerifiedReceipt> {
    let receipt = read(bytes)?;
    let (mut signers, mut believed, mut manifest) = (BTreeMap::new(), BTreeMap::new(), None);
    for (party, signature) in &receipt.signatures {
        let card = believe(party, receipt.partner_cards.get(party), trusted)?;
        let signed: Signed<Manifest> = verify_signed(&signature.manifest)?;
        check_manifest(&receipt, &signed)?;
        signers.insert(party.clone(), check_signature(&receipt, party, signature, &signed, &card.card)?);
        believed.insert(party.clone(), card);
        manifest = Some(signed.statement);
    }
    let manifest = manifest.ok_or_else(|| unreadable("nobody signed what it is about"))?;
    if let Some(missing) = manifest.parties.iter().find(|party| !signers.contains_key(party)) {
        return Err(invalid(format!("the receipt has no signature of `{missing}`, which is a party of the proposal")));
    }
    if !receipt.partner_cards.keys().eq(receipt.signatures.keys()) {
        return Err(invalid("the receipt has cards of partners that signed nothing in it"));
    }
    if receipt.complete_at < receipt.committed_at {
        return Err(invalid("by the receipt the bytes were there before every party had signed, as a whole"));
    }
    Ok(VerifiedReceipt { receipt, manifest, signers, trusted: believed })
}

/// Reads a receipt that nobody changed since it was made.
fn read(bytes: &[u8]) -> Result<Receipt> {
    if bytes.len() > MAX_RECEIPT {
        return Err(unreadable(&format!("it is longer than {MAX_RECEIPT} bytes")));
    }
    // A line end that an editor put behind it changes nothing that was said; anything else does.
    let bytes = bytes.strip_suffix(b"\n").unwrap_or(bytes);
    let receipt: Receipt = crate::reading::json(bytes).map_err(|fault| unreadable(&fault.to_string()))?;
    if receipt.form != FORM {
        return Err(unreadable(&format!("it is in the form `{}`, and this program reads `{FORM}`", receipt.form)));
    }
    let again = canonical::to_vec(&receipt).map_err(|error| unreadable(&error.to_string()))?;
    if again != bytes || receipt.digest()? != receipt.sha256 {
        return Err(invalid("the receipt was changed since it was made: its digest is another one"));
    }
    Ok(receipt)
}

/// The partner's card, if it is one of those that the reader believes.
pub(super) fn believe(
    party: &PartnerCode,
    offered: Option<&PartnerCard>,
    trusted: &[TrustedCard],
) -> Result<TrustedCard> {
    let offered = offered.ok_or_else(|| invalid(format!("the file has no card of `{party}`")))?;
    let fingerprint = offered.fingerprint()?;
    let of_party: Vec<&TrustedCard> = trusted.iter().filter(|card| card.card.code == *party).collect();
    if let Some(card) = of_party.iter().find(|card| card.fingerprint == fingerprint && offered.code == *party) {
        return Ok((*card).clone());
    }
    let help = format!(
        "give the card of `{party}` that was in force then with `--card FILE`, once its fingerprint is confirmed by the officials of \
         `{party}` or by your own records"
    );
    Err(match of_party.as_slice() {
        [] => {
            ClientError::unverified(format!("the card of `{party}` is neither pinned on this machine nor given"), help)
        }
        several => {
            let known = choices(several.iter().map(|card| format!("`{}`", card.fingerprint)));
            ClientError::unverified(format!("the file has another card of `{party}` than {known}"), help)
        }
    })
}

/// That a signature is over what the receipt says.
fn check_manifest(receipt: &Receipt, signed: &Signed<Manifest>) -> Result<()> {
    let manifest = &signed.statement;
    let fits = signed.payload_sha256 == receipt.manifest_sha256
        && manifest.proposal == receipt.proposal
        && manifest.reference == receipt.reference
        && manifest.version == receipt.version;
    if fits { Ok(()) } else { Err(invalid("a signature in the receipt is over something else than the receipt says")) }
}

/// That a member of the party signed, under a certificate and a key card of that time.
fn check_signature(
    receipt: &Receipt,
    party: &PartnerCode,
    signature: &ReceiptSignature,
    signed: &Signed<Manifest>,
    partner: &PartnerCard,
) -> Result<VouchedSigner> {
    let (member, at) = (&signature.member, signature.signed_at.0);
    if member.partner() != party || !signed.statement.parties.contains(party) {
        return Err(invalid(format!("`{member}` is not a member of a party of the proposal")));
    }
    if signature.signed_at > receipt.committed_at {
        return Err(invalid(format!("by the receipt `{party}` signed after every party had signed")));
    }
    if signature.key_cards.len() > MOST_CARDS {
        return Err(unreadable(&format!("it has more than {MOST_CARDS} key cards of `{member}`")));
    }
    let cards = OfferedCards::read(&signature.key_cards, partner)?;
    let card = vouched(signed, member, at, cards.as_ref())?;
    Ok(VouchedSigner {
        member: card.member.clone(),
        name: card.name.clone(),
        organisation: card.organisation.clone(),
        signed_at: at,
        serial: card.serial,
    })
}

/// The card by which the member signed what was recorded at that time, under a certificate of that time: one of those that a file has.
pub(super) fn vouched<'c, T: Statement>(
    signed: &Signed<T>,
    member: &MemberId,
    at: Timestamp,
    cards: Option<&'c OfferedCards>,
) -> Result<&'c KeyCard> {
    check_valid(signed, member, at)?;
    leaf::check_name(&signed.leaf, member)?;
    let card = cards.and_then(|cards| cards.vouching(&signed.signer_spki, at));
    card.filter(|card| card.member == *member).ok_or_else(|| {
        invalid(format!(
            "no key card of `{member}` in the file names the key of the signature at {at:.0}, when it was recorded"
        ))
    })
}

/// The cards down to the one that vouches; those below it prove nothing more.
fn needed(
    published: Vec<PublishedKeyCard>,
    partner: &PartnerCard,
    key: &Sha256,
    at: Timestamp,
) -> Result<Vec<PublishedKeyCard>> {
    for count in 1..=published.len().min(MOST_CARDS) {
        let cards = OfferedCards::read(&published[..count], partner)?;
        if cards.is_some_and(|cards| cards.vouching(key, at).is_some()) {
            return Ok(published.into_iter().take(count).collect());
        }
    }
    Err(ClientError::unverified(
        format!("no key card that the exchange shows names the key of a signature at {at:.0}, when it was recorded"),
        "see who signed with `entente proposal verify`, and ask that partner's registrar",
    ))
}

fn unreadable(fault: &str) -> ClientError {
    ClientError::unverified(
        format!("it is not a receipt that can be read: {fault}"),
        "take the file as `entente proposal receipt` wrote it",
    )
}

#[cfg(test)]
mod tests;
