//! What must hold whatever policies are written: isolation, default deny, fail closed, and refusal of what is not understood.

use super::{
    Action, Authorization, Engine, Guardrails, PartnerRules, PolicyError, Resource, ResourceId, SCHEMA, Side, Standing,
    cases::{Sources, World, explain, members},
    facts::{MemberFacts, ProposalFacts},
    source,
};
use crate::domain::{
    id::PartnerCode,
    member::CallRole,
    policy::{MAX_POLICIES, MAX_POLICY_TEXT},
};
use cedar_policy::{Effect, Policy, PolicyId};
use serde_json::json;
use std::collections::BTreeSet;

const OPEN_WIDE: &str = r#"
@id("all-released") @side("release") @reason("everything") permit(principal, action, resource);
@id("all-read") @side("reader") @reason("everything") permit(principal, action, resource);
"#;

const SHUT_TIGHT: &str = r#"
@id("none-released") @side("release") @reason("nothing") forbid(principal, action, resource);
@id("none-read") @side("reader") @reason("nothing") forbid(principal, action, resource);
"#;

/// The shipped policies with some texts replaced.
fn engine_with(replaced: &[(&str, Option<&str>)]) -> Engine {
    let mut sources = Sources::shipped();
    for (owner, text) in replaced {
        sources.replace(owner, *text).unwrap();
    }
    sources.engine()
}

fn refused(owner: &str, text: &str) -> PolicyError {
    Sources::shipped().replace(owner, Some(text)).expect_err("the policies must be refused")
}

/// What every member of the world may do to a proposal, for every action.
fn answers(engine: &Engine, members: &[MemberFacts], proposal: &ProposalFacts) -> Vec<(String, Action, Standing)> {
    let owner = "ISR".parse().unwrap();
    let mut answers = Vec::new();
    for principal in members {
        for action in Action::ALL.iter().filter(|action| action.view() == Some(Action::View)) {
            let resource = match action.extra() {
                super::Extra::Owner => Resource::StaffSlots { proposal, owner: &owner },
                _ => Resource::ProposalMember { proposal, subject: &members[0] },
            };
            answers.push((
                principal.id.to_string(),
                *action,
                engine.authorize(principal, *action, resource).standing(),
            ));
        }
    }
    answers
}

#[test]
fn one_partners_policies_change_nothing_for_others_members_and_proposals() {
    let shipped = Sources::shipped().engine();
    let world = World::new();
    let foreign: Vec<_> = world.members().into_iter().filter(|member| member.id.partner().as_str() != "KOR").collect();
    let proposal = world.proposal();
    assert!(!proposal.parties.contains(&"KOR".parse().unwrap()));
    let expected = answers(&shipped, &foreign, &proposal);
    for text in [OPEN_WIDE, SHUT_TIGHT] {
        let engine = engine_with(&[("KOR", Some(text))]);
        assert_eq!(answers(&engine, &foreign, &proposal), expected);
    }
    let without = engine_with(&[("KOR", None)]);
    assert_eq!(answers(&without, &foreign, &proposal), expected);
}

#[test]
fn an_owners_policies_never_widen_what_the_co_owner_releases() {
    let usa_shut = engine_with(&[("USA", Some(SHUT_TIGHT)), ("ISR", Some(OPEN_WIDE))]);
    let world = World::new();
    for (who, action, standing) in answers(&usa_shut, &world.members(), &world.proposal()) {
        assert_eq!(standing, Standing::Hidden, "{who} {action}");
    }
}

