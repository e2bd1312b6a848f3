//! `entente conflict sheet`: all declarations of a call on one list. It is printed to be filled in, read back, or answered at the terminal.
//!
//! Nothing is declared before the person has seen what will be, and has said yes.

use crate::{
    cli::{
        act::{self, DryRun},
        context::{Context, whole},
        error::{CliError, Exit, Result, read_input},
        output::{Screen, Style},
        prompt::{ASKED_AT_MOST, Consent, is_attended},
        rows,
        table::Table,
        titles::{TitleArgs, TitleUse},
    },
    client::{
        Client,
        interests::{DeclaredInterests, InterestPlan, InterestSheet, PlannedDeclaration, StatedInterest},
        naming::{CallName, ProposalName},
        titles::{ListExtent, Titles, rows::Titled},
    },
    domain::{
        id::{MemberId, ProposalId},
        member::ConflictGround,
        reference::{Reference, ReferenceError},
        text::{choices, counted},
    },
    wire::proposal::Proposal,
};
use clap::Args;
use std::{
    collections::{BTreeMap, BTreeSet},
    path::PathBuf,
};

/// The largest file that is read.
const LARGEST: u64 = 8 << 20;
/// So many references are named in a sentence.
const NAMED: usize = 5;

#[derive(Debug, Args)]
pub struct InterestSheetArgs {
    /// The call
    call: CallName,
    /// A sheet that was filled in, CSV; `-` reads standard input
    #[arg(long)]
    file: Option<PathBuf>,
    #[command(flatten)]
    titles: TitleArgs,
    #[command(flatten)]
    dry_run: DryRun,
    #[command(flatten)]
    consent: Consent,
}

/// Runs the command.
pub(super) async fn run(args: InterestSheetArgs, context: &Context, client: &Client) -> Result<()> {
    // What is wrong with the file is said before the exchange is asked anything.
    let stated = match &args.file {
        Some(file) => {
            let faulty = |fault: String| {
                CliError::usage(format!("`{}`: {fault}", file.display())).help("see `entente conflict sheet --help`")
            };
            Some(read(&read_input(file, LARGEST)?).map_err(faulty)?)
        }
        None => None,
    };
    let sheet = client.interest_sheet(client.find_call(&args.call).await?).await?;
    let extent = ListExtent::Part;
    let titles = args.titles.of(context, client, &sheet.proposals, extent, TitleUse::Shown).await;
    let lines = titles.joined(sheet.proposals.clone(), |proposal| proposal.id);
    let stated = match stated {
        Some(stated) => stated,
        None if is_attended() && !context.out.is_json() && !context.out.is_csv() => {
            context.out.aside(|screen| list(screen, &lines, &sheet.names));
            if lines.iter().all(|line| line.item.mine.is_clear) {
                return context.out.done("nothing is left to declare; `entente conflict declare` takes a new conflict");
            }
            ask(context, &lines).await?
        }
        None => return context.out.answer(&whole(&lines), |screen| list(screen, &lines, &sheet.names)),
    };
    let plan = sheet.plan(&stated)?;
    if args.dry_run.is_meant() {
        return act::shown(context, &plan, |screen| show(screen, &plan, &titles));
    }
    if plan.declarations.is_empty() {
        context.out.aside(|screen| show(screen, &plan, &titles));
        return context.out.done("nothing was left to declare");
    }
    if !args.consent.is_given() {
        context.out.aside(|screen| show(screen, &plan, &titles));
    }
    context.keyboard().agree(args.consent, &question(&plan)).await?;
    declare(&plan, &sheet, context, client).await
}

async fn declare(plan: &InterestPlan, sheet: &InterestSheet, context: &Context, client: &Client) -> Result<()> {
    let mut done = DeclaredInterests::default();
    let ended = client.declare_planned(plan, &mut done).await;
    let DeclaredInterests { clear, conflicts, refused } = &done;
    for (reference, error) in refused {
        context.out.warn(&format!("{reference}: {error}"));
    }
    let of = |count: usize| counted(count as u64, "proposal", "proposals");
    let declared = format!("no conflict with {}, a conflict with {}", of(*clear), of(*conflicts));
    if let Err(error) = ended {
        let mut error = CliError::from(error);
        error.message = format!("{}; before it you declared {declared}", error.message);
        return Err(error.help("run the same command again: it goes on with what is left"));
    }
    if refused.is_empty() {
        context.out.done(&format!("declared {declared}"))?;
    } else {
        let left = counted(refused.len() as u64, "declaration was", "declarations were");
        let error =
            CliError { exit: Exit::Refused, ..CliError::failed(format!("declared {declared}; {left} refused")) };
        return Err(error.help(format!("`entente conflict sheet {}` shows what is left", sheet.code)));
    }
    if *clear > 0 {
        context.out.note("you get your keys as soon as somebody who holds them passes them on");
    }
    Ok(())
}

