//! The table of shares: how much there is of what all use, how much of it one partner and one certificate or member may have, and for how
//! long.
//!
//! Here are numbers alone, each with its unit and whose it is. Those who import them decide by them, and no share or quota of members has its
//! number anywhere else. Numbers of `[limits]` and `[quotas]` are defaults, which the operator can change. A test compares ADR 27 and ADR 32
//! with this table. What one request may hold stands with the request: its lines in `wire`, the size of its body in
//! `http::change_request`.

use std::time::Duration;

const KIB: usize = 1 << 10;
const MIB: usize = 1 << 20;
const GIB_STORED: u64 = 1 << 30;

/// How much of something may be held at a time: by all, by one partner, and under one certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Division {
    pub all: usize,
    pub per_partner: usize,
    pub per_certificate: usize,
}

// What is held while a connection or a request lasts (ADR 27).

/// Connections with an accepted certificate.
pub const CONNECTIONS: Division = Division { all: 1024, per_partner: 512, per_certificate: 64 };
/// Connections under a certificate that no key card is known to name.
pub const CONNECTIONS_WITHOUT_KEY_CARD: usize = 4;
/// Streams of HTTP/2 of one connection; what a client sends beyond them waits at its side.
pub const STREAMS_PER_CONNECTION: u32 = 32;
/// Handshakes of all addresses.
pub const HANDSHAKES: usize = 256;
/// Handshakes of one address.
pub const HANDSHAKES_PER_ADDRESS: usize = 128;
/// Handshakes of one address that go before others for a member's having come from there.
pub const HANDSHAKES_OF_A_MEMBERS_ADDRESS: usize = 16;
/// Requests being answered.
pub const REQUESTS: Division = Division { all: 1024, per_partner: 256, per_certificate: 64 };
/// Downloads.
pub const DOWNLOADS: Division = Division { all: 256, per_partner: 64, per_certificate: 16 };
/// Bytes of bodies that are kept in memory until their request is answered. Documents that are not small stream and count nothing.
pub const BODY_BYTES: Division = Division { all: 256 * MIB, per_partner: 64 * MIB, per_certificate: 32 * MIB };
/// Requests that wait until the log has something new.
pub const WAITS: Division = Division { all: 256, per_partner: 64, per_certificate: 8 };
/// Bytes that a body of unknown length counts as: no operation keeps more.
pub const UNANNOUNCED_BODY_BYTES: usize = 16 * MIB;
/// Bytes of a body that is taken from every member, whatever it is about, and read before anything is asked of the database.
pub const SMALL_BODY_BYTES: usize = 64 * KIB;
/// Bytes of answers that wait to be taken, downloads aside, which are counted by themselves.
pub const ANSWER_BYTES: Division = Division { all: 128 * MIB, per_partner: 32 * MIB, per_certificate: 8 * MIB };

// How these are divided further.

/// The part of a certificate's share that one has which no key card is known to name, once it holds something.
pub const PART_OF_A_STRANGER: usize = 16;
/// The part of a partner's share that all of its certificates have together which no key card is known to name.
pub const PART_OF_STRANGERS: usize = 4;
/// The part of a partner's share, and of all there is, that is kept past it for those who hold nothing.
pub const PART_KEPT: usize = 4;
/// Requests, and bodies that are small, of one registrar past everything. A partner's card names 16 registrars at most.
pub const SMALL_THINGS_OF_A_REGISTRAR: usize = 4;
/// Certificates of one partner that are remembered to be named by a key card. The operator enrols partners, so all together are bounded, too.
pub const KNOWN_CERTIFICATES_PER_PARTNER: usize = 8_192;
/// Addresses of one certificate that are remembered.
pub const KNOWN_ADDRESSES_PER_CERTIFICATE: usize = 4;
/// For so long an address is remembered from which a member came.
pub const ADDRESS_KNOWN_FOR: Duration = Duration::from_hours(24 * 7);

// Turns (ADR 27, ADR 31), all partners' together. Where there are several places, one partner has all but one at most. Who has one holds a reader
// of the database, too, but for uploads, texts and evaluations.

/// Connections of one server for reading the database; with SQLite each is a thread.
pub const READERS: u32 = 12;
/// Visibility manifests.
pub const MANIFESTS: usize = 2;
/// Previews, and dry runs of assignments.
pub const SCANS: usize = 2;
/// Counts, the progress of calls, and pages of what waits for a nation.
pub const COUNTS: usize = 3;
/// What amendments and changes of roles look for before they take place.
pub const LOOKS_BEFORE_ACTS: usize = 2;
/// Looks over much of the log.
pub const LOG_LOOKS: usize = 2;
/// Looks through uploads that came over several requests.
pub const LOOKS_THROUGH_UPLOADS: usize = 2;
/// Texts of policies that are read.
pub const POLICY_TEXTS: usize = 1;
/// Evaluations of policies for a list or a preview.
pub const EVALUATIONS: usize = 2;
const LONG_WORK: usize = MANIFESTS + SCANS + COUNTS + LOOKS_BEFORE_ACTS + LOG_LOOKS;
const _: () = assert!(LONG_WORK < READERS as usize, "long work leaves a reader to everything else");