#[test]
fn partners_that_permit_everything_do_not_widen_the_guardrails() {
    let codes = ["USA", "ISR", "KOR", "GBR", "EU", "FRA"];
    let open = codes.map(|code| (code, Some(OPEN_WIDE)));
    let engine = engine_with(&open);
    let world =
        World::new().with("call", &json!({"opened": false})).with("proposal", &json!({"conflicts": ["USA:officer"]}));
    let proposal = world.proposal();
    for principal in world.members() {
        let party = proposal.party_members.contains(&principal.id);
        let standing = engine.authorize(&principal, Action::Read, Resource::Proposal(&proposal)).standing();
        assert_eq!(standing == Standing::Permitted, party, "{}", principal.id);
        if principal.id.to_string() == "USA:officer" {
            assert_eq!(standing, Standing::Hidden, "a conflict overrides every role");
        }
    }
}

#[test]
fn a_conflict_hides_a_proposal_from_every_role_and_action() {
    let engine = Sources::shipped().engine();
    let world = World::new();
    for principal in world.members() {
        let id = principal.id.to_string();
        let all = json!([id]);
        let conflicted = world
            .clone()
            .with("call", &json!({"officers": all, "reviewers": all, "deciders": all, "observers": all}))
            .with("proposal", &json!({"conflicts": all, "assigned": all, "declared_clear": all, "reviewed": all}));
        for (who, action, standing) in answers(&engine, &[principal], &conflicted.proposal()) {
            assert_eq!(standing, Standing::Hidden, "{who} {action}");
        }
    }
}

#[test]
fn remembered_decision_is_that_of_the_same_facts_alone() {
    let engine = Sources::shipped().engine();
    let world = World::new();
    let proposal = world.proposal();
    let decide = |member: &MemberFacts, proposal: &ProposalFacts| {
        let asked = Action::ALL
            .iter()
            .filter(|action| action.view() == Some(Action::View) && Resource::Proposal(proposal).fits(**action));
        for action in asked {
            let decided = engine.authorize(member, *action, Resource::Proposal(proposal)).standing();
            let is_permitted = decided == Standing::Permitted;
            assert_eq!(engine.decides(member, *action, proposal), is_permitted, "{} {action}", member.id);
            assert_eq!(engine.known_decision(member, *action, proposal), Some(is_permitted));
        }
    };
    for member in world.members() {
        let conflicted = world.clone().with("proposal", &json!({ "conflicts": [member.id.to_string()] })).proposal();
        let elsewhere = MemberFacts { organisation: "Elsewhere".into(), roles: BTreeSet::new(), ..member.clone() };
        // Each in the place of the one before, and the first one again.
        for proposal in [&proposal, &conflicted, &proposal] {
            decide(&member, proposal);
            decide(&elsewhere, proposal);
        }
        assert_eq!(
            engine.known_decision(&member, Action::View, &conflicted),
            None,
            "what was asked last is remembered"
        );
    }
}

#[test]
fn what_a_member_may_know_of_is_remembered_for_the_same_facts_alone() {
    let engine = Sources::shipped().engine();
    let world = World::new();
    let proposal = world.proposal();
    let other = ProposalFacts { id: "prop_01J9ZQ4N6M8V7X5T3R2P1K0HGZ".parse().unwrap(), ..proposal.clone() };
    for member in world.members() {
        let conflicted = world.clone().with("proposal", &json!({ "conflicts": [member.id.to_string()] })).proposal();
        let sees = |proposal: &ProposalFacts| engine.visible(&member, Resource::Proposal(proposal));
        for proposal in [&proposal, &conflicted, &proposal] {
            assert_eq!(engine.visible_among(&member, &[proposal]), [sees(proposal)], "{}", member.id);
            assert_eq!(engine.known_decision(&member, Action::View, proposal), Some(sees(proposal)));
        }
        // One that is known beside one that is not.
        assert_eq!(engine.visible_among(&member, &[&other, &conflicted]), [sees(&other), sees(&conflicted)]);
        assert_eq!(engine.visible_among(&member, &[&proposal, &other]), [sees(&proposal), sees(&other)]);
        assert_eq!(engine.known_decision(&member, Action::View, &conflicted), None);
    }
}

