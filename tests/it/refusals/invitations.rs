//! Parties by consent: who is asked to join is no party, is kept from nothing and keeps nobody from anything until they accept by their
//! own signature; and the exchange can make nobody a member.

use super::lies::{key_of, tamper};
use crate::harness::{
    bulk,
    stage::{Stage, Step, code, id, pdf, quiet, slug, summary},
    world::Store,
};
use entente::{
    client::{ExitClass, api::Paging, parties::HandOver, proposals::NewProposal, verified::VersionChoice},
    domain::{
        ambient::{Clock, SystemRng},
        entry::EntryKind,
        id::ProposalId,
        member::CallRole,
        proposal::{Sort, Status},
    },
    sealing::statement::{AcceptanceStatement, InvitationStatement, sign_statement, verify_signed},
    storage::args,
    wire::proposal::{AcceptInvitation, CreateProposal, Filter},
};
use jiff::SignedDuration;
use std::collections::BTreeMap;

async fn begun(stage: &Stage) -> ProposalId {
    stage.client("ISR:avi").create_proposal(&stage.joint()).await.unwrap().id
}

/// The proposals that a member's list shows.
async fn listed(stage: &Stage, member: &str) -> Vec<ProposalId> {
    let (filter, paging) = (Filter::default(), Paging::default());
    let page = stage.client(member).api().proposals(&filter, Sort::Created, &paging).await.unwrap();
    page.items.iter().map(|proposal| proposal.id).collect()
}

async fn naming_somebody_bars_nobody(store: Store) {
    let Some(stage) = Stage::open_on(store).await else { return };
    let (dana, bob) = (stage.client("USA:dana"), stage.client("USA:bob"));
    let proposal = begun(&stage).await;
    assert_eq!(listed(&stage, "USA:bob").await, [proposal]);
    // A rival could so have kept Bob from every role.
    dana.grant_roles(stage.call, &id("USA:bob"), &[CallRole::Reviewer].into()).await.unwrap();
    assert_eq!(listed(&stage, "USA:bob").await, []);
    stage.refuses("not-found", bob.api().proposal(proposal)).await;
    stage.refuses("not-found", bob.api().joined(proposal)).await;
    dana.grant_roles(stage.call, &id("USA:bob"), &[].into()).await.unwrap();
    assert_eq!(listed(&stage, "USA:bob").await, [proposal], "nothing was lost by it");
    let shown = bob.api().proposal(proposal).await.unwrap();
    assert!(shown.mine.is_invited && !shown.mine.is_party && shown.invited == [id("USA:bob")].into());
    assert!(shown.parties[&code("USA")].is_empty());
    bob.accept_invitation(proposal).await.unwrap();
    let shown = bob.api().proposal(proposal).await.unwrap();
    assert!(!shown.mine.is_invited && shown.mine.is_party && shown.invited.is_empty());
    // By his own signature he is a party, and judges nothing under the call.
    stage.refuses("unsuitable", dana.grant_roles(stage.call, &id("USA:bob"), &[CallRole::Reviewer].into())).await;
    stage.stop().await;
}

#[tokio::test]
async fn naming_somebody_bars_them_from_nothing_until_they_accept() {
    naming_somebody_bars_nobody(Store::Sqlite).await;
    naming_somebody_bars_nobody(Store::Postgres).await;
}

#[tokio::test]
async fn who_is_asked_looks_and_answers_and_does_nothing_else() {
    let stage = Stage::open().await;
    let (avi, bob) = (stage.client("ISR:avi"), stage.client("USA:bob"));
    let proposal = begun(&stage).await;
    avi.put_summary(proposal, &summary("Lodestone"), quiet()).await.unwrap();
    assert_eq!(bob.read_summary(proposal, VersionChoice::Working).await.unwrap().title, "Lodestone");
    let plan = stage.file("plan.pdf", &pdf("the work plan"));
    let place = slug("work-plan");
    let putting = bob.put_document(proposal, &place, &plan, None, quiet());
    stage.declines(ExitClass::Usage, "is not a member of a party", putting).await;
    stage.refuses("denied", bob.api().withdraw_proposal(proposal)).await;
    stage.refuses("denied", bob.invite(proposal, &id("USA:opal"))).await;
    stage.refuses("denied", bob.api().remove_member(proposal, &id("ISR:avi"))).await;
    let told = async || bob.api().entries(&[EntryKind::MemberInvited], &Paging::default()).await.unwrap().items.len();
    assert_eq!(told().await, 0, "the parties' entries are for parties");
    bob.accept_invitation(proposal).await.unwrap();
    bob.put_document(proposal, &place, &plan, None, quiet()).await.unwrap();
    assert_eq!(told().await, 1);
    stage.stop().await;
}

