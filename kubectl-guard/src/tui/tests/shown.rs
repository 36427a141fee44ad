//! What is shown, at sizes that people have.

use guard_model::cause::{Cause, Reason};
use ratatui::backend::CrosstermBackend;
use ratatui::style::Color;

use super::super::page::Page;
use super::*;
use crate::sanitise;

fn at_view(view: char, columns: u16, lines: u16) -> Screen {
    let mut screen = screen(columns, lines);
    keys(&mut screen, &view.to_string());
    screen
}

#[test]
fn the_views_on_a_terminal_of_the_usual_size() {
    insta::assert_snapshot!("pods_80x24", text(&at_view('1', 80, 24)));
    insta::assert_snapshot!("incidents_80x24", text(&at_view('2', 80, 24)));
    insta::assert_snapshot!("plans_80x24", text(&at_view('3', 80, 24)));
    insta::assert_snapshot!("history_80x24", text(&at_view('4', 80, 24)));
    insta::assert_snapshot!("log_80x24", text(&at_view('5', 80, 24)));
}

#[test]
fn scores_that_nothing_newer_follows_are_told_by_their_age() {
    let header = |second: i64| {
        let mut screen = screen(80, 24);
        hear(&mut screen, News::Seen(Snapshot { at: at(second), ..snapshot() }));
        text(&screen).lines().next().unwrap().to_owned()
    };
    assert!(!header(60).contains("old"), "{}", header(60));
    assert!(header(3600).contains("10 pods, 1 over  scores 60m old  up 79m"), "{}", header(3600));
}

#[test]
fn a_large_terminal_has_all_columns() {
    insta::assert_snapshot!("pods_120x40", text(&at_view('1', 120, 40)));
    insta::assert_snapshot!("history_120x40", text(&at_view('4', 120, 40)));
}

#[test]
fn a_small_terminal_has_what_matters_most() {
    insta::assert_snapshot!("pods_40x15", text(&at_view('1', 40, 15)));
    insta::assert_snapshot!("incidents_40x15", text(&at_view('2', 40, 15)));
    insta::assert_snapshot!("plan_40x15", text(&with_plan(40, 15)));
}

#[test]
fn a_pod_an_incident_and_the_past_in_depth() {
    for (view, name) in [('1', "pod_120x40"), ('2', "incident_80x24"), ('4', "past_80x24")] {
        let (columns, lines) = if view == '1' { (120, 40) } else { (80, 24) };
        let mut screen = at_view(view, columns, lines);
        assert_eq!(press(&mut screen, Key::Enter), None);
        insta::assert_snapshot!(name, text(&screen));
    }
}

#[test]
fn a_plan_and_its_approval() {
    let mut screen = with_plan(80, 24);
    insta::assert_snapshot!("plan_80x24", text(&screen));
    keys(&mut screen, "a");
    keys(&mut screen, "we");
    insta::assert_snapshot!("plan_typed_80x24", text(&screen));
    keys(&mut screen, "b");
    assert!(matches!(press(&mut screen, Key::Enter), Some(Intent::CarryOut { .. })));
    hear(&mut screen, News::Said("written: deployment/web is restarted".into()));
    hear(&mut screen, News::Said("1 of 2 pods are new; score 0.81".into()));
    assert_eq!(press(&mut screen, Key::Char('q')), None);
    insta::assert_snapshot!("carrying_out_80x24", text(&screen));
}

#[test]
fn the_keys_are_shown() {
    let mut screen = screen(80, 32);
    keys(&mut screen, "?");
    insta::assert_snapshot!("help_80x32", text(&screen));
}

#[test]
fn nothing_is_told_where_there_is_nothing() {
    let mut screen = Screen::default();
    screen.take(Event::Size(80, 8));
    for (view, words) in [('1', "No pod"), ('2', "No incident"), ('3', "No plan"), ('4', "Nothing"), ('5', "Nothing")] {
        keys(&mut screen, &view.to_string());
        assert!(text(&screen).contains(words), "{}", text(&screen));
    }
}