#[test]
fn without_partner_policies_nothing_is_visible_even_to_the_parties() {
    let engine = engine_with(&[("USA", None)]);
    let world = World::new();
    for (who, action, standing) in answers(&engine, &world.members(), &world.proposal()) {
        assert_eq!(standing, Standing::Hidden, "{who} {action}");
    }
    let decision = explain(&world, &engine, "ISR:company", Action::View);
    let refusing: Vec<_> = decision.steps[0].verdicts.iter().filter(|verdict| !verdict.permitted).collect();
    assert_eq!(refusing.len(), 1);
    assert_eq!(refusing[0].side, Side::Release("USA".parse().unwrap()));
    assert!(refusing[0].reasons[0].policy.is_none());
}

#[test]
fn a_policy_that_errs_permits_nothing_on_its_side() {
    // Loading refuses such policies, so they are put in past it: `topic` is asked for where it is absent. Cedar itself would
    // skip the policy and permit.
    let erring = Policy::parse(
        Some(PolicyId::new("erring")),
        r#"forbid(principal, action, resource is Proposal) when { resource.topic == "weapons" };"#,
    )
    .unwrap();
    let world = World::new();
    let mut proposal = world.proposal();
    proposal.topic = None;
    let principal = world.member("USA:officer");
    let sources = Sources::shipped();
    let standing =
        |engine: &Engine| engine.authorize(&principal, Action::Read, Resource::Proposal(&proposal)).standing();
    assert_eq!(standing(&sources.engine()), Standing::Permitted);
    for side in ["guardrails", "ISR", "USA"] {
        let mut sources = sources.clone();
        let policies = match side {
            "guardrails" => sources.guardrails(),
            code => sources.partners().get_mut(&code.parse().unwrap()).unwrap(),
        };
        let mut planted = policies[0].clone();
        planted.policy = erring.clone();
        planted.name.id = "erring".into();
        policies.push(planted);
        let engine = sources.engine();
        let outcome = engine.authorize(&principal, Action::Read, Resource::Proposal(&proposal));
        let Authorization::Hidden(reasons) = outcome else { panic!("{side}: {outcome:?}") };
        let reason = reasons.iter().find(|reason| reason.policy.is_some()).unwrap();
        assert_eq!(&*reason.policy.as_ref().unwrap().id, "erring");
        assert!(reason.sentence.contains("could not be evaluated"), "{reason}");
        assert!(!engine.visible(&principal, Resource::Proposal(&proposal)));
    }
}

#[test]
fn a_proposal_without_parties_or_a_question_without_its_facts_is_not_permitted() {
    let engine = Sources::shipped().engine();
    let world = World::new();
    let officer = world.member("USA:officer");
    let proposal = world.proposal();
    let call = world.call();
    let asks = [
        (Action::ReadStaff, Resource::Proposal(&proposal)),
        (Action::Assign, Resource::Proposal(&proposal)),
        (Action::View, Resource::Call(&call)),
        (Action::ViewCall, Resource::Exchange),
    ];
    for (action, resource) in asks {
        assert_eq!(engine.authorize(&officer, action, resource).standing(), Standing::Hidden, "{action}");
    }
    let orphan = ProposalFacts { parties: BTreeSet::new(), ..proposal.clone() };
    assert!(!engine.visible(&officer, Resource::Proposal(&orphan)));
    assert_eq!(engine.authorize(&officer, Action::View, Resource::Proposal(&orphan)).standing(), Standing::Hidden);
}

