//! Rows that are written many at once, and wrapped keys: the same contract, whatever the number of rows.

use super::{create, id, is, vault_row, with_people, with_proposal};
use crate::{
    harness::many::{self, Rows},
    store_facade::{Store, at, on_both_engines},
};
use entente::{
    domain::{
        entry::{EntryKind, Readers},
        id::{MemberId, ProposalId, Sha256},
        vault::VaultKind,
    },
    policy::{Action, facts::ProposalFacts},
    storage::{
        args,
        entries::{self, EntryRow},
        invitations::{self, FirstInvitation},
        members, proposals,
        reviews::{self, NewAssignment},
        vaults::{self, HeldKeyRow, VaultRow, WrappedKeyRow},
    },
};
use std::collections::{BTreeMap, BTreeSet};

on_both_engines! {
    wrapped_keys_stand_side_by_side_and_none_is_changed,
    wrapped_keys_are_added_and_removed_many_at_once_or_not_at_all,
    recipients_are_found_among_those_that_cards_name,
    entries_that_come_many_at_once_count_up_without_gaps,
    proposal_begins_with_many_invitations,
    reviewers_are_assigned_to_several_proposals_or_to_none,
}

/// More than two statements insert.
const MANY: u64 = 70;

fn wrapped(letter: char, vault: char, holder: &str, recipient: &str) -> WrappedKeyRow {
    WrappedKeyRow {
        id: id("key", letter),
        vault: id("vault", vault),
        holder: holder.to_owned(),
        recipient: recipient.to_owned(),
        statement: format!("statement {letter}"),
        ciphertext: vec![0, 255, letter as u8],
        wrapped_by: is("ISR:avi"),
    }
}