#[test]
fn what_a_colour_says_a_word_says_too_and_without_colours_there_are_none() {
    let mut screen = screen(120, 24);
    let colours = |screen: &Screen| {
        let terminal = drawn(screen);
        let cells = &terminal.backend().buffer().content;
        cells.iter().filter(|cell| cell.fg != Color::Reset || cell.bg != Color::Reset).count()
    };
    assert_eq!(colours(&screen), 0);
    let plain = text(&screen);
    screen.colour = true;
    assert!(colours(&screen) > 0);
    assert_eq!(text(&screen), plain);
    assert!(plain.contains("warning"), "{plain}");
    assert!(text(&at_view('1', 40, 15)).contains("warning"), "on a small one too");
}

/// A snapshot in which every text is hostile.
fn hostile() -> Snapshot {
    let mut reports = scored().reports.clone();
    for pod in reports.iter_mut().flat_map(|report| &mut report.pods) {
        pod.name = format!("{HOSTILE}{}", pod.name);
        pod.namespace = HOSTILE.into();
        pod.reasons = vec![Reason { cause: Cause::Cpu, score: 0.9, text: HOSTILE.into() }];
    }
    let scored = Scored::of(&reports, &mut Tracker::default(), &std::collections::BTreeMap::new());
    let by = crate::desk::Proposer::Agent(HOSTILE.into());
    let evil = Waiting { by, reason: Some(HOSTILE.into()), action: HOSTILE.into(), ..waiting(HOSTILE, 0.9, 0) };
    let entry = audit::Entry { target: HOSTILE.into(), identity: HOSTILE.into(), ..done(HOSTILE, 0, None, None) };
    let withdrawn = history::Entry {
        proposal: evil.clone(),
        plan_id: HOSTILE.into(),
        server: None,
        declined: None,
        withdrawn: Some(at(0)),
    };
    Snapshot {
        scored: Arc::new(scored),
        waiting: vec![super::super::snapshot::clean(evil)],
        past: Arc::new(past(&[withdrawn], vec![entry])),
        ..snapshot()
    }
}

#[test]
fn no_name_of_the_cluster_can_move_the_cursor() {
    let mut screen = screen(100, 30);
    hear(&mut screen, News::Seen(hostile()));
    hear(&mut screen, News::Told(HOSTILE.into()));
    let mut shown = plan();
    shown.text = format!("Why\n  {HOSTILE}\n");
    let pages = [None, Some(Page::Plan(shown)), Some(Page::Progress), Some(Page::Words(sanitise::line(HOSTILE)))];
    hear(&mut screen, News::Said(HOSTILE.into()));
    for view in "12345".chars() {
        keys(&mut screen, &view.to_string());
        for open in [false, true] {
            if open {
                press(&mut screen, Key::Enter);
            }
            assert_harmless(&screen);
        }
    }
    for page in pages {
        screen.page = page;
        assert_harmless(&screen);
    }
}

/// What reaches the terminal holds no sequence but those of the drawing itself, and no character that hides.
fn assert_harmless(screen: &Screen) {
    let mut bytes = Vec::new();
    {
        let backend = CrosstermBackend::new(&mut bytes);
        let area = ratatui::layout::Rect::new(0, 0, screen.size.0, screen.size.1);
        let options = ratatui::TerminalOptions { viewport: ratatui::Viewport::Fixed(area) };
        let mut terminal = Terminal::with_options(backend, options).unwrap();
        terminal.draw(|frame| draw(screen, frame)).unwrap();
    }
    let text = String::from_utf8(bytes).unwrap();
    assert!(!text.contains("owned"), "{text:?}");
    for sequence in ["\u{1b}]", "\u{1b}[2J", "\u{7}", "\u{9b}", "\u{202e}", "\u{200b}", "\r", "\n"] {
        assert!(!text.contains(sequence), "{sequence:?} in {text:?}");
    }
}