/// Reads of all members that leave an entry and share one turn at writing.
pub const GATHERED_READS: usize = 16;
/// For so long reads join such a turn. With the last of them and the commit it stays under some 50 ms.
pub const GATHERED_FOR: Duration = Duration::from_millis(25);
/// For so long a member waits for a turn at long work.
pub const WAIT_FOR_LONG_WORK: Duration = Duration::from_mins(1);
/// For so long the database works for one read for a member, all its statements together.
pub const LONGEST_READ: Duration = Duration::from_mins(1);
/// The same of a long look.
pub const LONGEST_LOOK: Duration = Duration::from_mins(2);
/// For so long an act looks, before its turn at writing, at what it would otherwise decide there.
pub const LOOK_BEFORE_TURN: Duration = Duration::from_secs(20);
/// For so long a request is worked on: it waits for its turn, takes it, and there is time to answer. Nobody who waits for the answer is cut
/// before.
pub const LONGEST_WORK: Duration = Duration::from_secs(WAIT_FOR_LONG_WORK.as_secs() + LONGEST_LOOK.as_secs() + 30);
/// The same of a manifest: as long as one may be taken, it may be made.
pub const LONGEST_MANIFEST: Duration = Duration::from_hours(1);

/// For so long a request waits until the log has something new.
pub const LONGEST_WAIT: Duration = Duration::from_secs(30);
/// So often the log is looked at for a request that waits, whether what was appended since is for its caller or not.
pub const LOOKS_WHILE_WAITING: Duration = Duration::from_secs(1);

// What stays, and how often one acts (ADR 32).

/// Programs that one partner leads.
pub const PROGRAMS_PER_PARTNER: u64 = 200;
/// Proposals of one member under one call that were never submitted.
pub const PROPOSALS_PER_MEMBER: u64 = 50;
/// Drafts of calls of one member.
pub const DRAFTS_PER_MEMBER: u64 = 20;
/// Calls that members of one partner draft within 24 hours.
pub const CALLS_PER_DAY_PER_PARTNER: u64 = 50;
/// Documents of one party of a proposal.
pub const DOCUMENTS_PER_PARTY: u64 = 500;
/// Bytes of documents of one party of a proposal.
pub const BYTES_PER_PARTY: u64 = 64 * GIB_STORED;
/// Bytes of all documents of one partner.
pub const BYTES_PER_PARTNER: u64 = 256 * GIB_STORED;
/// Documents of one party in one slot.
pub const DOCUMENTS_PER_SLOT: u64 = 50;
/// Documents of one member on their way to one slot.
pub const ARRIVING_PER_SLOT_PER_MEMBER: u64 = 4;
/// Bytes of documents of one member that are on their way.
pub const ARRIVING_BYTES_PER_MEMBER: u64 = 32 * GIB_STORED;
/// Uploads of one member that can be resumed and are not at their end.
pub const UPLOADS_PER_MEMBER: u64 = 64;
/// Bytes of documents that one member has signed for and nobody has sent.
pub const ANNOUNCED_BYTES_PER_MEMBER: u64 = 64 * GIB_STORED;
/// Versions of one proposal.
pub const VERSIONS_PER_PROPOSAL: u64 = 200;
/// Members of one party of a proposal, those who are asked to join included.
pub const MEMBERS_PER_PARTY: u64 = 40;
/// Invitations to one party of a proposal that are kept; those of members who have left since are, too.
pub const INVITATIONS_PER_PARTY: u64 = 200;
/// Relabellings of one proposal.
pub const LABELS_PER_PROPOSAL: u64 = 200;
/// Statements about one member's interest in one proposal.
pub const DECLARATIONS_PER_MEMBER_AND_PROPOSAL: u64 = 50;
/// Amendments of one call.
pub const AMENDMENTS_PER_CALL: u64 = 100;
/// Extensions of one call by officers of one partner.
pub const EXTENSIONS_PER_CALL_PER_PARTNER: u64 = 500;
/// Changes of roles in one call by officers of one partner.
pub const ROLE_CHANGES_PER_CALL_PER_PARTNER: u64 = 500;
/// Members of one partner who wrap a vault's key for one recipient of somebody else.
pub const WRAPPED_KEYS_PER_RECIPIENT_PER_PARTNER: u64 = 4;
/// Members of one partner, whose key cards were revoked among them.
pub const MEMBERS_PER_PARTNER: u64 = 20_000;
/// Key cards of one member that are published within 24 hours.
pub const KEY_CARDS_PER_DAY_PER_MEMBER: u64 = 20;
/// Versions of policies of one owner that are proposed within 24 hours.
pub const POLICY_VERSIONS_PER_DAY: u64 = 50;
/// Bytes that acts and logged reads of one member add to the database within 24 hours.
pub const STORED_BYTES_PER_DAY_PER_MEMBER: u64 = GIB_STORED / 4;
/// The same of all members of one partner.
pub const STORED_BYTES_PER_DAY_PER_PARTNER: u64 = GIB_STORED;
/// Reads of one member that leave an entry, a minute.
pub const LOGGED_READS_PER_MINUTE: u32 = 3000;
/// Acts of one member a minute.
pub const ACTS_PER_MINUTE_PER_MEMBER: u32 = 600;
/// Acts of all members of one partner a minute.
pub const ACTS_PER_MINUTE_PER_PARTNER: u32 = 6000;
/// The minutes whose acts may come at once.
pub const MINUTES_OF_ACTS_AT_ONCE: u32 = 5;
