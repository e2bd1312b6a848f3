//! How long a request with as many lines as one may have holds its turn at writing, and so everybody else's acts up: assignments,
//! wrapped keys, a proposal with invitations and wrapped keys, beside an act of one line.
//!
//! `cargo bench --bench turns` on SQLite and, where it is installed, PostgreSQL, through the whole exchange. Another writer asks for the turn again and
//! again meanwhile; the longest that it waits is how long the turn was held. The database is in memory, as in tests, so what the disk takes for
//! the one sync at the end comes on top.

#![expect(clippy::unwrap_used, reason = "a benchmark that cannot go on says so and ends")]

#[path = "../tests/it/harness/mod.rs"]
#[expect(dead_code, reason = "made for tests, which use all of it")]
mod harness;

use base64::{Engine, prelude::BASE64_STANDARD};
use entente::{
    client::directory::NewKeyCard,
    domain::{
        ambient::{Clock, SystemClock, SystemRng},
        id::{MemberId, ProposalId, Sha256, VaultId},
        proposal::Parties,
        vault::{VaultKind, WrapTarget},
    },
    sealing::{
        identity::new_identity,
        jws::SigningKey,
        seal::seal_bytes,
        statement::{InvitationStatement, VaultStatement, WrapStatement, sign_statement},
    },
    storage::args,
    wire::{
        directory::CreateProgram,
        proposal::{AddKeys, CreateProposal, NewVault, WrappedKeyIn},
        review::Assign,
    },
};
use harness::{
    many::{self, Rows},
    stage::{self, NATIONS, Stage, code, id, slug},
    world::{Store, TestWorld},
};
use jiff::SignedDuration;
use std::{
    collections::BTreeMap,
    env,
    time::{Duration, Instant},
};
use tokio::sync::oneshot;

/// As many keys, over all vaults, and invitations as a request may have.
const KEYS: usize = 128;
const INVITATIONS: usize = 100;
/// How many proposals there are; one request assigns to `Assign::MOST` of them.
const PROPOSALS: usize = 40;
/// How many requests with many lines are measured.
const TIMES: usize = 3;
const REVIEWERS: [&str; TIMES] = ["USA:carol", "ISR:yael", "ISR:maya"];
/// Those for whom keys are wrapped, each with as many recipients as a key card may name.
const HOLDERS: [&str; 9] =
    ["USA:carol", "ISR:yael", "ISR:maya", "USA:frank", "ISR:eitan", "USA:bob", "ISR:avi", "ISR:tamar", "ISR:drafter"];
const RECIPIENTS: usize = 16;

fn main() {
    if env::args().any(|argument| argument == "--test") {
        return;
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        for (name, store) in [("SQLite", Store::Sqlite), ("PostgreSQL", Store::Postgres)] {
            match TestWorld::start(NATIONS, store).await {
                Some(world) => measure(name, Stage::open_in(world).await).await,
                None => println!("{name} is not installed"),
            }
            if let Some(world) = TestWorld::start(NATIONS, store).await {
                measure_beginnings(name, world).await;
            }
        }
    });
}

async fn measure(engine: &str, stage: Stage) {
    let mut proposals = Vec::new();
    for _ in 0..PROPOSALS {
        proposals.push(stage.submitted().await);
    }
    for proposal in &proposals[..TIMES] {
        for member in &HOLDERS[7..] {
            stage.joins("ISR:avi", *proposal, member).await;
        }
    }
    stage.pass_the_opening();
    let (mut one, mut assigned) = (Vec::new(), Vec::new());
    for proposal in &proposals {
        one.push(held(&stage, stage.clear(*proposal, &["USA:dana"])).await);
    }
    for reviewer in REVIEWERS {
        let pairs: Vec<_> = proposals[..Assign::MOST].iter().map(|proposal| (*proposal, reviewer)).collect();
        assigned.push(held(&stage, async { drop(stage.assign(&pairs, false).await) }).await);
    }
    let recipients = many_recipients(&stage).await;
    let mut wrapped = Vec::new();
    for proposal in &proposals[..TIMES] {
        stage.clear(*proposal, &["ISR:noa"]).await;
        stage.clear(*proposal, &HOLDERS[..5]).await;
        let (vault, keys) = keys(&stage, *proposal, &recipients).await;
        let api = stage.client("ISR:noa").api();
        wrapped.push(held(&stage, async { api.add_keys(vault, &keys).await.unwrap() }).await);
    }
    report(engine, "one declaration", &mut one);
    report(engine, &format!("{} assignments", Assign::MOST), &mut assigned);
    report(engine, &format!("{KEYS} wrapped keys"), &mut wrapped);
    stage.stop().await;
}

