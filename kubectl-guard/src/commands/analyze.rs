//! `analyze`: scores a file of metrics, or a recording, without a cluster.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use clap::Args;
use guard_model::detector::Detector;
use guard_model::report::ModelInfo;
use guard_model::scorer::Settings;
use jiff::Timestamp;

use super::status;
use crate::analyze::input::{self, Counted, Input, Kind, Tail};
use crate::analyze::insights::Insights;
use crate::analyze::lines::Lines;
use crate::analyze::{self, AnalyzeError, Counts, Sink, Table};
use crate::console::{Console, Progress};
use crate::error::Error;
use crate::exit::Exit;
use crate::files::{self, unreadable};
use crate::flags::duration;
use crate::flags::variables::variable;
use crate::model::DetectorFlags;
use crate::render::{self, Style};
use crate::sanitise;
use crate::signals::Ends;

/// What a tick of a recording stands for; a table's rows say it themselves.
const INTERVAL_SECONDS: f64 = 10.0;
/// A bar is shown for what takes longer than this.
const PATIENCE: Duration = Duration::from_millis(800);
/// Steps of the bar.
const PERCENT: u64 = 100;

/// Arguments of `analyze`.
#[derive(Args, Clone, Debug)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of its own")]
pub struct AnalyzeArgs {
    /// Table of metrics (CSV), or recording (.tar.zst); - for stdin
    #[arg(value_name = "FILE", default_value = "pod_metrics.csv")]
    file: PathBuf,
    /// The same as FILE
    #[arg(long, value_name = "FILE", conflicts_with = "file")]
    input_file: Option<PathBuf>,
    /// File to write anomalies to; - for stdout
    #[arg(long, value_name = "FILE", default_value = "pod_insights.json")]
    output_file: PathBuf,
    /// Write the score of every row to this CSV file; - for stdout
    #[arg(long, value_name = "FILE")]
    scores: Option<PathBuf>,
    /// Score from which a sample is an anomaly, above 0 and up to 1 [default: 0.7] [env: ANOMALY_THRESHOLD, THRESHOLD]
    #[arg(long, visible_alias = "threshold", value_name = "SCORE", value_parser = status::threshold)]
    alert_threshold: Option<f64>,
    #[command(flatten)]
    detector: DetectorFlags,
    /// Keep scoring what is added to the table until ^C; of what stood out, the last day is kept
    #[arg(short, long, visible_alias = "watch")]
    follow: bool,
    /// Time between two readings with --follow, such as 10s; a bare number is seconds
    #[arg(long, value_name = "DURATION", value_parser = duration::parse, default_value = "10s", requires = "follow")]
    watch_interval: Duration,
    /// Only check whether the file and the model can be used
    #[arg(long)]
    test: bool,
    /// Taken for the older tool's sake: to analyze is all that this command does
    #[arg(long, hide = true)]
    agent_only: bool,
    /// Not done by this command
    #[arg(long, hide = true, conflicts_with = "agent_only")]
    fetch_only: bool,
    /// Exit with 10 if there are anomalies
    #[arg(long)]
    exit_code: bool,
}

/// Where scores of rows go.
type Rows = BufWriter<Box<dyn Write + Send>>;

/// Everything that one run carries.
struct Run<'a> {
    args: &'a AnalyzeArgs,
    /// The only namespace that is asked for.
    namespace: Option<&'a str>,
    path: PathBuf,
    model: ModelInfo,
    settings: Settings,
    console: &'a Console,
    insights: Insights,
}

