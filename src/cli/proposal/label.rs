//! `entente proposal label`: whom a proposal is releasable to, and what another label would change before anybody signs it.

use super::show;
use crate::{
    cli::{
        context::{Context, joined, label_worded},
        error::Result,
        output::{Screen, Style},
        preview::PreviewArgs,
        prompt::Consent,
        table::Table,
        time::Zone,
        titles::worded,
    },
    client::{
        Client,
        labels::{LabelChoice, Relabelling},
        naming::ProposalName,
    },
    domain::id::{PartnerCode, ProposalId, Slug},
    wire::{
        policy::Tally,
        proposal::{LabelPreview, SignedLabel},
    },
};
use clap::Args;
use serde_json::json;
use std::collections::{BTreeMap, BTreeSet};

/// A label, as far as it is said.
#[derive(Debug, Clone, Args)]
pub(super) struct LabelArgs {
    /// Nations beside the owners that it is releasable to; `""` for the owners alone
    #[arg(long, value_name = "PARTNERS", value_delimiter = ',')]
    rel_to: Option<Vec<String>>,
    /// A short name that policies ask for, such as `no-contractors`
    #[arg(long, value_name = "NAME", requires = "rel_to")]
    caveat: Vec<Slug>,
}

impl LabelArgs {
    /// What they ask for.
    ///
    /// # Errors
    /// When a nation is written as no code is.
    pub(super) fn choice(&self, remove: bool) -> Result<LabelChoice> {
        let Some(codes) = &self.rel_to else {
            return Ok(if remove { LabelChoice::Remove } else { LabelChoice::Keep });
        };
        let codes = codes.iter().filter(|code| !code.is_empty()).map(|code| code.parse::<PartnerCode>());
        let others: std::result::Result<BTreeSet<_>, _> = codes.collect();
        let others = others.map_err(|error| crate::cli::error::CliError::usage(format!("`--rel-to`: {error}")))?;
        Ok(LabelChoice::Put { others, caveats: self.caveat.iter().cloned().collect() })
    }
}

#[derive(Debug, Args)]
pub struct Relabel {
    /// The proposal
    proposal: ProposalName,
    #[command(flatten)]
    label: LabelArgs,
    /// Take the label away
    #[arg(long, conflicts_with = "rel_to")]
    none: bool,
    /// Sign the relabelling that another party proposed
    #[arg(long, conflicts_with_all = ["rel_to", "none"])]
    sign: bool,
    /// Only show what it would change
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    shown: PreviewArgs,
    #[command(flatten)]
    consent: Consent,
}

/// Shows the label, or changes it.
pub(super) async fn run(args: Relabel, context: &Context, client: &Client) -> Result<()> {
    let choice = args.label.choice(args.none)?;
    if choice == LabelChoice::Keep && !args.sign {
        return history(client.find_proposal(&args.proposal).await?.id, context, client).await;
    }
    let found = client.find_proposal(&args.proposal).await?;
    let plan = client.plan_label(found.id, &choice).await?;
    let preview = client.api().preview_label(found.id, plan.statement.label.as_ref()).await?;
    args.shown.only_with(args.dry_run)?;
    let title = if context.out.is_json() { None } else { client.title_by_id(found.id).await };
    if args.dry_run {
        let label = plan.statement.label.as_ref();
        args.shown.sign(client, &client.sum_label(found.id, label, &preview).await?).await?;
        let answer = json!({ "statement": plan.statement, "signed_by": plan.signed_by, "preview": preview });
        context.out.answer(&answer, |screen| {
            show_plan(screen, &plan, &preview, title.as_deref());
            args.shown.tell(screen);
        })?;
        context.out.note("dry run: nothing was signed");
        return Ok(());
    }
    context.out.aside(|screen| show_plan(screen, &plan, &preview, title.as_deref()));
    let which = if args.consent.is_given() { found.to_string() } else { worded(&found, title.as_deref()) };
    let act = format!("relabelling {which} as {}", label_worded(plan.statement.label.as_ref()));
    let consequence = "anyone who gains access keeps what they read, and keys that are removed must be wrapped again";
    context.keyboard().consent(args.consent, &act, consequence).await?;
    let proposal = client.sign_label(&plan).await?;
    if proposal.label != plan.statement.label {
        let rest = proposal.parties.keys().filter(|party| !plan.signed_by.contains(party));
        context
            .out
            .note(&format!("in force once all of {} have signed: `entente proposal label --sign`", joined(rest)));
    }
    show::one(context, client, &proposal).await
}

