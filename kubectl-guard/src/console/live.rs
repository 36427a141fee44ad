//! A table at a terminal that changes while things are under way: a row for each that is, a line for each that has ended.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::time::Duration;

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::{Console, lock};

/// How often the ages of the rows are drawn anew.
const TICK: Duration = Duration::from_secs(1);
/// A name wider than this is cut, so that the words beside it stay on the screen.
const WIDEST: usize = 50;

/// Rows at the foot of stderr. Without a terminal there is nothing to see of them. Gone from the screen when dropped.
pub struct Live<'a> {
    console: &'a Console,
    screen: Option<MultiProgress>,
    width: usize,
    rows: Mutex<BTreeMap<usize, ProgressBar>>,
    foot: ProgressBar,
}

impl<'a> Live<'a> {
    /// A table of things with such names, `noun` above them; `target`: the terminal.
    pub(super) fn new<'n>(
        console: &'a Console,
        target: Option<ProgressDrawTarget>,
        noun: &'n str,
        names: impl Iterator<Item = &'n str>,
    ) -> Self {
        let width = names.chain([noun]).map(str::len).max().unwrap_or_default().min(WIDEST);
        let screen = target.map(MultiProgress::with_draw_target);
        let mut live = Self { console, screen, width, rows: Mutex::default(), foot: ProgressBar::hidden() };
        if let Some(screen) = live.screen.clone() {
            *lock(&console.live) = Some(screen.clone());
            screen.add(bar("{wide_msg}")).finish_with_message(format!("{noun:width$}    FOR  STATE"));
            live.foot = screen.add(bar("{wide_msg}"));
        }
        live
    }

    /// True if somebody sees the rows.
    pub fn is_shown(&self) -> bool {
        self.screen.is_some()
    }

    /// What is under way under this number is so now; its age counts from the first time.
    pub fn row(&self, number: usize, name: &str, state: &str) {
        let Some(screen) = &self.screen else { return };
        let mut rows = lock(&self.rows);
        let row = rows.entry(number).or_insert_with(|| {
            let row = screen.insert_before(&self.foot, bar("{prefix} {elapsed:>6}  {wide_msg}"));
            row.set_prefix(format!("{name:width$.width$}", width = self.width));
            row.enable_steady_tick(TICK);
            row
        });
        row.set_message(state.to_owned());
    }

    /// It has ended: its row goes.
    pub fn end(&self, number: usize) {
        if let Some((row, screen)) = lock(&self.rows).remove(&number).zip(self.screen.as_ref()) {
            row.finish_and_clear();
            screen.remove(&row);
        }
    }

    /// What is to be said of them all, under the rows.
    pub fn foot(&self, text: &str) {
        self.foot.set_message(text.to_owned());
    }
}

impl Drop for Live<'_> {
    fn drop(&mut self) {
        if let Some(screen) = &self.screen {
            *lock(&self.console.live) = None;
            for row in std::mem::take(&mut *lock(&self.rows)).into_values() {
                row.finish_and_clear();
            }
            self.foot.finish_and_clear();
            // A terminal that is gone shows nothing anyway.
            drop(screen.clear());
        }
    }
}

