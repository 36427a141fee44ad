//! What keys do, and what no key can do.

use proptest::prelude::*;

use super::super::View;
use super::super::keys::{BINDINGS, Command};
use super::super::page::Page;
use super::super::screen::{Question, Work};
use super::*;
use crate::desk::Shown;
use crate::exit::Exit;
use crate::plan::examples::pod_plan;
use crate::plan::{ActionKind, TargetName};

fn selected(screen: &Screen) -> String {
    let lines = screen.lines();
    lines[screen.cursor(&lines)].cells[1].text.clone()
}

#[test]
fn every_key_of_the_table_does_what_the_help_says() {
    for binding in &BINDINGS {
        for key in binding.keys {
            let mut screen = screen(80, 24);
            screen.take(Event::Key(Key::Down));
            let before = screen.clone();
            let intent = press(&mut screen, key.clone());
            let lines = before.lines();
            let (was, is) = (before.cursor(&lines), screen.cursor(&lines));
            let expected = match binding.command {
                Command::Down => is == was + 1,
                Command::Up => is + 1 == was,
                Command::PageDown | Command::Last => is == lines.len() - 1,
                Command::PageUp | Command::First => is == 0,
                Command::Show(view) => screen.view == view,
                Command::Next => screen.view == View::Incidents,
                Command::Previous => screen.view == View::Log,
                Command::Open => matches!(screen.page, Some(Page::Pod { .. })),
                Command::Back | Command::Decline => screen.page.is_none() && intent.is_none(),
                Command::Filter => screen.typing.is_some(),
                Command::Sort => screen.list().order == 1,
                Command::Fix => matches!(intent, Some(Intent::Look { .. })),
                Command::Pause => intent == Some(Intent::Pause),
                Command::Help => screen.page == Some(Page::Help),
                Command::Quit => intent == Some(Intent::Quit),
                Command::Interrupt => intent == Some(Intent::Interrupt),
                Command::Suspend => intent == Some(Intent::Suspend),
            };
            assert!(expected, "{key:?}: {intent:?}");
        }
    }
}

#[test]
fn the_cursor_stays_with_its_pod_when_the_order_changes() {
    let mut screen = screen(80, 24);
    keys(&mut screen, "jj");
    let pod = selected(&screen);
    keys(&mut screen, "s");
    assert_eq!(selected(&screen), pod);
    let names: Vec<String> = screen.lines().iter().map(|line| line.cells[1].text.clone()).collect();
    assert!(names.is_sorted(), "{names:?}");
    keys(&mut screen, "gG");
    assert_eq!(selected(&screen), *names.last().unwrap());
}

#[test]
fn a_filter_is_kept_by_enter_and_dropped_by_escape() {
    let mut screen = screen(80, 24);
    let all = screen.lines().len();
    keys(&mut screen, "/CATA");
    let found = screen.lines();
    assert!(!found.is_empty() && found.len() < all, "{found:?}");
    assert!(found.iter().all(|line| line.cells[1].text.contains("catalog")));
    assert_eq!(press(&mut screen, Key::Esc), None);
    assert_eq!(screen.lines().len(), all, "as it was");
    keys(&mut screen, "/cata");
    press(&mut screen, Key::Enter);
    // What is a key elsewhere is one again.
    keys(&mut screen, "j");
    assert_eq!(screen.lines().len(), found.len());
    press(&mut screen, Key::Esc);
    assert_eq!(screen.lines().len(), all);
    keys(&mut screen, "/");
    press(&mut screen, Key::Pasted("cata\nq\u{1b}".into()));
    assert_eq!(screen.list().filter, "cata q", "what is pasted is text");
}

#[test]
fn the_fix_of_a_pod_is_the_one_of_its_workload() {
    let mut screen = screen(80, 24);
    let target: TargetName = "deployment/catalog".parse().unwrap();
    let expected = Intent::Look { number: 1, namespace: "shop".into(), target, asked: None };
    assert_eq!(press(&mut screen, Key::Char('f')), Some(expected));
    assert_eq!(press(&mut screen, Key::Char('f')), None, "one at a time");
    press(&mut screen, Key::Esc);
    hear(&mut screen, News::Looked(1, Ok(Look::Plan(plan()))));
    assert_eq!((&screen.page, screen.work), (&None, Work::None), "it was left before it came");
    press(&mut screen, Key::Enter);
    assert!(matches!(press(&mut screen, Key::Char('a')), Some(Intent::Look { number: 2, .. })));
    hear(&mut screen, News::Looked(2, Ok(Look::Nothing { why: "it is healthy".into() })));
    assert_eq!(screen.note, "it is healthy");
    screen.approves = false;
    assert_eq!(press(&mut screen, Key::Char('f')), None);
    assert_eq!(screen.note, "there is no cluster in this run, and so nothing to fix");
}

