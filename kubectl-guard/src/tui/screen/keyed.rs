//! What the keys do.

use std::str::FromStr as _;

use super::{Intent, Question, Screen, Typing, Work};
use crate::desk::Asked;
use crate::plan::{TargetName, target_of};
use crate::sanitise;
use crate::tui::View;
use crate::tui::keys::{Command, Key, command};
use crate::tui::page::{Page, what};
use crate::tui::snapshot::Past;
use crate::tui::table::{self, Line, plan_key};

/// Nobody's name is longer.
const LONGEST_TYPED: usize = 253;

impl Screen {
    /// Takes a key, and says what it asks for.
    pub(super) fn key(&mut self, key: &Key) -> Option<Intent> {
        match (key, command(key)) {
            (_, Some(Command::Interrupt)) => return self.end(Intent::Interrupt),
            (_, Some(Command::Suspend)) => return Some(Intent::Suspend),
            _ => {}
        }
        if let Some(question) = self.question.take() {
            return self.answer(question, key);
        }
        if self.typing.is_some() {
            return self.typed(key);
        }
        self.note.clear();
        self.command(command(key)?)
    }

    /// Ends at once, or asks first; a second time it is meant.
    fn end(&mut self, how: Intent) -> Option<Intent> {
        if self.work == Work::CarryingOut && self.question != Some(Question::Quit) {
            (self.question, self.typing) = (Some(Question::Quit), None);
            return None;
        }
        Some(how)
    }

    fn answer(&mut self, question: Question, key: &Key) -> Option<Intent> {
        if *key != Key::Char('y') {
            return None;
        }
        Some(match question {
            Question::Quit => Intent::Quit,
            Question::Decline { namespace, target } => {
                if matches!(self.page, Some(Page::Plan(_))) {
                    self.page = None;
                }
                Intent::Decline { namespace, target }
            }
        })
    }

    fn typed(&mut self, key: &Key) -> Option<Intent> {
        match self.typing.take()? {
            Typing::Filter(before) => {
                self.typed_filter(before, key);
                None
            }
            Typing::Name(name) => self.typed_name(name, key),
        }
    }

    fn typed_filter(&mut self, before: String, key: &Key) {
        let filter = &mut self.lists[self.view.place()].filter;
        match key {
            Key::Enter => return,
            Key::Esc => {
                *filter = before;
                return;
            }
            key => edit(filter, key),
        }
        self.typing = Some(Typing::Filter(before));
    }

    /// The only way to [`Intent::CarryOut`]: Enter, after the name of the target of the plan that is shown.
    fn typed_name(&mut self, mut name: String, key: &Key) -> Option<Intent> {
        let Some(Page::Plan(shown)) = &self.page else { return None };
        match key {
            Key::Esc => {
                "nothing was approved".clone_into(&mut self.note);
                None
            }
            Key::Enter if self.work != Work::None => None,
            Key::Enter if shown.plan.target().is_some_and(|target| target.name == name) => {
                let shown = shown.clone();
                self.work = Work::CarryingOut;
                self.progress = vec![format!("approved: {}", what(&shown))];
                (self.page, self.scroll) = (Some(Page::Progress), 0);
                Some(Intent::CarryOut { shown, typed: name })
            }
            Key::Enter => {
                "that is not its name: nothing was approved".clone_into(&mut self.note);
                None
            }
            Key::Up | Key::Down | Key::PageUp | Key::PageDown => {
                self.typing = Some(Typing::Name(name));
                self.command(command(key)?)
            }
            key => {
                edit(&mut name, key);
                self.typing = Some(Typing::Name(name));
                None
            }
        }
    }

    fn command(&mut self, command: Command) -> Option<Intent> {
        match command {
            Command::Down => self.step(1),
            Command::Up => self.step(-1),
            Command::PageDown => self.step(self.page_of_lines()),
            Command::PageUp => self.step(-self.page_of_lines()),
            Command::First => self.step(isize::MIN),
            Command::Last => self.step(isize::MAX),
            Command::Show(view) => self.show(view),
            Command::Next => self.show(View::ALL[(self.view.place() + 1) % View::ALL.len()]),
            Command::Previous => self.show(View::ALL[(self.view.place() + View::ALL.len() - 1) % View::ALL.len()]),
            Command::Open => return self.open(),
            Command::Back => self.back(),
            Command::Filter if self.page.is_none() => self.typing = Some(Typing::Filter(self.list().filter.clone())),
            Command::Sort if self.page.is_none() => {
                let orders = table::orders(self.view).len();
                let list = self.list_mut();
                list.order = (list.order + 1) % orders;
            }
            Command::Filter | Command::Sort => {}
            Command::Fix => return self.fix(),
            Command::Decline => self.decline(),
            Command::Pause if self.seen.paused => return Some(Intent::Resume),
            Command::Pause => return Some(Intent::Pause),
            Command::Help => self.turn_to(Page::Help),
            Command::Quit => return self.end(Intent::Quit),
            Command::Interrupt => return self.end(Intent::Interrupt),
            Command::Suspend => return Some(Intent::Suspend),
        }
        None
    }

    fn page_of_lines(&self) -> isize {
        isize::try_from(self.body().saturating_sub(1).max(1)).unwrap_or(isize::MAX)
    }

    fn step(&mut self, by: isize) {
        if self.page.is_some() {
            self.scroll = self.scroll.saturating_add_signed(by).min(self.last_scroll());
            return;
        }
        let lines = self.lines();
        let last = lines.len().saturating_sub(1);
        let at = self.cursor(&lines).saturating_add_signed(by).min(last);
        // At its end the log goes on by itself.
        let follows = self.view == View::Log && at == last;
        self.list_mut().cursor = lines.get(at).filter(|_| !follows).map(|line| line.key.clone());
    }

