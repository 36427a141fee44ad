//! The screen: what it shows, what keys do, and what no key can do.

mod driven;
mod keyed;
mod shown;

use std::sync::{Arc, OnceLock};

use guard_model::incident::Tracker;
use jiff::Timestamp;
use ratatui::Terminal;
use ratatui::backend::TestBackend;

use super::draw::draw;
use super::keys::Key;
use super::screen::{Event, Intent, News, Screen};
use super::snapshot::{Log, Scored, Snapshot, past};
use crate::approve::{self, Approval};
use crate::audit;
use crate::commands::demo;
use crate::console::capture;
use crate::desk::{Asked, Look, Proposer, Shown, fake};
use crate::outcome::Outcome;
use crate::outcome::StepOutcome;
use crate::plan::ActionKind;
use crate::run::history;
use crate::run::state::Waiting;

/// The recorded incident, scored once for all tests.
fn scored() -> Arc<Scored> {
    static SCORED: OnceLock<(Arc<Scored>, Timestamp)> = OnceLock::new();
    Arc::clone(&SCORED.get_or_init(recorded).0)
}

fn recorded() -> (Arc<Scored>, Timestamp) {
    let (console, _) = capture::console(80);
    let recorded = demo::incident(&console).unwrap();
    let scored = Scored::of(&recorded.scores.reports, &mut Tracker::default(), &std::collections::BTreeMap::new());
    (Arc::new(scored), recorded.at)
}

fn at(second: i64) -> Timestamp {
    // The recording ends at this time.
    let end: Timestamp = "2026-11-22T14:39:22Z".parse().unwrap();
    end + jiff::SignedDuration::from_secs(second)
}

fn waiting(name: &str, score: f64, second: i64) -> Waiting {
    Waiting {
        namespace: "shop".into(),
        target: format!("deployment/{name}"),
        action: format!("restart deployment/{name}"),
        score: Some(score),
        reason: Some("sends 2.8 MiB/s, expected 9 to 59 KiB/s".into()),
        at: at(second),
        command: format!("kubectl guard fix deployment/{name} -n shop"),
        by: Proposer::Guard,
        asked: None,
    }
}

fn done(id: &str, second: i64, outcome: Option<StepOutcome>, verified: Option<Outcome>) -> audit::Entry {
    audit::Entry {
        id: id.into(),
        at: at(second),
        context: "prod".into(),
        server: "https://10.0.0.1:6443".into(),
        identity: "alice".into(),
        action: "restart".into(),
        target: "deployment/cart".into(),
        namespace: "shop".into(),
        digest: "sha256:00".into(),
        approval: Approval::Typed { name: "cart".into(), on: Some(approve::Screen::Tui) },
        outcome,
        resized: Vec::new(),
        verified,
        closed: None,
    }
}

/// The incident with a proposal, a past and a log.
fn snapshot() -> Snapshot {
    let withdrawn = history::Entry {
        proposal: waiting("payment", 0.91, -3600),
        plan_id: "0f3a9c1b2d4e".into(),
        server: None,
        declined: None,
        withdrawn: Some(at(-3500)),
    };
    let written = || Some(StepOutcome::Done { generation: Some(2) });
    let entries = vec![
        done("aaaaaaaaaaaa", -7200, written(), Some(Outcome::Recovered)),
        done("bbbbbbbbbbbb", -1800, Some(StepOutcome::NotDone { why: "conflict".into() }), None),
        done("cccccccccccc", -60, None, None),
    ];
    let lines = [
        "2026-11-22T14:20:00.000Z info    run     kubectl-guard 0.1.0 runs: collect, score, propose",
        "2026-11-22T14:36:10.000Z warning score   shop/catalog-56d6c4f556-lpkcb is over its line 0.99",
        "2026-11-22T14:39:00.000Z error   collect the API server does not answer; again in 1s",
    ];
    Snapshot {
        at: at(0),
        started: at(-1160),
        place: "prod".into(),
        paused: false,
        failing: Vec::new(),
        scored: scored(),
        waiting: vec![
            Waiting {
                by: Proposer::Agent("night-watch".into()),
                asked: Some(Asked { action: ActionKind::Scale, replicas: Some(3) }),
                ..waiting("cart", 0.81, -20)
            },
            waiting("catalog", 0.99, -60),
        ],
        past: Arc::new(past(&[withdrawn], entries)),
        log: Arc::new(Log { before: 0, lines: lines.map(str::to_owned).to_vec(), folder: None }),
    }
}

/// A screen that has seen it.
fn screen(columns: u16, lines: u16) -> Screen {
    let mut screen = Screen { approves: true, ..Screen::default() };
    screen.take(Event::Size(columns, lines));
    hear(&mut screen, News::Seen(snapshot()));
    screen
}

fn hear(screen: &mut Screen, news: News) {
    assert_eq!(screen.take(Event::News(Box::new(news))), None);
}

fn press(screen: &mut Screen, key: Key) -> Option<Intent> {
    screen.take(Event::Key(key))
}

/// Presses these keys, of which none may ask for anything.
fn keys(screen: &mut Screen, text: &str) {
    for c in text.chars() {
        assert_eq!(press(screen, Key::Char(c)), None, "{c}");
    }
}

/// The plan to restart Deployment web in namespace shop.
fn plan() -> Box<Shown> {
    Box::new(fake::shown())
}

/// A screen with that plan open.
fn with_plan(columns: u16, lines: u16) -> Screen {
    let mut screen = screen(columns, lines);
    keys(&mut screen, "3");
    let Some(Intent::Look { number, .. }) = press(&mut screen, Key::Enter) else { panic!("no look") };
    hear(&mut screen, News::Looked(number, Ok(Look::Plan(plan()))));
    screen
}

fn drawn(screen: &Screen) -> Terminal<TestBackend> {
    let mut terminal = Terminal::new(TestBackend::new(screen.size.0, screen.size.1)).unwrap();
    terminal.draw(|frame| draw(screen, frame)).unwrap();
    terminal
}

fn text(screen: &Screen) -> String {
    drawn(screen).backend().to_string()
}

/// What a hostile workload may be called, say or log.
const HOSTILE: &str = "x\u{1b}]0;owned\u{7}\u{1b}[2J\u{1b}[1;1H\u{9b}31m\r\n\u{202e}evil\u{200b}日本";
