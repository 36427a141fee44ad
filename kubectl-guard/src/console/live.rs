//! A table at a terminal that changes while things are under way: a row for each that is, a line for each that has ended.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::{Console, lock};

/// How often the ages of the rows are drawn anew.
const TICK: Duration = Duration::from_secs(1);
/// A name wider than this is cut, so that the words beside it stay on the screen.
const WIDEST: usize = 50;

/// Lines of the table that are no rows, and one that stays free.
const OTHER_LINES: usize = 3;

/// Rows at the foot of stderr. Without a terminal there is nothing to see of them. Gone from the screen when dropped.
pub struct Live<'a> {
    console: &'a Console,
    screen: Option<MultiProgress>,
    /// How many lines the terminal has now.
    height: fn() -> usize,
    width: usize,
    rows: Mutex<BTreeMap<usize, Row>>,
    summary: ProgressBar,
}

/// Something that is under way.
struct Row {
    name: String,
    state: String,
    /// It goes on only when something else happens.
    waits: bool,
    since: Instant,
    /// Its line, where there is room for it.
    bar: Option<ProgressBar>,
}

impl<'a> Live<'a> {
    /// A table of things with such names, `noun` above them; `target`: the terminal, and how high that is.
    pub(super) fn new<'n>(
        console: &'a Console,
        target: Option<ProgressDrawTarget>,
        height: fn() -> usize,
        noun: &'n str,
        names: impl Iterator<Item = &'n str>,
    ) -> Self {
        let width = names.chain([noun]).map(str::len).max().unwrap_or_default().min(WIDEST);
        let screen = target.map(MultiProgress::with_draw_target);
        let mut live = Self { console, screen, height, width, rows: Mutex::default(), summary: ProgressBar::hidden() };
        if let Some(screen) = live.screen.clone() {
            *lock(&console.live) = Some(screen.clone());
            // What does not fit on the screen is cut at its end: what counts for all of them stands first.
            live.summary = screen.add(bar("{wide_msg}"));
            screen.add(bar("{wide_msg}")).finish_with_message(format!("{noun:width$}    FOR  STATE"));
        }
        live
    }

    /// What is under way under this number is so now; its age counts from the first time. True if somebody sees its row.
    pub fn row(&self, number: usize, name: &str, state: &str, waits: bool) -> bool {
        let mut rows = lock(&self.rows);
        let new = || Row {
            name: format!("{name:width$.width$}", width = self.width),
            state: String::new(),
            waits,
            since: Instant::now(),
            bar: None,
        };
        let row = rows.entry(number).or_insert_with(new);
        (row.state, row.waits) = (state.to_owned(), waits);
        self.arrange(&mut rows);
        rows.get(&number).is_some_and(|row| row.bar.is_some())
    }

    /// It has ended: its row goes.
    pub fn end(&self, number: usize) {
        let mut rows = lock(&self.rows);
        if let Some(mut row) = rows.remove(&number) {
            self.hide(&mut row);
            self.arrange(&mut rows);
        }
    }

    /// What is to be said of them all, above the rows.
    pub fn summary(&self, text: &str) {
        let hidden = lock(&self.rows).values().filter(|row| row.bar.is_none()).count();
        let more = if hidden > 0 { format!("; {hidden} of them not shown") } else { String::new() };
        self.summary.set_message(format!("{text}{more}"));
    }

    /// Shows as many rows as there is room for, those that wait before all others: what keeps them is what one looks for.
    fn arrange(&self, rows: &mut BTreeMap<usize, Row>) {
        let Some(screen) = &self.screen else { return };
        let mut shown: Vec<usize> = rows.keys().copied().collect();
        // One that is shown stays so: nothing else tells of it.
        shown.sort_by_key(|number| rows.get(number).map(|row| (!row.waits, row.bar.is_none())));
        shown.truncate((self.height)().saturating_sub(OTHER_LINES).max(1));
        rows.iter_mut().filter(|(number, _)| !shown.contains(number)).for_each(|(_, row)| self.hide(row));
        for row in rows.iter_mut().filter(|(number, _)| shown.contains(number)).map(|(_, row)| row) {
            let bar = row.bar.get_or_insert_with(|| {
                let bar = screen.add(bar("{prefix} {elapsed:>6}  {wide_msg}").with_elapsed(row.since.elapsed()));
                bar.set_prefix(row.name.clone());
                bar.enable_steady_tick(TICK);
                bar
            });
            if bar.message() != row.state {
                bar.set_message(row.state.clone());
            }
        }
    }

    fn hide(&self, row: &mut Row) {
        if let Some((bar, screen)) = row.bar.take().zip(self.screen.as_ref()) {
            bar.finish_and_clear();
            screen.remove(&bar);
        }
    }
}

