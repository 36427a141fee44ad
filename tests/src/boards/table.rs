//! Panels that are tables: rows of labels and values, merged, renamed and sorted as the board says.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use jiff::Timestamp;
use serde_json::Value;

use super::colour::{self, BORDER, TEXT};
use super::panel::Panel;
use super::{Frame, unit};
use crate::svg;

const SIZE: f64 = 12.0;
const ROW: f64 = 26.0;
/// Rows at most, however much room there is.
const ROWS: usize = 8;

const PADDING: f64 = 6.0;
const HEADING: &str = "#6e9fff";

/// Words and their colour.
type Cell = (String, &'static str);
/// A row: its labels, and the value of each query.
type Row = (BTreeMap<String, String>, BTreeMap<String, f64>);

/// Draws one.
pub fn draw(out: &mut String, panel: &Panel<'_>, frame: Frame, now: Timestamp) {
    let mut rows = rows(panel);
    let columns = columns(panel, &rows);
    sort(panel, &mut rows);
    let room = ((frame.h / ROW).floor() as usize).saturating_sub(1);
    let most = ROWS.min(room);
    let cells: Vec<Vec<Cell>> = columns.iter().map(|column| column_of(panel, column, &rows, most, now)).collect();
    let mut x = frame.x;
    for (cells, wide) in cells.iter().zip(widths(&cells, frame.w)) {
        for (number, (words, colour)) in cells.iter().enumerate() {
            let place = (x + PADDING, frame.y + (number as f64 + 0.65) * ROW);
            let weight = if number == 0 { " font-weight=\"bold\"" } else { "" };
            let style = format!(" fill=\"{colour}\" font-size=\"{SIZE}\"{weight}");
            svg::styled(out, place, "start", &style, &svg::fitted(words, SIZE, wide - 2.0 * PADDING + 1.0));
        }
        x += wide;
    }
    for number in 1..=rows.len().min(most) {
        let (x, y, right) = (frame.x, frame.y + number as f64 * ROW, frame.right());
        writeln!(out, "<path d=\"M{x:.1} {y:.1}H{right:.1}\" stroke=\"{BORDER}\"/>").ok();
    }
    if rows.len() > most {
        let (place, more) = ((frame.right(), frame.y + ROW * 0.65), rows.len() - most);
        let style = format!(" fill=\"{TEXT}\" font-size=\"{SIZE}\"");
        svg::styled(out, place, "end", &style, &format!("and {more} more"));
    }
}

/// The title of a column, and the cells below it.
fn column_of(panel: &Panel<'_>, column: &str, rows: &[Row], most: usize, now: Timestamp) -> Vec<Cell> {
    let title = renamed(panel, column);
    let field = panel.field(&title);
    let cells = rows.iter().take(most).map(|row| cell(row, column, &field, now));
    [(title, HEADING)].into_iter().chain(cells).collect()
}

/// As wide as its words each, and what is left shared; if there is not enough, the widest give way.
fn widths(columns: &[Vec<Cell>], room: f64) -> Vec<f64> {
    let widest = |cells: &Vec<Cell>| cells.iter().map(|(words, _)| svg::width(words, SIZE)).fold(0.0, f64::max);
    let wanted: Vec<f64> = columns.iter().map(|cells| widest(cells) + 2.0 * PADDING).collect();
    let most = most(&wanted, room);
    let given: Vec<f64> = wanted.iter().map(|wide| wide.min(most)).collect();
    let share = (room - given.iter().sum::<f64>()).max(0.0) / columns.len().max(1) as f64;
    given.iter().map(|wide| wide + share).collect()
}

/// What a column may take, so that all fit: an equal share of what those have left that want less.
fn most(wanted: &[f64], mut room: f64) -> f64 {
    let mut sorted = wanted.to_vec();
    sorted.sort_by(f64::total_cmp);
    for (number, wide) in sorted.iter().enumerate() {
        let share = room / (sorted.len() - number) as f64;
        if *wide > share {
            return share;
        }
        room -= wide;
    }
    f64::INFINITY
}

/// Series of all queries with the same labels are one row.
fn rows(panel: &Panel<'_>) -> Vec<Row> {
    let mut rows: Vec<Row> = Vec::new();
    for answer in &panel.answers {
        let name = if panel.answers.len() == 1 { "Value".to_owned() } else { format!("Value #{}", answer.query) };
        for series in &answer.series {
            let value = series.last().map(|value| (name.clone(), value));
            match rows.iter_mut().find(|(labels, _)| *labels == series.labels) {
                Some((_, values)) => values.extend(value),
                None => rows.push((series.labels.clone(), value.into_iter().collect())),
            }
        }
    }
    rows
}

fn organized<'a>(panel: &'a Panel<'_>, what: &str) -> &'a Value {
    let all = panel.json["transformations"].as_array().into_iter().flatten();
    all.map(|transformation| &transformation["options"][what]).find(|found| !found.is_null()).unwrap_or(&Value::Null)
}

/// Labels and then values, but for those that the board has a place for.
fn columns(panel: &Panel<'_>, rows: &[Row]) -> Vec<String> {
    let labels = rows.iter().flat_map(|(labels, _)| labels.keys().map(|label| (false, label.clone())));
    let values = rows.iter().flat_map(|(_, values)| values.keys().map(|value| (true, value.clone())));
    let mut all: Vec<(bool, String)> = labels.chain(values).collect();
    all.sort();
    all.dedup();
    all.sort_by_key(|(_, name)| organized(panel, "indexByName")[name].as_u64().unwrap_or(u64::MAX));
    all.into_iter().map(|(_, name)| name).collect()
}

fn renamed(panel: &Panel<'_>, column: &str) -> String {
    organized(panel, "renameByName")[column].as_str().unwrap_or(column).to_owned()
}

fn sort(panel: &Panel<'_>, rows: &mut [Row]) {
    let by = &panel.json["options"]["sortBy"][0];
    let is_it = |column: &str| by["displayName"] == renamed(panel, column).as_str();
    let number = |row: &Row| row.1.iter().find(|(column, _)| is_it(column)).map(|(_, value)| *value);
    rows.sort_by(|a, b| number(a).partial_cmp(&number(b)).unwrap_or(std::cmp::Ordering::Equal));
    if by["desc"] == true {
        rows.reverse();
    }
}

fn cell((labels, values): &Row, column: &str, field: &Value, now: Timestamp) -> Cell {
    let Some(value) = values.get(column) else {
        return (labels.get(column).cloned().unwrap_or_default(), TEXT);
    };
    let decimals = field["decimals"].as_u64().map(|decimals| decimals as usize);
    let words = unit::shown(*value, field["unit"].as_str().unwrap_or_default(), decimals, now);
    let is_coloured = field["custom"]["cellOptions"]["type"] == "color-text";
    let colour = colour::by_threshold(field, *value).filter(|_| is_coloured);
    (words, colour.unwrap_or(TEXT))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_widest_column_gives_way() {
        assert!(most(&[10.0, 20.0, 100.0], 200.0).is_infinite());
        assert!((most(&[10.0, 100.0, 20.0], 80.0) - 50.0).abs() < 1e-9);
        assert!((most(&[40.0, 50.0, 60.0], 90.0) - 30.0).abs() < 1e-9);
    }
}