/// A row that counts nothing: only its words and its age.
fn bar(template: &str) -> ProgressBar {
    let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::hidden());
    match ProgressStyle::with_template(template) {
        Ok(style) => bar.with_style(style),
        Err(_) => bar,
    }
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::sync::Arc;

    use indicatif::TermLike;

    use super::super::capture;
    use super::*;

    /// A terminal of so many columns that wraps as terminals do: not before there is something to wrap.
    #[derive(Clone, Debug, Default)]
    struct Screen(Arc<Mutex<Grid>>);

    const COLUMNS: usize = 60;

    #[derive(Debug, Default)]
    struct Grid {
        lines: Vec<String>,
        row: usize,
        column: usize,
    }

    impl Grid {
        fn put(&mut self, letter: char) {
            if letter == '\r' {
                self.column = 0;
                return;
            }
            if self.column == COLUMNS {
                (self.row, self.column) = (self.row + 1, 0);
            }
            self.lines.resize(self.lines.len().max(self.row + 1), String::new());
            let line = &mut self.lines[self.row];
            // What is drawn here is cleared before, so that it always goes on at the end.
            line.truncate(self.column);
            line.push(letter);
            self.column += 1;
        }
    }

    impl Screen {
        /// What stands there; no row is older than a busy machine makes it.
        fn text(&self) -> String {
            let lines: Vec<String> = lock(&self.0).lines.iter().map(|line| line.trim_end().to_owned()).collect();
            let text = lines.join("\n").trim_end().to_owned();
            (1..10).fold(text, |text, seconds| text.replace(&format!(" {seconds}s  "), " 0s  "))
        }
    }

    impl TermLike for Screen {
        fn width(&self) -> u16 {
            COLUMNS as u16
        }

        fn move_cursor_up(&self, n: usize) -> io::Result<()> {
            let mut grid = lock(&self.0);
            grid.row = grid.row.saturating_sub(n);
            Ok(())
        }

        fn move_cursor_down(&self, n: usize) -> io::Result<()> {
            lock(&self.0).row += n;
            Ok(())
        }

        fn move_cursor_right(&self, _: usize) -> io::Result<()> {
            Ok(())
        }

        fn move_cursor_left(&self, _: usize) -> io::Result<()> {
            Ok(())
        }

        fn write_line(&self, text: &str) -> io::Result<()> {
            self.write_str(text)?;
            let mut grid = lock(&self.0);
            (grid.row, grid.column) = (grid.row + 1, 0);
            Ok(())
        }

        fn write_str(&self, text: &str) -> io::Result<()> {
            let mut grid = lock(&self.0);
            text.chars().for_each(|letter| grid.put(letter));
            Ok(())
        }

        fn clear_line(&self) -> io::Result<()> {
            let mut grid = lock(&self.0);
            let row = grid.row;
            grid.column = 0;
            if let Some(line) = grid.lines.get_mut(row) {
                line.clear();
            }
            Ok(())
        }

        fn flush(&self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn rows_come_change_and_go() {
        let (console, captured) = capture::console(60);
        let screen = Screen::default();
        // So many a second that each change is drawn.
        let target = ProgressDrawTarget::term_like_with_hz(Box::new(screen.clone()), 255);
        let live = Live::new(&console, Some(target), "POD", ["shop/web-a", "shop/web-b-with-a-name"].into_iter());
        live.row(1, "shop/web-a", "evicting");
        live.row(2, "shop/web-b-with-a-name", "waits for its disruption budget: it is spent, and this is long");
        live.foot("0 of 2 have gone");
        insta::assert_snapshot!(screen.text(), @r"
        POD                       FOR  STATE
        shop/web-a                 0s  evicting
        shop/web-b-with-a-name     0s  waits for its disruption budg
        0 of 2 have gone
        ");
        live.row(1, "shop/web-a", "ending");
        live.end(2);
        live.foot("1 of 2 have gone");
        insta::assert_snapshot!(screen.text(), @r"
        POD                       FOR  STATE
        shop/web-a                 0s  ending
        1 of 2 have gone
        ");
        console.note("shop/web-b-with-a-name: gone");
        assert_eq!(captured.err.text(), "shop/web-b-with-a-name: gone\n");
        drop(live);
        assert_eq!(screen.text(), "");
        console.note("after it");
    }

    #[test]
    fn without_a_terminal_nothing_is_seen_of_them() {
        let (console, captured) = capture::console(60);
        let live = console.live("POD", ["a"].into_iter());
        live.row(1, "a", "evicting");
        live.end(1);
        live.foot("1 of 1");
        assert!(!live.is_shown());
        drop(live);
        assert_eq!(captured.err.text(), "");
    }
}