/// Proposals of three parties that begin with as many invitations and keys as a request may have.
async fn measure_beginnings(engine: &str, world: TestWorld) {
    let dana = world.client("USA:dana");
    let partners = ["USA", "ISR", "KOR"].map(code).into();
    let body = CreateProgram { name: "Three nations".into(), lead: code("USA"), partners };
    let program = dana.api().create_program(&body).await.unwrap().id;
    let now = world.clock.now();
    let deadline = now + SignedDuration::from_hours(24 * 30);
    let mut text = stage::text(now, deadline);
    text.eligible.insert(code("KOR"));
    text.parties.at_most = 3;
    let draft = dana.draft_call(program, &text).await.unwrap();
    let call = dana.publish_call(draft.id).await.unwrap().id;
    let stage = Stage::around(world, program, call, deadline);
    let guests = guests(&stage).await;
    let mut begun = Vec::new();
    for _ in 0..TIMES {
        let body = beginning(&stage, &guests).await;
        let api = stage.client("ISR:avi").api();
        begun.push(held(&stage, async { drop(api.create_proposal(&body).await.unwrap()) }).await);
    }
    report(engine, &format!("{INVITATIONS} invitations, {KEYS} keys"), &mut begun);
    stage.stop().await;
}

fn report(engine: &str, what: &str, times: &mut [Duration]) {
    times.sort();
    let (median, longest) = (times[times.len() / 2].as_secs_f64() * 1e3, times[times.len() - 1].as_secs_f64() * 1e3);
    println!("{engine:<11} {what:<26} {median:6.1} ms   longest {longest:6.1} ms");
}

/// Members of three nations, so many that a request asks them all to join, each with one recipient.
async fn guests(stage: &Stage) -> Vec<(MemberId, String)> {
    let nations = ["ISR", "USA", "KOR"].into_iter().cycle();
    let guest = |(nation, number): (&str, usize)| (id(&format!("{nation}:guest-{number}")), new_identity());
    let guests = nations.zip(0..INVITATIONS).map(guest);
    let guests: Vec<_> = guests.map(|(member, identity)| (member, identity.recipient().to_owned())).collect();
    let (db, mut rows) = (&stage.server.exchange.db, Rows::new());
    for (member, _) in &guests {
        rows.member(member, &format!("Guests of {}", member.partner()), "");
    }
    rows.write(db).await;
    let mut tx = db.write().await.unwrap();
    for (member, recipient) in &guests {
        let sql = "INSERT INTO member_recipients (member, recipient) VALUES ($1, $2)";
        tx.execute(sql, args![member, recipient]).await.unwrap();
    }
    tx.commit().await.unwrap();
    many::index(db).await;
    guests
}

/// A proposal of Avi's that asks all guests to join, with keys for as many of them as it may.
async fn beginning(stage: &Stage, guests: &[(MemberId, String)]) -> CreateProposal {
    let (me, key) = (id("ISR:avi"), signing_key(stage, "ISR:avi"));
    let proposal = ProposalId::new_of(&me, &SystemClock, &SystemRng);
    let publication = stage.client("ISR:avi").call(stage.call).await.unwrap().publication.clone();
    let mut parties = Parties::from([(me.partner().clone(), [me.clone()].into())]);
    let mut invitations = BTreeMap::new();
    for (member, _) in guests {
        parties.entry(member.partner().clone()).or_default().insert(member.clone());
        let statement = InvitationStatement { proposal, member: member.clone(), stated_at: stage.clock.now() };
        invitations.insert(member.clone(), sign_statement(&key, &statement).unwrap());
    }
    // Korea's policies let nobody read here.
    let readers: Vec<_> = guests.iter().filter(|(member, _)| *member.partner() != code("KOR")).collect();
    let mut room = KEYS;
    let mut vaults = Vec::new();
    for (kind, party) in
        [(VaultKind::Staff, Some(me.partner().clone())), (VaultKind::Panel, None), (VaultKind::Parties, None)]
    {
        let vault = VaultId::new_of(&me, &SystemClock, &SystemRng);
        let recipient = new_identity().recipient().to_owned();
        let mut keys = vec![wrap(&key, vault, WrapTarget::Vault(publication.vault), &publication.recipient)];
        let holders = if party.is_some() { &[] } else { &readers[..readers.len().min(room - 1)] };
        keys.extend(holders.iter().map(|(member, to)| wrap(&key, vault, WrapTarget::Member(member.clone()), to)));
        room -= keys.len();
        let statement = VaultStatement { vault, kind, call: stage.call, proposal: Some(proposal), party, recipient };
        vaults.push(NewVault { statement: sign_statement(&key, &statement).unwrap(), keys });
    }
    assert_eq!(room, 0);
    CreateProposal { id: proposal, call: stage.call, topic: Some(slug("navigation")), parties, invitations, vaults }
}

