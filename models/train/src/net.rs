//! The network and its gradient, written out: Linear, ReLU, LSTM, and linear heads for the forecast and the anomaly.
//!
//! A chunk is `steps * batch` rows, one step after another. The products of all steps are single matrix products; only the
//! recurrence runs step by step.

#![expect(clippy::many_single_char_names, reason = "the gates and states of an LSTM have no other names")]

use std::ops::Range;

use guard_model::engine::HIDDEN;
use guard_model::features::{INPUTS, SIGNALS};
use tract_onnx::prelude::tract_ndarray::linalg::general_mat_mul;
use tract_onnx::prelude::tract_ndarray::{Array2, ArrayView2, ArrayViewMut2, Axis, Slice};

use crate::draw::Draw;

pub(crate) const EMBED: usize = 32;
pub(crate) const GATES: usize = 4 * HIDDEN;
/// Means, then log variances, of the next residuals.
pub(crate) const FORECAST: usize = 2 * SIGNALS;
pub(crate) const LOG_VARIANCE: [f32; 2] = [-6.0, 5.0];

const PARTS: usize = 9;
/// Outputs x inputs of each part; a bias is a row. Gates stand in the order i, f, g, o.
const SHAPES: [[usize; 2]; PARTS] = [
    [EMBED, INPUTS],
    [1, EMBED],
    [GATES, EMBED],
    [GATES, HIDDEN],
    [1, GATES],
    [FORECAST, HIDDEN],
    [1, FORECAST],
    [1, HIDDEN + EMBED],
    [1, 1],
];
/// Inputs of the layer that each part belongs to: the spread of the first weights.
const FAN_IN: [usize; PARTS] = [INPUTS, INPUTS, HIDDEN, HIDDEN, HIDDEN, HIDDEN, HIDDEN, HIDDEN + EMBED, HIDDEN + EMBED];

/// Which part is which.
pub(crate) mod part {
    pub(crate) const EMBED_W: usize = 0;
    pub(crate) const EMBED_B: usize = 1;
    pub(crate) const INPUT_W: usize = 2;
    pub(crate) const HIDDEN_W: usize = 3;
    pub(crate) const GATE_B: usize = 4;
    pub(crate) const FORECAST_W: usize = 5;
    pub(crate) const FORECAST_B: usize = 6;
    /// Sees the state and, past it, the embedding.
    pub(crate) const LOGIT_W: usize = 7;
    pub(crate) const LOGIT_B: usize = 8;
}
use part::{EMBED_B, EMBED_W, FORECAST_B, FORECAST_W, GATE_B, HIDDEN_W, INPUT_W, LOGIT_B, LOGIT_W};

/// Weights, or their gradients, or the moments of the optimiser.
#[derive(Clone, Debug)]
pub struct Net(pub(crate) [Array2<f32>; PARTS]);

impl Net {
    /// The network that finds nothing: its probability is 0 whatever it sees.
    pub fn never() -> Net {
        let mut net = Net::zeros();
        net.0[LOGIT_B].fill(-200.0);
        net
    }

    /// The same network without memory: what it gives depends on one sample alone.
    #[must_use]
    pub fn forgetful(mut self) -> Net {
        let forget = HIDDEN..2 * HIDDEN;
        rows_mut(&mut self.0[INPUT_W], forget.clone()).fill(0.0);
        self.0[GATE_B].slice_axis_mut(Axis(1), Slice::from(forget)).fill(-60.0);
        self.0[HIDDEN_W].fill(0.0);
        self
    }

    /// The same network blind to all inputs but those that [`of_levels`] leaves.
    pub(crate) fn sees_levels(mut self) -> Net {
        for mut row in self.0[EMBED_W].rows_mut() {
            of_levels(row.iter_mut());
        }
        self
    }

    /// How many numbers are learnt.
    pub fn parameters() -> usize {
        SHAPES.iter().map(|[out, input]| out * input).sum()
    }

    pub(crate) fn zeros() -> Net {
        Net(SHAPES.map(Array2::zeros))
    }

