//! Becoming a member by one file each way, seen from the member: an invitation is answered by a request, and a welcome ends in a profile.
//!
//! Who is invited believes the invitation by the fingerprint of their own nation's card, which officials told them. The other nations'
//! cards come with the invitation, on the word of the nation's registrar, who confirmed them once for all. The new keys are made here
//! and never leave; what is begun stands in the folder `joining` until the welcome comes.

use super::{Ambient, Client, ClientError, Home, Profile, Result, directory::verify_member, files, profile::Pinned};
use crate::{
    domain::id::{MemberId, PartnerCode, Sha256},
    reading,
    sealing::{
        certificates::{self, NewCertificateKey, check_chain, check_member_certificate},
        identity::{Keyring, Prompt, SecretText},
        joining::{InvitationFile, RequestFile, TrustFile, WelcomeFile},
        jws::SigningKey,
        private_key,
        statement::{
            JoinRequest, MemberInvitation, RenewalStatement, Signed, Statement, StatementError, TrustList,
            sign_statement, verify_signed,
        },
    },
};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

/// What is begun and waits for a registrar's welcome.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Joining {
    member: MemberId,
    /// The profile that is made or changed.
    profile: String,
    server: String,
    server_ca: Vec<PathBuf>,
    private_key: PathBuf,
    identities: Vec<PathBuf>,
    recipients: Vec<String>,
    zone: Option<String>,
}

/// An invitation that was verified.
#[derive(Debug, Clone, PartialEq)]
pub struct VerifiedInvitation {
    pub invitation: MemberInvitation,
    /// The partner cards that the nation's registrar confirmed, the nation's own first.
    pub partners: Vec<Pinned>,
    list: TrustList,
    signed: Signed<MemberInvitation>,
}

/// What joining made, apart from the request itself.
#[derive(Debug, Clone, PartialEq)]
pub struct JoinAnswer {
    pub request: RequestFile,
    pub private_key: PathBuf,
    /// SHA-256 of the new key's `SubjectPublicKeyInfo`: what member and registrar can compare.
    pub key: Sha256,
    pub recipients: Vec<String>,
    /// Cards that were pinned, and those of which another one is pinned already, which stays.
    pub pinned: Vec<PartnerCode>,
    pub differing: Vec<PartnerCode>,
}

/// Verifies an invitation against the fingerprint of one's own nation's card, as officials told it.
///
/// # Errors
/// Among others when the card has another fingerprint, or no registrar whom the card names signed the invitation and the trust list.
pub fn read_invitation(file: &InvitationFile, fingerprint: &Sha256, now: Timestamp) -> Result<VerifiedInvitation> {
    let (list, partners) = read_trust(&file.trust, |_, card| {
        if card.fingerprint == *fingerprint {
            return Ok(());
        }
        let what =
            format!("the card of `{}` in this file has another fingerprint than the one you were told", card.card.code);
        Err(ClientError::unverified(
            what,
            "compare what you typed; if it is right, tell your registrar and do not join",
        ))
    })?;
    let own = &partners[0].card;
    let signed: Signed<MemberInvitation> = verify_signed(&file.invitation).map_err(not_genuine)?;
    if !own.registrars.contains(&signed.signer_spki) {
        let what = format!("the invitation is not signed by a registrar of `{}`", own.code);
        return Err(ClientError::unverified(what, "ask your registrar for the file again, and tell them"));
    }
    let invitation = signed.statement.clone();
    if *invitation.member.partner() != own.code {
        let what =
            format!("a registrar of `{}` invites `{}`, who is not theirs to invite", own.code, invitation.member);
        return Err(ClientError::unverified(what, "ask your own nation's registrar for an invitation"));
    }
    if now >= invitation.expires_at {
        let what = format!("the invitation expired on {:.0}", invitation.expires_at);
        return Err(ClientError::usage(what, "ask your registrar for another one"));
    }
    Ok(VerifiedInvitation { invitation, partners, list, signed })
}

