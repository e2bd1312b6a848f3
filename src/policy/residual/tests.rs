//! What is left of a condition, construct by construct; that it says what Cedar says is proved by `tests/it/lists.rs`.

use super::{
    super::{
        Guardrails, PartnerRules, SCHEMA, bounds,
        cases::{Sources, World},
        steps,
    },
    *,
};

#[path = "../../../tests/it/harness/worst_texts.rs"]
mod worst_texts;

/// An engine whose guardrails hide what does not satisfy a condition.
fn engine(condition: &str) -> Engine {
    let text = format!(
        "@id(\"one\") @reason(\"officers\") permit(principal, action == Action::\"View\", resource) \
         when {{ resource.call.officers.contains(principal) }}; \
         @id(\"two\") @reason(\"not\") forbid(principal, action == Action::\"View\", resource) unless {{ {condition} }};"
    );
    Engine::new(Arc::new(Guardrails::parse("guardrails", &text).unwrap()), [])
}

/// What is left of a condition in the guardrails for the Korean reviewer, were they an officer.
fn residual_of(condition: &str) -> Predicate {
    let engine = engine(condition);
    let request = ResidualRequest::new(&World::new().member("KOR:reviewer"), Action::View).unwrap();
    let residual = request.evaluate(engine.guardrails()).unwrap();
    residual.replaced(&mut |atom| (*atom == Atom::Mine(Members::With(CallRole::Officer))).then_some(true.into()))
}

#[test]
fn every_attribute_that_a_proposal_leads_to_is_mapped() {
    let (mut kind, mut named) = ("", BTreeSet::new());
    for line in SCHEMA.lines().map(str::trim) {
        if let Some(rest) = line.strip_prefix("entity ") {
            kind = rest.split([' ', ';']).next().unwrap();
        } else if let Some((name, _)) = line.split_once(": ").filter(|_| !line.starts_with("//"))
            && ["Proposal", "Call", "Program"].contains(&kind)
        {
            named.insert((kind, name.trim_end_matches('?')));
        } else if line.starts_with("action ") {
            break;
        }
    }
    let listed = ATTRIBUTES.iter().map(|(kind, name, _)| (*kind, *name));
    assert_eq!(named, listed.chain(CallRole::ALL.iter().map(|role| ("Call", role.attribute()))).collect());
}

#[test]
fn every_role_is_an_attribute_of_the_call() {
    for role in CallRole::ALL {
        let mapped = attribute_named("Call", role.attribute());
        assert_eq!(mapped, Some(Attribute::Members(Members::With(*role))), "{role}");
        assert_eq!(attribute_named("Proposal", role.attribute()), None, "{role}");
    }
}

