//! What is told of plans that are carried out at a screen of this run, on its way to the log.
//!
//! A plan goes on when its screen has gone: what carries it out is a task of its own, which holds nothing of the run. It leaves
//! here what it has to say.

use tokio::sync::Mutex;
use tokio::sync::mpsc::{self, UnboundedReceiver, UnboundedSender};

use super::Part;
use super::log::Log;
use crate::desk::Told;

/// What was told, until it is logged.
pub struct Carried {
    teller: UnboundedSender<Told>,
    told: Mutex<UnboundedReceiver<Told>>,
}

impl Default for Carried {
    fn default() -> Self {
        let (teller, told) = mpsc::unbounded_channel();
        Self { teller, told: Mutex::new(told) }
    }
}

impl Carried {
    /// Takes what is to be logged.
    pub fn teller(&self) -> UnboundedSender<Told> {
        self.teller.clone()
    }

    /// Logs it as it comes, and does not end: there can always be more.
    pub async fn log(&self, log: &Log<'_>) {
        let mut told = self.told.lock().await;
        while let Some(told) = told.recv().await {
            write(log, &told);
        }
    }

    /// Logs what has come.
    pub async fn log_rest(&self, log: &Log<'_>) {
        let mut told = self.told.lock().await;
        while let Ok(told) = told.try_recv() {
            write(log, &told);
        }
    }
}

fn write(log: &Log<'_>, told: &Told) {
    if told.well {
        log.info(Part::Propose, &told.text);
    } else {
        log.warn(Part::Propose, &told.text);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{self, Config};
    use crate::console::capture::console;

    #[tokio::test]
    async fn what_was_carried_out_is_in_the_log_of_remediation() {
        let folder = tempfile::tempdir().unwrap();
        let (console, _) = console(80);
        let to = ("log.folder", "log-folder", folder.path().display().to_string());
        let config = Config::of(&config::load(&[], |_| None, &[to]).unwrap()).unwrap();
        let log = Log::open(&console, &config.log).unwrap();
        let carried = Carried::default();
        let teller = carried.teller();
        for (well, text) in [(true, "restart deployment/web: done (plan 1f)"), (false, "it is\nnot ready")] {
            teller.send(Told { well, text: text.to_owned() }).unwrap();
        }
        carried.log_rest(&log).await;
        let log = std::fs::read_to_string(folder.path().join("k8s_remediation.log")).unwrap();
        let lines: Vec<_> = log.lines().map(|line| line.split_once(' ').unwrap().1).collect();
        assert_eq!(
            lines,
            ["info    propose restart deployment/web: done (plan 1f)", "warning propose it is not ready"]
        );
    }
}
