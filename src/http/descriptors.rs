//! How many connections and files the process may hold open, and what of the configured limits that can carry.
//!
//! A process that runs out of descriptors cannot read a revocation list or a renewed certificate. So a part of them is never given
//! to connections and documents: when the system allows fewer than are configured, the limits shrink, and that is said.

use super::config::Limits;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// For certificates, revocation lists, listeners, the log and what else the process opens for itself.
const RESERVE: u64 = 128;
/// Connections to the listener for health and metrics.
const ADMIN: u64 = 64;
/// The database's files or connections.
const DATABASE: u64 = 128;
/// Connections that were accepted and have no place yet.
pub(super) const ACCEPTED: usize = 32;

/// Raises the limit of open descriptors as far as the process may, and says what it is.
#[must_use]
pub fn raise() -> u64 {
    let limit = getrlimit(Resource::Nofile);
    // Some systems refuse the maximum that they name; what is in force then still counts.
    if limit.current != limit.maximum
        && let Err(error) = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit })
    {
        tracing::warn!(%error, "the limit of open descriptors cannot be raised");
    }
    getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX)
}

/// What [`raise`] could reach here.
#[must_use]
pub fn reachable() -> u64 {
    getrlimit(Resource::Nofile).maximum.unwrap_or(u64::MAX)
}

/// The limits that so many descriptors can carry: as configured, or all smaller by the same share.
#[must_use]
pub fn fit(limits: &Limits, descriptors: u64) -> Limits {
    let left = descriptors.saturating_sub(RESERVE + ADMIN + DATABASE + ACCEPTED as u64);
    let wanted = wanted(limits);
    if wanted <= left {
        return limits.clone();
    }
    let share = |count: usize| {
        let scaled = u128::from(left) * (count as u128) / u128::from(wanted);
        usize::try_from(scaled).unwrap_or(usize::MAX).max(1)
    };
    Limits {
        connections: share(limits.connections),
        connections_per_partner: share(limits.connections_per_partner),
        connections_per_member: share(limits.connections_per_member),
        handshakes: share(limits.handshakes),
        handshakes_per_address: share(limits.handshakes_per_address),
        requests: share(limits.requests),
        requests_per_partner: share(limits.requests_per_partner),
        requests_per_member: share(limits.requests_per_member),
        downloads: share(limits.downloads),
        downloads_per_partner: share(limits.downloads_per_partner),
        downloads_per_member: share(limits.downloads_per_member),
        ..limits.clone()
    }
}

/// Says that so many descriptors cannot carry what is configured, when that is so.
#[must_use]
pub fn shortfall(limits: &Limits, descriptors: u64) -> Option<String> {
    let fitting = fit(limits, descriptors);
    let needed = wanted(limits) + RESERVE + ADMIN + DATABASE + ACCEPTED as u64;
    (fitting.connections < limits.connections).then(|| {
        format!(
            "this process may hold {descriptors} files and connections open, and the limits need {needed}: {} connections are \
             taken instead of {}, and the other limits shrink with them; raise the limit (`LimitNOFILE` of a systemd unit, `ulimit -n`) or \
             lower `limits.connections` and `limits.requests`",
            fitting.connections, limits.connections,
        )
    })
}

/// A connection, a handshake, an upload's file (each is a request) and a download's file take one each.
fn wanted(limits: &Limits) -> u64 {
    [limits.connections, limits.handshakes, limits.requests, limits.downloads]
        .into_iter()
        .fold(0, |sum: u64, count| sum.saturating_add(count as u64))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_that_fit_stay_as_they_are() {
        let limits = Limits::default();
        let fitting = fit(&limits, 4096);
        assert_eq!((fitting.connections, fitting.requests), (limits.connections, limits.requests));
        assert_eq!(shortfall(&limits, 4096), None);
    }

    #[test]
    fn limits_shrink_to_what_the_process_may_hold_and_leave_a_reserve() {
        let limits = Limits::default();
        for descriptors in [512, 1024, 2048] {
            let fitting = fit(&limits, descriptors);
            assert!(wanted(&fitting) + RESERVE <= descriptors, "{descriptors}");
            assert!(fitting.connections > 0 && fitting.connections < limits.connections);
            assert!(fitting.connections_per_partner < fitting.connections, "one partner cannot take them all");
            let said = shortfall(&limits, descriptors).unwrap();
            assert!(said.contains(&format!("may hold {descriptors} ")) && said.contains("LimitNOFILE"), "{said}");
        }
        assert_eq!(fit(&limits, 0).connections, 1);
    }

    #[test]
    fn soft_limit_is_raised_to_the_hard_one() {
        let before = getrlimit(Resource::Nofile);
        let lower = before.maximum.map_or(65_536, |maximum| maximum - 1);
        setrlimit(Resource::Nofile, Rlimit { current: Some(lower), ..before }).unwrap();
        assert_eq!(raise(), reachable());
    }
}
