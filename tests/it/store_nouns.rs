//! The contract of the nouns' tables: what is written reads back, what cannot be twice is refused under one name, and pages come
//! in one order, on SQLite and on PostgreSQL alike.
//!
//! Permits are asked for of the shipped policies, as the service asks; storage takes no other.

use crate::store_facade::{Store, at, on_both_engines};
use entente::{
    domain::{
        call::{Extension, ExtensionScope, Moved, Phase},
        id::{CallId, MemberId, PartnerCode, ProgramId, ProposalId, Sha256, VaultId},
        member::{CallRole, PartnerRole},
        proposal::{Parties, Status},
        reference::{CallCode, Reference},
        vault::VaultKind,
    },
    policy::{
        Action, Engine, Guardrails, PartnerRules, Permit, Resource,
        facts::{CallFacts, MemberFacts, ProgramFacts, ProposalFacts},
    },
    storage::{
        args,
        calls::{self, NewText, Voided},
        extensions,
        members::{self, KeyCardRow, MemberRow},
        migrate,
        partners::{self, PartnerRow},
        programs::{self, ProgramRow},
        proposals::NewProposalRow,
        stated::NewStated,
        vaults::VaultRow,
    },
};
use std::{collections::BTreeSet, path::Path, str::FromStr, sync::Arc};

on_both_engines! {
    partner_is_enrolled_and_its_card_replaced,
    key_card_replaces_the_former_and_both_are_kept,
    members_come_page_by_page_in_the_order_of_bytes,
    program_reads_back_with_its_partners,
    call_goes_from_draft_to_cancelled,
    call_keeps_roles_and_extensions,
}

/// Does something in a unit of work of its own.
macro_rules! done {
    ($store:expr, $tx:ident => $act:expr) => {{
        let mut $tx = $store.db.write().await.unwrap();
        let answer = $act.await.unwrap();
        $tx.commit().await.unwrap();
        answer
    }};
}

/// Tries something that a constraint must refuse, and names that.
macro_rules! refused {
    ($store:expr, $tx:ident => $act:expr) => {{
        let mut $tx = $store.db.write().await.unwrap();
        let error = $act.await.unwrap_err();
        error.constraint().unwrap_or_else(|| panic!("{error:?}")).to_owned()
    }};
}

/// Looks at something.
macro_rules! seen {
    ($store:expr, $tx:ident => $look:expr) => {{
        let mut $tx = $store.db.read().await.unwrap();
        $look.await.unwrap()
    }};
}

mod many_rows;
mod proposals;
mod ties;

fn is<T: FromStr<Err: std::fmt::Debug>>(text: &str) -> T {
    text.parse().unwrap()
}

/// An identifier that ends in the letter; later letters sort later.
fn id<T: FromStr<Err: std::fmt::Debug>>(prefix: &str, letter: char) -> T {
    is(&format!("{prefix}_01J9ZQ4N6M8V7X5T3R2P1K0HG{letter}"))
}

const CAST: [&str; 8] =
    ["ISR:avi", "ISR:eitan", "ISR:maya", "ISR:noa", "ISR:registrar", "USA:bob", "USA:dana", "USA:frank"];

/// Everybody may do what is theirs: permits are not what is tested here.
struct Office {
    engine: Engine,
    program: ProgramFacts,
    call: CallFacts,
    proposal: ProposalFacts,
}