/// The cards of a trust file, its own nation's first, each with the fingerprint that the list names; `confirm` is asked about the own one.
fn read_trust(
    file: &TrustFile,
    confirm: impl Fn(&TrustList, &Pinned) -> Result<()>,
) -> Result<(TrustList, Vec<Pinned>)> {
    let signed: Signed<TrustList> = verify_signed(&file.trust_list).map_err(not_genuine)?;
    let list = &signed.statement;
    let mut cards: BTreeMap<PartnerCode, Pinned> = BTreeMap::new();
    for text in &file.partner_cards {
        let card = crate::sealing::card::PartnerCard::from_json(text.as_bytes())?;
        let fingerprint = card.fingerprint()?;
        if list.partners.get(&card.code) != Some(&fingerprint) {
            let what = format!("the file's card of `{}` is not the one that its trust list names", card.code);
            return Err(ClientError::unverified(what, "ask your registrar for the file again, and tell them"));
        }
        cards.insert(card.code.clone(), Pinned { card, fingerprint });
    }
    let missing = || {
        ClientError::unverified(
            format!("the file lacks the card of its own nation, `{}`", list.partner),
            "ask your registrar for the file again",
        )
    };
    let own = cards.remove(&list.partner).ok_or_else(missing)?;
    confirm(list, &own)?;
    if !own.card.registrars.contains(&signed.signer_spki) {
        let what = format!("the trust list is not signed by a registrar of `{}`", list.partner);
        return Err(ClientError::unverified(what, "ask your registrar for the file again, and tell them"));
    }
    Ok((signed.statement, [own].into_iter().chain(cards.into_values()).collect()))
}

fn not_genuine(error: StatementError) -> ClientError {
    ClientError::unverified(
        format!("the file does not verify: {error}"),
        "ask your registrar for it again, and tell them",
    )
}

/// The names and files under which somebody joins.
#[derive(Debug, Clone)]
pub struct JoinChoice {
    pub profile: String,
    pub identities: Vec<PathBuf>,
    pub zone: Option<String>,
    /// Whether a request that is under way is given up for this one.
    pub again: bool,
    /// What the new private key is protected by.
    pub passphrase: Option<SecretText>,
}

impl VerifiedInvitation {
    /// Makes a key, pins the cards, and answers with a request for `keyring`'s recipients; what is begun is kept.
    ///
    /// # Errors
    /// Among others when the keyring has no recipient, the profile is that of another member, or something was begun for the same member
    /// before and this is not said to be `again`.
    pub fn answer(&self, home: &Home, choice: &JoinChoice, keyring: &Keyring, ambient: &Ambient) -> Result<JoinAnswer> {
        let MemberInvitation { member, server, server_ca, challenge, .. } = &self.invitation;
        let recipients = recipients_of(keyring)?;
        home.require_free_profile(&choice.profile, member)?;
        home.require_text()?;
        choice.identities.iter().try_for_each(|path| files::require_text(path))?;
        if !choice.again {
            home.require_not_joining(member)?;
        }
        home.see_trust_list(&self.list)?;
        let mut made = NewKey::write(home, member, choice.passphrase.as_ref(), ambient)?;
        let authority = home.root().join("keys").join(format!("{}-server-ca.crt", file_name(member)));
        files::write(&authority, server_ca.as_bytes())?;
        let statement = JoinRequest {
            member: member.clone(),
            invitation_sha256: Some(self.signed.payload_sha256),
            recipients: recipients.clone(),
            certificate_request: std::mem::take(&mut made.key.request),
            stated_at: ambient.clock.now(),
        };
        let said = statement.digest()?;
        let mut possession = BTreeMap::new();
        for recipient in &recipients {
            let answer = challenge.answer(keyring, recipient, &said).map_err(|error| {
                ClientError::unverified(error.to_string(), "ask your registrar for another invitation")
            })?;
            possession.extend(answer.map(|answer| (recipient.clone(), answer)));
        }
        let request = sign_statement(&made.key.signing_key, &statement)?;
        let (pinned, differing) = self.pin(home)?;
        home.begin_joining(&Joining {
            member: member.clone(),
            profile: choice.profile.clone(),
            server: server.clone(),
            server_ca: vec![authority],
            private_key: made.path.clone(),
            identities: choice.identities.clone(),
            recipients: recipients.clone(),
            zone: choice.zone.clone(),
        })?;
        let request = RequestFile { invitation: Some(self.signed.jws.clone()), request, possession, renewal: None };
        let key = made.key.signing_key.spki_sha256();
        Ok(JoinAnswer { request, private_key: made.path, key, recipients, pinned, differing })
    }