async fn history(id: ProposalId, context: &Context, client: &Client) -> Result<()> {
    let verified = client.label(id).await?;
    let made = client.api().labels(id).await?;
    let answer = json!({
        "label": verified.label, "number": verified.number, "signed_by": verified.signed_by, "relabellings": made,
    });
    let zone = context.zone()?;
    context.out.answer(&answer, |screen| {
        let signers = verified.signed_by.iter().map(|(partner, member)| format!("{partner} by {member}"));
        screen.fields(&[
            ("label", label_worded(verified.label.as_ref())),
            ("signed", signers.collect::<Vec<_>>().join("\n")),
            ("with", if verified.number == 0 { "the manifest".into() } else { format!("label {}", verified.number) }),
        ]);
        if !made.is_empty() {
            screen.heading("Signed since");
            lines(screen, &made, &zone);
        }
    })
}

/// Relabellings, one a line.
pub(in crate::cli) fn lines(screen: &mut Screen, made: &[SignedLabel], zone: &Zone) {
    let mut table = Table::new(["NUMBER", "LABEL", "SIGNED BY", "IN FORCE FROM"]);
    for SignedLabel { number, label, signatures, in_force_at, .. } in made {
        let from = in_force_at.map_or_else(|| "once every party has signed".into(), |at| zone.cell(at.0));
        let (label, by) = (label_worded(label.as_ref()), joined(signatures.keys()));
        table.row([number.to_string().into(), label.into(), by.into(), from]);
    }
    screen.table(&table, "");
}

/// What a relabelling says and changes.
pub(in crate::cli) fn show_plan(screen: &mut Screen, plan: &Relabelling, preview: &LabelPreview, title: Option<&str>) {
    screen.fields(&[
        ("proposal", screen.named(&plan.reference, &plan.statement.proposal)),
        ("title", title.unwrap_or_default().to_owned()),
        ("label now", label_worded(plan.present.as_ref())),
        ("then", label_worded(plan.statement.label.as_ref())),
        ("signed by", joined(&plan.signed_by)),
    ]);
    screen.heading("What it would change now");
    let nations: BTreeSet<&PartnerCode> =
        preview.gains.keys().chain(preview.losses.keys()).chain(preview.keys_removed.keys()).collect();
    let mut table = Table::new(["NATION", "KNOW OF IT", "READ IT", "NO LONGER KNOW", "NO LONGER READ", "KEYS REMOVED"]);
    for nation in nations {
        let of = |tallies: &BTreeMap<PartnerCode, Tally>| {
            let tally = tallies.get(nation);
            [tally.map_or(0, |tally| tally.views), tally.map_or(0, |tally| tally.readings)].map(|n| n.to_string())
        };
        let ([know, read], [unknown, unread]) = (of(&preview.gains), of(&preview.losses));
        let keys = preview.keys_removed.get(nation).copied().unwrap_or_default().to_string();
        table.row([nation.to_string(), know, read, unknown, unread, keys]);
    }
    screen.table(&table, "nobody gains or loses access to it");
    if preview.keys_needed > 0 {
        screen.line(&format!("members who need a key before they can read: {}", preview.keys_needed));
    }
    if preview.fetched_before > 0 {
        let line = format!(
            "have fetched content that they may no longer read: {}; what was read stays read",
            preview.fetched_before
        );
        screen.styled(&[(Style::Yellow, &line)]);
    }
    if !preview.items.is_empty() {
        let mut table = Table::new(["MEMBER", "CHANGE", "NOTE"]);
        for change in &preview.items {
            let what = if change.action == "View" { "view" } else { "read" };
            let note = match (change.needs_key, change.has_fetched) {
                (true, _) => "needs a key",
                (_, true) => "has fetched it",
                _ => "",
            };
            let word = if change.gains { "may now" } else { "may no longer" };
            table.row([change.member.to_string(), format!("{word} {what}"), note.to_owned()]);
        }
        screen.gap();
        screen.table(&table, "");
    }
}
