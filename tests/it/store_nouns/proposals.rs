//! What hangs on a proposal, and the log: the same contract.

use super::{
    Office, create, id, is, owners, parties, reference, stated, vault_row, with_call, with_people, with_proposal,
};
use crate::store_facade::{Store, at, on_both_engines};
use entente::{
    domain::{
        decision::Outcome,
        entry::{EntryKind, Readers},
        id::{MemberId, PartnerCode, ProposalId, Sha256, Slug},
        member::ConflictGround,
        proposal::{Sort, Version},
        reference::Reference,
        reopening::Reopening,
        vault::VaultKind,
    },
    policy::Action,
    storage::{
        args,
        decisions::{self, DecisionRow, LetterRow},
        documents::{self, DocumentRow},
        entries::{self, EntryRow},
        held_blobs::{self, HeldBlob},
        idempotency::{self, Recorded},
        invitations,
        proposals::{self, NewProposalRow, SignatureRow},
        references,
        reviews::{self, NewAssignment, ReviewRow},
        vaults,
        visible::{self, CallGroup, CallGroups, ListPosition, PageRequest, ProposalQuery},
    },
};

on_both_engines! {
    proposal_reads_back_with_its_parties,
    proposals_come_page_by_page_in_order,
    version_is_signed_once_by_each_party,
    vault_is_one_of_its_kind_and_place,
    document_leaves_the_working_set_and_stays_known,
    declaration_and_assignment_read_back,
    review_counts_until_it_is_reopened,
    decision_is_signed_and_leaves_the_table,
    letter_reads_back_until_it_is_taken_back,
    entries_count_up_without_gaps_and_page_in_order,
    answer_is_remembered_once_and_expires,
    what_refers_to_nothing_is_refused,
}

async fn proposal_reads_back_with_its_parties(store: Store) {
    let office = with_proposal(&store).await;
    let id = office.proposal.id;
    let find = async || seen!(store, tx => proposals::find(&mut tx, id)).unwrap();
    let found = find().await;
    assert_eq!((found.call, found.created_by.clone(), found.created_at), (office.call.id, is("ISR:avi"), at(5)));
    assert_eq!((found.topic.clone(), found.parties.clone()), (Some(is::<Slug>("energy")), parties()));
    assert_eq!(found.organisations(), ["Office of ISR:avi", "Office of USA:bob"].map(String::from).into());
    assert!(!found.is_withdrawn && !found.is_decided && found.versions.is_empty());

    let asked: MemberId = is("ISR:registrar");
    let (invite, nobody) =
        (office.on_member("ISR:avi", Action::AddMember, "ISR:registrar", &office.proposal), is("ISR:noa-2"));
    let signed = ("jws", Sha256::of(b"invitation"));
    let unknown = refused!(store, tx => invitations::invite(&mut tx, &invite, id, &nobody, signed, at(6)));
    assert_eq!(unknown, "foreign_key");
    done!(store, tx => invitations::invite(&mut tx, &invite, id, &asked, signed, at(6)));
    let found = find().await;
    assert_eq!((found.invited, found.parties), ([asked.clone()].into(), parties()), "asked, and no member");
    let answer = office.on_proposal("ISR:registrar", Action::AnswerInvitation);
    done!(store, tx => proposals::join(&mut tx, &answer, id, at(7)));
    done!(store, tx => invitations::accept(&mut tx, &answer, id, "accepted", at(7)));
    let twice = refused!(store, tx => proposals::join(&mut tx, &answer, id, at(7)));
    assert_eq!(twice, "proposal_members_pkey");
    let found = find().await;
    assert!(found.invited.is_empty() && found.parties[&is("ISR")].contains(&asked));
    // Whatever an employer is called, and whatever the sets of another proposal hold.
    let odd = "B\u{fc}ro \"7\" \\ [null,\n{}] 'x', \u{1f680}";
    let change = "UPDATE members SET organisation = $1 WHERE member = $2";
    done!(store, tx => tx.execute(change, args![odd, asked]));
    create(&store, &office, self::id("prop", 'Z')).await;
    let both = seen!(store, tx => proposals::some(&mut tx, &[self::id("prop", 'Z'), id]));
    let employer = both[0].employers[&asked].clone();
    assert_eq!((both[0].id, employer.counts.as_str(), employer.newest.as_str()), (id, odd, odd));
    assert_eq!(
        (employer.joined_at, both[1].id, both[1].employers.contains_key(&asked)),
        (at(7), self::id("prop", 'Z'), false)
    );
    assert_eq!(both[0], find().await);
    let row = seen!(store, tx => invitations::find(&mut tx, id, &asked)).unwrap();
    assert_eq!((row.invited_by, row.invited_at), (is("ISR:avi"), at(6)));
    assert_eq!((row.sha256, row.acceptance), (signed.1, Some(("accepted".to_owned(), at(7)))));
    let remove = office.on_member("ISR:avi", Action::RemoveMember, "ISR:registrar", &office.proposal);
    done!(store, tx => proposals::remove_member(&mut tx, &remove, id, &asked));
    assert_eq!(find().await.parties, parties());
    // Who was accepted once stays on record; who was only asked does not.
    done!(store, tx => invitations::remove(&mut tx, &remove, id, &asked));
    assert_eq!(seen!(store, tx => invitations::of_proposal(&mut tx, id, None, 9)).len(), 1);
    done!(store, tx => invitations::invite(&mut tx, &invite, id, &asked, signed, at(8)));
    let consent = office.on_member("USA:dana", Action::ConsentToJoin, "ISR:registrar", &office.proposal);
    done!(store, tx => invitations::set_consent(&mut tx, &consent, id, &asked, Some("Registry")));
    let row = seen!(store, tx => invitations::find(&mut tx, id, &asked)).unwrap();
    assert_eq!((row.acceptance, row.consent), (None, Some((is("USA:dana"), "Registry".to_owned()))));
    done!(store, tx => invitations::remove(&mut tx, &remove, id, &asked));
    let kept = seen!(store, tx => invitations::of_proposal(&mut tx, id, None, 9));
    assert_eq!(kept.iter().map(|row| row.number).collect::<Vec<_>>(), [1]);

    let (withdraw, reinstate) =
        [Action::Withdraw, Action::Reinstate].map(|action| office.on_proposal("ISR:avi", action)).into();
    done!(store, tx => proposals::set_withdrawn(&mut tx, &withdraw, id, Some(at(7))));
    assert!(find().await.is_withdrawn);
    done!(store, tx => proposals::set_withdrawn(&mut tx, &reinstate, id, None));
    assert!(!find().await.is_withdrawn);
}

