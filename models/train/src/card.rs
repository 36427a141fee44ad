//! The model card: what the model is, what it was trained on, how well it was measured to do, and where it fails.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use guard_model::engine::{Engine, HIDDEN};
use guard_model::features::{INPUTS, SIGNALS};

use crate::net::Net;
use crate::train::Plan;

/// Heading of the section of RESULTS.md that the card quotes.
pub const IN_SHORT: &str = "## In short\n";

/// The card of `models/guard.onnx`, with the figures of `models/RESULTS.md`.
///
/// # Errors
/// If one of the two is missing or cannot be read.
pub fn of(models: &Path) -> Result<String> {
    let read =
        |name: &str| fs::read(models.join(name)).with_context(|| format!("reading {name} in {}", models.display()));
    let onnx = read("guard.onnx")?;
    let results = String::from_utf8(read("RESULTS.md")?).context("RESULTS.md is no text")?;
    render(&onnx, &results)
}

fn render(onnx: &[u8], results: &str) -> Result<String> {
    let engine = Engine::load(onnx)?;
    let model = engine.info();
    let after = results.split_once(IN_SHORT).context("RESULTS.md has no section 'In short'")?.1;
    let figures = after.split("\n## ").next().unwrap_or(after).trim();
    let Plan { seed, epochs, rate, .. } = Plan::SHIPPED;
    Ok(format!(
        "# Model card: {name} {version}

Written by `cargo run --release -p guard-train`; do not edit.

| | |
| --- | --- |
| file | `guard.onnx`, {size} bytes, SHA-256 `{sha}` |
| network | linear {INPUTS} -> 32, ReLU, LSTM {HIDDEN}; heads: probability, mean and log variance of the next residual of {SIGNALS} signals |
| parameters | {parameters} |
| use | one step a tick, state in and out, all pods of a node in one batch |
| trained by | AdamW, one cycle to {rate:e}, {epochs} epochs, seed {seed}, on two CPU cores |
| checked | `golden/vectors.json`, computed by ONNX Runtime: tract agrees within 1e-4 |

## What it is for

The probability that a pod misbehaves now, from its CPU, memory and traffic against its own past. `guard-exporter` mixes it
with what Kubernetes states as fact (crash loops, OOM kills, readiness, use at the limit): a person on call sees the two
together. It decides nothing: every change to a cluster is approved by a person.

## What it was trained on

The fault-free days of `data/nezha` (two applications, 56 pods, 21.3 pod-days of one-minute samples, 2022 and 2023) with
synthetic faults put into them by `train/src/augment.rs`, resampled to intervals of 5 to 60 s. No injected fault of the
source and nothing of `data/recording` and `data/soak` was trained on. One implementation of the features serves training and serving.

## How well it does

{figures}

The whole table, with the method: [RESULTS.md](RESULTS.md).

## Where it fails

- Delays on the network show hardly at all in a pod's own CPU, memory and traffic: promise nothing there.
- Faults inside an application (wrong answers, exceptions) do not show in these signals either.
- A job alarms the first time: it is excused from the second night (or week) on, or from the fourth run at other equal intervals. One that
  runs on is told of once it has taken half as long again as ever before, and a minute.
- A pod that fails each night at the same time, no worse than the night before, is excused just so: it is told of once.
- Few data: two applications of 2022 and 2023 and two small clusters. The intervals say how little that is.
- Rules beside the network were made after the faults of these two clusters had been looked at (memory on its way to its limit, what a pod did
  since it was first seen and while it starts, memory of a young pod, disk traffic, traffic that falls silent or to little): expect fewer
  faults found elsewhere, down to what the network finds alone.
- What stands between the network and an alert (when a jump is believed, what counts as coming back) was chosen with these
  very figures in sight, on two seeds: expect somewhat more false alerts elsewhere.
",
        name = model.name,
        version = model.version,
        size = onnx.len(),
        sha = model.sha256,
        parameters = Net::parameters(),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_committed_card_is_that_of_the_committed_model_and_figures() {
        let models = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/.."));
        let committed = fs::read_to_string(models.join("MODEL_CARD.md")).unwrap();
        let fresh = of(models).unwrap();
        assert!(committed == fresh, "run cargo run --release -p guard-train -- --card, which now writes:\n{fresh}");
    }

    #[test]
    fn figures_end_where_the_next_section_begins() {
        let card =
            render(guard_model::engine::SHIPPED, "# R\n\n## In short\n\nfound all\n\n## Method\n\nno\n").unwrap();
        assert!(card.contains("found all") && !card.contains("\nno\n"));
        assert!(render(guard_model::engine::SHIPPED, "# R\n").is_err());
    }
}
