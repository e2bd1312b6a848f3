//! What waits: an item of each kind comes when there is something to do and goes when it is done, for nobody who may not do it; and a relay
//! learns how much waits for its nation's members, and nothing else.

use crate::harness::{
    many::{self, Rows},
    stage::{Stage, Step, id, quiet, review, slug},
    world::{Store, TestWorld},
};
use crate::refusals::lies::tamper;
use entente::{
    client::{
        Client, ClientError,
        api::Paging,
        inbox::{BegunHere, in_words},
        labels::LabelChoice,
        verified::VersionChoice,
    },
    dev_pki::cast::{
        AVI, BOB, CAROL, DANA, DemoNation, EITAN, FRANK, ISR, ISR_RELAY, KOR, MAYA, MINJUN, NOA, OLIVIA, OPAL, TAMAR,
        USA, WALT, YAEL,
    },
    domain::{
        ambient::Clock,
        decision::Outcome,
        id::{MemberId, ProposalId},
        inbox::ItemKind,
        member::{CallRole, ConflictGround},
        policy::PolicyOwner,
        proposal::{Relation, Sort},
    },
    storage::{args, inbox as store},
    wire::{
        inbox::{Inbox, InboxItem, Waiting},
        page::Page,
        proposal::Filter,
    },
};
use jiff::SignedDuration;
use std::collections::{BTreeMap, BTreeSet};

/// The usual nations, and a relay of Israel.
const WITH_RELAY: &[DemoNation] = &[
    DemoNation { cast: &[DANA, OLIVIA, OPAL, BOB, CAROL, FRANK, WALT], ..USA },
    DemoNation { cast: &[NOA, AVI, TAMAR, YAEL, MAYA, EITAN, ISR_RELAY], ..ISR },
    DemoNation { cast: &[MINJUN], ..KOR },
];

async fn stages() -> Vec<Stage> {
    let mut stages = Vec::new();
    for store in [Store::Sqlite, Store::Postgres] {
        if let Some(stage) = Stage::open_on(store).await {
            stages.push(stage);
        }
    }
    stages
}

async fn inbox(client: &Client) -> Inbox {
    client.api().inbox().await.unwrap()
}

/// The kinds of what waits for a member.
async fn waits(stage: &Stage, member: &str) -> Vec<ItemKind> {
    inbox(stage.client(member)).await.items.into_iter().map(|item| item.kind).collect()
}

/// What waits for a member on one proposal.
async fn on(stage: &Stage, member: &str, proposal: ProposalId) -> Vec<ItemKind> {
    let items = inbox(stage.client(member)).await.items.into_iter();
    items.filter(|item| item.proposal == Some(proposal)).map(|item| item.kind).collect()
}

/// The proposals on which a member has to declare.
async fn undeclared(stage: &Stage, member: &str) -> Vec<ProposalId> {
    let filter = Filter { mine: Some(Relation::Undeclared), ..Filter::default() };
    let page = stage.client(member).api().proposals(&filter, Sort::Created, &Paging::default()).await.unwrap();
    page.items.into_iter().map(|proposal| proposal.id).collect()
}