async fn proposals_come_page_by_page_in_order(store: Store) {
    let office = with_call(&store).await;
    for letter in ['D', 'B', 'A', 'C'] {
        create(&store, &office, id("prop", letter)).await;
    }
    let [a, b, c, d] = ['A', 'B', 'C', 'D'].map(|letter| id::<ProposalId>("prop", letter));
    let avi: MemberId = is("ISR:avi");
    let groups = |call| CallGroups::from(vec![CallGroup { calls: vec![call], holds: true.into() }]);
    let page = async |call, sort, after: Option<ProposalId>, limit| {
        let after = after.map(|id| ListPosition { created_at: at(5), id });
        let groups = groups(call);
        let query = ProposalQuery::new(&avi, &groups, 4);
        let keys = seen!(store, tx => visible::page(&mut tx, &query, PageRequest { sort, after, limit }));
        assert!(keys.until.is_none() && !keys.is_open, "{keys:?}");
        keys.found.into_iter().map(|key| key.id).collect::<Vec<_>>()
    };
    let call = office.call.id;
    assert_eq!(page(call, Sort::Created, None, 3).await, [a, b, c]);
    assert_eq!(page(call, Sort::Created, Some(c), 3).await, [d]);
    assert_eq!(page(call, Sort::Newest, Some(c), 3).await, [b, a]);
    assert_eq!(page(id("call", 'Z'), Sort::Created, None, 3).await, []);
    assert_eq!(seen!(store, tx => visible::count(&mut tx, &ProposalQuery::new(&avi, &groups(call), 4))), Some(4));
    assert_eq!(
        seen!(store, tx => proposals::some(&mut tx, &[d, a])).iter().map(|row| row.id).collect::<Vec<_>>(),
        [a, d]
    );
    let permit = office.on_call("ISR:avi", Action::CreateProposal);
    let (own, taken, owners) = (Reference::new(&is("JOINT26"), "9999"), reference(a), owners());
    let new = |id, reference| NewProposalRow { id, call: office.call.id, reference, topic: None, parties: &owners };
    let again = refused!(store, tx => proposals::create(&mut tx, &permit, new(a, &own), at(5)));
    assert_eq!(again, "proposals_pkey");
    let again = refused!(store, tx => proposals::create(&mut tx, &permit, new(is("prop_01J9ZQ4N6M8V7X5T3R2P1K0HGZ"), &taken), at(5)));
    assert_eq!(again, "proposals_call_id_number_key");
    assert!(seen!(store, tx => references::is_number_taken(&mut tx, call, taken.number())));
    assert!(!seen!(store, tx => references::is_number_taken(&mut tx, call, own.number())));
    assert_eq!(seen!(store, tx => references::referred_to(&mut tx, &taken)), [], "the call is a draft");
}

