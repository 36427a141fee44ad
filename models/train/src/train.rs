//! Batches of augmented windows, the loss and the training loop.

use std::io::{self, Write};
use std::ops::ControlFlow;

use guard_model::features::{INPUTS, Normaliser, SIGNALS, Signals};
use tract_onnx::prelude::tract_ndarray::Array2;

use crate::augment::augment;
use crate::data::Series;
use crate::draw::Draw;
use crate::net::{FORECAST, LOG_VARIANCE, Net, State, Trace, of_levels, rows, sigmoid};
use crate::optim::{AdamW, one_cycle};
use crate::track::Track;

/// Samples of a window.
pub const STEPS: usize = 288;
/// Steps of one truncated back-propagation.
const CHUNK: usize = 64;
/// Weight of the forecast and of the label in the loss.
const FORECAST_SHARE: f64 = 0.3;
const LABEL_SHARE: f64 = 3.0;
/// Windows drawn in an epoch, of each application.
const WINDOWS: usize = 128;
/// First samples of a pod are judged on priors alone, and count for less.
const UNLEARNT: usize = 15;

/// How to train.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    /// Everything random follows from this number.
    pub seed: u64,
    /// Batches of fresh windows.
    pub epochs: usize,
    /// Peak of the learning rate.
    pub rate: f64,
    /// How far back the net looks.
    pub memory: Memory,
}

/// How far back a net looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Memory {
    /// As far as its state carries, from the first sample of a pod on.
    Streaming,
    /// Over the last [`WINDOW`] samples, from nothing, at levels that are not compared with the pod's own past: how LSTM are most
    /// often put to monitoring. Kept to be measured.
    Window,
    /// At this sample alone. Kept to show what memory is worth.
    None,
}

/// Samples that a net of [`Memory::Window`] sees at once.
pub const WINDOW: usize = 30;

impl Plan {
    /// How the model that ships was trained.
    pub const SHIPPED: Plan = Plan { seed: 1, epochs: 120, rate: 4e-3, memory: Memory::Streaming };
}

/// Fault-free minutes to draw windows from: a series and which of its minutes (from, to) may be used.
#[derive(Clone, Debug)]
pub struct Source<'a> {
    /// The day.
    pub series: &'a Series,
    /// Minutes of it, each part at least [`STEPS`] long.
    pub parts: Vec<(usize, usize)>,
}

impl Source<'_> {
    /// A day of which every minute may be used.
    pub fn whole(series: &Series) -> Source<'_> {
        Source { series, parts: vec![(0, series.minutes.len())] }
    }
}

/// Windows side by side: row `step * width + window`.
struct Batch {
    width: usize,
    input: Array2<f32>,
    residual: Array2<f32>,
    known: Array2<f32>,
    label: Vec<f32>,
    weight: Vec<f32>,
}

impl Batch {
    fn new(width: usize) -> Batch {
        let rows = STEPS * width;
        Batch {
            width,
            input: Array2::zeros([rows, INPUTS]),
            residual: Array2::zeros([rows, SIGNALS]),
            known: Array2::zeros([rows, SIGNALS]),
            label: vec![0.0; rows],
            weight: vec![0.0; rows],
        }
    }

    fn draw(sources: &[Source], memory: Memory, draw: &mut Draw) -> Batch {
        let mut batch = Batch::new(WINDOWS * sources.len());
        for i in 0..batch.width {
            let source = &sources[i % sources.len()];
            let part = draw.pick(&source.parts);
            let start = draw.integer(part.0, part.1 - STEPS + 1);
            let pod = draw.integer(0, source.series.pods.len());
            let minutes: Vec<Signals> = (start..start + STEPS).map(|m| source.series.cell(m, pod)).collect();
            batch.put(i, &minutes, draw);
        }
        if memory == Memory::Window {
            batch.input.rows_mut().into_iter().for_each(|mut row| of_levels(row.iter_mut()));
        }
        batch
    }

    fn put(&mut self, window: usize, minutes: &[Signals], draw: &mut Draw) {
        let example = augment(Track::new(minutes, STEPS, draw), draw);
        let mut normaliser = Normaliser::default();
        for (t, (at, cell)) in example.at.iter().zip(&example.cells).enumerate() {
            let features = normaliser.step(*at, cell);
            let row = t * self.width + window;
            for (mut to, from) in [
                (self.input.row_mut(row), &features.input[..]),
                (self.residual.row_mut(row), &features.residual),
                (self.known.row_mut(row), &features.known),
            ] {
                to.iter_mut().zip(from).for_each(|(to, from)| *to = *from);
            }
            self.label[row] = example.label[t];
            self.weight[row] = example.weight[t] * if t < UNLEARNT { 0.3 } else { 1.0 };
        }
    }
}

