//! Taking in members, seen from their registrar: inviting, checking what comes back, and vouching for it.
//!
//! Everything is checked before anything is done, and each request is done whole: its certificate is signed and its key card published, or
//! neither. What was done before is found done: only its welcome is made again.

use super::{Client, ClientError, Result, directory::NearOrganisation};
use crate::{
    domain::{
        id::{MemberId, Sha256},
        member::PartnerRole,
    },
    sealing::{
        card::{CardStatus, KeyCard, normal_pem},
        certificates::{
            self, CheckedCertificateRequest, MemberAuthority, MemberCertificateError, check_chain,
            check_member_certificate,
        },
        identity::{Prompt, SecretText},
        joining::{InvitationFile, RequestFile, TrustFile, WelcomeFile},
        leaf,
        possession::PossessionChallenge,
        statement::{JoinRequest, MemberInvitation, RenewalStatement, Signed, TrustList, verify_signed},
    },
    wire::directory::Member,
};
use jiff::{SignedDuration, Timestamp};
use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
};

/// A certificate begins so long before it is signed, for clocks that are behind.
const BACKDATED: SignedDuration = SignedDuration::from_mins(10);

/// Whom a registrar invites.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewInvitation {
    pub member: MemberId,
    pub name: String,
    pub organisation: String,
    pub roles: BTreeSet<PartnerRole>,
    pub expires_at: Timestamp,
}

/// What a request asks for, checked.
#[derive(Debug, Clone, PartialEq)]
pub struct CheckedRequest {
    /// The key card in force, if there is one.
    pub before: Option<KeyCard>,
    pub kind: RequestKind,
    /// When the registrar invited the member, for a request that answers an invitation.
    pub invited_at: Option<Timestamp>,
    /// The card that would be published; how long it is valid is said when it is approved.
    pub after: KeyCard,
    /// The new key.
    pub key: Sha256,
    /// The request for its certificate, PEM.
    pub certificate_request: String,
    /// Recipients whose identity the sender could not be shown to have: ssh keys and plugins.
    pub unproven: Vec<String>,
    /// Organisations of the directory that are nearly the same.
    pub near: Vec<NearOrganisation>,
}

/// What a request is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RequestKind {
    /// Somebody without a key card.
    New,
    /// Other keys for somebody who has a card, or had one.
    Replacement,
    /// Another certificate key, for which the key in force signed.
    Renewal,
    /// The card in force has all this already: only the welcome is made again.
    Done,
}

/// Where the certificates of the new keys come from.
#[derive(Debug)]
pub enum Certification {
    /// This machine has the authority's key.
    Authority(Box<MemberAuthority>),
    /// The national PKI signed them: PEM files, found by their keys.
    Signed(BTreeMap<Sha256, String>),
}

impl Certification {
    /// Certificates that the national PKI signed, each by the key that it is for.
    pub fn of_files(files: impl IntoIterator<Item = String>) -> Result<Self> {
        let mut by_key: BTreeMap<Sha256, (Timestamp, String)> = BTreeMap::new();
        for file in files {
            // Nothing of it but the certificates goes to anybody.
            let pem = normal_pem(file.as_bytes())?.concat();
            let key = super::directory::certificate_pin(pem.as_bytes())?;
            let end = certificates::end_of(pem.as_bytes()).map_err(certificate_fault)?;
            // Of several for one key the one that ends last.
            if by_key.get(&key).is_none_or(|(other, _)| *other < end) {
                by_key.insert(key, (end, pem));
            }
        }
        Ok(Self::Signed(by_key.into_iter().map(|(key, (_, pem))| (key, pem)).collect()))
    }

    /// An authority whose certificate and private key are in files; `prompt` is asked for the key's passphrase, if it has one.
    pub fn of_authority(certificate: &Path, private_key: &Path, prompt: &impl Prompt) -> Result<Self> {
        let help = "name the certificate of the authority that your nation's partner card has, and its key";
        let text = fs::read_to_string(certificate).map_err(|error| ClientError::io("read", certificate, &error))?;
        let key = super::read_private_key(private_key, prompt)?;
        let key = str::from_utf8(&key).map_err(|_| ClientError::usage("the authority's key is not in PEM", help))?;
        let authority = MemberAuthority::from_pem(&text, &SecretText::from(key.to_owned()));
        Ok(Self::Authority(Box::new(authority.map_err(|error| ClientError::usage(error.to_string(), help))?)))
    }
}