    /// Uniform within one over the root of the layer's inputs.
    pub(crate) fn random(draw: &mut Draw) -> Net {
        let mut net = Net::zeros();
        for (part, fan) in net.0.iter_mut().zip(FAN_IN) {
            let bound = 1.0 / (fan as f64).sqrt();
            part.mapv_inplace(|_| draw.uniform(-bound, bound) as f32);
        }
        net
    }

    /// All numbers of a part, row by row.
    pub(crate) fn values(&self, part: usize) -> Vec<f32> {
        self.0[part].iter().copied().collect()
    }
}

/// The memory of a batch: rows x [`HIDDEN`].
#[derive(Clone)]
pub(crate) struct State {
    pub(crate) h: Array2<f32>,
    pub(crate) c: Array2<f32>,
}

impl State {
    pub(crate) fn zeros(batch: usize) -> State {
        State { h: Array2::zeros([batch, HIDDEN]), c: Array2::zeros([batch, HIDDEN]) }
    }
}

/// What the forward pass gives, and keeps for the backward pass.
pub(crate) struct Trace {
    batch: usize,
    embed: Array2<f32>,
    /// Gates after their nonlinearity.
    gates: Array2<f32>,
    /// h and c before the first step and after each: `batch` rows more than `gates`.
    h: Array2<f32>,
    c: Array2<f32>,
    tanh_c: Array2<f32>,
    /// Means, then log variances before they are held within [`LOG_VARIANCE`].
    pub(crate) forecast: Array2<f32>,
    pub(crate) logit: Array2<f32>,
}

impl Trace {
    pub(crate) fn last_state(&self) -> State {
        let last = self.embed.nrows()..self.embed.nrows() + self.batch;
        State { h: rows(&self.h, last.clone()).to_owned(), c: rows(&self.c, last).to_owned() }
    }
}

impl Net {
    /// `x` holds steps x batch rows of [`INPUTS`].
    pub(crate) fn forward(&self, x: &ArrayView2<f32>, state: &State) -> Trace {
        let (all, batch) = (x.nrows(), state.h.nrows());
        let mut embed = self.linear(x, EMBED_W, EMBED_B);
        embed.mapv_inplace(|v| v.max(0.0));
        let mut gates = self.linear(&embed.view(), INPUT_W, GATE_B);
        let mut h = Array2::zeros([all + batch, HIDDEN]);
        let mut c = h.clone();
        let mut tanh_c = Array2::zeros([all, HIDDEN]);
        rows_mut(&mut h, 0..batch).assign(&state.h);
        rows_mut(&mut c, 0..batch).assign(&state.c);
        for from in (0..all).step_by(batch) {
            let now = from..from + batch;
            let mut step = rows_mut(&mut gates, now.clone());
            general_mat_mul(1.0, &rows(&h, now.clone()), &self.0[HIDDEN_W].t(), 1.0, &mut step);
            for row in now {
                cell_forward(row, batch, &mut gates, &mut h, &mut c, &mut tanh_c);
            }
        }
        let after = rows(&h, batch..all + batch);
        let forecast = self.linear(&after, FORECAST_W, FORECAST_B);
        let (from_h, from_embed) = self.0[LOGIT_W].view().split_at(Axis(1), HIDDEN);
        let mut logit = Array2::from_elem([all, 1], self.0[LOGIT_B][[0, 0]]);
        general_mat_mul(1.0, &after, &from_h.t(), 1.0, &mut logit);
        general_mat_mul(1.0, &embed, &from_embed.t(), 1.0, &mut logit);
        Trace { batch, embed, gates, h, c, tanh_c, forecast, logit }
    }

    fn linear(&self, x: &ArrayView2<f32>, weight: usize, bias: usize) -> Array2<f32> {
        let mut out = Array2::zeros([x.nrows(), SHAPES[weight][0]]);
        out += &self.0[bias];
        general_mat_mul(1.0, x, &self.0[weight].t(), 1.0, &mut out);
        out
    }

