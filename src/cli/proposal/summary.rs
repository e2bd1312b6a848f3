//! `entente proposal summary`: the form to fill in, and the summary that is put in from it, or from JSON or TOML.

use super::documents;
use crate::{
    cli::{
        context::Context,
        error::{CliError, Result, read_input},
        form_faults, input,
    },
    client::{Client, naming::ProposalName, proposals::Summary, summary_form},
    domain::{call::SUMMARY_SLOT, id::ProposalId},
    reading,
};
use std::path::Path;

/// Prints the form, filled with what is put in now.
pub(super) async fn print(context: &Context, client: &Client, proposal: &ProposalName) -> Result<()> {
    let id = client.find_proposal(proposal).await?.id;
    let reference = client.api().proposal(id).await?.reference;
    let summary = client.present_summary(id).await?;
    context.out.bytes(summary_form::written(&reference.to_string(), &summary).as_bytes())?;
    context.out.note(&format!("put it in with `entente proposal summary {reference} --file FILE`"));
    Ok(())
}

/// Puts the summary in.
pub(super) async fn put(context: &Context, client: &Client, proposal: ProposalId, file: &Path) -> Result<()> {
    let summary = read(context, file)?;
    context.out.note(&summary_form::length_in_words(&summary));
    let earlier = documents::unsent(client, proposal, &SUMMARY_SLOT.parse()?)?;
    let document = client.put_summary(proposal, &summary, context.meter("summary")).await;
    let document = document.map_err(documents::interrupted)?;
    documents::note_signed(context, client, &earlier, &document)?;
    documents::stored(context, &document)
}

/// The summary in a file, whichever form it has.
fn read(context: &Context, file: &Path) -> Result<Summary> {
    let content = read_input(file, 4 << 20)?;
    let shown = file.display();
    let wrong = |fault: String| CliError::usage(format!("`{shown}`: {fault}")).help("see `--help` for what goes in");
    let text = reading::text(&content).map_err(wrong)?;
    if !text.trim_start().starts_with(summary_form::BEGINS) {
        return input::read(&content).map_err(wrong);
    }
    form_faults::without(summary_form::read(&text), context, file, "put in")
}
