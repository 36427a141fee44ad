//! Steers a `run` that runs: pauses it, ends it, and gives it a new configuration if that is no looser.

use std::cell::RefCell;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

use super::supervise::Want;
use super::{Part, Shared};
use crate::config::{Config, ConfigError, Merged, tighten};

/// Between two looks at the files.
const LOOK: Duration = Duration::from_secs(2);

/// What steers.
pub struct Steering<'a, L> {
    shared: &'a Shared<'a>,
    want: watch::Sender<Want>,
    /// Reads the configuration as it is now.
    load: L,
    merged: RefCell<Merged>,
    /// What was read last, or why it could not be.
    seen: RefCell<Result<Merged, String>>,
}

impl<'a, L: Fn() -> Result<Merged, ConfigError>> Steering<'a, L> {
    /// Steers what `want` reaches, and what runs with `merged` now.
    pub fn new(shared: &'a Shared<'a>, want: watch::Sender<Want>, merged: Merged, load: L) -> Self {
        let seen = RefCell::new(Ok(merged.clone()));
        Self { shared, want, load, merged: RefCell::new(merged), seen }
    }

    /// Lets all parts wait.
    pub fn pause(&self) -> &'static str {
        self.turn("paused", "paused already", |want| match want {
            Want::Run(config) => Some(Want::Pause(Arc::clone(config))),
            Want::Pause(_) | Want::Stop => None,
        })
    }

    /// Lets them go on.
    pub fn resume(&self) -> &'static str {
        self.turn("resumed", "it runs already", |want| match want {
            Want::Pause(config) => Some(Want::Run(Arc::clone(config))),
            Want::Run(_) | Want::Stop => None,
        })
    }

    /// Ends all parts.
    pub fn stop(&self) -> &'static str {
        self.turn("ending", "it ends already", |want| (!matches!(want, Want::Stop)).then_some(Want::Stop))
    }

    fn turn(&self, done: &'static str, already: &'static str, to: impl Fn(&Want) -> Option<Want>) -> &'static str {
        let next = to(&self.want.borrow());
        let Some(next) = next else { return already };
        self.want.send_replace(next);
        self.shared.log.info(Part::Run, done);
        done
    }

    /// Takes the configuration as it is now, as a whole or not at all; says what came of it.
    ///
    /// # Errors
    /// Why it is not taken.
    pub fn reload(&self) -> Result<String, String> {
        let read = (self.load)().map_err(|error| error.to_string());
        (*self.seen.borrow_mut()).clone_from(&read);
        let taken = read.and_then(|new| self.take(new));
        match &taken {
            Ok(said) => self.shared.log.info(Part::Run, said),
            Err(why) => self.shared.log.error(Part::Run, &format!("nothing of the configuration is taken: {why}")),
        }
        taken
    }

    fn take(&self, new: Merged) -> Result<String, String> {
        let old = self.merged.borrow().clone();
        let config = |merged: &Merged| Config::of(merged).map_err(|error| error.to_string());
        let (was, is) = (config(&old)?, config(&new)?);
        let changes = tighten::changes(&old, &new);
        let refused = tighten::refused(&was, &is, &changes);
        if !refused.is_empty() {
            return Err(refused.join("; "));
        }
        self.merged.replace(new);
        if changes.is_empty() {
            return Ok("the configuration is what it was".to_owned());
        }
        self.shared.log.adjust(&is.log);
        let is = Arc::new(is);
        self.want.send_modify(|want| match want {
            Want::Run(config) | Want::Pause(config) => *config = is,
            Want::Stop => {}
        });
        let changes: Vec<String> = changes.iter().map(ToString::to_string).collect();
        Ok(format!("reloaded: {}", changes.join(", ")))
    }

    /// Looks at the files again and again, and reloads when they say something else.
    pub async fn watch(&self) {
        loop {
            tokio::time::sleep(LOOK).await;
            let now = (self.load)().map_err(|error| error.to_string());
            let same = match (&now, &*self.seen.borrow()) {
                (Ok(now), Ok(seen)) => now.tree() == seen.tree(),
                (Err(now), Err(seen)) => now == seen,
                _ => false,
            };
            if !same {
                // It says itself what came of it.
                drop(self.reload());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;
    use crate::config::load;
    use crate::console::capture::console;
    use crate::run::log::Log;

    #[test]
    fn a_reload_is_taken_or_refused_as_a_whole_also_while_it_is_paused() {
        let (console, streams) = console(80);
        let flags = Cell::new(&[][..]);
        let read = || load(&[], |_| None, flags.get());
        let merged = read().unwrap();
        let config = Arc::new(Config::of(&merged).unwrap());
        let log = Log::open(&console, &config.log).unwrap();
        let shared = Shared::new(log, None, &console);
        let (want, wanted) = watch::channel(Want::Run(config));
        let steering = Steering::new(&shared, want, merged, read);
        assert_eq!(steering.reload().unwrap(), "the configuration is what it was");

        let strict = [("remediation.dry_run", "f", "true".to_owned()), ("agents.watch_interval", "f", "5".to_owned())];
        flags.set(&strict);
        assert_eq!(steering.pause(), "paused");
        assert_eq!(
            steering.reload().unwrap(),
            "reloaded: agents.watch_interval 10 -> 5, remediation.dry_run false -> true"
        );
        assert!(matches!(&*wanted.borrow(), Want::Pause(config) if config.remediation.dry_run));

        let loose = [("agents.watch_interval", "f", "7".to_owned())];
        flags.set(&loose);
        assert!(steering.reload().unwrap_err().contains("remediation.dry_run"));
        let wrong = [("agents.watch_interval", "f", "soon".to_owned())];
        flags.set(&wrong);
        assert!(steering.reload().unwrap_err().contains("--f: it must be a duration"));
        assert_eq!(steering.resume(), "resumed");
        let kept =
            |want: &Want| matches!(want, Want::Run(config) if config.agents.watch_interval == Duration::from_secs(5));
        assert!(kept(&wanted.borrow()));
        assert_eq!((steering.stop(), steering.resume()), ("ending", "it runs already"));
        assert!(matches!(&*wanted.borrow(), Want::Stop));
        assert!(streams.err.text().contains("nothing of the configuration is taken: "));
    }
}
