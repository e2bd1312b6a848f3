//! Visibility manifests: fetched, verified, kept as they came, and compared.
//!
//! What a manifest says is the exchange's word; the signature makes it one that the exchange can be held to: by the key of a server
//! certificate that the profile's authorities vouch for, under the profile's server name, valid at the instant that it states.

mod diff;

pub use diff::{AccessCause, AccessChange, compare};

use super::{Client, ClientError, Result, transport::roots, unfinished::Unfinished, verify::invalid};
use crate::{
    domain::id::{CallId, MemberId, PartnerCode, ProposalId, Sha256},
    reading,
    sealing::{
        jws,
        statement::{Statement, verify_signed},
        visibility::VisibilityStatement,
    },
    wire::visibility::{CallRoles, Head, KnownMember, Line, SeenProposal, SignatureLine},
};
use aws_lc_rs::digest::{Context, SHA256};
use base64::{Engine, prelude::BASE64_STANDARD};
use jiff::{SignedDuration, Timestamp};
use rustls::{
    client::{WebPkiServerVerifier, danger::ServerCertVerifier},
    pki_types::{CertificateDer, ServerName, UnixTime},
};
use std::{
    collections::BTreeMap,
    fs::File,
    io::{BufRead, BufReader, Read, Write},
    path::Path,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

/// The longest line, and the longest manifest, in bytes.
const MAX_LINE: u64 = 16 << 20;
const MAX_MANIFEST: u64 = 1 << 30;
/// How far the exchange's clock may be from this machine's.
const SKEW: SignedDuration = SignedDuration::from_mins(10);

/// A verified manifest.
#[derive(Debug, Clone, PartialEq)]
pub struct VisibilityManifest {
    pub head: Head,
    pub calls: BTreeMap<CallId, CallRoles>,
    pub proposals: BTreeMap<ProposalId, SeenProposal>,
    pub members: BTreeMap<MemberId, KnownMember>,
}

impl Client {
    /// Fetches the manifest of a partner as it is now and keeps it in a file, once it is verified.
    pub async fn fetch_visibility(&self, partner: &PartnerCode, to: &Path) -> Result<VisibilityManifest> {
        let cannot = |error: std::io::Error| ClientError::io("write", to, &error);
        let folder = to.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let file = Mutex::new(Unfinished::begin(self.home(), folder)?);
        let take = |piece: bytes::Bytes| {
            let written = file.lock().unwrap_or_else(PoisonError::into_inner).file().write_all(&piece).map_err(cannot);
            async move { written }
        };
        self.api().visibility(partner, MAX_MANIFEST, take).await?;
        let file = file.into_inner().unwrap_or_else(PoisonError::into_inner);
        let manifest = self.read_visibility(file.path())?;
        let (head, now) = (&manifest.head, self.now());
        if head.partner != *partner || head.by != self.member_id().await? {
            return Err(invalid("the exchange answered with the manifest of somebody else"));
        }
        if now.duration_since(head.at.0).abs() > SKEW {
            let help = "check this machine's clock; if it is right, ask the host's operator about theirs";
            return Err(ClientError::unverified(format!("the manifest is dated {}, and it is {now}", head.at.0), help));
        }
        file.finish_over(to).map_err(cannot)?;
        self.api().witness().last_entry(manifest.head.seq, manifest.head.at.0)?;
        Ok(manifest)
    }

    /// Reads a manifest from a file and verifies it.
    pub fn read_visibility(&self, path: &Path) -> Result<VisibilityManifest> {
        let file = File::open(path).map_err(|error| ClientError::io("read", path, &error))?;
        let unreadable = |error: std::io::Error| ClientError::io("read", path, &error);
        let about = |error: ClientError| error.about(format_args!("`{}`", path.display()));
        let mut reader = BufReader::new(file);
        let (mut digest, mut count, mut line) = (Context::new(&SHA256), 0, Vec::new());
        let mut manifest: Option<VisibilityManifest> = None;
        let signature = loop {
            line.clear();
            let read = reader.by_ref().take(MAX_LINE).read_until(b'\n', &mut line).map_err(unreadable)?;
            if read == 0 || line.last() != Some(&b'\n') {
                return Err(about(invalid("the manifest breaks off before its signature")));
            }
            let parsed: Line = serde_json::from_slice(&line).map_err(|error| {
                let fault = reading::worded(&error.to_string());
                about(invalid(format!("line {} of the manifest: {fault}", count + 1)))
            })?;
            match (parsed, &mut manifest) {
                (Line::Signature(signature), Some(_)) => break signature,
                (Line::Head(head), None) => manifest = Some(VisibilityManifest::new(head)),
                (Line::Call(call), Some(manifest)) => drop(manifest.calls.insert(call.call, call)),
                (Line::Proposal(proposal), Some(manifest)) => {
                    manifest.proposals.insert(proposal.proposal, proposal);
                }
                (Line::Member(member), Some(manifest)) => {
                    manifest.members.insert(member.member.clone(), member);
                }
                _ => return Err(about(invalid("the lines of the manifest are out of order"))),
            }
            digest.update(&line);
            count += 1;
        };
        if !reader.fill_buf().map_err(unreadable)?.is_empty() {
            return Err(about(invalid("something follows the signature of the manifest")));
        }
        let manifest = manifest.ok_or_else(|| about(invalid("the manifest has no head")))?;
        let sha256 = Sha256::from_bytes(digest.finish().as_ref().try_into().expect("SHA-256 has 32 bytes"));
        self.check_signature(&signature, &manifest.head, count, sha256).map_err(about)?;
        Ok(manifest)
    }

    fn check_signature(&self, line: &SignatureLine, head: &Head, lines: u64, sha256: Sha256) -> Result<()> {
        let statement = verify_signed::<VisibilityStatement>(&line.statement)?.statement;
        let Head { host, partner, by, at, seq, .. } = head.clone();
        if statement != (VisibilityStatement { host, partner, by, at: at.0, seq, lines, sha256 }) {
            return Err(invalid("the manifest is not the one that was signed: it was changed since"));
        }
        let leaf = jws::verify(&line.statement, VisibilityStatement::TYP).map_err(ClientError::from)?.leaf;
        self.check_server(&leaf, &line.intermediates, statement.at)
    }

    /// Whether a certificate is the exchange's: of a profile's authority, for its server name, at that instant.
    fn check_server(&self, leaf: &[u8], intermediates: &[String], at: Timestamp) -> Result<()> {
        let help = "check `server` and `server_ca` of the profile with the host's operator";
        let not_theirs = |why: String| {
            let what =
                format!("the manifest is not signed by the exchange of the profile `{}`: {why}", self.profile().name);
            ClientError::unverified(what, help)
        };
        let intermediates: Vec<CertificateDer<'static>> = intermediates
            .iter()
            .map(|text| BASE64_STANDARD.decode(text).map(CertificateDer::from))
            .collect::<Result<_, _>>()
            .map_err(|_| not_theirs("a certificate in it is not base64".into()))?;
        let address = reqwest::Url::parse(&self.profile().server).ok();
        let name = address.as_ref().and_then(|url| url.host_str()).unwrap_or_default();
        let name = ServerName::try_from(name.trim_matches(['[', ']']).to_owned())
            .map_err(|_| not_theirs("the profile names no server".into()))?;
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(roots(self.profile())?), provider).build();
        let verifier = verifier.map_err(|error| not_theirs(error.to_string()))?;
        let seconds = u64::try_from(at.as_second()).unwrap_or_default();
        let at = UnixTime::since_unix_epoch(Duration::from_secs(seconds));
        let leaf = CertificateDer::from(leaf);
        verifier
            .verify_server_cert(&leaf, &intermediates, &name, &[], at)
            .map(drop)
            .map_err(|error| not_theirs(error.to_string()))
    }
}

impl VisibilityManifest {
    fn new(head: Head) -> Self {
        Self { head, calls: BTreeMap::new(), proposals: BTreeMap::new(), members: BTreeMap::new() }
    }
}
