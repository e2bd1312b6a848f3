//! Signing a manifest: the member sees all that it says before it is signed, and can open what others put in.

use super::{label::LabelArgs, place, show, tables};
use crate::{
    cli::{
        cell::TableCell,
        context::{Context, joined, label_worded},
        error::Result,
        output::{Screen, Style},
        prompt::{Consent, is_attended},
        table::Table,
        time::Zone,
    },
    client::{Client, ClientError, naming::ProposalName, proposals::Summary, signing::Signing},
    domain::{call::SUMMARY_SLOT, text::counted},
    sealing::identity::Prompt,
};
use clap::Args;
use serde_json::json;
use std::path::{Path, PathBuf};

#[derive(Debug, Args)]
pub struct SignArgs {
    /// The proposal
    proposal: ProposalName,
    /// Only show what would be signed
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    consent: Consent,
    /// Open what others put in into this folder first
    #[arg(long, value_name = "DIR")]
    open: Option<PathBuf>,
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
    if let Some(into) = &args.open {
        open(context, client, &plan, into).await?;
    }
    let zone = context.zone()?;
    if args.dry_run {
        let documents: Vec<_> = plan
            .documents
            .iter()
            .map(|line| {
                json!({
                    "document": line.document, "uploaded_by": line.uploaded_by, "uploaded_at": line.uploaded_at,
                    "is_own": line.is_own,
                })
            })
            .collect();
        let answer = json!({
            "manifest": plan.manifest, "documents": documents, "is_countersignature": plan.is_countersignature(),
        });
        let summary = if context.out.is_json() { None } else { summary(context, client, &plan).await? };
        context.out.answer(&answer, |screen| show_plan(screen, &plan, summary.as_ref(), &zone))?;
        context.out.note("dry run: nothing was signed");
        return Ok(());
    }
    if !context.out.is_json() && is_attended() && !args.consent.is_given() {
        let summary = summary(context, client, &plan).await?;
        context.out.aside(|screen| show_plan(screen, &plan, summary.as_ref(), &zone));
        if args.open.is_none() {
            offer(context, client, &plan).await?;
        }
        context.keyboard().meant(args.consent, "answer `yes`, or leave the question out with `--yes`").await?;
    }
    let proposal = client.sign(&plan).await?;
    show::one(context, client, &proposal).await
}

/// The summary that would be signed; none where it is not open here, and then that is said.
async fn summary(context: &Context, client: &Client, plan: &Signing) -> Result<Option<Summary>> {
    match client.summary_before_signing(plan).await {
        Ok(summary) => Ok(summary),
        Err(error @ ClientError::Unverified { .. }) => Err(error.into()),
        Err(error) => {
            context.out.warn(&format!("the summary is not shown: {error}"));
            Ok(None)
        }
    }
}

/// Opens what others put in.
async fn open(context: &Context, client: &Client, plan: &Signing, into: &Path) -> Result<()> {
    let opened = client.open_before_signing(plan, into, |name| context.meter(name)).await?;
    context.out.aside(|screen| tables::opened(screen, &opened));
    Ok(())
}

/// Offers the same at a terminal.
async fn offer(context: &Context, client: &Client, plan: &Signing) -> Result<()> {
    let others = plan.of_others().count();
    if others == 0 {
        return Ok(());
    }
    let others = counted(others, "document", "documents");
    let (keyboard, asked) =
        (context.keyboard(), format!("Folder to open the {others} of others into, or nothing to go on"));
    // On a thread of its own, so that an interruption is heard meanwhile.
    let answer = tokio::task::spawn_blocking(move || keyboard.line(&asked)).await.unwrap_or_default();
    match answer.filter(|folder| !folder.is_empty()) {
        Some(folder) => open(context, client, plan, Path::new(&folder)).await,
        None => Ok(()),
    }
}

/// What is about to be signed, all of it.
pub(in crate::cli) fn show_plan(screen: &mut Screen, plan: &Signing, summary: Option<&Summary>, zone: &Zone) {
    let manifest = &plan.manifest;
    screen.fields(&[
        ("proposal", screen.named(&manifest.reference, &manifest.proposal)),
        ("version", manifest.version.to_string()),
        ("call text", manifest.call_text_sha256.to_string()),
        ("parties", joined(&manifest.parties)),
        ("signed by", joined(&plan.signed_by)),
        ("label", label_worded(manifest.label.as_ref())),
    ]);
    screen.heading("Documents");
    let heads = ["SLOT", "SIZE", "MEDIA TYPE", "PUT IN BY", "AT", "CHECKED HERE", "SHA-256 OF THE CIPHERTEXT"];
    let mut table = Table::new(heads);
    for line in &plan.documents {
        let slot = place(&line.document.slot, line.document.party.as_ref());
        let by = line.uploaded_by.as_ref().map(ToString::to_string).unwrap_or_default();
        let at = line.uploaded_at.map(|at| zone.cell(at.0)).unwrap_or_default();
        let checked = if line.is_own { "yes" } else { "no" };
        let (kind, sha256) = (line.document.media_type.as_str(), line.document.sha256.to_string());
        let size = TableCell::bytes(line.document.size);
        table.row([slot.into(), size, kind.into(), by.into(), at, checked.into(), sha256.into()]);
    }
    screen.table(&table, "none");
    if let Some(summary) = summary {
        tables::summary(screen, summary);
    } else if plan.documents.iter().any(|line| line.document.slot.as_str() == SUMMARY_SLOT) {
        screen.styled(&[(Style::Dim, "the summary is not shown here; see `entente proposal summary`")]);
    }
    screen.gap();
    if plan.is_countersignature() {
        screen.line("another party proposed this version; your signature says that your party agrees to all of it");
    }
    if plan.of_others().next().is_some() {
        let advice = "documents that others put in were not sealed on this machine; `--open DIR` opens them first";
        screen.styled(&[(Style::Yellow, advice)]);
    }
}