/// What somebody has to agree to.
fn question(plan: &InterestPlan) -> String {
    let each = match plan.declarations.len() {
        1 => "the statement is",
        _ => "a statement for each is",
    };
    let follows = match plan.conflicts() {
        0 => "one that becomes a conflict can be declared at any time",
        1 => "the one with a conflict is closed to you at once, and only an officer from another nation can lift that",
        _ => "those with a conflict are closed to you at once, and only an officer from another nation can lift that",
    };
    format!("declaring {}: {each} signed with your key; {follows}", plan.in_words())
}

/// The lines of a sheet that was filled in.
fn read(content: &[u8]) -> Result<Vec<StatedInterest>, String> {
    let rows = rows::read(content, &["proposal", "conflict"], &[])?.into_iter().map(|row| {
        let proposal: ProposalName =
            row.cell("proposal").parse().map_err(|error: ReferenceError| format!("line {}: {error}", row.line))?;
        let ground = ground(row.cell("conflict")).map_err(|error| format!("line {}: {error}", row.line))?;
        Ok(StatedInterest { line: row.line, proposal, ground })
    });
    let stated = rows.collect::<Result<Vec<_>, String>>()?;
    if stated.is_empty() {
        return Err("it names no proposal".into());
    }
    Ok(stated)
}

/// What a cell says: nothing, or `none`, is no conflict; otherwise it is the ground of one.
fn ground(cell: &str) -> Result<Option<ConflictGround>, String> {
    match cell.trim().to_lowercase().as_str() {
        "" | "-" | "none" => Ok(None),
        word => word.parse().map(Some).map_err(|_| {
            format!("`{}` is no ground of a conflict; write {}, or nothing", cell.trim(), choices(ConflictGround::ALL))
        }),
    }
}

/// Asks which of the rows are conflicts, and of each its ground. All other rows are without.
async fn ask(context: &Context, lines: &[Titled<Proposal>]) -> Result<Vec<StatedInterest>> {
    let numbers = "Numbers of those with which you have a conflict (such as 2,5-7), or nothing";
    let picked = asked(context, numbers, |answer| numbers_in(answer, lines.len())).await?;
    let mut stated = Vec::with_capacity(lines.len());
    for (number, line) in (1..).zip(lines) {
        let reference = &line.item.reference;
        let ground = if picked.contains(&number) {
            let question = format!("Ground of the conflict with {reference} ({})", choices(ConflictGround::ALL));
            let given = asked(context, &question, |answer| {
                ground(answer)?.ok_or_else(|| format!("write {}", choices(ConflictGround::ALL)))
            });
            Some(given.await?)
        } else {
            None
        };
        let proposal = ProposalName::Id(line.item.id);
        stated.push(StatedInterest { line: number as u64, proposal, ground });
    }
    Ok(stated)
}

/// Asks until the answer is understood, a few times at most.
async fn asked<T>(context: &Context, question: &str, read: impl Fn(&str) -> Result<T, String>) -> Result<T> {
    for _ in 0..ASKED_AT_MOST {
        let Some(answer) = context.keyboard().typed(question).await else { break };
        match read(&answer) {
            Ok(answer) => return Ok(answer),
            Err(fault) => context.out.warn(&fault),
        }
    }
    Err(CliError::failed("not answered, so nothing was declared")
        .help("fill the sheet in instead: `entente --csv conflict sheet CALL > sheet.csv`, then `--file sheet.csv`"))
}

/// The numbers and ranges in an answer, each of a row.
fn numbers_in(answer: &str, rows: usize) -> Result<BTreeSet<usize>, String> {
    let mut numbers = BTreeSet::new();
    for piece in answer.split([',', ';', ' ']).filter(|piece| !piece.is_empty()) {
        let (first, last) = piece.split_once('-').unwrap_or((piece, piece));
        match (first.trim().parse::<usize>(), last.trim().parse::<usize>()) {
            (Ok(first), Ok(last)) if 1 <= first && first <= last && last <= rows => numbers.extend(first..=last),
            _ => return Err(format!("`{piece}` is no number from 1 to {rows}, and no range such as 2-4")),
        }
    }
    Ok(numbers)
}

/// The sheet: who takes part in each proposal, and what the member has declared. As CSV it has the column that is filled in.
pub(in crate::cli) fn list(screen: &mut Screen, lines: &[Titled<Proposal>], names: &BTreeMap<MemberId, String>) {
    let is_filled_in = screen.is_csv();
    let heads = ["NO", "PROPOSAL", "TITLE", "DECLARED", "ORGANISATIONS", "MEMBERS"];
    let filled_in = is_filled_in.then_some("CONFLICT");
    let mut table = Table::new(heads.into_iter().chain(filled_in)).cutting("TITLE");
    for (number, Titled { item: proposal, title, .. }) in (1..).zip(lines) {
        let organisations = proposal.organisations.iter().chain(&proposal.later_organisations);
        let organisations: Vec<&str> = organisations.map(String::as_str).collect();
        let members = proposal.parties.values().flatten().map(|member| match names.get(member) {
            Some(name) => format!("{name} ({member})"),
            None => member.to_string(),
        });
        let cells = [
            number.to_string(),
            screen.named(&proposal.reference, &proposal.id),
            title.clone().unwrap_or_default(),
            if proposal.mine.is_clear { "no conflict" } else { "" }.to_owned(),
            organisations.join("; "),
            members.collect::<Vec<_>>().join("; "),
        ];
        table.row(cells.into_iter().chain(filled_in.map(|_| String::new())));
    }
    screen.table(&table, "no proposals on which you can declare");
}

