//! What is asked of all proposals under a call at once, and what is done to many rows at once: the same contract.

use super::{Office, create, id, is, vault_row, with_call, with_proposal};
use crate::store_facade::{Store, at, on_both_engines};
use entente::{
    domain::{
        entry::{EntryKind, Readers},
        id::{MemberId, ProposalId, VaultId},
        vault::VaultKind,
    },
    policy::{
        Action, Predicate,
        predicate::{Atom, RowFact},
    },
    storage::{
        args,
        entries::{self, EntriesSince, EntryRow},
        proposals,
        vaults::{self, VaultRow, WrappedKeyRow},
        visible::{self, Tie},
    },
};

on_both_engines! {
    members_proposals_are_found_by_their_own_rows,
    declared_conflicts_and_labels_are_found_under_their_call,
    call_is_decided_by_its_own_decisions,
    keys_of_one_holder_go_together,
    entries_that_are_appended_together_count_on_and_name_their_proposals,
}

/// Which of two proposals under the call, taken one by one, have to do with the member.
async fn tied(store: &Store, office: &Office, tie: Tie, member: &str) -> Vec<char> {
    let (call, member) = (office.call.id, is::<MemberId>(member));
    let mut found = Vec::new();
    for letter in ['A', 'Y'] {
        let this = Predicate::from(Atom::Row(RowFact::OneOf([id::<ProposalId>("prop", letter)].into())));
        if seen!(store, tx => visible::is_tied(&mut tx, call, &member, tie, &this)) {
            found.push(letter);
        }
    }
    let any = true.into();
    assert_eq!(seen!(store, tx => visible::is_tied(&mut tx, call, &member, tie, &any)), !found.is_empty());
    assert!(!seen!(store, tx => visible::is_tied(&mut tx, id("call", 'Z'), &member, tie, &any)), "under another call");
    found
}

async fn members_proposals_are_found_by_their_own_rows(store: Store) {
    let office = with_proposal(&store).await;
    let (call, first) = (office.call.id, office.proposal.id);
    create(&store, &office, id("prop", 'Y')).await;
    let begun = async |call, member: &str| {
        let member = is(member);
        seen!(store, tx => proposals::never_submitted(&mut tx, call, &member))
    };
    let of = async |member| tied(&store, &office, Tie::Party, member).await;
    assert_eq!((of("ISR:avi").await, of("USA:bob").await, of("ISR:maya").await), (vec!['A', 'Y'], vec!['A'], vec![]));
    assert_eq!((begun(call, "ISR:avi").await, begun(call, "USA:bob").await), (2, 0));
    assert_eq!(begun(id("call", 'Z'), "ISR:avi").await, 0);
    let withdraw = office.on_proposal("ISR:avi", Action::Withdraw);
    done!(store, tx => proposals::set_withdrawn(&mut tx, &withdraw, first, Some(at(7))));
    let stays = Predicate::from(Atom::Row(RowFact::Withdrawn)).negated();
    for (member, is_party) in [("ISR:avi", true), ("USA:bob", false)] {
        let member = is(member);
        let found = seen!(store, tx => visible::is_tied(&mut tx, call, &member, Tie::Party, &stays));
        assert_eq!(found, is_party, "{member}");
    }
    assert_eq!(begun(call, "ISR:avi").await, 2);
    if store.url().starts_with("sqlite") {
        let sql = "EXPLAIN QUERY PLAN SELECT COUNT(*) FROM proposals WHERE call_id = $1 AND created_by = $2";
        let plan = seen!(store, tx => tx.fetch_one(sql, args![call, "ISR:avi"])).text("detail").unwrap();
        assert!(plan.contains("proposals_by_author (created_by=? AND call_id=?)"), "{plan}");
    }
}

async fn declared_conflicts_and_labels_are_found_under_their_call(store: Store) {
    let office = with_proposal(&store).await;
    create(&store, &office, id("prop", 'Y')).await;
    let row =
        "INSERT INTO declarations (proposal_id, member, conflict, ground, declared_at) VALUES ($1, $2, $3, NULL, 0)";
    for (letter, member, conflict) in [('A', "USA:dana", true), ('Y', "USA:dana", false), ('Y', "ISR:noa", true)] {
        done!(store, tx => tx.execute(row, args![id::<ProposalId>("prop", letter), member, conflict]));
    }
    let label = "UPDATE proposals SET releasable_key = ' USA ' WHERE proposal_id = $1";
    done!(store, tx => tx.execute(label, args![id::<ProposalId>("prop", 'Y')]));
    for (tie, member, found) in [
        (Tie::Conflict, "USA:dana", vec!['A']),
        (Tie::Conflict, "ISR:noa", vec!['Y']),
        (Tie::Conflict, "ISR:avi", vec![]),
        (Tie::LeftOut, "ISR:noa", vec!['Y']),
        (Tie::LeftOut, "USA:dana", vec![]),
    ] {
        assert_eq!(tied(&store, &office, tie, member).await, found, "{tie:?} of {member}");
    }
}

async fn call_is_decided_by_its_own_decisions(store: Store) {
    let office = with_proposal(&store).await;
    let (call, proposal) = (office.call.id, office.proposal.id);
    let decided = async |call| seen!(store, tx => proposals::is_decided_under(&mut tx, call));
    let row = "INSERT INTO decisions (decision_id, proposal_id, call_id, revision, outcome, manifest_sha256, proposed_at, final_at) \
               VALUES ($1, $2, $3, $4, $5, '', 0, $6)";
    let add = async |letter: char, revision: i64, outcome: &str, final_at: Option<i64>| {
        let id = id::<entente::domain::id::DecisionId>("dec", letter);
        done!(store, tx => tx.execute(row, args![id, proposal, call, revision, outcome, final_at]));
    };
    add('A', 1, "fund", None).await;
    assert!(!decided(call).await, "it is on the table");
    add('B', 2, "fund", Some(1)).await;
    assert!(decided(call).await && !decided(id("call", 'Z')).await);
    add('C', 3, "rescind", Some(2)).await;
    assert!(!decided(call).await);
}

