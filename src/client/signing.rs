//! Signing a version: what is uploaded, compared with what was sealed here, bound into one manifest that every party signs.
//!
//! A signature is given only to a manifest whose vaults verified, whose call text verified and whose documents are what the
//! exchange holds, or what this machine sealed and will still send: that is looked at again when it is signed, however long a person
//! looked at what is to be signed.

use super::{
    Client, ClientError, Result,
    labels::LabelChoice,
    opening::check_text,
    records::UploadRecord,
    verified::{VerifiedCall, VersionChoice},
    verify::{check_reference, invalid},
};
use crate::{
    domain::{
        call::LetterAudience,
        id::{MemberId, PartnerCode, ProposalId, Slug},
        label::Label,
        proposal::{Listed, check_documents},
        vault::VaultKind,
    },
    sealing::statement::{Manifest, ManifestDocument, Statement},
    wire::{
        Time,
        proposal::{Document, Place, Proposal, SignManifest, Vault},
    },
};
use std::{
    cmp::Reverse,
    collections::{BTreeMap, BTreeSet},
};

/// What a signature would say.
#[derive(Debug, Clone, PartialEq)]
pub struct Signing {
    pub manifest: Manifest,
    pub documents: Vec<SigningDocument>,
    /// The parties that have signed this version.
    pub signed_by: BTreeSet<PartnerCode>,
    /// Whom letters are for by the text of the call.
    pub letters: LetterAudience,
}

/// A document of the manifest, and where it comes from.
#[derive(Debug, Clone, PartialEq)]
pub struct SigningDocument {
    pub document: ManifestDocument,
    /// None while the exchange does not have it.
    pub uploaded_by: Option<MemberId>,
    pub uploaded_at: Option<Time>,
    /// Whether it was sealed on this machine. Any other is taken on the word of the member who uploaded it: open it before signing.
    pub is_own: bool,
}

impl Signing {
    /// Whether another party proposed this version.
    #[must_use]
    pub fn is_countersignature(&self) -> bool {
        !self.signed_by.is_empty()
    }

    /// What this machine sealed, and the exchange did not have when that was looked at.
    pub(super) fn to_be_sent(&self) -> impl Iterator<Item = &ManifestDocument> {
        let waiting = self.documents.iter().filter(|line| line.is_own && line.uploaded_by.is_none());
        waiting.map(|line| &line.document)
    }
}

type WorkingSet = BTreeMap<(Slug, Option<PartnerCode>), SigningDocument>;

impl Client {
    /// What signing would sign now: the version that waits for this party, exactly as it is, or the next one when none waits.
    ///
    /// # Errors
    /// Among others when a version waits but something else is put in by now: signing that would be another proposal than
    /// the counterpart signed.
    pub async fn plan_signature(&self, id: ProposalId) -> Result<Signing> {
        self.plan_labelled(id, false, &LabelChoice::Keep).await
    }

    /// The same, but where something else is put in than the version that waits for this party says, the next version.
    pub async fn plan_new_version(&self, id: ProposalId) -> Result<Signing> {
        self.plan_labelled(id, true, &LabelChoice::Keep).await
    }

