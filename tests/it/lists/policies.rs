//! Random policies: recipes that nations write, and conditions of every construct that a policy may use.

use super::world::{CAVEATS, PARTNERS, TOPICS};
use crate::harness::many::Chance;
use entente::{
    domain::{id::PartnerCode, member::CallRole},
    policy::{Engine, GUARDRAILS, Guardrails, PartnerRules, PolicyError},
};
use std::{
    fmt::Write as _,
    sync::{Arc, LazyLock},
};

/// The policies of one partner.
pub(super) fn rules(chance: &mut Chance, code: &str) -> Result<PartnerRules, PolicyError> {
    let own = Some("resource.party_members.contains(principal)");
    let mut text = policy("owners", Some("release"), "permit", own, None);
    text += &policy("own", Some("reader"), "permit", own, None);
    for (side, most) in [("release", 3), ("reader", 2)] {
        for number in 0..=chance.below(most) {
            let (permit, forbid) = recipe(chance);
            if let Some(permit) = permit {
                text += &policy(&format!("{side}-may-{number}"), Some(side), "permit", Some(&permit), None);
            }
            if let Some((when, unless)) = forbid {
                let name = format!("{side}-not-{number}");
                text += &policy(&name, Some(side), "forbid", Some(&when), unless.as_deref());
            }
        }
    }
    let partner: PartnerCode = code.parse().unwrap();
    PartnerRules::parse(code, &partner, &text)
}

/// Policies of one partner that name as many values as a text may, which no proposal has, and release a few topics.
pub(super) fn long(code: &str) -> PartnerRules {
    let of = |values: &[String]| format!("resource has topic && [{}].contains(resource.topic)", values.join(", "));
    let some = of(&["ai", "x"].map(|topic| format!("\"{topic}\"")));
    let mut text = policy("some", Some("release"), "permit", Some(&some), None);
    text += &policy("any", Some("reader"), "permit", Some("resource has topic"), None);
    for set in 0..18 {
        let values: Vec<String> = (0..200).map(|n| format!("\"{}-{set}-{n}\"", code.to_lowercase())).collect();
        text += &policy(&format!("many-{set}"), Some("release"), "permit", Some(&of(&values)), None);
    }
    PartnerRules::parse(code, &code.parse().unwrap(), &text).unwrap()
}

/// The policies of all partners but some, under the guardrails that are built in or under others.
pub(super) fn engine(chance: &mut Chance) -> Result<Engine, PolicyError> {
    let text = if chance.percent(50) {
        GUARDRAILS.to_owned()
    } else {
        let anybody = format!(
            "{} || resource.party_members.contains(principal) || resource.assigned.contains(principal)",
            *ANY_ROLE
        );
        let mut text = policy("anybody", None, "permit", Some(&anybody), None);
        text += &policy("conflict", None, "forbid", Some("resource.conflicts.contains(principal)"), None);
        if chance.percent(50) {
            let officers = r#"principal.roles.contains("registrar") && resource.parties.contains(principal.partner)"#;
            text += &policy("owners-registrars", None, "permit", Some(officers), Some(&condition(chance, 2)));
        }
        let not = format!("{} && {}", atom(chance), condition(chance, 2));
        text + &policy("not", None, "forbid", Some(&not), Some(&condition(chance, 1)))
    };
    let guardrails = Arc::new(Guardrails::parse("guardrails", &text)?);
    let mut partners = Vec::new();
    for code in PARTNERS {
        if chance.percent(8) {
            continue;
        }
        partners.push(Arc::new(rules(chance, code)?));
    }
    Ok(Engine::new(guardrails, partners))
}

fn policy(id: &str, side: Option<&str>, effect: &str, when: Option<&str>, unless: Option<&str>) -> String {
    let mut text = format!("@id(\"{id}\")\n");
    if let Some(side) = side {
        writeln!(text, "@side(\"{side}\")").unwrap();
    }
    write!(text, "@reason(\"by chance\")\n{effect}(principal, {ACTIONS}, resource)").unwrap();
    for (word, condition) in [("when", when), ("unless", unless)] {
        if let Some(condition) = condition {
            write!(text, "\n{word} {{ {condition} }}").unwrap();
        }
    }
    text + ";\n\n"
}

const ACTIONS: &str = r#"action in [Action::"View", Action::"Read", Action::"ViewDeliberation"]"#;

/// That the member has some role in the call.
static ANY_ROLE: LazyLock<String> = LazyLock::new(|| {
    let asked = CallRole::ALL.iter().map(|role| format!("resource.call.{}.contains(principal)", role.attribute()));
    format!("({})", asked.collect::<Vec<_>>().join(" || "))
});

