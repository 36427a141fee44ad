//! Keeps a part going: one that fails is started again, later each time; one that is no longer wanted is let go.
//!
//! A part is let go by dropping it, which happens only where it waits: what it writes, it writes whole between two waits.

use std::any::Any;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt as _;
use jiff::Timestamp;
use tokio::sync::watch;
use tokio::time::Instant;

use super::state::Being;
use super::{Part, Shared};
use crate::config::Config;
use crate::error::Error;

/// How long to wait before a part that failed is started again.
#[derive(Clone, Copy, Debug)]
pub struct Pauses {
    /// After the first failure; each further pause is twice as long.
    pub first: Duration,
    /// No pause is longer.
    pub longest: Duration,
    /// A part that ran for so long has recovered: the next failure is a first one.
    pub recovered: Duration,
}

impl Default for Pauses {
    fn default() -> Self {
        Self { first: Duration::from_secs(1), longest: Duration::from_mins(1), recovered: Duration::from_mins(2) }
    }
}

/// How long to wait before the next start, as failures come.
#[derive(Debug)]
pub struct Backoff {
    pauses: Pauses,
    next: Duration,
}

impl Backoff {
    /// Nothing has failed yet.
    pub fn new(pauses: Pauses) -> Self {
        Self { pauses, next: pauses.first }
    }

    /// The pause after a failure of what ran for so long.
    pub fn failed(&mut self, ran: Duration) -> Duration {
        let pause = if ran >= self.pauses.recovered { self.pauses.first } else { self.next };
        self.next = (pause * 2).min(self.pauses.longest);
        pause
    }
}

/// What is wanted of all parts.
#[derive(Clone, Debug)]
pub enum Want {
    /// Run, with this configuration.
    Run(Arc<Config>),
    /// Wait until that changes.
    Pause(Arc<Config>),
    /// End.
    Stop,
}