    /// The gradient of all weights, from those of the forecast (before its bounds) and of the logit.
    pub(crate) fn backward(
        &self,
        x: &ArrayView2<f32>,
        trace: &Trace,
        d_forecast: &Array2<f32>,
        d_logit: &Array2<f32>,
    ) -> Net {
        let (all, batch) = (x.nrows(), trace.batch);
        let after = rows(&trace.h, batch..all + batch);
        let mut grad = Net::zeros();
        grad.0[FORECAST_W] = d_forecast.t().dot(&after);
        grad.0[FORECAST_B] = sum_rows(d_forecast);
        let (mut to_h, mut to_embed) = grad.0[LOGIT_W].view_mut().split_at(Axis(1), HIDDEN);
        general_mat_mul(1.0, &d_logit.t(), &after, 0.0, &mut to_h);
        general_mat_mul(1.0, &d_logit.t(), &trace.embed, 0.0, &mut to_embed);
        grad.0[LOGIT_B] = sum_rows(d_logit);

        let (from_h, from_embed) = self.0[LOGIT_W].view().split_at(Axis(1), HIDDEN);
        let mut d_h = d_forecast.dot(&self.0[FORECAST_W]);
        general_mat_mul(1.0, d_logit, &from_h, 1.0, &mut d_h);
        let mut d_embed = d_logit.dot(&from_embed);
        let d_gates = self.backward_through_time(trace, &mut d_h);

        grad.0[HIDDEN_W] = d_gates.t().dot(&rows(&trace.h, 0..all));
        grad.0[INPUT_W] = d_gates.t().dot(&trace.embed);
        grad.0[GATE_B] = sum_rows(&d_gates);
        general_mat_mul(1.0, &d_gates, &self.0[INPUT_W], 1.0, &mut d_embed);
        d_embed.zip_mut_with(&trace.embed, |d, &e| *d *= f32::from(e > 0.0));
        grad.0[EMBED_W] = d_embed.t().dot(x);
        grad.0[EMBED_B] = sum_rows(&d_embed);
        grad
    }

    /// Gradient of the gates before their nonlinearity; `d_h` gathers what flows back through the recurrence.
    fn backward_through_time(&self, trace: &Trace, d_h: &mut Array2<f32>) -> Array2<f32> {
        let (all, batch) = (d_h.nrows(), trace.batch);
        let mut d_gates = Array2::zeros([all, GATES]);
        let mut d_c = Array2::zeros([batch, HIDDEN]);
        for from in (0..all).step_by(batch).rev() {
            let now: Range<usize> = from..from + batch;
            for row in now.clone() {
                cell_backward(row, row - from, trace, d_h, &mut d_c, &mut d_gates);
            }
            if from > 0 {
                let mut before = rows_mut(d_h, from - batch..from);
                general_mat_mul(1.0, &rows(&d_gates, now), &self.0[HIDDEN_W], 1.0, &mut before);
            }
        }
        d_gates
    }
}

/// One row of one step: gates through their nonlinearity, then the cell and the state.
fn cell_forward(
    row: usize,
    batch: usize,
    gates: &mut Array2<f32>,
    h: &mut Array2<f32>,
    c: &mut Array2<f32>,
    tanh_c: &mut Array2<f32>,
) {
    let gates = row_mut::<GATES>(gates, row);
    let before = *row_mut::<HIDDEN>(c, row);
    let (h, c) = (row_mut::<HIDDEN>(h, row + batch), row_mut::<HIDDEN>(c, row + batch));
    let tanh_c = row_mut::<HIDDEN>(tanh_c, row);
    for j in 0..HIDDEN {
        let [i, f, o] = [0, 1, 3].map(|g| sigmoid(gates[g * HIDDEN + j]));
        let g = gates[2 * HIDDEN + j].tanh();
        for (at, value) in [i, f, g, o].into_iter().enumerate() {
            gates[at * HIDDEN + j] = value;
        }
        c[j] = f * before[j] + i * g;
        tanh_c[j] = c[j].tanh();
        h[j] = o * tanh_c[j];
    }
}

