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
        card::{CardStatus, KeyCard},
        certificates::{self, MemberAuthority, MemberCertificateError, check_member_certificate},
        joining::{
            InvitationFile, JoinRequest, MemberInvitation, RenewalStatement, RequestFile, TrustFile, TrustList,
            WelcomeFile,
        },
        possession::PossessionChallenge,
        statement::{Signed, verify_signed},
    },
    wire::directory::Member,
};
use jiff::{SignedDuration, Timestamp};
use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
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
    /// The card that would be published; its certificates lack the new one's dates until it is signed.
    pub after: KeyCard,
    /// The new key.
    pub key: Sha256,
    /// The request for its certificate, PEM.
    pub certificate_request: String,
    /// Recipients whose identity the sender could not be shown to have: ssh keys and plugins.
    pub unproven: Vec<String>,
    /// Organisations of the directory that are nearly the same.
    pub near: Vec<NearOrganisation>,
    /// The card in force has all this already: only the welcome is to be made again.
    pub is_done: bool,
}

/// Where the certificates of the new keys come from.
#[derive(Debug)]
pub enum Certification {
    /// This machine has the authority's key.
    Authority(MemberAuthority),
    /// The national PKI signed them: PEM files, found by their keys.
    Signed(BTreeMap<Sha256, String>),
}

impl Certification {
    /// Certificates that the national PKI signed, each by the key that it is for.
    pub fn of_files(files: impl IntoIterator<Item = String>) -> Result<Self> {
        let keyed = files.into_iter().map(|pem| Ok((super::directory::certificate_pin(pem.as_bytes())?, pem)));
        Ok(Self::Signed(keyed.collect::<Result<_>>()?))
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
        let present = self.present_card(&new.member).await?;
        let active = present.as_ref().filter(|card| card.status == CardStatus::Active);
        if active.is_some() && !replaces {
            return Err(ClientError::usage(
                format!("`{}` has a key card already", new.member),
                "replace lost keys with `entente member replace`; members renew their own with `entente member renew`",
            ));
        }
        let profile = self.profile();
        let mut server_ca = String::new();
        for path in &profile.server_ca {
            server_ca += &fs::read_to_string(path).map_err(|error| ClientError::io("read", path, &error))?;
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

    async fn present_card(&self, member: &MemberId) -> Result<Option<KeyCard>> {
        match self.fetch_member(member).await {
            Ok(member) => Ok(Some(member.card.clone())),
            Err(ClientError::Usage { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Checks a request: that its sender has the keys that it names, that a registrar invited them or the key in force signs for the new one, and
    /// that nobody else has the recipients.
    pub async fn check_request(&self, file: &RequestFile) -> Result<CheckedRequest> {
        let signed: Signed<JoinRequest> = verify_signed(&file.request).map_err(|error| unfit(&error.to_string()))?;
        let JoinRequest { member, recipients, certificate_request, .. } = &signed.statement;
        let key = certificates::requested_key(certificate_request).map_err(certificate_fault)?;
        if key != signed.signer_spki {
            return Err(certificate_fault(MemberCertificateError::OtherKey));
        }
        crate::sealing::jws::check_key(&signed.leaf).map_err(|error| unfit(&error.to_string()))?;
        let before = self.present_card(member).await?;
        let mut after = KeyCard {
            member: member.clone(),
            name: String::new(),
            organisation: String::new(),
            roles: BTreeSet::new(),
            recipients: recipients.clone(),
            certificates: vec![key],
            serial: before.as_ref().map_or(0, |card| card.serial) + 1,
            valid_from: self.now(),
            valid_until: self.now(),
            status: CardStatus::Active,
        };
        let is_done = before
            .as_ref()
            .is_some_and(|card| card.status == CardStatus::Active && card.pins(&key) && card.recipients == *recipients);
        let unproven = match (&file.invitation, &file.renewal) {
            (Some(invitation), None) => {
                let invitation = self.check_invitation(invitation, &signed, before.as_ref(), is_done).await?;
                (after.name, after.organisation) = (invitation.name.clone(), invitation.organisation.clone());
                after.roles.clone_from(&invitation.roles);
                self.check_possession(&invitation, file, &signed).await?
            }
            (None, Some(renewal)) => {
                let present = before.as_ref().ok_or_else(|| unfit("a renewal of somebody without a key card"))?;
                let signer = check_renewal(renewal, &signed, present, is_done)?;
                (after.name, after.organisation) = (present.name.clone(), present.organisation.clone());
                after.roles.clone_from(&present.roles);
                // The key in force stays until its certificate ends, so that the member is not locked out until the welcome comes.
                after.certificates.push(signer);
                Vec::new()
            }
            _ => return Err(unfit("it answers no invitation and is no renewal, or says both")),
        };
        self.check_recipients_are_theirs(member, recipients).await?;
        let near = self.near_organisations(&after.organisation, member).await?;
        Ok(CheckedRequest {
            before,
            after,
            key,
            certificate_request: certificate_request.clone(),
            unproven,
            near,
            is_done,
        })
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
                let until = valid_until.min(authority.not_after());
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
        if request.is_done {
            let key_card = self.api().member(member).await?.key_card;
            return Ok(WelcomeFile { member: member.clone(), certificate, key_card });
        }
        if now < fit.not_before || now > fit.not_after {
            return Err(certificate_fault(MemberCertificateError::Unfit("it is not valid now".to_owned())));
        }
        let card = KeyCard { valid_from: now, valid_until: valid_until.min(fit.not_after), ..request.after.clone() };
        let published = self.publish_key_card(&card).await?;
        Ok(WelcomeFile { member: member.clone(), certificate, key_card: published.key_card })
    }

    /// The key card in force of a member, and what it would be with another name, organisation or roles.
    pub async fn plan_move(&self, member: &MemberId, change: &KeyCardEdit) -> Result<(KeyCard, KeyCard)> {
        let before = self.member(member).await?.card.clone();
        let after = KeyCard {
            name: change.name.clone().unwrap_or_else(|| before.name.clone()),
            organisation: change.organisation.clone().unwrap_or_else(|| before.organisation.clone()),
            roles: change.roles.clone().unwrap_or_else(|| before.roles.clone()),
            serial: before.serial + 1,
            valid_from: self.now(),
            ..before.clone()
        };
        Ok((before, after))
    }

    /// Publishes what was planned (registrars).
    pub async fn publish_move(&self, after: &KeyCard) -> Result<Member> {
        self.publish_key_card(after).await
    }
}

/// What changes in a key card whose keys stay.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct KeyCardEdit {
    pub name: Option<String>,
    pub organisation: Option<String>,
    pub roles: Option<BTreeSet<PartnerRole>>,
}

/// The key in force that signed for the new one.
fn check_renewal(jws: &str, request: &Signed<JoinRequest>, present: &KeyCard, is_done: bool) -> Result<Sha256> {
    let signed: Signed<RenewalStatement> = verify_signed(jws).map_err(|error| unfit(&error.to_string()))?;
    let is_theirs = signed.statement.member == present.member
        && request.statement.member == present.member
        && present.status == CardStatus::Active
        && (present.pins(&signed.signer_spki) || is_done);
    if !is_theirs || signed.statement.request_sha256 != request.payload_sha256 {
        return Err(unfit("the renewal is not signed by the key in force"));
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
