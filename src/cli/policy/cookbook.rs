//! The recipes of `docs/policies.md`, as the page has them: policy texts and their cases, for `entente policy example`.
//!
//! The page is the one source. A block that begins with `cedar recipe=NAME owner=CODE` is a recipe's policies, one that begins with
//! `json recipe=NAME` its cases; a recipe stands beneath the starter. The tests below hold every block to what the page says of it.

use super::super::error::{CliError, Result};
use crate::domain::id::PartnerCode;

const PAGE: &str = include_str!("../../../docs/policies.md");

/// The recipe that all others stand beneath.
const STARTER: &str = "starter";

/// One recipe of the page.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::cli) struct Recipe {
    pub(super) name: &'static str,
    /// The heading it stands under.
    pub(super) title: &'static str,
    /// Whose text it is written as.
    pub(super) owner: PartnerCode,
    policies: &'static str,
    cases: &'static str,
}

/// All recipes, the starter first, then in the order of the page.
pub(in crate::cli) fn recipes() -> Vec<Recipe> {
    let blocks = blocks();
    let cases =
        |name: &str| blocks.iter().find(|block| block.language == "json" && block.value("recipe") == Some(name));
    let recipe = |block: &Block| {
        let name = block.value("recipe").filter(|_| block.language == "cedar")?;
        let owner = block.value("owner")?.parse().ok()?;
        Some(Recipe { name, title: block.title, owner, policies: block.text, cases: cases(name)?.text })
    };
    blocks.iter().filter_map(recipe).collect()
}

/// A complete text: the starter and the recipes of these names.
pub(in crate::cli) fn text(names: &[String]) -> Result<String> {
    let chosen = chosen(names)?;
    let parts: Vec<&str> = chosen.iter().map(|recipe| recipe.policies).collect();
    Ok(format!("// From docs/policies.md: {}.\n\n{}", named(&chosen), parts.join("\n")))
}

/// The cases of these recipes, or those of the starter: one list.
pub(super) fn cases(names: &[String]) -> Result<String> {
    let chosen = chosen(names)?;
    let inner = |recipe: &Recipe| recipe.cases.trim().trim_start_matches('[').trim_end_matches(']').trim().to_owned();
    // A recipe changes what the starter's cases say, so these are for the starter alone.
    let asked = &chosen[usize::from(chosen.len() > 1)..];
    Ok(format!("[\n  {}\n]\n", asked.iter().map(inner).collect::<Vec<_>>().join(",\n  ")))
}

/// The starter, then what was asked for.
fn chosen(names: &[String]) -> Result<Vec<Recipe>> {
    let all = recipes();
    let find = |name: &str| all.iter().find(|recipe| recipe.name == name).cloned();
    let mut chosen: Vec<Recipe> = find(STARTER).into_iter().collect();
    for name in names {
        let known: Vec<&str> = all.iter().map(|recipe| recipe.name).collect();
        let recipe = find(name).ok_or_else(|| {
            CliError::usage(format!("no recipe `{name}`")).help(format!("name one of {}", known.join(", ")))
        })?;
        if !chosen.contains(&recipe) {
            chosen.push(recipe);
        }
    }
    if let [_, first, rest @ ..] = &chosen[..]
        && let Some(other) = rest.iter().find(|other| other.owner != first.owner)
    {
        let what = format!("`{}` is written for {}, `{}` for {}", first.name, first.owner, other.name, other.owner);
        return Err(CliError::usage(what).help("print them one after the other, and put your nation's code in both"));
    }
    Ok(chosen)
}

fn named(chosen: &[Recipe]) -> String {
    chosen.iter().map(|recipe| recipe.name).collect::<Vec<_>>().join(", ")
}

/// A fenced block of the page.
struct Block {
    language: &'static str,
    info: &'static str,
    title: &'static str,
    text: &'static str,
}

impl Block {
    fn value(&self, key: &str) -> Option<&'static str> {
        self.info.split(' ').find_map(|pair| pair.strip_prefix(key)?.strip_prefix('='))
    }
}

