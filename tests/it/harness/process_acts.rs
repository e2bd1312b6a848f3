//! What members do while the exchange is killed under them: lanes of acts, each a request whose bytes are kept, and what is
//! true once it was answered.
//!
//! A lane has one act in flight at a time and knows its state exactly: an act whose answer was lost is sent again under the
//! same key before the lane goes on. So every refusal is a fault.

pub(crate) use super::process_proposals::Proposals;

use super::{process::Speaker, process_proposals::Work, process_records::Kinds};
use base64::{Engine, prelude::BASE64_STANDARD};
use bytes::Bytes;
use entente::{
    domain::{
        id::{CallId, MemberId, PartnerCode, ProgramId, Sha256, Slug, VaultId},
        member::CallRole,
    },
    sealing::statement::{ManifestDocument, RoleStatement, Statement, sign_statement},
    wire::{
        AGE_MEDIA_TYPE,
        call::{Call, CallText, DraftCall, EditCall, GrantRoles, RoleHolder},
        page::Page,
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

    pub(super) fn pick<'a, T>(&mut self, from: &'a [T]) -> &'a T {
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
    pub(super) body: Body,
}

#[derive(Debug, Clone)]
pub(super) enum Body {
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
    Joined,
    Stored(ManifestDocument),
    Removed(Place),
    Signed { partner: PartnerCode, version: u32, jws: String, is_last: bool },
    Withdrawn(&'static str),
    Reinstated(&'static str),
    Granted { member: &'static str, roles: BTreeSet<CallRole>, gains: bool, statement: (u32, Sha256) },
    Drafted(Sha256),
    Edited(Sha256),
}

pub(super) type Place = (Slug, Option<PartnerCode>);

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
    pub(super) fn json<T: serde::de::DeserializeOwned>(&self) -> T {
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

pub(super) async fn get<T: serde::de::DeserializeOwned>(
    stage: &Stage,
    base: &str,
    who: &str,
    path: &str,
) -> (T, Option<String>) {
    let response = stage.speakers[who].http.get(format!("{base}{path}")).send().await.unwrap();
    let (answer, _) = read(response).await.unwrap();
    assert_eq!(answer.status, 200, "GET {path}: {}", answer.text());
    (answer.json(), answer.etag)
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

/// Fewer than one member may keep without publishing them, however many acts a fast machine comes to.
const MOST_DRAFTS: usize = 15;

/// An officer who drafts calls and edits each a few times.
#[derive(Default)]
pub(crate) struct Drafts {
    /// Call, digest of its text and `ETag`, the newest last.
    drafts: Vec<(CallId, Sha256, String)>,
}

impl Drafts {
    fn next(&self, stage: &Stage, numbers: &mut Numbers) -> (Request, Effect) {
        let number = numbers.next();
        // Another code than the published call's.
        let code = format!("D{:08X}", number >> 32).parse().unwrap();
        let text = CallText { code, title: format!("Draft {number:016x}"), ..stage.text.clone() };
        let sha256 = text.digest();
        match self.drafts.last() {
            Some((id, _, tag)) if self.drafts.len() >= MOST_DRAFTS || numbers.below(4) > 0 => {
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

pub(super) fn request(who: &'static str, method: Method, path: String, body: Option<Body>) -> Request {
    let key = super::exchange::fresh_key();
    Request { who, method, path, key, if_match: None, body: body.unwrap_or(Body::Nothing) }
}

pub(super) fn json(body: &impl serde::Serialize) -> Body {
    Body::Json(serde_json::to_vec(body).unwrap().into())
}

pub(super) fn partner(member: &str) -> PartnerCode {
    member.parse::<MemberId>().unwrap().partner().clone()
}