struct Loss {
    value: f64,
    d_forecast: Array2<f32>,
    d_logit: Array2<f32>,
}

/// Loss of the rows from `from` on that the trace covers: cross-entropy of the label, and the likelihood (Student t, three
/// degrees of freedom) of the next residual where the next sample is normal.
fn loss(batch: &Batch, from: usize, trace: &Trace) -> Loss {
    let all = trace.logit.nrows();
    let next = from + batch.width;
    let forecasts: f64 = (next..next + all)
        .filter(|&row| is_normal(batch, row))
        .map(|row| f64::from(batch.known.row(row).sum()))
        .sum::<f64>()
        .max(1.0);
    let share = FORECAST_SHARE / forecasts;
    let mut out = Loss { value: 0.0, d_forecast: Array2::zeros([all, FORECAST]), d_logit: Array2::zeros([all, 1]) };
    for row in 0..all {
        let (logit, label, weight) = (trace.logit[[row, 0]], batch.label[from + row], batch.weight[from + row]);
        let entropy = logit.max(0.0) - logit * label + (-logit.abs()).exp().ln_1p();
        out.value += LABEL_SHARE / all as f64 * f64::from(weight * entropy);
        out.d_logit[[row, 0]] = (LABEL_SHARE / all as f64) as f32 * weight * (sigmoid(logit) - label);
        if !is_normal(batch, next + row) {
            continue;
        }
        for f in (0..SIGNALS).filter(|&f| batch.known[[next + row, f]] > 0.0) {
            let (mean, free) = (trace.forecast[[row, f]], trace.forecast[[row, SIGNALS + f]]);
            let log_variance = free.clamp(LOG_VARIANCE[0], LOG_VARIANCE[1]);
            let error = batch.residual[[next + row, f]].clamp(-8.0, 8.0) - mean;
            let precision = (-log_variance).exp();
            let z = error * error * precision;
            out.value += share * f64::from(0.5 * log_variance + 2.0 * (z / 3.0).ln_1p());
            out.d_forecast[[row, f]] = share as f32 * -4.0 * error * precision / (3.0 + z);
            if (free - log_variance).abs() < f32::EPSILON {
                out.d_forecast[[row, SIGNALS + f]] = share as f32 * (0.5 - 2.0 * z / (3.0 + z));
            }
        }
    }
    out
}

fn is_normal(batch: &Batch, row: usize) -> bool {
    batch.label[row] <= 0.0 && batch.weight[row] > 0.0
}

/// Writes what [`train`] would learn from, for networks that are trained elsewhere: for each epoch [`STEPS`] times one row a
/// window (128 for each source), and for each row the inputs, the residuals and whether they are known, the label and its
/// weight, as little-endian `f32`.
///
/// # Errors
/// If `out` takes no more.
pub fn write_windows(sources: &[Source], plan: Plan, out: &mut dyn Write) -> io::Result<()> {
    let mut draw = Draw::new(plan.seed);
    for _ in 0..plan.epochs {
        let batch = Batch::draw(sources, plan.memory, &mut draw);
        for row in 0..STEPS * batch.width {
            let told = [batch.label[row], batch.weight[row]];
            let seen = batch.input.row(row).into_iter().chain(batch.residual.row(row)).chain(batch.known.row(row));
            for number in seen.chain(&told) {
                out.write_all(&number.to_le_bytes())?;
            }
        }
    }
    Ok(())
}