#[tokio::test]
async fn party_that_nobody_joined_is_asked_by_the_others() {
    let stage = Stage::open().await;
    let (avi, bob) = (stage.client("ISR:avi"), stage.client("USA:bob"));
    let proposal = begun(&stage).await;
    stage.refuses("exists", avi.invite(proposal, &id("USA:bob"))).await;
    bob.remove_member(proposal, &id("USA:bob")).await.unwrap();
    stage.refuses("not-found", bob.api().proposal(proposal)).await;
    let declined = avi.api().entries(&[EntryKind::InvitationDeclined], &Paging::default()).await.unwrap().items;
    assert_eq!(declined.len(), 1);
    let mut tx = stage.server.exchange.db.read().await.unwrap();
    let held = "SELECT COUNT(*) AS held FROM wrapped_keys WHERE holder = 'USA:bob'";
    assert_eq!(tx.fetch_one(held, args![]).await.unwrap().count("held").unwrap(), 0, "his keys go with it");
    drop(tx);
    // Another colleague is asked, one who judges like any, and the invitation can be taken back.
    for member in ["USA:frank", "USA:opal"] {
        avi.invite(proposal, &id(member)).await.unwrap();
        avi.remove_member(proposal, &id(member)).await.unwrap();
    }
    stage.refuses("not-found", stage.client("USA:opal").api().proposal(proposal)).await;
    avi.invite(proposal, &id("USA:bob")).await.unwrap();
    bob.accept_invitation(proposal).await.unwrap();
    // From now on the American party asks for itself.
    stage.declines(ExitClass::Usage, "another partner", avi.invite(proposal, &id("USA:opal"))).await;
    stage.joins("USA:bob", proposal, "USA:opal").await;
    stage.stop().await;
}

#[tokio::test]
async fn last_member_leaves_until_the_party_has_signed() {
    let stage = Stage::open().await;
    let (avi, bob) = (stage.client("ISR:avi"), stage.client("USA:bob"));
    let proposal = stage.prepared().await;
    // A later member would inherit what is restricted to the party.
    stage.refuses("last-of-party", bob.api().remove_member(proposal, &id("USA:bob"))).await;
    bob.remove_document(proposal, &slug("shareholders")).await.unwrap();
    bob.remove_member(proposal, &id("USA:bob")).await.unwrap();
    assert!(avi.api().proposal(proposal).await.unwrap().parties[&code("USA")].is_empty());
    stage.refuses("last-of-party", avi.api().remove_member(proposal, &id("ISR:avi"))).await;
    avi.invite(proposal, &id("USA:bob")).await.unwrap();
    bob.accept_invitation(proposal).await.unwrap();
    stage.put("USA:bob", proposal, "shareholders", &stage.file("again.pdf", &pdf("again"))).await;
    stage.sign("USA:bob", proposal).await;
    stage.refuses("last-of-party", bob.api().remove_member(proposal, &id("USA:bob"))).await;
    // Handing over takes the colleague's word; he goes once she has given it.
    assert_eq!(avi.hand_over(proposal, &id("ISR:tamar"), true).await.unwrap(), HandOver::Asked);
    assert_eq!(avi.hand_over(proposal, &id("ISR:tamar"), true).await.unwrap(), HandOver::Asked, "and is asked once");
    stage.client("ISR:tamar").accept_invitation(proposal).await.unwrap();
    // Who was shown that she is only asked is not taken out because she has joined meanwhile.
    let tamar = id("ISR:tamar");
    stage.declines(ExitClass::Usage, "has joined meanwhile", avi.hand_over(proposal, &tamar, false)).await;
    assert_eq!(avi.hand_over(proposal, &id("ISR:tamar"), true).await.unwrap(), HandOver::Done);
    stage.sign("ISR:tamar", proposal).await;
    assert_eq!(bob.api().proposal(proposal).await.unwrap().status, Status::Submitted);
    stage.stop().await;
}

