//! Panels that are one big figure or word.

use jiff::Timestamp;
use serde_json::Value;

use super::axis::Times;
use super::colour::{self, TEXT};
use super::panel::Panel;
use super::{Frame, lines, unit};
use crate::svg;

/// The size of what is no big figure.
const SIZE: f64 = 12.0;

/// Draws one; several series stand beside each other.
pub fn draw(out: &mut String, panel: &Panel<'_>, frame: Frame, times: &Times, now: Timestamp) {
    let series = panel.series();
    let wide = frame.w / series.len().max(1) as f64;
    for (number, (name, series)) in series.iter().enumerate() {
        let Some(value) = series.last() else { continue };
        let field = panel.field(name);
        let (words, colour) = figure(panel, &field, name, value, now);
        if panel.json["options"]["graphMode"] == "area" {
            let low = Frame { y: frame.y + frame.h * 0.6, h: frame.h * 0.4, ..frame };
            lines::course(out, panel, &low, times, colour);
        }
        let size = (frame.h * 0.42).min(SIZE * 4.0).min((wide - 8.0) / svg::width(&words, 1.0).max(1.0));
        let place = (frame.x + (number as f64 + 0.5) * wide, frame.y + frame.h / 2.0 + size * 0.3);
        svg::styled(out, place, "middle", &format!(" fill=\"{colour}\" font-size=\"{size:.1}\""), &words);
    }
}

fn figure(panel: &Panel<'_>, field: &Value, name: &str, value: f64, now: Timestamp) -> (String, &'static str) {
    let mapped = mapped(field, value);
    let colour = colour::fixed(field)
        .or_else(|| mapped.and_then(|mapped| mapped["color"].as_str()).map(colour::named))
        .or_else(|| colour::by_threshold(field, value));
    let words = match mapped.and_then(|mapped| mapped["text"].as_str()) {
        _ if panel.json["options"]["textMode"] == "name" => name.to_owned(),
        Some(text) => text.to_owned(),
        None => shown(field, value, now),
    };
    (words, colour.unwrap_or(TEXT))
}

fn shown(field: &Value, value: f64, now: Timestamp) -> String {
    let decimals = field["decimals"].as_u64().map(|decimals| decimals as usize);
    unit::shown(value, field["unit"].as_str().unwrap_or_default(), decimals, now)
}

/// What a board says instead of a value.
fn mapped(field: &Value, value: f64) -> Option<&Value> {
    let all = field["mappings"].as_array().into_iter().flatten().filter(|mapping| mapping["type"] == "value");
    all.map(|mapping| &mapping["options"][format!("{value}")]).find(|found| !found.is_null())
}
