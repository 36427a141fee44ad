//! Panels of lines over time, stacked or not, with a legend.

use std::fmt::Write as _;
use std::ops::Range;

use serde_json::Value;

use super::Frame;
use super::axis::{self, SIZE, Times};
use super::colour::{self, TEXT};
use super::panel::Panel;
use super::scale::Scale;
use crate::svg;

/// Rows of a legend at most, and their height.
const ROWS: usize = 3;
const ROW: f64 = 17.0;
/// The part of a legend's entry that is no name.
const MARK: f64 = 22.0;

struct Line {
    name: String,
    colour: &'static str,
    field: Value,
    /// The values, or with those below it if lines are stacked.
    tops: Vec<Option<f64>>,
    bases: Vec<f64>,
}

/// Draws one.
pub fn draw(out: &mut String, panel: &Panel<'_>, frame: Frame, times: &Times) {
    let lines = lines(panel);
    let (entries, rows) = legend(panel, &lines, frame.w);
    let below = axis::HEIGHT + rows as f64 * ROW;
    let scale = scale(panel, &lines);
    let inner = frame.without(scale.room(), below);
    axis::draw(out, &inner, times);
    scale.draw(out, &inner);
    for line in &lines {
        area(out, line, &inner, &scale, times);
    }
    for line in &lines {
        stroke(out, line, &inner, &scale, times);
    }
    thresholds(out, panel, &inner, &scale);
    for (line, (row, x, name)) in lines.iter().zip(&entries) {
        let y = inner.bottom() + axis::HEIGHT + (*row as f64 + 0.75) * ROW;
        let (from, to) = (frame.x + x, frame.x + x + 14.0);
        let dash = dash(&line.field);
        let (colour, up) = (line.colour, y - 4.0);
        writeln!(out, "<path d=\"M{from:.1} {up:.1}H{to:.1}\" stroke=\"{colour}\" stroke-width=\"3\"{dash}/>").ok();
        svg::styled(out, (to + 4.0, y), "start", &format!(" fill=\"{TEXT}\" font-size=\"{SIZE}\""), name);
    }
}

fn lines(panel: &Panel<'_>) -> Vec<Line> {
    let mut stacked: Vec<f64> = Vec::new();
    let series = panel.series().into_iter().enumerate();
    let line = |(place, (name, series)): (usize, (String, &super::record::Series))| {
        let field = panel.field(&name);
        let colour = colour::fixed(&field).unwrap_or(colour::of_series(place));
        stacked.resize(stacked.len().max(series.values.len()), 0.0);
        let is_stacked = field["custom"]["stacking"]["mode"] == "normal";
        let bases = if is_stacked { stacked.clone() } else { vec![0.0; series.values.len()] };
        let tops: Vec<Option<f64>> =
            series.values.iter().zip(&bases).map(|(value, base)| value.map(|value| value + base)).collect();
        for (sum, top) in stacked.iter_mut().zip(&tops).filter(|_| is_stacked) {
            *sum = top.unwrap_or(*sum);
        }
        Line { name, colour, field, tops, bases }
    };
    series.map(line).collect()
}

fn scale(panel: &Panel<'_>, lines: &[Line]) -> Scale {
    // The unit of what is drawn may be said of a series only.
    let field = lines.first().map_or_else(|| panel.field(""), |line| line.field.clone());
    Scale::of(&field, &lines.iter().flat_map(|line| line.tops.iter().flatten().copied()))
}

/// Values that follow each other without a gap.
fn runs(values: &[Option<f64>]) -> Vec<Range<usize>> {
    let mut runs: Vec<Range<usize>> = Vec::new();
    for (number, _) in values.iter().enumerate().filter(|(_, value)| value.is_some()) {
        match runs.last_mut() {
            Some(run) if run.end == number => run.end += 1,
            _ => runs.push(number..number + 1),
        }
    }
    runs
}

fn area(out: &mut String, line: &Line, frame: &Frame, scale: &Scale, times: &Times) {
    let opacity = line.field["custom"]["fillOpacity"].as_f64().unwrap_or(0.0) / 100.0;
    for run in runs(&line.tops).into_iter().filter(|_| opacity > 0.0) {
        let top = run.clone().filter_map(|n| Some((times.x(frame, n), scale.y(frame, line.tops[n]?))));
        let base = run.rev().map(|n| (times.x(frame, n), scale.y(frame, line.bases[n])));
        let around = svg::path(top.chain(base).enumerate().map(|(i, (x, y))| (x, y, i > 0)));
        writeln!(out, "<path d=\"{around}Z\" fill=\"{}\" fill-opacity=\"{opacity}\"/>", line.colour).ok();
    }
}