#[tokio::test]
async fn what_is_withdrawn_or_lapsed_bars_nobody() {
    let stage = Stage::open().await;
    let (avi, bob, dana) = (stage.client("ISR:avi"), stage.client("USA:bob"), stage.client("USA:dana"));
    let proposal = stage.submitted().await;
    let (who, role) = (id("USA:bob"), [CallRole::Reviewer].into());
    let reviewer = || dana.grant_roles(stage.call, &who, &role);
    stage.refuses("unsuitable", reviewer()).await;
    avi.api().withdraw_proposal(proposal).await.unwrap();
    bob.api().withdraw_proposal(proposal).await.unwrap();
    reviewer().await.unwrap();
    // What he judges by now does not come back to life with him in it.
    stage.refuses("unsuitable", avi.api().reinstate_proposal(proposal)).await;
    dana.grant_roles(stage.call, &id("USA:bob"), &[].into()).await.unwrap();
    avi.api().reinstate_proposal(proposal).await.unwrap();
    stage.refuses("unsuitable", reviewer()).await;
    // Bob's wish stands still.
    avi.api().withdraw_proposal(proposal).await.unwrap();
    // Never handed in: the time went by.
    let other = stage.prepared().await;
    stage.refuses("unsuitable", reviewer()).await;
    stage.pass_the_opening();
    assert_eq!(bob.api().proposal(other).await.unwrap().status, Status::Lapsed);
    reviewer().await.unwrap();
    stage.stop().await;
}

#[tokio::test]
async fn label_of_a_withdrawn_proposal_keeps_no_nation_from_its_officer() {
    let stage = Stage::open().await;
    let (avi, bob, dana) = (stage.client("ISR:avi"), stage.client("USA:bob"), stage.client("USA:dana"));
    let proposal = stage.submitted().await;
    // As if the owners alone were in its label; Korea takes part in the program.
    for sql in [
        "INSERT INTO program_partners SELECT program_id, 'KOR' FROM programs",
        "UPDATE proposals SET releasable_key = ' ISR USA '",
        "INSERT INTO label_partners SELECT proposal_id, partner FROM proposal_parties",
    ] {
        tamper(&stage, sql, args![]).await;
    }
    let (who, role) = (id("KOR:minjun"), [CallRole::Officer].into());
    let officer = || dana.grant_roles(stage.call, &who, &role);
    stage.refuses("unsuitable", officer()).await;
    for party in [avi, bob] {
        party.api().withdraw_proposal(proposal).await.unwrap();
    }
    officer().await.unwrap();
    stage.stop().await;
}

#[tokio::test]
async fn host_makes_nobody_a_member_of_a_party() {
    let (stage, proposal) = Stage::at(Step::Prepared).await;
    let nobody = "no chain of signatures leads from them";
    let insert = "INSERT INTO proposal_members (proposal_id, member, partner, added_at) SELECT proposal_id, 'ISR:tamar', 'ISR', 0 FROM proposals";
    tamper(&stage, insert, args![]).await;
    let wrapped = stage.client("ISR:avi").wrap_missing(proposal).await.unwrap();
    assert!(wrapped.done.is_empty() && !wrapped.refused.is_empty(), "{wrapped:?}");
    assert!(wrapped.refused.iter().all(|(_, why)| why.to_string().contains(nobody)), "{wrapped:?}");
    // Nor by an acceptance of her own, under an invitation that nobody of the proposal signed.
    tamper(&stage, "DELETE FROM proposal_members WHERE member = 'ISR:tamar'", args![]).await;
    stage.client("ISR:avi").invite(proposal, &id("ISR:tamar")).await.unwrap();
    stage.client("ISR:tamar").accept_invitation(proposal).await.unwrap();
    tamper(&stage, "DELETE FROM wrapped_keys WHERE holder = 'ISR:tamar'", args![]).await;
    tamper(&stage, "UPDATE party_invitations SET invited_by = 'ISR:yael' WHERE member = 'ISR:tamar'", args![]).await;
    let wrapped = stage.again("ISR:avi").wrap_missing(proposal).await.unwrap();
    assert!(wrapped.done.is_empty() && !wrapped.refused.is_empty(), "{wrapped:?}");
    tamper(&stage, "UPDATE party_invitations SET invited_by = 'ISR:avi' WHERE member = 'ISR:tamar'", args![]).await;
    let wrapped = stage.again("ISR:avi").wrap_missing(proposal).await.unwrap();
    assert!(wrapped.done.len() == 3 && wrapped.refused.is_empty(), "{wrapped:?}");
    stage.stop().await;
}