fn version(number: u32) -> Version {
    let manifest = Sha256::of(&number.to_be_bytes());
    Version { number, manifest, call_version: 1, committed_at: None, complete_at: None }
}

async fn version_is_signed_once_by_each_party(store: Store) {
    let office = with_proposal(&store).await;
    let id = office.proposal.id;
    let (avi, bob) = (office.on_proposal("ISR:avi", Action::Sign), office.on_proposal("USA:bob", Action::Sign));
    for number in [2, 1] {
        done!(store, tx => proposals::add_version(&mut tx, &avi, id, &version(number), "{}", at(6)));
    }
    let twice = refused!(store, tx => proposals::add_version(&mut tx, &avi, id, &version(1), "{}", at(6)));
    assert_eq!(twice, "manifests_pkey");
    done!(store, tx => proposals::sign(&mut tx, &bob, id, 1, "bob", at(7)));
    done!(store, tx => proposals::sign(&mut tx, &avi, id, 1, "avi", at(8)));
    let twice = refused!(store, tx => proposals::sign(&mut tx, &avi, id, 1, "again", at(9)));
    assert_eq!(twice, "manifest_signatures_pkey");
    assert_eq!(refused!(store, tx => proposals::sign(&mut tx, &avi, id, 3, "of none", at(9))), "foreign_key");
    let signatures = [("ISR", "ISR:avi", "avi"), ("USA", "USA:bob", "bob")]
        .map(|(partner, member, jws)| SignatureRow { partner: is(partner), member: is(member), jws: jws.to_owned() });
    assert_eq!(seen!(store, tx => proposals::signatures(&mut tx, id, 1)), signatures);
    assert_eq!(seen!(store, tx => proposals::manifest_body(&mut tx, id, 2)).as_deref(), Some("{}"));

    done!(store, tx => proposals::advance(&mut tx, &avi, id, 1, at(8), None));
    done!(store, tx => proposals::advance(&mut tx, &avi, id, 1, at(20), Some(at(21))));
    done!(store, tx => proposals::advance(&mut tx, &avi, id, 1, at(30), Some(at(31))));
    let first = Version { committed_at: Some(at(8)), complete_at: Some(at(21)), ..version(1) };
    let found = seen!(store, tx => proposals::find(&mut tx, id)).unwrap();
    assert_eq!(found.versions, [first, version(2)], "by number, and what happened first stays");
}

async fn vault_is_one_of_its_kind_and_place(store: Store) {
    let office = with_proposal(&store).await;
    let permit = office.on_proposal("ISR:avi", Action::Upload);
    let panel = vault_row(&office, 'B', VaultKind::Panel);
    let staff = vault_row(&office, 'A', VaultKind::Staff);
    for row in [&panel, &staff] {
        done!(store, tx => vaults::create(&mut tx, &permit, row, at(6)));
    }
    assert_eq!(seen!(store, tx => vaults::find(&mut tx, staff.id)), Some(staff.clone()));
    let of = seen!(store, tx => vaults::of_proposal(&mut tx, office.proposal.id));
    assert_eq!(of, [staff.clone(), panel.clone()], "by identifier");
    let second = vault_row(&office, 'C', VaultKind::Panel);
    assert_eq!(refused!(store, tx => vaults::create(&mut tx, &permit, &second, at(7))), "vaults_place_key");
    let mut of_others = vault_row(&office, 'C', VaultKind::Staff);
    of_others.party = Some(is("USA"));
    done!(store, tx => vaults::create(&mut tx, &permit, &of_others, at(7)));
    let again = vaults::VaultRow { kind: VaultKind::Parties, ..panel };
    assert_eq!(refused!(store, tx => vaults::create(&mut tx, &permit, &again, at(7))), "vaults_pkey");
}