#[test]
fn who_lacks_nothing_but_a_declaration_is_told_so() {
    let engine = Sources::shipped().engine();
    let world = World::new();
    let undeclared = world.clone().with("proposal", &json!({"declared_clear": []}));
    let awaits = |world: &World, who: &str, action: Action| {
        let (proposal, subject, owner) = (world.proposal(), world.member("GBR:reviewer"), "ISR".parse().unwrap());
        let resource = match action.extra() {
            super::Extra::Owner => Resource::StaffSlots { proposal: &proposal, owner: &owner },
            _ => Resource::ProposalMember { proposal: &proposal, subject: &subject },
        };
        engine.awaits_declaration(&world.member(who), action, resource).is_some()
    };
    for action in
        [Action::Read, Action::ReadStaff, Action::Assign, Action::Unassign, Action::ReopenReview, Action::WrapKey]
    {
        assert!(awaits(&undeclared, "USA:officer", action), "{action}");
    }
    assert!(awaits(&undeclared, "USA:reviewer", Action::Review) && awaits(&undeclared, "ISR:decider", Action::Decide));

    assert!(!awaits(&world, "USA:officer", Action::Read), "it is permitted");
    assert!(!awaits(&undeclared, "KOR:decider", Action::Decide), "Korea does not fund, whatever is declared");
    assert!(!awaits(&undeclared, "KOR:observer", Action::Read), "who may not declare is not told to");
    let sealed = undeclared.clone().with("call", &json!({"opened": false, "phase": "open"}));
    assert!(!awaits(&sealed, "USA:officer", Action::Read), "the embargo stands in the way as well");
    assert!(awaits(&sealed, "USA:officer", Action::ExtendProposal), "this is possible before the opening");
    let conflicted = undeclared.with("proposal", &json!({"conflicts": ["USA:officer"]}));
    assert!(!awaits(&conflicted, "USA:officer", Action::Read), "what is hidden is not spoken of");
}

#[test]
fn declaration_that_the_guardrails_do_not_ask_for_is_not_asked_for() {
    // The same question under other policies gets another answer: nothing about declarations is written into the program.
    let text = source::GUARDRAILS;
    let free = text.replace(
        "resource.call.officers.contains(principal) && resource.declared_clear.contains(principal)",
        "resource.call.officers.contains(principal)",
    );
    assert_ne!(text, free);
    let engine = engine_with(&[("guardrails", Some(&free))]);
    let world = World::new().with("proposal", &json!({"declared_clear": []}));
    let (officer, proposal) = (world.member("USA:officer"), world.proposal());
    for action in [Action::Unassign, Action::ReopenReview, Action::SendLetter] {
        assert_eq!(engine.awaits_declaration(&officer, action, Resource::Proposal(&proposal)), None, "{action}");
        assert_eq!(engine.authorize(&officer, action, Resource::Proposal(&proposal)).standing(), Standing::Permitted);
    }
}

#[test]
fn wherever_an_officer_may_give_more_time_they_may_declare() {
    let engine = Sources::shipped().engine();
    let mut possible = 0;
    for (opened, phase) in [(false, "open"), (false, "grace"), (true, "review")] {
        for status in ["preparing", "committed", "submitted", "withdrawn", "lapsed"] {
            let world = World::new()
                .with("call", &json!({"opened": opened, "phase": phase}))
                .with("proposal", &json!({"status": status}));
            let (officer, declared) = (world.member("USA:officer"), world.proposal());
            let undeclared = ProposalFacts { declared_clear: BTreeSet::new(), ..declared.clone() };
            let standing = |action, facts| engine.authorize(&officer, action, Resource::Proposal(facts)).standing();
            if standing(Action::ExtendProposal, &declared) == Standing::Permitted {
                possible += 1;
                assert_eq!(standing(Action::DeclareClear, &undeclared), Standing::Permitted, "{phase} {status}");
            }
        }
    }
    assert_eq!(possible, 9, "committed, submitted and withdrawn, in each phase");
}