async fn wrapped_keys_stand_side_by_side_and_none_is_changed(store: Store) {
    let office = with_proposal(&store).await;
    let permit = office.on_proposal("ISR:avi", Action::WrapKey);
    let (panel, staff) = (vault_row(&office, 'A', VaultKind::Panel), vault_row(&office, 'B', VaultKind::Staff));
    for row in [&panel, &staff] {
        done!(store, tx => vaults::create(&mut tx, &permit, row, at(6)));
    }
    let add = async |key: WrappedKeyRow| {
        let vault = if key.vault == panel.id { &panel } else { &staff };
        done!(store, tx => vaults::add_keys(&mut tx, &permit, vault, &[key], at(7)));
    };
    add(wrapped('B', 'A', "USA:frank", "age1a")).await;
    add(wrapped('A', 'A', "USA:frank", "age1b")).await;
    add(wrapped('C', 'A', "ISR:eitan", "age1a")).await;
    add(wrapped('D', 'B', "USA:frank", "age1a")).await;
    let again = wrapped('E', 'A', "USA:frank", "age1a");
    let beside = WrappedKeyRow { wrapped_by: is("USA:dana"), ..again.clone() };
    let constraint = "wrapped_keys_vault_id_holder_recipient_wrapped_by_key";
    assert_eq!(refused!(store, tx => vaults::add_keys(&mut tx, &permit, &panel, &[again], at(7))), constraint);
    add(beside.clone()).await;
    let first = [wrapped('A', 'A', "USA:frank", "age1b"), wrapped('B', 'A', "USA:frank", "age1a")];
    let keys = seen!(store, tx => vaults::keys_of(&mut tx, panel.id, ["ISR:eitan", "USA:frank"]));
    assert_eq!(keys, [&first[..], &[wrapped('C', 'A', "ISR:eitan", "age1a"), beside.clone()]].concat());
    let (of_frank, of_dana) = (held(&first[1]), held(&beside));
    let for_one = keys_for(&store, &panel, &[("USA:frank", "age1a"), ("USA:frank", "age1c")]).await;
    assert_eq!(for_one, [of_frank.clone(), of_dana.clone()]);
    let for_both = keys_for(&store, &panel, &[("USA:frank", "age1b"), ("USA:frank", "age1a")]).await;
    assert_eq!(for_both, [held(&first[0]), of_frank, of_dana]);
    for (recipient, is_wrapped) in [("age1a", true), ("age1c", false)] {
        let found = seen!(store, tx => vaults::is_wrapped_for(&mut tx, panel.id, "USA:frank", recipient));
        assert_eq!(found, is_wrapped, "{recipient}");
    }
    let franks = [&first[..], std::slice::from_ref(&beside)].concat();
    for (holders, held) in [(["USA:frank", "USA:frank"], &franks), (["USA:frank", "ISR:eitan"], &keys)] {
        assert_eq!(seen!(store, tx => vaults::keys_of(&mut tx, panel.id, holders)), *held);
    }
    for (holder, holds) in [("ISR:eitan", true), ("USA:dana", false)] {
        assert_eq!(seen!(store, tx => vaults::holds_key(&mut tx, panel.id, &is(holder))), holds, "{holder}");
    }
    assert_eq!(seen!(store, tx => vaults::find_key(&mut tx, beside.id)), Some(beside.clone()));
    let change = "UPDATE wrapped_keys SET statement = holder";
    assert_eq!(refused!(store, tx => tx.execute(change, args![])), "wrapped_keys_final");

    // Only for the recipients of the card in force does somebody lack a key.
    let eitan = is::<MemberId>("ISR:eitan");
    let both = [eitan.clone(), is("USA:dana")];
    let lacking = |eitans: &[&str]| -> BTreeMap<MemberId, Vec<String>> {
        let of = |recipients: &[&str]| recipients.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>();
        let all = [(eitan.clone(), of(eitans)), (is("USA:dana"), of(&["age1USA:dana"]))];
        all.into_iter().filter(|(_, recipients)| !recipients.is_empty()).collect()
    };
    let found = seen!(store, tx => vaults::recipients_without_key(&mut tx, panel.id, &both));
    assert_eq!(found, lacking(&["age1ISR:eitan"]));
    let holders = seen!(store, tx => vaults::panel_holders_among(&mut tx, &[office.proposal.id]));
    assert!(holders.is_empty(), "by other recipients nobody holds one: {holders:?}");
    add(wrapped('F', 'A', "ISR:eitan", "age1ISR:eitan")).await;
    assert_eq!(seen!(store, tx => vaults::recipients_without_key(&mut tx, panel.id, &both)), lacking(&[]));
    let holders = seen!(store, tx => vaults::panel_holders_among(&mut tx, &[office.proposal.id]));
    assert_eq!(holders, [(office.proposal.id, eitan.to_string())].into());

    // A holder discards one of their own, and the others stay.
    let (theirs, of_eitan) = (office.on_proposal("USA:frank", Action::Read), id("key", 'C'));
    done!(store, tx => vaults::discard_keys(&mut tx, &theirs, &panel, &[id("key", 'A'), of_eitan]));
    let held = async || seen!(store, tx => vaults::member_holders(&mut tx, panel.id));
    assert_eq!(held().await, [(eitan.clone(), 2), (is("USA:frank"), 2)].into());

    let (call, frank) = (office.call.id, is::<MemberId>("USA:frank"));
    let held_under = async |call| seen!(store, tx => vaults::held_under(&mut tx, call, &frank, None, u32::MAX));
    let bare = |row: &VaultRow| VaultRow { statement: String::new(), ..row.clone() };
    assert_eq!(held_under(call).await, [bare(&panel), bare(&staff)]);
    assert_eq!(
        done!(store, tx => vaults::remove_keys(&mut tx, &permit, &panel, &frank)),
        2,
        "each, no matter who wrapped it"
    );
    assert_eq!(done!(store, tx => vaults::remove_keys(&mut tx, &permit, &panel, &frank)), 0);
    assert_eq!((held_under(call).await, held_under(id("call", 'Z')).await), (vec![bare(&staff)], vec![]));
    assert_eq!(held().await, [(eitan, 2)].into(), "of others nothing is removed");
}

fn held(key: &WrappedKeyRow) -> HeldKeyRow {
    let WrappedKeyRow { id, holder, recipient, wrapped_by, .. } = key.clone();
    HeldKeyRow { id, holder, recipient, wrapped_by }
}

/// The keys to a vault for these recipients of these holders, by identifier.
async fn keys_for(store: &Store, vault: &VaultRow, places: &[(&str, &str)]) -> Vec<HeldKeyRow> {
    let places: Vec<_> = places.iter().map(|(holder, to)| ((*holder).to_owned(), (*to).to_owned())).collect();
    let mut found = seen!(store, tx => vaults::keys_for(&mut tx, vault.id, &places));
    found.sort_by_key(|key| key.id);
    found
}