    fn show(&mut self, view: View) {
        self.leave();
        self.view = view;
    }

    fn turn_to(&mut self, page: Page) {
        self.leave();
        self.page = Some(page);
    }

    /// A look that is left is no longer waited for.
    fn leave(&mut self) {
        if matches!(self.work, Work::Looking(_)) {
            self.work = Work::None;
        }
        (self.page, self.scroll) = (None, 0);
    }

    fn back(&mut self) {
        if self.page.is_some() {
            self.leave();
        } else {
            self.list_mut().filter.clear();
        }
    }

    fn under_cursor(&self) -> Option<Line> {
        let mut lines = self.lines();
        let at = self.cursor(&lines);
        (at < lines.len()).then(|| lines.swap_remove(at))
    }

    fn open(&mut self) -> Option<Intent> {
        if self.page.is_some() || self.view == View::Plans {
            return if self.page.is_none() { self.fix() } else { None };
        }
        let line = self.under_cursor()?;
        let page = match self.view {
            View::Pods => {
                let row =
                    self.seen.scored.rows.iter().find(|row| table::pod_key(&row.namespace, &row.name) == line.key);
                row.map(|row| Page::Pod { namespace: row.namespace.clone(), name: row.name.clone() })?
            }
            View::Incidents => Page::Incident(line.key),
            View::History => Page::Past(line.key),
            View::Log | View::Plans => Page::Words(line.cells.first()?.text.clone()),
        };
        self.turn_to(page);
        None
    }

    /// From a table: the plan for what is under the cursor. From a plan: its approval begins.
    fn fix(&mut self) -> Option<Intent> {
        if let Some(Page::Plan(shown)) = &self.page {
            match shown.plan.refused_by() {
                Some(rail) => {
                    self.note = sanitise::line(&format!("a guard rail refuses it: {}", rail.detail));
                }
                None => self.typing = Some(Typing::Name(String::new())),
            }
            return None;
        }
        match self.work {
            Work::CarryingOut => {
                self.turn_to(Page::Progress);
                return None;
            }
            Work::Looking(_) => return None,
            Work::None => {}
        }
        if !self.approves {
            "there is no cluster in this run, and so nothing to fix".clone_into(&mut self.note);
            return None;
        }
        let Some((namespace, target, asked)) = self.target() else {
            "guard can do nothing about this".clone_into(&mut self.note);
            return None;
        };
        self.looks += 1;
        let number = self.looks;
        self.turn_to(Page::Looking(format!("{target} in namespace {namespace}")));
        self.work = Work::Looking(number);
        Some(Intent::Look { number, namespace, target, asked })
    }

    /// What is open or under the cursor, as something that can be fixed, and how if that is proposed.
    fn target(&self) -> Option<(String, TargetName, Option<Asked>)> {
        let of_pod = |namespace: &str, name: &str| {
            let pod = self.seen.scored.pod(namespace, name)?;
            let target = target_of(pod.workload.as_ref(), &pod.name)?;
            Some((namespace.to_owned(), target, None))
        };
        let of_incident = |id: &str| {
            let known = self.seen.scored.incidents.iter().find(|known| known.incident.id == id)?;
            let first = known.incident.pods.first()?;
            of_pod(&first.namespace, &first.pod)
        };
        let of_past = |key: &str| {
            let (namespace, target) = match self.seen.past.iter().find(|past| past.key() == key)? {
                Past::Proposed(entry) => (&entry.proposal.namespace, &entry.proposal.target),
                Past::Done(entry) => (&entry.namespace, &entry.target),
            };
            Some((namespace.clone(), TargetName::from_str(target).ok()?, None))
        };
        match &self.page {
            Some(Page::Pod { namespace, name }) => return of_pod(namespace, name),
            Some(Page::Incident(id)) => return of_incident(id),
            Some(Page::Past(key)) => return of_past(key),
            Some(_) => return None,
            None => {}
        }
        let line = self.under_cursor()?;
        match self.view {
            View::Pods => line.key.split_once('/').and_then(|(namespace, name)| of_pod(namespace, name)),
            View::Incidents => of_incident(&line.key),
            View::Plans => self.proposal(&line.key),
            View::History => of_past(&line.key),
            View::Log => None,
        }
    }

    fn proposal(&self, key: &str) -> Option<(String, TargetName, Option<Asked>)> {
        let waiting = self.seen.waiting.iter().find(|waiting| plan_key(waiting) == key)?;
        Some((waiting.namespace.clone(), TargetName::from_str(&waiting.target).ok()?, waiting.asked.clone()))
    }

    fn decline(&mut self) {
        let all = &self.seen.waiting;
        let waiting = match &self.page {
            Some(Page::Plan(shown)) => all.iter().find(|each| each.is_for(&shown.of)),
            None if self.view == View::Plans => {
                self.under_cursor().and_then(|line| all.iter().find(|each| plan_key(each) == line.key))
            }
            _ => None,
        };
        match waiting {
            Some(waiting) => {
                let (namespace, target) = (waiting.namespace.clone(), waiting.target.clone());
                self.question = Some(Question::Decline { namespace, target });
            }
            None => "only a plan that waits (view 3) can be declined".clone_into(&mut self.note),
        }
    }
}

/// What a key does to a text that is being typed.
fn edit(text: &mut String, key: &Key) {
    match key {
        Key::Char(c) if text.chars().count() < LONGEST_TYPED => text.push(*c),
        Key::Pasted(pasted) => {
            let room = LONGEST_TYPED.saturating_sub(text.chars().count());
            text.extend(sanitise::line(pasted).trim().chars().take(room));
        }
        Key::Backspace => drop(text.pop()),
        Key::Ctrl('u') => text.clear(),
        _ => {}
    }
}