const NOTHING: [ItemKind; 0] = [];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn party_is_told_to_join_to_sign_and_to_hand_in_until_it_is_done() {
    for stage in stages().await {
        let proposal = stage.client("ISR:avi").create_proposal(&stage.joint()).await.unwrap();
        assert_eq!(waits(&stage, "USA:bob").await, [ItemKind::Invited]);
        let invited = &inbox(stage.client("USA:bob")).await.items[0];
        assert_eq!((invited.proposal, invited.call), (Some(proposal.id), Some(stage.call)));
        assert_eq!(invited.due_at.unwrap().0, stage.deadline);
        assert_eq!(waits(&stage, "ISR:avi").await, NOTHING, "the deadline is far");
        assert_eq!(inbox(stage.client("ISR:avi")).await.next_deadline.unwrap().at.0, stage.deadline);
        stage.join_all(&proposal).await.unwrap();
        assert_eq!(waits(&stage, "USA:bob").await, NOTHING);

        stage.clock.set(stage.deadline - SignedDuration::from_hours(24 * 10));
        for member in ["ISR:avi", "USA:bob"] {
            assert_eq!(waits(&stage, member).await, [ItemKind::DeadlineNear], "{member}");
        }
        assert_eq!(waits(&stage, "ISR:tamar").await, NOTHING, "a colleague without a part in it");
        stage.upload_all(proposal.id).await;
        stage.sign("ISR:avi", proposal.id).await;
        assert_eq!(waits(&stage, "USA:bob").await, [ItemKind::Sign]);
        assert_eq!(inbox(stage.client("USA:bob")).await.items[0].version, Some(1));
        assert_eq!(waits(&stage, "ISR:avi").await, [ItemKind::DeadlineNear], "the counterpart has not signed");
        stage.sign("USA:bob", proposal.id).await;
        for member in ["ISR:avi", "USA:bob"] {
            assert_eq!(waits(&stage, member).await, NOTHING, "{member}");
        }

        let late = stage.begun().await;
        assert_eq!(on(&stage, "ISR:avi", late).await, [ItemKind::DeadlineNear]);
        stage.clock.set(stage.deadline + SignedDuration::from_millis(1));
        assert_eq!(on(&stage, "ISR:avi", late).await, NOTHING, "nobody can do it any more");
        stage.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_is_invited_late_from_another_organisation_waits_for_the_consent_first() {
    for stage in stages().await {
        let proposal = stage.submitted().await;
        stage.pass_the_opening();
        stage.clear(proposal, &["USA:dana"]).await;
        // A colleague at the same organisation needs nobody's word.
        for member in ["ISR:approver", "ISR:tamar"] {
            stage.client("ISR:avi").invite(proposal, &id(member)).await.unwrap();
        }
        assert_eq!(waits(&stage, "ISR:tamar").await, [ItemKind::Invited]);
        assert_eq!(waits(&stage, "ISR:approver").await, NOTHING);
        stage.refuses("needs-consent", stage.client("ISR:approver").accept_invitation(proposal)).await;
        let dana = stage.client("USA:dana");
        dana.api().consent_to_join(proposal, &id("ISR:approver")).await.unwrap();
        assert_eq!(waits(&stage, "ISR:approver").await, [ItemKind::Invited]);
        // A consent of somebody who could not give it any more does not count either.
        dana.declare(proposal, Some(ConflictGround::Family)).await.unwrap();
        assert_eq!(waits(&stage, "ISR:approver").await, NOTHING);
        stage.refuses("needs-consent", stage.client("ISR:approver").accept_invitation(proposal)).await;
        stage.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn amendment_that_voids_asks_for_a_signature_again() {
    let (stage, proposal) = Stage::at(Step::Submitted).await;
    let dana = stage.client("USA:dana");
    let mut text = dana.call(stage.call).await.unwrap().text.clone();
    text.total_threshold = None;
    let voids = dana.preview_amendment(stage.call, &text, "a reason").await.unwrap().voided;
    assert_eq!(voids, 1);
    dana.amend_call(stage.call, &text, "a reason", Some(voids)).await.unwrap();
    for member in ["ISR:avi", "USA:bob"] {
        assert_eq!(on(&stage, member, proposal).await, [ItemKind::Void], "{member}");
    }
    stage.sign("ISR:avi", proposal).await;
    assert_eq!(on(&stage, "USA:bob", proposal).await, [ItemKind::Sign]);
    stage.sign("USA:bob", proposal).await;
    assert_eq!(on(&stage, "ISR:avi", proposal).await, NOTHING);
    stage.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn label_waits_for_the_other_party() {
    let (stage, proposal) = Stage::at(Step::Submitted).await;
    let avi = stage.client("ISR:avi");
    let choice = LabelChoice::Put { others: ["KOR".parse().unwrap()].into(), caveats: BTreeSet::new() };
    let plan = avi.plan_label(proposal, &choice).await.unwrap();
    avi.sign_label(&plan).await.unwrap();
    assert_eq!(on(&stage, "USA:bob", proposal).await, [ItemKind::SignLabel]);
    assert_eq!(on(&stage, "ISR:avi", proposal).await, NOTHING);
    let bob = stage.client("USA:bob");
    let plan = bob.plan_label(proposal, &LabelChoice::Keep).await.unwrap();
    bob.sign_label(&plan).await.unwrap();
    assert_eq!(on(&stage, "USA:bob", proposal).await, NOTHING);
    stage.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn panel_is_told_to_declare_to_read_to_review_and_to_decide_until_it_is_done() {
    for stage in stages().await {
        let proposal = stage.submitted().await;
        for member in ["USA:dana", "USA:frank", "USA:carol"] {
            assert_eq!(waits(&stage, member).await, NOTHING, "{member}: before the opening");
        }
        stage.pass_the_opening();
        for member in ["USA:dana", "ISR:noa", "USA:frank", "ISR:eitan"] {
            assert_eq!(waits(&stage, member).await, [ItemKind::Declare], "{member}");
        }
        assert_eq!(waits(&stage, "USA:carol").await, NOTHING, "nothing is assigned to her");
        assert_eq!(waits(&stage, "USA:walt").await, NOTHING, "an observer");
        let due = inbox(stage.client("USA:dana")).await.items[0].due_at.unwrap().0;
        assert_eq!(due, stage.deadline + SignedDuration::from_hours(24 * 45));

        stage.clear(proposal, &["USA:dana"]).await;
        assert_eq!(waits(&stage, "USA:dana").await, NOTHING);
        stage.assign(&[(proposal, "USA:carol"), (proposal, "ISR:maya")], false).await;
        assert_eq!(waits(&stage, "USA:carol").await, [ItemKind::Declare]);
        stage.clear(proposal, &["USA:carol"]).await;
        assert_eq!(waits(&stage, "USA:carol").await, NOTHING, "she has no key yet");
        assert_eq!(waits(&stage, "USA:dana").await, [ItemKind::PassKeys]);
        // Of the proposals on which she has declared, no more than so many are looked at.
        for (declared, found) in [(0, 0), (1, 1)] {
            let (mut tx, now) = (stage.server.exchange.db.read().await.unwrap(), stage.clock.now());
            let lacking = store::lacking_on_panel(&mut tx, &id("USA:dana"), now, declared, 10).await.unwrap();
            assert_eq!(lacking.len(), found);
        }
        stage.prepare_panel().await;
        assert_eq!(waits(&stage, "USA:dana").await, NOTHING);

        assert_eq!(waits(&stage, "USA:carol").await, [ItemKind::Read]);
        let carol = stage.client("USA:carol");
        // A summary is fetched for the title in a list: it is all there is to read only where there is nothing else.
        carol.read_summary(proposal, VersionChoice::Standing).await.unwrap();
        assert_eq!(waits(&stage, "USA:carol").await, [ItemKind::Read]);
        let others = "UPDATE documents SET removed_at = $1 WHERE slot <> 'summary' AND party IS NULL";
        tamper(&stage, others, args![1_i64]).await;
        assert_eq!(waits(&stage, "USA:carol").await, [ItemKind::Review]);
        tamper(&stage, "UPDATE documents SET removed_at = NULL WHERE removed_at = $1", args![1_i64]).await;
        let out = stage.plan.dir.join("plan.pdf");
        carol.open_document(proposal, &slug("work-plan"), None, VersionChoice::Standing, &out, quiet()).await.unwrap();
        assert_eq!(waits(&stage, "USA:carol").await, [ItemKind::Review]);
        let in_hand = carol.submit_review(proposal, &review(4.0, 4.0)).await.unwrap();
        assert_eq!(waits(&stage, "USA:carol").await, NOTHING);
        assert_eq!(waits(&stage, "USA:dana").await, [ItemKind::PassKeys], "hers is in, so she may read the others");
        stage.prepare_panel().await;
        stage.client("USA:dana").api().reopen_review(in_hand.id, "once more").await.unwrap();
        assert_eq!(waits(&stage, "USA:carol").await, [ItemKind::Review], "it was reopened");

        stage.clear(proposal, &["USA:frank", "ISR:eitan"]).await;
        stage.prepare_panel().await;
        assert_eq!(waits(&stage, "ISR:eitan").await, NOTHING);
        stage.client("USA:frank").sign_decision(proposal, Outcome::Fund).await.unwrap();
        assert_eq!(waits(&stage, "USA:frank").await, NOTHING);
        assert_eq!(waits(&stage, "ISR:eitan").await, [ItemKind::SignDecision]);
        assert_eq!(undeclared(&stage, "ISR:maya").await, [proposal]);
        stage.client("ISR:eitan").sign_decision(proposal, Outcome::Fund).await.unwrap();
        assert_eq!(waits(&stage, "ISR:eitan").await, NOTHING);
        assert_eq!(waits(&stage, "USA:carol").await, NOTHING, "it is decided");
        // The list of what is to be declared on goes by the same rule.
        assert!(undeclared(&stage, "ISR:maya").await.is_empty());
        assert_eq!(undeclared(&stage, "USA:olivia").await, [proposal], "an officer");
        assert_eq!(waits(&stage, "ISR:maya").await, NOTHING);
        assert_eq!(waits(&stage, "USA:olivia").await, [ItemKind::Declare]);

        // Each letter is an item of its own, which names it, and ends once that one is read.
        let first = stage.client("USA:dana").send_letter(proposal, "Funded.").await.unwrap().id;
        assert_eq!(waits(&stage, "ISR:avi").await, [ItemKind::ReadLetter]);
        stage.clock.pass(stage.clock.now() + SignedDuration::from_secs(60));
        let second = stage.client("USA:dana").send_letter(proposal, "The contract follows.").await.unwrap().id;
        let unread = async || {
            let items = inbox(stage.client("ISR:avi")).await.items;
            items.into_iter().map(|item| item.letter.unwrap()).collect::<Vec<_>>()
        };
        assert_eq!(unread().await, [first, second]);
        stage.client("ISR:avi").read_letter(proposal, second).await.unwrap();
        assert_eq!(unread().await, [first]);
        stage.client("ISR:avi").read_letter(proposal, first).await.unwrap();
        assert_eq!(waits(&stage, "ISR:avi").await, NOTHING);
        assert_eq!(waits(&stage, "USA:bob").await, [ItemKind::ReadLetter; 2], "each reads them by themselves");
        // Many about one proposal keep no other from sight.
        for _ in 0..4 {
            stage.client("USA:dana").send_letter(proposal, "And another thing.").await.unwrap();
        }
        assert_eq!(waits(&stage, "USA:bob").await, [ItemKind::ReadLetter; 5]);
        stage.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn recused_member_has_neither_an_item_nor_a_part_in_a_number() {
    for stage in stages().await {
        let proposal = stage.under_review().await;
        let olivia = stage.client("USA:olivia");
        assert_eq!(waits(&stage, "USA:olivia").await, [ItemKind::Declare]);
        olivia.declare(proposal, Some(ConflictGround::Family)).await.unwrap();
        assert_eq!(waits(&stage, "USA:olivia").await, NOTHING);
        assert_eq!(waits(&stage, "ISR:maya").await, [ItemKind::Read]);
        stage.client("ISR:maya").declare(proposal, Some(ConflictGround::Other)).await.unwrap();
        let left = inbox(stage.client("ISR:maya")).await;
        assert!(left.items.is_empty() && !left.more, "{left:?}");
        // Nothing of it for Korea, which takes no part, nor for its policy officers.
        assert_eq!(waits(&stage, "KOR:minjun").await, NOTHING);
        stage.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nations_policies_leave_no_item_on_what_they_hide() {
    let (stage, proposal) = Stage::at(Step::UnderReview).await;
    assert_eq!(on(&stage, "ISR:maya", proposal).await, [ItemKind::Read]);
    let hides = r#"@id("no-reviewers") @side("release") @reason("nobody for now")
        forbid(principal, action == Action::"View", resource) when { resource.assigned.contains(principal) };"#;
    stage.israel_adds(hides).await;
    assert_eq!(waits(&stage, "ISR:maya").await, NOTHING);
    assert_eq!(waits(&stage, "USA:carol").await, NOTHING);
    stage.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn second_policy_officer_is_told_to_approve() {
    let stage = Stage::open().await;
    let (drafter, israel) = (stage.client("ISR:drafter"), "ISR".parse::<PolicyOwner>().unwrap());
    let text = drafter.policy(&israel).await.unwrap().text.unwrap();
    let proposed = drafter.propose_policy(&israel, "ISR", &text, None).await.unwrap();
    let items = inbox(stage.client("ISR:approver")).await.items;
    let item = items.iter().find(|item| item.kind == ItemKind::ApprovePolicy).unwrap();
    assert_eq!((item.owner.clone(), item.version), (Some(israel), Some(proposed.version)));
    for member in ["ISR:drafter", "USA:approver", "ISR:noa"] {
        assert_eq!(waits(&stage, member).await, NOTHING, "{member}");
    }
    let approver = stage.client("ISR:approver");
    let (_, told) = approver.preview_policy(&proposed).await.unwrap();
    approver.approve_policy(&proposed, &told).await.unwrap();
    assert_eq!(waits(&stage, "ISR:approver").await, NOTHING);
    stage.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn inbox_is_bounded_and_says_that_there_is_more() {
    for stage in stages().await {
        stage.clock.set(stage.deadline - SignedDuration::from_hours(24 * 3));
        let (mut rows, members) = (Rows::new(), [id("ISR:avi"), id("USA:bob")]);
        for number in 1..=450 {
            rows.proposal(&many::Proposal {
                id: many::id("prop", number),
                call: stage.call,
                topic: Some("navigation"),
                members: &members,
                created_at: stage.clock.now(),
                is_withdrawn: false,
            });
        }
        rows.write(&stage.server.exchange.db).await;
        many::index(&stage.server.exchange.db).await;
        let found = inbox(stage.client("ISR:avi")).await;
        assert!(found.more);
        assert_eq!(found.items.len(), 100);
        assert!(found.items.iter().all(|item| item.kind == ItemKind::DeadlineNear));
        let others = inbox(stage.client("ISR:tamar")).await;
        assert!(others.items.is_empty() && !others.more, "what others have to do is nothing of hers");
        stage.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_hidden_takes_no_place_and_tells_of_no_deadline() {
    for stage in stages().await {
        stage.clock.set(stage.deadline - SignedDuration::from_hours(24 * 3));
        let (mut rows, members) = (Rows::new(), [id("ISR:avi"), id("USA:bob")]);
        for number in 0..=450 {
            rows.proposal(&many::Proposal {
                id: many::id("prop", number + 1),
                call: stage.call,
                topic: Some(if number == 0 { "navigation" } else { "energy" }),
                members: &members,
                created_at: stage.clock.now() + SignedDuration::from_secs(i64::try_from(number).unwrap()),
                is_withdrawn: false,
            });
        }
        rows.write(&stage.server.exchange.db).await;
        many::index(&stage.server.exchange.db).await;
        stage.clock.set(stage.deadline - SignedDuration::from_hours(24 * 2));
        let hides = |id: &str, when: &str| {
            format!(
                r#"@id("{id}") @side("release") @reason("nobody for now")
                forbid(principal, action == Action::"View", resource) when {{ {when} }};"#
            )
        };
        stage.israel_adds(&hides("no-energy", r#"resource has topic && resource.topic == "energy""#)).await;
        let found = inbox(stage.client("ISR:avi")).await;
        let proposals: Vec<_> = found.items.iter().map(|item| item.proposal).collect();
        assert_eq!((proposals, found.more), (vec![Some(many::id("prop", 1))], false), "the oldest of all");
        assert_eq!(found.next_deadline.unwrap().at.0, stage.deadline);
        stage.israel_adds(&hides("no-party", "resource.party_members.contains(principal)")).await;
        let found = inbox(stage.client("ISR:avi")).await;
        assert!(found.items.is_empty() && !found.more && found.next_deadline.is_none(), "{found:?}");
        stage.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn invitations_of_one_nation_take_no_place_from_those_of_another() {
    for stage in stages().await {
        let (mut rows, members) = (Rows::new(), [id("ISR:avi"), id("USA:bob")]);
        for number in 1..=250 {
            rows.proposal(&many::Proposal {
                id: many::id("prop", number),
                call: stage.call,
                topic: None,
                members: &members,
                created_at: stage.clock.now(),
                is_withdrawn: false,
            });
        }
        let db = &stage.server.exchange.db;
        rows.write(db).await;
        let mut tx = db.write().await.unwrap();
        for number in 1..=250_u64 {
            // Israel's own came first.
            let asks = if number == 1 { "ISR:avi" } else { "USA:bob" };
            let sql = "INSERT INTO party_invitations \
                       (proposal_id, member, number, partner, invited_by, invited_at, sha256, statement) \
                       VALUES ($1, 'ISR:tamar', 1, 'ISR', $2, $3, '', '')";
            let proposal: ProposalId = many::id("prop", number);
            tx.execute(sql, args![proposal, asks, i64::try_from(number).unwrap()]).await.unwrap();
        }
        let found = store::invitations(&mut tx, &id("ISR:tamar"), 200, 2_000).await.unwrap();
        assert_eq!(found.len(), 201);
        let (newest, oldest) = (found[0].proposal, found[200].proposal);
        assert_eq!((newest, oldest), (many::id("prop", 250), many::id("prop", 1)));
        drop(tx);
        stage.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn inbox_leaves_no_entry_and_names_nothing_but_identifiers() {
    let (stage, proposal) = Stage::at(Step::UnderReview).await;
    let last = async || {
        let mut tx = stage.server.exchange.db.read().await.unwrap();
        entente::storage::entries::last(&mut tx).await.unwrap()
    };
    let before = last().await;
    let found = inbox(stage.client("ISR:maya")).await;
    assert_eq!(last().await, before);
    let text = serde_json::to_string(&found).unwrap();
    assert!(text.contains(&proposal.to_string()));
    for word in ["Lodestone", "Joint industrial", "navigation", "Kinneret", "USA:", "ISR:"] {
        assert!(!text.contains(word), "{word}: {text}");
    }
    for item in found.items {
        assert!(in_words(item, &BegunHere::default()).command.starts_with("entente "));
    }
    stage.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn relay_learns_how_much_waits_for_its_nations_members_and_nothing_else() {
    for store in [Store::Sqlite, Store::Postgres] {
        let Some(world) = TestWorld::start(WITH_RELAY, store).await else { continue };
        let stage = Stage::open_in(world).await;
        let proposal = stage.under_review().await;
        stage.client("ISR:avi").invite(proposal, &id("ISR:tamar")).await.unwrap();
        let relay = stage.client("ISR:relay");
        // The members' own lists keep the places in which they are remembered.
        let remembered = || format!("{:?}", stage.server.exchange.lists);
        inbox(stage.client("ISR:maya")).await;
        let before = remembered();
        let waiting = relay.api().waiting().await.unwrap();
        assert_eq!(remembered(), before);
        inbox(stage.client("ISR:noa")).await;
        assert_ne!(remembered(), before, "a member's own inbox takes one");
        let members: BTreeSet<MemberId> = waiting.iter().map(|one| one.member.clone()).collect();
        let expected = ["approver", "avi", "drafter", "eitan", "maya", "noa", "registrar", "tamar", "yael"];
        assert_eq!(members, expected.map(|handle| id(&format!("ISR:{handle}"))).into());
        for one in &waiting {
            let items = inbox(stage.client(&one.member.to_string())).await.items;
            let due = items.iter().filter_map(|item: &InboxItem| item.due_at).filter(|due| due.0 > stage.clock.now());
            let things: BTreeSet<_> = items.iter().map(|item| (item.kind, item.call, item.owner.clone())).collect();
            assert_eq!((one.items as usize, one.next_due_at), (things.len(), due.min()), "{}", one.member);
        }
        let of: BTreeMap<String, u32> = waiting.iter().map(|one| (one.member.to_string(), one.items)).collect();
        assert_eq!((of["ISR:maya"], of["ISR:yael"]), (1, 0));

        // Page by page it is the same list.
        let (mut all, mut paging): (Vec<Waiting>, _) = (Vec::new(), Paging { cursor: None, limit: Some(2) });
        loop {
            let Page { items, next } = relay.api().waiting_page(&paging).await.unwrap();
            assert!(items.len() <= 2);
            all.extend(items);
            paging.cursor = next;
            if paging.cursor.is_none() {
                break;
            }
        }
        assert_eq!(all, waiting);

        // Neither an inbox of its own nor anything that other members may know of.
        assert!(is_denied(&relay.api().inbox().await.unwrap_err()));
        assert!(is_denied(&relay.api().programs(&Paging::default()).await.unwrap_err()));
        assert!(relay.api().calls(None, &Paging::default()).await.unwrap().items.is_empty());
        assert!(relay.api().all_proposals(None).await.unwrap().is_empty());
        assert_eq!(relay.api().call(stage.call).await.unwrap_err().slug(), Some("not-found"));
        for member in ["ISR:noa", "ISR:registrar", "ISR:drafter", "USA:dana"] {
            assert!(is_denied(&stage.client(member).api().waiting().await.unwrap_err()), "{member}");
        }

        // Nor by a role that it is given in a call.
        let roles = BTreeSet::from([CallRole::Reviewer]);
        stage.client("USA:dana").grant_roles(stage.call, &id("ISR:relay"), &roles).await.unwrap();
        assert!(relay.api().calls(None, &Paging::default()).await.unwrap().items.is_empty());
        assert!(relay.api().all_proposals(None).await.unwrap().is_empty());
        stage.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn number_that_a_relay_learns_is_the_same_for_twelve_proposals_as_for_one() {
    for store in [Store::Sqlite, Store::Postgres] {
        let Some(world) = TestWorld::start(WITH_RELAY, store).await else { continue };
        let stage = Stage::open_in(world).await;
        stage.clock.set(stage.deadline - SignedDuration::from_hours(24 * 3));
        let avi = async || {
            let waiting = stage.client("ISR:relay").api().waiting().await.unwrap();
            waiting.into_iter().find(|one| one.member == id("ISR:avi")).unwrap()
        };
        assert_eq!(avi().await.items, 0);
        let (mut rows, members) = (Rows::new(), [id("ISR:avi"), id("USA:bob")]);
        let mut learnt = Vec::new();
        for number in 1..=12 {
            rows.proposal(&many::Proposal {
                id: many::id("prop", number),
                call: stage.call,
                topic: Some("navigation"),
                members: &members,
                created_at: stage.clock.now(),
                is_withdrawn: false,
            });
            if matches!(number, 1 | 12) {
                rows.write(&stage.server.exchange.db).await;
                many::index(&stage.server.exchange.db).await;
                assert_eq!(inbox(stage.client("ISR:avi")).await.items.len() as u64, number);
                learnt.push(avi().await);
            }
        }
        assert_eq!(learnt[0].items, 1);
        assert_eq!(learnt[0], learnt[1]);
        stage.stop().await;
    }
}

fn is_denied(error: &ClientError) -> bool {
    error.slug() == Some("denied")
}