/// A key to the first vault for a recipient with this number.
fn numbered(number: u64, holder: &str) -> WrappedKeyRow {
    WrappedKeyRow { id: many::id("key", number), ..wrapped('A', 'A', holder, &format!("age1{number}")) }
}

async fn wrapped_keys_are_added_and_removed_many_at_once_or_not_at_all(store: Store) {
    let office = with_proposal(&store).await;
    let permit = office.on_proposal("ISR:avi", Action::WrapKey);
    let (panel, staff) = (vault_row(&office, 'A', VaultKind::Panel), vault_row(&office, 'B', VaultKind::Staff));
    for row in [&panel, &staff] {
        done!(store, tx => vaults::create(&mut tx, &permit, row, at(6)));
    }
    let keys: Vec<WrappedKeyRow> = (0..MANY).map(|number| numbered(number, "USA:frank")).collect();
    done!(store, tx => vaults::add_keys(&mut tx, &permit, &panel, &keys, at(7)));
    let all = async || seen!(store, tx => vaults::keys_of(&mut tx, panel.id, ["USA:frank", "ISR:eitan"]));
    assert_eq!(all().await, keys);
    let places: Vec<_> = keys.iter().map(|key| (&*key.holder, &*key.recipient)).collect();
    assert_eq!(keys_for(&store, &panel, &places).await, keys.iter().map(held).collect::<Vec<_>>());

    // The last one is there already, by another name.
    let mut more: Vec<WrappedKeyRow> = (MANY..2 * MANY).map(|number| numbered(number, "USA:frank")).collect();
    more.push(WrappedKeyRow { id: many::id("key", 900), ..keys[3].clone() });
    let constraint = "wrapped_keys_vault_id_holder_recipient_wrapped_by_key";
    assert_eq!(refused!(store, tx => vaults::add_keys(&mut tx, &permit, &panel, &more, at(8))), constraint);
    assert_eq!(all().await, keys);
    done!(store, tx => vaults::add_keys(&mut tx, &permit, &panel, &[], at(8)));

    let of_eitan = numbered(901, "ISR:eitan");
    let of_staff = WrappedKeyRow { id: many::id("key", 902), vault: staff.id, ..keys[0].clone() };
    done!(store, tx => vaults::add_keys(&mut tx, &permit, &panel, std::slice::from_ref(&of_eitan), at(8)));
    done!(store, tx => vaults::add_keys(&mut tx, &permit, &staff, std::slice::from_ref(&of_staff), at(8)));
    let frank: MemberId = is("USA:frank");
    done!(store, tx => vaults::remove_held_keys(&mut tx, &permit, &[]));
    assert_eq!(all().await.len() as u64, MANY + 1);
    done!(store, tx => vaults::remove_held_keys(&mut tx, &permit, &[(&panel, &frank), (&staff, &is("USA:dana"))]));
    assert_eq!(all().await, [of_eitan]);
    assert_eq!(seen!(store, tx => vaults::keys_of(&mut tx, staff.id, ["USA:frank", ""])), [of_staff]);
}

async fn recipients_are_found_among_those_that_cards_name(store: Store) {
    with_people(&store).await;
    let named = |member: &str, recipient: &str| (is::<MemberId>(member), recipient.to_owned());
    let theirs = [named("ISR:avi", "age1ISR:avi"), named("USA:bob", "age1USA:bob")];
    let others = [named("ISR:avi", "age1USA:bob"), named("KOR:minjun", "age1ISR:avi")];
    let mut sought = [&theirs[..], &others[..]].concat();
    sought.extend((0..5 * MANY).map(|number| named("ISR:avi", &format!("age1{number}"))));
    assert_eq!(seen!(store, tx => members::named_recipients(&mut tx, &sought)), theirs.into());
    assert_eq!(seen!(store, tx => members::named_recipients(&mut tx, &[])), [].into());
}