#[test]
fn a_proposal_opens_as_it_was_proposed() {
    let mut screen = screen(80, 24);
    keys(&mut screen, "3");
    let mut asked = Vec::new();
    for _ in 0..2 {
        let Some(Intent::Look { target, asked: what, .. }) = press(&mut screen, Key::Enter) else { panic!("no look") };
        asked.push((target.to_string(), what));
        press(&mut screen, Key::Esc);
        press(&mut screen, Key::Down);
    }
    let scale = Asked { action: ActionKind::Scale, replicas: Some(3) };
    assert_eq!(asked, [("deployment/catalog".into(), None), ("deployment/cart".into(), Some(scale))]);
}

#[test]
fn only_the_name_approves() {
    for typed in ["", "y", "yes", "we", "webb", "WEB", "web ", "shop", "deployment/web"] {
        let mut screen = with_plan(80, 24);
        keys(&mut screen, "a");
        keys(&mut screen, typed);
        assert_eq!(press(&mut screen, Key::Enter), None, "{typed:?}");
        assert_eq!(screen.note, "that is not its name: nothing was approved");
        assert!(matches!(screen.page, Some(Page::Plan(_))));
    }
    let mut screen = with_plan(80, 24);
    keys(&mut screen, "fwen");
    press(&mut screen, Key::Backspace);
    keys(&mut screen, "b");
    let Some(Intent::CarryOut { shown, typed }) = press(&mut screen, Key::Enter) else { panic!("not approved") };
    assert_eq!((shown, typed.as_str()), (plan(), "web"));
    assert_eq!((screen.work, &screen.page), (Work::CarryingOut, &Some(Page::Progress)));
}

#[test]
fn a_plan_that_a_guard_rail_refuses_cannot_be_approved() {
    let mut screen = with_plan(80, 24);
    let Some(Page::Plan(shown)) = &mut screen.page else { panic!("no plan") };
    shown.plan.guard_rails[0].state = crate::plan::RailState::Refused;
    keys(&mut screen, "a");
    assert_eq!(screen.typing, None);
    assert!(screen.note.starts_with("a guard rail refuses it: "), "{}", screen.note);
}

#[test]
fn the_screen_lives_on_while_a_plan_is_carried_out_and_asks_before_it_ends() {
    let mut screen = with_plan(80, 24);
    keys(&mut screen, "aweb");
    assert!(matches!(press(&mut screen, Key::Enter), Some(Intent::CarryOut { .. })));
    keys(&mut screen, "1jj4");
    assert!(screen.view == View::History && screen.page.is_none());
    keys(&mut screen, "1f");
    assert_eq!(screen.page, Some(Page::Progress), "there is one already");
    for quit in [Key::Char('q'), Key::Ctrl('c')] {
        assert_eq!(press(&mut screen, quit), None);
        assert_eq!(screen.question, Some(Question::Quit));
        keys(&mut screen, "n");
        assert_eq!(screen.question, None);
    }
    keys(&mut screen, "q");
    assert_eq!(press(&mut screen, Key::Char('y')), Some(Intent::Quit));
    press(&mut screen, Key::Ctrl('c'));
    assert_eq!(press(&mut screen, Key::Ctrl('c')), Some(Intent::Interrupt), "the second time it is meant");
    hear(&mut screen, News::Ended(Ok(Exit::Done)));
    assert_eq!(screen.note, "done");
    assert_eq!(press(&mut screen, Key::Char('q')), Some(Intent::Quit));
}

#[test]
fn a_proposal_is_declined_after_a_yes() {
    let mut screen = screen(80, 24);
    keys(&mut screen, "3d");
    assert_eq!(screen.question.as_ref().map(|_| ()), Some(()));
    keys(&mut screen, "n");
    keys(&mut screen, "d");
    let declined = Intent::Decline { namespace: "shop".into(), target: "deployment/catalog".into() };
    assert_eq!(press(&mut screen, Key::Char('y')), Some(declined), "the one with the highest score");
}

