//! Policy texts that cost most to evaluate among those that are taken: each at the bounds of `policy::bounds`, or at half of them.

/// Israel's text, by what it has many of.
pub(crate) fn worst_texts(is_half: bool) -> Vec<(&'static str, String)> {
    let of = |whole: usize, half: usize| if is_half { half } else { whole };
    let permits = |many: usize, condition: &dyn Fn(usize) -> String| -> String {
        (0..many)
            .map(|number| {
                policy(
                    number,
                    &format!("permit(principal, action, resource is Proposal) when {{ {} }}", condition(number)),
                )
            })
            .collect()
    };
    let any = |many: usize, part: &dyn Fn(usize) -> String| (0..many).map(part).collect::<Vec<_>>().join(" || ");
    let caveat = |number: usize| format!("resource.caveats.contains(\"c{number:05}\")");
    let topics = |set: usize| set_of(set, &|number| format!("\"t{number:05}\""));
    let caveats = |set: usize| set_of(set, &|number| format!("\"c{number:05}\""));
    let partners = |set: usize| set_of(set, &|number| format!("Partner::\"P{number:05}\""));
    let links = |policy: usize| {
        any(48, &|link| {
            let first = policy * 48 + link;
            format!("{} && !{}", caveat(first), caveat(first + 1))
        })
    };
    let chain = (0..of(16, 8))
        .map(|number| {
            policy(number, &format!("forbid(principal, action, resource is Proposal) when {{ {} }}", links(number)))
        })
        .chain([
            policy(98, &format!("forbid(principal, action, resource is Proposal) unless {{ {} }}", caveat(0))),
            policy(99, "permit(principal, action, resource is Proposal) when { resource.call.opened }"),
        ])
        .collect();
    let compared = (1..of(11, 10)).fold(caveat(0), |inner, number| format!("{} == ({inner})", caveat(number)));
    vec![
        (
            "sets of topics",
            permits(of(19, 9), &|set| format!("resource has topic && {}.contains(resource.topic)", topics(set))),
        ),
        (
            "sets of caveats",
            permits(1, &|_| any(of(19, 9), &|set| format!("resource.caveats.containsAny({})", caveats(set)))),
        ),
        (
            "whole sets of caveats",
            permits(1, &|_| any(of(19, 9), &|set| format!("resource.caveats.containsAll({})", caveats(set)))),
        ),
        (
            "sets of partners",
            permits(1, &|_| any(of(16, 8), &|set| format!("resource.parties.containsAny({})", partners(set)))),
        ),
        (
            "patterns",
            permits(of(18, 9), &|number| {
                any(100, &|part| format!("resource.status like \"s{:05}*\"", number * 100 + part))
            }),
        ),
        (
            "topics that may be missing",
            permits(1, &|_| {
                format!(
                    "resource has topic && ({})",
                    any(of(80, 56), &|number| format!("resource.topic == \"t{number}\""))
                )
            }),
        ),
        ("conditions that settle each other", chain),
        ("conditions that are compared", permits(1, &|_| compared.clone())),
    ]
}

/// As many values as one set may have.
fn set_of(set: usize, value: &dyn Fn(usize) -> String) -> String {
    format!("[{}]", (0..200).map(|number| value(set * 200 + number)).collect::<Vec<_>>().join(", "))
}

fn policy(number: usize, rule: &str) -> String {
    format!("@id(\"p{number}\")\n@side(\"release\")\n@reason(\"a test of bounds\")\n{rule};\n")
}