impl Drop for Live<'_> {
    fn drop(&mut self) {
        if let Some(screen) = &self.screen {
            *lock(&self.console.live) = None;
            for bar in std::mem::take(&mut *lock(&self.rows)).into_values().filter_map(|row| row.bar) {
                bar.finish_and_clear();
            }
            self.summary.finish_and_clear();
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

    /// A table on this screen, so many lines high.
    fn table<'a>(console: &'a Console, screen: &Screen, height: fn() -> usize, names: &[&str]) -> Live<'a> {
        // So many a second that each change is drawn.
        let target = ProgressDrawTarget::term_like_with_hz(Box::new(screen.clone()), 255);
        Live::new(console, Some(target), height, "POD", names.iter().copied())
    }

    #[test]
    fn rows_come_change_and_go() {
        let (console, captured) = capture::console(60);
        let screen = Screen::default();
        let live = table(&console, &screen, || 24, &["shop/web-a", "shop/web-b-with-a-name"]);
        assert!(live.row(1, "shop/web-a", "evicting", false));
        let waits = "waits for its disruption budget: it is spent, and this is long";
        assert!(live.row(2, "shop/web-b-with-a-name", waits, true));
        live.summary("0 of 2 have gone");
        insta::assert_snapshot!(screen.text(), @r"
        0 of 2 have gone
        POD                       FOR  STATE
        shop/web-a                 0s  evicting
        shop/web-b-with-a-name     0s  waits for its disruption budg
        ");
        live.row(1, "shop/web-a", "ending", false);
        live.end(2);
        live.summary("1 of 2 have gone");
        insta::assert_snapshot!(screen.text(), @r"
        1 of 2 have gone
        POD                       FOR  STATE
        shop/web-a                 0s  ending
        ");
        console.note("shop/web-b-with-a-name: gone");
        assert_eq!(captured.err.text(), "shop/web-b-with-a-name: gone\n");
        drop(live);
        assert_eq!(screen.text(), "");
        console.note("after it");
    }

    #[test]
    fn of_more_rows_than_have_room_those_that_wait_are_shown() {
        let (console, _) = capture::console(60);
        let screen = Screen::default();
        let live = table(&console, &screen, || OTHER_LINES + 2, &["a", "b", "c", "d"]);
        let shown = ["a", "b", "c"].map(|name| live.row(usize::from(name.as_bytes()[0]), name, "ending", false));
        assert_eq!(shown, [true, true, false]);
        assert!(live.row(usize::from(b'd'), "d", "waits for its disruption budget", true));
        live.summary("0 of 4 have gone");
        insta::assert_snapshot!(screen.text(), @r"
        0 of 4 have gone; 2 of them not shown
        POD    FOR  STATE
        a       0s  ending
        d       0s  waits for its disruption budget
        ");
        let more = ["b", "c"].map(|name| live.row(usize::from(name.as_bytes()[0]), name, "waits too", true));
        assert_eq!(more, [true, false], "there is no room for all that wait: whoever is told so has to say it");
        live.end(usize::from(b'd'));
        live.summary("1 of 4 have gone");
        insta::assert_snapshot!(screen.text(), @r"
        1 of 4 have gone; 1 of them not shown
        POD    FOR  STATE
        b       0s  waits too
        c       0s  waits too
        ");
    }

    #[test]
    fn without_a_terminal_nothing_is_seen_of_them() {
        let (console, captured) = capture::console(60);
        let live = console.live("POD", ["a"].into_iter());
        assert!(!live.row(1, "a", "evicting", false));
        live.end(1);
        live.summary("1 of 1");
        drop(live);
        assert_eq!(captured.err.text(), "");
    }
}
