//! Partners, members, and what is kept of them on this machine.

use super::{DIGEST, OTHER_DIGEST, Pages, of, read, zone};
use crate::{
    cli::{directory, enrolment, member, partner_status, pki, profile, trust},
    client::{
        ClientError, Profile,
        approval::NewInvitation,
        directory::{ListedMember, ListedPartner},
        partner_status::{CardEnd, PartnerStatus, RegistrarHolder, RegistrarStatus},
        profile::Pinned,
        verified::VerifiedMember,
    },
    dev_pki::cast::{AVI, Cast, DANA, DemoNation, GBR, ISR, KOR, NOA, USA},
    domain::expiry::NearEnd,
    sealing::{
        card::{CardStatus, KeyCard, PartnerCard},
        certificates::AuthorityCertificate,
    },
    wire::directory::MemberRefusal,
};
use serde_json::json;
use std::sync::Arc;

pub(super) fn show(pages: &mut Pages) {
    partners(pages);
    members(pages);
    let invited = [
        ("ISR:avi", "Avi Levi", "Galil Optics", ""),
        ("ISR:noa", "Noa Bar", "Directorate of Joint Research", "program_officer"),
    ];
    let invited = invited.map(|(member, name, organisation, role)| NewInvitation {
        member: read(member),
        name: name.into(),
        organisation: organisation.into(),
        roles: role.split_whitespace().map(read).collect(),
        expires_at: read("2026-04-01T00:00:00Z"),
    });
    let files = ["avi", "noa"].map(|handle| format!("invitations/invitation-ISR-{handle}.json").into());
    pages.show("member invite --file people.csv --to invitations", |screen| {
        enrolment::invited_lines(screen, &invited, &files);
    });
    let profile = |name: &str, member: Option<&str>| Profile {
        name: name.into(),
        server: "https://exchange.example:8443".into(),
        server_ca: Vec::new(),
        certificate: "avi.crt".into(),
        private_key: "avi.key".into(),
        identities: Vec::new(),
        member: member.map(read),
        zone: None,
    };
    let profiles =
        [profile("registrar", Some("ISR:registrar")), profile("work", Some("ISR:avi")), profile("new", None)];
    pages.show("profile list", |screen| profile::lines(screen, &profiles, Some("work")));
}

fn partners(pages: &mut Pages) {
    let listed = |nation: DemoNation, pinned: Option<&str>, is_verified| ListedPartner {
        partner: of(json!({
            "code": nation.code, "name": nation.name, "zone": nation.zone, "is_host": nation.code == USA.code, "card": "",
            "card_sha256": DIGEST,
        })),
        pinned: pinned.map(read),
        is_verified,
    };
    let partners = [
        listed(USA, Some(DIGEST), true),
        listed(ISR, Some(OTHER_DIGEST), false),
        listed(KOR, None, false),
        listed(GBR, Some(DIGEST), true),
    ];
    pages.show("partner list", |screen| directory::lines(screen, &partners));
    let status = PartnerStatus {
        partner: listed(ISR, Some(DIGEST), true),
        authorities: vec![AuthorityCertificate {
            subject: "CN=Israel Root".into(),
            key: read(DIGEST),
            not_before: read("2025-01-01T00:00:00Z"),
            not_after: read("2026-04-01T00:00:00Z"),
        }],
        registrars: vec![
            RegistrarStatus {
                key: read(DIGEST),
                holder: Some(RegistrarHolder {
                    member: read("ISR:registrar"),
                    is_in_force: true,
                    card_until: read("2027-01-01T00:00:00Z"),
                }),
            },
            RegistrarStatus { key: read(OTHER_DIGEST), holder: None },
        ],
        policy: None,
        waiting: Vec::new(),
        members_in_force: 14,
        ending: vec![
            CardEnd { member: read("ISR:tamar"), ends_at: read("2026-02-27T00:00:00Z"), near: None },
            CardEnd {
                member: read(AVI.member),
                ends_at: read("2026-03-06T00:00:00Z"),
                near: Some(NearEnd { within: 7, days_left: 5 }),
            },
        ],
        trust: Some(of(json!({
            "needs_lists": true, "lists_until": "2026-03-20T00:00:00Z",
            "certificates": [{ "member": AVI.member, "certificate": DIGEST, "ends_at": "2026-03-06T00:00:00Z" }],
        }))),
        now: read("2026-03-01T00:00:00Z"),
    };
    pages.show("partner status", |screen| partner_status::show(screen, &status, &zone()));
    let pin = |nation: DemoNation, fingerprint: &str| Pinned {
        card: PartnerCard {
            code: read(nation.code),
            name: nation.name.into(),
            zone: nation.zone.into(),
            anchors: Vec::new(),
            registrars: [read(DIGEST)].into(),
        },
        fingerprint: read(fingerprint),
    };
    let pins = [pin(ISR, OTHER_DIGEST), pin(USA, DIGEST)];
    pages.show("trust list", |screen| trust::lines(screen, &pins));
    let handles = "registrar drafter approver dana olivia bob carol frank".to_owned();
    let made =
        [(read(USA.code), handles, read(DIGEST)), (read(KOR.code), "registrar jiwoo".into(), read(OTHER_DIGEST))];
    pages.show("dev-pki certs-dev", |screen| pki::lines(screen, &made));
}

fn members(pages: &mut Pages) {
    let listed = |cast: Cast, is_verified: bool| {
        let card = KeyCard {
            member: read(cast.member),
            name: cast.name.into(),
            organisation: cast.organisation.into(),
            roles: cast.roles.iter().copied().collect(),
            recipients: Vec::new(),
            certificates: Vec::new(),
            serial: 1,
            valid_from: read("2026-01-01T00:00:00Z"),
            valid_until: read("2027-01-01T00:00:00Z"),
            status: CardStatus::Active,
        };
        ListedMember {
            member: of(json!({
                "member": card.member, "name": card.name, "organisation": card.organisation, "roles": card.roles,
                "key_card": "", "serial": 1, "status": "active",
            })),
            verified: if is_verified {
                Ok(Arc::new(VerifiedMember { card }))
            } else {
                Err(ClientError::unverified("no card of `USA` is pinned", ""))
            },
        }
    };
    let members = [listed(AVI, true), listed(NOA, true), listed(DANA, false)];
    pages.show("member list", |screen| member::lines(screen, &members));
    let refusal = |member: Option<&str>, problem: &str, times: u64, (method, route): (&str, &str)| {
        json!({
            "member": member, "certificate": DIGEST, "method": method, "route": route, "problem": problem, "times": times,
            "first_at": "2026-03-01T08:00:00Z", "last_at": "2026-03-01T22:30:00Z",
        })
    };
    let refusals: Vec<MemberRefusal> = of(json!([
        refusal(Some("ISR:avi"), "deadline-passed", 3, ("PUT", "/v1/proposals/{proposal}/documents/{slot}")),
        refusal(None, "no-key-card", 41, ("GET", "/v1/me")),
    ]));
    pages.show("member refusals", |screen| member::show_refusals(screen, &refusals, &zone()));
}
