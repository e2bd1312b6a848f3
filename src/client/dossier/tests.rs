//! Dossiers that verify, and every way in which one must not: changed by others, or put together wrongly by the one who signs it.

mod world;

use super::*;
use crate::{
    client::{NoProgress, receipt::trusted, testing::at},
    domain::member::Declared,
    sealing::statement::{DeclarationStatement, DossierStatement},
    wire::entry::payloads::{ConflictLifted, ExtensionMade},
};
use proptest::prelude::*;
use std::sync::OnceLock;
use world::{DAY, Draft, World, case_number, read};

/// One world for the tests that change nothing of it, with its file.
fn kept() -> &'static (World, Vec<u8>) {
    static KEPT: OnceLock<(World, Vec<u8>)> = OnceLock::new();
    KEPT.get_or_init(|| {
        let world = World::new();
        let file = world.file(&world.dossier());
        (world, file)
    })
}

#[test]
fn dossier_of_a_judged_call_verifies_part_by_part() {
    use DossierPart::{Assignments, Decisions, Declarations, Letters, Manifests, Rankings, Reviews, Roles, Texts};
    let (world, file) = kept();
    let report = verify(file, &world.trusted(), &NoProgress).unwrap();
    assert_eq!(report.faults, []);
    let verified = |part| report.tallies.get(&part).map_or(0, |tally| tally.verified);
    let counts =
        [Texts, Roles, Manifests, Declarations, Assignments, Reviews, Rankings, Decisions, Letters].map(verified);
    assert_eq!(counts, [1, 2, 2, 5, 1, 1, 1, 2, 1]);
    assert_eq!((report.exporter.as_str(), report.proposals, report.statements()), ("dana", 1, 16));
}

#[test]
fn dossier_is_as_its_exporter_signed_it_or_nothing_of_it_is_said() {
    let (world, file) = kept();
    for at in (0..file.len()).step_by(31) {
        let mut changed = file.clone();
        changed[at] ^= 1;
        assert!(verify(&changed, &world.trusted(), &NoProgress).is_err(), "{at}");
    }
    let dossier = world.dossier();
    let signed_otherwise = |change: &dyn Fn(&mut DossierStatement)| {
        let body = dossier.body().unwrap();
        let mut said = DossierStatement {
            call: dossier.call,
            member: dossier.exported_by.clone(),
            roles: dossier.exported_as.clone(),
            sha256: Sha256::of(&body),
            stated_at: dossier.exported_at.0,
        };
        change(&mut said);
        let file = framed(&body, &world.sign("USA:dana", &said)).unwrap();
        verify(&file, &world.trusted(), &NoProgress)
    };
    assert!(signed_otherwise(&|_| {}).is_ok());
    assert!(signed_otherwise(&|said| said.member = read("USA:carol")).is_err(), "another exporter");
    assert!(signed_otherwise(&|said| said.roles = [CallRole::Decider].into()).is_err(), "another role");
    assert!(signed_otherwise(&|said| said.stated_at = at("2026-07-02T00:00:00Z")).is_err(), "another time");
    assert!(signed_otherwise(&|said| said.call = read("call_01J9ZQ4N6M8V7X5T3R2P1K0HGG")).is_err(), "another call");
    // A line is taken out, and the digest is no longer the one that was signed.
    let mut less = dossier.clone();
    less.proposals[0].entries.pop();
    let (_, signature) = taken_apart(file).unwrap();
    let refused = verify(&framed(&less.body().unwrap(), signature).unwrap(), &world.trusted(), &NoProgress);
    assert!(refused.unwrap_err().to_string().contains("was changed since it was exported"));
}

#[test]
fn exporter_is_known_by_a_card_that_the_reader_believes_and_so_is_everybody() {
    let (world, file) = kept();
    let only = |code: &str| trusted([world.nations[&read::<PartnerCode>(code)].card.clone()], []).unwrap();
    let refused = verify(file, &only("ISR"), &NoProgress).unwrap_err();
    assert!(refused.to_string().contains("`USA` is neither pinned on this machine nor given"), "{refused}");
    let report = verify(file, &only("USA"), &NoProgress).unwrap();
    assert!(!report.is_sound() && report.verified() > 0, "{report:?}");
    assert!(report.faults.iter().any(|fault| fault.what.contains("`ISR` is neither pinned")), "{:?}", report.faults);
    let others = World::new();
    assert!(verify(file, &others.trusted(), &NoProgress).is_err());
}

/// What makes another dossier of one, before its exporter signs it.
type Change = Box<dyn Fn(&World, &mut Dossier)>;

/// The place of the entry of a kind in the proposal.
fn place(dossier: &Dossier, kind: EntryKind) -> usize {
    dossier.proposals[0].entries.iter().position(|entry| entry.kind == kind).unwrap()
}