fn stroke(out: &mut String, line: &Line, frame: &Frame, scale: &Scale, times: &Times) {
    let width = line.field["custom"]["lineWidth"].as_f64().unwrap_or(1.0) * 1.3;
    let point = |n: usize, goes_on: bool| Some((times.x(frame, n), scale.y(frame, line.tops[n]?), goes_on));
    // A value between two gaps is a dot: a line from it to itself.
    let of = |run: Range<usize>| [run.start].into_iter().chain(run).enumerate().filter_map(|(i, n)| point(n, i > 0));
    let course = svg::path(runs(&line.tops).into_iter().flat_map(of).collect::<Vec<_>>());
    if width > 0.0 && !course.is_empty() {
        let (colour, dash) = (line.colour, dash(&line.field));
        writeln!(
            out,
            "<path d=\"{course}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"{width:.1}\" stroke-linecap=\"round\"{dash}/>"
        )
        .ok();
    }
}

fn dash(field: &Value) -> &'static str {
    if field["custom"]["lineStyle"]["fill"] == "dash" { " stroke-dasharray=\"6 6\"" } else { "" }
}

fn thresholds(out: &mut String, panel: &Panel<'_>, frame: &Frame, scale: &Scale) {
    let field = panel.field("");
    if !field["custom"]["thresholdsStyle"].is_object() {
        return;
    }
    let dash = if field["custom"]["thresholdsStyle"]["mode"] == "dashed" { " stroke-dasharray=\"8 6\"" } else { "" };
    for (at, colour) in colour::steps(&field) {
        let Some(at) = at.filter(|at| scale.has(*at)) else { continue };
        let (x, y, right) = (frame.x, scale.y(frame, at), frame.right());
        writeln!(out, "<path d=\"M{x:.1} {y:.1}H{right:.1}\" stroke=\"{colour}\" stroke-opacity=\"0.8\"{dash}/>").ok();
    }
}

/// Where each name of a legend stands, and how many rows there are. What has no room is counted.
fn legend(panel: &Panel<'_>, lines: &[Line], room: f64) -> (Vec<(usize, f64, String)>, usize) {
    let mut entries: Vec<(usize, f64, String)> = Vec::new();
    if panel.json["options"]["legend"]["showLegend"] == false {
        return (entries, 0);
    }
    let (mut row, mut x) = (0, 0.0);
    for (number, line) in lines.iter().enumerate() {
        let name = svg::fitted(&line.name, SIZE, room - MARK);
        let wide = MARK + svg::width(&name, SIZE);
        if x > 0.0 && x + wide > room {
            (row, x) = (row + 1, 0.0);
        }
        if row == ROWS {
            if let Some(last) = entries.last_mut() {
                last.2 = format!("and {} more", lines.len() - number + 1);
            }
            return (entries, ROWS);
        }
        entries.push((row, x, name));
        x += wide + 12.0;
    }
    (entries, if lines.is_empty() { 0 } else { row + 1 })
}

/// The course of one series alone, as an area without a scale.
pub fn course(out: &mut String, panel: &Panel<'_>, frame: &Frame, times: &Times, colour: &str) {
    let lines = lines(panel);
    let Some(line) = lines.first() else { return };
    let scale = scale(panel, &lines);
    for run in runs(&line.tops) {
        let (first, last) = (times.x(frame, run.start), times.x(frame, run.end - 1));
        let points = run.filter_map(|n| Some((times.x(frame, n), scale.y(frame, line.tops[n]?))));
        let top = svg::path(points.enumerate().map(|(i, (x, y))| (x, y, i > 0)));
        let bottom = frame.bottom();
        writeln!(
            out,
            "<path d=\"{top}L{last:.1} {bottom:.1}L{first:.1} {bottom:.1}Z\" fill=\"{colour}\" fill-opacity=\"0.15\"/>"
        )
        .ok();
        writeln!(out, "<path d=\"{top}\" fill=\"none\" stroke=\"{colour}\" stroke-opacity=\"0.6\"/>").ok();
    }
}
