//! The pages that state shares say the numbers of the table of shares.

use super::source::root;
use entente::share_table::{
    ACTS_PER_MINUTE_PER_MEMBER, ACTS_PER_MINUTE_PER_PARTNER, AMENDMENTS_PER_CALL, ANNOUNCED_BYTES_PER_MEMBER,
    ANSWER_BYTES, ARRIVING_BYTES_PER_MEMBER, ARRIVING_PER_SLOT_PER_MEMBER, BODY_BYTES, BYTES_PER_PARTNER,
    BYTES_PER_PARTY, CALLS_PER_DAY_PER_PARTNER, CONNECTIONS, CONNECTIONS_WITHOUT_KEY_CARD, COUNTS,
    DECLARATIONS_PER_MEMBER_AND_PROPOSAL, DOCUMENTS_PER_PARTY, DOCUMENTS_PER_SLOT, DOWNLOADS, DRAFTS_PER_MEMBER,
    Division, EVALUATIONS, EXTENSIONS_PER_CALL_PER_PARTNER, HANDSHAKES, HANDSHAKES_PER_ADDRESS, INVITATIONS_PER_PARTY,
    KEY_CARDS_PER_DAY_PER_MEMBER, LABELS_PER_PROPOSAL, LOG_LOOKS, LOGGED_READS_PER_MINUTE, LONGEST_LOOK,
    LONGEST_MANIFEST, LONGEST_READ, LOOKS_BEFORE_ACTS, LOOKS_THROUGH_UPLOADS, MANIFESTS, MEMBERS_PER_PARTNER,
    MEMBERS_PER_PARTY, POLICY_TEXTS, POLICY_VERSIONS_PER_DAY, PROGRAMS_PER_PARTNER, PROPOSALS_PER_MEMBER, READERS,
    REQUESTS, ROLE_CHANGES_PER_CALL_PER_PARTNER, SCANS, STORED_BYTES_PER_DAY_PER_MEMBER,
    STORED_BYTES_PER_DAY_PER_PARTNER, UPLOADS_PER_MEMBER, VERSIONS_PER_PROPOSAL, WAITS,
    WRAPPED_KEYS_PER_RECIPIENT_PER_PARTNER,
};
use std::{fs, time::Duration};

/// The cells of a row of a page, by how the row begins.
fn row(page: &str, begins: &str) -> Vec<String> {
    let text = fs::read_to_string(root().join(page)).unwrap();
    let rows = text.lines().filter(|line| line.strip_prefix("| ").is_some_and(|line| line.starts_with(begins)));
    let rows: Vec<&str> = rows.collect();
    assert_eq!(rows.len(), 1, "{page}: rows that begin with `{begins}`");
    let cells = rows[0].trim_matches('|').split('|');
    cells.skip(1).map(|cell| cell.trim().to_owned()).collect()
}

fn size(bytes: u64) -> String {
    let gib = 1_u64 << 30;
    if bytes.is_multiple_of(gib) { format!("{} GiB", bytes / gib) } else { format!("{} MiB", bytes >> 20) }
}

fn length(time: Duration) -> String {
    let (count, unit) = match time.as_secs() {
        seconds if seconds.is_multiple_of(3600) => (seconds / 3600, "hour"),
        seconds => (seconds / 60, "minute"),
    };
    format!("{count} {unit}{}", if count == 1 { "" } else { "s" })
}

/// The number with a comma before each three digits.
fn grouped(number: u64) -> String {
    if number < 1000 { number.to_string() } else { format!("{},{:03}", grouped(number / 1000), number % 1000) }
}

#[test]
fn decision_on_shares_has_the_numbers_of_the_table_of_shares() {
    let counted = |of: Division| [of.all, of.per_partner, of.per_certificate].map(|count| count.to_string());
    let sized = |of: Division| [of.all, of.per_partner, of.per_certificate].map(|bytes| size(bytes as u64));
    let [all, partner, certificate] = counted(CONNECTIONS);
    let connections = [all, partner, format!("{certificate}, {CONNECTIONS_WITHOUT_KEY_CARD} without a key card")];
    let handshakes = [HANDSHAKES.to_string(), String::new(), format!("{HANDSHAKES_PER_ADDRESS} an address")];
    for (what, numbers) in [
        ("connections", connections),
        ("handshakes", handshakes),
        ("requests being answered", counted(REQUESTS)),
        ("downloads", counted(DOWNLOADS)),
        ("requests that wait", counted(WAITS)),
        ("bytes of bodies", sized(BODY_BYTES)),
        ("bytes of answers", sized(ANSWER_BYTES)),
    ] {
        assert_eq!(row("docs/adr/0027-shares.md", what)[..3], numbers, "{what}");
    }
}