impl Office {
    fn new() -> Self {
        let two = [is::<PartnerCode>("ISR"), is("USA")];
        let rules = two.each_ref().map(|code| {
            let file = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("policies/partners/{code}.cedar"));
            let text = std::fs::read_to_string(file).unwrap();
            Arc::new(PartnerRules::parse(code.as_str(), code, &text).unwrap())
        });
        let engine = Engine::new(Arc::new(Guardrails::built_in()), rules);
        let program = ProgramFacts { id: id("prog", 'A'), lead: is("USA"), partners: two.clone().into() };
        let call = CallFacts {
            id: id("call", 'A'),
            program: Arc::new(program.clone()),
            draft: false,
            phase: Phase::Review,
            opened: true,
            closed: false,
            letters: entente::domain::call::LetterAudience::AllParties,
            eligible: two.clone().into(),
            funders: two.clone().into(),
            roles: [
                (CallRole::Officer, ["ISR:noa", "USA:dana"].map(is).into()),
                (CallRole::Reviewer, ["ISR:maya"].map(is).into()),
                (CallRole::Decider, ["ISR:eitan", "USA:frank"].map(is).into()),
            ]
            .into(),
        };
        let proposal = ProposalFacts {
            id: id("prop", 'A'),
            call: Arc::new(call.clone()),
            parties: two.into(),
            party_members: ["ISR:avi", "USA:bob"].map(is).into(),
            invited: ["ISR:registrar"].map(is).into(),
            organisations: [].into(),
            topic: None,
            status: Status::Submitted,
            conflicts: [].into(),
            assigned: ["ISR:maya"].map(is).into(),
            declared_clear: ["ISR:noa", "USA:dana", "ISR:maya", "ISR:eitan", "USA:frank"].map(is).into(),
            reviewed: [].into(),
            decided: false,
            label: None,
        };
        Self { engine, program, call, proposal }
    }

    fn facts(member: &str) -> MemberFacts {
        let host = member.starts_with("USA");
        let roles = [PartnerRole::ProgramOfficer, PartnerRole::Registrar].into();
        MemberFacts { id: is(member), organisation: member.to_owned(), roles, host }
    }

    fn permit(&self, who: &str, action: Action, resource: Resource<'_>) -> Permit {
        let outcome = self.engine.authorize(&Self::facts(who), action, resource);
        let told = format!("{who} {action}: {outcome:?}");
        outcome.permit().unwrap_or_else(|| panic!("{told}"))
    }

    fn on_call(&self, who: &str, action: Action) -> Permit {
        self.permit(who, action, Resource::Call(&self.call))
    }

    fn on_role(&self, who: &str, action: Action, subject: &str, role: CallRole) -> Permit {
        let subject = Self::facts(subject);
        self.permit(who, action, Resource::CallRole { call: &self.call, subject: &subject, role })
    }

    fn on_proposal(&self, who: &str, action: Action) -> Permit {
        self.permit(who, action, Resource::Proposal(&self.proposal))
    }

    fn on_member(&self, who: &str, action: Action, subject: &str, proposal: &ProposalFacts) -> Permit {
        self.permit(who, action, Resource::ProposalMember { proposal, subject: &Self::facts(subject) })
    }
}

fn partner_row(code: &str) -> PartnerRow {
    let card = format!("{{\"code\":\"{code}\"}}");
    PartnerRow {
        partner: is(code),
        name: format!("Nation {code}"),
        zone: "UTC".into(),
        card_sha256: Sha256::of(card.as_bytes()),
        card,
        suspension: None,
    }
}

fn member_row(member: &str, serial: u64) -> MemberRow {
    MemberRow {
        member: is(member),
        name: member.to_owned(),
        organisation: format!("Office of {member}"),
        roles: [PartnerRole::Custodian].into(),
        key_card: format!("card.{serial}.{member}"),
        serial,
        is_active: true,
        valid_from: at(1),
        valid_until: at(9_000),
    }
}

/// The key of a member.
fn key(of: &str) -> Sha256 {
    Sha256::of(of.as_bytes())
}

async fn publish(store: &Store, office: &Office, row: &MemberRow, keys: &[Sha256], recipients: &[String], now: i64) {
    let registrar = format!("{}:registrar", row.member.partner());
    let permit = office.permit(&registrar, Action::PublishKeyCard, Resource::Partner(row.member.partner()));
    done!(store, tx => members::publish(&mut tx, &permit, row, keys, recipients, at(now)));
}

async fn with_people(store: &Store) -> Office {
    migrate::run(&store.db, at(0)).await.unwrap();
    let office = Office::new();
    for code in ["USA", "ISR"] {
        done!(store, tx => partners::enrol(&mut tx, &partner_row(code), at(1)));
    }
    for member in CAST {
        publish(store, &office, &member_row(member, 1), &[key(member)], &[format!("age1{member}")], 2).await;
    }
    office
}

fn program_row(id: ProgramId) -> ProgramRow {
    let partners = ["ISR", "USA"].map(is).into();
    ProgramRow { id, name: "Joint".into(), lead: is("USA"), partners, created_by: is("USA:dana"), created_at: at(3) }
}