    /// The same with a label: if the version that waits has another label, this makes it another version.
    pub async fn plan_labelled(&self, id: ProposalId, may_replace: bool, choice: &LabelChoice) -> Result<Signing> {
        let proposal = self.api().proposal(id).await?;
        let me = self.member_id().await?;
        if !proposal.parties.get(me.partner()).is_some_and(|members| members.contains(&me)) {
            return Err(ClientError::usage(
                "you are not a party of this proposal",
                "only members of its parties sign it; if you are invited: `entente proposal accept`",
            ));
        }
        let call = self.call(proposal.call).await?;
        let vaults = self.api().vaults(id).await?;
        let working = self.working_set(&proposal, &call, &vaults, &me).await?;
        let mut versions = self.api().manifests(id).await?;
        // What waits for a signature comes before what stands: its bytes may be yet to come, and then what is uploaded is
        // still what stands.
        versions.sort_by_key(|version| Reverse(version.version));
        let next = versions.iter().map(|version| version.version).max().unwrap_or(0) + 1;
        for version in &versions {
            let awaited = proposal.pending.as_ref().filter(|pending| pending.version == version.version);
            if awaited.is_none() && !version.is_standing {
                continue;
            }
            let (manifest, signers) = self.verify_signatures(version, &proposal, &call).await?;
            check_text(self.home(), version, &manifest)?;
            let awaiting = awaited.map(|pending| pending.awaiting_documents.as_slice()).unwrap_or_default();
            let is_current = manifest.call_text_sha256 == call.publication.text_sha256;
            let mut changes = changes(&manifest, &working, awaiting);
            let label = choice.of(&manifest.parties, manifest.label.as_ref());
            if label != manifest.label {
                changes.push(format!("the label is to be {}", worded(label.as_ref())));
            }
            if !is_current || !changes.is_empty() {
                if awaited.is_some() && !signers.contains_key(me.partner()) && !may_replace {
                    return Err(superseded(version.version, next, is_current, &changes));
                }
                continue;
            }
            if signers.contains_key(me.partner()) {
                return Err(ClientError::usage(
                    format!("your party has signed version {}, and nothing has changed since", version.version),
                    "nothing to do; `entente proposal status` tells what it waits for",
                ));
            }
            self.check_vaults(&manifest, &vaults, &proposal, &call).await?;
            if let Some(label) = &manifest.label {
                self.check_label(label, &manifest.parties, &call).await?;
            }
            let documents = manifest.documents.iter().map(|document| known(document, &working)).collect();
            let (signed_by, letters) = (signers.into_keys().collect(), call.rules.letters);
            return Ok(Signing { manifest, documents, signed_by, letters });
        }
        let present = self.label_to_keep(&proposal, &call, &vaults, choice).await?;
        let owners: BTreeSet<PartnerCode> = proposal.parties.keys().cloned().collect();
        let label = choice.of(&owners, present.as_ref());
        if let Some(label) = &label {
            self.check_label(label, &owners, &call).await?;
        }
        plan_version(&proposal, &call, next, working, label)
    }

    /// The label of a new version if nothing else is said: the label of the version that waits, or the one in force.
    async fn label_to_keep(
        &self,
        proposal: &Proposal,
        call: &VerifiedCall,
        vaults: &[Vault],
        choice: &LabelChoice,
    ) -> Result<Option<Label>> {
        if *choice != LabelChoice::Keep {
            return Ok(None);
        }
        if proposal.pending.is_some() {
            return Ok(self.verified_manifest(proposal, call, vaults, VersionChoice::Newest).await?.manifest.label);
        }
        if proposal.version.is_none() {
            return Ok(None);
        }
        let standing = self.verified_manifest(proposal, call, vaults, VersionChoice::Standing).await?;
        Ok(self.label_in_force(proposal, &standing).await?.label)
    }

    /// Signs what was planned. What it names and this machine alone holds is kept from then on until it is sent.
    ///
    /// # Errors
    /// Among others when something of that is no longer there.
    pub async fn sign(&self, plan: &Signing) -> Result<Proposal> {
        if plan.letters == LetterAudience::OneParty {
            Box::pin(self.prepare_for_letters(plan.manifest.proposal, plan.manifest.call)).await?;
        }
        let manifest = self.signed(&plan.manifest).await?;
        let sha256 = plan.manifest.digest()?;
        // Before the signature leaves: its answer may be lost.
        let marked = self.remember_signed(plan)?;
        let signed = match self.api().sign_manifest(plan.manifest.proposal, &SignManifest { manifest }).await {
            Err(error) if error.problem().is_some_and(|problem| problem.status < 500) => {
                self.forget_signed(plan.manifest.version, &marked)?;
                return Err(error);
            }
            signed => signed?,
        };
        let is_held = signed.manifest_sha256 == Some(sha256)
            || signed.pending.as_ref().is_some_and(|pending| pending.manifest_sha256 == sha256);
        if is_held { Ok(signed) } else { Err(invalid("the exchange answered with another version than was signed")) }
    }

