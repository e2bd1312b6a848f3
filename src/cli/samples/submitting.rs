//! What submitters look at before the deadline, and what reviewers open: what is missing, what changed, folders.

use super::{
    DIGEST, OTHER, OTHER_DIGEST, PROPOSAL, Pages, REFERENCE, now, of, proposals::manifest, read, reference_of, zone,
};
use crate::{
    cli::{
        proposal::{cases, check, compare},
        verify,
    },
    client::{
        cases::{CaseFile, CaseFileState, OpenedCase},
        labels::LabelChange,
        proposal_check::{MissingKind, MissingPart, PartyCheck, ProposalCheck},
        receipt::{Receipt, TrustedCard, VerifiedReceipt, VouchedSigner},
        version_changes::{
            ComparedVersion, PutIn, SlotChange, SlotContent, SummaryChange, SummaryFieldChange, VersionComparison,
        },
    },
    domain::proposal::Status,
};
use serde_json::json;

pub(super) fn show(pages: &mut Pages) {
    checked(pages);
    compared(pages);
    opened(pages);
    receipts(pages);
}

fn checked(pages: &mut Pages) {
    let missing = |what, who: &[&str], command: &str| MissingPart {
        what,
        who: who.iter().map(|member| read(member)).collect(),
        command: format!("entente proposal {command}"),
    };
    let party = |party: &str, zone: &str, members: &[&str], missing| PartyCheck {
        party: read(party),
        zone: Some(zone.to_owned()),
        members: members.iter().map(|member| read(member)).collect(),
        missing,
    };
    let slot = |slot: &str, is_shared| MissingKind::Slot { slot: read(slot), is_shared };
    let again = MissingKind::SignatureAgain {
        version: 1,
        since: of(json!("2026-03-01T08:00:00Z")),
        reason: Some("the second criterion was missing".into()),
    };
    let check = ProposalCheck {
        proposal: read(PROPOSAL),
        reference: read(REFERENCE),
        status: Status::Preparing,
        deadline_at: of(json!("2026-04-08T15:00:00Z")),
        grace_until: of(json!("2026-04-09T15:00:00Z")),
        is_complete: false,
        parties: vec![
            party(
                "ISR",
                "Asia/Jerusalem",
                &["ISR:avi", "ISR:tamar"],
                vec![
                    missing(slot("work-plan", true), &["ISR:avi", "ISR:tamar"], "put BIRD26-48179 work-plan FILE"),
                    missing(again, &["ISR:avi", "ISR:tamar"], "sign BIRD26-48179"),
                ],
            ),
            party(
                "USA",
                "America/New_York",
                &[],
                vec![
                    missing(MissingKind::Acceptance, &["USA:kate"], "accept BIRD26-48179"),
                    missing(MissingKind::Signature { version: Some(2) }, &[], "sign BIRD26-48179"),
                ],
            ),
        ],
        unsigned: vec![SlotChange {
            slot: read("annex"),
            party: None,
            before: None,
            after: Some(content(DIGEST, 2_400_000)),
        }],
    };
    pages.show("proposal check $PROPOSAL", |screen| check::show(screen, &check, &zone(), now()));
    pages.show_csv("proposal check $PROPOSAL", |screen| check::show(screen, &check, &zone(), now()));
}

fn content(sha256: &str, size: u64) -> SlotContent {
    SlotContent { sha256: read(sha256), size, media_type: "application/pdf".into(), put: None }
}