async fn with_call(store: &Store) -> Office {
    let office = with_people(store).await;
    let permit = office.permit("USA:dana", Action::CreateProgram, Resource::Exchange);
    done!(store, tx => programs::create(&mut tx, &permit, &program_row(office.program.id)));
    let permit = office.permit("USA:dana", Action::CreateCall, Resource::Program(&office.program));
    let text = NewText { code: &is("JOINT26"), json: "{}", sha256: Sha256::of(b"{}") };
    done!(store, tx => calls::draft(&mut tx, &permit, office.call.id, office.program.id, text, at(4)));
    office
}

fn owners() -> BTreeSet<PartnerCode> {
    ["ISR", "USA"].map(is).into()
}

fn parties() -> Parties {
    [(is("ISR"), ["ISR:avi"].map(is).into()), (is("USA"), ["USA:bob"].map(is).into())].into()
}

/// One for each proposal, by the last letter of its identifier.
fn reference(proposal: ProposalId) -> Reference {
    let last = proposal.to_string().into_bytes().pop().unwrap();
    Reference::new(&is("JOINT26"), &format!("{last:04}"))
}

async fn create(store: &Store, office: &Office, proposal: ProposalId) {
    let permit = office.on_call("ISR:avi", Action::CreateProposal);
    let (topic, reference, owners) = (is("energy"), reference(proposal), owners());
    let new = NewProposalRow {
        id: proposal,
        call: office.call.id,
        reference: &reference,
        topic: Some(&topic),
        parties: &owners,
    };
    done!(store, tx => entente::storage::proposals::create(&mut tx, &permit, new, at(5)));
}

async fn with_proposal(store: &Store) -> Office {
    let office = with_call(store).await;
    create(store, &office, office.proposal.id).await;
    let permit = office.on_proposal("USA:bob", Action::AnswerInvitation);
    done!(store, tx => entente::storage::proposals::join(&mut tx, &permit, office.proposal.id, at(5)));
    office
}

fn vault_row(office: &Office, letter: char, kind: VaultKind) -> VaultRow {
    VaultRow {
        id: id("vault", letter),
        kind,
        call: office.call.id,
        proposal: Some(office.proposal.id),
        party: (kind == VaultKind::Staff).then(|| is("ISR")),
        recipient: format!("age1{letter}"),
        statement: "a.b.c".into(),
        created_by: is("ISR:avi"),
    }
}

async fn partner_is_enrolled_and_its_card_replaced(store: Store) {
    with_people(&store).await;
    let codes = |rows: Vec<PartnerRow>| rows.into_iter().map(|row| row.partner.to_string()).collect::<Vec<_>>();
    assert_eq!(codes(seen!(store, tx => partners::all(&mut tx))), ["ISR", "USA"]);
    let generation = seen!(store, tx => partners::generation(&mut tx));
    let changed = PartnerRow { name: "Another name".into(), zone: "Asia/Jerusalem".into(), ..partner_row("ISR") };
    done!(store, tx => partners::enrol(&mut tx, &changed, at(9)));
    assert_eq!(seen!(store, tx => partners::find(&mut tx, &is("ISR"))), Some(changed));
    assert_eq!(seen!(store, tx => partners::find(&mut tx, &is("KOR"))), None);
    assert_eq!(seen!(store, tx => partners::generation(&mut tx)), generation + 1);
}

