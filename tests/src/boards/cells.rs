//! Panels of cells over time, a row for each series: how high a value is, or in which state something was.

use std::fmt::Write as _;

use serde_json::Value;

use super::Frame;
use super::axis::{self, SIZE, Times};
use super::colour::{self, TEXT};
use super::panel::Panel;
use crate::svg;

/// The names take so much of the width at most.
const NAMES: f64 = 0.3;
/// Colours are so many, that cells alike are one.
const SHADES: f64 = 50.0;

/// Draws one.
pub fn draw(out: &mut String, panel: &Panel<'_>, frame: Frame, times: &Times) {
    let series = panel.series();
    let widest = series.iter().map(|(name, _)| svg::width(name, SIZE)).fold(0.0, f64::max);
    let names = widest.min(frame.w * NAMES) + 10.0;
    let inner = frame.without(names, axis::HEIGHT);
    axis::draw(out, &inner, times);
    let row = inner.h / series.len().max(1) as f64;
    let share = panel.json["options"]["rowHeight"].as_f64().unwrap_or(0.9);
    for (number, (name, series)) in series.iter().enumerate() {
        let middle = inner.y + (number as f64 + 0.5) * row;
        let size = (row - 1.0).clamp(4.0, SIZE);
        let style = format!(" fill=\"{TEXT}\" font-size=\"{size:.1}\"");
        // Room for what the widest name takes, however it is rounded.
        let fitted = svg::fitted(name, size, names - 9.0);
        svg::styled(out, (inner.x - 8.0, middle + size * 0.35), "end", &style, &fitted);
        let field = panel.field(name);
        let colours: Vec<Option<String>> =
            series.values.iter().map(|value| value.map(|value| colour_of(&field, number, value))).collect();
        let high = row * share;
        for (from, to, colour) in alike(&colours) {
            // Whole pixels, so that nothing is to be seen between cells.
            let (left, right) = (times.edge(&inner, from).round(), times.edge(&inner, to).round());
            let (top, wide) = (middle - high / 2.0, right - left);
            let cell = format!("x=\"{left}\" y=\"{top:.1}\" width=\"{wide}\" height=\"{high:.1}\"");
            writeln!(out, "<rect {cell} fill=\"{colour}\" shape-rendering=\"crispEdges\"/>").ok();
        }
    }
}

fn colour_of(field: &Value, number: usize, value: f64) -> String {
    let is_scale = field["color"]["mode"].as_str().is_some_and(|mode| mode.starts_with("continuous"));
    if is_scale {
        let (least, most) = (field["min"].as_f64().unwrap_or(0.0), field["max"].as_f64().unwrap_or(1.0));
        let share = (value - least) / (most - least).max(f64::MIN_POSITIVE);
        return colour::on_scale((share * SHADES).round() / SHADES);
    }
    let colour = colour::fixed(field).or_else(|| colour::by_threshold(field, value));
    colour.unwrap_or(colour::of_series(number)).to_owned()
}

/// Cells of one colour that follow each other: the first, the one behind the last, and the colour.
fn alike(colours: &[Option<String>]) -> Vec<(usize, usize, &str)> {
    let mut found: Vec<(usize, usize, &str)> = Vec::new();
    for (number, colour) in colours.iter().enumerate() {
        let Some(colour) = colour else { continue };
        match found.last_mut() {
            Some(last) if last.1 == number && last.2 == colour => last.1 += 1,
            _ => found.push((number, number + 1, colour)),
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_of_one_colour_are_one_and_gaps_stay() {
        let cells = ["a", "a", "", "a", "b"].map(|colour| (!colour.is_empty()).then(|| colour.to_owned()));
        assert_eq!(alike(&cells), [(0, 2, "a"), (3, 4, "a"), (4, 5, "b")]);
    }
}