fn document(letter: char, slot: &str, party: Option<&str>) -> DocumentRow {
    DocumentRow {
        id: id("doc", letter),
        proposal: id("prop", 'A'),
        slot: is(slot),
        party: party.map(is),
        vault: id("vault", 'A'),
        sha256: Sha256::of(&[letter as u8]),
        size: 5 << 30,
        media_type: "application/pdf".into(),
        blob: is(&Sha256::of(&[letter as u8]).to_string()[..32]),
        uploaded_by: is("ISR:avi"),
        uploaded_at: at(8),
        is_current: true,
        is_damaged: false,
    }
}

async fn document_leaves_the_working_set_and_stays_known(store: Store) {
    let office = with_proposal(&store).await;
    let permit = office.on_proposal("ISR:avi", Action::Upload);
    let vault = vault_row(&office, 'A', VaultKind::Panel);
    done!(store, tx => vaults::create(&mut tx, &permit, &vault, at(6)));
    let put = async |row: &DocumentRow| done!(store, tx => documents::put(&mut tx, &permit, row));
    let current = async || {
        let all = seen!(store, tx => documents::current(&mut tx, office.proposal.id));
        all.into_iter().map(|row| row.id).collect::<Vec<_>>()
    };
    let [a, b, c, d] = [('A', None), ('B', None), ('C', Some("ISR")), ('D', Some("USA"))]
        .map(|(letter, party)| document(letter, if party.is_some() { "owners" } else { "plan" }, party));
    for row in [&a, &b, &c, &d] {
        put(row).await;
    }
    assert_eq!(current().await, [b.id, c.id, d.id]);
    let bytes = async || seen!(store, tx => documents::bytes_of_partner(&mut tx, &is("ISR")));
    let size = a.size;
    assert_eq!(bytes().await, 4 * size, "also of what was replaced");
    let found = seen!(store, tx => documents::find(&mut tx, b.id));
    assert_eq!(found, Some(b.clone()), "it reads back whole");
    let replaced = DocumentRow { is_current: false, ..a.clone() };
    let proposal = office.proposal.id;
    let found = seen!(store, tx => documents::with_digests(&mut tx, proposal, &[a.sha256, d.sha256]));
    assert_eq!(found, [replaced, d.clone()], "also what was replaced");
    let remove = async |slot: &str, party: Option<&str>| {
        let (slot, party) = (is(slot), party.map(is));
        let proposal = office.proposal.id;
        done!(store, tx => documents::remove(&mut tx, &permit, proposal, &slot, party.as_ref(), at(9)))
    };
    assert_eq!((remove("owners", Some("ISR")).await, remove("owners", Some("ISR")).await), (1, 0));
    assert_eq!(remove("owners", None).await, 0, "the restricted slots are others");
    assert_eq!(current().await, [b.id, d.id]);
    assert_eq!(bytes().await, 4 * size, "also of what was taken out");
    assert!(!done!(store, tx => documents::drop_replaced(&mut tx, b.id)), "it is in the working set");
    assert!(done!(store, tx => documents::drop_replaced(&mut tx, c.id)));
    assert_eq!((bytes().await, seen!(store, tx => documents::bytes_of_partner(&mut tx, &is("USA")))), (3 * size, 0));
    let stranger = document('E', "plan", None);
    let known = seen!(store, tx => held_blobs::named(&mut tx, vec![a.blob.clone(), stranger.blob.clone()]));
    assert_eq!(known, [a.blob.clone()].into());
    let held = seen!(store, tx => held_blobs::next(&mut tx, None, 10));
    let (mut keys, count) = ([&a, &b, &d].map(|row| &row.blob), held.len() as u64);
    keys.sort_by_key(ToString::to_string);
    assert_eq!(held.iter().map(HeldBlob::key).collect::<Vec<_>>(), keys, "in the order of their keys");
    let after = seen!(store, tx => held_blobs::next(&mut tx, Some(keys[0]), 1));
    assert_eq!(after, [held[1].clone()], "a page goes on after a key");
    assert_eq!(
        seen!(store, tx => held_blobs::totals(&mut tx)),
        (count, held.iter().map(|held| held.stored().size).sum())
    );
    let again = DocumentRow { blob: a.blob, ..stranger };
    assert_eq!(refused!(store, tx => documents::put(&mut tx, &permit, &again)), "documents_blob_key_key");
}

