//! `[limits]`: how much may be under way at a time, and how long it may take.

use super::{Faults, seconds};
use crate::{
    http::shares::Quota,
    service::time::TOLERANCE,
    share_table::{
        CONNECTIONS, CONNECTIONS_WITHOUT_KEY_CARD, DOWNLOADS, HANDSHAKES, HANDSHAKES_PER_ADDRESS, LONGEST_WORK,
        REQUESTS,
    },
};
use serde::Deserialize;
use std::time::Duration;

/// `[limits]`. Times are seconds in the file and may have a fraction; sizes are bytes.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Limits {
    /// Connections with an accepted certificate. When full, the holder of most loses one.
    pub connections: usize,
    /// The same, for one partner.
    pub connections_per_partner: usize,
    /// The same, for one certificate.
    pub connections_per_member: usize,
    /// The same, for one that no key card is known to name.
    pub connections_without_key_card: usize,
    /// Handshakes under way. When full, a silent one gives way first.
    pub handshakes: usize,
    /// The same, for one address.
    pub handshakes_per_address: usize,
    /// Requests being answered; one more gets 503 with `Retry-After`.
    pub requests: usize,
    /// The same, for one partner.
    pub requests_per_partner: usize,
    /// The same, for one certificate; one more gets 429 with `Retry-After`.
    pub requests_per_member: usize,
    /// Downloads under way; one more gets 503 with `Retry-After`.
    pub downloads: usize,
    /// The same, for one partner.
    pub downloads_per_partner: usize,
    /// The same, for one certificate; one more gets 429 with `Retry-After`.
    pub downloads_per_member: usize,
    /// For the whole TLS handshake.
    #[serde(rename = "handshake_seconds", deserialize_with = "seconds")]
    pub handshake: Duration,
    /// From the first byte of a request to the end of its header; also for the first request of a new connection.
    #[serde(rename = "header_seconds", deserialize_with = "seconds")]
    pub header: Duration,
    /// Between two requests on one connection; also between two pieces of a body.
    #[serde(rename = "idle_seconds", deserialize_with = "seconds")]
    pub idle: Duration,
    /// With an answer of which nothing is taken.
    #[serde(rename = "stall_seconds", deserialize_with = "seconds")]
    pub stall: Duration,
    /// With a request open on which the exchange works, or waits its turn to: `stall` counts where it is longer.
    #[serde(skip)]
    pub work: Duration,
    /// Slowest average at which a body may arrive, in bytes a second, once `idle_seconds` of waiting are used up.
    pub upload_bytes_per_second: u64,
    /// Request line and headers together.
    pub header_bytes: u32,
    /// Request bodies that are read into memory, such as JSON.
    pub body_bytes: usize,
    /// A sealed document, when its call's slot names no smaller limit.
    pub document_bytes: u64,
    /// For open requests to finish after the order to stop; then they are cut.
    #[serde(rename = "drain_seconds", deserialize_with = "seconds")]
    pub drain: Duration,
    /// How far this machine's clock may be from what is on record, from the database's and from where it should have got to. Further
    /// off, nothing is written.
    #[serde(rename = "clock_tolerance_seconds", deserialize_with = "seconds")]
    pub clock_tolerance: Duration,
    /// Between two trials of whether the writer and the folders work.
    #[serde(rename = "probe_seconds", deserialize_with = "seconds")]
    pub probe: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: CONNECTIONS.all,
            connections_per_partner: CONNECTIONS.per_partner,
            connections_per_member: CONNECTIONS.per_certificate,
            connections_without_key_card: CONNECTIONS_WITHOUT_KEY_CARD,
            handshakes: HANDSHAKES,
            handshakes_per_address: HANDSHAKES_PER_ADDRESS,
            requests: REQUESTS.all,
            requests_per_partner: REQUESTS.per_partner,
            requests_per_member: REQUESTS.per_certificate,
            downloads: DOWNLOADS.all,
            downloads_per_partner: DOWNLOADS.per_partner,
            downloads_per_member: DOWNLOADS.per_certificate,
            handshake: Duration::from_secs(5),
            header: Duration::from_secs(10),
            idle: Duration::from_secs(30),
            stall: Duration::from_mins(1),
            work: LONGEST_WORK,
            upload_bytes_per_second: 1024,
            header_bytes: 32 << 10,
            body_bytes: 1 << 20,
            document_bytes: 8 << 30,
            drain: Duration::from_secs(20),
            clock_tolerance: TOLERANCE,
            probe: Duration::from_secs(5),
        }
    }
}

impl Limits {
    pub(in crate::http) fn connection_quota(&self) -> Quota {
        let (per_partner, per_member) = (self.connections_per_partner, self.connections_per_member);
        Quota { total: self.connections, per_partner, per_member }.ordered()
    }

    pub(in crate::http) fn request_quota(&self) -> Quota {
        Quota { total: self.requests, per_partner: self.requests_per_partner, per_member: self.requests_per_member }
    }

    pub(in crate::http) fn download_quota(&self) -> Quota {
        Quota { total: self.downloads, per_partner: self.downloads_per_partner, per_member: self.downloads_per_member }
    }

    pub(super) fn validate(&self, faults: &mut Faults) {
        let counts = [
            ("limits.connections", self.connections),
            ("limits.connections_per_partner", self.connections_per_partner),
            ("limits.connections_per_member", self.connections_per_member),
            ("limits.connections_without_key_card", self.connections_without_key_card),
            ("limits.handshakes", self.handshakes),
            ("limits.handshakes_per_address", self.handshakes_per_address),
            ("limits.requests", self.requests),
            ("limits.requests_per_partner", self.requests_per_partner),
            ("limits.requests_per_member", self.requests_per_member),
            ("limits.downloads", self.downloads),
            ("limits.downloads_per_partner", self.downloads_per_partner),
            ("limits.downloads_per_member", self.downloads_per_member),
            ("limits.body_bytes", self.body_bytes),
        ];
        for (key, _) in counts.into_iter().filter(|(_, count)| *count == 0) {
            faults.add(key, "would let nothing in", "give a number above zero, or leave it out for the default");
        }
        let times = [
            ("limits.handshake_seconds", self.handshake),
            ("limits.header_seconds", self.header),
            ("limits.idle_seconds", self.idle),
            ("limits.stall_seconds", self.stall),
        ];
        for (key, _) in times.into_iter().filter(|(_, time)| time.is_zero()) {
            faults.add(key, "would cut everybody off at once", "give seconds above zero");
        }
        if self.probe < Duration::from_millis(10) {
            faults.add("limits.probe_seconds", "would do nothing else", "give seconds above zero; 5 suits most");
        }
        if self.probe > Duration::from_secs(20) {
            faults.add(
                "limits.probe_seconds",
                "is more than 20: a server that notes nothing for a minute is taken to be away",
                "5 suits most",
            );
        }
        if self.header_bytes < 8192 || self.header_bytes > 1 << 20 {
            faults.add("limits.header_bytes", "is outside 8192 to 1048576", "32768 suits most clients");
        }
        if self.body_bytes > 64 << 20 {
            faults.add(
                "limits.body_bytes",
                "allows more than 64 MiB a request in memory",
                "documents stream and have `limits.document_bytes`; 1048576 suits everything else",
            );
        }
        if self.document_bytes == 0 {
            faults.add("limits.document_bytes", "would let nothing in", "give a number of bytes above zero");
        }
    }
}
