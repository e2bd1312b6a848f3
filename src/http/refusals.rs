//! What a partner's members were refused, for its policy officers: who asked, on which route, and by which problem. Never what was asked
//! about: no identifier, no content. And never that something hidden exists, or who takes part in it: the officer who reads this may be of
//! a party, in conflict, or before the opening.
//!
//! It is in memory, since the start of this server: writing it down would let refused callers fill the database. The same refusal again is
//! counted, so a thousand of one kind take the place of one.

use crate::{
    domain::id::{PartnerCode, Sha256},
    wire::problem::Kind,
};
use jiff::Timestamp;
use std::{
    cmp::Reverse,
    collections::BTreeMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

/// How many different refusals are kept of a partner; of more the one that was longest ago goes.
const KEPT: usize = 500;

/// The same, of one certificate.
const OF_ONE: usize = 50;

/// The same, of all certificates that no key card is known to name: authorities issue as many as they like.
const OF_UNKNOWN: usize = KEPT / 2;

/// What stands for every problem of a call, or of something below it, that a caller does not get for what does not exist.
const SOMETHING: (&str, &str, &str) = ("any", "/v1/calls/{call}/…", "refused");

/// Refusals of each partner's members.
#[derive(Debug, Default)]
pub struct Refusals(Mutex<BTreeMap<PartnerCode, RefusedOfPartner>>);

/// What certificates of one partner were refused, and whether a key card was known to name the certificate the last time.
type RefusedOfPartner = BTreeMap<RefusedRequest, (Times, bool)>;

/// Something that was refused.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct RefusedRequest {
    /// SHA-256 of the certificate's subject public key info.
    pub(super) certificate: Sha256,
    pub(super) method: &'static str,
    /// The template of the route, without identifiers, or what it lies below; of a handshake, why it was refused.
    pub(super) route: String,
    /// Slug of the problem, or the word for all that are not distinguished.
    pub(super) problem: String,
}

/// How often, and when.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Times {
    pub(super) count: u64,
    pub(super) first_at: Timestamp,
    pub(super) last_at: Timestamp,
}

impl RefusedRequest {
    /// A refusal as policy officers are shown it. What lies below a call is hidden from some of them, so there neither a problem nor a route
    /// says what was there, or in what part the caller asked for it.
    pub(super) fn shown(certificate: Sha256, method: &'static str, route: &str, problem: &str) -> Self {
        let of = |(method, route, problem): (&'static str, &str, &str)| Self {
            certificate,
            method,
            route: route.to_owned(),
            problem: problem.to_owned(),
        };
        let is_at =
            |place: &str| route.strip_prefix(place).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
        let of_call = is_at("/v1/calls/{call}");
        if !of_call && !["/v1/proposals", "/v1/reviews", "/v1/vaults"].into_iter().any(is_at) {
            return of((method, route, problem));
        }
        if !Kind::ALL.iter().any(|kind| kind.slug() == problem && kind.tells_nothing()) {
            return of(SOMETHING);
        }
        let place = match route {
            "/v1/proposals" | "/v1/proposals/count" => route,
            _ if of_call => "/v1/calls/{call}",
            _ => "/v1/proposals/{proposal}",
        };
        of((method, place, problem))
    }

    /// A certificate that was refused before there was a request, and why.
    pub(super) fn in_handshake(certificate: Sha256, reason: &str, problem: &str) -> Self {
        let (route, problem) = (format!("(handshake: {reason})"), problem.to_owned());
        Self { certificate, method: "TLS", route, problem }
    }
}

impl Refusals {
    /// Notes one, of a certificate that a key card is known to name or not.
    pub(super) fn note(&self, partner: &PartnerCode, refused: RefusedRequest, has_key_card: bool, at: Timestamp) {
        let mut all = self.lock();
        let of_partner = all.entry(partner.clone()).or_default();
        if let Some((times, had_key_card)) = of_partner.get_mut(&refused) {
            times.count += 1;
            times.last_at = times.last_at.max(at);
            *had_key_card = has_key_card;
            return;
        }
        make_room(of_partner, &refused, has_key_card);
        of_partner.insert(refused, (Times { count: 1, first_at: at, last_at: at }, has_key_card));
    }