async fn declaration_and_assignment_read_back(store: Store) {
    let office = with_proposal(&store).await;
    let proposal = office.proposal.id;
    let (maya, noa) = (is::<MemberId>("ISR:maya"), is::<MemberId>("ISR:noa"));
    let find = async || seen!(store, tx => proposals::find(&mut tx, proposal)).unwrap();
    for member in ["ISR:maya", "ISR:noa"] {
        let permit = office.on_proposal(member, Action::DeclareClear);
        done!(store, tx => reviews::declare(&mut tx, &permit, proposal, None, stated(1, member.as_bytes()), at(6)));
    }
    let permit = office.on_proposal("ISR:maya", Action::DeclareConflict);
    done!(store, tx => reviews::declare(&mut tx, &permit, proposal, Some(ConflictGround::Family), stated(2, b"two"), at(7)));
    assert_eq!((find().await.conflicts, find().await.clear), ([maya.clone()].into(), [noa].into()));
    let permit = office.on_member("USA:dana", Action::LiftConflict, "ISR:maya", &office.proposal);
    done!(store, tx => reviews::lift(&mut tx, &permit, proposal, &maya, stated(3, b"three"), at(7)));
    assert!(find().await.conflicts.is_empty() && !find().await.clear.contains(&maya));

    let of_maya = seen!(store, tx => reviews::declarations(&mut tx, proposal, Some(&maya)));
    let of_maya: Vec<_> = of_maya.iter().map(|(who, stated)| (who, stated.number, stated.by.to_string())).collect();
    let by = |number, by: &str| (&maya, number, by.to_owned());
    assert_eq!(of_maya, [by(1, "ISR:maya"), by(2, "ISR:maya"), by(3, "USA:dana")]);
    assert_eq!(seen!(store, tx => reviews::declarations(&mut tx, proposal, None)).len(), 4, "and Noa's");
    let last = async |member| seen!(store, tx => reviews::last_declaration(&mut tx, proposal, member));
    assert_eq!(last(&maya).await, Some((3, stated(3, b"three").sha256)));
    assert_eq!(last(&is("USA:carol")).await, None);

    let permit = office.on_member("USA:dana", Action::Assign, "ISR:maya", &office.proposal);
    let new = [NewAssignment { permit: &permit, proposal, reviewer: &maya, statement: "a statement" }];
    done!(store, tx => reviews::assign(&mut tx, &new, at(8)));
    assert_eq!(refused!(store, tx => reviews::assign(&mut tx, &new, at(9))), "assignments_pkey");
    let assigned = seen!(store, tx => reviews::some_assignments(&mut tx, proposal, None, None, 9));
    assert_eq!(assigned.iter().map(|row| (&row.reviewer, row.assigned_at)).collect::<Vec<_>>(), [(&maya, at(8))]);
    assert_eq!(find().await.assigned, [maya.clone()].into());
    let permit = office.on_proposal("USA:dana", Action::Unassign);
    done!(store, tx => reviews::unassign(&mut tx, &permit, proposal, &maya));
    assert!(find().await.assigned.is_empty());
}