    /// Whether each document of a manifest names the vault of its kind, as far as the vaults are shown to the caller.
    pub(super) async fn check_vaults(
        &self,
        manifest: &Manifest,
        vaults: &[Vault],
        proposal: &Proposal,
        call: &VerifiedCall,
    ) -> Result<()> {
        let mut checked: BTreeSet<_> = BTreeSet::new();
        for document in &manifest.documents {
            let Some(vault) = vaults.iter().find(|vault| vault.id == document.vault) else { continue };
            let kind = if document.party.is_some() { VaultKind::Staff } else { VaultKind::Panel };
            if vault.kind != kind || vault.party != document.party || vault.recipient != document.recipient {
                return Err(invalid(format!("slot `{}` is signed for another vault than is shown", document.slot)));
            }
            if checked.insert(vault.id) {
                self.verify_vault(vault, proposal, call).await?;
            }
        }
        Ok(())
    }

    /// What the next version would hold: what the exchange has, and over it what this machine sealed and has not sent.
    async fn working_set(
        &self,
        proposal: &Proposal,
        call: &VerifiedCall,
        vaults: &[Vault],
        me: &MemberId,
    ) -> Result<WorkingSet> {
        let mut working = WorkingSet::new();
        for document in self.api().documents(proposal.id).await? {
            let records = self.home().uploads_of(&self.profile().name, proposal.id, &document.slot)?;
            let is_own = is_own(&records, &document, me)?;
            let kind = if document.party.is_some() { VaultKind::Staff } else { VaultKind::Panel };
            let vault = self.find_vault(vaults, kind, document.party.as_ref(), proposal, call).await?;
            let vault = vault.filter(|vault| vault.vault.id == document.vault).ok_or_else(|| {
                invalid(format!("the document in slot `{}` is not in the vault of its slot", document.slot))
            })?;
            let Document { slot, party, sha256, size, media_type, uploaded_by, uploaded_at, .. } = document;
            let place = (slot.clone(), party.clone());
            let recipient = vault.statement.recipient;
            let document = ManifestDocument { slot, party, vault: vault.vault.id, recipient, sha256, size, media_type };
            let (uploaded_by, uploaded_at) = (Some(uploaded_by), Some(uploaded_at));
            working.insert(place, SigningDocument { document, uploaded_by, uploaded_at, is_own });
        }
        let mut newest = BTreeMap::new();
        for record in self.home().uploads(&self.profile().name)? {
            if record.proposal == proposal.id && record.has_file() && !record.is_taken_out {
                newest.insert(record.slot.clone(), record);
            }
        }
        for record in newest.into_values().filter(UploadRecord::is_unsent) {
            let UploadRecord { slot, party, vault, recipient, sha256, size, media_type, .. } = record;
            if !vaults.iter().any(|shown| shown.id == vault && shown.recipient == recipient) {
                let what = format!("what was sealed for slot `{slot}` is in a vault that the proposal does not have");
                return Err(ClientError::local(what, "put the document again"));
            }
            let place = (slot.clone(), party.clone());
            let document = ManifestDocument { slot, party, vault, recipient, sha256, size, media_type };
            working.insert(place, SigningDocument { document, uploaded_by: None, uploaded_at: None, is_own: true });
        }
        Ok(working)
    }
}

fn plan_version(
    proposal: &Proposal,
    call: &VerifiedCall,
    version: u32,
    working: WorkingSet,
    label: Option<Label>,
) -> Result<Signing> {
    let listed: Vec<Listed> = working
        .values()
        .map(|SigningDocument { document, .. }| Listed {
            slot: document.slot.clone(),
            party: document.party.clone(),
            size: document.size,
            media_type: document.media_type.clone(),
        })
        .collect();
    check_reference(proposal, call)?;
    check_documents(&call.rules, &listed, &proposal.parties)?;
    // The set is ordered by slot and party, as the manifest has to be.
    let documents: Vec<SigningDocument> = working.into_values().collect();
    let manifest = Manifest {
        call: call.call.id,
        call_text_sha256: call.publication.text_sha256,
        proposal: proposal.id,
        reference: proposal.reference.clone(),
        version,
        parties: proposal.parties.keys().cloned().collect(),
        documents: documents.iter().map(|document| document.document.clone()).collect(),
        label,
    };
    let letters = call.rules.letters;
    Ok(Signing { manifest: manifest.sorted(), documents, signed_by: BTreeSet::new(), letters })
}

