//! A whole board: its title and the time, the panels in their places, and at the foot what the picture is.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use anyhow::{Result, bail};

use super::axis::Times;
use super::colour::{BACKGROUND, BORDER, DIM, PANEL, TEXT};
use super::panel::{self, Panel};
use super::record::Record;
use super::{Frame, cells, figure, lines, table};
use crate::dashboards::Board;
use crate::svg;

/// How wide a picture is.
pub const WIDTH: f64 = 1400.0;
const MARGIN: f64 = 10.0;
const GAP: f64 = 8.0;
/// A row of a board's grid, with the gap below it.
const ROW: f64 = 36.0;
const HEAD: f64 = 50.0;
const FOOT: f64 = 34.0;
/// What a panel has above its drawing, and around it.
const TITLE: f64 = 34.0;
const PADDING: f64 = 10.0;

/// Draws a board; gives its height too.
///
/// # Errors
/// If the record is of another state of the board, or a panel of a kind that nobody draws yet.
pub fn svg(board: &Board, record: &Record) -> Result<(String, f64)> {
    let panels = panel::panels(board, record)?;
    let rows = panels.iter().map(|panel| panel.place[1] + panel.place[3]).max().unwrap_or_default();
    let height = HEAD + rows as f64 * ROW + FOOT;
    let mut out = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height:.0}\" font-family=\"sans-serif\" \
         font-size=\"13\" fill=\"{TEXT}\">\n<rect x=\"0\" y=\"0\" width=\"{WIDTH}\" height=\"{height:.0}\" fill=\"{BACKGROUND}\"/>\n"
    );
    head(&mut out, board, record);
    let times = Times::of(record);
    for panel in &panels {
        draw(&mut out, panel, record, &times)?;
    }
    let caption = caption(record);
    svg::styled(&mut out, (MARGIN, height - 13.0), "start", &format!(" fill=\"{DIM}\" font-size=\"12\""), &caption);
    out += "</svg>\n";
    Ok((out, height))
}

/// What a picture is, and is not.
pub fn caption(record: &Record) -> String {
    format!(
        "Drawn by this project's tests from what a real Prometheus held for the test cluster on {}; Grafana draws the same \
         queries in its own way.",
        record.to.strftime("%-d %B %Y")
    )
}

fn head(out: &mut String, board: &Board, record: &Record) {
    let title = board.json["title"].as_str().unwrap_or_default();
    let chosen = chosen(board, &record.variables);
    let (from, to) = (record.from.strftime("%Y-%m-%d %H:%M:%S"), record.to.strftime("%H:%M:%S"));
    let time = format!("{from} to {to} UTC");
    svg::styled(out, (MARGIN, 31.0), "start", " font-size=\"18\"", title);
    let (left, right) = (MARGIN + svg::width(title, 18.0) + 10.0, WIDTH - MARGIN);
    let room = right - svg::width(&time, 13.0) - 20.0 - left;
    svg::styled(out, (left, 31.0), "start", &format!(" fill=\"{DIM}\""), &svg::fitted(&chosen, 13.0, room));
    svg::styled(out, (right, 31.0), "end", &format!(" fill=\"{DIM}\""), &time);
}

/// The variables that the reader of a board sees, and their values.
fn chosen(board: &Board, values: &BTreeMap<String, String>) -> String {
    let all = board.json["templating"]["list"].as_array().into_iter().flatten();
    let shown = all.filter(|variable| variable["type"] == "query" && variable["hide"] != 2).filter_map(|variable| {
        let value = values.get(variable["name"].as_str()?)?;
        let is_all = variable["allValue"] == value.as_str();
        Some(format!("{}: {}", variable["label"].as_str()?, if is_all { "All" } else { value }))
    });
    shown.collect::<Vec<_>>().join(" · ")
}

fn draw(out: &mut String, panel: &Panel<'_>, record: &Record, times: &Times) -> Result<()> {
    let column = (WIDTH - 2.0 * MARGIN + GAP) / 24.0;
    let [x, y, w, h] = panel.place.map(|side| side as f64);
    let outer = Frame { x: MARGIN + x * column, y: HEAD + y * ROW, w: w * column - GAP, h: h * ROW - GAP };
    let is_heading = panel.kind() == "row";
    let title = svg::fitted(&panel.title, 14.0, outer.w - 2.0 * PADDING);
    let style = " font-size=\"14\" font-weight=\"bold\"";
    if is_heading {
        svg::styled(out, (outer.x, outer.y + 19.0), "start", style, &title);
        return Ok(());
    }
    let Frame { x, y, w, h } = outer;
    let place = format!("x=\"{x:.1}\" y=\"{y:.1}\" width=\"{w:.1}\" height=\"{h:.1}\"");
    writeln!(out, "<rect {place} rx=\"3\" fill=\"{PANEL}\" stroke=\"{BORDER}\"/>").ok();
    svg::styled(out, (x + PADDING, y + 20.0), "start", style, &title);
    let inner = Frame { x: x + PADDING, y: y + TITLE, w: w - 2.0 * PADDING, h: h - TITLE - PADDING / 2.0 };
    if panel.answers.iter().all(|answer| answer.series.is_empty()) {
        svg::styled(out, (x + w / 2.0, y + h / 2.0), "middle", &format!(" fill=\"{DIM}\""), "No data");
        return Ok(());
    }
    match panel.kind() {
        "timeseries" => lines::draw(out, panel, inner, times),
        "status-history" | "state-timeline" => cells::draw(out, panel, inner, times),
        "table" => table::draw(out, panel, inner, record.to),
        "stat" => figure::draw(out, panel, inner, times, record.to),
        kind => bail!("panel {:?} is of kind {kind}, which boards/page.rs cannot draw", panel.title),
    }
    Ok(())
}
