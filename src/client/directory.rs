//! Who is who, verified: partner cards against the pins of this machine, key cards against partner cards.
//!
//! The exchange's word about a key is never enough. A partner that is not pinned, a card that differs from the pin, a key card
//! that no registrar of the partner signed or that goes back on one seen before: each is refused with what to do about it.

use super::{Client, ClientError, Home, Result, lineage::Lineage, profile::Pinned, verified::VerifiedMember};
use crate::{
    domain::{
        id::{MemberId, PartnerCode, Sha256},
        member::PartnerRole,
        name,
    },
    remembered::Remembered,
    sealing::{
        card::{CardStatus, KeyCard, PartnerCard},
        jws,
        statement::{Signed, Statement, StatementError},
    },
    wire::{
        directory::{Member, MemberRefusal, Partner, PublishKeyCard},
        page::Page,
    },
};
use jiff::{SignedDuration, Timestamp};
use rustls::pki_types::{CertificateDer, pem::PemObject};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

/// What was verified since the program started.
#[derive(Debug, Default)]
pub(super) struct DirectoryCache {
    partners: Remembered<PartnerCode, Arc<PartnerCard>, PARTNERS>,
    /// With the instant at which the exchange was asked.
    members: Remembered<MemberId, (Arc<VerifiedMember>, Timestamp), MEMBERS>,
    pub(super) lineages: Remembered<MemberId, Lineage, MEMBERS>,
}

/// How many partners' cards, and policies, are remembered: more than there are nations.
pub(super) const PARTNERS: usize = 1024;
/// How many members' cards are remembered; all together take some tens of megabytes.
const MEMBERS: usize = 16_384;

/// How long a key card is sealed to, or policies are asked, without asking the exchange for newer ones.
pub(super) const FRESH: SignedDuration = SignedDuration::from_secs(60);

/// A partner as the exchange states it, next to what is pinned.
#[derive(Debug, Clone, PartialEq)]
pub struct ListedPartner {
    pub partner: Partner,
    /// The fingerprint pinned on this machine.
    pub pinned: Option<Sha256>,
    /// Whether it is pinned and the exchange holds that very card.
    pub is_verified: bool,
}

/// A member as listed, and whether the key card verified.
#[derive(Debug)]
pub struct ListedMember {
    pub member: Member,
    pub verified: Result<Arc<VerifiedMember>>,
}

/// An organisation of the directory that looks like the one that is about to be written into a key card.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NearOrganisation {
    /// As a key card has it.
    pub organisation: String,
    /// Whose members work there.
    pub partners: BTreeSet<PartnerCode>,
}

/// What a registrar states in a key card.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewKeyCard {
    pub member: MemberId,
    pub name: String,
    pub organisation: String,
    pub roles: BTreeSet<PartnerRole>,
    /// Roles of the card before that end with it.
    pub without: BTreeSet<PartnerRole>,
    pub recipients: Vec<String>,
    /// The pins of the member's certificates, see [`certificate_pin`].
    pub certificates: Vec<Sha256>,
    /// Certificates of these keys, PEM, each with the authorities above it: of those that the card before does not name, and of one that
    /// lasts as long if the card ends later than the one before.
    pub shown: Vec<String>,
    /// Now, if not given.
    pub valid_from: Option<Timestamp>,
    pub valid_until: Timestamp,
}

impl NewKeyCard {
    /// What another card states, to be said again or changed.
    #[must_use]
    pub fn like(card: KeyCard) -> Self {
        Self {
            member: card.member,
            name: card.name,
            organisation: card.organisation,
            roles: card.roles,
            without: BTreeSet::new(),
            recipients: card.recipients,
            certificates: card.certificates,
            shown: Vec::new(),
            valid_from: None,
            valid_until: card.valid_until,
        }
    }
}

/// A fingerprint as people write it down: grouped by blanks, colons or hyphens, in small letters or capitals.
pub fn typed_fingerprint(text: &str) -> Result<Sha256, &'static str> {
    let digits: String = text.chars().filter(|c| !c.is_whitespace() && !matches!(c, ':' | '-')).collect();
    let wrong = "a fingerprint has 64 digits, 0 to 9 and a to f; blanks, colons, hyphens and capitals do not matter";
    digits.to_ascii_lowercase().parse().map_err(|_| wrong)
}

