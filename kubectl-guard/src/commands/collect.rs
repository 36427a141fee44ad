//! `collect`: metrics of pods into `pod_metrics.csv`, or the kubelets' readings as they came into a recording.

use std::fs::File;
use std::io::{self, BufWriter};
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;
use guard_model::recording;

use crate::collect::file::{TableFile, unwritable};
use crate::collect::own::{Own, OwnMetric};
use crate::collect::{self, Look, Source, now};
use crate::connect::{Connection, Environment};
use crate::console::Console;
use crate::error::Error;
use crate::exit::Exit;
use crate::flags::source_flags::PrometheusFlags;
use crate::flags::{KubeFlags, Selection, duration};
use crate::sanitise;
use crate::signals::Ends;

/// Enough for a recording that is written as it is made.
const LEVEL: i32 = 3;

/// Where Prometheus is if nobody says, as for the older tool.
const USUAL: &str = "http://localhost:9090";

/// Arguments of `collect`.
#[derive(Args, Clone, Debug)]
// The list of pods is read in one piece.
#[command(mut_arg("chunk_size", |arg| arg.hide(true)))]
pub struct CollectArgs {
    #[command(flatten)]
    selection: Selection,
    /// Table to write; an existing one with the same columns is appended to
    #[arg(long, value_name = "FILE", default_value = "pod_metrics.csv")]
    output_file: PathBuf,
    /// Write the raw readings to this recording (.tar.zst) instead of a table, for you alone to read: the kubelets' figures,
    /// the warning events with their free text, and the pods with their names, labels, images, volumes and states, but
    /// without environment variables, arguments, commands, probes, annotations and what containers said when they ended
    #[arg(long, value_name = "FILE", conflicts_with = "output_file")]
    raw: Option<PathBuf>,
    /// Time between two readings, such as 30s; a bare number is seconds. A kubelet measures every 10 to 15 s: at shorter
    /// intervals one measurement stands in several rows
    #[arg(long, value_name = "DURATION", value_parser = duration::parse, default_value = "30s")]
    interval: Duration,
    /// How long to collect; without it, until ^C
    #[arg(long, value_name = "DURATION", value_parser = duration::parse)]
    duration: Option<Duration>,
    /// Metric of your own as a further column: a name that Prometheus knows, or NAME=EXPRESSION with one series for each
    /// namespace and pod; may be repeated
    #[arg(long, value_name = "NAME", conflicts_with = "raw")]
    metric_name: Vec<OwnMetric>,
    #[command(flatten)]
    prometheus: PrometheusFlags,
    /// Where metrics come from; without it the kubelets, or the metrics API if you may not read kubelets
    #[arg(long, value_enum)]
    source: Option<Source>,
    /// Only check whether metrics can be read
    #[arg(long)]
    test: bool,
}

/// Collects until the time is over, or ^C.
///
/// # Errors
/// If pods cannot be listed, metrics may not be read, or the file cannot be written; with `--test` also if no kubelet answers.
pub async fn run(args: &CollectArgs, kube: &KubeFlags, console: &Console) -> Result<Exit, Error> {
    if args.raw.is_some() && args.source == Some(Source::Metrics) {
        return Err(Error::Usage {
            message: "a recording holds the kubelets' readings, not those of the metrics API".to_owned(),
            hint: "leave --raw or --source out".to_owned(),
        });
    }
    if args.selection.chunk_size != Selection::default().chunk_size {
        console.warn("--chunk-size is not for collect: it reads the list of pods with one request");
    }
    let connection = Connection::open(kube, &Environment::of_process())?;
    let warn = |text: &str| console.warn(text);
    let keeps = args.raw.is_some();
    let own = own(args, &connection, console)?;
    let own = own.as_ref();
    let (mut collector, first) =
        collect::begin(&connection, &args.selection, args.source, keeps, own, now(), warn).await?;
    if args.test {
        first.warnings.iter().for_each(|warning| console.warn(warning));
        if let Some(error) = first.unmeasured {
            return Err(error);
        }
        console.line(&format!("{} can be measured", pods(first.rows.len())))?;
        return Ok(Exit::Done);
    }
    let mut ends = Ends::listen()?;
    let mut file = Output::open(args, own)?;
    file.write(&first, console)?;
    console.note(&format!("collecting into {} each {}; ^C ends it", file.shown(), seconds(args.interval)));
    let mut looks = tokio::time::interval(args.interval.max(Duration::from_secs(1)));
    looks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Skip);
    looks.tick().await;
    let end = tokio::time::sleep(args.duration.unwrap_or(Duration::MAX));
    tokio::pin!(end);
    let exit = loop {
        tokio::select! {
            _ = looks.tick() => {}
            () = &mut end => break Exit::Done,
            exit = ends.next() => break exit,
        }
        // Who asks it to end does not wait for a kubelet that does not answer.
        let look = tokio::select! {
            look = collector.look(now()) => look,
            exit = ends.next() => break exit,
        };
        match look {
            Ok(look) => file.write(&look, console)?,
            // What was read once may be read again: a cluster is away now and then.
            Err(error) => console.warn(&error.to_string()),
        }
    };
    file.finish(console)?;
    Ok(exit)
}

