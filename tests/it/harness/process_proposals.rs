//! The lane of two members who hand in joint proposals while the exchange is killed under them, and what is true of each proposal.

use super::process_acts::{Answer, Body, Effect, Numbers, Place, Request, Stage, get, json, partner, request};
use base64::{Engine, prelude::BASE64_STANDARD};
use bytes::Bytes;
use entente::{
    domain::{
        ambient::{Clock, SystemClock, SystemRng},
        call::{SUMMARY_MEDIA_TYPE, SUMMARY_SLOT},
        id::{CallId, MemberId, PartnerCode, ProposalId, Sha256, Slug, VaultId},
        reference::Reference,
    },
    sealing::{
        seal::seal_bytes,
        statement::{
            AcceptanceStatement, InvitationStatement, Manifest, ManifestDocument, Statement, VaultKind, VaultStatement,
            WrapStatement, WrapTarget, sign_statement,
        },
        vault::VaultSecret,
    },
    wire::{
        page::Page,
        proposal::{
            AcceptInvitation, CreateProposal, Document, NewVault, Proposal, SignManifest, SignedManifest, WrappedKeyIn,
        },
    },
};
use jiff::Timestamp;
use reqwest::Method;
use std::collections::{BTreeMap, BTreeSet};

/// Joint proposals of two members, one after the other.
pub(crate) struct Proposals {
    /// The members; the first begins.
    pub(crate) pair: [&'static str; 2],
    pub(crate) work: Option<Box<Work>>,
    pub(crate) finished: Vec<Work>,
}

/// A proposal and everything that is known of it.
#[derive(Debug, Clone)]
pub(crate) struct Work {
    id: ProposalId,
    /// Once the exchange has answered.
    reference: Option<Reference>,
    pair: [&'static str; 2],
    /// The vaults of all and of the first one's party.
    panel: (VaultId, String),
    staff: (VaultId, String),
    /// By which the second is asked to join.
    invitation: Sha256,
    has_joined: bool,
    documents: BTreeMap<Place, ManifestDocument>,
    /// As the exchange answered when it took them.
    stored: BTreeMap<Place, Document>,
    /// Signatures by version.
    versions: Vec<(Manifest, BTreeMap<PartnerCode, String>)>,
    /// Whose party wishes to withdraw it.
    wishes: BTreeSet<&'static str>,
    withdrawn: bool,
    acts: u32,
    keys: u64,
}

impl Proposals {
    pub(crate) fn new(pair: [&'static str; 2]) -> Self {
        Self { pair, work: None, finished: Vec::new() }
    }

    pub(super) fn next(&mut self, stage: &Stage, numbers: &mut Numbers) -> (Request, Effect) {
        // Long enough to have versions, short enough that there are many.
        if self.work.as_ref().is_some_and(|work| work.acts > 14) {
            self.finished.extend(self.work.take().map(|work| *work));
        }
        match &self.work {
            None => begin(stage, self.pair),
            Some(work) => work.next(stage, numbers),
        }
    }

    pub(super) fn learn(&mut self, effect: Effect, answer: &Answer, tell: &mut impl FnMut(&str, u64)) {
        if let Effect::Created(mut work) = effect {
            tell("proposal.created", 1);
            tell("proposal.member_invited", 1);
            tell("vault.created", 3);
            tell("key.wrapped", work.keys);
            let made = answer.json::<Proposal>();
            assert_eq!(made.id, work.id);
            work.reference = Some(made.reference);
            self.work = Some(work);
            return;
        }
        let work = self.work.as_mut().unwrap();
        work.acts += 1;
        match effect {
            Effect::Joined => {
                tell("proposal.member_joined", 1);
                work.has_joined = true;
            }
            Effect::Stored(document) => {
                tell("document.stored", 1);
                let place = (document.slot.clone(), document.party.clone());
                work.stored.insert(place.clone(), answer.json());
                work.documents.insert(place, document);
            }
            Effect::Removed(place) => {
                tell("document.removed", 1);
                work.stored.remove(&place);
                work.documents.remove(&place);
            }
            Effect::Signed { partner, version, jws, is_last } => {
                tell("manifest.signed", 1);
                tell("proposal.submitted", u64::from(is_last));
                // A member who signs no longer wishes to withdraw.
                let wished = work.wishes.len();
                work.wishes.retain(|who| !who.starts_with(partner.as_str()));
                tell("proposal.withdrawal_unwished", (wished - work.wishes.len()) as u64);
                let at = usize::try_from(version).unwrap() - 1;
                if at == work.versions.len() {
                    let manifest = work.manifest_of(version, answer_call(&jws));
                    work.versions.push((manifest, BTreeMap::new()));
                }
                work.versions[at].1.insert(partner, jws);
            }
            Effect::Withdrawn(who) => {
                // What both have signed is for both to withdraw.
                let is_joint = work.versions.iter().any(|(_, signatures)| signatures.len() == 2);
                if is_joint {
                    tell("proposal.withdrawal_wished", 1);
                    work.wishes.insert(who);
                }
                work.withdrawn = !is_joint || work.wishes.len() == 2;
                tell("proposal.withdrawn", u64::from(work.withdrawn));
            }
            Effect::Reinstated(who) => {
                tell("proposal.withdrawal_unwished", u64::from(work.wishes.remove(who)));
                tell("proposal.reinstated", 1);
                work.withdrawn = false;
            }
            other => panic!("{other:?} is no effect of this lane"),
        }
    }
}

/// Call and digest of its text, as a signed manifest names them.
fn answer_call(jws: &str) -> (CallId, Sha256) {
    let manifest = entente::sealing::statement::verify_signed::<Manifest>(jws).unwrap().statement;
    (manifest.call, manifest.call_text_sha256)
}

impl Work {
    fn next(&self, stage: &Stage, numbers: &mut Numbers) -> (Request, Effect) {
        let [first, second] = self.pair;
        let slug = |name: &str| name.parse::<Slug>().unwrap();
        if !self.has_joined {
            return self.join(stage, second);
        }
        if self.withdrawn {
            let who = self.who(numbers);
            return (self.request(who, Method::POST, "reinstate"), Effect::Reinstated(who));
        }
        if let Some((manifest, signatures)) = self.versions.last()
            && signatures.len() == 1
        {
            return self.sign(stage, second, manifest.clone(), true);
        }
        if !self.documents.contains_key(&(slug(SUMMARY_SLOT), None)) {
            return self.put(first, SUMMARY_SLOT, SUMMARY_MEDIA_TYPE, numbers);
        }
        match numbers.below(10) {
            0..=3 => self.put(self.who(numbers), "work-plan", "application/pdf", numbers),
            4 => self.put(first, "shareholders", "application/pdf", numbers),
            5 if self.documents.contains_key(&(slug("work-plan"), None)) => {
                let request = self.request(self.who(numbers), Method::DELETE, "documents/work-plan");
                (request, Effect::Removed((slug("work-plan"), None)))
            }
            6 => {
                let open: Vec<_> = self.pair.into_iter().filter(|who| !self.wishes.contains(who)).collect();
                let who = *numbers.pick::<&'static str>(&open);
                (self.request(who, Method::POST, "withdraw"), Effect::Withdrawn(who))
            }
            _ => {
                let version = u32::try_from(self.versions.len()).unwrap() + 1;
                let manifest = self.manifest_of(version, (stage.call, stage.call_text_sha256));
                let said = |manifest: &Manifest| manifest.documents.clone();
                match self.versions.last() {
                    Some((last, _)) if said(last) == said(&manifest) => {
                        self.put(first, SUMMARY_SLOT, SUMMARY_MEDIA_TYPE, numbers)
                    }
                    _ => self.sign(stage, first, manifest, false),
                }
            }
        }
    }