/// The pin of the first certificate in a PEM: SHA-256 of its public key info.
pub fn certificate_pin(pem: &[u8]) -> Result<Sha256> {
    let help = "give a certificate in PEM";
    let certificate = CertificateDer::from_pem_slice(pem).map_err(|_| ClientError::usage("no certificate", help))?;
    jws::spki_sha256(&certificate).map_err(|error| ClientError::usage(error.to_string(), help))
}

impl Client {
    /// Pins a partner card whose fingerprint the partner's officials confirmed.
    pub fn pin_partner(&self, card: &[u8], expected: &Sha256) -> Result<Pinned> {
        let pinned = self.home().pin_partner(card, expected)?;
        let cache = &self.0.directory;
        cache.partners.remove(&pinned.card.code);
        cache.members.retain(|member| *member.partner() != pinned.card.code);
        cache.lineages.retain(|member| *member.partner() != pinned.card.code);
        Ok(pinned)
    }

    /// Pins the card of a partner as the exchange holds it, if its fingerprint is the one that the partner's officials confirmed.
    pub async fn pin_offered(&self, code: &PartnerCode, expected: &Sha256) -> Result<Pinned> {
        let offered = self.offered_partner(code).await?.card;
        if offered.code != *code {
            return Err(ClientError::unverified(
                format!("the exchange answered with the card of `{}`", offered.code),
                "tell the host's operator",
            ));
        }
        self.pin_partner(&offered.canonical()?, expected)
    }

    /// The card of a partner as the exchange holds it, and its fingerprint. Not verified: compare it out of band, then pin it.
    pub async fn offered_partner(&self, code: &PartnerCode) -> Result<Pinned> {
        let offered = self.api().partner(code).await?;
        let card = PartnerCard::from_json(offered.card.as_bytes())?;
        Ok(Pinned { fingerprint: card.fingerprint()?, card })
    }

    /// Every partner, next to what is pinned.
    pub async fn list_partners(&self) -> Result<Vec<ListedPartner>> {
        let mut listed = Vec::new();
        for partner in self.api().partners().await? {
            let pinned = self.home().pinned(&partner.code)?;
            let is_verified = check_partner(pinned.as_ref(), &partner.code, &partner).is_ok();
            listed.push(ListedPartner { pinned: pinned.map(|pinned| pinned.fingerprint), is_verified, partner });
        }
        Ok(listed)
    }

    /// The pinned card of a partner, which must be the one that the exchange holds.
    pub async fn partner(&self, code: &PartnerCode) -> Result<Arc<PartnerCard>> {
        if let Some(card) = self.0.directory.partners.get(code) {
            return Ok(card);
        }
        let pinned = self.home().pinned(code)?;
        let card = Arc::new(check_partner(pinned.as_ref(), code, &self.api().partner(code).await?)?);
        self.0.directory.partners.insert(code.clone(), card.clone());
        Ok(card)
    }

    /// A member whose key card is in force now: somebody to seal or wrap to.
    pub async fn member(&self, id: &MemberId) -> Result<Arc<VerifiedMember>> {
        let member = self.recent_member(id).await?;
        member.card.check_usable(self.now()).map_err(|error| {
            ClientError::unverified(error.to_string(), "ask the member's registrar for a key card that is in force")
        })?;
        Ok(member)
    }

    /// Refuses to judge a member whose key card is out of its time, which a renewal ends. One that was revoked is judged.
    pub(super) async fn require_timely(&self, id: &MemberId) -> Result<()> {
        let card = &self.issued_member(id).await?.card;
        match card.check_usable(self.now()) {
            Err(error) if card.status == CardStatus::Active => Err(ClientError::usage(
                format!("{error}; until it is renewed or revoked, their keys stay"),
                format!(
                    "ask the registrar of `{}` to renew the card, or to revoke it for somebody who left",
                    id.partner()
                ),
            )),
            _ => Ok(()),
        }
    }

    /// A member as their newest key card says, in force or not, read again if what is known is no longer fresh: somebody about whom
    /// something may have changed.
    pub(super) async fn recent_member(&self, id: &MemberId) -> Result<Arc<VerifiedMember>> {
        match self.0.directory.members.get(id) {
            Some((member, at)) if self.now().duration_since(at).abs() <= FRESH => Ok(member),
            _ => self.fetch_member(id).await,
        }
    }

    /// A member whose key card the partner issued, in force or not: somebody who may have signed something.
    pub async fn issued_member(&self, id: &MemberId) -> Result<Arc<VerifiedMember>> {
        if let Some((member, _)) = self.0.directory.members.get(id) {
            return Ok(member);
        }
        self.fetch_member(id).await
    }

