//! The scale of a panel's values.

use std::fmt::Write as _;

use serde_json::Value;

use super::axis::SIZE;
use super::colour::{DIM, GRID};
use super::{Frame, unit};
use crate::svg;

/// The numbers at the side of a panel.
#[derive(Debug)]
pub struct Scale {
    from: f64,
    to: f64,
    step: f64,
    by: f64,
    unit: &'static str,
    decimals: Option<usize>,
}

impl Scale {
    /// One that holds these values, with the ends and the unit that the field is given.
    pub fn of(field: &Value, values: &(impl Iterator<Item = f64> + Clone)) -> Self {
        let (least, most) = (field["min"].as_f64(), field["max"].as_f64());
        let mut from = least.unwrap_or_else(|| values.clone().fold(f64::INFINITY, f64::min));
        let mut to = most.unwrap_or_else(|| values.clone().fold(f64::NEG_INFINITY, f64::max));
        if !from.is_finite() || !to.is_finite() {
            (from, to) = (0.0, 1.0);
        }
        if to <= from {
            to = from + if from == 0.0 { 1.0 } else { from.abs() * 0.1 };
        }
        let unit = field["unit"].as_str().unwrap_or_default();
        let (by, unit) = unit::scaled(to.abs().max(from.abs()), unit);
        let decimals = field["decimals"].as_u64().map(|decimals| decimals as usize);
        let quarter = (to - from) / 4.0;
        let smallest = decimals.map_or(0.0, |decimals| 10f64.powi(-(decimals as i32)) * by);
        // Ends that are given are kept.
        let step = if least.is_some() && most.is_some() { quarter } else { svg::round_up(quarter / by) * by };
        let step = step.max(smallest);
        let from = least.unwrap_or((from / step).floor() * step);
        let to = most.unwrap_or((to / step).ceil() * step);
        Self { from, to, step, by, unit, decimals }
    }

    fn marks(&self) -> impl Iterator<Item = f64> {
        let count = ((self.to - self.from) / self.step + 1e-6).floor() as usize;
        (0..=count).map(|n| self.from + n as f64 * self.step)
    }

    /// The room that its numbers take.
    pub fn room(&self) -> f64 {
        self.marks().map(|mark| svg::width(&self.label(mark), SIZE)).fold(0.0, f64::max) + 8.0
    }

    /// Whether a value is on it.
    pub fn has(&self, value: f64) -> bool {
        (self.from..=self.to).contains(&value)
    }

    fn label(&self, mark: f64) -> String {
        format!("{}{}", unit::number(mark / self.by, self.decimals), self.unit)
    }

    /// Where a value is; what lies beyond an end is at that end.
    pub fn y(&self, frame: &Frame, value: f64) -> f64 {
        frame.bottom() - frame.h * ((value - self.from) / (self.to - self.from)).clamp(0.0, 1.0)
    }

    /// Draws its numbers, and a line for each.
    pub fn draw(&self, out: &mut String, frame: &Frame) {
        for mark in self.marks() {
            let (x, y, right) = (frame.x, self.y(frame, mark), frame.right());
            writeln!(out, "<path d=\"M{x:.1} {y:.1}H{right:.1}\" stroke=\"{GRID}\"/>").ok();
            let style = format!(" fill=\"{DIM}\" font-size=\"{SIZE}\"");
            svg::styled(out, (x - 6.0, y + 4.0), "end", &style, &self.label(mark));
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn labels(field: &Value, values: &[f64]) -> Vec<String> {
        let scale = Scale::of(field, &values.iter().copied());
        scale.marks().map(|mark| scale.label(mark)).collect()
    }

    #[test]
    fn marks_are_round_in_the_unit_and_given_ends_are_kept() {
        let mebibyte = 1_048_576.0;
        let bytes = json!({"unit": "bytes", "min": 0});
        assert_eq!(labels(&bytes, &[16.5 * mebibyte]), ["0 MiB", "5 MiB", "10 MiB", "15 MiB", "20 MiB"]);
        let score = json!({"min": 0, "max": 1, "decimals": 2});
        assert_eq!(labels(&score, &[0.3]), ["0.00", "0.25", "0.50", "0.75", "1.00"]);
        assert_eq!(labels(&json!({}), &[-1.3, 6.5]), ["-2", "0", "2", "4", "6", "8"]);
        assert_eq!(labels(&json!({"min": 0, "decimals": 0}), &[2.0]), ["0", "1", "2"]);
    }

    #[test]
    fn nothing_and_a_single_value_have_a_scale_too() {
        assert_eq!(labels(&json!({}), &[]).len(), 4);
        for value in [0.0, -3.0, 1e9] {
            let scale = Scale::of(&json!({}), &[value].into_iter());
            assert!(scale.has(value) && scale.step > 0.0, "{scale:?}");
        }
    }
}
