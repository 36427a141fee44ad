//! The axis of time.

use std::fmt::Write as _;

use jiff::Timestamp;

use super::Frame;
use super::colour::{DIM, GRID};
use super::record::Record;
use crate::svg;

/// The size of the words at it.
pub const SIZE: f64 = 11.0;
/// The room that it takes below a panel's drawing.
pub const HEIGHT: f64 = 20.0;

/// Seconds between its marks, of which one is chosen.
const STEPS: [i64; 10] = [5, 10, 15, 30, 60, 120, 300, 600, 1800, 3600];
/// Marks are not nearer to each other.
const ROOM: f64 = 90.0;

/// The time that a record is about.
#[derive(Clone, Copy, Debug)]
pub struct Times {
    from: i64,
    to: i64,
    step: f64,
}

impl Times {
    /// That of this record.
    pub fn of(record: &Record) -> Self {
        let (from, to) = (record.from.as_second(), record.to.as_second());
        Self { from, to: to.max(from + 1), step: f64::from(record.step) }
    }

    fn at(&self, frame: &Frame, passed: f64) -> f64 {
        frame.x + frame.w * (passed / (self.to - self.from) as f64).clamp(0.0, 1.0)
    }

    /// Where the value of this number is.
    pub fn x(&self, frame: &Frame, number: usize) -> f64 {
        self.at(frame, number as f64 * self.step)
    }

    /// Where values from this number on begin to be drawn as cells: half a step before.
    pub fn edge(&self, frame: &Frame, number: usize) -> f64 {
        self.at(frame, (number as f64 - 0.5) * self.step)
    }
}

/// Draws it below a frame, with a line up for each mark.
pub fn draw(out: &mut String, frame: &Frame, times: &Times) {
    let least = (times.to - times.from) as f64 * ROOM / frame.w;
    let step = STEPS.into_iter().find(|step| *step as f64 >= least).unwrap_or(7200);
    let format = if step % 60 == 0 { "%H:%M" } else { "%H:%M:%S" };
    let first = times.from + (step - times.from.rem_euclid(step)) % step;
    for second in (first..=times.to).step_by(step as usize) {
        let x = times.at(frame, (second - times.from) as f64);
        let label = Timestamp::from_second(second).unwrap_or_default().strftime(format).to_string();
        let (top, bottom) = (frame.y, frame.bottom());
        writeln!(out, "<path d=\"M{x:.1} {top:.1}V{bottom:.1}\" stroke=\"{GRID}\"/>").ok();
        if x + svg::width(&label, SIZE) / 2.0 <= frame.right() {
            let style = format!(" fill=\"{DIM}\" font-size=\"{SIZE}\"");
            svg::styled(out, (x, bottom + 15.0), "middle", &style, &label);
        }
    }
}
