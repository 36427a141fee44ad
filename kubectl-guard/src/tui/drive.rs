//! Carries what the screen asks for to those who can do it, and what is new to the screen. It does nothing by itself.

use std::pin::Pin;
use std::sync::mpsc::Sender;
use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::watch::Receiver;

use super::screen::{Intent, News};
use super::terminal::Wires;
use super::watch::Watch;
use crate::desk::Desk;
use crate::exit::Exit;
use crate::run::Reports;

/// Ages on the screen are that old at most.
const TICK: Duration = Duration::from_secs(1);

/// What is under way at the desk; it never ends if nothing is.
type Job<'a> = Pin<Box<dyn Future<Output = News> + 'a>>;

/// What the screen can ask of the run.
pub trait Run {
    /// Lets all parts wait; says what came of it.
    fn pause(&self) -> String;
    /// Lets them go on; says what came of it.
    fn resume(&self) -> String;
    /// Puts a proposal aside; says what came of it.
    fn decline(&self, namespace: &str, target: &str) -> String;
    /// Why nothing may be carried out in this run; `None` if it may.
    fn refuses(&self) -> Option<&'static str>;
    /// The terminal is there no longer.
    fn is_alone(&self) -> bool;
}

/// How the screen ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// Somebody wanted to end.
    Wanted(Exit),
    /// The terminal has gone, or the screen has ended by itself.
    Lost,
}

/// Serves the screen until it ends.
pub async fn drive<D: Desk>(
    mut watch: Watch<'_>,
    mut reports: Receiver<Reports>,
    desk: Option<&D>,
    run: &impl Run,
    mut wires: Wires,
) -> End {
    let mut tick = tokio::time::interval(TICK);
    let mut job: Job<'_> = Box::pin(std::future::pending());
    let mut carrying_out = false;
    // What was scored before the screen was there is new to it.
    reports.mark_changed();
    loop {
        tokio::select! {
            intent = wires.intents.recv() => match intent {
                None => return End::Lost,
                Some(Intent::Quit) => return End::Wanted(Exit::Done),
                Some(Intent::Interrupt) => return End::Wanted(Exit::Interrupted),
                Some(Intent::Pause) => tell(&wires.news, run.pause()),
                Some(Intent::Resume) => tell(&wires.news, run.resume()),
                Some(Intent::Decline { namespace, target }) => tell(&wires.news, run.decline(&namespace, &target)),
                // The screen asks for one thing at a time; a plan that is being carried out is never let go for another.
                Some(Intent::Look { .. } | Intent::CarryOut { .. }) if carrying_out => {}
                Some(intent) => {
                    carrying_out = matches!(intent, Intent::CarryOut { .. });
                    job = match (desk, run.refuses().filter(|_| carrying_out)) {
                        (Some(desk), None) => at_desk(desk, intent, wires.news.clone()),
                        (_, why) => refused(why.unwrap_or("there is no cluster in this run")),
                    };
                }
            },
            news = &mut job => {
                (carrying_out, job) = (false, Box::pin(std::future::pending()));
                send(&wires.news, news);
            }
            Ok(()) = reports.changed() => {
                let latest = reports.borrow_and_update().clone();
                watch.score(&latest);
                send(&wires.news, News::Seen(watch.snapshot(Timestamp::now())));
            }
            _ = tick.tick() => {
                if run.is_alone() {
                    return End::Lost;
                }
                send(&wires.news, News::Seen(watch.snapshot(Timestamp::now())));
            }
        }
    }
}

fn refused(why: &'static str) -> Job<'static> {
    Box::pin(std::future::ready(News::Ended(Err(why.to_owned()))))
}

fn at_desk<D: Desk>(desk: &D, intent: Intent, news: Sender<News>) -> Job<'_> {
    Box::pin(async move {
        match intent {
            Intent::Look { number, namespace, target, asked } => {
                let look = desk.look(&namespace, &target, asked.as_ref()).await;
                News::Looked(number, look.map_err(|error| error.in_one_line()))
            }
            Intent::CarryOut { shown, typed } => {
                let said = |line: &str| send(&news, News::Said(line.to_owned()));
                News::Ended(desk.carry_out(&shown, &typed, &said).await.map_err(|error| error.in_one_line()))
            }
            _ => std::future::pending().await,
        }
    })
}

fn tell(news: &Sender<News>, said: String) {
    send(news, News::Told(said));
}

/// A screen that has ended is noticed by its silence.
fn send(news: &Sender<News>, new: News) {
    drop(news.send(new));
}