fn without(kind: EntryKind) -> Change {
    Box::new(move |_, dossier| {
        let at = place(dossier, kind);
        dossier.proposals[0].entries.remove(at);
    })
}

#[test]
fn exporter_who_puts_a_dossier_together_wrongly_is_found_out() {
    let (world, _) = kept();
    let changes: Vec<(&str, Change, &str)> = vec![
        ("a signature of a party left out", without(EntryKind::ManifestSigned), "no signature of `ISR` under it"),
        ("a declaration left out", without(EntryKind::ClearDeclared), "without having declared to be clear"),
        ("an assignment left out", without(EntryKind::ReviewerAssigned), "reviewed without being assigned"),
        ("a funder left out", without(EntryKind::DecisionSigned), "no signature of `USA` under it"),
        (
            "a proposal that stands by nothing",
            Box::new(|_, dossier| dossier.proposals[0].entries.clear()),
            "no signature of `ISR`",
        ),
        ("the text left out", Box::new(|_, dossier| dossier.entries.clear()), "was not published by then"),
        ("the roll left out", Box::new(|_, dossier| dossier.roles.clear()), "nobody signed the roles"),
        (
            "a change of roles left out",
            Box::new(|_, dossier| drop(dossier.roles.remove(1))),
            "`ISR:yael` signed as reviewer, but did not have that role",
        ),
        ("roles swapped", Box::new(|_, dossier| dossier.roles.swap(0, 1)), "is missing, or not in its place"),
        (
            "no key cards of somebody",
            Box::new(|_, dossier| drop(dossier.key_cards.remove(&read::<MemberId>("ISR:yael")))),
            "no key card of `ISR:yael`",
        ),
        (
            "somebody else's key cards",
            Box::new(|_, dossier| {
                let cards = dossier.key_cards[&read::<MemberId>("ISR:eitan")].clone();
                dossier.key_cards.insert(read("ISR:yael"), cards);
            }),
            "no key card of `ISR:yael`",
        ),
        (
            "times swapped",
            Box::new(|_, dossier| {
                let (review, letter) =
                    (place(dossier, EntryKind::ReviewSubmitted), place(dossier, EntryKind::LetterSent));
                let entries = &mut dossier.proposals[0].entries;
                let kept = entries[review].at;
                entries[review].at = entries[letter].at;
                entries[letter].at = kept;
            }),
            "has an earlier time than entry",
        ),
        (
            "signed before there were key cards",
            Box::new(|_, dossier| {
                for entry in &mut dossier.proposals[0].entries {
                    entry.at = at("2025-01-01T00:00:00Z").into();
                }
            }),
            "names the key of the signature at",
        ),
        (
            "later than the export",
            Box::new(|_, dossier| dossier.exported_at = at("2026-05-01T00:00:00Z").into()),
            "from after its export",
        ),
        (
            "another actor",
            Box::new(|_, dossier| {
                let at = place(dossier, EntryKind::ReviewSubmitted);
                dossier.proposals[0].entries[at].actor = Some(read("USA:carol"));
            }),
            "the certificate in it names `ISR:yael`",
        ),
        (
            "another outcome",
            Box::new(|_, dossier| dossier.proposals[0].decided = Some(Outcome::Decline)),
            "not every funder signed that",
        ),
        (
            "nothing is shown as decided",
            Box::new(|_, dossier| dossier.proposals[0].decided = None),
            "than that of the decision that became final last",
        ),
        (
            "a statement of the log again beside it",
            Box::new(|_, dossier| {
                let entry = &dossier.proposals[0].entries[place(dossier, EntryKind::DecisionSigned)];
                let Some(Payload::DecisionSigned(signed)) = entry.payload() else { panic!() };
                let (kind, by, at) = (entry.kind, entry.actor.clone(), Some(entry.at));
                let again = DossierLine { kind, by, at, statement: signed.statement };
                dossier.proposals[0].statements.push(again);
            }),
            "stands in the log and again beside it",
        ),
        (
            "an office that the exporter had not",
            Box::new(|_, dossier| dossier.exported_as = [CallRole::Decider].into()),
            "was no decider of the call at the export",
        ),
        (
            "another version stands",
            Box::new(|_, dossier| dossier.proposals[0].manifest_sha256 = Some(Sha256::of(b"x"))),
            "no signature of `ISR`",
        ),
        (
            "another proposal's entries",
            Box::new(|_, dossier| dossier.proposals[0].proposal = case_number(7).0),
            "a manifest is about something else",
        ),
        (
            "a statement of another call",
            Box::new(|_, dossier| dossier.call = read("call_01J9ZQ4N6M8V7X5T3R2P1K0HGG")),
            "of another call",
        ),
        (
            "an entry that is not of its kind",
            Box::new(|_, dossier| dossier.proposals[0].entries[0].payload = "{}".into()),
            "cannot be read",
        ),
        (
            "a conflict of a decider",
            Box::new(|world, dossier| {
                let mut draft = Draft { world, dossier: dossier.clone(), seq: 100 };
                let at = place(dossier, EntryKind::ClearDeclared) + 1;
                draft.dossier.proposals[0].entries.remove(at);
                draft.declare(0, "USA:frank", Declared::Conflict, "2026-04-02T00:00:00Z");
                let entry = draft.dossier.proposals[0].entries.pop().unwrap();
                let seq = dossier.proposals[0].entries[at].seq;
                draft.dossier.proposals[0].entries.insert(at, DossierEntry { seq, ..entry });
                *dossier = draft.dossier;
            }),
            "`USA:frank` signed a decision with a conflict of interest",
        ),
    ];
    for (what, change, expected) in changes {
        let mut dossier = world.dossier();
        change(world, &mut dossier);
        let report = world.verify(&dossier).unwrap_or_else(|error| panic!("{what}: {error}"));
        let said: Vec<&str> = report.faults.iter().map(|fault| fault.what.as_str()).collect();
        assert!(said.iter().any(|said| said.contains(expected)), "{what}: {said:#?}");
    }
}