#[test]
fn a_permit_says_what_it_is_for() {
    let engine = Sources::shipped().engine();
    let world = World::new();
    let (officer, reviewer, proposal) = (world.member("USA:officer"), world.member("GBR:reviewer"), world.proposal());
    let resource = Resource::ProposalMember { proposal: &proposal, subject: &reviewer };
    let permit = engine.authorize(&officer, Action::Assign, resource).permit().unwrap();
    assert_eq!((permit.action(), permit.principal()), (Action::Assign, &officer.id));
    assert_eq!((permit.subject(), permit.owner()), (Some(&reviewer.id), None));
    assert!(permit.covers(Action::Assign, &ResourceId::Proposal(proposal.id)));
    assert!(permit.covers_proposal(&[Action::Unassign, Action::Assign], proposal.id));
    assert!(!permit.covers(Action::Unassign, &ResourceId::Proposal(proposal.id)));
    assert!(!permit.covers_call(&[Action::Assign], proposal.call.id));
}

#[test]
fn relay_is_kept_from_everything_under_guardrails_that_know_of_no_relay() {
    let policies: Vec<&str> = source::GUARDRAILS.split("@id(").collect();
    let is_forbid = |policy: &str| policy.starts_with("\"relay-only-") || policy.starts_with("\"relay-knows-");
    let earlier: Vec<&str> = policies.iter().copied().filter(|policy| !is_forbid(policy)).collect();
    assert_eq!(earlier.len() + 4, policies.len());
    let earlier = earlier.join("@id(");
    let engine = engine_with(&[("guardrails", Some(earlier.as_str()))]);
    let roles = json!({"officers": ["ISR:relay"], "reviewers": ["ISR:relay"], "deciders": ["ISR:relay"]});
    let part = json!({"assigned": ["ISR:relay"], "declared_clear": ["ISR:relay"]});
    let world = World::new().with("call", &roles).with("proposal", &part);
    let proposal = world.proposal();
    let relay = world.members().into_iter().find(|member| member.id.to_string() == "ISR:relay").unwrap();
    let (israel, call): (PartnerCode, _) = ("ISR".parse().unwrap(), &proposal.call);
    for action in Action::ALL {
        let resource = match action.kind() {
            super::ResourceKind::Exchange => Resource::Exchange,
            super::ResourceKind::Partner => Resource::Partner(&israel),
            super::ResourceKind::Program => Resource::Program(&call.program),
            super::ResourceKind::Call => Resource::Call(call),
            super::ResourceKind::Proposal => Resource::Proposal(&proposal),
        };
        let is_permitted = engine.authorize(&relay, *action, resource).standing() == Standing::Permitted;
        let is_for_relays = matches!(action, Action::ReadDirectory | Action::ReadPolicies | Action::CountWaiting);
        assert_eq!(is_permitted, is_for_relays, "{action}");
    }
    for resource in [Resource::Program(&call.program), Resource::Call(call), Resource::Proposal(&proposal)] {
        assert!(!engine.visible(&relay, resource));
    }
    assert_eq!(engine.visible_among(&relay, &[&proposal]), [false]);
    assert_eq!(*engine.predicate(&relay, Action::View).unwrap(), super::Predicate::Const(false));
    // Anybody else in its place knows of all of it.
    let officer = MemberFacts { roles: BTreeSet::new(), ..relay };
    assert!(
        engine.visible(&officer, Resource::Call(call)) && engine.visible(&officer, Resource::Program(&call.program))
    );
}

#[test]
fn every_action_is_permitted_to_somebody_by_the_guardrails() {
    let engine = Sources::shipped().engine();
    for action in Action::ALL {
        let permits = engine.guardrails().slice(*action).policies().filter(|policy| policy.effect() == Effect::Permit);
        assert!(permits.count() > 0, "no guardrail ever permits {action}");
    }
}

#[test]
fn schema_that_is_built_in_fits_and_one_that_differs_is_refused() {
    source::parse_schema(SCHEMA).unwrap();
    for (from, to, word) in [
        ("ReadDirectory, ", "", "lacks the action `ReadDirectory`"),
        ("ReadDirectory, ", "ReadDirectory, Peek, ", "unknown action `Peek`"),
        ("decided: Bool", "decided: String", "other shapes"),
        ("reviewed: Set<Member>,", "", "other shapes"),
        ("entity Exchange;", "entity Exchange", "malformed"),
    ] {
        assert!(SCHEMA.contains(from));
        let error = source::parse_schema(&SCHEMA.replacen(from, to, 1)).unwrap_err();
        assert!(error.to_string().contains(word), "{error}");
    }
}

