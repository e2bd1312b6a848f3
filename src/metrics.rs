//! Every figure the server counts, by name, in one place.
//!
//! Labels are from small fixed sets: route templates, statuses, reasons, partner codes. A member, an identifier or an
//! address is never a label.

mod recorder;

use crate::{
    domain::id::PartnerCode,
    service::lists::DIFFERENCES,
    storage::{
        StoreError,
        db::{WRITER_WAIT, WRITERS_WAITING},
        sweep::Swept,
    },
};
use jiff::Timestamp;
use metrics::{Unit, counter, describe_counter, describe_gauge, describe_histogram, gauge, histogram};
use std::{collections::BTreeSet, time::Duration};

pub use recorder::FigureRecorder;

const REQUESTS: &str = "entente_requests_total";
const REQUEST_SECONDS: &str = "entente_request_seconds";
const REQUESTS_OPEN: &str = "entente_requests_in_flight";
const REQUESTS_REFUSED: &str = "entente_requests_refused_total";
const REFUSALS: &str = "entente_refusals_total";
const HANDSHAKES: &str = "entente_handshakes_total";
const CONNECTIONS: &str = "entente_connections";
const CONNECTIONS_DISPLACED: &str = "entente_connections_displaced_total";
const CONNECTIONS_CUT: &str = "entente_connections_cut_total";
const ACCEPT_FAILURES: &str = "entente_accept_failures_total";
const BYTES_IN: &str = "entente_body_bytes_received_total";
const BYTES_OUT: &str = "entente_body_bytes_sent_total";
const POLICY_FAULTS: &str = "entente_policy_faults";
const BLOBS: &str = "entente_blobs";
const BLOBS_UNNAMED: &str = "entente_blobs_unnamed";
const BLOBS_QUARANTINED: &str = "entente_blobs_quarantined";
const BLOBS_DAMAGED: &str = "entente_blobs_damaged";
const BLOBS_UNREADABLE: &str = "entente_blobs_unreadable";
const SWEPT: &str = "entente_blobs_swept_timestamp_seconds";
const BYTES_CHECKED: &str = "entente_blobs_checked_timestamp_seconds";
const LEFTOVER_KEYS: &str = "entente_leftover_keys_removed_timestamp_seconds";
const RELOADS: &str = "entente_reloads_total";
const TRUST_GENERATION: &str = "entente_trust_generation";
const TRUST_PARTNERS: &str = "entente_trust_partners";
const TRUST_FAULTS: &str = "entente_trust_faults";
const CERTIFICATE_EXPIRES: &str = "entente_certificate_expires_timestamp_seconds";
const PROBED: &str = "entente_probe_success_timestamp_seconds";
const STORE_ERRORS: &str = "entente_store_errors_total";
const CRL_EXPIRES: &str = "entente_crl_expires_timestamp_seconds";
const ANCHOR_EXPIRES: &str = "entente_anchor_expires_timestamp_seconds";

/// Makes the recorder the process's own and describes every figure. Works once.
///
/// # Errors
/// When the process has a recorder already.
pub fn install() -> Result<FigureRecorder, String> {
    let recorder = FigureRecorder::default();
    metrics::set_global_recorder(recorder.clone()).map_err(|error| error.to_string())?;
    describe();
    begin_counting();
    Ok(recorder)
}

