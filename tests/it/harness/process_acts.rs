//! What members do while the exchange is killed under them: lanes of acts, each a request whose bytes are kept, and what is
//! true once it was answered.
//!
//! A lane has one act in flight at a time and knows its state exactly: an act whose answer was lost is sent again under the
//! same key before the lane goes on. So every refusal is a fault.

use super::{process::Speaker, process_records::Kinds};
use base64::{Engine, prelude::BASE64_STANDARD};
use bytes::Bytes;
use entente::{
    domain::{
        ambient::{SystemClock, SystemRng},
        call::{SUMMARY_MEDIA_TYPE, SUMMARY_SLOT},
        id::{CallId, MemberId, PartnerCode, ProgramId, ProposalId, Sha256, Slug, VaultId},
        member::CallRole,
    },
    sealing::{
        seal::seal_bytes,
        statement::{
            Manifest, ManifestDocument, RoleStatement, Statement, VaultKind, VaultStatement, WrapStatement, WrapTarget,
            sign_statement,
        },
        vault::VaultSecret,
    },
    wire::{
        AGE_MEDIA_TYPE,
        call::{Call, CallText, DraftCall, EditCall, GrantRoles, RoleHolder},
        page::Page,
        proposal::{CreateProposal, Document, NewVault, Proposal, SignManifest, SignedManifest, WrappedKeyIn},
    },
};
use futures_util::stream;
use reqwest::{Method, Response, header};
use std::collections::{BTreeMap, BTreeSet};

/// Pieces in which documents are sent.
const PIECE: usize = 32 << 10;

/// `SplitMix64`: the same numbers from the same seed on every machine.
#[derive(Debug, Clone)]
pub(crate) struct Numbers(u64);

impl Numbers {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// One of the numbers below `end`.
    pub(crate) fn below(&mut self, end: u64) -> u64 {
        self.next() % end
    }

    fn pick<'a, T>(&mut self, from: &'a [T]) -> &'a T {
        let at = self.below(from.len() as u64);
        &from[usize::try_from(at).unwrap()]
    }
}

/// What all lanes work with.
pub(crate) struct Stage {
    pub(crate) speakers: BTreeMap<&'static str, Speaker>,
    pub(crate) program: ProgramId,
    pub(crate) call: CallId,
    pub(crate) call_text_sha256: Sha256,
    /// Digest of the roll that the call was published with.
    pub(crate) roll: Sha256,
    pub(crate) call_vault: (VaultId, String),
    /// The text that drafts begin with.
    pub(crate) text: CallText,
}

/// A request that can be sent again, byte for byte.
#[derive(Debug, Clone)]
pub(crate) struct Request {
    pub(crate) who: &'static str,
    pub(crate) method: Method,
    pub(crate) path: String,
    pub(crate) key: String,
    if_match: Option<String>,
    body: Body,
}

#[derive(Debug, Clone)]
enum Body {
    Nothing,
    Json(Bytes),
    Sealed { bytes: Bytes, sha256: Sha256, media_type: String },
}

/// All of an answer that a repetition must give again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    content_type: Option<String>,
    etag: Option<String>,
    location: Option<String>,
    body: Bytes,
}

/// An act that was answered.
#[derive(Debug, Clone)]
pub(crate) struct Done {
    pub(crate) request: Request,
    pub(crate) answer: Answer,
}