/// What is put in now and not what a version says, in words, by slot; places that still wait for their bytes may be empty.
/// Nothing when the version says exactly what the next one would.
fn changes(manifest: &Manifest, working: &WorkingSet, awaiting: &[Place]) -> Vec<String> {
    let is_awaited = |document: &ManifestDocument| {
        awaiting.iter().any(|place| place.slot == document.slot && place.party == document.party)
    };
    let mut changes = Vec::new();
    for document in &manifest.documents {
        let place = named(&document.slot, document.party.as_ref());
        match working.get(&(document.slot.clone(), document.party.clone())) {
            Some(found) if found.document == *document || is_awaited(document) && !found.is_own => {}
            Some(found) => changes.push(format!("{place} was replaced {}", by(found))),
            None if is_awaited(document) => {}
            None => changes.push(format!("{place} was taken out")),
        }
    }
    for ((slot, party), found) in working {
        if manifest.document(slot, party.as_ref()).is_none() {
            changes.push(format!("{} was added {}", named(slot, party.as_ref()), by(found)));
        }
    }
    changes
}

/// A label as people read it.
fn worded(label: Option<&Label>) -> String {
    label.map_or_else(|| "none".to_owned(), |label| format!("`{label}`"))
}

fn named(slot: &Slug, party: Option<&PartnerCode>) -> String {
    party.map_or_else(|| format!("`{slot}`"), |party| format!("`{slot}` of `{party}`"))
}

fn by(document: &SigningDocument) -> String {
    document.uploaded_by.as_ref().map_or_else(|| "on this machine".to_owned(), |member| format!("by `{member}`"))
}

/// A version waits for the caller's party, and what would be signed now is something else.
fn superseded(version: u32, next: u32, is_current: bool, changes: &[String]) -> ClientError {
    let what = if is_current {
        format!("version {version} waits for your party, but something else is put in now: {}", changes.join(", "))
    } else {
        format!("version {version} waits for your party, but is for a text of the call that was amended since")
    };
    let help = format!(
        "compare `--version {version}` and `--version working` of `entente proposal open`, agree with the counterpart, then \
         propose version {next} with `entente proposal sign --new-version`"
    );
    ClientError::usage(what, help)
}

fn known(document: &ManifestDocument, working: &WorkingSet) -> SigningDocument {
    match working.get(&(document.slot.clone(), document.party.clone())) {
        Some(found) if found.document == *document => found.clone(),
        _ => SigningDocument { document: document.clone(), uploaded_by: None, uploaded_at: None, is_own: false },
    }
}