impl CheckedRequest {
    /// What another request names, too, and only one member can have: the exchange would refuse the second of them.
    #[must_use]
    pub fn shared_with(&self, other: &Self) -> Option<String> {
        let recipient = self.after.recipients.iter().find(|recipient| other.after.recipients.contains(recipient));
        let key = || (self.key == other.key).then(|| format!("key {}", self.key));
        recipient.map(|recipient| format!("recipient `{recipient}`")).or_else(key)
    }
}

impl Client {
    /// The cards that this machine has pinned, signed as the list that the nation's members are to believe (registrars).
    pub async fn trust_file(&self) -> Result<TrustFile> {
        let partner = self.member_id().await?.partner().clone();
        let pins = self.home().pins()?;
        let partners = pins.iter().map(|pinned| (pinned.card.code.clone(), pinned.fingerprint)).collect();
        let trust_list = self.signed(&TrustList { partner, partners, stated_at: self.now() }).await?;
        let text = |pinned: &super::profile::Pinned| -> Result<String> {
            String::from_utf8(pinned.card.canonical()?)
                .map_err(|error| ClientError::local(error.to_string(), "pin the card again"))
        };
        Ok(TrustFile { trust_list, partner_cards: pins.iter().map(text).collect::<Result<_>>()? })
    }

    /// Invites somebody: a new member, or one whose keys are replaced (registrars).
    ///
    /// # Errors
    /// Among others when a key card of the member is in force and it is not `replaces`.
    pub async fn invite_member(
        &self,
        new: &NewInvitation,
        trust: &TrustFile,
        replaces: bool,
    ) -> Result<InvitationFile> {
        self.require_own(&new.member).await?;
        let present = self.present_card(&new.member).await?;
        let active = present.as_ref().filter(|card| card.status == CardStatus::Active);
        if let Some(card) = active.filter(|_| !replaces) {
            let member = &new.member;
            return Err(if card.valid_until < self.now() {
                ClientError::usage(
                    format!("`{member}` has a key card, which ended on {:.0}", card.valid_until),
                    format!(
                        "`entente member replace {member}` invites them again, under the name and organisation of that card"
                    ),
                )
            } else {
                ClientError::usage(
                    format!("`{member}` has a key card already"),
                    "replace lost keys with `entente member replace`; members renew their own with `entente member renew`",
                )
            });
        }
        let profile = self.profile();
        let mut server_ca = String::new();
        for path in &profile.server_ca {
            let content = fs::read(path).map_err(|error| ClientError::io("read", path, &error))?;
            server_ca += &normal_pem(&content)?.concat();
        }
        let invitation = MemberInvitation {
            member: new.member.clone(),
            name: new.name.clone(),
            organisation: new.organisation.clone(),
            roles: new.roles.clone(),
            replaces: present.map(|card| card.serial),
            server: profile.server.clone(),
            server_ca,
            challenge: self.challenge().await?,
            stated_at: self.now(),
            expires_at: new.expires_at,
        };
        Ok(InvitationFile { invitation: self.signed(&invitation).await?, trust: trust.clone() })
    }

    /// A challenge that every registrar of the nation can check.
    async fn challenge(&self) -> Result<PossessionChallenge> {
        let me = self.member_id().await?;
        let mut recipients = Vec::new();
        for listed in self.list_members(Some(me.partner())).await? {
            let Ok(verified) = listed.verified else { continue };
            if verified.card.roles.contains(&PartnerRole::Registrar) && verified.card.check_usable(self.now()).is_ok() {
                recipients.extend(verified.card.recipients.clone());
            }
        }
        let rng = self.ambient().rng.clone();
        super::blocking(move || {
            PossessionChallenge::new(&recipients, &*rng).map_err(|error| {
                ClientError::local(error.to_string(), "check the recipients in the registrars' key cards")
            })
        })
        .await
    }

    pub(super) async fn present_card(&self, member: &MemberId) -> Result<Option<KeyCard>> {
        match self.fetch_member(member).await {
            Ok(member) => Ok(Some(member.card.clone())),
            Err(ClientError::Usage { .. }) if self.home().seen_serial(member)?.is_none() => Ok(None),
            Err(ClientError::Usage { .. }) => Err(ClientError::unverified(
                format!("the exchange shows no key card of `{member}`, and this machine saw one before"),
                "vouch for nobody until the host's operator has explained it",
            )),
            Err(error) => Err(error),
        }
    }