fn describe() {
    describe_counter!(REQUESTS, "Requests answered, by method, route template and status");
    describe_histogram!(REQUEST_SECONDS, Unit::Seconds, "Time to the answer's header, by route template");
    describe_gauge!(REQUESTS_OPEN, "Requests being answered");
    describe_counter!(REQUESTS_REFUSED, "Requests the edge refused before a handler saw them, by reason");
    describe_counter!(
        REFUSALS,
        "Requests refused by the edge or by a handler, and certificates refused in the handshake, by partner and problem; `none` where no anchor vouches for the certificate"
    );
    describe_counter!(HANDSHAKES, "TLS handshakes by outcome: `ok` or why not");
    describe_gauge!(CONNECTIONS, "Connections with an accepted certificate");
    describe_counter!(CONNECTIONS_DISPLACED, "Connections that gave way to others, by the partner that lost them");
    describe_counter!(CONNECTIONS_CUT, "Connections the server ended, by reason");
    describe_counter!(ACCEPT_FAILURES, "Connections the system could not hand over");
    describe_counter!(BYTES_IN, Unit::Bytes, "Bytes of request bodies");
    describe_counter!(BYTES_OUT, Unit::Bytes, "Bytes of response bodies");
    describe_gauge!(
        POLICY_FAULTS,
        "Versions of policies that should be in force and do not count; anything above 0 is an alarm"
    );
    describe_counter!(
        DIFFERENCES,
        "Proposals that a list held and the policies hid; each was withheld, and anything above 0 wants attention"
    );
    describe_gauge!(BLOBS, "Sealed documents in the folder, by the last sweep");
    describe_gauge!(
        BLOBS_UNNAMED,
        "Files that the last sweep left in place although no document names them; anything above 0 wants attention"
    );
    describe_gauge!(
        SWEPT,
        Unit::Seconds,
        "When the folder of sealed documents was last swept; before the first time, when this server began"
    );
    describe_gauge!(BLOBS_QUARANTINED, "Files in quarantine, by the last sweep");
    describe_gauge!(
        BLOBS_DAMAGED,
        "Documents whose bytes are missing or not those that were stored; anything above 0 is an alarm"
    );
    describe_gauge!(
        BLOBS_UNREADABLE,
        "Documents that the disk did not give in the last whole look at all bytes, or so far in the one under way if that is more; above 0 is an alarm"
    );
    describe_gauge!(
        BYTES_CHECKED,
        Unit::Seconds,
        "When the last look at all bytes of all documents ended; of one that has not come to its end, when it began"
    );
    describe_gauge!(
        LEFTOVER_KEYS,
        Unit::Seconds,
        "When this server was last sure that no act has left keys behind that went with a role; before the first time, when it began"
    );
    describe_gauge!(WRITERS_WAITING, "Units of work that wait for their turn to write");
    describe_histogram!(WRITER_WAIT, Unit::Seconds, "How long a unit of work waited for its turn to write");
    describe_counter!(STORE_ERRORS, "Failures of database or documents that a request met, by kind");
    describe_counter!(RELOADS, "Reloads of `trust` or `certificate`, by outcome `ok` or `failed`");
    describe_gauge!(TRUST_GENERATION, "Generation of the trust in force");
    describe_gauge!(TRUST_PARTNERS, "Partners whose certificates are accepted");
    describe_gauge!(
        TRUST_FAULTS,
        "Anchors and revocation lists that cannot be used, but for what has only expired; anything above 0 wants attention"
    );
    describe_gauge!(CERTIFICATE_EXPIRES, Unit::Seconds, "When the server's certificate expires");
    describe_gauge!(
        PROBED,
        Unit::Seconds,
        "When a trial of a part last succeeded, 0 for never; its age is what the time is now minus this"
    );
    describe_gauge!(
        CRL_EXPIRES,
        Unit::Seconds,
        "When a partner's first revocation list expires and shuts its issuer out; +Inf once it has none left in force"
    );
    describe_gauge!(
        ANCHOR_EXPIRES,
        Unit::Seconds,
        "When a partner's next anchor expires and shuts out who is under it, or when its last one did; +Inf once the partner is no longer accepted"
    );
}

/// Has each counter whose growth is an alarm at 0 from the start: of one that appears with its first event nobody sees that it grew.
fn begin_counting() {
    for kind in STORE_ERROR_KINDS {
        counter!(STORE_ERRORS, "kind" => kind).increment(0);
    }
    for what in ["trust", "certificate"] {
        for outcome in ["ok", "failed"] {
            counter!(RELOADS, "what" => what, "outcome" => outcome).increment(0);
        }
    }
    counter!(DIFFERENCES).increment(0);
}

pub(crate) fn request(method: &'static str, route: &str, status: u16, took: Duration) {
    counter!(REQUESTS, "method" => method, "route" => route.to_owned(), "status" => status.to_string()).increment(1);
    histogram!(REQUEST_SECONDS, "route" => route.to_owned()).record(took.as_secs_f64());
}

/// Counts a request as open until dropped, also when its caller goes away.
#[derive(Debug)]
pub(crate) struct InFlight(());

impl InFlight {
    pub(crate) fn begin() -> Self {
        gauge!(REQUESTS_OPEN).increment(1.0);
        Self(())
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        gauge!(REQUESTS_OPEN).decrement(1.0);
    }
}

pub(crate) fn policy_faults(count: usize) {
    gauge!(POLICY_FAULTS).set(as_float(count as u64));
}

