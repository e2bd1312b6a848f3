//! Waiting for new entries of the log, as far as the caller may read them.
//!
//! A request that waits holds no snapshot, no connection to the database and no turn. It looks at the log at beats that are fixed when it
//! comes, and only if anything was appended since it last looked. A look goes as far as it can without a turn, and is given up when the wait
//! is over. So what is hidden neither ends a wait nor prolongs it: that goes by the beats and the length alone. Whether anything was appended
//! is read once for all who wait, from the database, so that servers that share one learn of each other's entries, too.

use super::{
    Credential, Exchange, Principal, Result, ServiceError,
    entries::{self, LogQuestion},
};
use crate::{
    share_table::{LONGEST_WAIT, LOOKS_WHILE_WAITING},
    storage::{Db, entries::last},
    wire::entry::EntryPage,
};
use std::time::Duration;
use tokio::{
    sync::{Mutex, watch},
    time::{Instant, Interval, MissedTickBehavior, interval_at, sleep_until},
};

/// What those who wait have in common.
#[derive(Debug)]
pub struct Feed {
    /// For so long a request waits at most.
    longest: Duration,
    /// The number of the last entry, and when it was read.
    newest: Mutex<Option<(Instant, u64)>>,
    ending: watch::Sender<bool>,
}

impl Default for Feed {
    fn default() -> Self {
        Self::lasting(LONGEST_WAIT)
    }
}

impl Feed {
    /// Waits of at most that long: less than after which a connection on which nothing moves is cut.
    #[must_use]
    pub fn lasting(longest: Duration) -> Self {
        Self { longest: longest.min(LONGEST_WAIT), newest: Mutex::default(), ending: watch::Sender::new(false) }
    }

    /// Ends every wait, and those to come: the server is about to stop.
    pub fn end(&self) {
        self.ending.send_replace(true);
    }

    /// How many requests wait.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.ending.receiver_count()
    }

    /// The number of the last entry, as it was less than half a beat ago.
    async fn newest(&self, db: &Db) -> Result<u64> {
        let mut newest = self.newest.lock().await;
        if let Some((_, seq)) = newest.filter(|(read_at, _)| read_at.elapsed() < LOOKS_WHILE_WAITING / 2) {
            return Ok(seq);
        }
        let mut tx = db.read().await?;
        let seq = last(&mut tx).await?;
        *newest = Some((Instant::now(), seq));
        Ok(seq)
    }
}

/// A wait, from the moment on at which its request came.
#[derive(Debug)]
pub struct Wait {
    began_at: Instant,
    until: Instant,
}

impl Wait {
    /// One of that length, or of the longest that is possible here.
    #[must_use]
    pub fn begin(exchange: &Exchange, length: Duration) -> Self {
        let began_at = Instant::now();
        Self { began_at, until: began_at + length.min(exchange.feed.longest) }
    }

    /// Whether it is over before it has begun.
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.until <= self.began_at
    }
}

/// Waits until there is something for the caller after the cursor of the question, or the time is over: then the page is empty, and has a
/// bookmark to go on from. Ends with a refusal when the caller's certificate or key card stops counting.
pub async fn wait(
    exchange: &Exchange,
    principal: &Principal,
    credential: &dyn Credential,
    question: &LogQuestion<'_>,
    wait: &Wait,
) -> Result<EntryPage> {
    let mut after = entries::position(exchange, principal, question)?;
    let mut ending = exchange.feed.ending.subscribe();
    let mut beats = beats(wait);
    while is_next_beat(&mut beats, wait.until, &mut ending).await {
        credential.check().map_err(ServiceError::CertificateRefused)?;
        let look = async {
            if exchange.feed.newest(&exchange.db).await? <= after {
                return Ok(None);
            }
            entries::look_at_once(exchange, principal, question, after).await.map(Some)
        };
        let Some(looked) = within(wait.until, &mut ending, look).await else { break };
        match looked? {
            Some(found) if found.has_items() => return Ok(found.page(exchange, principal, question)),
            // What this look did not come to is looked at on the next beat.
            Some(found) => after = found.position(),
            None => {}
        }
    }
    Ok(entries::empty(exchange, principal, question, after))
}