/// The plan that is shown for a workload can be to evict one pod of it: what waits is the workload's all the same.
#[test]
fn a_plan_for_one_pod_is_declined_for_the_workload_that_waits() {
    let mut screen = screen(80, 24);
    let of = ("shop".to_owned(), "deployment/catalog".to_owned());
    let shown = Shown { of, ..Shown::new(pod_plan(), Vec::new(), None) };
    screen.page = Some(Page::Plan(Box::new(shown)));
    keys(&mut screen, "d");
    let declined = Intent::Decline { namespace: "shop".into(), target: "deployment/catalog".into() };
    assert_eq!(press(&mut screen, Key::Char('y')), Some(declined));
}

#[test]
fn the_log_goes_on_by_itself_until_somebody_looks_back() {
    let mut screen = screen(80, 24);
    keys(&mut screen, "5");
    let more = |screen: &mut Screen, line: &str| {
        let mut seen = screen.seen.clone();
        Arc::make_mut(&mut seen.log).lines.push(line.into());
        hear(screen, News::Seen(seen));
        let lines = screen.lines();
        screen.cursor(&lines)
    };
    assert_eq!(more(&mut screen, "x"), 3);
    keys(&mut screen, "k");
    assert_eq!(more(&mut screen, "y"), 2);
    keys(&mut screen, "G");
    assert_eq!(more(&mut screen, "z"), 5);
}

#[test]
fn a_line_that_has_gone_leaves_the_cursor_in_its_place() {
    let mut screen = screen(80, 24);
    keys(&mut screen, "3j");
    let mut seen = screen.seen.clone();
    seen.waiting.retain(|waiting| waiting.target != "deployment/cart");
    hear(&mut screen, News::Seen(seen));
    let lines = screen.lines();
    assert_eq!((screen.cursor(&lines), lines.len()), (0, 1));
}

fn any_key(letters: &'static str) -> impl Strategy<Value = Event> {
    use Key::{BackTab, Backspace, Char, Ctrl, Down, End, Enter, Esc, Home, PageDown, PageUp, Tab, Up};
    let named =
        [Enter, Enter, Esc, Tab, BackTab, Backspace, Up, Down, PageUp, PageDown, Home, End, Ctrl('c'), Ctrl('u')];
    let letters: Vec<Key> = letters.chars().map(Char).collect();
    prop_oneof![proptest::sample::select(letters), proptest::sample::select(named.to_vec())].prop_map(Event::Key)
}

fn any_news() -> impl Strategy<Value = Event> {
    let news = prop_oneof![
        (0u64..4).prop_map(|number| News::Looked(number, Ok(Look::Plan(plan())))),
        (0u64..4).prop_map(|number| News::Looked(number, Err("no".into()))),
        Just(News::Said("a line".into())),
        Just(News::Ended(Ok(Exit::Done))),
        Just(News::Ended(Err("lost".into()))),
        Just(News::Seen(Snapshot::default())),
        Just(News::Seen(snapshot())),
    ];
    news.prop_map(|news| Event::News(Box::new(news)))
}

fn any_event(letters: &'static str) -> impl Strategy<Value = Event> {
    prop_oneof![
        12 => any_key(letters),
        2 => any_news(),
        1 => (0u16..130, 0u16..45).prop_map(|(columns, lines)| Event::Size(columns, lines)),
    ]
}

/// All that have a meaning, and those of the name.
const LETTERS: &str = "jkgG12345/sfadp?hqynweb 日\u{301}";
/// The same without one that the name has.
const WITHOUT_B: &str = "jkgG12345/sfadp?hqynwe 日\u{301}";

proptest! {
    #![proptest_config(ProptestConfig::with_cases(if cfg!(debug_assertions) { 150 } else { 2000 }))]

    #[test]
    fn no_keys_and_sizes_make_it_panic_and_none_but_the_name_approves(
        events in prop::collection::vec(any_event(LETTERS), 0..60),
    ) {
        let mut screen = with_plan(80, 24);
        for event in events {
            let entered = matches!(event, Event::Key(Key::Enter));
            let before = screen.clone();
            let intent = screen.take(event);
            if let Some(Intent::CarryOut { typed, shown }) = intent {
                prop_assert!(entered && typed == "web" && before.page == Some(Page::Plan(shown)));
                prop_assert_eq!(before.typing, Some(super::super::screen::Typing::Name("web".into())));
                prop_assert_eq!(before.work, Work::None);
            }
            drawn(&screen);
        }
    }

    #[test]
    fn without_a_letter_of_the_name_nothing_is_ever_approved(
        events in prop::collection::vec(any_event(WITHOUT_B), 0..80),
    ) {
        let mut screen = with_plan(80, 24);
        for event in events {
            let approves = matches!(screen.take(event), Some(Intent::CarryOut { .. }));
            prop_assert!(!approves);
        }
    }
}