pub(crate) fn swept(swept: &Swept, quarantined: u64) {
    gauge!(BLOBS).set(as_float(swept.blobs - swept.moved));
    gauge!(BLOBS_UNNAMED).set(as_float(swept.orphans - swept.moved));
    gauge!(BLOBS_QUARANTINED).set(as_float(quarantined));
}

pub(crate) fn swept_at(at: Timestamp) {
    gauge!(SWEPT).set(at.as_duration().as_secs_f64());
}

pub(crate) fn leftover_keys_removed(at: Timestamp) {
    gauge!(LEFTOVER_KEYS).set(at.as_duration().as_secs_f64());
}

pub(crate) fn damaged(documents: u64) {
    gauge!(BLOBS_DAMAGED).set(as_float(documents));
}

pub(crate) fn unreadable(documents: u64) {
    gauge!(BLOBS_UNREADABLE).set(as_float(documents));
}

pub(crate) fn bytes_checked(at: Timestamp) {
    gauge!(BYTES_CHECKED).set(at.as_duration().as_secs_f64());
}

pub(crate) fn store_error(error: &StoreError) {
    counter!(STORE_ERRORS, "kind" => kind(error)).increment(1);
}

/// Every kind of failure of the store.
const STORE_ERROR_KINDS: [&str; 8] =
    ["unavailable", "outcome-unknown", "full", "io", "damaged", "other-folder", "newer-schema", "other"];

/// The kinds have each their line in the runbook, under `EntenteStoreErrors`.
fn kind(error: &StoreError) -> &'static str {
    match error {
        StoreError::Unavailable(_) => "unavailable",
        StoreError::OutcomeUnknown(_) => "outcome-unknown",
        StoreError::Full(_) => "full",
        StoreError::Io(_) => "io",
        StoreError::Corrupt { .. } | StoreError::NoSuchBlob(_) | StoreError::DamagedBlob { .. } => "damaged",
        StoreError::OtherFolder { .. } => "other-folder",
        StoreError::NewerSchema { .. } => "newer-schema",
        StoreError::Constraint { .. }
        | StoreError::ChangedMigration { .. }
        | StoreError::Unfit(_)
        | StoreError::InUse(_)
        | StoreError::NotEmpty(_)
        | StoreError::Address(_)
        | StoreError::Rehearsed
        | StoreError::Statement(_) => "other",
    }
}

pub(crate) fn refused(reason: &'static str) {
    counter!(REQUESTS_REFUSED, "reason" => reason).increment(1);
}

/// The slugs are those of the catalogue, and partners are few. No partner's code is `none`, which is in small letters.
pub(crate) fn refused_to(partner: Option<&PartnerCode>, problem: &str) {
    let partner = partner.map_or("none", PartnerCode::as_str);
    counter!(REFUSALS, "partner" => partner.to_owned(), "problem" => problem.to_owned()).increment(1);
}

pub(crate) fn handshake(outcome: &'static str) {
    counter!(HANDSHAKES, "outcome" => outcome).increment(1);
}

pub(crate) fn connections(count: usize) {
    gauge!(CONNECTIONS).set(as_float(count as u64));
}

pub(crate) fn displaced(partner: &PartnerCode) {
    counter!(CONNECTIONS_DISPLACED, "partner" => partner.to_string()).increment(1);
}

pub(crate) fn cut(reason: &'static str) {
    counter!(CONNECTIONS_CUT, "reason" => reason).increment(1);
}

pub(crate) fn accept_failed() {
    counter!(ACCEPT_FAILURES).increment(1);
}

pub(crate) fn received(bytes: usize) {
    counter!(BYTES_IN).increment(bytes as u64);
}

pub(crate) fn sent(bytes: usize) {
    counter!(BYTES_OUT).increment(bytes as u64);
}

pub(crate) fn reload(what: &'static str, ok: bool) {
    counter!(RELOADS, "what" => what, "outcome" => if ok { "ok" } else { "failed" }).increment(1);
}

/// Records the trust that is in force now.
pub(crate) fn trust(generation: u64, partners: usize) {
    gauge!(TRUST_GENERATION).set(as_float(generation));
    gauge!(TRUST_PARTNERS).set(as_float(partners as u64));
}

