//! What `entente agent run` and `entente relay run` have in common: a round, a wait, the next round, until a signal stops them, and the
//! lines that such a process prints about itself, one JSON object each with `--json`.
//!
//! Decides when a round begins and when the process ends. It never cuts a round short: a round that is under way is asked to stop and
//! finishes what it has begun.

use super::{
    context::Context,
    error::{CliError, Result},
    prompt::Keyboard,
    signals::stop_signal,
};
use crate::{
    client::{self, Client, ClientError},
    domain::ambient::Rng,
    process::{ServiceState, tell_manager},
};
use jiff::SignedDuration;
use serde_json::{Value, json};
use std::{
    pin::pin,
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

/// The first wait after a round that failed, and the longest.
const FIRST_WAIT: Duration = Duration::from_secs(5);
const LONGEST_WAIT: Duration = Duration::from_mins(5);

/// How a process goes its rounds.
#[derive(Debug, Clone, Copy)]
pub(super) struct Rounds {
    /// What it is called in the lines about itself.
    pub(super) name: &'static str,
    pub(super) every: Duration,
    /// One round, for cron: it prints what it did and nothing about itself.
    pub(super) is_single: bool,
}

impl Rounds {
    /// Goes rounds until a signal stops it. `round` gets what says whether to stop and what to report each event to, `line` prints an
    /// event, and `finished` turns the tally of a single round into the end of the command.
    pub(super) async fn run<E, T>(
        self,
        context: &Context,
        mut round: impl AsyncFnMut(&(dyn Fn() -> bool + Sync), &mut (dyn FnMut(&E) + Send)) -> client::Result<T>,
        line: fn(&Context, &E) -> Result<()>,
        finished: fn(T) -> Result<()>,
    ) -> Result<()> {
        let is_stopped = AtomicBool::new(false);
        let mut stop_signal = pin!(stop_signal()?);
        tell_manager(ServiceState::Ready);
        if !self.is_single {
            self.say(context, "started", None)?;
        }
        let mut failures = 0_u32;
        loop {
            let mut broken = None;
            let done = {
                let mut report = |event: &E| {
                    if let Err(error) = line(context, event) {
                        // It does not go on with acts that it cannot report.
                        is_stopped.store(true, Ordering::Relaxed);
                        broken = Some(error);
                    }
                };
                let is_set = || is_stopped.load(Ordering::Relaxed);
                let mut round = pin!(round(&is_set, &mut report));
                tokio::select! {
                    done = &mut round => done,
                    () = &mut stop_signal => {
                        is_stopped.store(true, Ordering::Relaxed);
                        tell_manager(ServiceState::Stopping);
                        round.await
                    }
                }
            };
            if let Some(error) = broken {
                return Err(error);
            }
            // Each round has a client of its own, and what that has met goes with it.
            context.warn_of_exchange().await?;
            if self.is_single {
                return finished(done?);
            }
            match &done {
                Ok(_) if failures > 0 => self.say(context, "resumed", None)?,
                Err(error) if failures == 0 => self.say(context, "interrupted", Some(error))?,
                _ => {}
            }
            failures = if done.is_ok() { 0 } else { failures.saturating_add(1) };
            let wait = pause(self.every, failures, &*context.ambient.rng);
            if !is_stopped.load(Ordering::Relaxed) {
                tokio::select! {
                    () = tokio::time::sleep(wait) => continue,
                    () = &mut stop_signal => tell_manager(ServiceState::Stopping),
                }
            }
            return self.say(context, "stopped", None);
        }
    }

    /// How the process itself is.
    fn say(self, context: &Context, what: &str, why: Option<&ClientError>) -> Result<()> {
        let mut value = json!({ "at": context.now(), self.name: what });
        if let (Value::Object(fields), Some(why)) = (&mut value, why) {
            fields.insert("reason".to_owned(), json!(why.to_string()));
            fields.insert("help".to_owned(), json!(why.help()));
        }
        context.out.answer(&value, |screen| {
            let why = why.map(|why| format!(" reason={:?} help={:?}", why.to_string(), why.help()));
            screen.line(&format!("{} {} {what}{}", context.now(), self.name, why.unwrap_or_default()));
        })
    }
}

/// Makes the client of a round. Each round reads its files again, and nobody is there then to type their passphrases again.
pub(super) fn connector(context: &Context, keyboard: &Keyboard) -> impl Fn() -> client::Result<Client> {
    let (context, keyboard) = (context.clone(), keyboard.clone());
    move || {
        context
            .new_client(keyboard.clone())
            .map_err(|CliError { message, help, .. }| ClientError::local(message, help.unwrap_or_default()))
    }
}

/// How long to wait for the next round: about the interval after a good one, longer and longer after failures in a row. A little
/// by chance, so that processes that failed together do not come back together.
pub(super) fn pause(every: Duration, failures: u32, rng: &dyn Rng) -> Duration {
    let mut bytes = [0; 2];
    rng.fill(&mut bytes);
    let chance = f64::from(u16::from_le_bytes(bytes)) / f64::from(u16::MAX);
    match failures {
        0 => every.mul_f64(0.9 + 0.2 * chance),
        _ => {
            let doubled = FIRST_WAIT.saturating_mul(2_u32.saturating_pow(failures - 1));
            doubled.min(LONGEST_WAIT).mul_f64(0.5 + 0.5 * chance)
        }
    }
}

/// Reads how often to look.
pub(super) fn interval_argument(text: &str) -> Result<Duration, String> {
    let wanted: SignedDuration = text.parse().map_err(|_| "write a time such as `30s` or `5m`".to_owned())?;
    let wanted = Duration::try_from(wanted).unwrap_or_default();
    if (Duration::from_secs(1)..=Duration::from_hours(1)).contains(&wanted) {
        Ok(wanted)
    } else {
        Err("give one from a second to an hour".to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug)]
    struct Always(u8);

    impl Rng for Always {
        fn fill(&self, bytes: &mut [u8]) {
            bytes.fill(self.0);
        }
    }

    #[test]
    fn waits_grow_with_failures_and_stay_within_bounds() {
        let every = Duration::from_mins(1);
        let (least, most) = (Always(0), Always(255));
        assert_eq!((pause(every, 0, &least).as_secs(), pause(every, 0, &most).as_secs()), (54, 66));
        let after = |failures| (pause(every, failures, &least).as_millis(), pause(every, failures, &most).as_millis());
        assert_eq!(after(1), (2_500, 5_000));
        assert_eq!(after(3), (10_000, 20_000));
        for failures in [7, 40, u32::MAX] {
            assert_eq!(after(failures), (150_000, 300_000));
        }
    }

    #[test]
    fn interval_is_a_time_within_bounds() {
        assert_eq!(interval_argument("30s").unwrap(), Duration::from_secs(30));
        assert_eq!(interval_argument("5m").unwrap(), Duration::from_mins(5));
        for wrong in ["0s", "2h", "-1m", "soon", "5"] {
            assert!(interval_argument(wrong).is_err(), "{wrong}");
        }
    }
}