/// The beats of a wait: none falls on its beginning or its end, where there is a look already or no time for one.
fn beats(wait: &Wait) -> Interval {
    let mut beats = interval_at(wait.began_at + LOOKS_WHILE_WAITING / 2, LOOKS_WHILE_WAITING);
    beats.set_missed_tick_behavior(MissedTickBehavior::Skip);
    beats
}

/// Waits for the next beat; returns false if the wait is over before.
async fn is_next_beat(beats: &mut Interval, until: Instant, ending: &mut watch::Receiver<bool>) -> bool {
    within(until, ending, beats.tick()).await.is_some()
}

/// What comes of something before the wait is over; none if it is over first.
async fn within<T>(until: Instant, ending: &mut watch::Receiver<bool>, work: impl Future<Output = T>) -> Option<T> {
    tokio::select! {
        biased;
        _ = ending.wait_for(|is_ending| *is_ending) => None,
        () = sleep_until(until) => None,
        done = work => Some(done),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::time::advance;

    fn wait_of(seconds: u64) -> Wait {
        let began_at = Instant::now();
        Wait { began_at, until: began_at + Duration::from_secs(seconds) }
    }

    /// The beats of a wait in which each look takes that long, counted from its beginning.
    async fn beats_of(seconds: u64, look: Duration) -> Vec<Duration> {
        let (feed, wait, mut found) = (Feed::default(), wait_of(seconds), Vec::new());
        let (mut ending, mut beats) = (feed.ending.subscribe(), beats(&wait));
        while is_next_beat(&mut beats, wait.until, &mut ending).await {
            found.push(wait.began_at.elapsed());
            advance(look).await;
        }
        found
    }

    #[tokio::test(start_paused = true)]
    async fn beats_are_fixed_by_when_the_request_came_however_long_looks_take() {
        let at_once = beats_of(30, Duration::ZERO).await;
        assert_eq!(at_once.len(), 30);
        let slow = beats_of(30, Duration::from_millis(300)).await;
        let millis = |beats: &[Duration]| beats.iter().map(Duration::as_millis).collect::<Vec<_>>();
        assert_eq!(millis(&slow), millis(&at_once), "a look at what is hidden moves none of them");
        assert_eq!(beats_of(1, Duration::ZERO).await.len(), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn wait_ends_when_the_server_stops() {
        let (feed, wait) = (Feed::default(), wait_of(30));
        let (mut ending, mut beats) = (feed.ending.subscribe(), beats(&wait));
        assert!(is_next_beat(&mut beats, wait.until, &mut ending).await);
        feed.end();
        assert!(!is_next_beat(&mut beats, wait.until, &mut ending).await);
        assert!(!is_next_beat(&mut super::beats(&wait), wait.until, &mut feed.ending.subscribe()).await);
    }

    #[tokio::test(start_paused = true)]
    async fn look_that_does_not_end_is_given_up_with_the_wait() {
        let (feed, wait) = (Feed::default(), wait_of(30));
        let mut ending = feed.ending.subscribe();
        let given_up = within(wait.until, &mut ending, std::future::pending::<()>()).await;
        assert_eq!((given_up, wait.began_at.elapsed().as_secs()), (None, 30));
        assert_eq!(within(wait_of(30).until, &mut ending, async { 1 }).await, Some(1));
    }

    #[test]
    fn wait_is_no_longer_than_the_server_lets_a_connection_be_silent() {
        assert_eq!(Feed::lasting(Duration::from_secs(2)).longest, Duration::from_secs(2));
        assert_eq!(Feed::lasting(Duration::from_mins(5)).longest, LONGEST_WAIT);
    }
}
