//! The screen as state: an [`Event`] in, at most one [`Intent`] out. Pure: nothing here draws, waits, reads or writes.

use std::str::FromStr as _;

use super::View;
use super::keys::{Command, Key, command};
use super::page::{Page, what};
use super::snapshot::{Past, Snapshot};
use super::table::{self, Line, plan_key};
use crate::desk::{Look, Shown};
use crate::exit::Exit;
use crate::plan::{TargetName, target_of};
use crate::sanitise;

/// Lines of the screen that are not the table's: two above it, its titles or heading, two below it.
pub const FRAME_LINES: usize = 5;
/// What a plan said while it was carried out is kept up to this many lines.
const MOST_SAID: usize = 500;
/// Nobody's name is longer.
const LONGEST_TYPED: usize = 253;

/// What happens to the screen.
#[derive(Clone, Debug)]
pub enum Event {
    /// A key was pressed.
    Key(Key),
    /// It has these columns and lines now.
    Size(u16, u16),
    /// There is something new.
    News(Box<News>),
}

/// Something new.
#[derive(Clone, Debug)]
pub enum News {
    /// What there is to show now.
    Seen(Snapshot),
    /// What came of the look that was asked for with this number.
    Looked(u64, Result<Look, String>),
    /// A line about the plan that is being carried out.
    Said(String),
    /// What carrying it out came to.
    Ended(Result<Exit, String>),
    /// A line for the person, such as what came of a pause.
    Told(String),
}

/// What is asked for, of whoever can do it.
#[derive(Clone, Debug, PartialEq)]
pub enum Intent {
    /// A plan for this target; the answer carries the number.
    Look {
        /// Its number.
        number: u64,
        /// The namespace.
        namespace: String,
        /// The target.
        target: TargetName,
    },
    /// To carry out what was shown; this name was typed for it.
    CarryOut {
        /// The plan as it was shown.
        shown: Box<Shown>,
        /// What was typed.
        typed: String,
    },
    /// To put the proposal for this target aside.
    Decline {
        /// Its namespace.
        namespace: String,
        /// Its target.
        target: String,
    },
    /// To let all parts of the run wait.
    Pause,
    /// To let them go on.
    Resume,
    /// To end.
    Quit,
    /// To end as by ^C.
    Interrupt,
    /// To stop, until the shell says otherwise.
    Suspend,
}

/// What is being typed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Typing {
    /// A filter; what it was before.
    Filter(String),
    /// The name that approves a plan, so far.
    Name(String),
}

/// What a yes is waited for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Question {
    /// To end while a plan is being carried out.
    Quit,
    /// To decline the proposal for a target of a namespace.
    Decline {
        /// The namespace.
        namespace: String,
        /// The target.
        target: String,
    },
}

impl Question {
    /// Its words.
    pub fn words(&self) -> String {
        match self {
            Question::Quit => "A plan is being carried out: it gets 4 s to end, then fix --resume. Quit? (y/n)".into(),
            Question::Decline { target, .. } => {
                format!(
                    "Decline the plan for {target}? It comes back when {target} has recovered and fails anew. (y/n)"
                )
            }
        }
    }
}

/// What is under way with a plan.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Work {
    /// Nothing.
    #[default]
    None,
    /// The look with this number.
    Looking(u64),
    /// One is being carried out.
    CarryingOut,
}

/// How a view is looked at.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct List {
    /// Only lines that hold this are shown.
    pub filter: String,
    /// Which of its orders it has.
    pub order: usize,
    /// The key of the line under the cursor; `None` is the first line, and in the log the last.
    pub cursor: Option<String>,
    /// Where that line was, for when it is gone.
    pub place: usize,
    /// The first line that is shown.
    pub top: usize,
}

/// All of it.
#[derive(Clone, Debug, Default)]
pub struct Screen {
    /// Columns and lines.
    pub size: (u16, u16),
    /// Colours are shown.
    pub colour: bool,
    /// Plans can be looked at and approved from here.
    pub approves: bool,
    /// What there is to show.
    pub seen: Snapshot,
    /// Which view is shown.
    pub view: View,
    /// How each view is looked at.
    pub lists: [List; View::ALL.len()],
    /// What is open over it.
    pub page: Option<Page>,
    /// The first line of the page that is shown.
    pub scroll: usize,
    /// What is being typed.
    pub typing: Option<Typing>,
    /// What a yes is waited for.
    pub question: Option<Question>,
    /// What is under way.
    pub work: Work,
    /// What was said while a plan was carried out.
    pub progress: Vec<String>,
    /// A line for the person.
    pub note: String,
    /// How many looks were asked for: the number of the last one.
    pub looks: u64,
}

impl Screen {
    /// Takes what happens, and says what it asks for.
    pub fn take(&mut self, event: Event) -> Option<Intent> {
        let intent = match event {
            Event::Key(key) => self.key(&key),
            Event::Size(columns, lines) => {
                self.size = (columns, lines);
                None
            }
            Event::News(news) => {
                self.hear(*news);
                None
            }
        };
        self.settle();
        intent
    }

    /// The lines of the view that is shown.
    pub fn lines(&self) -> Vec<Line> {
        let list = self.list();
        table::lines(&self.seen, self.view, list.order, &list.filter)
    }

    /// How the view that is shown is looked at.
    pub fn list(&self) -> &List {
        &self.lists[self.view.place()]
    }