    fn who(&self, numbers: &mut Numbers) -> &'static str {
        numbers.pick::<&'static str>(&self.pair)
    }

    fn request(&self, who: &'static str, method: Method, what: &str) -> Request {
        request(who, method, format!("/v1/proposals/{}/{what}", self.id), None)
    }

    fn put(&self, who: &'static str, slot: &str, media_type: &str, numbers: &mut Numbers) -> (Request, Effect) {
        // Mostly a few pieces; now and then more than the exchange gathers before it writes.
        let is_large = slot != SUMMARY_SLOT && numbers.below(10) == 0;
        let size = if is_large { 3 << 20 } else { numbers.below(200 << 10) };
        let fill = numbers.next().to_le_bytes();
        let plain: Vec<u8> = fill.iter().copied().cycle().take(usize::try_from(size).unwrap()).collect();
        let (party, vault) = match slot {
            "shareholders" => (Some(partner(who)), &self.staff),
            _ => (None, &self.panel),
        };
        let bytes = Bytes::from(seal_bytes(std::slice::from_ref(&vault.1), &plain).unwrap());
        let (sha256, media_type) = (Sha256::of(&bytes), media_type.to_owned());
        let document = ManifestDocument {
            slot: slot.parse().unwrap(),
            party,
            vault: vault.0,
            recipient: vault.1.clone(),
            sha256,
            size: bytes.len() as u64,
            media_type: media_type.clone(),
        };
        let mut request = self.request(who, Method::PUT, &format!("documents/{slot}"));
        request.body = Body::Sealed { bytes, sha256, media_type };
        (request, Effect::Stored(document))
    }