#[tokio::test]
async fn who_left_and_comes_back_breaks_nobodys_signatures() {
    let stage = Stage::open().await;
    let (avi, bob, opal) = (stage.client("ISR:avi"), stage.client("USA:bob"), stage.client("USA:opal"));
    let proposal = stage.begun().await;
    stage.joins("USA:bob", proposal, "USA:opal").await;
    assert_eq!(bob.hand_over(proposal, &id("USA:opal"), true).await.unwrap(), HandOver::Done);
    // Opal came by Bob's invitation, and asks him back.
    opal.invite(proposal, &id("USA:bob")).await.unwrap();
    bob.remove_member(proposal, &id("USA:bob")).await.unwrap();
    stage.joins("USA:opal", proposal, "USA:bob").await;
    tamper(&stage, "DELETE FROM wrapped_keys WHERE holder IN ('USA:bob', 'USA:opal')", args![]).await;
    let wrapped = avi.wrap_missing(proposal).await.unwrap();
    assert!(!wrapped.done.is_empty() && wrapped.refused.is_empty(), "{wrapped:?}");
    stage.stop().await;
}

#[tokio::test]
async fn other_party_puts_nobody_beside_what_is_restricted() {
    let stage = Stage::open().await;
    let mut joint = stage.joint();
    joint.parties.get_mut(&code("ISR")).unwrap().insert(id("ISR:tamar"));
    // Bob begins it, and names two of Israel.
    let begun = stage.client("USA:bob").create_proposal(&joint).await.unwrap();
    stage.join_all(&begun).await.unwrap();
    let (avi, tamar) = (stage.client("ISR:avi"), stage.client("ISR:tamar"));
    let file = stage.file("holders.pdf", &pdf("holders"));
    avi.put_document(begun.id, &slug("shareholders"), &file, None, quiet()).await.unwrap();
    let wrapped = avi.wrap_missing(begun.id).await.unwrap();
    let told = "was asked into your party";
    assert!(wrapped.done.is_empty() && wrapped.refused.len() == 1, "{wrapped:?}");
    assert!(wrapped.refused[0].1.to_string().contains(told), "{wrapped:?}");
    // If Avi wants her in it, he asks her himself.
    tamar.remove_member(begun.id, &id("ISR:tamar")).await.unwrap();
    stage.joins("ISR:avi", begun.id, "ISR:tamar").await;
    let out = stage.plan.dir.join("opened.pdf");
    tamar.open_document(begun.id, &slug("shareholders"), None, VersionChoice::Working, &out, quiet()).await.unwrap();
    stage.stop().await;
}

#[tokio::test]
async fn party_takes_no_key_from_who_judges_by_an_invitation() {
    let stage = Stage::open().await;
    let (avi, bob, dana) = (stage.client("ISR:avi"), stage.client("USA:bob"), stage.client("USA:dana"));
    let proposal = stage.prepared().await;
    bob.invite(proposal, &id("USA:opal")).await.unwrap();
    stage.sign("ISR:avi", proposal).await;
    stage.sign("USA:bob", proposal).await;
    stage.pass_the_opening();
    dana.grant_roles(stage.call, &id("USA:opal"), &[CallRole::Reviewer].into()).await.unwrap();
    stage.clear(proposal, &["USA:dana"]).await;
    stage.assign(&[(proposal, "USA:opal")], false).await;
    stage.clear(proposal, &["USA:opal"]).await;
    stage.prepare_panel().await;
    stage.client("USA:opal").read_summary(proposal, VersionChoice::Standing).await.unwrap();
    bob.remove_member(proposal, &id("USA:opal")).await.unwrap();
    stage.client("USA:opal").read_summary(proposal, VersionChoice::Standing).await.unwrap();
    let told = avi.api().entries(&[EntryKind::KeyRemoved], &Paging::default()).await.unwrap().items;
    assert!(told.is_empty(), "{told:?}");
    stage.stop().await;
}