#[test]
fn decision_on_shares_has_the_places_of_the_table_of_shares() {
    let turns = [
        ("a read of the database", READERS as usize, Some(LONGEST_READ)),
        ("a manifest", MANIFESTS, Some(LONGEST_MANIFEST)),
        ("a preview", SCANS, Some(LONGEST_LOOK)),
        ("a count", COUNTS, Some(LONGEST_LOOK)),
        ("a look before", LOOKS_BEFORE_ACTS, Some(LONGEST_LOOK)),
        ("a look over", LOG_LOOKS, Some(LONGEST_LOOK)),
        ("a look through", LOOKS_THROUGH_UPLOADS, None),
        ("reading a text", POLICY_TEXTS, None),
        ("evaluating policies", EVALUATIONS, None),
    ];
    for (what, places, longest) in turns {
        let of_partner = if places == 1 { 1 } else { places - 1 };
        let numbers = [places.to_string(), of_partner.to_string(), longest.map(length).unwrap_or_default()];
        assert_eq!(row("docs/adr/0027-shares.md", what), numbers, "{what}");
    }
}

#[test]
fn decision_on_quotas_has_the_numbers_of_the_table_of_shares() {
    for (what, numbers) in [
        ("programs", PROGRAMS_PER_PARTNER.to_string()),
        ("proposals never submitted", PROPOSALS_PER_MEMBER.to_string()),
        ("calls drafted and not published", DRAFTS_PER_MEMBER.to_string()),
        ("calls drafted within", CALLS_PER_DAY_PER_PARTNER.to_string()),
        ("documents of a proposal", format!("{DOCUMENTS_PER_PARTY}; {}; {DOCUMENTS_PER_SLOT}", size(BYTES_PER_PARTY))),
        ("bytes of all documents", size(BYTES_PER_PARTNER)),
        ("bytes of documents that are announced", size(ANNOUNCED_BYTES_PER_MEMBER)),
        ("documents on their way", format!("{ARRIVING_PER_SLOT_PER_MEMBER}; {}", size(ARRIVING_BYTES_PER_MEMBER))),
        ("uploads that are not", UPLOADS_PER_MEMBER.to_string()),
        ("versions of a proposal", format!("{VERSIONS_PER_PROPOSAL}; {LABELS_PER_PROPOSAL}")),
        ("members of a party", format!("{MEMBERS_PER_PARTY}; {INVITATIONS_PER_PARTY}")),
        ("declarations, and liftings", DECLARATIONS_PER_MEMBER_AND_PROPOSAL.to_string()),
        ("amendments", AMENDMENTS_PER_CALL.to_string()),
        ("changes of the roles", ROLE_CHANGES_PER_CALL_PER_PARTNER.to_string()),
        ("members, those whose", MEMBERS_PER_PARTNER.to_string()),
        ("key cards published", KEY_CARDS_PER_DAY_PER_MEMBER.to_string()),
        ("extensions of a call", EXTENSIONS_PER_CALL_PER_PARTNER.to_string()),
        ("members who wrap", WRAPPED_KEYS_PER_RECIPIENT_PER_PARTNER.to_string()),
        ("versions of policies", POLICY_VERSIONS_PER_DAY.to_string()),
        (
            "bytes that acts",
            format!("{}; {}", size(STORED_BYTES_PER_DAY_PER_MEMBER), size(STORED_BYTES_PER_DAY_PER_PARTNER)),
        ),
        ("reads that leave an entry", LOGGED_READS_PER_MINUTE.to_string()),
        ("acts, a minute", format!("{ACTS_PER_MINUTE_PER_MEMBER}; {ACTS_PER_MINUTE_PER_PARTNER}")),
    ] {
        assert_eq!(row("docs/adr/0032-quotas-and-refusals.md", what)[1], numbers, "{what}");
    }
}

#[test]
fn conventions_of_the_api_have_the_numbers_of_the_table_of_shares() {
    let held = |of: Division| [of.per_certificate, of.per_partner, of.all].map(|count| grouped(count as u64));
    let [member, partner] = [ACTS_PER_MINUTE_PER_MEMBER, ACTS_PER_MINUTE_PER_PARTNER].map(|acts| grouped(acts.into()));
    for (what, numbers) in [
        ("acts a minute", [member, partner, String::new()]),
        ("reads that leave", [grouped(LOGGED_READS_PER_MINUTE.into()), String::new(), String::new()]),
        ("requests at a time", held(REQUESTS)),
        ("downloads at a time", held(DOWNLOADS)),
        ("requests that wait at a time", held(WAITS)),
    ] {
        assert_eq!(row("docs/API-DESIGN.md", what)[..3], numbers, "{what}");
    }
}
