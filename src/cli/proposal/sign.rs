//! Signing a manifest: the member sees what it says before it is signed.

use super::{label::LabelArgs, place, show};
use crate::{
    cli::{
        cell::TableCell,
        context::{Context, joined, label_worded},
        error::Result,
        output::{Screen, Style},
        prompt::{Consent, is_attended},
        table::Table,
    },
    client::{Client, naming::ProposalName, signing::Signing},
};
use clap::Args;
use serde_json::json;

#[derive(Debug, Args)]
pub struct SignArgs {
    /// The proposal
    proposal: ProposalName,
    /// Only show what would be signed
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    consent: Consent,
    /// Propose a new version if the documents differ from the version that waits for your party
    #[arg(long)]
    new_version: bool,
    #[command(flatten)]
    label: LabelArgs,
    /// Without a label, although the version before has one
    #[arg(long, conflicts_with = "rel_to")]
    no_label: bool,
}

/// Shows what would be signed, asks at a terminal, signs.
pub(super) async fn run(args: SignArgs, context: &Context, client: &Client) -> Result<()> {
    let choice = args.label.choice(args.no_label)?;
    let proposal = client.find_proposal(&args.proposal).await?.id;
    let plan = client.plan_labelled(proposal, args.new_version, &choice).await?;
    if args.dry_run {
        let documents: Vec<_> = plan
            .documents
            .iter()
            .map(|line| json!({ "document": line.document, "uploaded_by": line.uploaded_by, "is_own": line.is_own }))
            .collect();
        let answer = json!({
            "manifest": plan.manifest, "documents": documents, "is_countersignature": plan.is_countersignature(),
        });
        context.out.answer(&answer, |screen| show_plan(screen, &plan))?;
        context.out.note("dry run: nothing was signed");
        return Ok(());
    }
    if !context.out.is_json() && is_attended() && !args.consent.is_given() {
        context.out.aside(|screen| show_plan(screen, &plan));
        context.keyboard().meant(args.consent, "answer `yes`, or leave the question out with `--yes`").await?;
    }
    let proposal = client.sign(&plan).await?;
    show::one(context, client, &proposal).await
}

/// What is about to be signed.
pub(in crate::cli) fn show_plan(screen: &mut Screen, plan: &Signing) {
    let manifest = &plan.manifest;
    screen.fields(&[
        ("proposal", screen.named(&manifest.reference, &manifest.proposal)),
        ("version", manifest.version.to_string()),
        ("call text", manifest.call_text_sha256.to_string()),
        ("parties", joined(&manifest.parties)),
        ("label", label_worded(manifest.label.as_ref())),
    ]);
    screen.heading("Documents");
    let mut table = Table::new(["SLOT", "SIZE", "MEDIA TYPE", "PUT IN BY", "CHECKED HERE"]);
    for line in &plan.documents {
        let slot = place(&line.document.slot, line.document.party.as_ref());
        let by = line.uploaded_by.as_ref().map(ToString::to_string).unwrap_or_default();
        let checked = if line.is_own { "yes" } else { "no" };
        let kind = line.document.media_type.as_str();
        table.row([slot.into(), TableCell::bytes(line.document.size), kind.into(), by.into(), checked.into()]);
    }
    screen.table(&table, "none");
    if plan.is_countersignature() {
        screen.line("another party proposed this version; your signature says that your party agrees to all of it");
    }
    if plan.documents.iter().any(|line| !line.is_own) {
        let advice = "documents that others put in were not opened on this machine; see `entente proposal open`";
        screen.styled(&[(Style::Yellow, advice)]);
    }
}
