//! Checks a dossier, without a network and without a profile.

use super::{
    Dossier, DossierReport,
    cards::Vouchers,
    case::{CallContext, CaseCheck},
    history::History,
    read,
    report::{Ledger, cannot_show},
    roll::Roll,
};
use crate::{
    client::{
        Result,
        progress::{ProgressListener, ProgressStep},
        receipt::TrustedCard,
        verify::invalid,
    },
    domain::id::Sha256,
    sealing::statement::{DossierStatement, Signed, verify_signed},
};

/// Checks a dossier by these partner cards alone, each signature at the time that the exchange recorded for it.
///
/// # Errors
/// When it is not as its exporter signed it, or nobody knows them: nothing in it is said then. What else does not verify is in the report.
pub fn verify(bytes: &[u8], trusted: &[TrustedCard], progress: &dyn ProgressListener) -> Result<DossierReport> {
    let (dossier, sha256, signature) = read(bytes)?;
    let vouchers = Vouchers::new(&dossier, trusted);
    let exporter = check_exporter(&dossier, sha256, signature, &vouchers)?;
    let mut ledger = Ledger::default();
    let history = History::read(&dossier, &vouchers, &mut ledger)?;
    let roll = Roll::read(&dossier, &vouchers, &mut ledger);
    check_times(&dossier, &mut ledger);
    check_offices(&dossier, roll.as_ref(), &mut ledger);
    let context =
        CallContext { vouchers: &vouchers, history: &history, roll: roll.as_ref(), exported_at: dossier.exported_at.0 };
    let total = dossier.proposals.len() as u64;
    for (case, done) in dossier.proposals.iter().zip(1..) {
        CaseCheck::run(&context, case, &mut ledger)?;
        progress.update(ProgressStep::Verifying, done, total);
    }
    let (tallies, entries) = (std::mem::take(&mut ledger.tallies), count_entries(&dossier));
    let (faults, more_faults) = ledger.faults();
    Ok(DossierReport {
        cannot_show: cannot_show(&dossier, &exporter),
        call: dossier.call,
        code: dossier.code,
        exported_by: dossier.exported_by,
        exporter,
        exported_as: dossier.exported_as,
        exported_at: dossier.exported_at,
        proposals: total,
        entries,
        tallies,
        faults,
        more_faults,
        partner_cards: vouchers.believed(),
    })
}

/// That the dossier is as the member signed who exported it; gives their name.
fn check_exporter(dossier: &Dossier, sha256: Sha256, signature: &str, vouchers: &Vouchers) -> Result<String> {
    let signed: Signed<DossierStatement> = verify_signed(signature)?;
    let said = &signed.statement;
    if said.sha256 != sha256 {
        return Err(invalid("the dossier was changed since it was exported: it is not what its exporter signed"));
    }
    if (said.call, &said.member, &said.roles, said.stated_at)
        != (dossier.call, &dossier.exported_by, &dossier.exported_as, dossier.exported_at.0)
    {
        return Err(invalid("the dossier says something else of its export than its exporter signed"));
    }
    let card = vouchers.card(&signed, &said.member, said.stated_at)?;
    Ok(card.name.clone())
}

/// That the exporter had the roles by which it says it was shown what it has, where the roles are shown.
fn check_offices(dossier: &Dossier, roll: Option<&Roll>, ledger: &mut Ledger) {
    let Some(roll) = roll else { return };
    for role in &dossier.exported_as {
        if !roll.had(&dossier.exported_by, *role, dossier.exported_at.0) {
            let what = format!("by the signed roles `{}` was no {role} of the call at the export", dossier.exported_by);
            ledger.require(dossier.code.as_str(), Err(invalid(what)));
        }
    }
}

fn count_entries(dossier: &Dossier) -> u64 {
    let cases: usize = dossier.proposals.iter().map(|case| case.entries.len()).sum();
    (cases + dossier.entries.len()) as u64
}

/// Times grow with the numbers of entries, and nothing is later than the export.
fn check_times(dossier: &Dossier, ledger: &mut Ledger) {
    let place = dossier.code.as_str();
    let cases = dossier.proposals.iter().flat_map(|case| &case.entries);
    let mut entries: Vec<_> = cases.chain(&dossier.entries).map(|entry| (entry.seq, entry.at.0)).collect();
    entries.sort_unstable();
    for pair in entries.windows(2).filter(|pair| pair[0].1 > pair[1].1) {
        let (seq, before) = (pair[1].0, pair[0].0);
        ledger.require(place, Err(invalid(format!("entry {seq} of the log has an earlier time than entry {before}"))));
    }
    if entries.last().is_some_and(|(_, at)| *at > dossier.exported_at.0) {
        ledger.require(place, Err(invalid("the dossier has entries of the log from after its export")));
    }
    let mut lines = dossier.proposals.iter().flat_map(|case| &case.statements).filter_map(|line| line.at);
    if lines.any(|at| at > dossier.exported_at) {
        ledger.require(place, Err(invalid("the dossier has statements from after its export")));
    }
}