async fn keys_of_one_holder_go_together(store: Store) {
    let office = with_proposal(&store).await;
    let (call, permit) = (office.call.id, office.on_proposal("ISR:avi", Action::WrapKey));
    let (panel, staff) = (vault_row(&office, 'A', VaultKind::Panel), vault_row(&office, 'B', VaultKind::Staff));
    for (row, key) in [(&panel, 'A'), (&staff, 'C')] {
        done!(store, tx => vaults::create(&mut tx, &permit, row, at(6)));
        for (holder, letter) in [("USA:frank", key), ("ISR:eitan", char::from(key as u8 + 1))] {
            let key = WrappedKeyRow {
                id: id("key", letter),
                vault: row.id,
                holder: holder.to_owned(),
                recipient: "age1a".to_owned(),
                statement: "a.b.c".to_owned(),
                ciphertext: vec![1],
                wrapped_by: is("ISR:avi"),
            };
            done!(store, tx => vaults::add_keys(&mut tx, &permit, row, std::slice::from_ref(&key), at(7)));
        }
    }
    let (frank, eitan) = (is::<MemberId>("USA:frank"), is::<MemberId>("ISR:eitan"));
    let held = async |member: &MemberId, after, limit| {
        let rows = seen!(store, tx => vaults::held_under(&mut tx, call, member, after, limit));
        rows.into_iter().map(|VaultRow { id, .. }| id).collect::<Vec<VaultId>>()
    };
    assert_eq!((held(&frank, None, 9).await, held(&frank, None, 1).await), (vec![panel.id, staff.id], vec![panel.id]));
    assert_eq!(
        (held(&frank, Some(panel.id), 9).await, held(&frank, Some(staff.id), 9).await),
        (vec![staff.id], vec![])
    );
    let permit = office.on_call("ISR:avi", Action::CreateProposal);
    done!(store, tx => vaults::remove_held_keys(&mut tx, &permit, &[(&panel, &frank), (&staff, &frank)]));
    let both = vec![panel.id, staff.id];
    assert_eq!(
        (held(&frank, None, 9).await, held(&eitan, None, 9).await),
        (vec![], both),
        "of others nothing is removed"
    );
    if store.url().starts_with("sqlite") {
        let sql = "EXPLAIN QUERY PLAN SELECT k.vault_id FROM wrapped_keys k WHERE k.holder = $1";
        let plan = seen!(store, tx => tx.fetch_one(sql, args![&frank])).text("detail").unwrap();
        assert!(plan.contains("wrapped_keys_by_holder (holder=?)"), "{plan}");
    }
}

async fn entries_that_are_appended_together_count_on_and_name_their_proposals(store: Store) {
    let office = with_call(&store).await;
    let (call, other) = (office.call.id, id("call", 'Z'));
    let entry = |kind, of, proposal: Option<char>| EntryRow {
        seq: 0,
        at: at(5),
        kind,
        readers: Readers::Parties,
        actor: Some(is("ISR:avi")),
        program: None,
        call: of,
        proposal: proposal.map(|letter| id("prop", letter)),
        payload: "{}".into(),
        salt: vec![7; 32],
    };
    let (removed, fetched) = (EntryKind::KeyRemoved, EntryKind::KeyFetched);
    done!(store, tx => entries::append(&mut tx, &entry(removed, Some(call), Some('A'))));
    // More than one statement has room for.
    let many: Vec<_> = (0..450).map(|n| entry(removed, Some(call), Some(if n % 2 == 0 { 'A' } else { 'Y' }))).collect();
    done!(store, tx => entries::append_all(&mut tx, &many));
    done!(store, tx => entries::append_all(&mut tx, &[]));
    assert_eq!(seen!(store, tx => entries::last(&mut tx)), 451);
    let page = seen!(store, tx => entries::page(&mut tx, 449, &[], 9)).0;
    let expected = [450, 451].map(|seq| EntryRow {
        seq,
        payload: String::new(),
        ..many[usize::try_from(seq - 2).unwrap()].clone()
    });
    assert_eq!(page, expected);

    let since =
        async |after, but: &[EntryKind]| seen!(store, tx => entries::since(&mut tx, after, call, but)).proposals;
    let these = |letters: &[char]| Some(letters.iter().map(|letter| id::<ProposalId>("prop", *letter)).collect());
    assert_eq!((since(0, &[]).await, since(450, &[]).await), (these(&['A', 'Y']), these(&['Y'])));
    assert_eq!((since(451, &[]).await, since(0, &[removed]).await), (these(&[]), these(&[])));
    done!(store, tx => entries::append_all(&mut tx, &[entry(removed, Some(other), None), entry(fetched, Some(call), None)]));
    assert_eq!((since(451, &[fetched]).await, since(451, &[]).await), (these(&[]), None), "the call as a whole");
    let card = EntryRow { payload: "a card".into(), ..entry(EntryKind::KeyCardPublished, None, None) };
    done!(store, tx => entries::append_all(&mut tx, &[card, entry(EntryKind::PolicyProposed, None, None)]));
    let about = seen!(store, tx => entries::since(&mut tx, 453, call, &[]));
    assert_eq!(about, EntriesSince { proposals: these(&[]), cards: ["a card".into()].into() }, "no policies");
}
