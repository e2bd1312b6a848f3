//! Proposals: lists, one with its documents, what is signed, labels, and who sees them.

use super::{
    CALL, DIGEST, OTHER, OTHER_DIGEST, PROPOSAL, Pages, RECIPIENT, REFERENCE, THIRD, VAULT, calls, now, of, read,
    reference_of, zone,
};
use crate::{
    cli::{
        key,
        policy::{explanation, visibility},
        preview,
        proposal::{label, show, sign, tables},
    },
    client::{
        ClientError,
        labels::Relabelling,
        naming::FoundProposal,
        opening::OpenedDocument,
        own_keys::{CheckedKey, KeyState},
        panel::{LackingSteps, PanelKey, Prepared},
        preview::Sums,
        proposals::{BudgetLine, Summary, TeamMember},
        signing::{Signing, SigningDocument},
        titles::{KnownTitle, Titles},
        vaults::Wrapped,
        verified::VerifiedManifest,
        visibility::{AccessCause, AccessChange},
    },
    dev_pki::cast::{AVI, BOB, Cast, TAMAR},
    domain::{call::LetterAudience, id::ProposalId, vault::VaultKind},
    sealing::statement::{Manifest, ManifestDocument},
    wire::{
        explanation::Reader,
        policy::PreviewedChange,
        proposal::{Document, LabelPreview, MissingKey, Proposal, SignedLabel},
    },
};
use serde_json::{Value, json};
use std::path::PathBuf;

pub(super) fn show(pages: &mut Pages) {
    listed(pages);
    documents(pages);
    labels(pages);
    readers(pages);
    keys(pages);
}

fn listed(pages: &mut Pages) {
    let zone = zone();
    let titles: Titles = [
        (read(PROPOSAL), "Lodestone: navigation without satellites, by maps of the magnetic field and sensors small enough for a drone"),
        (read(OTHER), "한빛로보틱스 무인 항법"),
    ]
    .map(|(id, title): (ProposalId, &str)| (id, KnownTitle { title: title.to_owned(), organisations: Vec::new() }))
    .into_iter()
    .collect();
    let titled = titles.joined(proposals().into(), |proposal| proposal.id);
    pages.show("proposal list", |screen| show::lines(screen, &titled, &zone, now()));
    let zones = [(read("USA"), "America/New_York".to_owned())];
    let (call, [proposal, ..]) = (calls::bilateral(), proposals());
    let rules = call.text.to_domain().unwrap();
    pages.show("proposal status $PROPOSAL", |screen| {
        let shown = (&proposal, titles.title(proposal.id));
        show::page(screen, shown, Some(&stored()), (&call, &rules), (&zone, now(), &zones));
    });
}

fn documents(pages: &mut Pages) {
    let record = json!({
        "proposal": PROPOSAL, "reference": REFERENCE, "slot": "shareholders", "party": "ISR", "vault": VAULT, "recipient": RECIPIENT,
        "sha256": DIGEST, "size": 734_003, "media_type": "application/pdf", "idempotency_key": "a",
    });
    let title = KnownTitle { title: "Lodestone: navigation without satellites".into(), organisations: Vec::new() };
    let titles: Titles = [(read(PROPOSAL), title)].into_iter().collect();
    pages.show("proposal resume --list", |screen| tables::interrupted(screen, &[of(record)], &titles));
    let signing = |(document, by, is_own): (ManifestDocument, Option<&str>, bool)| SigningDocument {
        document,
        uploaded_by: by.map(read),
        uploaded_at: by.map(|_| of(json!("2026-03-01T22:05:00Z"))),
        is_own,
    };
    let [plan, dataset, shareholders] = held();
    let plan = Signing {
        manifest: manifest(),
        documents: [(plan, Some("ISR:avi"), true), (dataset, None, false), (shareholders, Some("USA:bob"), false)]
            .map(signing)
            .into(),
        signed_by: [read("USA")].into(),
        letters: LetterAudience::AllParties,
    };
    pages.show("proposal sign $PROPOSAL --dry-run", |screen| sign::show_plan(screen, &plan, Some(&summary()), &zone()));
    let verified = VerifiedManifest {
        manifest: manifest(),
        sha256: read(OTHER_DIGEST),
        signed_by: [(read("ISR"), read("ISR:avi")), (read("USA"), read("USA:bob"))].into(),
        is_standing: true,
        is_current_text: true,
    };
    pages.show("proposal verify $PROPOSAL", |screen| tables::manifest(screen, &verified));
    let signed_by = [(read("ISR"), read("ISR:avi")), (read("USA"), read("USA:bob"))];
    let [plan, dataset, _] = held();
    let opened = [
        (OpenedDocument { document: plan, size: 2_400_000, signed_by: signed_by.into() }, "files/work-plan.pdf"),
        (OpenedDocument { document: dataset, size: 3 << 30, signed_by: [].into() }, "files/dataset.csv"),
    ];
    let opened = opened.map(|(document, file)| (document, PathBuf::from(file)));
    pages.show("proposal open $PROPOSAL -o files", |screen| tables::opened(screen, &opened));
    pages.show("proposal summary $PROPOSAL", |screen| tables::summary(screen, &summary()));
}