async fn key_card_replaces_the_former_and_both_are_kept(store: Store) {
    let office = with_people(&store).await;
    let avi: MemberId = is("ISR:avi");
    assert_eq!(seen!(store, tx => members::find(&mut tx, &avi)), Some(member_row("ISR:avi", 1)));
    let next = MemberRow { roles: [].into(), ..member_row("ISR:avi", 2) };
    publish(&store, &office, &next, &[key("next")], &["age1next".into()], 7).await;
    assert_eq!(seen!(store, tx => members::find(&mut tx, &avi)), Some(next.clone()));
    let (isr, old, new) = (is("ISR"), key("ISR:avi"), key("next"));
    assert_eq!(seen!(store, tx => members::by_certificate(&mut tx, &isr, &old)), None);
    assert_eq!(seen!(store, tx => members::by_certificate(&mut tx, &isr, &new)), Some(avi.clone()));
    assert_eq!(seen!(store, tx => members::by_certificate(&mut tx, &is("USA"), &new)), None);
    assert!(seen!(store, tx => members::has_certificate(&mut tx, &avi, &new)));
    let sought = ["age1next", "age1ISR:avi"].map(|recipient| (avi.clone(), recipient.to_owned()));
    assert_eq!(seen!(store, tx => members::named_recipients(&mut tx, &sought)), [sought[0].clone()].into());

    let kept = [(2, &next, 7), (1, &member_row("ISR:avi", 1), 2)].map(|(serial, row, second)| KeyCardRow {
        serial,
        key_card: row.key_card.clone(),
        published_at: at(second),
    });
    assert_eq!(seen!(store, tx => members::key_cards(&mut tx, &avi, None, 9)), kept);
    assert_eq!(seen!(store, tx => members::key_cards(&mut tx, &avi, None, 1)), kept[..1]);
    assert_eq!(seen!(store, tx => members::key_cards(&mut tx, &avi, Some(2), 9)), kept[1..]);
    assert_eq!(seen!(store, tx => members::key_cards(&mut tx, &avi, Some(u64::MAX), 9)), kept);

    let permit = office.permit("ISR:registrar", Action::PublishKeyCard, Resource::Partner(&isr));
    let (again, other) = (member_row("ISR:avi", 2), member_row("ISR:maya", 2));
    let taken = refused!(store, tx => members::publish(&mut tx, &permit, &other, &[new], &[], at(8)));
    assert_eq!(taken, "member_certificates_pkey");
    assert_eq!(refused!(store, tx => members::publish(&mut tx, &permit, &again, &[], &[], at(8))), "key_cards_pkey");
    let revoked = MemberRow { is_active: false, ..member_row("ISR:avi", 3) };
    publish(&store, &office, &revoked, &[new], &[], 8).await;
    assert_eq!(seen!(store, tx => members::by_certificate(&mut tx, &isr, &new)), None, "it lets nobody in");
}

async fn members_come_page_by_page_in_the_order_of_bytes(store: Store) {
    let office = with_people(&store).await;
    for member in ["ISR:a-b", "ISR:a.b", "ISR:a0", "ISR:ab"] {
        publish(&store, &office, &member_row(member, 1), &[key(member)], &[], 2).await;
    }
    let mut expected: Vec<String> = ["ISR:a-b", "ISR:a.b", "ISR:a0", "ISR:ab"].map(String::from).into();
    expected.extend(CAST.iter().map(|member| (*member).to_owned()));
    expected.sort();
    for of in [None, Some(is::<PartnerCode>("ISR"))] {
        let expected: Vec<&String> =
            expected.iter().filter(|member| of.as_ref().is_none_or(|code| member.starts_with(code.as_str()))).collect();
        let (mut found, mut after) = (Vec::new(), None::<String>);
        loop {
            let page = seen!(store, tx => members::page(&mut tx, of.as_ref(), after.as_deref(), 3));
            let Some(last) = page.last() else { break };
            after = Some(last.member.to_string());
            found.extend(page.iter().map(|row| row.member.to_string()));
        }
        assert!(found.iter().eq(expected), "{found:?}");
    }
}

async fn program_reads_back_with_its_partners(store: Store) {
    let office = with_people(&store).await;
    let permit = office.permit("USA:dana", Action::CreateProgram, Resource::Exchange);
    for letter in ['C', 'A', 'B'] {
        done!(store, tx => programs::create(&mut tx, &permit, &program_row(id("prog", letter))));
    }
    let row = program_row(id("prog", 'B'));
    assert_eq!(seen!(store, tx => programs::find(&mut tx, row.id)), Some(row.clone()));
    let [a, b, c] = ['A', 'B', 'C'].map(|letter| id::<ProgramId>("prog", letter));
    assert_eq!(seen!(store, tx => programs::ids(&mut tx, None, 2)), [a, b]);
    assert_eq!(seen!(store, tx => programs::ids(&mut tx, Some(b), 2)), [c]);
    assert_eq!(refused!(store, tx => programs::create(&mut tx, &permit, &row)), "programs_pkey");
}