/// What a nation would write: a permit, a forbid with its exception, or both.
fn recipe(chance: &mut Chance) -> (Option<String>, Option<(String, Option<String>)>) {
    let panel = || Some(ANY_ROLE.clone());
    match chance.below(19) {
        // Released to named nations, to five of them, to nations that fund or lead.
        0 => (Some(format!("{} && {}", nations(chance, 3), *ANY_ROLE)), None),
        1 => (
            panel(),
            Some((format!("!{}", nations(chance, 4)), Some("resource.parties.contains(principal.partner)".into()))),
        ),
        2 => (
            Some(format!(
                "(resource.call.funders.contains(principal.partner) || resource.call.program.lead == principal.partner) && {}",
                *ANY_ROLE
            )),
            None,
        ),
        // By topic.
        3 => (panel(), Some((on_topic(chance), Some(nations(chance, 2))))),
        4 => (Some(format!("{} || resource.assigned.contains(principal)", on_topic(chance))), None),
        // Only when assigned; only after the opening; only in some phases.
        5 => (Some("resource.assigned.contains(principal)".into()), None),
        6 => (panel(), Some(("!resource.call.opened".into(), None))),
        7 => (
            panel(),
            Some((format!("[\"open\", \"grace\"].contains(resource.call.phase) && {}", condition(chance, 1)), None)),
        ),
        // Never to an organisation; observers see that it is there.
        8 => (
            panel(),
            Some((
                "principal.organisation == \"acme\" || resource.organisations.contains(\"élan vital\")".into(),
                None,
            )),
        ),
        9 => (Some("resource.call.observers.contains(principal)".into()), None),
        10 => (Some(format!("(resource has topic && resource.topic like \"{}\")", pattern(chance))), None),
        11 => {
            (Some("resource.reviewed.contains(principal) || resource.declared_clear.contains(principal)".into()), None)
        }
        // By where it stands.
        12 => (panel(), Some((r#"resource.status == "preparing" || resource.status == "committed""#.into(), None))),
        13 => (Some(r#"resource.status == "preparing" || resource.status == "lapsed""#.into()), None),
        // By marking.
        14 => (panel(), Some((on_caveat(chance), Some(nations(chance, 2))))),
        15 => (Some("resource.releasable_to.contains(principal.partner)".into()), None),
        16 => (Some("true".into()), Some((condition(chance, 1), None))),
        17 => (Some(condition(chance, 2)), None),
        _ => (Some(condition(chance, 3)), Some((condition(chance, 2), Some(condition(chance, 1))))),
    }
}

fn nations(chance: &mut Chance, count: usize) -> String {
    format!("{}.contains(principal.partner)", set(chance, count))
}

fn set(chance: &mut Chance, count: usize) -> String {
    let codes: Vec<String> =
        chance.some(&PARTNERS, count).into_iter().map(|code| format!("Partner::\"{code}\"")).collect();
    format!("[{}]", codes.join(", "))
}

fn on_topic(chance: &mut Chance) -> String {
    let topic = *chance.pick(&TOPICS);
    let other = *chance.pick(&TOPICS);
    match chance.below(6) {
        0 => format!("(resource has topic && resource.topic == \"{topic}\")"),
        1 => format!("(resource has topic && [\"{topic}\", \"{other}\"].contains(resource.topic))"),
        2 => format!("(resource has topic && resource.topic like \"{}\")", pattern(chance)),
        3 => format!(
            "(resource has topic && (resource.topic != \"{topic}\" || resource.topic like \"{}\"))",
            pattern(chance)
        ),
        4 => format!("!(resource has topic && [\"{topic}\", \"{other}\"].contains(resource.topic))"),
        _ => format!("!(resource has topic && resource.topic == \"{topic}\")"),
    }
}

fn on_caveat(chance: &mut Chance) -> String {
    let (one, other) = (*chance.pick(&CAVEATS), *chance.pick(&CAVEATS));
    match chance.below(9) {
        0 => format!("(resource.labelled && !resource.caveats.contains(\"{one}\"))"),
        1 => format!("resource.caveats.containsAny([\"{one}\", \"{other}\"])"),
        2 => format!("[\"{one}\", \"{other}\"].containsAll(resource.caveats)"),
        3 => "(resource has topic && resource.caveats.contains(resource.topic))".into(),
        4 => "resource.caveats.contains(resource.call.phase)".into(),
        5 => format!("resource.caveats.containsAll([\"{one}\", \"{other}\"])"),
        6 => format!("!resource.caveats.containsAll([\"{one}\", \"{other}\"])"),
        7 => format!("!resource.caveats.containsAny([\"{one}\", \"{other}\"])"),
        _ => format!("resource.caveats.contains(\"{one}\")"),
    }
}

/// Patterns with what a database would take for a wildcard. Those with a capital are refused at the door.
fn pattern(chance: &mut Chance) -> &'static str {
    let patterns =
        ["nuclear-*", "ai", "a_i", "a_*", "a?i", "a%", "[a]i", "*", "a*i", "*-*", "n*r", "a\\\\i", "nuclear"];
    chance.pick::<&str>(&patterns)
}

/// A condition of up to this depth.
fn condition(chance: &mut Chance, depth: usize) -> String {
    if depth == 0 || chance.percent(25) {
        return atom(chance);
    }
    let (left, right) = (condition(chance, depth - 1), condition(chance, depth - 1));
    match chance.below(7) {
        0 | 1 => format!("({left} && {right})"),
        2..=4 => format!("({left} || {right})"),
        5 => format!("!({left})"),
        _ => format!("(if {} then {left} else {right})", atom(chance)),
    }
}

fn atom(chance: &mut Chance) -> String {
    let partner = *chance.pick(&PARTNERS);
    let with_roles = CallRole::ALL.iter().map(|role| format!("call.{}", role.attribute()));
    let others = ["party_members", "conflicts", "assigned", "declared_clear", "reviewed"].map(str::to_owned);
    let members = chance.pick(&with_roles.chain(others).collect::<Vec<_>>()).clone();
    let status = *chance.pick(&["preparing", "committed", "submitted", "withdrawn", "lapsed"]);
    let partners = *chance.pick(&["parties", "call.eligible", "call.funders", "call.program.partners"]);
    match chance.below(28) {
        0..=4 => format!("resource.{members}.contains(principal)"),
        5 => format!("resource.{partners}.contains(principal.partner)"),
        6 => format!("resource.{partners}.contains(Partner::\"{partner}\")"),
        7 => format!("resource.{partners}.containsAny({})", set(chance, 2)),
        8 => format!("resource.{partners}.containsAll({})", set(chance, 2)),
        9 => format!("{}.containsAll(resource.{partners})", set(chance, 5)),
        10 => format!("{}.containsAny(resource.{partners})", set(chance, 2)),
        11 => format!("resource.{partners}.contains(resource.call.program.lead)"),
        12 => format!("{}.contains(resource.call.program.lead)", set(chance, 3)),
        13 => "resource.call.program.lead != principal.partner".into(),
        14 => nations(chance, 3),
        15 => chance
            .pick(&["resource.call.opened", "resource.decided", "(resource.call.opened == resource.decided)"])
            .to_string(),
        16 => format!("resource.status == \"{status}\""),
        17 => format!("resource.status like \"{}\"", chance.pick(&["*ed", "*IT*", "*it*", "p%", "*a*ed"])),
        18 => format!("[\"{status}\", \"submitted\"].contains(resource.status)"),
        19 => format!("resource.call.phase {}", chance.pick(&["== \"review\"", "like \"*e*\"", "!= \"open\""])),
        20 => on_topic(chance),
        21 => chance
            .pick(&[
                "resource.organisations.contains(principal.organisation)",
                "resource.organisations.containsAny([\"acme\", \"bureau\"])",
                "!resource.organisations.containsAny([\"acme\", \"bureau\"])",
                "resource.organisations.containsAll([\"acme\", \"bureau\"])",
                "!resource.organisations.containsAll([\"acme\", \"élan vital\"])",
                "[\"acme\", \"élan vital\", \"x\"].containsAll(resource.organisations)",
                "(resource has topic && resource.organisations.contains(resource.topic))",
            ])
            .to_string(),
        22 => format!(
            "resource.releasable_to.{}",
            chance.pick(&["contains(principal.partner)", "contains(resource.call.program.lead)"])
        ),
        23 => match chance.below(4) {
            0 => format!("resource.releasable_to.contains(Partner::\"{partner}\")"),
            1 => format!("resource.releasable_to.containsAll({})", set(chance, 2)),
            2 => format!("{}.containsAll(resource.releasable_to)", set(chance, 6)),
            _ => "(resource.labelled == resource.decided)".into(),
        },
        24 | 25 => on_caveat(chance),
        26 => chance
            .pick(&["principal.host", "principal.roles.contains(\"registrar\")", "!resource.call.draft"])
            .to_string(),
        _ => "(resource has topic && resource.topic == resource.status)".into(),
    }
}