#[tokio::test]
async fn acceptance_is_of_this_invitation_and_once() {
    let stage = Stage::open().await;
    let (avi, bob) = (stage.client("ISR:avi"), stage.client("USA:bob"));
    let (proposal, other) = (begun(&stage).await, begun(&stage).await);
    let invitation = async |proposal| {
        let jws = bob.api().joined(proposal).await.unwrap().remove(0).invitation;
        verify_signed::<InvitationStatement>(&jws).unwrap().payload_sha256
    };
    let (genuine, of_another) = (invitation(proposal).await, invitation(other).await);
    let now = stage.clock.now();
    let said = |proposal, member: &str, invitation_sha256, stated_at| {
        let statement = AcceptanceStatement { proposal, member: id(member), invitation_sha256, stated_at };
        AcceptInvitation { statement: sign_statement(&key_of(&stage, "USA:bob"), &statement).unwrap() }
    };
    let early = now - SignedDuration::from_hours(25);
    for wrong in [
        said(other, "USA:bob", genuine, now),
        said(proposal, "USA:opal", genuine, now),
        said(proposal, "USA:bob", of_another, now),
        said(proposal, "USA:bob", genuine, early),
    ] {
        stage.refuses("statement-invalid", bob.api().accept_invitation(proposal, &wrong)).await;
    }
    stage.refuses("not-invited", avi.api().accept_invitation(proposal, &said(proposal, "USA:bob", genuine, now))).await;
    bob.api().accept_invitation(proposal, &said(proposal, "USA:bob", genuine, now)).await.unwrap();
    let again = said(proposal, "USA:bob", genuine, now);
    stage.refuses("not-invited", bob.api().accept_invitation(proposal, &again)).await;
    stage.declines(ExitClass::Usage, "already", bob.accept_invitation(proposal)).await;
    stage.stop().await;
}

#[tokio::test]
async fn nobody_is_named_without_an_invitation_nor_beyond_the_number() {
    let stage = Stage::open().await;
    let avi = stage.client("ISR:avi");
    let new = |parties| CreateProposal {
        id: ProposalId::new_of(&id("ISR:avi"), &*stage.clock, &SystemRng),
        call: stage.call,
        topic: Some(slug("navigation")),
        parties,
        invitations: BTreeMap::new(),
        vaults: Vec::new(),
    };
    let NewProposal { mut parties, .. } = stage.joint();
    stage.refuses("statement-invalid", avi.api().create_proposal(&new(parties.clone()))).await;
    parties.get_mut(&code("USA")).unwrap().extend((0..40).map(|n| id(&format!("USA:somebody-{n}"))));
    stage.refuses("quota-reached", avi.api().create_proposal(&new(parties))).await;
    stage.stop().await;
}

#[tokio::test]
async fn proposal_begins_with_so_many_invitations_and_no_more() {
    let most = CreateProposal::MOST_INVITATIONS;
    let stage = Stage::open().await;
    let guests = bulk::guests(&stage, &["ISR", "USA"], most + 1).await;
    let recipients_each = guests.len() / (most + 1);
    let avi = stage.client("ISR:avi").api();

    let too_many = bulk::beginning(&stage, &guests).await;
    assert_eq!(too_many.invitations.len(), most + 1);
    let before = stage.census().await;
    let refused = avi.create_proposal(&too_many).await.unwrap_err();
    assert_eq!(refused.slug(), Some("malformed"), "{refused}");
    assert!(refused.to_string().contains(&format!("at most {most} invitations")), "{refused}");
    assert_eq!(stage.census().await, before);

    let enough = bulk::beginning(&stage, &guests[..most * recipients_each]).await;
    assert_eq!(enough.invitations.len(), most);
    avi.create_proposal(&enough).await.unwrap();
    let begun = avi.proposal(enough.id).await.unwrap();
    assert_eq!(begun.invited, enough.invitations.into_keys().collect());
    stage.stop().await;
}