/// What will be true once a request is answered.
#[derive(Debug)]
pub(crate) enum Effect {
    Created(Box<Work>),
    Stored(ManifestDocument),
    Removed(Place),
    Signed { partner: PartnerCode, version: u32, jws: String, is_last: bool },
    Withdrawn,
    Reinstated,
    Granted { member: &'static str, roles: BTreeSet<CallRole>, gains: bool, statement: (u32, Sha256) },
    Drafted(Sha256),
    Edited(Sha256),
}

type Place = (Slug, Option<PartnerCode>);

/// Sends a request; `progress` hears of each step. Whether the answer was a repeated one.
pub(crate) async fn send<P: Fn() + Clone + Send + Sync + 'static>(
    stage: &Stage,
    base: &str,
    request: &Request,
    progress: &P,
) -> Result<(Answer, bool), reqwest::Error> {
    let url = format!("{base}{}", request.path);
    let mut sent = stage.speakers[request.who].http.request(request.method.clone(), url);
    sent = sent.header("idempotency-key", &request.key);
    if let Some(tag) = &request.if_match {
        sent = sent.header(header::IF_MATCH, tag);
    }
    sent = match &request.body {
        Body::Nothing => sent,
        Body::Json(bytes) => sent.header(header::CONTENT_TYPE, "application/json").body(bytes.clone()),
        Body::Sealed { bytes, sha256, media_type } => {
            let digest = format!("sha-256=:{}:", BASE64_STANDARD.encode(sha256.as_bytes()));
            let (whole, progress) = (bytes.clone(), progress.clone());
            let pieces = (0..whole.len()).step_by(PIECE).map(move |from| {
                progress();
                Ok::<_, std::io::Error>(whole.slice(from..whole.len().min(from + PIECE)))
            });
            sent.header(header::CONTENT_TYPE, AGE_MEDIA_TYPE)
                .header(header::CONTENT_LENGTH, bytes.len())
                .header("repr-digest", digest)
                .header("entente-media-type", media_type)
                .body(reqwest::Body::wrap_stream(stream::iter(pieces)))
        }
    };
    progress();
    let response = sent.send().await?;
    progress();
    let answered = read(response).await?;
    progress();
    Ok(answered)
}

async fn read(response: Response) -> Result<(Answer, bool), reqwest::Error> {
    let text = |name: &str| response.headers().get(name).map(|value| value.to_str().unwrap().to_owned());
    let is_repeated = text("idempotent-replay").is_some();
    let (content_type, etag, location) = (text("content-type"), text("etag"), text("location"));
    let status = response.status().as_u16();
    Ok((Answer { status, content_type, etag, location, body: response.bytes().await? }, is_repeated))
}