/// When the first revocation list of each partner expires, in the trust that is in force now and in the one before.
pub(crate) fn lists_expire<'a>(
    before: impl Iterator<Item = (&'a PartnerCode, Timestamp)>,
    now: impl Iterator<Item = (&'a PartnerCode, Timestamp)>,
) {
    tell_ends(CRL_EXPIRES, before, now);
}

/// When the next anchor of each partner expires, in the trust that is in force now and in the one before.
pub(crate) fn anchors_expire<'a>(
    before: impl Iterator<Item = (&'a PartnerCode, Timestamp)>,
    now: impl Iterator<Item = (&'a PartnerCode, Timestamp)>,
) {
    tell_ends(ANCHOR_EXPIRES, before, now);
}

/// When something of each partner expires. A figure cannot be taken back: what no longer expires gets an end that never comes.
fn tell_ends<'a>(
    figure: &'static str,
    before: impl Iterator<Item = (&'a PartnerCode, Timestamp)>,
    now: impl Iterator<Item = (&'a PartnerCode, Timestamp)>,
) {
    let mut dated = BTreeSet::new();
    for (partner, at) in now {
        gauge!(figure, "partner" => partner.to_string()).set(at.as_duration().as_secs_f64());
        dated.insert(partner);
    }
    for (partner, _) in before.filter(|(partner, _)| !dated.contains(partner)) {
        gauge!(figure, "partner" => partner.to_string()).set(f64::INFINITY);
    }
}

pub(crate) fn trust_faults(count: usize) {
    gauge!(TRUST_FAULTS).set(as_float(count as u64));
}

/// Trials of this part begin, and none has succeeded yet.
pub(crate) fn probes_begin(part: &'static str) {
    gauge!(PROBED, "part" => part).set(0.0);
}

pub(crate) fn probed(part: &'static str, at: Timestamp) {
    gauge!(PROBED, "part" => part).set(at.as_duration().as_secs_f64());
}

pub(crate) fn certificate_expires(at: Timestamp) {
    gauge!(CERTIFICATE_EXPIRES).set(at.as_duration().as_secs_f64());
}

#[expect(clippy::cast_precision_loss, reason = "counts here stay far below 2^52")]
pub(crate) fn as_float(count: u64) -> f64 {
    count as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failures_of_the_store_are_counted_by_kinds_that_the_runbook_tells() {
        let runbook = include_str!("../docs/operations.md");
        let (_, entry) = runbook.split_once("### EntenteStoreErrors").unwrap();
        let (entry, _) = entry.split_once("###").unwrap();
        let folder = StoreError::OtherFolder { database: "1f0c".into(), folder: None };
        for (error, wanted) in [
            (StoreError::Unavailable("".into()), "unavailable"),
            (StoreError::OutcomeUnknown("".into()), "outcome-unknown"),
            (StoreError::Full("".into()), "full"),
            (StoreError::Io("".into()), "io"),
            (StoreError::NoSuchBlob("1f0c".into()), "damaged"),
            (StoreError::DamagedBlob { blob: "1f0c".into(), what: "digest" }, "damaged"),
            (folder, "other-folder"),
            (StoreError::NewerSchema { found: 2, known: 1 }, "newer-schema"),
            (StoreError::Statement("".into()), "other"),
        ] {
            let recorder = FigureRecorder::default();
            metrics::with_local_recorder(&recorder, || store_error(&error));
            let line = format!("{STORE_ERRORS}{{kind=\"{wanted}\"}} 1");
            assert!(recorder.render().contains(&line), "{error:?} is counted as another kind");
            assert!(STORE_ERROR_KINDS.contains(&wanted), "`{wanted}` is not counted from the start");
            assert!(entry.contains(&format!("`{wanted}`:")), "the runbook does not tell `{wanted}`");
        }
    }

    #[test]
    fn counters_whose_growth_is_an_alarm_begin_at_0() {
        let recorder = FigureRecorder::default();
        metrics::with_local_recorder(&recorder, begin_counting);
        let figures = recorder.render();
        let kinds = STORE_ERROR_KINDS.map(|kind| format!("{STORE_ERRORS}{{kind=\"{kind}\"}} 0"));
        let failed = ["trust", "certificate"].map(|what| format!("{RELOADS}{{what=\"{what}\",outcome=\"failed\"}} 0"));
        for line in kinds.into_iter().chain(failed).chain([format!("{DIFFERENCES} 0")]) {
            assert!(figures.lines().any(|found| found == line), "{line} in {figures}");
        }
    }
}
