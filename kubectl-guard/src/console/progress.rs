//! A progress bar for what takes longer than a moment.

use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// Counts steps; shows itself on stderr once its patience is over. Gone from the screen when dropped.
pub struct Progress {
    bar: ProgressBar,
    show_at: Option<Instant>,
}

impl Progress {
    /// A bar over `steps` that appears after `patience`; `None`: never.
    pub(super) fn new(patience: Option<Duration>, steps: usize, what: &str) -> Self {
        let bar = ProgressBar::with_draw_target(Some(steps as u64), ProgressDrawTarget::hidden());
        if let Ok(style) = ProgressStyle::with_template("{msg} {pos}/{len} {bar:24} {elapsed}") {
            bar.set_style(style);
        }
        bar.set_message(what.to_owned());
        Self { bar, show_at: patience.map(|patience| Instant::now() + patience) }
    }

    /// When [`Self::show_if_due`] will show it; `None`: never, or it is shown already.
    pub fn due(&self) -> Option<Instant> {
        self.show_at
    }

    /// Shows the bar if its time has come.
    pub fn show_if_due(&mut self) {
        if self.show_at.is_some_and(|at| at <= Instant::now()) {
            self.show_at = None;
            self.bar.set_draw_target(ProgressDrawTarget::stderr());
            self.bar.tick();
        }
    }

    /// One step is done.
    pub fn step(&mut self) {
        self.bar.inc(1);
        self.show_if_due();
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}