async fn review_counts_until_it_is_reopened(store: Store) {
    let office = with_proposal(&store).await;
    let proposal = office.proposal.id;
    let row = |letter: char, revision: u32| ReviewRow {
        id: id("rev", letter),
        proposal,
        reviewer: is("ISR:maya"),
        revision,
        manifest: Sha256::of(b"manifest"),
        statement: "a.b.c".into(),
        ciphertext: vec![0, 255, letter as u8],
        submitted_at: at(9),
        reopened: None,
    };
    let (permit, reopening_permit) =
        (office.on_proposal("ISR:maya", Action::Review), office.on_proposal("USA:dana", Action::ReopenReview));
    let found = async || seen!(store, tx => proposals::find(&mut tx, proposal)).unwrap();
    let reviewed = async || !found().await.reviewed.is_empty();
    let (first, second) = (row('B', 1), row('A', 2));
    done!(store, tx => reviews::submit(&mut tx, &permit, &first));
    assert!(reviewed().await);
    let twice = refused!(store, tx => reviews::submit(&mut tx, &permit, &row('C', 1)));
    assert_eq!(twice, "reviews_proposal_id_reviewer_revision_key");
    done!(store, tx => reviews::reopen(&mut tx, &reopening_permit, &first, at(10)));
    assert!(!reviewed().await, "the latest is open again");
    let reopening = Reopening { at: at(10), by: Some(is("USA:dana")) };
    assert_eq!(found().await.reopened, [(is::<MemberId>("ISR:maya"), reopening.clone())].into());
    let taking_back = office.on_proposal("ISR:noa", Action::ReopenReview);
    done!(store, tx => reviews::reinstate(&mut tx, &taking_back, &first));
    assert!(reviewed().await && found().await.reopened.is_empty(), "as before");
    assert_eq!(seen!(store, tx => reviews::find(&mut tx, first.id)), Some(first.clone()));
    done!(store, tx => reviews::reopen(&mut tx, &reopening_permit, &first, at(10)));
    done!(store, tx => reviews::submit(&mut tx, &permit, &second));
    assert!(reviewed().await);
    assert!(found().await.reopened.is_empty(), "the next revision follows it");
    let reopened = ReviewRow { reopened: Some(reopening), ..first };
    // Lists are without the ciphertext.
    let listed = [reopened, second.clone()].map(|row| ReviewRow { ciphertext: Vec::new(), ..row });
    assert_eq!(seen!(store, tx => reviews::of_proposal(&mut tx, proposal)), listed, "by revision");
    assert_eq!(seen!(store, tx => reviews::find(&mut tx, second.id)), Some(second));
    assert_eq!(seen!(store, tx => reviews::find(&mut tx, id("rev", 'Z'))), None);
}

async fn decision_is_signed_and_leaves_the_table(store: Store) {
    let office = with_proposal(&store).await;
    let proposal = office.proposal.id;
    let row = |letter: char, revision: u32| DecisionRow {
        id: id("dec", letter),
        proposal,
        revision,
        outcome: Outcome::Fund,
        manifest: Sha256::of(b"manifest"),
        supersedes: None,
        reason: None,
        final_at: None,
        signatures: [].into(),
    };
    let current = async || seen!(store, tx => decisions::on_table(&mut tx, proposal));
    let finals = async || seen!(store, tx => decisions::final_ones(&mut tx, proposal));
    let next = async || seen!(store, tx => decisions::next_revision(&mut tx, proposal));
    let (eitan, frank) =
        (office.on_proposal("ISR:eitan", Action::Decide), office.on_proposal("USA:frank", Action::Decide));
    let taking_back = office.on_proposal("ISR:eitan", Action::WithdrawDecision);
    assert_eq!((current().await, next().await), (None, 1));
    let first = row('A', 1);
    done!(store, tx => decisions::propose(&mut tx, &eitan, &first, at(9)));
    done!(store, tx => decisions::sign(&mut tx, &eitan, &first, "eitan", false, at(9)));
    let twice = refused!(store, tx => decisions::sign(&mut tx, &eitan, &first, "again", false, at(9)));
    assert_eq!(twice, "decision_signatures_pkey");
    done!(store, tx => decisions::unsign(&mut tx, &taking_back, &first, &is("ISR"), at(10)));
    assert_eq!((current().await, next().await), (None, 2), "no signature is left, so no decision is");
    let taken = refused!(store, tx => decisions::propose(&mut tx, &eitan, &row('B', 1), at(11)));
    assert_eq!(taken, "decisions_proposal_id_revision_key");

    let second = row('B', 2);
    done!(store, tx => decisions::propose(&mut tx, &eitan, &second, at(11)));
    done!(store, tx => decisions::sign(&mut tx, &eitan, &second, "eitan", false, at(11)));
    assert!(!seen!(store, tx => proposals::find(&mut tx, proposal)).unwrap().is_decided);
    done!(store, tx => decisions::sign(&mut tx, &frank, &second, "frank", true, at(12)));
    assert_eq!(current().await, None);
    let found = finals().await.remove(0);
    assert_eq!((found.id, found.outcome, found.final_at), (second.id, Outcome::Fund, Some(at(12))));
    let signed: Vec<_> = found.signatures.values().map(|row| (row.member.to_string(), row.jws.clone())).collect();
    assert_eq!(signed, [("ISR:eitan".to_owned(), "eitan".to_owned()), ("USA:frank".to_owned(), "frank".to_owned())]);
    assert!(seen!(store, tx => proposals::find(&mut tx, proposal)).unwrap().is_decided);

    let (outcome, supersedes) = (Outcome::Rescind, Some(Sha256::of(b"funded")));
    let rescission = DecisionRow { outcome, supersedes, reason: Some("an error".into()), ..row('C', 3) };
    done!(store, tx => decisions::propose(&mut tx, &eitan, &rescission, at(13)));
    done!(store, tx => decisions::sign(&mut tx, &eitan, &rescission, "eitan", false, at(13)));
    assert_eq!(current().await.map(|row| (row.supersedes, row.reason)), Some((supersedes, Some("an error".into()))));
    assert!(seen!(store, tx => proposals::find(&mut tx, proposal)).unwrap().is_decided, "it is in force until then");
    done!(store, tx => decisions::sign(&mut tx, &frank, &rescission, "frank", true, at(14)));
    assert!(!seen!(store, tx => proposals::find(&mut tx, proposal)).unwrap().is_decided);
    assert_eq!(finals().await.iter().map(|row| row.revision).collect::<Vec<_>>(), [2, 3]);
}

