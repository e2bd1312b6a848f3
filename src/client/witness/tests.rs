//! What the witness notices, and what it keeps.

use super::{seen::MAX_BEFORE, *};
use crate::{
    client::{
        ClientError,
        testing::{at, proposal},
    },
    domain::ambient::SystemClock,
    wire::problem::{Kind, Problem},
};
use serde_json::json;

fn witness() -> (tempfile::TempDir, Witness) {
    let folder = tempfile::tempdir().unwrap();
    let home = Home::locate(Some(folder.path())).unwrap();
    (folder, Witness::new(home, "work".into(), ExchangeClock::new(Arc::new(SystemClock))))
}

fn shown(version: Option<u32>, status: Status) -> Proposal {
    Proposal { version, status, manifest_sha256: version.map(|_| Sha256::of(b"manifest")), ..proposal() }
}

#[test]
fn version_that_is_gone_is_met_and_what_was_seen_stays() {
    let (_folder, witness) = witness();
    witness.proposal(shown(None, Status::Preparing)).unwrap();
    witness.proposal(shown(Some(1), Status::Submitted)).unwrap();
    witness.proposal(shown(Some(2), Status::Submitted)).unwrap();
    witness.proposal(shown(Some(2), Status::Withdrawn)).unwrap();
    assert!(witness.met().is_empty());
    let kept = witness.home.seen_state(proposal().id).unwrap().unwrap();
    for older in [shown(Some(1), Status::Submitted), shown(None, Status::Preparing)] {
        witness.proposal(older.clone()).unwrap();
        witness.proposals(&[older]).unwrap();
    }
    assert_eq!(witness.met().len(), 2, "each once");
    assert_eq!(witness.home.seen_state(proposal().id).unwrap(), Some(kept.clone()));
    let said = kept.worded(proposal().id, "preparing", "/x");
    assert!(said.contains("is shown as preparing, but was withdrawn in version 2"), "{said}");
}

#[test]
fn number_that_was_given_out_twice_is_met() {
    let (_folder, witness) = witness();
    let number = |seq, time: &str| witness.number(seq, at(time), |seen| seq <= seen.seq).unwrap();
    number(5, "2026-03-01T00:00:00Z");
    number(9, "2026-03-02T00:00:00Z");
    number(9, "2026-03-02T00:00:00Z");
    number(7, "2026-03-01T12:00:00Z");
    assert!(witness.met().is_empty(), "earlier entries are earlier");
    number(7, "2026-03-03T00:00:00Z");
    number(9, "2026-03-04T00:00:00Z");
    assert_eq!(witness.met().len(), 2);
    witness.last_entry(9, at("2026-03-05T00:00:00Z")).unwrap();
    assert_eq!(witness.met().len(), 2, "nothing has happened since");
    witness.last_entry(8, at("2026-03-05T00:00:00Z")).unwrap();
    assert_eq!(witness.met().len(), 3);
    assert_eq!(witness.home.seen_entry().unwrap().unwrap().seq, 9);
}

fn entry(seq: u64, proposal: Option<ProposalId>) -> Entry {
    serde_json::from_value(json!({
        "seq": seq, "at": "2026-03-01T00:00:00Z", "kind": "proposal.submitted", "proposal": proposal, "payload": "{}", "salt": "",
    }))
    .unwrap()
}

#[test]
fn log_that_ends_before_what_its_reader_saw_is_met_and_another_reader_s_is_not() {
    let (_folder, witness) = witness();
    let id = proposal().id;
    witness.entries(&[entry(50, None), entry(80, Some(id))]).unwrap();
    witness.end().unwrap();
    assert!(witness.met().is_empty());
    let clock = || ExchangeClock::new(Arc::new(SystemClock));
    let again = |profile: &str| Witness::new(witness.home.clone(), profile.into(), clock());
    let other = again("other");
    other.entries(&[entry(50, None)]).unwrap();
    other.end().unwrap();
    assert!(other.met().is_empty(), "another member reads another part of it");
    for shown in [&[entry(50, None)][..], &[]] {
        let restored = again("work");
        restored.entries(shown).unwrap();
        restored.end().unwrap();
        let met = restored.met().clone();
        let [Older::End { seen, highest }] = met.as_slice() else { panic!("{met:?}") };
        assert_eq!((seen.seq, seen.proposal, *highest), (80, Some(id), shown.last().map_or(0, |entry| entry.seq)));
    }
    let said = witness.home.seen_end("work").unwrap().unwrap().worded_end(50, None);
    assert!(said.starts_with("the log ends at entry 50, but entry 80 of "), "{said}");
    assert!(said.contains("or policy hides it now"), "{said}");
}