    fn join(&self, stage: &Stage, who: &'static str) -> (Request, Effect) {
        let author = &stage.speakers[who];
        let (proposal, member, invitation_sha256) = (self.id, author.member.clone(), self.invitation);
        let statement = AcceptanceStatement { proposal, member, invitation_sha256, stated_at: now() };
        let mut request = self.request(who, Method::POST, "acceptance");
        request.body = json(&AcceptInvitation { statement: sign_statement(&author.signing, &statement).unwrap() });
        (request, Effect::Joined)
    }

    fn sign(&self, stage: &Stage, who: &'static str, manifest: Manifest, is_last: bool) -> (Request, Effect) {
        let jws = sign_statement(&stage.speakers[who].signing, &manifest).unwrap();
        let mut request = self.request(who, Method::POST, "manifests");
        request.body = json(&SignManifest { manifest: jws.clone() });
        (request, Effect::Signed { partner: partner(who), version: manifest.version, jws, is_last })
    }

    fn manifest_of(&self, version: u32, call: (CallId, Sha256)) -> Manifest {
        Manifest {
            call: call.0,
            call_text_sha256: call.1,
            proposal: self.id,
            reference: self.reference.clone().expect("it was begun"),
            version,
            parties: self.pair.iter().map(|member| partner(member)).collect(),
            documents: self.documents.values().cloned().collect(),
            label: None,
        }
        .sorted()
    }

