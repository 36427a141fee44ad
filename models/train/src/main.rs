//! Trains the LSTM of kubectl guard: recorded days in `models/data` in, `models/guard.onnx` out.

mod augment;
mod data;
mod draw;
mod net;
mod onnx;
mod optim;
mod statistics;
mod track;
mod train;

use std::io::Write;
use std::path::PathBuf;
use std::time::Instant;

use anyhow::{Context, Result};
use clap::Parser;

use crate::data::{APPLICATIONS, Series};
use crate::net::Net;
use crate::train::{Plan, Source, train};

/// Trains the model and writes its ONNX file.
#[derive(Parser)]
struct Args {
    /// Folder of the crate guard-model, which holds `data/` and receives the model.
    #[arg(long, default_value = concat!(env!("CARGO_MANIFEST_DIR"), "/.."))]
    models: PathBuf,
    /// Everything random follows from this number.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Batches of fresh windows.
    #[arg(long, default_value_t = 120)]
    epochs: usize,
    /// Write only the model of constant zeros that tests use, to `golden/zero.onnx`.
    #[arg(long)]
    zero: bool,
}

fn main() -> Result<()> {
    let args = Args::parse();
    if args.zero {
        return write(&args.models.join("golden/zero.onnx"), &onnx::encode(&never(), "guard-zero"));
    }
    let folder = args.models.join("data/nezha");
    let days = APPLICATIONS.map(|application| Series::load(&folder, "normal", application));
    let days = days.into_iter().collect::<Result<Vec<_>>>()?;
    let sources: Vec<Source> =
        days.iter().map(|series| Source { series, parts: vec![(0, series.minutes.len())] }).collect();
    let plan = Plan { seed: args.seed, epochs: args.epochs, rate: 4e-3 };
    let started = Instant::now();
    let net = train(&sources, plan, &mut |epoch, loss| {
        if epoch % 10 == 9 {
            say(&format!("epoch {} loss {loss:.4} after {:.0} s", epoch + 1, started.elapsed().as_secs_f64()));
        }
    });
    say(&format!("{} parameters", net.parameters()));
    write(&args.models.join("guard.onnx"), &onnx::encode(&net, "guard-lstm"))
}

/// The network that finds nothing: its probability is 0 whatever it sees.
fn never() -> Net {
    let mut net = Net::zeros();
    net.0[net::part::LOGIT_B].fill(-200.0);
    net
}

fn write(path: &std::path::Path, bytes: &[u8]) -> Result<()> {
    std::fs::write(path, bytes).with_context(|| format!("writing {}", path.display()))?;
    say(&format!("wrote {}", path.display()));
    Ok(())
}

/// Progress goes to stderr; there is nobody to tell if that fails.
fn say(text: &str) {
    writeln!(std::io::stderr(), "{text}").unwrap_or_default();
}