    /// Pins the cards: those that were pinned now, and those of which another one is pinned and stays. The own nation's was confirmed now.
    fn pin(&self, home: &Home) -> Result<(Vec<PartnerCode>, Vec<PartnerCode>)> {
        let (mut pinned, mut differing) = (Vec::new(), Vec::new());
        for partner in &self.partners {
            let code = &partner.card.code;
            match home.pinned(code)? {
                Some(present) if present.fingerprint == partner.fingerprint => {}
                Some(_) if code != self.invitation.member.partner() => differing.push(code.clone()),
                _ => {
                    home.pin_partner(&partner.card.canonical()?, &partner.fingerprint)?;
                    pinned.push(code.clone());
                }
            }
        }
        Ok((pinned, differing))
    }
}

/// When a member's keys stop counting.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KeyExpiry {
    pub key_card: Timestamp,
    /// That of the certificate of the profile.
    pub certificate: Timestamp,
}

impl KeyExpiry {
    /// The first of the two.
    #[must_use]
    pub fn first(&self) -> Timestamp {
        self.key_card.min(self.certificate)
    }
}

impl Client {
    /// When the keys of the profile's member stop counting.
    pub async fn key_expiry(&self) -> Result<KeyExpiry> {
        let member = self.member_id().await?;
        let key_card = self.member(&member).await?.card.valid_until;
        let path = &self.profile().certificate;
        let pem = files::read(path)?.unwrap_or_default();
        let certificate = certificates::end_of(&pem)
            .map_err(|error| ClientError::local(error.to_string(), "check `certificate` of the profile"))?;
        Ok(KeyExpiry { key_card, certificate })
    }

    /// Makes a new key for the profile's member and asks for its certificate, signed by the key in force. The profile stays as it is until
    /// the welcome comes. A `passphrase` protects the new key.
    pub async fn renew(&self, again: bool, passphrase: Option<&SecretText>) -> Result<JoinAnswer> {
        let member = self.member_id().await?;
        let present = self.recent_member(&member).await?;
        if !again {
            self.home().require_not_joining(&member)?;
        }
        let home = self.home().clone();
        home.require_text()?;
        let mut made = NewKey::write(&home, &member, passphrase, self.ambient())?;
        let statement = JoinRequest {
            member: member.clone(),
            invitation_sha256: None,
            recipients: present.card.recipients.clone(),
            certificate_request: std::mem::take(&mut made.key.request),
            stated_at: self.now(),
        };
        let renewal = RenewalStatement {
            member: member.clone(),
            request_sha256: statement.digest()?,
            serial: present.card.serial,
            stated_at: self.now(),
        };
        let renewal = Some(self.signed(&renewal).await?);
        let request = sign_statement(&made.key.signing_key, &statement)?;
        let profile = self.profile();
        home.begin_joining(&Joining {
            member,
            profile: profile.name.clone(),
            server: profile.server.clone(),
            server_ca: profile.server_ca.clone(),
            private_key: made.path.clone(),
            identities: profile.identities.clone(),
            recipients: statement.recipients.clone(),
            zone: profile.zone.clone(),
        })?;
        let request = RequestFile { invitation: None, request, possession: BTreeMap::new(), renewal };
        let (key, recipients) = (made.key.signing_key.spki_sha256(), statement.recipients);
        Ok(JoinAnswer { request, private_key: made.path, key, recipients, pinned: Vec::new(), differing: Vec::new() })
    }
}