fn summary() -> Summary {
    let person = |cast: &Cast, role: Option<&str>| TeamMember {
        name: cast.name.into(),
        organisation: cast.organisation.into(),
        role: role.map(str::to_owned),
    };
    let line = |item: &str, party: &str, amount| BudgetLine {
        item: item.into(),
        party: Some(read(party)),
        amount,
        currency: if party == "ISR" { "ILS" } else { "USD" }.into(),
    };
    Summary {
        title: "Lodestone: navigation without satellites".into(),
        abstract_text: "A magnetometer small enough for a drone, and maps to go with it.".into(),
        team: vec![person(&AVI, Some(AVI.job)), person(&TAMAR, None), person(&BOB, Some("integrates the sensor"))],
        budget: vec![line("Sensors", "ISR", 1_200_000), line("Flight tests", "USA", 85_000)],
    }
}

fn labels(pages: &mut Pages) {
    let label = json!({ "releasable_to": ["ISR", "KOR", "USA"], "caveats": ["no-contractors"] });
    let made: Vec<SignedLabel> = of(json!([
        { "number": 1, "label_sha256": DIGEST, "manifest_sha256": OTHER_DIGEST, "label": label,
          "signatures": { "ISR": "", "USA": "" }, "stated_at": "2026-03-01T08:00:00Z", "in_force_at": "2026-03-01T09:00:00Z",
          "is_in_force": true },
        { "number": 2, "label_sha256": OTHER_DIGEST, "manifest_sha256": OTHER_DIGEST, "signatures": { "ISR": "" },
          "stated_at": "2026-03-02T08:00:00Z", "is_in_force": false },
    ]));
    pages.show("proposal label $PROPOSAL", |screen| label::lines(screen, &made, &zone()));
    let plan = Relabelling {
        reference: read(REFERENCE),
        statement: of(json!({
            "proposal": PROPOSAL, "manifest_sha256": OTHER_DIGEST, "number": 1, "label": label,
            "stated_at": "2026-03-01T08:00:00Z",
        })),
        present: None,
        signed_by: [read("ISR")].into(),
    };
    let preview: LabelPreview = of(json!({
        "then": label, "gains": {},
        "losses": { "EU": { "members": 1, "views": 1, "readings": 1 }, "GBR": { "members": 2, "views": 2, "readings": 1 } },
        "keys_needed": 1, "keys_removed": { "GBR": 1 }, "fetched_before": 1,
        "items": [
            change(PROPOSAL, "GBR:harry", "Read", (false, false, true, false)),
            change(PROPOSAL, "KOR:minjun", "View", (true, false, false, true)),
        ],
    }));
    pages.show("proposal label $PROPOSAL --rel-to KOR --caveat no-contractors", |screen| {
        label::show_plan(screen, &plan, &preview, Some("Lodestone: navigation without satellites"));
    });
}