    /// Members, each verified.
    pub async fn list_members(&self, partner: Option<&PartnerCode>) -> Result<Vec<ListedMember>> {
        let mut listed = Vec::new();
        for member in self.api().all_members(partner).await? {
            let code = member.member.partner();
            let verified = match self.home().pinned(code)? {
                Some(_) => self.verify_listed(&member).await,
                // Not asked for each of its members what card the exchange holds.
                None => Err(not_pinned(code)),
            };
            listed.push(ListedMember { member, verified });
        }
        Ok(listed)
    }

    /// Organisations of others in the directory, of any partner, that are nearly the same as this one and not the same: one may be a slip for the
    /// other, and who works at one is not recused from what the other is party to. A partner whose first card this is has no look at it yet.
    pub async fn near_organisations(&self, organisation: &str, of: &MemberId) -> Result<Vec<NearOrganisation>> {
        let members = match self.api().all_members(None).await {
            Err(error) if error.slug() == Some("not-a-member") => Vec::new(),
            members => members?,
        };
        let mut near: BTreeMap<&str, BTreeSet<PartnerCode>> = BTreeMap::new();
        for member in members.iter().filter(|member| member.member != *of) {
            near.entry(&member.organisation).or_default().insert(member.member.partner().clone());
        }
        near.retain(|other, _| name::is_nearly_same(organisation, other));
        let near =
            near.into_iter().map(|(other, partners)| NearOrganisation { organisation: other.to_owned(), partners });
        Ok(near.collect())
    }

    /// What members of the caller's own partner were refused, the latest first. The exchange's word.
    pub async fn refusals(&self) -> Result<Vec<MemberRefusal>> {
        let path = format!("/v1/partners/{}/refusals", self.member_id().await?.partner());
        let page: Page<MemberRefusal> = self.api().transport().get(&path, &[]).await?.body;
        Ok(page.items)
    }

    /// The recipients of the profile's identities, as far as they tell theirs.
    pub async fn own_recipients(&self) -> Result<Vec<String>> {
        Ok(self.keyring().await?.recipients().to_vec())
    }

    /// Signs and publishes a key card, as a registrar; its serial is the next one.
    pub async fn issue_key_card(&self, new: &NewKeyCard) -> Result<Member> {
        let card = self.plan_key_card(new).await?;
        self.publish_key_card(&card, new.shown.clone(), new.without.clone()).await
    }

    /// The key card that would be published.
    pub(super) async fn plan_key_card(&self, new: &NewKeyCard) -> Result<KeyCard> {
        let serial = self.next_serial(&new.member).await?;
        let card = KeyCard {
            member: new.member.clone(),
            name: new.name.clone(),
            organisation: new.organisation.clone(),
            roles: new.roles.clone(),
            recipients: new.recipients.clone(),
            certificates: new.certificates.clone(),
            serial,
            valid_from: new.valid_from.unwrap_or_else(|| self.now()),
            valid_until: new.valid_until,
            status: CardStatus::Active,
        };
        self.check_may_publish(&card)?;
        self.check_office(None, &card)?;
        Ok(card)
    }

    /// Revokes a member's key card, as a registrar.
    ///
    /// With `keep_signatures` the card still names the member's certificates, so that what they signed stays provable: for
    /// somebody who left. Without it nothing they signed is believed from then on: for a key that was stolen.
    pub async fn revoke_key_card(&self, member: &MemberId, keep_signatures: bool) -> Result<Member> {
        let present = self.fetch_member(member).await?.card.clone();
        let certificates = if keep_signatures { present.certificates.clone() } else { Vec::new() };
        let (serial, status) = (self.next_serial(member).await?, CardStatus::Revoked);
        let card = KeyCard { recipients: Vec::new(), certificates, serial, status, ..present };
        self.publish_key_card(&card, Vec::new(), BTreeSet::new()).await
    }

    /// A member's key card as the exchange has it now, verified.
    pub(super) async fn fetch_member(&self, id: &MemberId) -> Result<Arc<VerifiedMember>> {
        let offered = match self.api().member(id).await {
            Err(error) if error.is_not_found() => {
                let what = format!("no key card is published for `{id}`");
                return Err(ClientError::usage(what, "check the name; the member's registrar publishes the card"));
            }
            offered => offered?,
        };
        if offered.member != *id {
            return Err(substituted(id, &format!("the exchange answered with that of `{}`", offered.member)));
        }
        self.verify_listed(&offered).await
    }