impl Answer {
    fn json<T: serde::de::DeserializeOwned>(&self) -> T {
        serde_json::from_slice(&self.body).unwrap()
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

/// One thing after another.
pub(crate) enum Lane {
    Proposals(Proposals),
    Roles(Roles),
    Drafts(Drafts),
}

impl Lane {
    /// The next act of this lane.
    pub(crate) fn next(&mut self, stage: &Stage, numbers: &mut Numbers) -> (Request, Effect) {
        match self {
            Self::Proposals(lane) => lane.next(stage, numbers),
            Self::Roles(lane) => lane.next(stage, numbers),
            Self::Drafts(lane) => lane.next(stage, numbers),
        }
    }

    /// Takes the effect of an act as given, and adds to the entries that it left.
    pub(crate) fn learn(&mut self, effect: Effect, answer: &Answer, told: &mut Kinds) {
        let mut tell = |kind: &str, times: u64| *told.entry(kind.to_owned()).or_default() += times;
        match (self, effect) {
            (Self::Proposals(lane), effect) => lane.learn(effect, answer, &mut tell),
            (Self::Roles(lane), Effect::Granted { member, roles, gains, statement }) => {
                // What changes nothing leaves no entry, and its statement is not kept.
                if lane.held.insert(member, roles.clone()).unwrap_or_default() != roles {
                    lane.last = statement;
                    tell(if gains { "call.role_granted" } else { "call.role_revoked" }, 1);
                }
            }
            (Self::Drafts(lane), effect @ (Effect::Drafted(_) | Effect::Edited(_))) => {
                let call: Call = answer.json();
                let tag = answer.etag.clone().unwrap();
                match effect {
                    Effect::Drafted(sha256) => {
                        tell("call.drafted", 1);
                        lane.drafts.push((call.id, sha256, tag));
                    }
                    Effect::Edited(sha256) => {
                        tell("call.edited", 1);
                        *lane.drafts.last_mut().unwrap() = (call.id, sha256, tag);
                    }
                    _ => unreachable!("only these come here"),
                }
            }
            (_, effect) => panic!("{effect:?} is no effect of this lane"),
        }
    }

    /// Requires that the exchange shows what this lane knows; of everything, or only of what it works on.
    pub(crate) async fn check(&self, stage: &Stage, base: &str, all: bool) {
        match self {
            Self::Proposals(lane) => {
                let earlier = lane.finished.iter().filter(|_| all);
                for work in earlier.chain(lane.work.as_deref()) {
                    work.check(stage, base).await;
                }
            }
            Self::Roles(lane) => {
                let path = format!("/v1/calls/{}/roles", stage.call);
                let shown: Page<RoleHolder> = get(stage, base, "USA:dana", &path).await.0;
                let shown: BTreeMap<_, _> =
                    shown.items.into_iter().map(|holder| (holder.member.to_string(), holder.roles)).collect();
                for (member, roles) in &lane.held {
                    assert_eq!(shown.get(*member).cloned().unwrap_or_default(), *roles, "roles of {member}");
                }
            }
            Self::Drafts(lane) => {
                let skipped = if all { 0 } else { lane.drafts.len().saturating_sub(1) };
                for (id, sha256, tag) in lane.drafts.iter().skip(skipped) {
                    let (call, shown): (Call, _) = get(stage, base, "USA:dana", &format!("/v1/calls/{id}")).await;
                    assert_eq!((call.text_sha256, call.text.digest()), (*sha256, *sha256), "the text of draft {id}");
                    assert_eq!(shown.as_ref(), Some(tag), "the tag of draft {id}");
                }
            }
        }
    }
}

async fn get<T: serde::de::DeserializeOwned>(stage: &Stage, base: &str, who: &str, path: &str) -> (T, Option<String>) {
    let response = stage.speakers[who].http.get(format!("{base}{path}")).send().await.unwrap();
    let (answer, _) = read(response).await.unwrap();
    assert_eq!(answer.status, 200, "GET {path}: {}", answer.text());
    (answer.json(), answer.etag)
}

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
    pair: [&'static str; 2],
    /// The vaults of all and of the first one's party.
    panel: (VaultId, String),
    staff: (VaultId, String),
    documents: BTreeMap<Place, ManifestDocument>,
    /// As the exchange answered when it took them.
    stored: BTreeMap<Place, Document>,
    /// Signatures by version.
    versions: Vec<(Manifest, BTreeMap<PartnerCode, String>)>,
    withdrawn: bool,
    acts: u32,
    keys: u64,
}

impl Proposals {
    pub(crate) fn new(pair: [&'static str; 2]) -> Self {
        Self { pair, work: None, finished: Vec::new() }
    }

    fn next(&mut self, stage: &Stage, numbers: &mut Numbers) -> (Request, Effect) {
        // Long enough to have versions, short enough that there are many.
        if self.work.as_ref().is_some_and(|work| work.acts > 14) {
            self.finished.extend(self.work.take().map(|work| *work));
        }
        match &self.work {
            None => begin(stage, self.pair),
            Some(work) => work.next(stage, numbers),
        }
    }

    fn learn(&mut self, effect: Effect, answer: &Answer, tell: &mut impl FnMut(&str, u64)) {
        if let Effect::Created(work) = effect {
            tell("proposal.created", 1);
            tell("vault.created", 3);
            tell("key.wrapped", work.keys);
            assert_eq!(answer.json::<Proposal>().id, work.id);
            self.work = Some(work);
            return;
        }
        let work = self.work.as_mut().unwrap();
        work.acts += 1;
        match effect {
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
                let at = usize::try_from(version).unwrap() - 1;
                if at == work.versions.len() {
                    let manifest = work.manifest_of(version, answer_call(&jws));
                    work.versions.push((manifest, BTreeMap::new()));
                }
                work.versions[at].1.insert(partner, jws);
            }
            Effect::Withdrawn => {
                tell("proposal.withdrawn", 1);
                work.withdrawn = true;
            }
            Effect::Reinstated => {
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
        if self.withdrawn {
            return (self.request(self.who(numbers), Method::POST, "reinstate"), Effect::Reinstated);
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
            6 => (self.request(self.who(numbers), Method::POST, "withdraw"), Effect::Withdrawn),
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
            version,
            parties: self.pair.iter().map(|member| partner(member)).collect(),
            documents: self.documents.values().cloned().collect(),
            label: None,
        }
        .sorted()
    }

    async fn check(&self, stage: &Stage, base: &str) {
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
        assert_eq!(members, self.pair.iter().map(|member| member.parse().unwrap()).collect(), "{id}");

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

fn begin(stage: &Stage, pair: [&'static str; 2]) -> (Request, Effect) {
    let id = ProposalId::new(&SystemClock, &SystemRng);
    let mut keys = 0;
    let author = &stage.speakers[pair[0]];
    let mut vault = |kind: VaultKind, holders: &[&'static str]| {
        let (secret, vault) = (VaultSecret::generate(), VaultId::new(&SystemClock, &SystemRng));
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
    let body = CreateProposal {
        id,
        call: stage.call,
        topic: Some("energy".parse().unwrap()),
        parties: pair.iter().map(|member| (partner(member), [member.parse().unwrap()].into())).collect(),
        vaults: vec![new_panel, new_parties, new_staff],
    };
    let work = Work {
        id,
        pair,
        panel,
        staff,
        documents: BTreeMap::new(),
        stored: BTreeMap::new(),
        versions: Vec::new(),
        withdrawn: false,
        acts: 0,
        keys,
    };
    (request(pair[0], Method::POST, "/v1/proposals".into(), Some(json(&body))), Effect::Created(Box::new(work)))
}

/// An officer who cannot make up her mind about the panel.
pub(crate) struct Roles {
    held: BTreeMap<&'static str, BTreeSet<CallRole>>,
    /// Number and digest of the last statement about roles.
    last: (u32, Sha256),
}

impl Roles {
    pub(crate) fn new(roll: Sha256) -> Self {
        Self { held: BTreeMap::new(), last: (1, roll) }
    }

    fn next(&self, stage: &Stage, numbers: &mut Numbers) -> (Request, Effect) {
        let member = *numbers.pick(&["USA:carol", "ISR:yael", "ISR:maya"]);
        let all = [CallRole::Reviewer, CallRole::Decider, CallRole::Observer];
        let chosen = numbers.below(8);
        let roles: BTreeSet<CallRole> =
            all.into_iter().enumerate().filter(|(at, _)| chosen & (1 << at) != 0).map(|(_, role)| role).collect();
        let gains = self.held.get(member).map_or(!roles.is_empty(), |held| roles.difference(held).next().is_some());
        let path = format!("/v1/calls/{}/roles/{member}", stage.call);
        let (number, previous) = (self.last.0 + 1, self.last.1);
        let said =
            RoleStatement { call: stage.call, number, previous, member: member.parse().unwrap(), roles: roles.clone() };
        let statement = Some(sign_statement(&stage.speakers["USA:dana"].signing, &said).unwrap());
        let body = json(&GrantRoles { roles: roles.clone(), statement });
        let statement = (number, said.digest().unwrap());
        (request("USA:dana", Method::PUT, path, Some(body)), Effect::Granted { member, roles, gains, statement })
    }
}

/// An officer who drafts calls and edits each a few times.
#[derive(Default)]
pub(crate) struct Drafts {
    /// Call, digest of its text and `ETag`, the newest last.
    drafts: Vec<(CallId, Sha256, String)>,
}

impl Drafts {
    fn next(&self, stage: &Stage, numbers: &mut Numbers) -> (Request, Effect) {
        let text = CallText { title: format!("Draft {:016x}", numbers.next()), ..stage.text.clone() };
        let sha256 = text.digest();
        match self.drafts.last() {
            Some((id, _, tag)) if numbers.below(4) > 0 => {
                let mut request =
                    request("USA:dana", Method::PUT, format!("/v1/calls/{id}"), Some(json(&EditCall { text })));
                request.if_match = Some(tag.clone());
                (request, Effect::Edited(sha256))
            }
            _ => {
                let body = json(&DraftCall { program: stage.program, text });
                (request("USA:dana", Method::POST, "/v1/calls".into(), Some(body)), Effect::Drafted(sha256))
            }
        }
    }
}

fn request(who: &'static str, method: Method, path: String, body: Option<Body>) -> Request {
    let key = super::exchange::fresh_key();
    Request { who, method, path, key, if_match: None, body: body.unwrap_or(Body::Nothing) }
}

fn json(body: &impl serde::Serialize) -> Body {
    Body::Json(serde_json::to_vec(body).unwrap().into())
}

fn partner(member: &str) -> PartnerCode {
    member.parse::<MemberId>().unwrap().partner().clone()
}
