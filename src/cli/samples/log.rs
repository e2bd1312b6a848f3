//! The log: an entry of each kind as a sentence; and the check of a dossier, which has some of them.

use super::{CALL, DIGEST, OTHER, OTHER_DIGEST, PROGRAM, PROPOSAL, Pages, REFERENCE, of, read, reference_of, zone};
use crate::{
    cli::{dossier, log},
    client::{
        dossier::{DossierFault, DossierPart, DossierReport, DossierTally},
        receipt::TrustedCard,
    },
    domain::{entry::EntryKind, member::CallRole},
    wire::entry::{
        Entry,
        payloads::{Payload, tests::samples},
    },
};
use serde_json::json;

pub(super) fn show(pages: &mut Pages) {
    let entries: Vec<Entry> = (1..).zip(samples()).map(|(seq, (payload, _))| entry(seq, &payload)).collect();
    let programs = [(read(PROGRAM), "Israel–United States industrial research".to_owned())].into();
    pages.show("log --all --keys", |screen| log::lines(screen, &entries, &programs, &zone()));
    pages.show("log", |screen| log::lines(screen, &[], &programs, &zone()));
    let some =
        entries.iter().filter(|entry| matches!(entry.kind, EntryKind::ClockAccepted | EntryKind::ProposalSubmitted));
    pages.show_csv("log", |screen| log::lines(screen, some, &programs, &zone()));
    checked(pages);
}

/// A dossier of which one review does not verify.
fn checked(pages: &mut Pages) {
    let tally = |verified, failed| DossierTally { verified, failed };
    let card = |code: &str, is_given, fingerprint: &str| TrustedCard {
        card: of(json!({ "code": code, "name": "Ministry", "zone": "UTC", "anchors": [], "registrars": [] })),
        fingerprint: read(fingerprint),
        is_given,
    };
    let report = DossierReport {
        call: read(CALL),
        code: read("BIRD26"),
        exported_by: read("USA:dana"),
        exporter: "Dana Scott".into(),
        exported_as: [CallRole::Officer].into(),
        exported_at: of(json!("2026-06-20T09:30:00Z")),
        proposals: 30,
        entries: 1204,
        tallies: [
            (DossierPart::Texts, tally(2, 0)),
            (DossierPart::Roles, tally(18, 0)),
            (DossierPart::Manifests, tally(64, 0)),
            (DossierPart::Declarations, tally(412, 0)),
            (DossierPart::Reviews, tally(88, 2)),
            (DossierPart::Decisions, tally(60, 0)),
        ]
        .into(),
        faults: vec![DossierFault {
            what: "`USA:carol` reviewed without having declared to be clear".into(),
            count: 2,
            places: vec![REFERENCE.into(), reference_of(OTHER).into()],
        }],
        more_faults: 0,
        cannot_show: vec![
            "It has what Dana Scott was shown as officer of the call. Others are shown other things.".into(),
            "Times are the exchange's word, as the exporter heard it; no signature says them.".into(),
        ],
        partner_cards: [(read("ISR"), card("ISR", false, DIGEST)), (read("USA"), card("USA", true, OTHER_DIGEST))]
            .into(),
    };
    pages.show("verify dossier $FILE", |screen| dossier::show(screen, &report, &zone()));
}

/// An entry with this payload, about a program, a call and a proposal as far as its kind is.
fn entry(seq: u64, payload: &Payload) -> Entry {
    let kind = payload.kind();
    let family = kind.as_str().split('.').next().unwrap_or_default();
    let subjects: &[(&str, &str)] = match family {
        "partner" | "clock" | "key_card" | "policy" => &[],
        "program" => &[("program", PROGRAM)],
        "call" => &[("program", PROGRAM), ("call", CALL)],
        _ => &[("program", PROGRAM), ("call", CALL), ("proposal", PROPOSAL)],
    };
    let mut fields = json!({
        "seq": seq, "at": "2026-03-01T22:05:00Z", "kind": kind, "payload": payload.canonical(), "salt": "",
    });
    if !matches!(family, "partner" | "clock") && kind != EntryKind::DocumentDropped {
        fields["actor"] = json!("USA:dana");
    }
    for (name, id) in subjects {
        fields[*name] = json!(id);
        // As the exchange sends them, which knows what people call these.
        match *name {
            "call" => fields["code"] = json!("BIRD26"),
            "proposal" => fields["reference"] = json!(REFERENCE),
            _ => {}
        }
    }
    of(fields)
}