/// Takes a welcome: checks that certificate and key card are for the keys that were made here and count now, and writes the profile. The same
/// welcome can be taken again, and another one for the same key.
///
/// # Errors
/// Among others when nothing was begun for the member, or the card names other keys than those that were made here.
pub fn welcome(home: &Home, file: &WelcomeFile, prompt: &impl Prompt, now: Timestamp) -> Result<Profile> {
    let WelcomeFile { member, certificate, key_card } = file;
    let begun = match home.joining(member)? {
        Some(begun) => begun,
        None => home.joined(member)?,
    };
    let Some(own) = home.pinned(member.partner())? else {
        let what = format!("the card of `{}` is not pinned", member.partner());
        return Err(ClientError::unverified(what, "see `entente trust add --help`"));
    };
    let refused = |what: String| {
        ClientError::unverified(
            what,
            "ask your registrar for the welcome that answers your latest request, and tell them",
        )
    };
    let card = verify_member(home, &own.card, member, key_card)?.card;
    card.check_usable(now).map_err(|error| refused(error.to_string()))?;
    let key = super::read_private_key(&begun.private_key, prompt)?;
    let fit = check_member_certificate(certificate.as_bytes(), member).map_err(|error| refused(error.to_string()))?;
    check_chain(certificate.as_bytes(), &own.card.anchors_der()?, now).map_err(|error| refused(error.to_string()))?;
    SigningKey::from_pem(&key, certificate.as_bytes())
        .map_err(|_| refused("the certificate is for another key than the one that was made here".to_owned()))?;
    if !card.pins(&fit.pin) || !begun.recipients.iter().all(|recipient| card.recipients.contains(recipient)) {
        return Err(refused("the key card names other keys than those that were made here".to_owned()));
    }
    let path = begun.private_key.with_extension("crt");
    files::write(&path, certificate.as_bytes())?;
    let mut identities = begun.identities;
    // What was wrapped to identities of before may still have to be opened.
    let former = home.profile(Some(&begun.profile)).map(|profile| profile.identities).unwrap_or_default();
    identities
        .extend(former.into_iter().filter(|path| path.exists() && !begun_names(&identities, path)).collect::<Vec<_>>());
    let profile = Profile {
        name: begun.profile,
        server: begun.server,
        server_ca: begun.server_ca,
        certificate: path,
        private_key: begun.private_key,
        identities,
        member: Some(member.clone()),
        zone: begun.zone,
    };
    home.save_profile(&profile)?;
    files::remove(&home.joining_path(member))?;
    Ok(profile)
}

fn begun_names(identities: &[PathBuf], path: &Path) -> bool {
    identities.iter().any(|named| named == path)
}

impl Home {
    /// The cards of a list that a registrar of the member's own nation signed, whose card is pinned, and when it was made. Nothing is pinned.
    ///
    /// # Errors
    /// Among others when it is another nation's list, or an earlier one than was taken before.
    pub fn read_trust_list(&self, file: &TrustFile, member: &MemberId) -> Result<(TrustList, Vec<Pinned>)> {
        let (list, cards) = read_trust(file, |list, own| {
            let pinned = self.pinned(&list.partner)?;
            let is_pinned = pinned.is_some_and(|pinned| pinned.fingerprint == own.fingerprint);
            if list.partner == *member.partner() && is_pinned {
                return Ok(());
            }
            let what = format!(
                "the list is by `{}`, and not by the nation of `{member}` with the card that is pinned",
                list.partner
            );
            Err(ClientError::unverified(what, "a member takes the list of their own nation, whose card they confirmed"))
        })?;
        self.check_trust_list(&list)?;
        Ok((list, cards))
    }

    /// Remembers a list, so that no earlier one is taken from then on.
    pub fn see_trust_list(&self, list: &TrustList) -> Result<()> {
        self.check_trust_list(list)?;
        let mut seen = self.seen_trust_lists()?;
        seen.insert(list.partner.clone(), list.stated_at);
        let text = serde_json::to_vec(&seen).map_err(|error| ClientError::local(error.to_string(), "try again"))?;
        files::write(&self.trust_lists_path(), &text)
    }

    fn check_trust_list(&self, list: &TrustList) -> Result<()> {
        match self.seen_trust_lists()?.get(&list.partner) {
            Some(seen) if list.stated_at < *seen => Err(ClientError::unverified(
                format!("the trust list was made on {:.0}, and one of {seen:.0} was taken here before", list.stated_at),
                "ask your registrar for the newest one, and tell them who gave you this",
            )),
            _ => Ok(()),
        }
    }

    fn seen_trust_lists(&self) -> Result<BTreeMap<PartnerCode, Timestamp>> {
        let path = self.trust_lists_path();
        let Some(bytes) = files::read(&path)? else { return Ok(BTreeMap::new()) };
        serde_json::from_slice(&bytes).map_err(|error| files::damaged(&path, &error))
    }

    fn trust_lists_path(&self) -> PathBuf {
        self.root().join("trust-lists.json")
    }

    /// The state of a member whose profile is there: a welcome can be taken again.
    fn joined(&self, member: &MemberId) -> Result<Joining> {
        for name in self.profiles()? {
            let profile = self.profile(Some(&name))?;
            if profile.member.as_ref() == Some(member) {
                return Ok(Joining {
                    member: member.clone(),
                    profile: name,
                    server: profile.server,
                    server_ca: profile.server_ca,
                    private_key: profile.private_key,
                    identities: profile.identities,
                    recipients: Vec::new(),
                    zone: profile.zone,
                });
            }
        }
        Err(ClientError::usage(
            format!("nothing was begun for `{member}` in this folder"),
            "join in the folder where the request was made: `--home`",
        ))
    }