/// Scores the file, writes what stood out, and shows it; of one namespace, if it is named.
///
/// # Errors
/// If the file or the model cannot be used, or the results cannot be written.
pub async fn run(args: &AnalyzeArgs, namespace: Option<&str>, console: &Console) -> Result<Exit, Error> {
    if args.fetch_only {
        return Err(Error::Usage {
            message: "analyze reads a file of metrics, it does not fetch any".to_owned(),
            hint: "`kubectl guard collect` does that".to_owned(),
        });
    }
    let threshold = match args.alert_threshold {
        Some(threshold) => threshold,
        None => status::threshold_of_environment(variable)?.unwrap_or(0.7),
    };
    let file = args.input_file.as_deref().unwrap_or(&args.file);
    let path = input::called(file).to_owned();
    if args.follow && input::cannot_grow(file) {
        return Err(Error::Usage {
            message: sanitise::line(&format!("{} is no file that grows: it cannot be followed", path.display())),
            hint: "leave --follow out: it is read to its end".to_owned(),
        });
    }
    let input = input::open(file).map_err(|source| not_opened(&path, source))?;
    let settings = Settings { threshold, interval_seconds: INTERVAL_SECONDS };
    let detector = args.detector.load()?;
    let info = detector.info();
    if args.test {
        return test(&path, input, &info, console);
    }
    let run = Run { args, namespace, path, model: info, settings, console, insights: Insights::default() };
    match input.kind {
        Kind::Table if args.follow => run.follow(detector).await,
        Kind::Recording if args.follow => Err(Error::Usage {
            message: "a recording does not grow: it cannot be followed".to_owned(),
            hint: "leave --follow out".to_owned(),
        }),
        Kind::Table => run.once(input, |run, sink, input| {
            let mut table = Table::new(run, Some(detector));
            let read = table.read(input, sink).map_err(Failure::from);
            read.map(|()| table.counts())
        }),
        Kind::Recording => run.once(input, |run, sink, input| {
            // Every node needs one of its own.
            Ok(analyze::recording(input, run, || Some(detector.again()), sink)?)
        }),
    }
}

/// Sees whether there is something to score, and says what would score it.
fn test(path: &Path, input: Input, model: &ModelInfo, console: &Console) -> Result<Exit, Error> {
    let what = if input.kind == Kind::Table { "a table" } else { "a recording" };
    let has_metrics = input.has_metrics().map_err(|error| Error::BadFile {
        path: path.to_owned(),
        problem: sanitise::line(&error.to_string()),
        hint: "correct the line, or have the file written anew".to_owned(),
    })?;
    if !has_metrics {
        return Err(no_metrics(path));
    }
    console.line(&format!("{} can be read: {what}", path.display()))?;
    console.line(&sanitise::line(&format!("the model can be used: {} {}", model.name, model.version)))?;
    Ok(Exit::Done)
}

fn no_metrics(path: &Path) -> Error {
    let hint = "does the collector run, and may it read metrics? kubectl guard doctor tells".to_owned();
    Error::BadFile { path: path.to_owned(), problem: "no metrics found".to_owned(), hint }
}

/// Whether what was read of a file can be judged at all: nothing found in a file without metrics is no good news.
///
/// # Errors
/// It held none.
pub(super) fn check(counts: Counts, path: &Path, console: &Console) -> Result<(), Error> {
    if counts.rows == 0 {
        return Err(no_metrics(path));
    }
    counts.warnings().for_each(|warning| console.warn(&warning));
    Ok(())
}

/// The words for a file that cannot be opened: one that is not there may have been expected of this command.
fn not_opened(path: &Path, source: io::Error) -> Error {
    if source.kind() != io::ErrorKind::NotFound {
        return unreadable(path, source);
    }
    Error::BadFile {
        path: PathBuf::from(sanitise::line(&path.display().to_string())),
        problem: "there is no such file".to_owned(),
        hint: "`kubectl guard collect` writes one, and `kubectl guard run --agent-mode monitoring` scores it meanwhile"
            .to_owned(),
    }
}

/// What may go wrong while reading.
enum Failure {
    Analyze(AnalyzeError),
    Other(Error),
}

impl From<AnalyzeError> for Failure {
    fn from(error: AnalyzeError) -> Self {
        Failure::Analyze(error)
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Failure::Other(error)
    }
}