/// Whether a document was sealed here; an error when the exchange says it came from the caller but holds another file.
fn is_own(records: &[UploadRecord], document: &Document, me: &MemberId) -> Result<bool> {
    let mut records = records.iter().filter(|record| record.party == document.party);
    if records.clone().any(|record| record.sha256 == document.sha256) {
        return Ok(true);
    }
    if document.uploaded_by == *me && records.any(|record| record.document == Some(document.id)) {
        return Err(ClientError::unverified(
            format!("the exchange holds another file in slot `{}` than the one that was sealed here", document.slot),
            "do not sign; put the document again, and tell the host's operator",
        ));
    }
    Ok(false)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        client::testing::{at, call, proposal},
        domain::id::Sha256,
    };

    fn document(slot: &str, party: Option<&str>, content: &str) -> ManifestDocument {
        let media_type = if party.is_some() { "text/csv" } else { "application/pdf" };
        let summary = slot == "summary";
        ManifestDocument {
            slot: slot.parse().unwrap(),
            party: party.map(|party| party.parse().unwrap()),
            vault: "vault_01J9ZQ4N6M8V7X5T3R2P1K0HGA".parse().unwrap(),
            recipient: "age1t7rxyev2z3rw82stdlrrepyc39nvn86l5078zqkf5uasdy86jp6svpy7pa".into(),
            sha256: Sha256::of(content.as_bytes()),
            size: 500,
            media_type: if summary { "application/vnd.entente.summary+json" } else { media_type }.into(),
        }
    }

    fn working(documents: &[ManifestDocument]) -> WorkingSet {
        let entry = |document: &ManifestDocument| {
            let place = (document.slot.clone(), document.party.clone());
            let uploaded_by = Some("USA:dana".parse().unwrap());
            (place, SigningDocument { document: document.clone(), uploaded_by, uploaded_at: None, is_own: false })
        };
        documents.iter().map(entry).collect()
    }

    fn complete() -> Vec<ManifestDocument> {
        vec![
            document("summary", None, "summary"),
            document("plan", None, "plan"),
            document("owners", Some("USA"), "usa"),
            document("owners", Some("ISR"), "isr"),
        ]
    }

    #[test]
    fn next_version_names_everything_in_order() {
        let plan = plan_version(&proposal(), &call(), 3, working(&complete()), None).unwrap();
        let places: Vec<String> = plan
            .manifest
            .documents
            .iter()
            .map(|d| format!("{} {}", d.slot, d.party.as_ref().map_or("-", |party| party.as_str())))
            .collect();
        assert_eq!(places, ["owners ISR", "owners USA", "plan -", "summary -"]);
        assert!(plan.manifest.validate().is_ok());
        assert_eq!((plan.manifest.version, plan.is_countersignature()), (3, false));
    }

    #[test]
    fn empty_required_slot_is_found_before_signing() {
        let refused = plan_version(&proposal(), &call(), 1, working(&complete()[..3]), None).unwrap_err();
        assert_eq!(refused.to_string(), "required slot `owners` of party `ISR` is empty");
    }

    #[test]
    fn version_is_countersigned_only_if_it_is_what_is_uploaded() {
        let (proposal, call) = (proposal(), call());
        let manifest = plan_version(&proposal, &call, 1, working(&complete()), None).unwrap().manifest;
        let changed = |documents: &[ManifestDocument]| changes(&manifest, &working(documents), &[]);
        assert!(changed(&complete()).is_empty());
        let mut replaced = complete();
        replaced[1].sha256 = Sha256::of(b"another plan");
        assert_eq!(changed(&replaced), ["`plan` was replaced by `USA:dana`"]);
        let mut more = complete();
        more.push(document("annex", None, "annex"));
        assert_eq!(changed(&more), ["`annex` was added by `USA:dana`"]);
        let mut without = complete();
        without.remove(2);
        assert_eq!(changed(&without), ["`owners` of `USA` was taken out"]);
        let fewer = working(&complete()[1..]);
        assert_eq!(changes(&manifest, &fewer, &[]), ["`summary` was taken out"]);
        let awaiting = [Place { slot: "summary".parse().unwrap(), party: None }];
        assert!(changes(&manifest, &fewer, &awaiting).is_empty(), "the bytes may follow");
    }

    #[test]
    fn file_that_was_swapped_after_its_upload_is_noticed() {
        let me: MemberId = "ISR:avi".parse().unwrap();
        let stored = |content: &str, by: &MemberId| Document {
            id: "doc_01J9ZQ4N6M8V7X5T3R2P1K0HGF".parse().unwrap(),
            slot: "plan".parse().unwrap(),
            party: None,
            vault: "vault_01J9ZQ4N6M8V7X5T3R2P1K0HGA".parse().unwrap(),
            sha256: Sha256::of(content.as_bytes()),
            size: 500,
            media_type: "application/pdf".into(),
            uploaded_by: by.clone(),
            uploaded_at: at("2026-03-05T00:00:00Z").into(),
        };
        let record = UploadRecord {
            proposal: proposal().id,
            reference: None,
            slot: "plan".parse().unwrap(),
            party: None,
            vault: "vault_01J9ZQ4N6M8V7X5T3R2P1K0HGA".parse().unwrap(),
            recipient: "age1".into(),
            sha256: Sha256::of(b"mine"),
            size: 500,
            media_type: "application/pdf".into(),
            idempotency_key: "k".into(),
            upload: None,
            source: None,
            sealed: None,
            document: Some("doc_01J9ZQ4N6M8V7X5T3R2P1K0HGF".parse().unwrap()),
            sequence: 1,
            signed_versions: BTreeSet::new(),
            is_taken_out: false,
        };
        let records = std::slice::from_ref(&record);
        assert!(is_own(records, &stored("mine", &me), &me).unwrap());
        assert_eq!(is_own(records, &stored("swapped", &me), &me).unwrap_err().class().code(), 4);
        let colleague = "ISR:noa".parse().unwrap();
        assert!(!is_own(records, &stored("newer", &colleague), &me).unwrap());
        assert!(!is_own(&[], &stored("mine", &me), &me).unwrap());
    }
}
