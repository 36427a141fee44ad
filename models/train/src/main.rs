//! Trains the model and writes `models/guard.onnx`, and `models/MODEL_CARD.md` if that is true of it.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Context, Result};
use clap::Parser;
use guard_train::data::{APPLICATIONS, Series};
use guard_train::{Net, Plan, Source, card, encode, train, write_windows};

/// Trains the model; writes its ONNX file, and its card if seed and epochs are those that ship.
#[derive(Parser)]
struct Args {
    /// Folder of the crate guard-model, which holds `data/` and receives the model.
    #[arg(long, default_value = concat!(env!("CARGO_MANIFEST_DIR"), "/.."))]
    models: PathBuf,
    /// Everything random follows from this number.
    #[arg(long, default_value_t = Plan::SHIPPED.seed)]
    seed: u64,
    /// Batches of fresh windows.
    #[arg(long, default_value_t = Plan::SHIPPED.epochs)]
    epochs: usize,
    /// Train nothing: write only the card of the model that is there, which is of the default seed and epochs.
    #[arg(long, conflicts_with_all = ["zero", "seed", "epochs"])]
    card: bool,
    /// Train nothing: write only the model of constant zeros that tests use, to `golden/zero.onnx`.
    #[arg(long)]
    zero: bool,
    /// Train nothing: write what the network would learn from, for one that is trained elsewhere (see README.md).
    #[arg(long, value_name = "FILE", conflicts_with_all = ["card", "zero"])]
    windows: Option<PathBuf>,
}

fn main() -> Result<()> {
    let args = Args::parse();
    if args.zero {
        return write(&args.models.join("golden/zero.onnx"), &encode(&Net::never(), "guard-zero"));
    }
    if let Some(path) = &args.windows {
        let file = File::create(path).with_context(|| format!("cannot write {}", path.display()))?;
        let mut out = BufWriter::new(file);
        learn(&args, |sources, plan| Ok(write_windows(sources, plan, &mut out)?))?;
        return out.flush().with_context(|| format!("cannot write {}", path.display()));
    }
    let model = args.models.join("guard.onnx");
    if !args.card {
        let net = fit(&args)?;
        write(&model, &encode(&net, "guard-lstm"))?;
    }
    if !args.card && !args.has_card() {
        say(
            "wrote no MODEL_CARD.md: it is of the seed and the epochs that ship, and quotes the RESULTS.md beside them",
        );
        return Ok(());
    }
    write(&args.models.join("MODEL_CARD.md"), card::of(&args.models)?.as_bytes())
}

impl Args {
    /// Whether the card would be true of what is trained.
    fn has_card(&self) -> bool {
        (self.seed, self.epochs) == (Plan::SHIPPED.seed, Plan::SHIPPED.epochs)
            && self.models.join("RESULTS.md").exists()
    }
}

fn fit(args: &Args) -> Result<Net> {
    let started = Instant::now();
    learn(args, |sources, plan| {
        Ok(train(sources, plan, &mut |epoch, loss| {
            if epoch % 10 == 9 {
                say(&format!("epoch {} loss {loss:.4} after {:.0} s", epoch + 1, started.elapsed().as_secs_f64()));
            }
            ControlFlow::Continue(())
        }))
    })
}

/// Does something with the days and the plan of the arguments.
fn learn<T>(args: &Args, work: impl FnOnce(&[Source], Plan) -> Result<T>) -> Result<T> {
    let folder = args.models.join("data/nezha");
    let days = APPLICATIONS.map(|application| Series::load(&folder, "normal", application));
    let days = days.into_iter().collect::<Result<Vec<_>>>()?;
    let sources: Vec<Source> = days.iter().map(Source::whole).collect();
    let plan = Plan { seed: args.seed, epochs: args.epochs, ..Plan::SHIPPED };
    work(&sources, plan)
}

fn write(path: &Path, bytes: &[u8]) -> Result<()> {
    std::fs::write(path, bytes).with_context(|| format!("writing {}", path.display()))?;
    say(&format!("wrote {}", path.display()));
    Ok(())
}

/// Progress goes to stderr; there is nobody to tell if that fails.
fn say(text: &str) {
    writeln!(std::io::stderr(), "{text}").unwrap_or_default();
}