    async fn verify_listed(&self, offered: &Member) -> Result<Arc<VerifiedMember>> {
        let partner = self.partner(offered.member.partner()).await?;
        let member = Arc::new(verify_member(self.home(), &partner, &offered.member, &offered.key_card)?);
        self.0.directory.members.insert(offered.member.clone(), (member.clone(), self.now()));
        Ok(member)
    }

    async fn next_serial(&self, member: &MemberId) -> Result<u64> {
        let present = match self.api().member(member).await {
            Ok(present) => present.serial,
            // The first card of a partner is its registrar's own, who is nobody here before it.
            Err(error) if error.is_not_found() || error.slug() == Some("not-a-member") => 0,
            Err(error) => return Err(error),
        };
        Ok(present.max(self.home().seen_serial(member)?.unwrap_or(0)) + 1)
    }

    /// Refuses a card that nobody would take: by somebody who is no registrar, or with content that no card has.
    fn check_may_publish(&self, card: &KeyCard) -> Result<Pinned> {
        let signer = jws::spki_sha256(self.signer()?.certificate())?;
        let code = card.member.partner();
        let Some(pinned) = self.home().pinned(code)? else { return Err(not_pinned(code)) };
        if !pinned.card.registrars.contains(&signer) {
            return Err(ClientError::usage(
                format!("the certificate of this profile does not belong to a registrar of `{code}`"),
                "use the registrar's profile; the partner card names the registrars",
            ));
        }
        let malformed = |error: StatementError| ClientError::usage(error.to_string(), "fix the key card's content");
        card.check_new().and_then(|()| card.validate()).map_err(malformed)?;
        Ok(pinned)
    }

    pub(super) async fn publish_key_card(
        &self,
        card: &KeyCard,
        certificates: Vec<String>,
        without: BTreeSet<PartnerRole>,
    ) -> Result<Member> {
        let pinned = self.check_may_publish(card)?;
        let key_card = self.signed(card).await?;
        let body = PublishKeyCard { key_card: key_card.clone(), certificates, without };
        let member = self.api().publish_key_card(&card.member, &body).await?;
        verify_member(self.home(), &pinned.card, &card.member, &key_card)?;
        self.0.directory.members.remove(&card.member);
        Ok(member)
    }
}

/// Holds a partner as the exchange states it against the pin.
pub(super) fn check_partner(pinned: Option<&Pinned>, code: &PartnerCode, offered: &Partner) -> Result<PartnerCard> {
    let card = PartnerCard::from_json(offered.card.as_bytes())?;
    let fingerprint = card.fingerprint()?;
    if offered.code != *code || card.code != *code {
        let what = format!("the exchange answered with another partner's card than that of `{code}`");
        return Err(ClientError::unverified(what, "tell the host's operator, and trust nothing of it meanwhile"));
    }
    let Some(pinned) = pinned else { return Err(not_pinned(code)) };
    if pinned.fingerprint != fingerprint {
        return Err(ClientError::unverified(
            format!(
                "the exchange holds another card of `{code}` than the one that was confirmed, whose fingerprint is `{}`",
                pinned.fingerprint
            ),
            format!(
                "ask the officials of `{code}` whether they have a new card; if so, type the fingerprint that they tell you: \
                 `entente trust fetch {code} --fingerprint FINGERPRINT`"
            ),
        ));
    }
    Ok(card)
}

/// Holds a key card against the partner card and against what was seen before.
pub(super) fn verify_member(
    home: &Home,
    partner: &PartnerCard,
    id: &MemberId,
    key_card: &str,
) -> Result<VerifiedMember> {
    let signed: Signed<KeyCard> =
        KeyCard::verify_issued(key_card, partner).map_err(|error| substituted(id, &error.to_string()))?;
    if signed.statement.member != *id {
        return Err(substituted(id, &format!("it is that of `{}`", signed.statement.member)));
    }
    home.see_card(&signed.statement, signed.payload_sha256)?;
    Ok(VerifiedMember { card: signed.statement })
}

fn substituted(id: &MemberId, fault: &str) -> ClientError {
    ClientError::unverified(
        format!(
            "the key card that the exchange shows for `{id}` is not their registrar's, so nothing is sealed to it: {fault}"
        ),
        format!("tell the registrar of `{}`: the exchange may have put another key in its place", id.partner()),
    )
}