    /// Where the cursor is among these lines.
    pub fn cursor(&self, lines: &[Line]) -> usize {
        let looked_at = self.list();
        let last = lines.len().saturating_sub(1);
        match &looked_at.cursor {
            Some(key) => lines.iter().position(|line| line.key == *key).unwrap_or(looked_at.place.min(last)),
            None if self.view == View::Log => last,
            None => 0,
        }
    }

    /// How many lines of a table or a page are shown.
    pub fn body(&self) -> usize {
        usize::from(self.size.1).saturating_sub(FRAME_LINES).max(1)
    }

    fn list_mut(&mut self) -> &mut List {
        &mut self.lists[self.view.place()]
    }

    /// Brings the cursor and what is shown back to where there are lines.
    fn settle(&mut self) {
        let (lines, body) = (self.lines(), self.body());
        let at = self.cursor(&lines);
        let list = self.list_mut();
        list.place = at;
        list.top = list.top.min(at).max((at + 1).saturating_sub(body)).min(lines.len().saturating_sub(1));
        // A line that has gone gives the cursor to the one in its place.
        if list.cursor.is_some() {
            list.cursor = lines.get(at).map(|line| line.key.clone());
        }
        self.scroll = self.scroll.min(self.last_scroll());
    }

    fn last_scroll(&self) -> usize {
        let Some(page) = &self.page else { return 0 };
        let lines = page.lines(&self.seen, &self.progress, usize::from(self.size.0));
        lines.len().saturating_sub(self.body())
    }

    fn hear(&mut self, news: News) {
        match news {
            News::Seen(seen) => self.seen = seen,
            News::Told(line) => self.note = sanitise::line(&line),
            News::Looked(number, look) => {
                // One that was left is answered in vain.
                if self.work == Work::Looking(number) {
                    self.work = Work::None;
                    self.looked(look);
                }
            }
            News::Said(line) => {
                let at_end = self.scroll >= self.last_scroll();
                self.progress.push(sanitise::line(&line));
                let over = self.progress.len().saturating_sub(MOST_SAID);
                self.progress.drain(..over);
                if self.page == Some(Page::Progress) && at_end {
                    self.scroll = self.last_scroll();
                }
            }
            News::Ended(end) => {
                self.work = Work::None;
                self.note = ended(&end);
                self.progress.push(self.note.clone());
                if self.page == Some(Page::Progress) {
                    self.scroll = self.last_scroll();
                }
                if self.question == Some(Question::Quit) {
                    self.question = None;
                }
            }
        }
    }

    fn looked(&mut self, look: Result<Look, String>) {
        self.scroll = 0;
        match look {
            Ok(Look::Plan(shown)) => self.page = Some(Page::Plan(shown)),
            Ok(Look::Nothing { why }) => (self.page, self.note) = (None, sanitise::line(&why)),
            Err(why) => (self.page, self.note) = (None, sanitise::line(&format!("no plan: {why}"))),
        }
    }

    fn key(&mut self, key: &Key) -> Option<Intent> {
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
        let Some((namespace, target)) = self.target() else {
            "guard can do nothing about this".clone_into(&mut self.note);
            return None;
        };
        self.looks += 1;
        let number = self.looks;
        self.turn_to(Page::Looking(format!("{target} in namespace {namespace}")));
        self.work = Work::Looking(number);
        Some(Intent::Look { number, namespace, target })
    }

    /// What is open or under the cursor, as something that can be fixed.
    fn target(&self) -> Option<(String, TargetName)> {
        let of_pod = |namespace: &str, name: &str| {
            let target = target_of(self.seen.scored.pod(namespace, name)?)?;
            Some((namespace.to_owned(), target))
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
            Some((namespace.clone(), TargetName::from_str(target).ok()?))
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

    fn proposal(&self, key: &str) -> Option<(String, TargetName)> {
        let waiting = self.seen.waiting.iter().find(|waiting| plan_key(&waiting.namespace, &waiting.target) == key)?;
        Some((waiting.namespace.clone(), TargetName::from_str(&waiting.target).ok()?))
    }

    fn decline(&mut self) {
        let key = match &self.page {
            Some(Page::Plan(shown)) => {
                shown.plan.target().map(|target| plan_key(&target.namespace, &target.to_string()))
            }
            None if self.view == View::Plans => self.under_cursor().map(|line| line.key),
            _ => None,
        };
        let waits = |key: &String| self.seen.waiting.iter().find(|w| plan_key(&w.namespace, &w.target) == *key);
        match key.as_ref().and_then(waits) {
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

/// What carrying out a plan came to, in words.
fn ended(end: &Result<Exit, String>) -> String {
    let words = match end {
        Ok(Exit::Done) => "done",
        Ok(Exit::NotRecovered) => "done, and not recovered",
        Ok(Exit::Partial) => "partly done: history (view 4) has the rest",
        Ok(Exit::Stale) => "not done: the cluster is no longer as the plan saw it",
        Ok(Exit::Declined) => "not approved: nothing was changed",
        Ok(Exit::Refused) => "refused by a guard rail: nothing was changed",
        Ok(Exit::NotPermitted) => "not permitted",
        Ok(Exit::Interrupted) => "interrupted",
        Ok(Exit::Error | Exit::Usage | Exit::Anomalies) => "failed",
        Err(why) => return sanitise::line(&format!("failed: {why}")),
    };
    words.to_owned()
}
