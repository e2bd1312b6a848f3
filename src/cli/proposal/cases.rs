//! `entente proposal open --assigned`: everything that a reviewer has to read, a folder each. One that fails is no reason to stop.

use super::place;
use crate::{
    cli::{
        context::Context,
        error::{CliError, Exit, Result},
        handover::path_text,
        output::{Screen, Style},
        table::Table,
    },
    client::{
        Client, NoProgress,
        cases::{CaseFile, CaseFileState, OpenedCase},
        naming::CallName,
        titles::{ListExtent, PassphraseRule},
    },
    domain::{reference::Reference, text::counted},
};
use serde_json::{Value, json};
use std::{path::Path, sync::Arc};

/// Opens what is assigned into folders below `into`.
pub(super) async fn open(context: &Context, client: &Client, call: &CallName, into: &Path) -> Result<()> {
    let call = client.find_call(call).await?;
    let assigned = client.assigned_proposals(call).await?;
    if assigned.is_empty() {
        return Err(CliError::failed("nothing is assigned to you under this call")
            .help("`entente proposal list --assigned` shows what is"));
    }
    // The documents themselves take the passphrase anyway.
    let titles = client.titles(&assigned, ListExtent::Part, PassphraseRule::Always, Arc::new(NoProgress)).await;
    let (mut opened, mut failed) = (Vec::new(), Vec::new());
    for proposal in &assigned {
        let meter = |name: &str| context.meter(format!("{} {name}", proposal.reference));
        match client.open_case(proposal, &titles, into, &meter).await {
            Ok(case) => opened.push((proposal.reference.clone(), case)),
            Err(error) => failed.push((proposal.reference.to_string(), CliError::from(error))),
        }
    }
    context.out.answer(&as_json(&opened), |screen| show(screen, &opened))?;
    for (reference, case) in opened {
        for CaseFile { slot, party, state, .. } in case.files {
            if let CaseFileState::Failed(error) = state {
                failed.push((format!("{} of {reference}", place(&slot, party.as_ref())), error.into()));
            }
        }
    }
    ended(context, failed)
}

/// Says what failed and why; the code is that of the failures if it is the same for all.
fn ended(context: &Context, failed: Vec<(String, CliError)>) -> Result<()> {
    let Some((_, first)) = failed.first() else { return Ok(()) };
    let exit = if failed.iter().all(|(_, error)| error.exit == first.exit) { first.exit } else { Exit::Failed };
    let count = counted(failed.len(), "thing was not opened", "things were not opened");
    for (what, error) in failed {
        CliError { message: format!("{what}: {}", error.message), ..error }.print(&context.out);
    }
    Err(CliError { exit, ..CliError::failed(format!("{count}; all else is there")) }.help("the lines above say why"))
}

fn as_json(opened: &[(Reference, OpenedCase)]) -> Value {
    let cases = opened.iter().map(|(reference, case)| {
        let files = case.files.iter().map(|file| {
            let (state, size, why) = match &file.state {
                CaseFileState::Opened(size) => ("opened", Some(size), None),
                CaseFileState::Unchanged => ("unchanged", None, None),
                CaseFileState::Kept => ("kept", None, None),
                CaseFileState::Closed(why) => ("closed", None, Some(why.clone())),
                CaseFileState::Failed(error) => ("failed", None, Some(error.to_string())),
            };
            json!({ "slot": file.slot, "party": file.party, "file": file.name, "state": state, "size": size, "why": why })
        });
        json!({
            "reference": reference, "folder": path_text(&case.folder), "version": case.version, "files": files.collect::<Vec<_>>(),
        })
    });
    json!({ "items": cases.collect::<Vec<_>>() })
}

/// What is in the folders now.
pub(in crate::cli) fn show(screen: &mut Screen, opened: &[(Reference, OpenedCase)]) {
    let mut table = Table::new(["PROPOSAL", "VERSION", "OPENED", "AS BEFORE", "FOLDER"]);
    for (reference, case) in opened {
        let count =
            |is: fn(&CaseFileState) -> bool| case.files.iter().filter(|file| is(&file.state)).count().to_string();
        table.row([
            reference.to_string(),
            case.version.to_string(),
            count(|state| matches!(state, CaseFileState::Opened(_))),
            count(|state| matches!(state, CaseFileState::Unchanged)),
            case.folder.display().to_string(),
        ]);
    }
    screen.table(&table, "nothing was opened");
    for (reference, file) in
        opened.iter().flat_map(|(reference, case)| case.files.iter().map(move |file| (reference, file)))
    {
        let what = place(&file.slot, file.party.as_ref());
        match &file.state {
            CaseFileState::Kept => {
                let sentence = format!(
                    "{reference}: `{}` was edited here or is another file, and stays; move it away to have {what} opened again",
                    file.name
                );
                screen.styled(&[(Style::Yellow, &sentence)]);
            }
            CaseFileState::Closed(why) => {
                screen.styled(&[(Style::Dim, &format!("{reference}: {what} is not for you: {why}"))]);
            }
            _ => {}
        }
    }
}