/// Runs a part as it is wanted, until it is to end.
pub async fn supervise<F>(part: Part, shared: &Shared<'_>, pauses: Pauses, mut want: watch::Receiver<Want>, make: F)
where
    F: AsyncFn(Arc<Config>) -> Result<(), Error>,
{
    let mut backoff = Backoff::new(pauses);
    loop {
        let wanted = want.borrow_and_update().clone();
        let config = match wanted {
            Want::Stop => break,
            Want::Pause(_) => {
                shared.state.set(part, Being::Paused);
                if want.changed().await.is_err() {
                    break;
                }
                continue;
            }
            Want::Run(config) => config,
        };
        shared.state.set(part, Being::Running);
        let began = Instant::now();
        let ended = tokio::select! {
            biased;
            changed = want.changed() => match changed {
                Ok(()) => continue,
                Err(_) => break,
            },
            ended = AssertUnwindSafe(make(config)).catch_unwind() => ended,
        };
        let why = match ended {
            Ok(Ok(())) => "it ended by itself".to_owned(),
            Ok(Err(error)) => error.in_one_line(),
            Err(panic) => format!("a fault in this program: {}", words(panic.as_ref())),
        };
        let pause = backoff.failed(began.elapsed());
        shared.log.error(part, &format!("{why}; again in {pause:?}"));
        let at = Timestamp::now().checked_add(pause).unwrap_or(Timestamp::MAX);
        shared.state.set(part, Being::Restarting { why: crate::sanitise::line(&why), at });
        tokio::select! {
            biased;
            changed = want.changed() => if changed.is_err() { break },
            () = tokio::time::sleep(pause) => {}
        }
    }
    shared.state.set(part, Being::Ended);
}

fn words(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(ToString::to_string);
    text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_else(|| "it does not say which".to_owned())
}

#[cfg(test)]
mod tests {
    use std::cell::{Cell, RefCell};

    use super::*;
    use crate::config;
    use crate::console::capture::console;
    use crate::run::log::Log;
    use crate::run::state::PartState;

    fn config() -> Arc<Config> {
        Arc::new(Config::of(&config::load(&[], |_| None, &[]).unwrap()).unwrap())
    }

    /// What is said of it: what happened, and what to do.
    const BROKEN: &str = "pod x not found; is the namespace right? choose it with -n";

    fn broken() -> Result<(), Error> {
        Err(Error::NotFound { what: "pod x".to_owned() })
    }

    /// The clock of these tests goes on only while everything waits: however slow the machine is, they see each pause.
    const SHORT: Pauses = Pauses {
        first: Duration::from_millis(1),
        longest: Duration::from_millis(8),
        recovered: Duration::from_millis(100),
    };

    /// Runs `scene` beside a supervised part; gives what was logged.
    async fn staged<F>(make: F, scene: impl AsyncFn(&Shared<'_>, &watch::Sender<Want>)) -> String
    where
        F: AsyncFn(Arc<Config>) -> Result<(), Error>,
    {
        let (console, streams) = console(80);
        let config = config();
        let log = Log::open(&console, &config.log).unwrap();
        let shared = Shared::new(log, None, &console);
        let (send, receive) = watch::channel(Want::Run(config));
        let scene = async {
            scene(&shared, &send).await;
            drop(send.send(Want::Stop));
        };
        tokio::join!(supervise(Part::Score, &shared, SHORT, receive, make), scene);
        assert_eq!(shared.state.now().parts[&Part::Score].being, Being::Ended);
        streams.err.text()
    }

    /// Waits until the part is as described.
    async fn until(shared: &Shared<'_>, is: impl Fn(&PartState) -> bool) {
        while !shared.state.now().parts.get(&Part::Score).is_some_and(&is) {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }

    fn pauses(log: &str) -> Vec<&str> {
        log.lines().filter_map(|line| line.split_once("; again in ")).map(|(_, pause)| pause).collect()
    }

    #[tokio::test(start_paused = true)]
    async fn a_part_that_fails_is_started_again_later_each_time() {
        let log = staged(
            async |_| broken(),
            async |shared, _| {
                until(shared, |part| {
                    part.restarts >= 6 && matches!(&part.being, Being::Restarting { why, .. } if why == BROKEN)
                })
                .await;
            },
        )
        .await;
        assert_eq!(pauses(&log)[..6], ["1ms", "2ms", "4ms", "8ms", "8ms", "8ms"], "{log}");
        assert!(log.contains(&format!("{BROKEN}; again in 1ms")), "{log}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_part_that_ran_for_long_starts_with_a_short_pause_again() {
        let starts = Cell::new(0);
        let part = async |_| {
            starts.set(starts.get() + 1);
            if starts.get() == 3 {
                tokio::time::sleep(SHORT.recovered).await;
            }
            broken()
        };
        let log = staged(part, async |shared, _| until(shared, |part| part.restarts >= 4).await).await;
        assert_eq!(pauses(&log)[..4], ["1ms", "2ms", "1ms", "2ms"], "{log}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_panic_of_a_part_ends_nothing_else() {
        let part = async |_| {
            assert!(SHORT.first > SHORT.longest, "a hole");
            Ok(())
        };
        let log = staged(part, async |shared, _| until(shared, |part| part.restarts > 0).await).await;
        assert!(log.contains("a fault in this program: a hole; again in 1ms"), "{log}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_part_pauses_goes_on_with_what_is_new_and_ends() {
        let intervals = RefCell::new(Vec::new());
        let part = async |config: Arc<Config>| {
            intervals.borrow_mut().push(config.dataset_generator.interval.as_secs());
            std::future::pending().await
        };
        staged(part, async |shared, want| {
            until(shared, |part| part.being == Being::Running).await;
            drop(want.send(Want::Pause(config())));
            until(shared, |part| part.being == Being::Paused).await;
            let mut changed = Config::clone(&config());
            changed.dataset_generator.interval = Duration::from_secs(5);
            drop(want.send(Want::Run(Arc::new(changed))));
            until(shared, |part| part.being == Being::Running).await;
        })
        .await;
        assert_eq!(*intervals.borrow(), [30, 5]);
    }
}
