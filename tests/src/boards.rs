//! Pictures of the boards of `manifests/grafana`, drawn without a Grafana from what a real Prometheus held.
//!
//! [`ask`] asks for what a board would ask for and gives a [`record`], which an end-to-end test writes; [`page`] draws a board
//! from a record, panel by panel: [`lines`], [`cells`], [`table`] and [`figure`]. The rest is what panels have in common: what
//! [`panel`]s say of themselves, [`unit`]s, [`colour`]s, the [`scale`] of values and the [`axis`] of time. All but the asking is pure, so that a committed
//! record can be drawn again by anybody; [`files`] holds the pictures that the records were made into.

pub mod ask;
pub mod axis;
pub mod cells;
pub mod colour;
pub mod figure;
pub mod files;
pub mod lines;
pub mod page;
pub mod panel;
pub mod record;
pub mod scale;
pub mod table;
pub mod unit;

#[cfg(test)]
mod tests;

/// Where the records that the pictures are drawn from are.
pub const RECORD: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/records/boards");

/// A part of the picture.
#[derive(Clone, Copy, Debug)]
pub struct Frame {
    /// Its left side.
    pub x: f64,
    /// Its upper side.
    pub y: f64,
    /// How wide it is.
    pub w: f64,
    /// How high it is.
    pub h: f64,
}

impl Frame {
    /// Its right side.
    pub fn right(&self) -> f64 {
        self.x + self.w
    }

    /// Its lower side.
    pub fn bottom(&self) -> f64 {
        self.y + self.h
    }

    /// What is left of it without so much at its left and at its bottom.
    #[must_use]
    pub fn without(self, left: f64, bottom: f64) -> Self {
        let (w, h) = ((self.w - left).max(1.0), (self.h - bottom).max(1.0));
        Self { x: self.x + left, y: self.y, w, h }
    }
}
