//! The screen as state: an [`Event`] in, at most one [`Intent`] out. Pure: nothing here draws, waits, reads or writes.

use super::View;
use super::page::Page;
use super::snapshot::Snapshot;
use super::table::{self, Line};
use crate::desk::Look;
use crate::exit::Exit;
use crate::sanitise;

mod event;
mod keyed;

pub use event::{Event, Intent, News, Question, Typing};

/// Lines of the screen that are not the table's: two above it, its titles or heading, two below it.
pub const FRAME_LINES: usize = 5;
/// What a plan said while it was carried out is kept up to this many lines.
const MOST_SAID: usize = 500;

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