impl Run<'_> {
    /// Reads the file to its end, once.
    fn once(
        mut self,
        input: Input,
        read: impl FnOnce(Settings, &mut Sink<'_, Rows>, Watched) -> Result<Counts, Failure>,
    ) -> Result<Exit, Error> {
        let length = input.length;
        let bytes = Arc::new(AtomicU64::new(0));
        let what = format!("reading {}, percent", self.path.display());
        let bar = self.console.progress(PERCENT as usize, &sanitise::line(&what), PATIENCE);
        let input = Watched { input: Counted::new(input, Arc::clone(&bytes)), bytes, length, shown: 0, bar };
        let lines = self.lines()?;
        let mut sink =
            Sink { lines, insights: &mut self.insights, latest: None, namespace: self.namespace, tracker: None };
        let read = read(self.settings, &mut sink, input);
        let flushed = sink.lines.as_mut().map_or(Ok(()), Lines::flush);
        flushed.map_err(|source| self.unwritable(self.args.scores.as_deref(), source))?;
        match read {
            Ok(counts) => self.finish(counts),
            Err(Failure::Other(error)) => Err(error),
            Err(Failure::Analyze(error)) => {
                // What was understood is worth having.
                self.write()?;
                Err(self.failed(error))
            }
        }
    }

    /// Reads the table to its end, again and again.
    async fn follow(mut self, detector: Detector) -> Result<Exit, Error> {
        let mut ends = Ends::listen()?;
        let mut tail = Tail::open(&self.path).map_err(|source| unreadable(&self.path, source))?;
        let mut table = Table::new(self.settings, Some(detector));
        let mut lines = self.lines()?;
        self.console.note(&format!("following {}; ^C ends it", sanitise::line(&self.path.display().to_string())));
        let end = 'follow: loop {
            let mut new = false;
            while let Some(input) = tail.more().map_err(|source| unreadable(&self.path, source))? {
                table.leave_out_after(analyze::latest_credible(self.settings, Timestamp::now()));
                let (insights, namespace) = (&mut self.insights, self.namespace);
                let mut sink = Sink { lines: lines.take(), insights, latest: None, namespace, tracker: None };
                let read = table.read(input.as_slice(), &mut sink);
                lines = sink.lines;
                read.map_err(|error| self.failed(error))?;
                self.insights.forget_past();
                new = true;
                // A table of days is read in pieces: ^C is heard between them.
                if let Some(end) = heard(&mut ends).await {
                    break 'follow end;
                }
            }
            if new {
                let flushed = lines.as_mut().map_or(Ok(()), Lines::flush);
                flushed.map_err(|source| self.unwritable(self.args.scores.as_deref(), source))?;
                self.write()?;
            }
            tokio::select! {
                () = tokio::time::sleep(self.args.watch_interval) => {}
                end = ends.next() => break end,
            }
        };
        let flushed = lines.as_mut().map_or(Ok(()), Lines::flush);
        flushed.map_err(|source| self.unwritable(self.args.scores.as_deref(), source))?;
        let exit = self.finish(table.counts())?;
        Ok(if end == Exit::Done { exit } else { end })
    }

    fn lines(&self) -> Result<Option<Lines<Rows>>, Error> {
        let Some(path) = self.args.scores.as_deref() else { return Ok(None) };
        let failed = |source| self.unwritable(Some(path), source);
        let writer: Box<dyn Write + Send> =
            if path == Path::new("-") { Box::new(io::stdout()) } else { Box::new(File::create(path).map_err(failed)?) };
        Lines::new(BufWriter::new(writer)).map(Some).map_err(failed)
    }

    /// Writes what stood out, as a whole or not at all.
    fn write(&self) -> Result<(), Error> {
        let document = self.insights.document(&self.path.display().to_string(), &self.model, self.settings.threshold);
        let path = &self.args.output_file;
        let failed = |source: io::Error| self.unwritable(Some(path), source);
        let text = serde_json::to_string_pretty(&document).map_err(|error| failed(error.into()))? + "\n";
        if path == Path::new("-") {
            return self.console.print(&text);
        }
        files::replace(path, &text).map_err(failed)
    }

    fn finish(self, counts: Counts) -> Result<Exit, Error> {
        // What was found is shown also where it cannot be written.
        let written = self.write();
        check(counts, &self.path, self.console)?;
        let missed = self.insights.missed();
        if let Some(missed) = &missed {
            self.console.warn(&format!(
                "the model did not score all rows, hard facts alone did: {missed}; another model may, or the one that ships"
            ));
        }
        let worst = self.insights.worst();
        let taken = |path: Option<&Path>| path == Some(Path::new("-"));
        if !worst.is_empty() && !taken(Some(&self.args.output_file)) && !taken(self.args.scores.as_deref()) {
            let style = Style::of(self.console, Timestamp::now());
            let titles = ["NAMESPACE", "POD", "HIGHEST", "ALERTS", "SINCE", "REASON"];
            self.console.print(&render::simple(
                &titles,
                &worst.iter().map(|line| line.to_vec()).collect::<Vec<_>>(),
                style,
            ))?;
        }
        let pods = |n: usize| if n == 1 { "1 pod".to_owned() } else { format!("{n} pods") };
        self.console.note(&format!(
            "{} misbehaved of {} watched{}, {} rows",
            pods(worst.len()),
            self.insights.watched(),
            self.namespace.map(|namespace| format!(" in namespace {}", sanitise::line(namespace))).unwrap_or_default(),
            counts.rows
        ));
        written?;
        Ok(match () {
            () if self.args.exit_code && !worst.is_empty() => Exit::Anomalies,
            () if missed.is_some() => Exit::Partial,
            () => Exit::Done,
        })
    }

    fn failed(&self, error: AnalyzeError) -> Error {
        match error {
            AnalyzeError::Thread(source) => Error::Io { doing: "start a thread".to_owned(), source },
            AnalyzeError::Write(source) => self.unwritable(self.args.scores.as_deref(), source),
            error @ (AnalyzeError::Table(_) | AnalyzeError::Recording(_)) => Error::BadFile {
                path: self.path.clone(),
                problem: sanitise::line(&error.to_string()),
                hint: "correct the line, or have the file written anew; what stands before it was scored".to_owned(),
            },
        }
    }

    #[expect(clippy::needless_pass_by_value, reason = "what map_err hands on")]
    fn unwritable(&self, path: Option<&Path>, source: io::Error) -> Error {
        let path = path.unwrap_or(&self.args.output_file);
        if path == Path::new("-") && source.kind() == io::ErrorKind::BrokenPipe {
            return Error::OutputClosed;
        }
        let flag = if path == self.args.output_file { "--output-file" } else { "--scores" };
        Error::BadFile {
            path: PathBuf::from(sanitise::line(&path.display().to_string())),
            problem: format!("cannot be written: {source}"),
            hint: format!("name another place with {flag}; - is stdout"),
        }
    }
}

/// How it is to end, if that was said already; everybody else has a turn meanwhile.
async fn heard(ends: &mut Ends) -> Option<Exit> {
    tokio::select! {
        biased;
        end = ends.next() => Some(end),
        () = tokio::task::yield_now() => None,
    }
}

/// The file, with a bar that shows how much of it was read.
struct Watched {
    input: Counted<Input>,
    bytes: Arc<AtomicU64>,
    length: u64,
    shown: u64,
    bar: Progress,
}

impl io::Read for Watched {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.input.read(buffer)?;
        let percent = (self.bytes.load(Ordering::Relaxed) * PERCENT).checked_div(self.length).unwrap_or(0);
        while self.shown < percent.min(PERCENT) {
            self.bar.step();
            self.shown += 1;
        }
        Ok(read)
    }
}

#[cfg(test)]
mod tests;
