//! Tells of incidents where people look: a webhook, a channel of Slack, an Alertmanager.
//!
//! reports -> [`Book`] (which incidents there are, and who was told what) -> [`body`] -> [`send`]. What is told follows
//! from what there is and what was told: a message that could not be delivered is due still, and whatever began and ended
//! before anybody could be told is told to nobody.

use std::time::Duration;

use tokio::time::Instant;

use super::{LOOK_AGAIN, Part, Shared, next_reports};
use crate::config::Config;
use crate::connect::{Connection, Environment};
use crate::error::Error;

mod body;
mod book;
mod send;

pub use book::{Book, Message};
use send::Sink;

/// An Alertmanager takes an alert that it does not hear of for five minutes for resolved.
const AGAIN: Duration = Duration::from_mins(1);
/// The pause after a message that could not be delivered; each further one is twice as long, up to [`LONGEST_PAUSE`].
const FIRST_PAUSE: Duration = Duration::from_secs(5);
const LONGEST_PAUSE: Duration = Duration::from_mins(5);

/// One sink, and when it is spoken to next.
struct Turn {
    sink: Sink,
    /// Something is to be told from then on; `None` if nothing is.
    due: Option<Instant>,
    pause: Duration,
}

/// Looks whether everybody who is to be told can be.
///
/// # Errors
/// If an address or a file with one cannot be used.
pub fn check(config: &Config) -> Result<(), Error> {
    send::sinks(&config.notices, &Environment::of_process()).map(drop)
}

/// Tells until it is let go.
///
/// # Errors
/// If an address or a file with one cannot be used.
pub async fn notify(config: &Config, connection: &Connection, shared: &Shared<'_>) -> Result<(), Error> {
    let sinks = send::sinks(&config.notices, &Environment::of_process())?;
    let mut turns: Vec<Turn> = sinks.into_iter().map(|sink| Turn { sink, due: None, pause: FIRST_PAUSE }).collect();
    let mut reports = shared.reports.subscribe();
    let mut book = shared.told.lock().await;
    loop {
        let heard = shared.heard(connection, &mut reports).await;
        if let Some((latest, mutes)) = &heard {
            book.take(latest, mutes);
            shared.state.did(Part::Notify, &format!("{} incidents", book.open().count()));
        }
        for turn in &mut turns {
            turn.plan(&book, config.notices.group_wait);
            turn.tell(&mut book, connection, shared).await;
        }
        let next = turns.iter().filter_map(|turn| turn.due).min();
        tokio::select! {
            () = next_reports(&mut reports, heard.is_none().then_some(LOOK_AGAIN)) => {}
            () = sleep_until(next) => {}
        }
    }
}

async fn sleep_until(then: Option<Instant>) {
    match then {
        Some(then) => tokio::time::sleep_until(then).await,
        None => std::future::pending().await,
    }
}

impl Turn {
    /// Says when this sink is spoken to, now that the book is as it is.
    fn plan(&mut self, book: &Book, group_wait: Duration) {
        let now = Instant::now();
        let message = book.due(self.sink.name());
        if !message.is_empty() {
            self.due = Some(self.due.map_or(now + group_wait, |due| due.min(now + group_wait.max(self.pause))));
        } else if self.sink.wants_repeats() && book.open().next().is_some() {
            self.due = Some(self.due.unwrap_or(now + AGAIN));
        } else {
            self.due = None;
        }
    }

    /// Speaks to the sink, if its time has come.
    async fn tell(&mut self, book: &mut Book, connection: &Connection, shared: &Shared<'_>) {
        if self.due.is_none_or(|due| due > Instant::now()) {
            return;
        }
        let name = self.sink.name();
        let message = book.due(name);
        match self.sink.send(&message, book, &connection.context).await {
            Ok(()) => {
                let (began, ended) = (message.began.len(), message.ended.len());
                let said = format!("{name} was told: {began} began, {ended} ended");
                if message.is_empty() {
                    shared.log.debug(Part::Notify, &said);
                } else {
                    shared.log.info(Part::Notify, &said);
                }
                book.told(name, &message);
                (self.due, self.pause) = (None, FIRST_PAUSE);
            }
            Err(problem) => {
                shared.log.error(Part::Notify, &format!("{problem}; again in {:?}", self.pause));
                self.due = Some(Instant::now() + self.pause);
                self.pause = (self.pause * 2).min(LONGEST_PAUSE);
            }
        }
    }
}