fn compared(pages: &mut Pages) {
    let version = |number, manifest: &str| ComparedVersion {
        version: Some(number),
        manifest_sha256: Some(read(manifest)),
        call_text_sha256: Some(read(DIGEST)),
        signed_by: [(read("ISR"), read("ISR:avi")), (read("USA"), read("USA:bob"))].into(),
    };
    let put = Some(PutIn { by: read("ISR:avi"), at: of(json!("2026-03-01T22:05:00Z")) });
    let comparison = VersionComparison {
        proposal: read(PROPOSAL),
        reference: read(REFERENCE),
        before: version(2, DIGEST),
        after: version(3, OTHER_DIGEST),
        slots: vec![
            SlotChange {
                slot: read("work-plan"),
                party: None,
                before: Some(content(DIGEST, 2_400_000)),
                after: Some(SlotContent { put, ..content(OTHER_DIGEST, 2_600_000) }),
            },
            SlotChange {
                slot: read("shareholders"),
                party: Some(read("ISR")),
                before: Some(content(DIGEST, 734_003)),
                after: None,
            },
        ],
        unchanged: 2,
        label: Some(LabelChange {
            before: None,
            after: Some(of(json!({ "releasable_to": ["ISR", "KOR", "USA"], "caveats": [] }))),
        }),
        summary: SummaryChange::Changed {
            fields: vec![SummaryFieldChange {
                field: "title".into(),
                before: "Lodestone".into(),
                after: "Lodestone: navigation without satellites".into(),
            }],
        },
    };
    pages.show("proposal compare $PROPOSAL 2 3", |screen| compare::show(screen, &comparison, &zone()));
}

fn opened(pages: &mut Pages) {
    let file = |slot: &str, party: Option<&str>, name: &str, state| CaseFile {
        slot: read(slot),
        party: party.map(read),
        name: name.into(),
        state,
    };
    let case = |folder: &str, files| OpenedCase { folder: folder.into(), version: 2, files };
    let opened = [
        (
            read(REFERENCE),
            case(
                "reading/BIRD26-48179 Lodestone",
                vec![
                    file("summary", None, "summary.json", CaseFileState::Unchanged),
                    file("work-plan", None, "work-plan.pdf", CaseFileState::Opened(2_400_000)),
                    file(
                        "shareholders",
                        Some("ISR"),
                        "shareholders-ISR.pdf",
                        CaseFileState::Closed("not for you".into()),
                    ),
                ],
            ),
        ),
        (
            read(reference_of(OTHER)),
            case("reading/BIRD26-09268", vec![file("work-plan", None, "work-plan.pdf", CaseFileState::Kept)]),
        ),
    ];
    pages.show("proposal open --assigned $CALL --into reading", |screen| cases::show(screen, &opened));
}

fn receipts(pages: &mut Pages) {
    let signer = |member: &str, name: &str, organisation: &str, at: &str| VouchedSigner {
        member: read(member),
        name: name.into(),
        organisation: organisation.into(),
        signed_at: read(at),
        serial: 1,
    };
    let receipt: Receipt = of(json!({
        "form": "entente-receipt/1", "proposal": PROPOSAL, "reference": REFERENCE, "version": 3, "manifest_sha256": OTHER_DIGEST,
        "committed_at": "2026-04-07T09:00:00Z", "complete_at": "2026-04-07T09:05:00Z", "signatures": {}, "partner_cards": {},
        "made_by": "ISR:avi", "made_at": "2026-04-10T09:00:00Z", "sha256": DIGEST,
    }));
    let card = |code: &str, is_given, fingerprint: &str| TrustedCard {
        card: of(json!({ "code": code, "name": "Ministry", "zone": "UTC", "anchors": [], "registrars": [] })),
        fingerprint: read(fingerprint),
        is_given,
    };
    let verified = VerifiedReceipt {
        receipt,
        manifest: manifest(),
        signers: [
            (read("ISR"), signer("ISR:avi", "Avi Levi", "Galil Optics", "2026-04-06T12:00:00Z")),
            (read("USA"), signer("USA:bob", "Bob Miller", "Blue Ridge Navigation", "2026-04-07T09:00:00Z")),
        ]
        .into(),
        trusted: [(read("ISR"), card("ISR", false, DIGEST)), (read("USA"), card("USA", true, OTHER_DIGEST))].into(),
    };
    pages.show("verify receipt receipt.json", |screen| verify::show(screen, &verified, &zone()));
}
