//! Measures the model beside simpler detectors, on data that the model at hand was not trained on.

mod area;
mod calibration;
mod day;
mod detectors;
mod drift;
mod folds;
mod intervals;
mod judge;
mod naming;
mod record;
mod results;
mod scores;
mod synthetic;

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use clap::Parser;
use guard_model::features::schema_hash;
use guard_train::{Plan, card};

use crate::day::Day;
use crate::folds::{Data, intervals, recordings, trials};
use crate::record::{Fold, Record};
use crate::scores::Scored;

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
    /// Measure the recordings alone, which needs no training; the rest is kept as it was recorded.
    #[arg(long, conflicts_with = "draw")]
    recordings: bool,
}

fn main() -> Result<()> {
    let Args { models, draw, recordings } = Args::parse();
    let path = models.join("evaluate/record.json");
    if !draw {
        let kept = recordings.then(|| read(&path)).transpose()?;
        let record = measure(&models, kept)?;
        write(&path, &(serde_json::to_string(&record)? + "\n"))?;
    }
    write(&models.join("RESULTS.md"), &results::render(&read(&path)?))?;
    write(&models.join("MODEL_CARD.md"), &card::of(&models)?)
}

/// Measures everything, or all but the folds of trainings in a record that is to be `kept`.
fn measure(models: &Path, kept: Option<Record>) -> Result<Record> {
    let data = Data::read(models)?;
    let Plan { seed, epochs, .. } = Plan::SHIPPED;
    let days: Vec<&Day> = if kept.is_some() { data.real().collect() } else { data.all().collect() };
    say("scoring: the baselines");
    let baselines = scores::baselines(&days);
    let mut folds = match kept {
        Some(record) => {
            let now = (schema_hash(), seed, epochs);
            ensure!((record.features, record.seed, record.epochs) == now, "the record is of another training");
            record.folds.into_iter().filter(|fold| fold.scheme.needs_training()).collect()
        }
        None => trained(&data, epochs, &baselines)?,
    };
    let shipped = shipped(models)?;
    for split in recordings(&data) {
        say(&format!("judging: {}", split.name));
        folds.push(split.fold(Vec::new(), split.model(&shipped)?, &baselines));
    }
    for split in intervals(&data) {
        say(&format!("judging: each {}", split.name));
        folds.push(split.served(&shipped)?);
    }
    Ok(Record { features: schema_hash(), seed, epochs, folds })
}

/// What needs a training, a fold each.
fn trained(data: &Data, epochs: usize, baselines: &[(&str, Scored)]) -> Result<Vec<Fold>> {
    let mut folds = Vec::new();
    for trial in trials(data) {
        let names: Vec<&str> = trial.splits.iter().map(|split| split.name.as_str()).collect();
        say(&format!("training for: {}", names.join(", ")));
        let networks = trial.networks(epochs);
        for split in &trial.splits {
            say(&format!("judging: {}", split.name));
            folds.push(split.fold(networks.streaming.losses.clone(), split.networks(&networks)?, baselines));
        }
    }
    Ok(folds)
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
    use guard_train::Memory;

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
            let areas = |outcome: &Outcome| outcome.area.map(|area| area.auc_pr + area.vus_pr);
            assert!(
                (areas(found).unwrap() / areas(recorded).unwrap() - 1.0).abs() < 1e-3,
                "{found:?} {recorded:?}, {AGAIN}"
            );
            let (area, area_without) = (found.area, found.area_without);
            let recorded = Outcome { line: found.line, area, area_without, ..recorded.clone() };
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
        // The first steps of a training tell whether the whole would be the same, and the baselines of one fold whether
        // the data and the judge are.
        let trial = &trials(&data)[0];
        let fold = &record.folds[0];
        assert_eq!(trial.splits[0].name, fold.name);
        let baselines = scores::baselines(&data.real().collect::<Vec<_>>());
        same(&trial.splits[0].baselines(&baselines), &fold.outcomes[fold.outcomes.len() - baselines.len()..]);
        for (loss, recorded) in trial.train(Memory::Streaming, 2).losses.iter().zip(&fold.losses) {
            assert!((loss / recorded - 1.0).abs() < 1e-3, "{loss} {recorded}, {AGAIN}");
        }
        let shipped = shipped(models()).unwrap();
        let recorded = |name: &str| &record.folds.iter().find(|fold| fold.name == name).expect(name).outcomes;
        for split in recordings(&data) {
            let all = split.fold(Vec::new(), split.model(&shipped).unwrap(), &baselines);
            same(&all.outcomes, recorded(&split.name));
        }
        for split in intervals(&data) {
            same(&split.served(&shipped).unwrap().outcomes, recorded(&split.name));
        }
    }
}