async fn call_goes_from_draft_to_cancelled(store: Store) {
    let office = with_call(&store).await;
    let (call, vault) = (office.call.id, id::<VaultId>("vault", 'A'));
    let find = async || seen!(store, tx => calls::find(&mut tx, call)).unwrap();
    let drafted = find().await;
    assert_eq!((drafted.version, drafted.revision, drafted.vault, drafted.publication), (0, 1, None, None));
    let code: CallCode = is("JOINT26");
    let text = |json| NewText { code: &code, json, sha256: Sha256::of(str::as_bytes(json)) };
    let permit = office.on_call("USA:dana", Action::EditCall);
    done!(store, tx => calls::edit(&mut tx, &permit, call, text("{\"a\":1}")));
    let permit = office.on_call("USA:dana", Action::PublishCall);
    done!(store, tx => calls::publish(&mut tx, &permit, call, 1, 1, text("{\"a\":1}"), "first", Some(vault), None, at(6)));
    done!(store, tx => calls::publish(&mut tx, &permit, call, 2, 2, text("{\"a\":2}"), "second", None, Some("a reason"), at(7)));
    let twice = refused!(store, tx => calls::publish(&mut tx, &permit, call, 2, 2, text("{}"), "", None, None, at(7)));
    assert_eq!(twice, "call_texts_pkey");
    let found = find().await;
    assert_eq!((found.version, found.baseline, found.revision, found.vault), (2, 2, 4, Some(vault)));
    assert_eq!((found.text_json.as_str(), found.text_sha256), ("{\"a\":2}", Sha256::of(b"{\"a\":2}")));
    let voided = |reason: Option<&str>| Some(Voided { at: at(7), reason: reason.map(str::to_owned) });
    assert_eq!(seen!(store, tx => calls::voided(&mut tx, call, 1, 2)), voided(Some("a reason")));
    assert_eq!(seen!(store, tx => calls::voided(&mut tx, call, 2, 2)), None);
    // As an earlier program left it.
    done!(store, tx => tx.execute("UPDATE call_texts SET baseline = NULL, reason = NULL", args![]));
    assert_eq!(seen!(store, tx => calls::voided(&mut tx, call, 1, 2)), voided(None));
    let first = seen!(store, tx => calls::text_of(&mut tx, call, 1)).unwrap();
    assert_eq!((first.text_json.as_str(), first.publication.as_str()), ("{\"a\":1}", "first"));
    assert_eq!(seen!(store, tx => calls::text_of(&mut tx, call, 3)), None);
    let cancel = office.on_call("USA:dana", Action::CancelCall);
    done!(store, tx => calls::set_cancelled(&mut tx, &cancel, call, Some(at(8))));
    assert_eq!(find().await.cancelled_at, Some(at(8)));
    done!(store, tx => calls::set_cancelled(&mut tx, &cancel, call, None));
    assert_eq!(find().await.cancelled_at, None);

    let permit = office.permit("USA:dana", Action::CreateCall, Resource::Program(&office.program));
    let again = refused!(store, tx => calls::draft(&mut tx, &permit, call, office.program.id, text("{}"), at(9)));
    assert_eq!(again, "calls_pkey");
    let other: CallId = id("call", 'B');
    done!(store, tx => calls::draft(&mut tx, &permit, other, office.program.id, text("{}"), at(9)));
    assert_eq!(seen!(store, tx => calls::ids(&mut tx, Some(office.program.id), None, 9)), [call, other]);
    assert_eq!(seen!(store, tx => calls::ids(&mut tx, None, Some(call), 9)), [other]);
    assert_eq!(seen!(store, tx => calls::ids(&mut tx, Some(id("prog", 'Z')), None, 9)), []);
}

fn stated(number: u32, payload: &[u8]) -> NewStated<'static> {
    NewStated { number, statement: "a statement", sha256: Sha256::of(payload) }
}