/// What will be declared, and what not.
pub(in crate::cli) fn show(screen: &mut Screen, plan: &InterestPlan, titles: &Titles) {
    let mut table = Table::new(["PROPOSAL", "TITLE", "DECLARES", "FOLLOWS"]).cutting("TITLE");
    for PlannedDeclaration { proposal, reference, ground, ends_assignment, sets_review_aside } in &plan.declarations {
        let declares = ground.map_or_else(|| "no conflict".to_owned(), |ground| format!("CONFLICT: {ground}"));
        let follows = match (sets_review_aside, ends_assignment) {
            (true, _) => "your review no longer counts",
            (false, true) => "you no longer review it",
            (false, false) if ground.is_some() => "closed to you",
            (false, false) => "",
        };
        let title = title_of(titles, *proposal);
        table.row([screen.named(reference, proposal), title, declares, follows.to_owned()]);
    }
    screen.table(&table, "nothing is to be declared");
    let sentence = |what: &[Reference], one: &str, many: &str| {
        let names: Vec<String> = what.iter().map(ToString::to_string).collect();
        (!names.is_empty()).then(|| format!("{}: {}", counted(what.len() as u64, one, many), first_of(&names)))
    };
    let already = sentence(&plan.already, "is on record without conflict", "are on record without conflict");
    let unnamed = sentence(&plan.unnamed, "is not named and stays undeclared", "are not named and stay undeclared");
    for said in [already, unnamed].into_iter().flatten() {
        screen.styled(&[(Style::Dim, &said)]);
    }
    if !plan.not_shown.is_empty() {
        let which = counted(plan.not_shown.len() as u64, "is", "are");
        let said = format!(
            "{which} not shown to you, as one with a conflict that you declared, and left out: {}",
            first_of(&plan.not_shown)
        );
        screen.styled(&[(Style::Dim, &said)]);
    }
}

fn title_of(titles: &Titles, proposal: ProposalId) -> String {
    titles.title(proposal).unwrap_or_default().to_owned()
}

/// The first of these names, and how many more there are.
fn first_of(names: &[String]) -> String {
    let shown = names[..names.len().min(NAMED)].join(", ");
    match names.len().saturating_sub(NAMED) {
        0 => shown,
        more => format!("{shown} and {more} more"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sheet_is_read_as_spreadsheets_save_it() {
        let sheet = "NO,PROPOSAL,TITLE,CONFLICT\r\n1,BIRD26-48179,\"Maps, fields\",\r\n2,bird26-09268,,Family\r\n";
        let stated = read(sheet.as_bytes()).unwrap();
        let grounds: Vec<_> = stated.iter().map(|said| (said.line, said.ground)).collect();
        assert_eq!(grounds, [(2, None), (3, Some(ConflictGround::Family))]);
        assert_eq!(read(b"proposal;conflict\nBIRD26-48179;none\n").unwrap()[0].ground, None);
    }

    #[test]
    fn what_is_no_ground_is_refused_with_its_line_and_the_grounds_that_there_are() {
        let refused = read(b"proposal,conflict\nBIRD26-48179,\nBIRD26-09268,x\n").unwrap_err();
        assert!(refused.starts_with("line 3: `x` is no ground of a conflict; write employment, family, "), "{refused}");
        let refused = read(b"proposal,conflict\nBIRD26-48197,\n").unwrap_err();
        assert!(refused.starts_with("line 2: `BIRD26-48197` is mistyped"), "{refused}");
        assert!(read(b"proposal\nBIRD26-48179\n").unwrap_err().contains("no column `conflict`"));
        assert_eq!(read(b"proposal,conflict\n").unwrap_err(), "it names no proposal");
    }

    #[test]
    fn rows_are_picked_by_numbers_and_ranges() {
        assert_eq!(numbers_in("", 9).unwrap(), BTreeSet::new());
        assert_eq!(numbers_in("2, 5-7;9", 9).unwrap(), BTreeSet::from([2, 5, 6, 7, 9]));
        for wrong in ["0", "10", "7-5", "2-x", "all"] {
            assert!(numbers_in(wrong, 9).unwrap_err().starts_with(&format!("`{wrong}` is no number")), "{wrong}");
        }
    }

    #[test]
    fn long_lists_of_names_are_cut_in_sentences() {
        let names: Vec<String> = (1..=7).map(|number| number.to_string()).collect();
        assert_eq!(first_of(&names), "1, 2, 3, 4, 5 and 2 more");
        assert_eq!(first_of(&names[..2]), "1, 2");
    }
}
