//! `entente policy test`: tries a text on this machine against cases, with the code that the exchange decides with.
//!
//! Connects to nothing. What it reads is bounded; what it prints says of every case that fails what was decided, by which
//! policies, and why.

use super::{
    super::{
        context::Context,
        error::{CliError, Result, read_input},
        output::{Screen, Style},
    },
    TextFile, read, refused,
};
use crate::{
    domain::{policy::PolicyOwner, text::counted},
    policy::trial::{Case, CaseResult, MAX_TEXT, Trial, TrialError, TrialWorld},
    reading,
};
use clap::Args;
use serde_json::json;
use std::{
    fs,
    path::{Path, PathBuf},
};

/// The most files of cases that are read at once.
const MAX_FILES: usize = 500;

/// How deep below the named folder cases are looked for.
const MAX_DEPTH: usize = 4;

#[derive(Debug, Args)]
pub struct TestArgs {
    #[command(flatten)]
    file: TextFile,
    /// Cases: a JSON file, or a folder of such
    #[arg(long, value_name = "PATH")]
    cases: PathBuf,
    /// The world that cases start from [default: `world.json` beside them, or that of `entente policy world`]
    #[arg(long, value_name = "FILE")]
    world: Option<PathBuf>,
    /// Policies of another nation, to be asked too; the file is named by its code
    #[arg(long, value_name = "FILE")]
    with: Vec<PathBuf>,
    /// Guardrails to ask instead of those that the program comes with
    #[arg(long, value_name = "FILE")]
    guardrails: Option<PathBuf>,
    /// Ask every nation as the exchange does: without policies it releases nothing and reads nothing
    #[arg(long)]
    everybody: bool,
}

/// Runs the command.
pub(super) fn run(args: &TestArgs, context: &Context) -> Result<()> {
    let trial = trial(args)?;
    let files = files(&args.cases)?;
    let world = world(args)?;
    let mut cases = Vec::new();
    for file in &files {
        let text = utf8(file)?;
        cases.extend(Case::parse_all(&file.display().to_string(), &text, &world).map_err(unusable)?);
    }
    let tried = trial.run(&cases);
    let failed = tried.iter().filter(|one| !one.faults.is_empty()).count();
    let unshown: Vec<String> = trial.unshown(&cases).iter().map(ToString::to_string).collect();
    let unasked: Vec<String> = trial.unasked(&cases).iter().map(ToString::to_string).collect();
    let items: Vec<_> = cases.iter().zip(&tried).map(|(case, tried)| item(case, tried)).collect();
    let answer = json!({
        "owner": trial.owner().to_string(), "passed": cases.len() - failed, "failed": failed, "items": items,
        "unshown": unshown, "not_asked": unasked,
    });
    context.out.answer(&answer, |screen| {
        for (case, tried) in cases.iter().zip(&tried).filter(|(_, tried)| !tried.faults.is_empty()) {
            fails(screen, case, tried);
        }
        for gap in &unshown {
            screen.styled(&[(Style::Yellow, "gap   "), (Style::Plain, gap)]);
        }
        if !unasked.is_empty() {
            let nations = unasked.join(", ");
            let note =
                if args.everybody { "no policies, so all is refused" } else { "not asked, for want of policies" };
            screen.styled(&[(Style::Dim, &format!("note  {note}: {nations} (give them with `--with`)"))]);
        }
        if failed == 0 {
            let what = counted(cases.len(), "case passes", "cases pass");
            screen.styled(&[(Style::Green, "done  "), (Style::Plain, &what)]);
        }
    })?;
    if failed == 0 {
        return Ok(());
    }
    let help = "correct the text, or the case if it asks for what is not meant";
    let of = counted(cases.len(), "case", "cases");
    Err(CliError::failed(format!("{failed} of {of} did not come out as expected")).help(help))
}