#[test]
fn every_construct_that_a_policy_may_use_is_translated() {
    for condition in [
        r#"resource has topic && ["ai", "space"].contains(resource.topic)"#,
        r#"resource.party_members.contains(principal) || !(resource.status == "submitted")"#,
        r#"[Partner::"USA", Partner::"GBR"].containsAll(resource.parties)"#,
        r#"resource.parties.containsAll([Partner::"USA", Partner::"GBR"])"#,
        r#"resource.parties.containsAny([Partner::"USA"]) && !principal.roles.contains("registrar")"#,
        r#"[Partner::"USA"].containsAny(resource.call.funders)"#,
        r#"if resource.decided then resource.call.phase like "re*" else resource.call.funders.contains(principal.partner)"#,
        r"principal is Member && resource is Proposal && resource.call.opened",
        r"resource.call.program.lead != principal.partner",
        r"resource.parties.contains(resource.call.program.lead)",
        r"resource.call.opened == resource.decided",
        r#"(resource.status == "lapsed") != resource.call.draft"#,
        r"resource has topic && resource.topic != resource.status",
        r"resource has topic && resource.organisations.contains(resource.topic)",
        r"resource has status && resource.call has program",
        r"[true, false].contains(resource.decided)",
        r"resource.call == resource.call && resource.status == resource.status && resource.decided",
    ] {
        residual_of(condition);
    }
    for (condition, residual) in [
        ("principal.host", false.into()),
        (r#"principal.partner == Partner::"KOR""#, true.into()),
        ("resource.assigned.contains(principal)", Atom::Mine(Members::Assigned).into()),
        (
            r#"!resource.parties.contains(Partner::"ISR")"#,
            Predicate::IsNot(Atom::Contains(Set::Parties, Value::Written("ISR".into()))),
        ),
        (
            r#"resource has topic && resource.topic like "n*""#,
            Predicate::All(vec![
                Atom::HasTopic.into(),
                Atom::Like(Text::Topic, vec![Piece::Letter('n'), Piece::Anything]).into(),
            ]),
        ),
    ] {
        assert_eq!(residual_of(condition), residual, "{condition}");
    }
}

#[test]
fn predicate_is_that_of_the_member_who_asks_now() {
    let engine = Sources::shipped().engine();
    let world = World::new();
    let reviewer = world.member("KOR:reviewer");
    let before = engine.predicate(&reviewer, Action::View).unwrap();
    assert!(Arc::ptr_eq(&before, &engine.predicate(&reviewer, Action::View).unwrap()), "it is made once");
    let moved = MemberFacts { organisation: "Elsewhere".into(), ..reviewer.clone() };
    assert_ne!(before, engine.predicate(&moved, Action::View).unwrap(), "what is known of the member counts");
    let stranger = world.member("FRA:visitor");
    assert_eq!(*engine.predicate(&stranger, Action::View).unwrap(), Predicate::Const(false), "no policies, no rows");
    assert!(engine.predicate(&reviewer, Action::Assign).is_err());
    assert!(engine.predicate(&reviewer, Action::ViewCall).is_err());
}

/// However Cedar orders what is left, and however an author ordered policies.
#[test]
fn nations_that_release_alike_share_one_condition() {
    let permits = [
        r#"permit(principal, action == Action::"View", resource) when { resource.assigned.contains(principal) };"#,
        r#"permit(principal, action == Action::"View", resource) when { resource.party_members.contains(principal) };"#,
        r#"permit(principal, action == Action::"View", resource) when { resource.call.deciders.contains(principal) };"#,
        r#"permit(principal, action == Action::"View", resource) when { resource.call.officers.contains(principal) };"#,
    ];
    let nations = ["ISR", "KOR", "GBR"].into_iter().enumerate().map(|(turn, code)| {
        let mut permits = permits;
        permits.rotate_left(turn);
        let named = |(number, permit): (usize, &str)| {
            format!("@id(\"p{number}\") @side(\"release\") @reason(\"so\") {permit}\n")
        };
        let text: String = permits.into_iter().enumerate().map(named).collect();
        Arc::new(PartnerRules::parse(code, &code.parse().unwrap(), &text).unwrap())
    });
    let engine = Engine::new(Arc::new(Guardrails::built_in()), nations);
    let reviewer = Arc::new(World::new().member("KOR:reviewer"));
    let mut rulesets = RulesetEvaluator::new(reviewer, Action::View);
    let residuals: Vec<_> = engine.releases().map(|(_, release)| rulesets.residual(release).unwrap()).collect();
    assert_eq!(residuals.len(), 3);
    assert!(
        residuals.iter().all(|one| *one == residuals[0] && matches!(&**one, Predicate::Any(parts) if parts.len() == 4)),
        "{residuals:?}"
    );
}

/// What it takes to make the predicate of a Korean reviewer under a text of Israel's, in parts that are looked at, and its size.
fn cost_of(what: &str, text: &str) -> (usize, usize) {
    let code = "ISR".parse().unwrap();
    let rules = PartnerRules::parse("ISR", &code, text).unwrap_or_else(|error| panic!("{what}: {error}"));
    let all =
        "@id(\"all\") @side(\"reader\") @reason(\"a test of bounds\") permit(principal, action, resource is Proposal);";
    let readers = PartnerRules::parse("KOR", &"KOR".parse().unwrap(), all).unwrap();
    let engine = Engine::new(Arc::new(Guardrails::built_in()), [rules, readers].map(Arc::new));
    let reviewer = World::new().member("KOR:reviewer");
    let (predicate, steps) = steps::taken(|| engine.predicate(&reviewer, Action::Read).unwrap());
    (steps, predicate.size())
}

#[test]
fn cost_of_a_text_grows_in_proportion_to_it_up_to_its_bounds() {
    let most = usize::try_from(bounds::MAX_CONDITIONS).unwrap();
    let pairs = worst_texts::worst_texts(false).into_iter().zip(worst_texts::worst_texts(true));
    for ((what, whole), (_, half)) in pairs {
        let ((whole, size), (half, _)) = (cost_of(what, &whole), cost_of(what, &half));
        assert!(whole < 3 * half, "{what}: {whole} steps, and {half} for half of it");
        assert!(whole < 300 * most, "{what}: {whole} steps");
        // Once for each of two steps, and the guardrails.
        assert!(size < 3 * most, "{what}: {size} atoms");
    }
}

#[test]
fn sets_and_chains_mean_what_they_meant_value_by_value() {
    for (written, meant) in [
        (
            r#"resource has topic && ["ai", "space"].contains(resource.topic)"#,
            r#"resource has topic && (resource.topic == "ai" || resource.topic == "space")"#,
        ),
        (
            r#"resource.caveats.containsAny(["eyes-only", "no-copies"])"#,
            r#"resource.caveats.contains("eyes-only") || resource.caveats.contains("no-copies")"#,
        ),
        (
            r#"resource.caveats.containsAll(["eyes-only", "no-copies"])"#,
            r#"resource.caveats.contains("eyes-only") && resource.caveats.contains("no-copies")"#,
        ),
        ("[true, false].contains(resource.decided) && resource.labelled", "resource.labelled"),
        ("[false].contains(resource.decided)", "!resource.decided"),
        (
            "resource.decided || (resource.labelled || resource.call.draft)",
            "(resource.decided || resource.labelled) || resource.call.draft",
        ),
    ] {
        assert_eq!(residual_of(written), residual_of(meant), "{written}");
    }
}