    /// Refuses to begin again for a member for whom something was begun.
    pub fn require_not_joining(&self, member: &MemberId) -> Result<()> {
        if self.joining(member)?.is_none() {
            return Ok(());
        }
        Err(ClientError::usage(
            format!("a request for `{member}` is under way in this folder"),
            format!(
                "give its request file to your registrar, whose answer `entente join {}` takes, or begin again with `--again`",
                welcome_name(member)
            ),
        ))
    }

    /// Refuses a folder whose files no profile could name: before anything is made in it.
    pub fn require_text(&self) -> Result<()> {
        files::require_text(self.root())
    }

    /// Whether a request for the member is under way in this folder, which a registrar answers with a welcome.
    #[must_use]
    pub fn awaits_welcome(&self, member: &MemberId) -> bool {
        self.joining_path(member).exists()
    }

    fn begin_joining(&self, joining: &Joining) -> Result<()> {
        let text = serde_json::to_vec_pretty(joining)
            .map_err(|error| ClientError::local(error.to_string(), "choose paths that are text"))?;
        files::write(&self.joining_path(&joining.member), &text)
    }

    fn joining(&self, member: &MemberId) -> Result<Option<Joining>> {
        let path = self.joining_path(member);
        let Some(bytes) = files::read(&path)? else { return Ok(None) };
        serde_json::from_slice(&bytes).map(Some).map_err(|error| files::damaged(&path, &error))
    }

    fn joining_path(&self, member: &MemberId) -> PathBuf {
        self.root().join("joining").join(format!("{}.json", file_name(member)))
    }
}

/// A key that was made and is on disk.
struct NewKey {
    key: NewCertificateKey,
    path: PathBuf,
}

impl NewKey {
    fn write(home: &Home, member: &MemberId, passphrase: Option<&SecretText>, ambient: &Ambient) -> Result<Self> {
        let failed = |error: certificates::MemberCertificateError| {
            ClientError::local(error.to_string(), "this is a defect; report it with what you did")
        };
        let key = NewCertificateKey::new(member, ambient.clock.now(), &*ambient.rng).map_err(failed)?;
        // Each key has a name of its own, so that none is ever overwritten.
        let pin = key.signing_key.spki_sha256().to_string();
        let path = home.root().join("keys").join(format!("{}-{}.key", file_name(member), &pin[..12]));
        match passphrase {
            None => files::write(&path, key.private_key.expose().as_bytes())?,
            Some(passphrase) => {
                let protected = private_key::protected(&key.private_key, passphrase, &*ambient.rng);
                let protected = protected.map_err(|error| ClientError::local(error.to_string(), "try again"))?;
                files::write(&path, protected.expose().as_bytes())?;
            }
        }
        Ok(Self { key, path })
    }
}

fn recipients_of(keyring: &Keyring) -> Result<Vec<String>> {
    let recipients = keyring.recipients().to_vec();
    if recipients.is_empty() {
        let help =
            "name a file with an age identity or an ssh key; of a plugin's identity the recipient is not known here";
        return Err(ClientError::usage("no recipient belongs to the identities", help));
    }
    Ok(recipients)
}

/// A member's name as a part of a file's.
fn file_name(member: &MemberId) -> String {
    format!("{}-{}", member.partner(), member.handle())
}

/// The usual name of a file that goes from hand to hand: the invitation, the request or the welcome of a member.
#[must_use]
pub fn handover_name(kind: &str, member: &MemberId) -> String {
    format!("{kind}-{}.json", file_name(member))
}

/// The usual name of the file with which a registrar answers a request.
#[must_use]
pub fn welcome_name(member: &MemberId) -> String {
    handover_name("welcome", member)
}

/// Reads a file of JSON that came from somebody else.
pub fn read_json_file<T: serde::de::DeserializeOwned>(path: &Path, bytes: &[u8], what: &str) -> Result<T> {
    reading::file(bytes).map_err(|error| {
        ClientError::local(
            format!("`{}` is no {what}: {error}", path.display()),
            "check that it is the file that was meant, whole and unchanged",
        )
    })
}