/// The reverse of [`cell_forward`]; `d_c` comes from the step after and leaves for the step before.
fn cell_backward(
    at: usize,
    in_batch: usize,
    trace: &Trace,
    d_h: &Array2<f32>,
    d_c: &mut Array2<f32>,
    d_gates: &mut Array2<f32>,
) {
    let (gates, before) = (row::<GATES>(&trace.gates, at), row::<HIDDEN>(&trace.c, at));
    let (d_h, tanh_c) = (row::<HIDDEN>(d_h, at), row::<HIDDEN>(&trace.tanh_c, at));
    let (d_c, d_gates) = (row_mut::<HIDDEN>(d_c, in_batch), row_mut::<GATES>(d_gates, at));
    for j in 0..HIDDEN {
        let [i, f, g, o] = [0, 1, 2, 3].map(|g| gates[g * HIDDEN + j]);
        let (d_out, squashed) = (d_h[j], tanh_c[j]);
        let d_cell = d_c[j] + d_out * o * (1.0 - squashed * squashed);
        let d = [
            d_cell * g * i * (1.0 - i),
            d_cell * before[j] * f * (1.0 - f),
            d_cell * i * (1.0 - g * g),
            d_out * squashed * o * (1.0 - o),
        ];
        for (gate, value) in d.into_iter().enumerate() {
            d_gates[gate * HIDDEN + j] = value;
        }
        d_c[j] = d_cell * f;
    }
}

/// A row of a matrix of this width that lies row by row, as all of a [`Trace`] do: checked once, and not at each number.
fn row<const WIDTH: usize>(all: &Array2<f32>, row: usize) -> &[f32; WIDTH] {
    let flat = all.as_slice().expect("made row by row");
    flat[row * WIDTH..].first_chunk().expect("as wide as it was made")
}

fn row_mut<const WIDTH: usize>(all: &mut Array2<f32>, row: usize) -> &mut [f32; WIDTH] {
    let flat = all.as_slice_mut().expect("made row by row");
    flat[row * WIDTH..].first_chunk_mut().expect("as wide as it was made")
}

/// Puts zeros for all inputs that compare a pod with its own past: what is left are the levels of its signals, which of them are
/// known, and its use of the limits.
pub(crate) fn of_levels<'a>(inputs: impl Iterator<Item = &'a mut f32>) {
    let level = |i: usize| (3 * SIGNALS..4 * SIGNALS).contains(&i) || (5 * SIGNALS..6 * SIGNALS + 4).contains(&i);
    inputs.enumerate().filter(|(i, _)| !level(*i)).for_each(|(_, input)| *input = 0.0);
}

pub(crate) fn sigmoid(v: f32) -> f32 {
    1.0 / (1.0 + (-v).exp())
}

pub(crate) fn rows(all: &Array2<f32>, range: Range<usize>) -> ArrayView2<'_, f32> {
    all.slice_axis(Axis(0), Slice::from(range))
}

fn rows_mut(all: &mut Array2<f32>, range: Range<usize>) -> ArrayViewMut2<'_, f32> {
    all.slice_axis_mut(Axis(0), Slice::from(range))
}

fn sum_rows(all: &Array2<f32>) -> Array2<f32> {
    all.sum_axis(Axis(0)).insert_axis(Axis(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_network_of_levels_is_blind_to_what_compares_with_the_past() {
        let mut draw = Draw::new(5);
        let net = Net::random(&mut draw).sees_levels();
        let mut x = Array2::from_shape_simple_fn([1, INPUTS], || draw.normal(0.0, 1.0) as f32);
        let logit = |x: &Array2<f32>| net.forward(&x.view(), &State::zeros(1)).logit[[0, 0]];
        let before = logit(&x);
        x[[0, 0]] += 3.0;
        x[[0, INPUTS - 1]] += 3.0;
        assert!((logit(&x) - before).abs() < f32::EPSILON);
        x[[0, 3 * SIGNALS]] += 3.0;
        assert!((logit(&x) - before).abs() > f32::EPSILON);
    }
}