fn with_manifest(version: u32, status: Status, manifest: &[u8]) -> Proposal {
    Proposal { manifest_sha256: Some(Sha256::of(manifest)), ..shown(Some(version), status) }
}

#[test]
fn another_manifest_under_the_same_number_is_met_and_the_first_is_kept() {
    let (_folder, witness) = witness();
    let id = proposal().id;
    let (first, second) = (Sha256::of(b"first"), Sha256::of(b"second"));
    witness.proposal(with_manifest(1, Status::Submitted, b"first")).unwrap();
    let kept = witness.home.seen_state(id).unwrap().unwrap();
    let again = with_manifest(1, Status::Submitted, b"second");
    witness.proposals(std::slice::from_ref(&again)).unwrap();
    witness.proposal(again).unwrap();
    let met = witness.met().clone();
    let [Older::Proposal { call: None, seen, now, .. }] = met.as_slice() else { panic!("{met:?}") };
    let said = seen.worded(id, now, "/x");
    for part in [
        format!("is shown as submitted in version 1 (manifest {second})"),
        format!("but was submitted in version 1 (manifest {first})"),
    ] {
        assert!(said.contains(&part), "{said}");
    }
    assert_eq!(witness.home.seen_state(id).unwrap().as_ref(), Some(&kept));
    // A later version does not make it unseen.
    witness.proposal(with_manifest(2, Status::Submitted, b"third")).unwrap();
    assert_eq!(witness.home.seen_state(id).unwrap().unwrap().before, [kept]);
}

#[test]
fn proposal_that_is_withdrawn_no_more_is_met_once_unless_the_member_reinstated_it() {
    let (_folder, witness) = witness();
    let id = proposal().id;
    let (stands, withdrawn) = (shown(Some(1), Status::Submitted), shown(Some(1), Status::Withdrawn));
    witness.proposal(stands.clone()).unwrap();
    witness.proposal(withdrawn.clone()).unwrap();
    assert!(witness.met().is_empty());
    witness.proposal(stands.clone()).unwrap();
    witness.proposal(stands.clone()).unwrap();
    let met = std::mem::take(&mut *witness.met());
    let [Older::NotWithdrawn { seen, now, .. }] = met.as_slice() else { panic!("{met:?}") };
    let said = seen.worded_not_withdrawn(id, *now, "/x");
    assert!(said.contains("is shown as submitted, but was withdrawn in version 1"), "{said}");
    assert!(said.contains("a party may have reinstated it"), "{said}");
    let statuses = |state: SeenState| state.before.into_iter().map(|state| state.status).collect::<Vec<_>>();
    let kept = witness.home.seen_state(id).unwrap().unwrap();
    assert_eq!((kept.status, statuses(kept)), (Status::Submitted, vec![Status::Submitted, Status::Withdrawn]));

    witness.proposal(withdrawn).unwrap();
    witness.reinstated(stands).unwrap();
    assert!(witness.met().is_empty(), "who did it need not be told");
    for _ in 0..MAX_BEFORE {
        witness.reinstated(shown(Some(1), Status::Withdrawn)).unwrap();
        witness.reinstated(shown(Some(1), Status::Submitted)).unwrap();
    }
    assert_eq!(witness.home.seen_state(id).unwrap().unwrap().before.len(), MAX_BEFORE);
}

fn decision(outcome: &str, final_at: Option<&str>) -> Decision {
    serde_json::from_value(json!({
        "id": "dec_01J9ZQ4N6M8V7X5T3R2P1K0HGF", "proposal": proposal().id, "reference": proposal().reference, "revision": 1, "outcome": outcome,
        "manifest_sha256": Sha256::of(b"manifest"), "signatures": {}, "missing": [], "final_at": final_at,
    }))
    .unwrap()
}