async fn call_keeps_roles_and_extensions(store: Store) {
    let office = with_proposal(&store).await;
    let call = office.call.id;
    let maya: MemberId = is("ISR:maya");
    let roles = [CallRole::Reviewer, CallRole::Observer];
    let permits = roles.map(|role| office.on_role("USA:dana", Action::GrantRole, "ISR:maya", role));
    done!(store, tx => calls::set_roles(&mut tx, &permits, call, &maya, &roles.into(), Some(stated(1, b"one")), at(6)));
    let scopes = [
        (ExtensionScope::Proposal(office.proposal.id), office.on_proposal("USA:dana", Action::ExtendProposal)),
        (ExtensionScope::Everyone, office.on_call("USA:dana", Action::ExtendCall)),
        (ExtensionScope::Partner(is("ISR")), office.on_call("USA:dana", Action::ExtendCall)),
    ];
    let mut expected = Vec::new();
    for (second, (scope, permit)) in (100..).zip(scopes) {
        let moved = Moved::Deadline(scope.clone());
        done!(store, tx => extensions::make(&mut tx, &permit, call, &moved, at(second), "a reason", at(7)));
        expected.push(Extension { scope, until: at(second) });
    }
    let permit = office.on_call("USA:dana", Action::ExtendCall);
    for second in [900, 800] {
        done!(store, tx => extensions::make(&mut tx, &permit, call, &Moved::Reviews, at(second), "a reason", at(7)));
    }
    let found = seen!(store, tx => calls::find(&mut tx, call)).unwrap();
    assert_eq!(found.roles[&maya], roles.into());
    assert_eq!(found.holders(CallRole::Officer), ["USA:dana"].map(is).into(), "who drafted it");
    assert_eq!(found.extensions, expected, "in the order in which they were made");
    assert_eq!(found.reviews_until, Some(at(900)));
    // One that is taken back counts no more and stays on record; its number is not given again.
    let on_record = seen!(store, tx => extensions::of_call(&mut tx, call));
    for taken in [&on_record[1], &on_record[3]] {
        done!(store, tx => extensions::withdraw(&mut tx, &permit, call, taken, "a slip", at(8)));
    }
    let found = seen!(store, tx => calls::find(&mut tx, call)).unwrap();
    expected.remove(1);
    assert_eq!((found.extensions, found.reviews_until), (expected.clone(), Some(at(800))));
    done!(store, tx => extensions::make(&mut tx, &permit, call, &Moved::Reviews, at(950), "a reason", at(9)));
    let on_record = seen!(store, tx => extensions::of_call(&mut tx, call));
    let on_record: Vec<_> = on_record.iter().map(|row| (row.number, row.is_withdrawn)).collect();
    assert_eq!(on_record, [(1, false), (2, true), (3, false), (4, true), (5, false), (6, false)]);
    // Of one that is moved again and again the furthest counts.
    let everyones = Moved::Deadline(ExtensionScope::Everyone);
    for second in [300, 500, 400] {
        done!(store, tx => extensions::make(&mut tx, &permit, call, &everyones, at(second), "a reason", at(9)));
    }
    expected.push(Extension { scope: ExtensionScope::Everyone, until: at(500) });
    assert_eq!(seen!(store, tx => calls::find(&mut tx, call)).unwrap().extensions, expected);
    let made = async |partner: &str| seen!(store, tx => extensions::made_by(&mut tx, call, &is(partner)));
    assert_eq!((made("USA").await, made("ISR").await), (9, 0), "also what was taken back");
    let permits = roles.map(|role| office.on_role("USA:dana", Action::RevokeRole, "ISR:maya", role));
    done!(store, tx => calls::set_roles(&mut tx, &permits, call, &maya, &[].into(), Some(stated(2, b"two")), at(8)));
    assert!(!seen!(store, tx => calls::find(&mut tx, call)).unwrap().roles.contains_key(&maya));
    let kept = seen!(store, tx => calls::role_statements(&mut tx, call));
    let kept: Vec<_> = kept.iter().map(|stated| (stated.number, stated.sha256, stated.at)).collect();
    assert_eq!(kept, [(1, Sha256::of(b"one"), at(6)), (2, Sha256::of(b"two"), at(8))]);
    let last = seen!(store, tx => calls::last_role_statement(&mut tx, call));
    assert_eq!(last, Some((2, Sha256::of(b"two"))));
    let changes = async |partner: &str| seen!(store, tx => calls::role_changes_by(&mut tx, call, &is(partner)));
    assert_eq!((changes("USA").await, changes("ISR").await), (1, 0), "the roll is none");
}