fn readers(pages: &mut Pages) {
    let sums: Sums = of(json!({
        "gains": { "KOR": { "members": 2, "views": 5, "readings": 3 }, "USA": { "members": 1, "views": 1, "readings": 1 } },
        "losses": { "USA": { "members": 1, "views": 12, "readings": 4 } },
        "admits": { "KOR": 3 }, "keys_needed": 3, "fetched_before": 1,
    }));
    let changes: Vec<PreviewedChange> = of(json!([
        change(PROPOSAL, "KOR:minjun", "View", (true, true, false, true)),
        change(PROPOSAL, "KOR:minjun", "Read", (true, true, false, true)),
        change(OTHER, "USA:carol", "Read", (false, false, true, false)),
    ]));
    pages.show("policy preview ISR 2", |screen| {
        preview::sums(screen, &sums);
        preview::rows(screen, &changes, false);
    });
    let found = |member: &str, parts: &[&str], reads: bool, restricted: &[&str], reviews: bool| {
        json!({ "member": member, "parts": parts, "reads": reads, "reads_restricted_of": restricted,
                "reads_reviews": reviews })
    };
    let readers: Vec<Reader> = of(json!([
        found("ISR:avi", &["party"], true, &["ISR"], false),
        found("ISR:noa", &["officer"], true, &["ISR", "USA"], true),
        found("USA:carol", &["assigned", "reviewer"], true, &[], true),
        found("USA:walt", &["observer"], false, &[], false),
    ]));
    pages.show("policy who $PROPOSAL", |screen| explanation::lines(screen, &readers));
    let access = |proposal: &str, member: &str, what: &str, gains, causes| AccessChange {
        proposal: read(proposal),
        reference: Some(read(reference_of(proposal))),
        member: read(member),
        what: what.into(),
        gains,
        causes,
    };
    let policy = AccessCause::Policy { owner: read("ISR"), from: Some(1), to: Some(2) };
    let role = AccessCause::Role { from: [].into(), to: ["reviewer".to_owned()].into() };
    let changes = [
        access(PROPOSAL, "USA:carol", "read", true, vec![policy, role, AccessCause::Assignment { assigned: true }]),
        access(OTHER, "ISR:maya", "view", false, vec![AccessCause::Declaration { conflict: Some(true) }]),
    ];
    pages.show("policy visibility-diff march.json april.json", |screen| visibility::show(screen, &changes));
}

fn keys(pages: &mut Pages) {
    let lacks = |kind: &str, holder: &str| -> MissingKey {
        of(json!({ "vault": VAULT, "kind": kind, "holder": holder, "recipients": [RECIPIENT] }))
    };
    let missing = [lacks("panel", "USA:carol"), lacks("deliberation", "ISR:noa")];
    pages.show("key missing $PROPOSAL", |screen| key::show_missing(screen, &missing));
    let refused = ClientError::unverified("the key card of `KOR:minjun` is not signed by a registrar of KOR", "");
    let found = |id: &str| FoundProposal { id: read(id), reference: Some(read(reference_of(id))) };
    let key_to =
        |proposal: Option<&str>, kind, holder| PanelKey { proposal: proposal.map(found), key: lacks(kind, holder) };
    let done = [
        key_to(None, "call", "USA:olivia"),
        key_to(Some(PROPOSAL), "panel", "USA:carol"),
        key_to(Some(OTHER), "deliberation", "ISR:noa"),
    ];
    let prepared = Prepared {
        vaults_made: vec![found(PROPOSAL)],
        wrapped: Wrapped { done: done.into(), refused: vec![(key_to(Some(PROPOSAL), "panel", "KOR:minjun"), refused)] },
        skipped: vec![(found(OTHER), ClientError::not_shown("its documents are not shown to you", ""))],
        lacking: LackingSteps {
            undeclared: [(read("GBR:grace"), 2), (read("ISR:maya"), 1)].into(),
            unassigned: 1,
            own_undeclared: 0,
        },
    };
    let title = KnownTitle { title: "Lodestone: navigation without satellites".into(), organisations: Vec::new() };
    let titles: Titles = [(read(PROPOSAL), title)].into_iter().collect();
    pages.show("key share --call $CALL", |screen| key::show_prepared(screen, &prepared, &titles, false));
    let (mine, broken) = ("key_01J9ZQ4N6M8V7X5T3R2P1K0HGF", "key_01J9ZR8C2D4E6F8G0H2J4K6M8N");
    let fault = ClientError::unverified("it does not open with your identity", "");
    let checked = |kind, is_on_card, found| CheckedKey {
        vault: read(VAULT),
        kind,
        holder: "ISR:avi".into(),
        recipient: RECIPIENT.into(),
        is_on_card,
        found,
    };
    let checked = [
        checked(VaultKind::Panel, true, KeyState::Opens { key: read(mine), wrapped_by: read("ISR:noa") }),
        checked(VaultKind::Parties, false, KeyState::Broken { key: read(broken), wrapped_by: read("USA:bob"), fault }),
        checked(VaultKind::Staff, true, KeyState::Missing),
    ];
    pages.show("key check $PROPOSAL --remove", |screen| key::show_checked(screen, &checked, &[read(broken)]));
}