#[test]
fn duplicates_and_what_is_out_of_order_are_refused() {
    let (world, _) = kept();
    let changes: Vec<(&str, Change, &str)> = vec![
        (
            "a proposal twice",
            Box::new(|_, dossier| {
                let case = dossier.proposals[0].clone();
                dossier.proposals.push(case);
            }),
            "two parts about",
        ),
        (
            "an entry twice",
            Box::new(|_, dossier| {
                let entry = dossier.proposals[0].entries[0].clone();
                dossier.proposals[0].entries.insert(0, entry);
            }),
            "of the log twice",
        ),
        ("entries out of order", Box::new(|_, dossier| dossier.proposals[0].entries.swap(0, 1)), "out of its order"),
        (
            "a statement twice",
            Box::new(|_, dossier| {
                let stated = dossier.roles[0].clone();
                dossier.roles.push(stated);
            }),
            "a statement twice",
        ),
        ("another form", Box::new(|_, dossier| dossier.form = "entente-dossier/2".into()), "in the form"),
    ];
    for (what, change, expected) in changes {
        let mut dossier = world.dossier();
        change(world, &mut dossier);
        let refused = world.verify(&dossier).map(drop).unwrap_err();
        assert!(refused.to_string().contains(expected), "{what}: {refused}");
        assert_eq!(refused.class().code(), 4, "{what}");
    }
}

#[test]
fn signature_after_the_deadline_is_found_unless_an_extension_was_made_before() {
    let (world, _) = kept();
    let handed_in = |extension: Option<(&str, &str)>, arrived: &str| {
        let mut draft = Draft::new(world);
        if let Some((until, partner)) = extension {
            let made = ExtensionMade {
                number: 1,
                until: at(until).into(),
                partner: Some(read(partner)),
                reviews: false,
                reason: "the network was down".into(),
            };
            draft.entry(None, "USA:dana", Payload::CallExtended(made), "2026-03-01T00:00:00Z");
        }
        draft.case(case_number(0));
        for entry in &mut draft.dossier.proposals[0].entries {
            let replaced =
                entry.payload.replace(&format!("\"arrived_at\":\"{DAY}\""), &format!("\"arrived_at\":\"{arrived}\""));
            (entry.payload, entry.at) = (replaced, at(arrived).into());
        }
        let report = world.verify(&draft.dossier).unwrap();
        report.faults.iter().any(|fault| fault.what.contains("after the deadline of"))
    };
    assert!(!handed_in(None, "2026-04-01T15:00:00Z") && handed_in(None, "2026-04-01T15:00:01Z"));
    let late = "2026-04-03T00:00:00Z";
    assert!(handed_in(None, late) && !handed_in(Some((late, "ISR")), late));
    assert!(handed_in(Some((late, "KOR")), late), "of another nation");
    assert!(handed_in(Some(("2026-04-02T00:00:00Z", "ISR")), late), "not so late");
}