#[test]
fn guardrails_only_forbid_or_let_roles_in() {
    let policy = |effect: &str, scope: &str, when: &str| {
        format!("@id(\"one\") @reason(\"because\") {effect}(principal, {scope}) {when};")
    };
    let all = "action, resource is Proposal";
    let view = "action == Action::\"View\", resource";
    for when in [
        "",
        "when { resource.decided }",
        "when { principal.host }",
        "when { principal.roles.contains(\"program_officer\") }",
        "when { resource.call.officers.contains(principal) || resource.decided }",
        "when { !resource.call.officers.contains(principal) }",
        "when { resource.conflicts.contains(principal) }",
        "unless { resource.call.officers.contains(principal) }",
    ] {
        for scope in [all, view] {
            let error = refused("guardrails", &policy("permit", scope, when));
            assert!(error.to_string().contains("without asking for a role"), "{when}: {error}");
        }
    }
    for when in [
        "when { resource.call.officers.contains(principal) }",
        "when { principal.host && (resource.assigned.contains(principal) || resource.party_members.contains(principal)) }",
    ] {
        Guardrails::parse("guardrails", &policy("permit", view, when)).unwrap();
    }
    for text in [policy("forbid", all, ""), policy("permit", "action == Action::\"ReadDirectory\", resource", "")] {
        Guardrails::parse("guardrails", &text).unwrap();
    }
}

#[test]
fn more_policies_than_lists_can_bear_are_refused_at_the_first_too_many() {
    let many = |count: usize| {
        let one =
            |n| format!("@id(\"p{n}\") @side(\"reader\") @reason(\"because\")\npermit(principal, action, resource);\n");
        (0..count).map(one).collect::<String>()
    };
    let code = "ISR".parse().unwrap();
    PartnerRules::parse("ISR", &code, &many(MAX_POLICIES)).unwrap();
    let error = refused("ISR", &many(MAX_POLICIES + 1));
    assert_eq!(error.line(), Some(2 * MAX_POLICIES + 1));
    assert!(error.to_string().contains("more than 100 policies"), "{error}");
    let long = format!("// {}\n", "x".repeat(MAX_POLICY_TEXT));
    assert!(refused("ISR", &long).to_string().contains("bytes"));
}