    async fn require_own(&self, member: &MemberId) -> Result<()> {
        let me = self.member_id().await?;
        if member.partner() == me.partner() {
            return Ok(());
        }
        let what = format!("`{member}` does not belong to `{}`", me.partner());
        Err(ClientError::usage(what, "a registrar vouches for members of their own nation"))
    }

    /// Checks a request: that its sender has the keys that it names, that a registrar invited them or the key in force signs for the new one, and
    /// that nobody else has the recipients.
    pub async fn check_request(&self, file: &RequestFile) -> Result<CheckedRequest> {
        let signed: Signed<JoinRequest> = verify_signed(&file.request).map_err(|error| unfit(&error.to_string()))?;
        let JoinRequest { member, recipients, certificate_request, .. } = &signed.statement;
        self.require_own(member).await?;
        let asked = CheckedCertificateRequest::new(certificate_request, member).map_err(certificate_fault)?;
        let key = asked.key;
        if key != signed.signer_spki {
            return Err(certificate_fault(MemberCertificateError::OtherKey));
        }
        crate::sealing::jws::check_key(&signed.leaf).map_err(|error| unfit(&error.to_string()))?;
        let before = self.present_card(member).await?;
        // The newest key stands first. An older one that the card still names is not certified again.
        let done = before.as_ref().filter(|card| {
            card.check_usable(self.now()).is_ok()
                && card.certificates.first() == Some(&key)
                && card.recipients == *recipients
        });
        if before.as_ref().is_some_and(|card| done.is_none() && card.pins(&key)) {
            return Err(unfit("it asks for a certificate of a key that the member's card named before"));
        }
        let replaces = done.is_none().then_some(before.as_ref()).flatten();
        let (mut after, kind, invited_at, unproven) = match (&file.invitation, &file.renewal) {
            (Some(invitation), None) => {
                let invitation = self.check_invitation(invitation, &signed, replaces, done.is_some()).await?;
                let unproven = self.check_possession(&invitation, file, &signed).await?;
                let kind = if before.is_some() { RequestKind::Replacement } else { RequestKind::New };
                let certificates = vec![key];
                let card = self.card_of(&invitation, recipients, certificates, before.as_ref());
                (card, kind, Some(invitation.stated_at), unproven)
            }
            (None, Some(renewal)) => {
                let present = before.as_ref().ok_or_else(|| unfit("a renewal of somebody without a key card"))?;
                let signer = check_renewal(renewal, &signed, present, done.is_some(), self.now())?;
                // The key in force stays beside the new one, so that the member is not locked out until the welcome comes.
                let card = KeyCard { certificates: vec![key, signer], serial: present.serial + 1, ..present.clone() };
                (card, RequestKind::Renewal, None, Vec::new())
            }
            _ => return Err(unfit("it answers no invitation and is no renewal, or says both")),
        };
        self.check_recipients_are_theirs(member, recipients).await?;
        let near = self.near_organisations(&after.organisation, member).await?;
        match done {
            Some(done) => after = done.clone(),
            None => self.check_office(before.as_ref(), &after)?,
        }
        Ok(CheckedRequest {
            kind: if done.is_some() { RequestKind::Done } else { kind },
            invited_at,
            certificate_request: asked.pem,
            before,
            after,
            key,
            unproven,
            near,
        })
    }

    fn card_of(
        &self,
        invitation: &MemberInvitation,
        recipients: &[String],
        certificates: Vec<Sha256>,
        before: Option<&KeyCard>,
    ) -> KeyCard {
        KeyCard {
            member: invitation.member.clone(),
            name: invitation.name.clone(),
            organisation: invitation.organisation.clone(),
            roles: invitation.roles.clone(),
            recipients: recipients.to_vec(),
            certificates,
            serial: before.map_or(0, |card| card.serial) + 1,
            valid_from: self.now(),
            valid_until: self.now(),
            status: CardStatus::Active,
        }
    }