    /// Those of a partner's members, the latest first.
    pub(super) fn of(&self, partner: &PartnerCode) -> Vec<(RefusedRequest, Times)> {
        let all = self.lock();
        let mut found: Vec<_> =
            all.get(partner).into_iter().flatten().map(|(key, (times, _))| (key.clone(), *times)).collect();
        found.sort_by_key(|(_, times)| Reverse(times.last_at));
        found
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<PartnerCode, RefusedOfPartner>> {
        // Nothing that holds the lock can panic half-way.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Has one go for a newcomer where there are so many already. Nobody drives out what others were refused: it is the newcomer's own when
/// its certificate has its share, one without a key card when these have theirs, and else of the certificate that has most. Of these it
/// is the one that was longest ago.
fn make_room(kept: &mut RefusedOfPartner, newcomer: &RefusedRequest, has_key_card: bool) {
    let mut of = BTreeMap::<Sha256, usize>::new();
    for refused in kept.keys() {
        *of.entry(refused.certificate).or_default() += 1;
    }
    let is_own_full = of.get(&newcomer.certificate).is_some_and(|count| *count >= OF_ONE);
    let is_unknown_full =
        !has_key_card && kept.values().filter(|(_, has_key_card)| !has_key_card).count() >= OF_UNKNOWN;
    if !is_own_full && !is_unknown_full && kept.len() < KEPT {
        return;
    }
    let may_go = |(refused, (_, has_key_card)): &(&RefusedRequest, &(Times, bool))| {
        if is_own_full { refused.certificate == newcomer.certificate } else { !is_unknown_full || !has_key_card }
    };
    let rank =
        |(refused, (times, _)): &(&RefusedRequest, &(Times, bool))| (of[&refused.certificate], Reverse(times.last_at));
    let goes = kept.iter().filter(may_go).max_by_key(rank).map(|(refused, _)| refused.clone());
    if let Some(goes) = goes {
        kept.remove(&goes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(problem: &str) -> RefusedRequest {
        let certificate = Sha256::of(b"avi");
        RefusedRequest {
            certificate,
            method: "GET",
            route: "/v1/proposals/{proposal}".into(),
            problem: problem.to_owned(),
        }
    }

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(1_800_000_000 + second).unwrap()
    }

    #[test]
    fn nothing_is_shown_of_what_a_caller_was_refused_below_a_call() {
        let shown = |method, route, problem| {
            let RefusedRequest { method, route, problem, .. } =
                RefusedRequest::shown(Sha256::of(b"avi"), method, route, problem);
            (method, route, problem)
        };
        let told = |method: &'static str, route: &str, problem: &str| (method, route.to_owned(), problem.to_owned());
        for (method, route, problem) in [
            ("DELETE", "/v1/proposals/{proposal}/documents/{slot}", "unknown-slot"),
            ("PUT", "/v1/proposals/{proposal}/documents/{slot}", "too-large"),
            ("POST", "/v1/proposals/{proposal}/reviews", "already-reviewed"),
            ("POST", "/v1/proposals/{proposal}/reviews", "denied"),
            ("GET", "/v1/proposals/{proposal}", "denied"),
            ("POST", "/v1/proposals", "exists"),
            ("POST", "/v1/proposals", "quota-reached"),
            ("POST", "/v1/reviews/{review}/reopen", "no-review"),
            ("DELETE", "/v1/vaults/{vault}/keys/{member}", "still-admitted"),
            ("POST", "/v1/calls/{call}/assignments", "lines-refused"),
            ("POST", "/v1/calls/{call}/extend", "wrong-phase"),
        ] {
            assert_eq!(shown(method, route, problem), told("any", "/v1/calls/{call}/…", "refused"), "{route}");
        }
        for route in ["/v1/proposals/{proposal}", "/v1/proposals/{proposal}/reviews", "/v1/reviews/{review}"] {
            for problem in ["not-found", "malformed", "too-many-acts"] {
                assert_eq!(shown("GET", route, problem), told("GET", "/v1/proposals/{proposal}", problem), "{route}");
            }
        }
        assert_eq!(
            shown("POST", "/v1/calls/{call}/publish", "malformed"),
            told("POST", "/v1/calls/{call}", "malformed")
        );
        for (route, problem) in [
            ("/v1/proposals/count", "bad-cursor"),
            ("/v1/policies/{owner}/versions", "policy-invalid"),
            ("/v1/members/{member}/key-card", "stale-key-card"),
            ("/v1/calls", "denied"),
            ("(none)", "not-found"),
        ] {
            assert_eq!(shown("GET", route, problem), told("GET", route, problem));
        }
    }

    #[test]
    fn same_refusal_again_is_counted_and_the_oldest_of_many_goes() {
        let (refusals, israel): (_, PartnerCode) = (Refusals::default(), "ISR".parse().unwrap());
        refusals.note(&israel, refused("not-found"), true, at(0));
        refusals.note(&israel, refused("denied"), true, at(1));
        refusals.note(&israel, refused("not-found"), true, at(2));
        let times = |count, first, last| Times { count, first_at: at(first), last_at: at(last) };
        let wanted = [(refused("not-found"), times(2, 0, 2)), (refused("denied"), times(1, 1, 1))];
        assert_eq!(refusals.of(&israel), wanted);
        let other = RefusedRequest { certificate: Sha256::of(b"yael"), ..refused("denied") };
        refusals.note(&israel, other.clone(), true, at(3));
        for number in 0..KEPT {
            refusals.note(&israel, refused(&number.to_string()), true, at(10));
        }
        let kept = refusals.of(&israel);
        assert_eq!(kept.len(), OF_ONE + 1);
        assert!(kept.iter().all(|(refused, _)| refused.problem != "not-found"));
        assert!(kept.iter().any(|(refused, _)| *refused == other), "others' refusals stay");
        assert!(refusals.of(&"USA".parse().unwrap()).is_empty());
    }

    fn of_certificate(name: &str, problem: &str) -> RefusedRequest {
        RefusedRequest { certificate: Sha256::of(name.as_bytes()), ..refused(problem) }
    }

    /// How many are kept of certificates whose name begins so, of `0` to `count`.
    fn kept_of(refusals: &Refusals, name: &str, count: usize) -> usize {
        let certificates: Vec<_> = (0..count).map(|number| Sha256::of(format!("{name}{number}").as_bytes())).collect();
        let kept = refusals.of(&"ISR".parse().unwrap());
        kept.iter().filter(|(refused, _)| certificates.contains(&refused.certificate)).count()
    }

    #[test]
    fn certificates_without_a_key_card_leave_half_of_the_room_to_those_with_one() {
        let (refusals, israel): (_, PartnerCode) = (Refusals::default(), "ISR".parse().unwrap());
        // So many colleagues, each refused once, and then a thousand certificates that no key card names.
        for number in 0..KEPT {
            refusals.note(&israel, of_certificate(&format!("member{number}"), "denied"), true, at(0));
        }
        for number in 0..1000 {
            refusals.note(&israel, of_certificate(&format!("issued{number}"), "not-a-member"), false, at(1));
        }
        assert_eq!(kept_of(&refusals, "member", KEPT), KEPT - OF_UNKNOWN);
        assert_eq!(kept_of(&refusals, "issued", 1000), OF_UNKNOWN);
        assert_eq!(refusals.of(&israel).len(), KEPT);
    }

    #[test]
    fn those_who_have_most_make_room_for_a_colleague() {
        let (refusals, israel): (_, PartnerCode) = (Refusals::default(), "ISR".parse().unwrap());
        refusals.note(&israel, of_certificate("colleague0", "denied"), true, at(0));
        for number in 0..KEPT {
            let name = format!("many{}", number % 10);
            refusals.note(&israel, of_certificate(&name, &number.to_string()), true, at(1));
        }
        refusals.note(&israel, of_certificate("colleague1", "denied"), true, at(2));
        assert_eq!(kept_of(&refusals, "colleague", 2), 2);
        assert_eq!(refusals.of(&israel).len(), KEPT);
    }
}
