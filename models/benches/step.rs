//! What a step of the model costs: one line for each number of pods, median of many.
//!
//! `--rows N --steps N` makes exactly so many steps and prints nothing: for a count of instructions under valgrind.
//! `step.py` beside this file runs both, and the same model in ONNX Runtime.

#![expect(clippy::print_stdout, reason = "a bench is run to be read")]
#![expect(clippy::disallowed_methods, reason = "the crate is given the time, and a bench measures it")]

use std::time::Instant;

use guard_model::engine::{Engine, HIDDEN, SHIPPED};
use guard_model::features::INPUTS;

type Failure = Box<dyn std::error::Error>;

const PODS: [usize; 5] = [1, 30, 110, 250, 500];
/// What the older tool gives its network for each pod, again at each look: the last so many samples, one after another.
const WINDOW: usize = 30;
/// Steps that a median is taken of.
const STEPS: usize = 2000;
/// Looks of the older kind are a thousand times slower: fewer will do.
const LOOKS: usize = 5;

/// Some pods and what is remembered of them.
struct Pods {
    engine: Engine,
    x: Vec<f32>,
    h: Vec<f32>,
    c: Vec<f32>,
    rows: usize,
}

impl Pods {
    fn new(rows: usize) -> Result<Self, Failure> {
        let x = (0..rows * INPUTS).map(|i| ((i * 31 % 97) as f32 / 97.0 - 0.5) * 2.0).collect();
        let state = vec![0.0; rows * HIDDEN];
        Ok(Self { engine: Engine::load(SHIPPED)?, x, h: state.clone(), c: state, rows })
    }

    fn step(&mut self) -> Result<(), Failure> {
        self.engine.step(self.rows, &self.x, &mut self.h, &mut self.c)?;
        Ok(())
    }

    /// One pod after another, each through its whole window.
    fn windows(&mut self) -> Result<(), Failure> {
        for row in 0..self.rows {
            let (mut h, mut c) = ([0.0; HIDDEN], [0.0; HIDDEN]);
            for _ in 0..WINDOW {
                self.engine.step(1, &self.x[row * INPUTS..][..INPUTS], &mut h, &mut c)?;
            }
        }
        Ok(())
    }
}

/// Median of the microseconds of each.
fn median(times: usize, mut work: impl FnMut() -> Result<(), Failure>) -> Result<f64, Failure> {
    let mut took = Vec::with_capacity(times);
    for _ in 0..times {
        let start = Instant::now();
        work()?;
        took.push(start.elapsed().as_secs_f64() * 1e6);
    }
    took.sort_by(f64::total_cmp);
    Ok(took[times / 2])
}

fn main() -> Result<(), Failure> {
    let words: Vec<String> = std::env::args().collect();
    let number = |flag: &str| words.iter().position(|word| word == flag).and_then(|at| words.get(at + 1)?.parse().ok());
    if let (Some(rows), Some(steps)) = (number("--rows"), number("--steps")) {
        let mut pods = Pods::new(rows)?;
        return (0..steps).try_for_each(|_: usize| pods.step());
    }
    for rows in PODS {
        let mut pods = Pods::new(rows)?;
        (0..100).try_for_each(|_| pods.step())?;
        let (step, windows) = (median(STEPS, || pods.step())?, median(LOOKS, || pods.windows())?);
        println!("{rows} {step:.1} {windows:.0}");
    }
    Ok(())
}