/// For how long the act held the turn: the longest that another writer waited meanwhile.
async fn held(stage: &Stage, act: impl Future<Output = ()>) -> Duration {
    let db = stage.server.exchange.db.clone();
    let (ended, mut end) = oneshot::channel::<()>();
    let other = tokio::spawn(async move {
        let mut longest = Duration::ZERO;
        while end.try_recv().is_err_and(|error| error == oneshot::error::TryRecvError::Empty) {
            let began = Instant::now();
            drop(db.write().await.unwrap());
            longest = longest.max(began.elapsed());
        }
        longest
    });
    act.await;
    drop(ended);
    other.await.unwrap()
}

/// Gives each holder a key card with as many recipients as it may name.
async fn many_recipients(stage: &Stage) -> Vec<(&'static str, String)> {
    let mut all = Vec::new();
    for holder in HOLDERS {
        let present = stage.again("USA:dana").issued_member(&id(holder)).await.unwrap().card.clone();
        let more = (1..RECIPIENTS).map(|_| new_identity().recipient().to_owned());
        let recipients: Vec<String> = more.chain(present.recipients).collect();
        all.extend(recipients[..RECIPIENTS - 1].iter().map(|recipient| (holder, recipient.clone())));
        let new = NewKeyCard {
            member: id(holder),
            name: present.name,
            organisation: present.organisation,
            roles: present.roles,
            recipients,
            certificates: present.certificates,
            valid_from: None,
            valid_until: present.valid_until,
        };
        stage.client(&format!("{}:registrar", &holder[..3])).issue_key_card(&new).await.unwrap();
    }
    all.truncate(KEYS);
    assert_eq!(all.len(), KEYS);
    all
}

/// A request that wraps the panel's vault for each of them.
async fn keys(stage: &Stage, proposal: ProposalId, recipients: &[(&'static str, String)]) -> (VaultId, AddKeys) {
    let vaults = stage.client("ISR:noa").api().vaults(proposal).await.unwrap();
    let vault = vaults.iter().find(|vault| vault.kind == VaultKind::Panel).unwrap().id;
    let key = signing_key(stage, "ISR:noa");
    let to = |(holder, recipient): &(&str, String)| wrap(&key, vault, WrapTarget::Member(id(holder)), recipient);
    (vault, AddKeys { keys: recipients.iter().map(to).collect() })
}

fn signing_key(stage: &Stage, member: &str) -> SigningKey {
    let credential = stage.credential(member);
    SigningKey::from_pem(credential.private_key.expose().as_bytes(), credential.certificate.as_bytes()).unwrap()
}

/// A wrapped key with nothing in it.
fn wrap(key: &SigningKey, vault: VaultId, to: WrapTarget, recipient: &str) -> WrappedKeyIn {
    let recipient = recipient.to_owned();
    let ciphertext = seal_bytes(std::slice::from_ref(&recipient), b"nothing").unwrap();
    let statement = WrapStatement { vault, to, recipient, sha256: Sha256::of(&ciphertext) };
    let statement = sign_statement(key, &statement).unwrap();
    WrappedKeyIn { statement, ciphertext: BASE64_STANDARD.encode(ciphertext) }
}
