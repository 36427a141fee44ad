//! The screen as cells of a terminal. Pure: a [`Screen`] in, a frame out.

use guard_model::words::duration;
use ratatui::Frame;
use ratatui::layout::Rect;
use ratatui::style::{Color, Modifier, Style};
use ratatui::text::{Line, Span};

use super::View;
use super::page::Page;
use super::screen::{Screen, Typing};
use super::table::{self, age};
use super::text::{Tone, Toned};
use crate::sanitise::{fit, width};
use crate::scores::overdue;

/// Columns before each line, for the mark of the cursor.
const MARK: &str = "> ";
const NO_MARK: &str = "  ";

/// Draws it.
pub fn draw(screen: &Screen, frame: &mut Frame<'_>) {
    let area = frame.area();
    let (columns, lines) = (usize::from(area.width), area.height);
    let mut paint = |row: u16, pieces: &[Toned], all: Style| {
        if row < lines {
            let spans = pieces.iter().map(|piece| Span::styled(&*piece.text, style(piece.tone, screen.colour)));
            let line = spans.collect::<Line<'_>>().style(all);
            frame.render_widget(line, Rect { x: 0, y: row, width: area.width, height: 1 });
        }
    };
    let plain = Style::new();
    paint(0, &header(screen, columns), plain.add_modifier(Modifier::BOLD));
    paint(1, &tabs(screen, columns), plain);
    let body = match &screen.page {
        Some(page) => paged(screen, page, columns),
        None => tabled(screen, columns),
    };
    for (row, (pieces, selected)) in (2u16..).zip(body) {
        let all = if selected { plain.add_modifier(Modifier::REVERSED) } else { plain };
        paint(row, &pieces, all);
    }
    if lines >= 2 {
        paint(lines - 2, &[said(screen, columns)], plain);
        paint(lines - 1, &[hints(screen, columns)], plain);
    }
}

/// Colour only underlines what a word says already.
fn style(tone: Tone, colour: bool) -> Style {
    let style = Style::new();
    match tone {
        Tone::Dim => style.add_modifier(Modifier::DIM),
        Tone::Critical if colour => style.fg(Color::Red).add_modifier(Modifier::BOLD),
        Tone::Warning if colour => style.fg(Color::Yellow),
        Tone::Good if colour => style.fg(Color::Green),
        Tone::Bold | Tone::Critical => style.add_modifier(Modifier::BOLD),
        Tone::Plain | Tone::Warning | Tone::Good => style,
    }
}

/// Where this is, since when, and how it is.
fn header(screen: &Screen, columns: usize) -> Vec<Toned> {
    let seen = &screen.seen;
    let over = seen.scored.rows.iter().filter(|row| row.is_anomalous()).count();
    let pods = match seen.scored.rows.len() {
        1 => "1 pod".to_owned(),
        many => format!("{many} pods"),
    };
    let over_tone = if over > 0 { Tone::Warning } else { Tone::Plain };
    let mut pieces = vec![Toned::from(format!("guard  {}  ", seen.place))];
    pieces.push(Toned::new(format!("{pods}, {over} over"), over_tone));
    // Where nothing new comes in, what is shown is no longer how the pods are.
    let newest = seen.scored.reports.iter().max_by_key(|report| report.at);
    if let Some(age) = newest.and_then(|report| overdue(report, seen.at, 0.0)) {
        pieces.push(Toned::new(format!("  scores {} old", duration(age)), Tone::Warning));
    }
    if seen.paused {
        pieces.push(Toned::new("  PAUSED", Tone::Warning));
    }
    for failing in &seen.failing {
        pieces.push(Toned::new(format!("  {failing} failed"), Tone::Critical));
    }
    pieces.push(format!("  up {}  {}", age(seen.started, seen.at), seen.at.strftime("%H:%M:%SZ")).into());
    cut(pieces, columns)
}

/// The pieces as far as there is room.
fn cut(pieces: Vec<Toned>, columns: usize) -> Vec<Toned> {
    let mut left = columns;
    let mut kept = Vec::new();
    for Toned { text, tone } in pieces {
        let text = fit(&text, left);
        left -= width(&text).min(left);
        kept.push(Toned { text, tone });
    }
    kept
}

/// The views; the one that is shown stands in brackets.
fn tabs(screen: &Screen, columns: usize) -> Vec<Toned> {
    let seen = &screen.seen;
    let count = |view: View| match view {
        View::Pods | View::Log => None,
        View::Incidents => Some(seen.scored.incidents.iter().filter(|known| known.incident.until.is_none()).count()),
        View::Plans => Some(seen.waiting.len()),
        View::History => Some(seen.past.len()),
    };
    let tab = |view: View, named: bool| {
        let number = view.place() + 1;
        let words = match count(view).filter(|count| *count > 0) {
            Some(count) if named => format!("{number} {} ({count})", view.name()),
            None if named => format!("{number} {}", view.name()),
            _ => number.to_string(),
        };
        if view == screen.view { Toned::new(format!("[{words}]"), Tone::Bold) } else { format!(" {words} ").into() }
    };
    let all: Vec<Toned> = View::ALL.iter().map(|view| tab(*view, true)).collect();
    if all.iter().map(|tab| width(&tab.text)).sum::<usize>() <= columns {
        return all;
    }
    cut(View::ALL.iter().map(|view| tab(*view, *view == screen.view)).collect(), columns)
}