fn blocks() -> Vec<Block> {
    let (mut found, mut title, mut rest) = (Vec::new(), "", PAGE);
    while let Some((line, after)) = rest.split_once('\n') {
        rest = after;
        if line.starts_with('#') {
            title = line.trim_start_matches('#').trim();
        }
        if let Some(info) = line.strip_prefix("```")
            && let Some(end) = after.find("\n```")
        {
            let language = info.split(' ').next().unwrap_or_default();
            found.push(Block { language, info, title, text: &after[..=end] });
            rest = after[end..].trim_start_matches("\n```");
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        cli::Cli,
        client::policies::check_text,
        domain::policy::PolicyOwner,
        policy::{
            stated,
            trial::{Case, Trial, TrialWorld},
        },
    };
    use clap::Parser as _;
    use std::collections::BTreeSet;

    const WANTED: [&str; 13] = [
        "starter",
        "named-nations",
        "five-eyes",
        "embargo",
        "embargo-phase",
        "topic",
        "marking",
        "assigned-reviewers",
        "only-after-opening",
        "never-organisation",
        "no-observers",
        "restricted-slots-stay-home",
        "not-for-our-members",
    ];

    fn owner(recipe: &Recipe) -> PolicyOwner {
        PolicyOwner::Partner(recipe.owner.clone())
    }

    fn trial(recipe: &Recipe) -> Trial {
        Trial::new(&owner(recipe), recipe.name, &text(&[recipe.name.to_owned()]).unwrap()).unwrap()
    }

    fn own_cases(recipe: &Recipe) -> Vec<Case> {
        Case::parse_all(recipe.name, &cases(&[recipe.name.to_owned()]).unwrap(), &TrialWorld::built_in()).unwrap()
    }

    /// The names of a recipe's own policies.
    fn own_policies(recipe: &Recipe) -> BTreeSet<String> {
        let ids = recipe.policies.match_indices("@id(\"").map(|(at, sign)| &recipe.policies[at + sign.len()..]);
        ids.map(|rest| format!("{}/{}", recipe.owner, rest.split('"').next().unwrap())).collect()
    }

    #[test]
    fn page_has_every_recipe_once_with_its_cases() {
        let found: Vec<&str> = recipes().iter().map(|recipe| recipe.name).collect();
        assert_eq!(found, WANTED);
        let told = blocks().iter().filter(|block| block.value("recipe").is_some()).count();
        assert_eq!(told, 2 * WANTED.len(), "each recipe is one block of policies and one of cases");
    }

    #[test]
    fn every_recipe_is_taken_by_the_real_check_alone_and_beneath_the_starter() {
        for recipe in recipes() {
            for text in [recipe.policies.to_owned(), text(&[recipe.name.to_owned()]).unwrap()] {
                check_text(&owner(&recipe), recipe.name, &text).unwrap();
            }
        }
        let of_one_nation: Vec<String> =
            recipes().iter().filter(|one| one.owner.as_str() == "ISR").map(|one| one.name.to_owned()).collect();
        assert!(of_one_nation.len() > 8);
        let all = text(&of_one_nation).unwrap();
        check_text(&"ISR".parse().unwrap(), "all", &all).expect("recipes can be put beneath each other");
    }

    #[test]
    fn every_rule_of_the_starter_and_the_recipes_says_itself_in_plain_words() {
        for recipe in recipes() {
            for rule in stated(recipe.name, &owner(&recipe), recipe.policies).unwrap() {
                let words = &rule.words;
                assert!(words.split(' ').count() >= 3, "{}: `{}` says only `{words}`", recipe.name, rule.policy);
                let is_code = |word: &str| words.contains(word);
                assert!(!["principal", "resource", "::", "()"].into_iter().any(is_code), "{}: {words}", recipe.name);
            }
        }
    }

    #[test]
    fn every_recipe_decides_its_cases_one_that_permits_and_one_that_refuses() {
        for recipe in recipes() {
            let cases = own_cases(&recipe);
            for (case, tried) in cases.iter().zip(trial(&recipe).run(&cases)) {
                let faults: Vec<String> = tried.faults.iter().map(ToString::to_string).collect();
                assert!(faults.is_empty(), "{}: {}: {}", recipe.name, case.name, faults.join("; "));
            }
            for (allows, what) in [(true, "permits"), (false, "refuses")] {
                assert!(cases.iter().any(|case| case.allows() == allows), "{}: no case {what}", recipe.name);
            }
        }
    }

    #[test]
    fn every_recipe_is_shown_to_apply_and_its_conditions_to_matter() {
        for recipe in recipes() {
            let own = own_policies(&recipe);
            assert!(!own.is_empty());
            let unshown = trial(&recipe).unshown(&own_cases(&recipe));
            let faults: Vec<String> = unshown.iter().map(ToString::to_string).collect();
            let of_recipe = faults.iter().filter(|fault| own.iter().any(|name| fault.contains(&format!("`{name}`"))));
            assert_eq!(of_recipe.count(), 0, "{}: {}", recipe.name, faults.join("; "));
        }
    }

    #[test]
    fn cases_that_a_recipe_forbids_are_otherwise_without_it() {
        for recipe in recipes().into_iter().filter(|recipe| recipe.name != STARTER) {
            let (trial, cases) = (trial(&recipe), own_cases(&recipe));
            for policy in own_policies(&recipe) {
                let without = trial.without(&policy).unwrap().run(&cases);
                let refused = cases.iter().zip(trial.run(&cases)).zip(&without).filter(|((case, _), _)| !case.allows());
                let mut otherwise = refused.filter(|((case, with), without)| {
                    // That an unmet condition matters was found out when the case was tried.
                    let forbidden = with.deciding.contains(&policy) && with.standing != without.standing;
                    forbidden || case.unmet().any(|name| *name == policy)
                });
                assert!(otherwise.next().is_some(), "{}: no refused case is otherwise without `{policy}`", recipe.name);
            }
        }
    }

    #[test]
    fn commands_of_the_page_are_commands() {
        let mut count = 0;
        let shell = blocks().into_iter().filter(|block| block.language == "sh");
        for line in shell.flat_map(|block| block.text.lines()) {
            let line = line.split("  ").next().unwrap().split(" > ").next().unwrap();
            let quoted = |(at, part): (usize, &str)| match at % 2 {
                0 => part.split_whitespace().map(str::to_owned).collect(),
                _ => vec![part.to_owned()],
            };
            let words: Vec<String> = line.split('\'').enumerate().flat_map(quoted).collect();
            Cli::try_parse_from(&words).unwrap_or_else(|error| panic!("`{line}`: {error}"));
            count += 1;
        }
        assert!(count > 20, "only {count} commands were found");
    }

    /// Rows of the table of what is refused: the text that was written, the error, what to write instead.
    fn refusals() -> Vec<[&'static str; 3]> {
        let (_, table) = PAGE.split_once("| you wrote | you are told | write instead |\n|---|---|---|\n").unwrap();
        let rows = table.lines().take_while(|line| line.starts_with('|'));
        let cells = |row: &'static str| row.trim_matches('|').split(" | ").map(str::trim).collect::<Vec<_>>();
        rows.map(|row| cells(row).try_into().unwrap_or_else(|_| panic!("three cells: {row}"))).collect()
    }

    /// A whole policy out of a cell: the policy itself, or a condition of one for `View`.
    fn policy(cell: &str) -> String {
        let code = cell.trim_matches('`').trim();
        let head = "@id(\"one\") @side(\"release\") @reason(\"because\")\n";
        let whole = ["permit", "forbid", "@"].iter().any(|word| code.starts_with(word));
        match (whole, code.starts_with('@')) {
            (true, true) => code.to_owned(),
            (true, false) => format!("{head}{code}"),
            _ => format!("{head}permit(principal, action == Action::\"View\", resource) when {{ {code} }};"),
        }
    }

    #[test]
    fn what_the_page_says_is_refused_is_refused_in_those_words_and_what_it_says_instead_is_taken() {
        let owner = "ISR".parse().unwrap();
        let rows = refusals();
        for [wrong, told, instead] in &rows {
            let error = check_text(&owner, "ISR", &policy(wrong)).expect_err(wrong);
            let what = error.what().trim_start_matches("policy `one`: ").trim_start_matches("policy `one` ");
            assert_eq!(what, *told, "{wrong}; {}", error.help());
            check_text(&owner, "ISR", &policy(instead)).unwrap_or_else(|error| panic!("{instead}: {error}"));
        }
        assert!(rows.len() >= 15, "only {} rows", rows.len());
    }

    #[test]
    fn attributes_that_the_page_lists_are_those_of_the_schema() {
        let schema = crate::policy::SCHEMA;
        let named: BTreeSet<&str> = schema
            .lines()
            .filter_map(|line| line.strip_prefix("  ")?.split_once(": "))
            .map(|(name, _)| name.trim_end_matches('?'))
            .filter(|name| name.chars().all(|c| c.is_ascii_lowercase() || c == '_'))
            .collect();
        let (_, table) = PAGE.split_once("| of | attributes |\n").unwrap();
        let table: String = table.lines().take_while(|line| line.starts_with('|')).collect();
        for name in named {
            assert!(
                table.contains(&format!("`{name}`")) || ["call", "program"].contains(&name),
                "`{name}` is not listed"
            );
        }
    }

    #[test]
    fn recipes_of_two_nations_are_not_mixed_and_unknown_ones_are_named() {
        let error = text(&["five-eyes".into(), "topic".into()]).unwrap_err();
        assert!(error.message.contains("written for USA"), "{error}");
        let error = text(&["five-ayes".into()]).unwrap_err();
        assert!(error.help.unwrap().contains("five-eyes"), "{}", error.message);
        assert!(
            text(&["topic".into(), "topic".into()]).is_ok_and(|text| text.matches("sensitive-topics").count() == 1)
        );
    }
}