    async fn check_invitation(
        &self,
        jws: &str,
        request: &Signed<JoinRequest>,
        before: Option<&KeyCard>,
        is_done: bool,
    ) -> Result<MemberInvitation> {
        let signed: Signed<MemberInvitation> = verify_signed(jws).map_err(|error| unfit(&error.to_string()))?;
        let me = self.member_id().await?;
        let own = self.partner(me.partner()).await?;
        if !own.registrars.contains(&signed.signer_spki) || signed.statement.member.partner() != me.partner() {
            return Err(unfit(&format!("its invitation is not by a registrar of `{}`", me.partner())));
        }
        if request.statement.invitation_sha256 != Some(signed.payload_sha256)
            || signed.statement.member != request.statement.member
        {
            return Err(unfit("it answers another invitation than the one in it"));
        }
        if is_done {
            return Ok(signed.statement);
        }
        if self.now() >= signed.statement.expires_at {
            return Err(unfit(&format!("its invitation expired on {:.0}", signed.statement.expires_at)));
        }
        if signed.statement.replaces != before.map(|card| card.serial) {
            return Err(unfit(&format!(
                "another key card of `{}` was published since they were invited",
                signed.statement.member
            )));
        }
        Ok(signed.statement)
    }

    /// The recipients whose identity cannot answer. One that can and does not is refused.
    async fn check_possession(
        &self,
        invitation: &MemberInvitation,
        file: &RequestFile,
        request: &Signed<JoinRequest>,
    ) -> Result<Vec<String>> {
        let keyring = self.keyring().await?;
        let (challenge, answers) = (invitation.challenge.clone(), file.possession.clone());
        let (recipients, said) = (request.statement.recipients.clone(), request.payload_sha256);
        super::blocking(move || {
            let mut unproven = Vec::new();
            for recipient in recipients {
                let is_x25519 = recipient.strip_prefix("age1").is_some_and(|rest| !rest.contains('1'));
                match answers.get(&recipient) {
                    Some(answer) => challenge
                        .check(&keyring, &recipient, &said, answer)
                        .map_err(|error| unfit(&error.to_string()))?,
                    None if is_x25519 => {
                        return Err(unfit(&format!(
                            "it does not prove that its sender has the identity of `{recipient}`"
                        )));
                    }
                    None => unproven.push(recipient),
                }
            }
            Ok(unproven)
        })
        .await
    }

    async fn check_recipients_are_theirs(&self, member: &MemberId, recipients: &[String]) -> Result<()> {
        for other in self.api().all_members(None).await? {
            if other.member == *member {
                continue;
            }
            let Ok(card) = verify_signed::<KeyCard>(&other.key_card) else { continue };
            if let Some(taken) = recipients.iter().find(|recipient| card.statement.recipients.contains(recipient)) {
                return Err(ClientError::usage(
                    format!("the recipient `{taken}` is that of `{}`", other.member),
                    "ask the member for a key of their own",
                ));
            }
        }
        Ok(())
    }

    /// Does what a request asks for: signs or takes its certificate, publishes the key card, and returns the welcome.
    ///
    /// # Errors
    /// Among others when the certificate ends before the card, or the national PKI's certificate for the key is not among those given.
    pub async fn approve_request(
        &self,
        request: &CheckedRequest,
        certification: &Certification,
        valid_until: Timestamp,
    ) -> Result<WelcomeFile> {
        let member = &request.after.member;
        let now = self.now();
        let certificate = match certification {
            Certification::Authority(authority) => {
                // A welcome that is made again gives no more time than the card that was published.
                let most = if request.kind == RequestKind::Done { request.after.valid_until } else { valid_until };
                let until = most.min(authority.not_after());
                let valid = (now - BACKDATED, until);
                let issued = authority
                    .issue(member, &request.certificate_request, valid, &*self.ambient().rng)
                    .map_err(certificate_fault)?;
                issued + authority.certificate()
            }
            Certification::Signed(by_key) => by_key.get(&request.key).cloned().ok_or_else(|| {
                ClientError::usage(
                    format!("none of the certificates given is for the key of `{member}`"),
                    "have the national PKI sign the request that `--requests-to` wrote",
                )
            })?,
        };
        let fit = check_member_certificate(certificate.as_bytes(), member).map_err(certificate_fault)?;
        if fit.pin != request.key {
            return Err(certificate_fault(MemberCertificateError::OtherKey));
        }
        if now < fit.not_before || now > fit.not_after {
            return Err(certificate_fault(MemberCertificateError::Unfit("it is not valid now".to_owned())));
        }
        let own = self.partner(member.partner()).await?;
        check_chain(certificate.as_bytes(), &own.anchors_der()?, now).map_err(certificate_fault)?;
        if request.kind == RequestKind::Done {
            let key_card = self.api().member(member).await?.key_card;
            return Ok(WelcomeFile { member: member.clone(), certificate, key_card });
        }
        let card = KeyCard { valid_from: now, valid_until: valid_until.min(fit.not_after), ..request.after.clone() };
        let shown = vec![certificate.clone()];
        let published = self.publish_key_card(&card, shown, dropped(request.before.as_ref(), &card)).await?;
        Ok(WelcomeFile { member: member.clone(), certificate, key_card: published.key_card })
    }