#[test]
fn conflict_is_lifted_by_an_officer_of_another_nation_alone() {
    let (world, _) = kept();
    let lifted = |by: &str| {
        let mut draft = Draft::new(world);
        draft.case(case_number(0));
        draft.judged(0);
        let carol: MemberId = read("USA:carol");
        let entries = &draft.dossier.proposals[0].entries;
        let at = entries.iter().position(|entry| entry.kind == EntryKind::ConflictDeclared).unwrap();
        let Some(Payload::ConflictDeclared(conflict)) = entries[at].payload() else { panic!() };
        let conflict = crate::sealing::statement::verify_signed::<DeclarationStatement>(&conflict.statement).unwrap();
        let said = DeclarationStatement {
            proposal: draft.dossier.proposals[0].proposal,
            member: carol.clone(),
            number: 2,
            previous: Some(conflict.payload_sha256),
            declared: Declared::Lifted,
            ground: None,
            reference: None,
        };
        let entry = ConflictLifted { member: carol, reason: "long ago".into(), statement: world.sign(by, &said) };
        draft.entry(Some(0), by, Payload::ConflictLifted(entry), "2026-06-01T00:00:00Z");
        world.verify(&draft.dossier).unwrap()
    };
    assert_eq!(lifted("ISR:noa").faults, []);
    assert!(lifted("USA:dana").faults[0].what.contains("of their own nation"));
    assert!(lifted("ISR:eitan").faults[0].what.contains("signed as officer"), "no officer");
}

#[test]
fn what_is_not_shown_is_not_claimed() {
    let (world, _) = kept();
    let mut dossier = world.dossier();
    (dossier.exported_by, dossier.exported_as) = (read("USA:frank"), [CallRole::Decider].into());
    let case = &mut dossier.proposals[0];
    case.not_shown = [DossierPart::Declarations, DossierPart::Assignments, DossierPart::Letters].into();
    let keeps = [EntryKind::ManifestSigned, EntryKind::DecisionSigned, EntryKind::ReviewSubmitted];
    let shown = std::mem::take(&mut case.entries).into_iter().filter(|entry| keeps.contains(&entry.kind));
    case.statements = shown
        .map(|entry| DossierLine {
            kind: entry.kind,
            by: entry.actor.clone(),
            at: Some(entry.at),
            statement: statement_of(&entry.payload().unwrap()).unwrap().to_owned(),
        })
        .collect();
    let report = world.verify(&dossier).unwrap();
    assert_eq!(report.faults, []);
    let said = report.cannot_show.join("\n");
    for part in ["All declarations of interest are not shown of 1 proposal", "All letters", "by no entry of the log"] {
        assert!(said.contains(part), "{said}");
    }
    dossier.roles.clear();
    dossier.not_shown.insert(DossierPart::Roles);
    let report = world.verify(&dossier).unwrap();
    assert!(report.is_sound() && report.cannot_show.join("\n").contains("Who had which role is not shown"));
}

#[test]
fn dossier_of_a_thousand_proposals_is_read_and_a_longer_file_is_refused() {
    let (world, file) = kept();
    let mut draft = Draft::new(world);
    for number in 0..1000 {
        draft.case(case_number(number));
    }
    let file_of_all = world.file(&draft.dossier);
    assert!(file_of_all.len() < MAX_DOSSIER / 8, "{}", file_of_all.len());
    let report = verify(&file_of_all, &world.trusted(), &NoProgress).unwrap();
    assert_eq!((report.proposals, report.verified(), report.faults.len()), (1000, 2003, 0));
    let padded = [file.as_slice(), &vec![b' '; MAX_DOSSIER]].concat();
    let refused = verify(&padded, &world.trusted(), &NoProgress).unwrap_err();
    assert!(refused.to_string().contains("longer than"), "{refused}");
}

#[test]
fn what_is_no_dossier_is_refused_in_a_sentence() {
    let (world, _) = kept();
    let deep = [b"{\"body\":".as_slice(), &vec![b'['; 200_000], b",\"signature\":\"x\"}"].concat();
    let cases: [&[u8]; 6] =
        [b"", b"{}", b"{\"body\":{},\"signature\":\"\"}", &deep, b"\"}", b"{\"body\":1,\"signature\":\"\xff\"}"];
    for bytes in cases {
        let refused = verify(bytes, &world.trusted(), &NoProgress).unwrap_err();
        assert!(refused.to_string().contains("not a dossier that can be read"), "{refused}");
    }
}

proptest! {
    #[test]
    fn no_mutation_of_a_dossier_verifies(
        from in any::<prop::sample::Index>(),
        cut in 0_usize..6,
        put in proptest::collection::vec(any::<u8>(), 0..6),
    ) {
        let (world, file) = kept();
        let from = from.index(file.len());
        let mut changed = file.clone();
        changed.splice(from..(from + cut).min(file.len()), put);
        let whole = file.strip_suffix(b"\n").unwrap();
        prop_assume!(changed != *file && changed != whole);
        prop_assert!(verify(&changed, &world.trusted(), &NoProgress).is_err());
    }
}