/// Trains from the seed. `report` is told of each epoch's loss and may end it there.
pub fn train(sources: &[Source], plan: Plan, report: &mut dyn FnMut(usize, f64) -> ControlFlow<()>) -> Net {
    let mut draw = Draw::new(plan.seed);
    let mut net = Net::random(&mut draw);
    let mut optimiser = AdamW::new();
    let chunk = if plan.memory == Memory::Window { WINDOW } else { CHUNK };
    let chunks: Vec<usize> = (0..STEPS - 1).step_by(chunk).collect();
    for epoch in 0..plan.epochs {
        let batch = Batch::draw(sources, plan.memory, &mut draw);
        let mut state = State::zeros(batch.width);
        let mut mean = 0.0;
        for (i, &first) in chunks.iter().enumerate() {
            let last = (first + chunk).min(STEPS - 1);
            let x = rows(&batch.input, first * batch.width..last * batch.width);
            state = match plan.memory {
                Memory::Streaming => state,
                Memory::Window => State::zeros(batch.width),
                Memory::None => State::zeros(x.nrows()),
            };
            let trace = net.forward(&x, &state);
            let loss = loss(&batch, first * batch.width, &trace);
            let grad = net.backward(&x, &trace, &loss.d_forecast, &loss.d_logit);
            let rate = one_cycle(epoch * chunks.len() + i, plan.epochs * chunks.len(), plan.rate);
            optimiser.step(&mut net, &grad, rate);
            state = trace.last_state();
            mean += loss.value / chunks.len() as f64;
        }
        if report(epoch, mean).is_break() {
            break;
        }
    }
    match plan.memory {
        Memory::Streaming => net,
        Memory::Window => net.sees_levels(),
        Memory::None => net.forgetful(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn windows_are_written_as_they_would_be_learnt() {
        let folder = std::path::Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../data/nezha"));
        let day = Series::load(folder, "normal", crate::data::APPLICATIONS[0]).unwrap();
        let sources = [Source::whole(&day)];
        let mut written = Vec::new();
        write_windows(&sources, Plan { epochs: 1, ..Plan::SHIPPED }, &mut written).unwrap();
        let batch = Batch::draw(&sources, Memory::Streaming, &mut Draw::new(Plan::SHIPPED.seed));
        let numbers: Vec<f32> = written.chunks_exact(4).map(|b| f32::from_le_bytes(b.try_into().unwrap())).collect();
        let width = INPUTS + 2 * SIGNALS + 2;
        assert_eq!(numbers.len(), STEPS * WINDOWS * width);
        for row in [0, 5 * WINDOWS + 3, STEPS * WINDOWS - 1] {
            let found = &numbers[row * width..][..width];
            assert_eq!(found[..INPUTS], batch.input.row(row).to_vec());
            assert_eq!(found[width - 2..], [batch.label[row], batch.weight[row]]);
        }
    }

    /// Six steps of four windows of noise, with labels and some rows left out.
    fn noise(draw: &mut Draw) -> Batch {
        let width = 4;
        let mut batch = Batch::new(width);
        let mut normal = |all: &mut Array2<f32>| all.mapv_inplace(|_| draw.normal(0.0, 1.0) as f32);
        normal(&mut batch.input);
        normal(&mut batch.residual);
        batch.known.fill(1.0);
        for (row, (label, weight)) in batch.label.iter_mut().zip(&mut batch.weight).enumerate() {
            *label = f32::from(u8::from(row % 5 == 0));
            *weight = if row % 7 == 0 { 0.0 } else { 0.7 };
        }
        batch
    }

    #[test]
    fn the_gradient_is_that_of_differences() {
        const STEP: f32 = 1e-2;
        let mut draw = Draw::new(3);
        let batch = noise(&mut draw);
        let mut net = Net::random(&mut draw);
        let state = State::zeros(batch.width);
        let x = rows(&batch.input, 0..6 * batch.width);
        let value = |net: &Net| loss(&batch, 0, &net.forward(&x, &state)).value;
        let trace = net.forward(&x, &state);
        let found = loss(&batch, 0, &trace);
        let grad = net.backward(&x, &trace, &found.d_forecast, &found.d_logit);
        for part in 0..net.0.len() {
            let shape = net.0[part].dim();
            for _ in 0..12 {
                let at = [draw.integer(0, shape.0), draw.integer(0, shape.1)];
                let before = net.0[part][at];
                let mut end = |step: f32| {
                    net.0[part][at] = before + step;
                    value(&net)
                };
                let difference = (end(STEP) - end(-STEP)) / f64::from(2.0 * STEP);
                net.0[part][at] = before;
                let written = f64::from(grad.0[part][at]);
                let tolerance = 2e-3 + 0.03 * difference.abs();
                assert!((written - difference).abs() < tolerance, "part {part} at {at:?}: {written} {difference}");
            }
        }
    }
}