/// The metrics of the user's own, if any are named.
fn own(args: &CollectArgs, connection: &Connection, console: &Console) -> Result<Option<Own>, Error> {
    if args.metric_name.is_empty() {
        return match args.prometheus.first() {
            // The older tool had all its metrics from there.
            Some("--prometheus-url") => {
                console.warn("Prometheus is not asked: metrics come from the kubelets, and there is no --metric-name");
                Ok(None)
            }
            Some(flag) => Err(Error::Usage {
                message: format!("{flag} says where metrics of your own are, and none is named"),
                hint: "name them with --metric-name".to_owned(),
            }),
            None => Ok(None),
        };
    }
    let (prometheus, matchers) = args.prometheus.open(Some(USUAL), connection, &Environment::of_process())?;
    Ok(Some(Own::new(prometheus, matchers, args.metric_name.clone())))
}

/// A new file that nobody else can read: it says what runs in the cluster.
fn create_private(path: &Path) -> io::Result<File> {
    let mut options = File::options();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path)
}

/// The file that is written.
enum Output {
    Table(TableFile),
    Recording { path: PathBuf, writer: recording::Writer<BufWriter<File>>, ticks: usize },
}

impl Output {
    fn open(args: &CollectArgs, own: Option<&Own>) -> Result<Self, Error> {
        if let Some(path) = &args.raw {
            let file = create_private(path).map_err(|source| unwritable(path, source))?;
            let writer =
                recording::Writer::new(BufWriter::new(file), LEVEL).map_err(|source| unwritable(path, source))?;
            return Ok(Self::Recording { path: path.clone(), writer, ticks: 0 });
        }
        let columns = own.map(Own::columns).unwrap_or_default();
        TableFile::open(&args.output_file, &columns).map(Self::Table)
    }

    fn shown(&self) -> String {
        let path = match self {
            Self::Table(table) => table.path(),
            Self::Recording { path, .. } => path,
        };
        sanitise::line(&path.display().to_string())
    }

    /// Writes one look, whole lines, to the file.
    fn write(&mut self, look: &Look, console: &Console) -> Result<(), Error> {
        look.warnings.iter().for_each(|warning| console.warn(warning));
        match self {
            Self::Table(table) => table.write(&look.rows)?.iter().for_each(|said| console.note(said)),
            Self::Recording { path, writer, ticks } => {
                writer.append(&look.raw).map_err(|source| unwritable(path, source))?;
                *ticks += 1;
            }
        }
        Ok(())
    }

    fn finish(self, console: &Console) -> Result<(), Error> {
        let shown = self.shown();
        match self {
            Self::Table(table) => console.note(&format!("{} rows in {shown}", table.rows())),
            Self::Recording { path, writer, ticks } => {
                let ended = writer.finish().and_then(|mut file| io::Write::flush(&mut file));
                ended.map_err(|source| unwritable(&path, source))?;
                console.note(&format!("{ticks} readings in {shown}"));
            }
        }
        Ok(())
    }
}

fn pods(count: usize) -> String {
    if count == 1 { "1 pod".to_owned() } else { format!("{count} pods") }
}

fn seconds(interval: Duration) -> String {
    guard_model::words::duration(interval.as_secs_f64())
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;
    use guard_model::table::{COLUMNS, REQUIRED};

    use super::*;
    use crate::cli::{self, Cli};
    use crate::console::capture;

    #[tokio::test]
    async fn the_older_tools_prometheus_is_not_asked_for_nothing_and_that_is_said() {
        let kube = KubeFlags { server: Some("http://127.0.0.1:1".into()), ..KubeFlags::default() };
        let connection = Connection::open(&kube, &Environment::default()).unwrap();
        let said = |words: &str| {
            let typed = Cli::try_parse_from(["g", "collect"].into_iter().chain(words.split_whitespace())).unwrap();
            let cli::Command::Collect(args) = typed.command else { unreachable!("that is what was typed") };
            let (console, captured) = capture::console(100);
            own(&args, &connection, &console).map(|own| (own.is_some(), captured.err.text()))
        };
        assert_eq!(said("").unwrap(), (false, String::new()));
        let (asked, warning) = said("--prometheus-url http://localhost:9090").unwrap();
        assert!(!asked && warning.starts_with("warning: Prometheus is not asked: "), "{warning}");
        let (asked, warning) = said("--prometheus-url http://localhost:9090 --metric-name queue").unwrap();
        assert!(asked && warning.is_empty(), "{warning}");
        assert!(said("--prometheus-matcher cluster=east").is_err());
    }

    #[test]
    fn the_page_of_the_table_has_its_columns_and_says_which_are_required() {
        let page = include_str!("../../docs/pod-metrics.md");
        let rows = page.lines().filter_map(|line| line.strip_prefix("| `")?.split_once("` | "));
        let (columns, required): (Vec<_>, Vec<_>) =
            rows.map(|(title, rest)| (title, rest.ends_with(" | required |").then_some(title))).unzip();
        assert_eq!(columns, COLUMNS);
        assert_eq!(required.into_iter().flatten().collect::<Vec<_>>(), REQUIRED);
    }

    #[cfg(unix)]
    #[test]
    fn a_recording_is_for_its_owner_alone() {
        use std::os::unix::fs::PermissionsExt as _;

        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("cluster.tar.zst");
        let file = super::create_private(&path).unwrap();
        assert_eq!(file.metadata().unwrap().permissions().mode() & 0o777, 0o600);
        assert!(super::create_private(&path).is_err(), "what is there already is left as it is");
    }
}