    pub(super) async fn check(&self, stage: &Stage, base: &str) {
        let (id, who) = (self.id, self.pair[0]);
        let (shown, _): (Proposal, _) = get(stage, base, who, &format!("/v1/proposals/{id}")).await;
        let standing = self.versions.iter().rfind(|(_, signatures)| signatures.len() == 2);
        let status = match standing {
            _ if self.withdrawn => "withdrawn",
            Some(_) => "submitted",
            None => "preparing",
        };
        assert_eq!(shown.status.to_string(), status, "{id}");
        assert_eq!(shown.version, standing.map(|(manifest, _)| manifest.version), "{id}");
        assert_eq!(shown.manifest_sha256, standing.map(|(manifest, _)| manifest.digest().unwrap()), "{id}");
        let members: BTreeSet<MemberId> = shown.parties.into_values().flatten().collect();
        let joined = if self.has_joined { &self.pair[..] } else { &self.pair[..1] };
        assert_eq!(members, joined.iter().map(|member| member.parse().unwrap()).collect(), "{id}");

        let (shown, _): (Page<Document>, _) = get(stage, base, who, &format!("/v1/proposals/{id}/documents")).await;
        let place = |document: &Document| (document.slot.clone(), document.party.clone());
        let documents: BTreeMap<_, _> = shown.items.into_iter().map(|document| (place(&document), document)).collect();
        assert_eq!(documents, self.stored, "documents of {id}");
        for document in documents.values() {
            let url = format!("{base}/v1/proposals/{id}/ciphertexts/{}", document.id);
            let bytes = stage.speakers[who].http.get(url).send().await.unwrap().bytes().await.unwrap();
            assert_eq!(Sha256::of(&bytes), document.sha256, "the bytes of {}", document.id);
        }

        let (shown, _): (Page<SignedManifest>, _) =
            get(stage, base, who, &format!("/v1/proposals/{id}/manifests")).await;
        let shown: BTreeMap<u32, _> = shown.items.into_iter().map(|item| (item.version, item.signatures)).collect();
        let known: BTreeMap<u32, _> =
            self.versions.iter().map(|(manifest, signatures)| (manifest.version, signatures.clone())).collect();
        assert_eq!(shown, known, "signatures of {id}");
    }
}

/// To the millisecond, as statements say it.
fn now() -> Timestamp {
    Timestamp::from_millisecond(SystemClock.now().as_millisecond()).unwrap()
}

fn begin(stage: &Stage, pair: [&'static str; 2]) -> (Request, Effect) {
    let author = &stage.speakers[pair[0]];
    let id = ProposalId::new_of(&author.member, &SystemClock, &SystemRng);
    let mut keys = 0;
    let mut vault = |kind: VaultKind, holders: &[&'static str]| {
        let (secret, vault) = (VaultSecret::generate(), VaultId::new_of(&author.member, &SystemClock, &SystemRng));
        let party = (kind == VaultKind::Staff).then(|| author.member.partner().clone());
        let recipient = secret.recipient().to_owned();
        let statement =
            VaultStatement { vault, kind, call: stage.call, proposal: Some(id), party, recipient: recipient.clone() };
        let members = holders.iter().map(|holder| {
            let speaker = &stage.speakers[holder];
            (WrapTarget::Member(speaker.member.clone()), speaker.recipient.clone())
        });
        let call_vault = (WrapTarget::Vault(stage.call_vault.0), stage.call_vault.1.clone());
        let wrapped: Vec<WrappedKeyIn> = members
            .chain([call_vault])
            .map(|(to, recipient)| {
                let ciphertext = secret.wrap(&recipient).unwrap();
                let statement = WrapStatement { vault, to, recipient, sha256: Sha256::of(&ciphertext) };
                WrappedKeyIn {
                    statement: sign_statement(&author.signing, &statement).unwrap(),
                    ciphertext: BASE64_STANDARD.encode(ciphertext),
                }
            })
            .collect();
        keys += wrapped.len() as u64;
        let new = NewVault { statement: sign_statement(&author.signing, &statement).unwrap(), keys: wrapped };
        ((vault, recipient), new)
    };
    let (panel, new_panel) = vault(VaultKind::Panel, &pair);
    let (_, new_parties) = vault(VaultKind::Parties, &pair);
    let (staff, new_staff) = vault(VaultKind::Staff, &pair[..1]);
    let asked = stage.speakers[pair[1]].member.clone();
    let invitation = InvitationStatement { proposal: id, member: asked.clone(), stated_at: now() };
    let signed = sign_statement(&author.signing, &invitation).unwrap();
    let body = CreateProposal {
        id,
        call: stage.call,
        topic: Some("energy".parse().unwrap()),
        parties: pair.iter().map(|member| (partner(member), [member.parse().unwrap()].into())).collect(),
        invitations: [(asked, signed)].into(),
        vaults: vec![new_panel, new_parties, new_staff],
    };
    let work = Work {
        id,
        reference: None,
        pair,
        panel,
        staff,
        invitation: invitation.digest().unwrap(),
        has_joined: false,
        documents: BTreeMap::new(),
        stored: BTreeMap::new(),
        versions: Vec::new(),
        wishes: BTreeSet::new(),
        withdrawn: false,
        acts: 0,
        keys,
    };
    (request(pair[0], Method::POST, "/v1/proposals".into(), Some(json(&body))), Effect::Created(Box::new(work)))
}