fn trial(args: &TestArgs) -> Result<Trial> {
    let (owner, place, text) = read(&args.file)?;
    let mut trial = Trial::new(&owner, &place, &text).map_err(refused)?;
    for file in &args.with {
        let (other, place, text) = read(&TextFile { file: file.clone(), owner: None })?;
        if other == PolicyOwner::Guardrails || trial.given().any(|code| PolicyOwner::Partner(code.clone()) == other) {
            let help = "name each nation's file once; guardrails are given with `--guardrails`";
            return Err(CliError::usage(format!("`{place}` holds the policies of {other}")).help(help));
        }
        trial = trial.with(&other, &place, &text).map_err(refused)?;
    }
    if let Some(file) = &args.guardrails {
        if owner == PolicyOwner::Guardrails {
            return Err(CliError::usage("guardrails are what is tried").help("leave `--guardrails` out"));
        }
        let (_, place, text) = read(&TextFile { file: file.clone(), owner: Some(PolicyOwner::Guardrails) })?;
        trial = trial.with(&PolicyOwner::Guardrails, &place, &text).map_err(refused)?;
    }
    Ok(if args.everybody { trial.asking_everybody() } else { trial })
}

/// The world that was named, one beside the cases, or that of the program.
fn world(args: &TestArgs) -> Result<TrialWorld> {
    let folder = if args.cases.is_dir() { Some(&*args.cases) } else { args.cases.parent() };
    let beside = folder.map(|folder| folder.join("world.json")).filter(|file| file.is_file());
    match args.world.clone().or(beside) {
        Some(file) => TrialWorld::parse(&file.display().to_string(), &utf8(&file)?).map_err(unusable),
        None => Ok(TrialWorld::built_in()),
    }
}

/// The files of cases, in the order of their names.
fn files(path: &Path) -> Result<Vec<PathBuf>> {
    if !path.is_dir() {
        return Ok(vec![path.to_owned()]);
    }
    let (mut found, mut folders) = (Vec::new(), vec![(path.to_owned(), 0)]);
    while let Some((folder, depth)) = folders.pop() {
        let cannot = |error: std::io::Error| CliError::failed(format!("cannot read `{}`: {error}", folder.display()));
        for entry in fs::read_dir(&folder).map_err(cannot)? {
            let path = entry.map_err(cannot)?.path();
            let is_cases = path.extension().is_some_and(|end| end == "json") && !path.ends_with("world.json");
            if path.is_dir() && depth < MAX_DEPTH {
                folders.push((path, depth + 1));
            } else if is_cases && path.is_file() {
                found.push(path);
            }
            if found.len() > MAX_FILES || folders.len() > MAX_FILES {
                return Err(CliError::usage(format!("`{}` holds more than {MAX_FILES} files", path_of(&folder)))
                    .help("name a folder that holds cases alone"));
            }
        }
    }
    found.sort();
    if found.is_empty() {
        let help = "cases are `.json` files; `entente policy example --cases` prints some";
        return Err(CliError::usage(format!("there are no cases in `{}`", path.display())).help(help));
    }
    Ok(found)
}

fn path_of(folder: &Path) -> String {
    folder.display().to_string()
}

fn utf8(file: &Path) -> Result<String> {
    let content = read_input(file, MAX_TEXT as u64)?;
    let text = reading::text(&content).map_err(|fault| CliError::usage(format!("`{}`: {fault}", file.display())))?;
    Ok(text.into_owned())
}

fn unusable(error: TrialError) -> CliError {
    CliError::usage(&error).help(error.help())
}

fn fails(screen: &mut Screen, case: &Case, tried: &CaseResult) {
    let faults: Vec<String> = tried.faults.iter().map(ToString::to_string).collect();
    let line = format!("{}: {}: {}", case.place, case.name, faults.join("; "));
    screen.styled(&[(Style::Red, "FAIL  "), (Style::Plain, &line)]);
}

fn item(case: &Case, tried: &CaseResult) -> serde_json::Value {
    let faults: Vec<String> = tried.faults.iter().map(ToString::to_string).collect();
    let reasons: Vec<String> = tried
        .decision
        .iter()
        .flat_map(|one| one.reasons().iter().map(ToString::to_string).collect::<Vec<_>>())
        .collect();
    json!({
        "file": case.place, "name": case.name, "passed": faults.is_empty(), "expected": case.expected.to_string(),
        "outcome": tried.decision.as_ref().map(|one| one.standing.to_string()), "deciding": tried.deciding,
        "reasons": reasons, "faults": faults,
    })
}
