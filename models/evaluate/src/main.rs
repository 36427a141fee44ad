//! Measures the model beside simpler detectors, on data that the model at hand was not trained on.

mod day;
mod detectors;
mod folds;
mod intervals;
mod judge;
mod record;
mod results;
mod scores;

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use clap::Parser;
use guard_model::features::schema_hash;
use guard_train::{Plan, card, encode};

use crate::folds::{Data, recording, splits};
use crate::record::Record;

/// Measures the model beside simpler detectors: trains one on each fold (a few minutes), and writes evaluate/record.json,
/// RESULTS.md and the model's card.
#[derive(Parser)]
struct Args {
    /// Folder of the crate guard-model, which holds `data/` and the model.
    #[arg(long, default_value = concat!(env!("CARGO_MANIFEST_DIR"), "/.."))]
    models: PathBuf,
    /// Measure nothing: draw RESULTS.md and the card from the record that is there.
    #[arg(long)]
    draw: bool,
}

fn main() -> Result<()> {
    let Args { models, draw } = Args::parse();
    let path = models.join("evaluate/record.json");
    if !draw {
        let record = measure(&models)?;
        write(&path, &(serde_json::to_string_pretty(&record)? + "\n"))?;
    }
    write(&models.join("RESULTS.md"), &results::render(&read(&path)?))?;
    write(&models.join("MODEL_CARD.md"), &card::of(&models)?)
}

fn measure(models: &Path) -> Result<Record> {
    let data = Data::read(models)?;
    let Plan { seed, epochs, .. } = Plan::SHIPPED;
    let mut folds = Vec::new();
    for split in splits(&data) {
        let (net, losses) = split.train(epochs, &mut |epoch| {
            if epoch % 30 == 0 {
                say(&format!("{}: epoch {epoch} of {epochs}", split.name));
            }
        });
        let model = split.model(&encode(&net, "guard-lstm"))?;
        folds.push(split.fold(losses, model));
    }
    say("the recording");
    let split = recording(&data);
    folds.push(split.fold(Vec::new(), split.model(&shipped(models)?)?));
    Ok(Record { features: schema_hash(), seed, epochs, folds })
}

fn shipped(models: &Path) -> Result<Vec<u8>> {
    fs::read(models.join("guard.onnx")).context("reading the model that ships")
}

fn read(path: &Path) -> Result<Record> {
    let text = fs::read_to_string(path).with_context(|| format!("reading {}", path.display()))?;
    serde_json::from_str(&text).with_context(|| format!("reading {}", path.display()))
}

fn write(path: &Path, text: &str) -> Result<()> {
    fs::write(path, text).with_context(|| format!("writing {}", path.display()))?;
    say(&format!("wrote {}", path.display()));
    Ok(())
}

/// Progress goes to stderr; there is nobody to tell if that fails.
fn say(text: &str) {
    writeln!(std::io::stderr(), "{text}").unwrap_or_default();
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::Outcome;

    const AGAIN: &str = "run cargo run --release -p guard-evaluate";

    fn models() -> &'static Path {
        Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
    }

    fn committed() -> Record {
        read(&models().join("evaluate/record.json")).unwrap()
    }

    /// Lines come of scores, whose last bits differ between machines; what is counted does not.
    fn same(found: &[Outcome], recorded: &[Outcome]) {
        assert_eq!(found.len(), recorded.len(), "{AGAIN}");
        for (found, recorded) in found.iter().zip(recorded) {
            assert!((found.line / recorded.line - 1.0).abs() < 1e-3, "{found:?} {recorded:?}, {AGAIN}");
            let recorded = Outcome { line: found.line, ..recorded.clone() };
            assert_eq!(*found, recorded, "{AGAIN}");
        }
    }

    #[test]
    fn the_page_is_that_of_the_record() {
        let committed_page = fs::read_to_string(models().join("RESULTS.md")).unwrap();
        assert!(committed_page == results::render(&committed()), "{AGAIN} -- --draw");
    }

    #[test]
    fn the_record_is_of_this_code_and_this_model() {
        let (record, data) = (committed(), Data::read(models()).unwrap());
        assert_eq!(record.features, schema_hash(), "{AGAIN}");
        let splits = splits(&data);
        for (split, fold) in splits.iter().zip(&record.folds) {
            assert_eq!(split.name, fold.name);
            same(&split.baselines(), &fold.outcomes[fold.outcomes.len() - detectors::BASELINES.len()..]);
        }
        // The first steps of a training tell whether the whole would be the same.
        let (_, losses) = splits[0].train(2, &mut |_| {});
        for (loss, recorded) in losses.iter().zip(&record.folds[0].losses) {
            assert!((loss / recorded - 1.0).abs() < 1e-3, "{loss} {recorded}, {AGAIN}");
        }
        let split = recording(&data);
        let all = split.fold(Vec::new(), split.model(&shipped(models()).unwrap()).unwrap());
        same(&all.outcomes, &record.folds[splits.len()].outcomes);
    }
}