/// The exchange's own digits are never shown here: they would be pasted instead of compared.
fn not_pinned(code: &PartnerCode) -> ClientError {
    ClientError::unverified(
        format!("the card of `{code}` has not been confirmed on this machine"),
        format!(
            "take it from your registrar's trust list with `entente trust import`, or have the officials of `{code}` tell you its \
             fingerprint, by a way that does not pass through the exchange, and type it: `entente trust fetch {code} \
             --fingerprint FINGERPRINT`"
        ),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::testing::Nation;

    fn home() -> (tempfile::TempDir, Home) {
        let folder = tempfile::tempdir().unwrap();
        let home = Home::locate(Some(folder.path())).unwrap();
        (folder, home)
    }

    fn offered(nation: &Nation) -> Partner {
        Partner {
            code: nation.code().clone(),
            name: nation.card.name.clone(),
            zone: nation.card.zone.clone(),
            is_host: false,
            card: String::from_utf8(nation.card.canonical().unwrap()).unwrap(),
            card_sha256: nation.card.fingerprint().unwrap(),
            suspended: None,
        }
    }

    #[test]
    fn partner_card_other_than_the_pinned_is_refused_and_its_fingerprint_not_shown() {
        let ((_folder, home), isr, other) = (home(), Nation::new("ISR"), Nation::new("ISR"));
        let fingerprint = isr.card.fingerprint().unwrap();
        let code = isr.code();
        let unknown = check_partner(None, code, &offered(&isr)).unwrap_err();
        assert!(!unknown.help().contains(&fingerprint.to_string()), "nobody pastes it: {}", unknown.help());
        home.pin_partner(&isr.card.canonical().unwrap(), &fingerprint).unwrap();
        let pinned = home.pinned(code).unwrap();
        assert_eq!(check_partner(pinned.as_ref(), code, &offered(&isr)).unwrap(), isr.card);
        let refused = check_partner(pinned.as_ref(), code, &offered(&other)).unwrap_err();
        let (confirmed, offered) = (fingerprint.to_string(), other.card.fingerprint().unwrap().to_string());
        let said = format!("{refused} {}", refused.help());
        assert!(said.contains(&confirmed) && !said.contains(&offered), "{said}");
        assert_eq!(refused.class().code(), 4);
    }

    #[test]
    fn card_with_another_fingerprint_than_confirmed_is_not_pinned() {
        let ((_folder, home), isr) = (home(), Nation::new("ISR"));
        let refused =
            home.pin_partner(&isr.card.canonical().unwrap(), &Sha256::of(b"what officials said")).unwrap_err();
        assert_eq!(refused.class().code(), 4);
        assert!(home.pins().unwrap().is_empty());
    }

    #[test]
    fn substituted_key_card_is_refused() {
        let ((_folder, home), isr, impostor) = (home(), Nation::new("ISR"), Nation::new("ISR"));
        let (avi, noa) = (isr.member("avi"), isr.member("noa"));
        let id = &avi.card.member;
        assert_eq!(verify_member(&home, &isr.card, id, &isr.issue(&avi.card)).unwrap().card, avi.card);
        let forged = verify_member(&home, &isr.card, id, &impostor.issue(&avi.card)).unwrap_err();
        assert!(forged.to_string().contains("is not their registrar's"), "{forged}");
        let swapped = verify_member(&home, &isr.card, id, &isr.issue(&noa.card)).unwrap_err();
        assert!(swapped.to_string().contains("it is that of `ISR:noa`"), "{swapped}");
        let other_keys = KeyCard { recipients: noa.card.recipients, ..avi.card.clone() };
        let replayed = verify_member(&home, &isr.card, id, &isr.issue(&other_keys)).unwrap_err();
        assert!(replayed.to_string().contains("serial 1"), "{replayed}");
    }

    #[test]
    fn fingerprint_is_taken_as_people_write_it_down() {
        let digest = Sha256::of(b"card");
        let plain = digest.to_string();
        let pairs: Vec<&str> = plain.as_bytes().chunks(2).map(|pair| str::from_utf8(pair).unwrap()).collect();
        let colons = pairs.join(":").to_uppercase();
        let groups: Vec<String> = pairs.chunks(4).map(<[_]>::concat).collect();
        for written in [&plain, &colons, &groups.join(" "), &format!("  {}\n", groups.join("-"))] {
            assert_eq!(typed_fingerprint(written).as_ref(), Ok(&digest), "{written}");
        }
        for wrong in
            [&plain[1..], &plain.replace(&plain[..1], "g"), &format!("{plain}0"), "", &plain.replace(&plain[..1], ".")]
        {
            assert!(typed_fingerprint(wrong).is_err(), "{wrong}");
        }
    }
}
