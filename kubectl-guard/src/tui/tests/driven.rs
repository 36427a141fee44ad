//! Intents that are carried out, at a desk that is none.

use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};

use super::super::drive::{End, Run, drive};
use super::super::terminal::Wires;
use super::super::watch::Watch;
use super::*;
use crate::config::{self, Config};
use crate::console::Console;
use crate::desk::fake::FakeDesk;
use crate::exit::Exit;
use crate::run::Shared;
use crate::run::log::Log as RunLog;
use crate::run::state;

/// A run that refuses what it is told to refuse.
struct FakeRun(Option<&'static str>);

impl Run for FakeRun {
    fn pause(&self) -> String {
        "paused".into()
    }

    fn resume(&self) -> String {
        "resumed".into()
    }

    fn decline(&self, namespace: &str, target: &str) -> String {
        format!("declined {target} in {namespace}")
    }

    fn refuses(&self) -> Option<&'static str> {
        self.0
    }

    fn is_alone(&self) -> bool {
        false
    }
}

/// The other end of the wires: a screen without a terminal.
struct Hand {
    intents: UnboundedSender<Intent>,
    news: Receiver<News>,
}

impl Hand {
    /// The next news that `is`; what comes before it is dropped.
    async fn hears(&self, is: impl Fn(&News) -> bool) -> News {
        loop {
            match self.news.try_recv() {
                Ok(news) if is(&news) => return news,
                Ok(_) => {}
                Err(_) => tokio::time::sleep(Duration::from_millis(1)).await,
            }
        }
    }

    fn asks(&self, intent: Intent) {
        self.intents.send(intent).unwrap();
    }
}

/// Drives this scene in such a run; says how it ended, and what was carried out at the desk.
async fn staged(run: FakeRun, scene: impl AsyncFn(&Hand, &FakeDesk, &Shared<'_>)) -> (End, Vec<String>) {
    let (console, kept) = Console::kept();
    let config = Config::of(&config::load(&[], |_| None, &[]).unwrap()).unwrap();
    let shared = Shared::new(RunLog::open(&console, &config.log).unwrap(), None, &console);
    let seen = Watch::new(&shared, &config, kept, None);
    let ((news, heard), (asks, intents)) = (channel(), unbounded_channel());
    let (hand, desk) = (Hand { intents: asks, news: heard }, Arc::new(FakeDesk::default()));
    let driven = drive(seen, shared.reports.subscribe(), Some(&desk), &run, Wires { news, intents });
    let (end, ()) = tokio::join!(driven, scene(&hand, &desk, &shared));
    let done = desk.done.lock().unwrap().clone();
    (end, done)
}

fn look(number: u64, name: &str) -> Intent {
    Intent::Look {
        number,
        namespace: "shop".into(),
        target: format!("deployment/{name}").parse().unwrap(),
        asked: None,
    }
}

#[tokio::test(start_paused = true)]
async fn a_plan_is_looked_at_and_carried_out_while_the_screen_goes_on() {
    let ended = staged(FakeRun(None), async |hand, desk, shared| {
        hand.asks(look(1, "other"));
        let news = hand.hears(|news| matches!(news, News::Looked(1, _))).await;
        assert!(matches!(news, News::Looked(_, Err(why)) if why.starts_with("deployment/other not found; ")));
        hand.asks(look(2, "web"));
        hand.hears(|news| matches!(news, News::Looked(2, Ok(Look::Plan(_))))).await;
        hand.asks(Intent::CarryOut { shown: plan(), typed: "web".into() });
        hand.hears(|news| matches!(news, News::Said(line) if line.starts_with("restart deployment/web: done"))).await;
        // It is asked for nothing else meanwhile, and what is seen goes on.
        hand.asks(Intent::CarryOut { shown: plan(), typed: "again".into() });
        hand.asks(look(3, "web"));
        hand.asks(Intent::Pause);
        hand.hears(|news| matches!(news, News::Told(line) if line == "paused")).await;
        shared.reports.send_replace(Arc::new(scored().reports.clone()));
        hand.hears(|news| matches!(news, News::Seen(seen) if !seen.scored.rows.is_empty())).await;
        desk.end.notify_one();
        hand.hears(|news| matches!(news, News::Ended(Ok(Exit::Done)))).await;
        hand.asks(Intent::Decline { namespace: "shop".into(), target: "deployment/web".into() });
        hand.hears(|news| matches!(news, News::Told(line) if line == "declined deployment/web in shop")).await;
        hand.asks(Intent::Interrupt);
    });
    assert_eq!(ended.await, (End::Wanted(Exit::Interrupted), vec!["web".to_owned()]));
}

#[tokio::test(start_paused = true)]
async fn another_name_and_a_dry_run_are_refused() {
    let refused = async |hand: &Hand, typed: &str| {
        hand.asks(Intent::CarryOut { shown: plan(), typed: typed.into() });
        let News::Ended(Err(why)) = hand.hears(|news| matches!(news, News::Ended(_))).await else {
            unreachable!("it was waited for")
        };
        hand.asks(Intent::Quit);
        why
    };
    let said = std::sync::Mutex::new(Vec::new());
    let other = async |hand: &Hand, _: &FakeDesk, _: &Shared<'_>| {
        let why = refused(hand, "other").await;
        said.lock().unwrap().push(why);
    };
    staged(FakeRun(None), other).await;
    let dry = async |hand: &Hand, _: &FakeDesk, _: &Shared<'_>| {
        let why = refused(hand, "web").await;
        said.lock().unwrap().push(why);
    };
    assert_eq!(staged(FakeRun(Some("a dry run")), dry).await, (End::Wanted(Exit::Done), vec![]));
    assert_eq!(*said.lock().unwrap(), ["not approved: nothing was changed", "a dry run"]);
}

#[tokio::test(start_paused = true)]
async fn what_is_logged_and_proposed_is_seen() {
    let ended = staged(FakeRun(None), async |hand, _, shared| {
        shared.log.warn(crate::run::Part::Score, HOSTILE);
        shared.state.queue().set(vec![Waiting { reason: Some(HOSTILE.into()), ..waiting("cart", 0.9, 0) }]);
        shared.state.set(crate::run::Part::Score, state::Being::Paused);
        let seen = hand.hears(|news| matches!(news, News::Seen(seen) if seen.paused)).await;
        let News::Seen(seen) = seen else { unreachable!("it was waited for") };
        assert!(seen.log.lines[0].ends_with("score   x evil日本"), "{:?}", seen.log);
        assert_eq!(seen.waiting[0].reason.as_deref(), Some("x evil日本"));
        assert_eq!(seen.place, "no cluster: pod_metrics.csv");
        hand.asks(Intent::Quit);
    });
    assert_eq!(ended.await.0, End::Wanted(Exit::Done));
}
