//! Bodies about partners, members and programs.

use super::{Time, answer, request};
use crate::domain::{
    id::{MemberId, PartnerCode, ProgramId, Sha256},
    member::PartnerRole,
    suspension::{Suspension, SuspensionReason},
};
use std::collections::BTreeSet;

answer! {
    /// A partner as the host's operator enrolled it. Clients compare `card_sha256` with the fingerprint that they pinned.
    pub struct Partner {
        pub code: PartnerCode,
        pub name: String,
        /// IANA time zone in which the partner reads deadlines.
        pub zone: String,
        /// Whether it hosts the exchange.
        pub is_host: bool,
        /// The partner card in RFC 8785 canonical JSON, as a string so that its digest can be checked as is.
        pub card: String,
        pub card_sha256: Sha256,
        /// Left out while it takes part.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        pub suspended: Option<PartnerSuspension>,
    }

    /// A partner takes no part for a while: its members ask for nothing but `/v1/me`, and its registrars for partners and members.
    pub struct PartnerSuspension {
        pub since: Time,
        /// `own_request`, `keys_in_doubt`, `agreement_ended` or `host_decision`.
        pub reason: SuspensionReason,
    }

    /// A member and the key card that its partner's registrar signed.
    pub struct Member {
        pub member: MemberId,
        pub name: String,
        pub organisation: String,
        pub roles: BTreeSet<PartnerRole>,
        /// Compact JWS; clients verify it before they believe any of the above.
        pub key_card: String,
        pub serial: u64,
        /// `active` or `revoked`.
        pub status: String,
    }

    /// A key card that is or was in force, for checking what was signed under it.
    pub struct PublishedKeyCard {
        pub serial: u64,
        /// Compact JWS.
        pub key_card: String,
        pub published_at: Time,
    }

    /// What a member of a partner was refused, and how often.
    pub struct MemberRefusal {
        /// None where no key card in force names the certificate.
        #[serde(skip_serializing_if = "Option::is_none")]
        pub member: Option<MemberId>,
        /// SHA-256 of the certificate's subject public key info.
        pub certificate: Sha256,
        /// `any` where `problem` is `refused`; `TLS` for a certificate that was refused in the handshake, which
        /// anyone can show who has a copy of it.
        pub method: String,
        /// The template of the route. Of one below a call or a proposal its beginning, such as `/v1/proposals/{proposal}`. Of a
        /// handshake the reason, such as `(handshake: expired)`.
        pub route: String,
        /// Slug of the problem. `refused` for all that say that something below a call exists or who takes part in it.
        pub problem: String,
        pub times: u64,
        pub first_at: Time,
        pub last_at: Time,
    }

    /// What the exchange goes by when it judges a partner's certificates, beside the partner card.
    pub struct PartnerTrustReport {
        /// Whether each issuer of its members' certificates needs a revocation list.
        pub needs_lists: bool,
        /// When the first of its revocation lists expires, and shuts its issuer out.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        pub lists_until: Option<Time>,
        /// Certificates that end within 60 days, the next one first: those that came to the server that answers, since it was started.
        pub certificates: Vec<SeenCertificate>,
    }

    /// A certificate that ends soon.
    pub struct SeenCertificate {
        pub member: MemberId,
        /// SHA-256 of its subject public key info.
        pub certificate: Sha256,
        pub ends_at: Time,
    }

    /// Who the server takes the caller for.
    pub struct Me {
        pub partner: PartnerCode,
        /// None while no key card that names the certificate is in force.
        #[serde(skip_serializing_if = "Option::is_none")]
        pub member: Option<MemberId>,
        /// The member's key card that names the certificate and has ended: the registrar issues another one.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        pub ended: Option<EndedKeyCard>,
        #[serde(skip_serializing_if = "Option::is_none")]
        pub organisation: Option<String>,
        pub roles: BTreeSet<PartnerRole>,
        /// SHA-256 of the certificate's subject public key info.
        pub certificate: Sha256,
        /// The host's partner code.
        pub host: PartnerCode,
        /// The server's clock.
        pub now: Time,
        /// Left out while the partner takes part.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        pub suspended: Option<PartnerSuspension>,
    }

    /// A key card that was issued and is no longer in force, since its time is over.
    pub struct EndedKeyCard {
        pub member: MemberId,
        pub valid_until: Time,
    }

    /// An agreement or forum under which calls run.
    pub struct Program {
        pub id: ProgramId,
        pub name: String,
        pub lead: PartnerCode,
        pub partners: BTreeSet<PartnerCode>,
        pub created_by: MemberId,
        pub created_at: Time,
    }
}

request! {
    /// Publishes a key card.
    pub struct PublishKeyCard {
        /// Compact JWS of type `entente-key-card+jws`, signed by a registrar of the member's partner.
        pub key_card: String,
        /// Certificates of its keys, each PEM with the authorities between it and the partner card's anchor: of every key that the card
        /// before, while it is active, does not name, and of one at least if this card ends later. They are judged as when a member
        /// connects, are to last as long as this card, and are not kept.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        pub certificates: Vec<String>,
        /// Every role of the card before that this one lacks: no office ends unsaid.
        #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
        pub without: BTreeSet<PartnerRole>,
    }

    /// Creates a program.
    pub struct CreateProgram {
        /// 1 to 200 characters, seen by every participating partner.
        pub name: String,
        /// The partner that leads it.
        pub lead: PartnerCode,
        /// Participating partners; the lead is one of them.
        pub partners: BTreeSet<PartnerCode>,
    }
}

impl From<Suspension> for PartnerSuspension {
    fn from(Suspension { since, reason }: Suspension) -> Self {
        Self { since: since.into(), reason }
    }
}