async fn letter_reads_back_until_it_is_taken_back(store: Store) {
    let office = with_proposal(&store).await;
    let proposal = office.proposal.id;
    let row = |letter: char| LetterRow {
        id: id("doc", letter),
        proposal,
        sent_by: is("USA:dana"),
        sent_at: at(9),
        party: (letter == 'C').then(|| is("ISR")),
        statement: "a.b.c".into(),
        ciphertext: vec![0, 255, letter as u8],
        is_withdrawn: false,
    };
    let sending = office.on_proposal("USA:dana", Action::SendLetter);
    for letter in ['B', 'A'] {
        done!(store, tx => decisions::send_letter(&mut tx, &sending, &row(letter)));
    }
    assert_eq!(refused!(store, tx => decisions::send_letter(&mut tx, &sending, &row('A'))), "letters_pkey");
    let taking_back = office.on_proposal("USA:dana", Action::WithdrawLetter);
    done!(store, tx => decisions::withdraw_letter(&mut tx, &taking_back, &row('A'), at(10)));
    let listed = LetterRow { ciphertext: Vec::new(), ..row('B') };
    let all = None::<&PartnerCode>;
    assert_eq!(
        seen!(store, tx => decisions::letters(&mut tx, proposal, all, None, 9)),
        std::slice::from_ref(&listed),
        "without the ciphertext"
    );
    assert_eq!(seen!(store, tx => decisions::letters(&mut tx, proposal, all, Some(row('B').id), 9)), []);
    done!(store, tx => decisions::send_letter(&mut tx, &sending, &row('C')));
    let to_one = LetterRow { ciphertext: Vec::new(), ..row('C') };
    for (of, shown) in [
        (None, vec![listed.clone(), to_one.clone()]),
        (Some("ISR"), vec![listed.clone(), to_one]),
        (Some("USA"), vec![listed]),
    ] {
        let of: Option<PartnerCode> = of.map(is);
        assert_eq!(seen!(store, tx => decisions::letters(&mut tx, proposal, of.as_ref(), None, 9)), shown, "{of:?}");
    }
    assert_eq!(seen!(store, tx => decisions::find_letter(&mut tx, row('B').id)), Some(row('B')));
}

fn entry(office: &Office, payload: &str) -> EntryRow {
    EntryRow {
        seq: 99,
        at: at(7),
        kind: EntryKind::RoleGranted,
        readers: Readers::Members,
        actor: Some(is("USA:dana")),
        program: None,
        call: Some(office.call.id),
        proposal: None,
        payload: payload.to_owned(),
        salt: vec![0, 255, 7],
    }
}