#[test]
fn what_is_not_understood_is_refused_with_file_line_and_remedy() {
    let good = "// one; two\n@id(\"one\") @side(\"reader\") @reason(\"semicolon; in text\")\npermit(principal, action, resource);\n\n";
    let policy = |head: &str, rest: &str| format!("{good}{head}\n{rest}");
    let tail = "permit(principal, action == Action::\"View\", resource)";
    let full = "@id(\"two\") @side(\"release\") @reason(\"because\")";
    for (text, word) in [
        (policy("@side(\"release\") @reason(\"because\")", &format!("{tail};")), "`@id` is missing"),
        (
            policy("@id(\"Two!\") @side(\"release\") @reason(\"because\")", &format!("{tail};")),
            "`@id` is missing or unusable",
        ),
        (
            policy("@id(\"one\") @side(\"release\") @reason(\"because\")", &format!("{tail};")),
            "is already used on line 2",
        ),
        (policy("@id(\"two\") @reason(\"because\")", &format!("{tail};")), "has no `@side`"),
        (policy("@id(\"two\") @side(\"owner\") @reason(\"because\")", &format!("{tail};")), "unknown side `owner`"),
        (policy("@id(\"two\") @side(\"release\")", &format!("{tail};")), "has no `@reason`"),
        (policy("@id(\"two\") @side(\"release\") @reason(\" \")", &format!("{tail};")), "has no `@reason`"),
        (policy(&format!("{full} @note(\"x\")"), &format!("{tail};")), "`@note` is not an annotation"),
        (policy(full, &format!("{tail} when {{ resource.title == \"x\" }};")), "title"),
        (policy(full, &format!("{tail} when {{ resource.topic == \"x\" }};")), "topic"),
        (policy(full, &format!("{tail} when {{ false }};")), "can never apply"),
        (policy(full, &format!("{tail} when {{ principal == Member::\"USA:dana\" }};")), "is named"),
        (policy(full, &format!("{tail} when {{ resource.conflicts.isEmpty() }};")), "cannot be asked"),
        (policy(full, "permit(principal == ?principal, action, resource);"), "malformed"),
        (policy(full, "permit(principal, action == Action::\"Assign\", resource);"), "no partner is asked for"),
        (policy(full, tail), "malformed"),
    ] {
        let error = refused("ISR", &text);
        assert!(error.to_string().contains(word), "wanted `{word}`: {error}");
        assert_eq!(error.line(), Some(5), "{error}");
        assert!(error.place() == "ISR" && !error.help().is_empty());
    }
    let sided = format!("{full}\n{tail};");
    assert!(refused("guardrails", &sided).to_string().contains("`@side` is not an annotation"));
}

#[test]
fn the_cost_of_a_decision_does_not_grow_with_the_number_of_members() {
    let engine = Sources::shipped().engine();
    let world = World::new();
    let mut proposal = world.proposal();
    let crowd: Vec<String> = (0..2000).map(|n| format!("KOR:reviewer{n}")).collect();
    let crowd = members(&crowd.iter().map(String::as_str).collect::<Vec<_>>());
    let officer = world.member("USA:officer");
    let before = answers(&engine, std::slice::from_ref(&officer), &proposal);
    let mut call = world.call();
    call.roles.entry(CallRole::Reviewer).or_default().extend(crowd.iter().cloned());
    proposal.call = std::sync::Arc::new(call);
    for set in [&mut proposal.assigned, &mut proposal.declared_clear, &mut proposal.reviewed, &mut proposal.conflicts] {
        set.extend(crowd.iter().cloned());
    }
    assert_eq!(answers(&engine, std::slice::from_ref(&officer), &proposal), before);
    let names = super::entities::SchemaNames::known();
    let entities = names.world(&officer, Resource::Proposal(&proposal), &|_| true).unwrap();
    let written = format!("{:?}", entities.entities());
    assert!(!written.contains("reviewer7"), "members no policy can ask about are not told");
}

/// What no policy names is not put into words; whatever one names is, on whichever side and however deep.
#[test]
fn only_attributes_that_some_policy_names_are_told() {
    let named = |engine: &Engine, name: &str| engine.is_named(Action::View, name);
    let shipped = Sources::shipped().engine();
    for name in ["call", "parties", "conflicts", "organisations", "organisation"] {
        assert!(named(&shipped, name), "{name}");
    }
    for name in ["caveats", "phase"] {
        assert!(!named(&shipped, name), "{name}");
    }
    for (condition, name) in [
        ("if resource.call.draft then resource.call.phase == \"open\" else true", "phase"),
        ("!([\"open\", \"review\"].contains(resource.call.phase))", "phase"),
        ("resource.call.phase like \"o*\" || resource.decided", "phase"),
        ("resource.caveats.containsAny([\"limited\"])", "caveats"),
    ] {
        let policy = format!(
            "@id(\"more\") @side(\"reader\") @reason(\"more\") forbid(principal, action == Action::\"View\", resource is Proposal) when {{ {condition} }};"
        );
        let engine = engine_with(&[("ISR", Some(&policy))]);
        assert!(named(&engine, name), "{condition}");
    }
}