    /// The key card in force of a member, and what it would be with another name, organisation or roles.
    ///
    /// # Errors
    /// Among others when the member would be a registrar with a key that the partner card does not name.
    pub async fn plan_move(&self, member: &MemberId, change: &KeyCardEdit) -> Result<(KeyCard, KeyCard)> {
        let before = self.member(member).await?.card.clone();
        let after = KeyCard {
            name: change.name.clone().unwrap_or_else(|| before.name.clone()),
            organisation: change.organisation.clone().unwrap_or_else(|| before.organisation.clone()),
            roles: change.roles.clone().unwrap_or_else(|| before.roles.clone()),
            certificates: before
                .certificates
                .iter()
                .take(if change.newest_key_alone { 1 } else { usize::MAX })
                .copied()
                .collect(),
            serial: before.serial + 1,
            valid_from: self.now(),
            ..before.clone()
        };
        self.check_office(Some(&before), &after)?;
        Ok((before, after))
    }

    /// Publishes what was planned (registrars).
    pub async fn publish_move(&self, before: &KeyCard, after: &KeyCard) -> Result<Member> {
        self.publish_key_card(after, Vec::new(), dropped(Some(before), after)).await
    }
}

/// The roles that end, as the registrar was shown before they agreed.
fn dropped(before: Option<&KeyCard>, after: &KeyCard) -> BTreeSet<PartnerRole> {
    before.map(|before| before.roles.difference(&after.roles).copied().collect()).unwrap_or_default()
}

/// What changes in a key card whose keys stay.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct KeyCardEdit {
    pub name: Option<String>,
    pub organisation: Option<String>,
    pub roles: Option<BTreeSet<PartnerRole>>,
    /// Whether only the newest of several keys is named from then on.
    pub newest_key_alone: bool,
}

/// The key in force that signed for the new one.
fn check_renewal(
    jws: &str,
    request: &Signed<JoinRequest>,
    present: &KeyCard,
    is_done: bool,
    now: Timestamp,
) -> Result<Sha256> {
    let signed: Signed<RenewalStatement> = verify_signed(jws).map_err(|error| unfit(&error.to_string()))?;
    let RenewalStatement { member, request_sha256, serial, .. } = &signed.statement;
    let is_theirs = *member == present.member && request.statement.member == present.member;
    let is_newer = signed.signer_spki != request.signer_spki && present.pins(&signed.signer_spki);
    if !is_theirs || !is_newer || *request_sha256 != request.payload_sha256 {
        return Err(unfit("the renewal is not signed by the key in force"));
    }
    leaf::check_name(&signed.leaf, member).map_err(|error| unfit(&error.to_string()))?;
    if !is_done && *serial != present.serial {
        return Err(unfit(&format!("another key card of `{member}` was published since the renewal was signed")));
    }
    if !is_done {
        present.check_usable(now).map_err(|error| unfit(&error.to_string()))?;
        leaf::check_time(&signed.leaf, now).map_err(|error| unfit(&error.to_string()))?;
    }
    if request.statement.recipients != present.recipients {
        return Err(unfit("a renewal keeps the recipients; other ones come by `entente member replace`"));
    }
    Ok(signed.signer_spki)
}

fn unfit(problem: &str) -> ClientError {
    ClientError::unverified(format!("the request is refused: {problem}"), "ask the member for another request")
}

fn certificate_fault(error: MemberCertificateError) -> ClientError {
    ClientError::usage(error.to_string(), "docs/operations.md says what a member's certificate must contain")
}