#[test]
fn final_decision_that_is_gone_or_another_is_met_and_the_first_is_kept() {
    let (_folder, witness) = witness();
    let id = proposal().id;
    let funded = decision("fund", Some("2026-07-01T00:00:00Z"));
    let meets = |shown: Option<&Decision>| {
        witness.decision(id, shown).unwrap();
        std::mem::take(&mut *witness.met())
    };
    for early in
        [None, Some(&decision("fund", None)), None, Some(&decision("decline", None)), Some(&funded), Some(&funded)]
    {
        assert_eq!(meets(early), []);
    }
    let kept = witness.home.seen_decision(id).unwrap().unwrap();
    for (shown, says) in [
        (None, "is not shown, but on"),
        (Some(decision("fund", None)), "is shown as `fund, but not final`"),
        (
            Some(decision("decline", Some("2026-08-01T00:00:00Z"))),
            "is shown as `decline by another decision of 2026-08-01",
        ),
        (Some(decision("fund", Some("2026-08-01T00:00:00Z"))), "is shown as `fund by another decision of 2026-08-01"),
    ] {
        let met = meets(shown.as_ref());
        let [Older::Decision { seen, now, .. }] = met.as_slice() else { panic!("{met:?}") };
        let said = seen.worded(id, now.as_deref(), "/x");
        assert!(said.contains(says) && said.contains("it was `fund`, final since 2026-07-01T00:00:00Z"), "{said}");
        assert_eq!(said.contains("or policy hides it now"), shown.is_none(), "{said}");
        assert_eq!(witness.home.seen_decision(id).unwrap().as_ref(), Some(&kept));
    }
}

#[test]
fn proposal_of_ones_own_that_a_whole_list_lacks_is_met_until_it_is_left() {
    let (_folder, witness) = witness();
    let stranger = Witness { profile: "other".into(), ..witness.clone() };
    witness.proposals(&[shown(Some(1), Status::Submitted)]).unwrap();
    witness.whole(&[shown(Some(1), Status::Submitted)]).unwrap();
    stranger.whole(&[]).unwrap();
    assert!(witness.met().is_empty(), "it is there, and the other profile's member is of no party");
    witness.whole(&[]).unwrap();
    assert!(matches!(witness.met()[..], [Older::Gone { .. }]));
    witness.met().clear();
    let problem = Box::new(Problem::new(Kind::NotFound, "nothing is here for you"));
    stranger.asked(proposal().id, Err(ClientError::Problem { problem, request_id: None })).unwrap_err();
    assert!(stranger.met().is_empty(), "it was never shown to that profile");
    stranger.proposal(shown(Some(1), Status::Submitted)).unwrap();
    witness.left(proposal().id).unwrap();
    witness.whole(&[]).unwrap();
    assert!(witness.met().is_empty());
    stranger.whole(&[]).unwrap();
    assert_eq!(stranger.met().len(), 1, "each profile has its own");
}

#[test]
fn proposal_that_was_left_is_not_met_when_it_is_asked_for_until_it_is_shown_again() {
    let (_folder, witness) = witness();
    let id = proposal().id;
    let colleague = Witness { profile: "other".into(), met: Arc::default(), ..witness.clone() };
    let asks = |witness: &Witness| {
        let problem = Box::new(Problem::new(Kind::NotFound, "nothing is here for you"));
        witness.asked(id, Err(ClientError::Problem { problem, request_id: None })).unwrap_err();
        std::mem::take(&mut *witness.met()).len()
    };
    for witness in [&witness, &colleague] {
        witness.proposal(shown(Some(1), Status::Submitted)).unwrap();
    }
    witness.left(id).unwrap();
    assert_eq!((asks(&witness), asks(&colleague)), (0, 1), "the colleague has not left it");
    colleague.proposal(shown(Some(2), Status::Submitted)).unwrap();
    assert_eq!(asks(&witness), 0, "what a colleague is shown brings nobody back");
    // An older state is one, however it is shown.
    witness.proposal(shown(Some(1), Status::Submitted)).unwrap();
    assert!(matches!(std::mem::take(&mut *witness.met())[..], [Older::Proposal { .. }]));
    for version in [2, 3] {
        witness.proposal(shown(Some(version), Status::Submitted)).unwrap();
        assert_eq!(asks(&witness), 1, "they are back");
        witness.left(id).unwrap();
        assert_eq!(asks(&witness), 0);
    }
}