fn change(
    proposal: &str,
    member: &str,
    action: &str,
    (gains, admits, fetched, key): (bool, bool, bool, bool),
) -> Value {
    json!({
        "proposal": proposal, "reference": reference_of(proposal), "member": member, "action": action, "gains": gains, "admits_nation": admits,
        "has_fetched": fetched, "needs_key": key,
    })
}

/// One that stands, one that is void and one that is being prepared.
pub(super) fn proposals() -> [Proposal; 3] {
    let mine = |is_party: bool, is_invited: bool, is_clear: bool| {
        json!({ "is_party": is_party, "is_invited": is_invited, "is_assigned": false, "is_clear": is_clear,
                "has_reviewed": false })
    };
    let times = ("2026-04-08T15:00:00Z", "2026-04-09T15:00:00Z", "2026-03-02T00:00:00Z");
    let (deadline_at, grace_until, created_at) = times;
    of(json!([
        { "id": PROPOSAL, "reference": REFERENCE, "call": CALL, "topic": "quantum-sensing", "status": "submitted",
          "parties": { "ISR": ["ISR:avi", "ISR:tamar"], "USA": ["USA:bob"] }, "invited": ["USA:kate"],
          "organisations": ["Blue Ridge Navigation", "Kinneret Sensing"], "deadline_at": deadline_at,
          "grace_until": grace_until, "version": 2, "manifest_sha256": OTHER_DIGEST, "created_at": created_at,
          "pending": { "version": 3, "manifest_sha256": DIGEST, "signed_by": ["USA"], "awaiting_signatures": ["ISR"],
                       "awaiting_documents": [{ "slot": "shareholders", "party": "ISR" }] },
          "mine": mine(true, false, false) },
        { "id": OTHER, "reference": reference_of(OTHER), "call": CALL, "topic": "energy", "status": "preparing", "parties": { "ISR": ["ISR:gal"], "USA": ["USA:kate"] },
          "organisations": [], "deadline_at": deadline_at, "grace_until": grace_until, "created_at": created_at,
          "void": { "version": 1, "since": created_at, "reason": "the call was amended" },
          "mine": mine(false, false, true) },
        { "id": THIRD, "reference": reference_of(THIRD), "call": CALL, "status": "preparing", "parties": { "ISR": [], "USA": ["USA:mia"] }, "organisations": [],
          "deadline_at": deadline_at, "grace_until": grace_until, "created_at": created_at,
          "mine": mine(false, true, false) },
    ]))
}

fn stored() -> Vec<Document> {
    let document = |slot: &str, party: Option<&str>, size: u64, media_type: &str, by: &str| {
        json!({
            "id": "doc_01J9ZQ4N6M8V7X5T3R2P1K0HGF", "slot": slot, "party": party, "vault": VAULT, "sha256": DIGEST,
            "size": size, "media_type": media_type, "uploaded_by": by, "uploaded_at": "2026-03-01T22:05:00Z",
        })
    };
    let summary = document("summary", None, 4_096, "application/json", "ISR:avi");
    let plan = document("work-plan", None, 2_400_000, "application/pdf", "ISR:avi");
    of(json!([summary, plan, document("shareholders", Some("USA"), 734_003, "application/pdf", "USA:bob")]))
}

fn held() -> [ManifestDocument; 3] {
    let document = |slot: &str, party: Option<&str>, size: u64, media_type: &str| {
        json!({ "slot": slot, "party": party, "vault": VAULT, "recipient": RECIPIENT, "sha256": DIGEST, "size": size,
                "media_type": media_type })
    };
    of(json!([
        document("work-plan", None, 2_400_000, "application/pdf"),
        document("dataset", None, 3 << 30, "application/octet-stream"),
        document("shareholders", Some("USA"), 734_003, "application/pdf"),
    ]))
}

pub(super) fn manifest() -> Manifest {
    Manifest {
        call: read(CALL),
        call_text_sha256: read(DIGEST),
        proposal: read(PROPOSAL),
        reference: read(REFERENCE),
        version: 3,
        parties: [read("ISR"), read("USA")].into(),
        documents: held().into(),
        label: None,
    }
}