async fn entries_that_come_many_at_once_count_up_without_gaps(store: Store) {
    with_people(&store).await;
    let entry = |number: u64| EntryRow {
        seq: 99,
        at: at(7),
        kind: EntryKind::KeyWrapped,
        readers: Readers::Members,
        actor: Some(is("USA:dana")),
        program: None,
        call: Some(id("call", 'A')),
        proposal: None,
        payload: number.to_string(),
        salt: vec![0, 255, u8::try_from(number % 256).unwrap()],
    };
    assert_eq!(done!(store, tx => entries::append(&mut tx, &entry(1))), 1);
    let rows: Vec<EntryRow> = (2..2 + MANY).map(entry).collect();
    done!(store, tx => entries::append_all(&mut tx, &rows));
    done!(store, tx => entries::append_all(&mut tx, &[]));
    done!(store, tx => entries::append_all(&mut tx, &[entry(2 + MANY)]));
    assert_eq!(done!(store, tx => entries::append(&mut tx, &entry(3 + MANY))), 3 + MANY);
    let mut tx = store.db.read().await.unwrap();
    let (mut found, _) = entries::page(&mut tx, 0, &[], 200).await.unwrap();
    entries::add_payloads(&mut tx, &mut found).await.unwrap();
    let expected: Vec<EntryRow> = (1..=3 + MANY).map(|seq| EntryRow { seq, ..entry(seq) }).collect();
    assert_eq!(found, expected);
}

async fn proposal_begins_with_many_invitations(store: Store) {
    let office = with_proposal(&store).await;
    let guests: Vec<MemberId> = (0..MANY).map(|number| is(&format!("ISR:guest-{number}"))).collect();
    let mut rows = Rows::new();
    for guest in &guests {
        rows.member(guest, "Guests", "");
    }
    rows.write(&store.db).await;
    let permit = office.on_call("ISR:avi", Action::CreateProposal);
    let place = (office.call.id, office.proposal.id);
    let sha256 = Sha256::of(b"invitation");
    let first = |member| FirstInvitation { member, statement: "jws", sha256 };
    let invited: Vec<_> = guests.iter().map(first).collect();
    done!(store, tx => invitations::invite_first(&mut tx, &permit, place, &invited, at(6)));
    let found = seen!(store, tx => proposals::find(&mut tx, office.proposal.id)).unwrap();
    assert_eq!(found.invited, guests.iter().cloned().collect::<BTreeSet<_>>());
    let row = seen!(store, tx => invitations::find(&mut tx, office.proposal.id, &guests[40])).unwrap();
    assert_eq!((row.number, row.invited_by, row.invited_at), (1, is("ISR:avi"), at(6)));
    assert_eq!((row.statement.as_str(), row.sha256, row.acceptance, row.consent), ("jws", sha256, None, None));
    let again = refused!(store, tx => invitations::invite_first(&mut tx, &permit, place, &invited[..1], at(7)));
    assert_eq!(again, "party_invitations_pkey");
}

async fn reviewers_are_assigned_to_several_proposals_or_to_none(store: Store) {
    let office = with_proposal(&store).await;
    let (first, second): (ProposalId, ProposalId) = (office.proposal.id, id("prop", 'B'));
    create(&store, &office, second).await;
    let maya: MemberId = is("ISR:maya");
    let on = |id| ProposalFacts { id, ..office.proposal.clone() };
    let permits = [first, second].map(|id| office.on_member("USA:dana", Action::Assign, "ISR:maya", &on(id)));
    let new = |place: usize, proposal| NewAssignment {
        permit: &permits[place],
        proposal,
        reviewer: &maya,
        statement: ["one", "two"][place],
    };
    let assigned = async || {
        let rows = seen!(store, tx => proposals::some(&mut tx, &[second, first]));
        rows.iter().map(|row| row.assigned.contains(&maya)).collect::<Vec<_>>()
    };
    done!(store, tx => reviews::assign(&mut tx, &[new(1, second)], at(8)));
    let twice = refused!(store, tx => reviews::assign(&mut tx, &[new(0, first), new(1, second)], at(9)));
    assert_eq!((twice.as_str(), assigned().await), ("assignments_pkey", vec![false, true]));
    let permit = office.permit("USA:dana", Action::Unassign, entente::policy::Resource::Proposal(&on(second)));
    done!(store, tx => reviews::unassign(&mut tx, &permit, second, &maya));
    done!(store, tx => reviews::assign(&mut tx, &[new(0, first), new(1, second)], at(9)));
    assert_eq!(assigned().await, [true, true]);
    let row = seen!(store, tx => reviews::some_assignments(&mut tx, second, None, None, 9)).remove(0);
    assert_eq!((row.assigned_by, row.statement.as_deref()), (is("USA:dana"), Some("two")));
}