/// The lines of a page under its heading.
fn paged(screen: &Screen, page: &Page, columns: usize) -> Vec<(Vec<Toned>, bool)> {
    let lines = page.lines(&screen.seen, &screen.progress, columns);
    let (below, body) = (lines.len().saturating_sub(screen.scroll + screen.body()), screen.body());
    let more = if below > 0 { format!("  ({below} lines more below)") } else { String::new() };
    let title = fit(&(page.title() + &more), columns);
    let heading = (vec![Toned::new(title, Tone::Bold)], false);
    let text = lines.into_iter().skip(screen.scroll).take(body).map(|line| (vec![line], false));
    std::iter::once(heading).chain(text).collect()
}

/// The lines of a table under its titles, and which one the cursor is on.
fn tabled(screen: &Screen, columns: usize) -> Vec<(Vec<Toned>, bool)> {
    let lines = screen.lines();
    if lines.is_empty() {
        return vec![(vec![Toned::new(fit(nothing(screen), columns), Tone::Dim)], false)];
    }
    let of_view = table::columns(screen.view);
    let widths = table::widths(of_view, &lines, columns.saturating_sub(MARK.len()));
    let titles: Vec<Toned> = of_view.iter().map(|column| Toned::new(column.title, Tone::Bold)).collect();
    let marked = |mark: &str, cells: &[Toned]| {
        let mut pieces = vec![Toned::from(mark)];
        pieces.extend(table::row(cells, &widths));
        pieces
    };
    let (at, top) = (screen.cursor(&lines), screen.list().top);
    let shown = lines.iter().enumerate().skip(top).take(screen.body());
    let drawn = shown.map(|(place, line)| {
        let mark = if place == at { MARK } else { NO_MARK };
        (marked(mark, &line.cells), place == at)
    });
    std::iter::once((marked(NO_MARK, &titles), false)).chain(drawn).collect()
}

/// Why a table is empty.
fn nothing(screen: &Screen) -> &'static str {
    if !screen.list().filter.is_empty() {
        return "No line holds the filter; Esc drops it.";
    }
    match screen.view {
        View::Pods => "No pod is scored yet.",
        View::Incidents => "No incident since this run began.",
        View::Plans => "No plan waits.",
        View::History => "Nothing was done from this machine, and nothing was proposed and withdrawn.",
        View::Log if screen.seen.log.folder.is_some() => "The log goes to files.",
        View::Log => "Nothing is logged yet.",
    }
}

/// The line above the last: what is asked, typed or told, else how the table is looked at.
fn said(screen: &Screen, columns: usize) -> Toned {
    if let Some(question) = &screen.question {
        return Toned::new(fit(&question.words(), columns), Tone::Warning);
    }
    match &screen.typing {
        // The end of what is typed is what is looked at.
        Some(Typing::Filter(_)) => return tail(&format!("/{}_", screen.list().filter), columns).into(),
        Some(Typing::Name(name)) => {
            let target = match &screen.page {
                Some(Page::Plan(shown)) => shown.plan.target().map(|target| target.name.clone()),
                _ => None,
            };
            let asked = format!("Type {} to approve: {name}_", crate::sanitise::line(&target.unwrap_or_default()));
            return Toned::new(tail(&asked, columns), Tone::Warning);
        }
        None => {}
    }
    if !screen.note.is_empty() {
        return fit(&screen.note, columns).into();
    }
    if screen.page.is_some() {
        return Toned::default();
    }
    let list = screen.list();
    let order = table::orders(screen.view).get(list.order).copied().unwrap_or_default();
    let filter = if list.filter.is_empty() { String::new() } else { format!("/{}  ", list.filter) };
    let lines = screen.lines();
    let place = if lines.is_empty() { 0 } else { screen.cursor(&lines) + 1 };
    Toned::new(fit(&format!("{filter}{place} of {}, {order}", lines.len()), columns), Tone::Dim)
}

/// The end of a text that is too long.
fn tail(text: &str, columns: usize) -> String {
    let mut tail = text;
    while width(tail) > columns {
        let mut rest = tail.chars();
        rest.next();
        tail = rest.as_str();
    }
    tail.to_owned()
}

/// The last line: which keys are of use now.
fn hints(screen: &Screen, columns: usize) -> Toned {
    let words = match (&screen.question, &screen.typing, &screen.page) {
        (Some(_), ..) => "y yes  any other key no",
        (_, Some(Typing::Filter(_)), _) => "Enter keep  Esc leave as it was",
        (_, Some(Typing::Name(_)), _) => "Enter approve and carry out  Esc leave it",
        (.., Some(Page::Plan(_))) => "a approve  d decline  j/k scroll  Esc back  q quit",
        (.., Some(Page::Pod { .. } | Page::Incident(_) | Page::Past(_))) => {
            "f fix  j/k scroll  Esc back  ? keys  q quit"
        }
        (.., Some(_)) => "j/k scroll  Esc back  q quit",
        (.., None) if screen.view == View::Plans => "Enter plan  d decline  / filter  s sort  p pause  ? keys  q quit",
        (.., None) => "Enter open  f fix  / filter  s sort  p pause  ? keys  q quit",
    };
    Toned::new(fit(words, columns), Tone::Dim)
}