async fn entries_count_up_without_gaps_and_page_in_order(store: Store) {
    let office = with_people(&store).await;
    for n in 1..=3 {
        assert_eq!(done!(store, tx => entries::append(&mut tx, &entry(&office, &format!("{n}")))), n);
    }
    // What was given up leaves no gap.
    let mut tx = store.db.write().await.unwrap();
    assert_eq!(entries::append(&mut tx, &entry(&office, "given up")).await.unwrap(), 4);
    drop(tx);
    assert_eq!(done!(store, tx => entries::append(&mut tx, &entry(&office, "4"))), 4);
    let page = async |after, limit| {
        let mut tx = store.db.read().await.unwrap();
        let mut page = entries::page(&mut tx, after, &[], limit).await.unwrap().0;
        entries::add_payloads(&mut tx, &mut page).await.unwrap();
        page
    };
    assert_eq!(page(0, 2).await, [1, 2].map(|seq| EntryRow { seq, ..entry(&office, &seq.to_string()) }));
    assert_eq!(page(2, 9).await, [3, 4].map(|seq| EntryRow { seq, ..entry(&office, &seq.to_string()) }));
    assert_eq!(page(4, 9).await, []);
    // Of a kind that there is not, no more are looked at than of others.
    let sought = [EntryKind::ClockAccepted];
    let none = async |after, limit| seen!(store, tx => entries::page(&mut tx, after, &sought, limit));
    assert_eq!((none(0, 2).await, none(2, 2).await), ((Vec::new(), Some(2)), (Vec::new(), None)));
    for change in ["UPDATE log_entries SET payload = '' WHERE seq = 1", "DELETE FROM log_entries WHERE seq = 1"] {
        assert_eq!(refused!(store, tx => tx.execute(change, args![])), "log_entries_append_only");
    }
}

async fn answer_is_remembered_once_and_expires(store: Store) {
    with_people(&store).await;
    let (avi, bob) = (is::<MemberId>("ISR:avi"), is::<MemberId>("USA:bob"));
    let answer = |second| Recorded {
        request_sha256: Sha256::of(b"request"),
        address_sha256: Some(Sha256::of(b"address")),
        status: 201,
        content_type: Some("application/json".into()),
        body: vec![0, 255],
        etag: None,
        location: Some("/v1/calls/c".into()),
        created_at: at(second),
    };
    done!(store, tx => idempotency::record(&mut tx, &avi, "k", &answer(5)));
    done!(store, tx => idempotency::record(&mut tx, &bob, "k", &answer(9)));
    let twice = refused!(store, tx => idempotency::record(&mut tx, &avi, "k", &answer(6)));
    assert_eq!(twice, "idempotency_keys_pkey");
    assert_eq!(seen!(store, tx => idempotency::find(&mut tx, &avi, "k")), Some(answer(5)));
    assert_eq!(seen!(store, tx => idempotency::find(&mut tx, &avi, "K")), None);
    assert_eq!(done!(store, tx => idempotency::expire(&mut tx, at(9), 0)), 1);
    assert_eq!(seen!(store, tx => idempotency::find(&mut tx, &avi, "k")), None);
    assert_eq!(seen!(store, tx => idempotency::find(&mut tx, &bob, "k")), Some(answer(9)), "given at that instant");
}

async fn what_refers_to_nothing_is_refused(store: Store) {
    let office = with_call(&store).await;
    // The call is there, the proposal is not.
    let upload = office.on_proposal("ISR:avi", Action::Upload);
    let vault = vault_row(&office, 'A', VaultKind::Panel);
    assert_eq!(refused!(store, tx => vaults::create(&mut tx, &upload, &vault, at(6))), "foreign_key");
    let row = document('A', "plan", None);
    assert_eq!(refused!(store, tx => documents::put(&mut tx, &upload, &row)), "foreign_key");
    let (proposal, sign) = (office.proposal.id, office.on_proposal("ISR:avi", Action::Sign));
    let of_none = refused!(store, tx => proposals::add_version(&mut tx, &sign, proposal, &version(1), "{}", at(6)));
    assert_eq!(of_none, "foreign_key");
    let clear = office.on_proposal("ISR:maya", Action::DeclareClear);
    assert_eq!(
        refused!(store, tx => reviews::declare(&mut tx, &clear, proposal, None, stated(1, b"one"), at(6))),
        "foreign_key"
    );
}
