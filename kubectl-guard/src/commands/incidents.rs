//! `incidents`: anomalies that belong together, which pod began, and what is known of others like them.
//!
//! Of a cluster it shows what is over its line now; of a table or a recording all that there was.

use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};

use clap::Args;
use guard_model::incident::{Anomaly, Incident, Tracker, group};
use guard_model::scorer::Settings;
use guard_model::words;
use jiff::Timestamp;
use serde::Serialize;
use serde_json::Value;

use super::analyze::check;
use crate::analyze::input::{self, Kind};
use crate::analyze::insights::Insights;
use crate::analyze::{self, Counts, Sink, Table};
use crate::audit::{Journal, JournalError, Line};
use crate::connect::{Connection, Environment};
use crate::console::Console;
use crate::error::Error;
use crate::exit::Exit;
use crate::files::unreadable;
use crate::flags::{KubeFlags, Selection, SourceFlags};
use crate::incidents::{Known, fixes, known};
use crate::model::DetectorFlags;
use crate::output::{self, Format, Formats};
use crate::render::{self, Style};
use crate::rows;
use crate::scores::DEFAULT_THRESHOLD;
use crate::{pods, sanitise};

/// What a tick of a recording stands for.
const INTERVAL_SECONDS: f64 = 10.0;

/// Arguments of `incidents`.
#[derive(Args, Clone, Debug)]
pub struct IncidentsArgs {
    #[command(flatten)]
    selection: Selection,
    #[command(flatten)]
    source: SourceFlags,
    /// Read a table of metrics (CSV) or a recording (.tar.zst) instead of a cluster; - for stdin
    #[arg(long, value_name = "FILE")]
    input_file: Option<PathBuf>,
    #[command(flatten)]
    detector: DetectorFlags,
    /// Format of the output
    #[arg(short, long, value_name = "FORMAT", value_parser = Formats::OF_INCIDENTS, default_value = "table")]
    output: Format,
    /// Exit with 10 if there are incidents
    #[arg(long)]
    exit_code: bool,
}

impl IncidentsArgs {
    /// Refuses what can be said of a cluster only.
    fn refuse_beside_a_file(&self) -> Result<(), Error> {
        let typed = if self.selection.selector.is_some() {
            Some("--selector")
        } else if self.selection.field_selector.is_some() {
            Some("--field-selector")
        } else {
            self.source.first()
        };
        match typed {
            None => Ok(()),
            Some(flag) => Err(Error::Usage {
                message: format!("{flag} is for a cluster, and --input-file reads none"),
                hint: "leave one of them out; -n can be had with a file".to_owned(),
            }),
        }
    }
}

/// Shows the incidents, the latest first.
///
/// # Errors
/// If the cluster or the file cannot be read, or the journal cannot.
pub async fn run(args: &IncidentsArgs, kube: &KubeFlags, console: &Console) -> Result<Exit, Error> {
    let everywhere = args.selection.all_namespaces;
    let (anomalies, fixes, scope) = if let Some(path) = &args.input_file {
        args.refuse_beside_a_file()?;
        let namespace = kube.namespace.as_deref().filter(|_| !everywhere);
        let OfFile { mut anomalies, last, counts } = of_file(path, &args.detector)?;
        check(counts, input::called(path), console)?;
        anomalies.retain(|anomaly| namespace.is_none_or(|namespace| anomaly.namespace == namespace));
        // What is open at the end of a file has lasted until then, whenever the file is read.
        let now = last.unwrap_or_else(Timestamp::now);
        (anomalies, fixes(&done_before()?, None), Scope { now, namespaces: namespace.is_none() })
    } else {
        let environment = Environment::of_process();
        let connection = Connection::open(kube, &environment)?;
        let anomalies = of_cluster(args, &connection, &environment, console).await?;
        let fixes = fixes(&done_before()?, Some(&connection.server));
        (anomalies, fixes, Scope { now: Timestamp::now(), namespaces: everywhere })
    };
    let incidents = known(group(anomalies), &fixes);
    show(&incidents, &args.output, scope, console)?;
    Ok(if args.exit_code && !incidents.is_empty() { Exit::Anomalies } else { Exit::Done })
}

fn done_before() -> Result<Vec<Line>, JournalError> {
    recorded(|name| std::env::var_os(name))
}

/// The lines of the journal. Where there is no place for one, nothing was ever recorded.
fn recorded(environment: impl Fn(&str) -> Option<OsString>) -> Result<Vec<Line>, JournalError> {
    Journal::of_user(environment).map_or_else(|_| Ok(Vec::new()), |journal| journal.read())
}

/// What is over its line now.
async fn of_cluster(
    args: &IncidentsArgs,
    connection: &Connection,
    environment: &Environment,
    console: &Console,
) -> Result<Vec<Anomaly>, Error> {
    let source = args.source.open(connection, environment)?;
    let (found, told) = tokio::try_join!(
        pods::list(connection, &args.selection),
        source.read(connection, pods::scope(connection, &args.selection), console)
    )?;
    let now = Timestamp::now();
    let scores = told.of(&found.facts, now)?;
    scores.warnings(now).iter().for_each(|warning| console.warn(warning));
    let deployed = scores.deployed();
    let rows = rows::join(&scores, &found.facts, now);
    Ok(rows.iter().filter_map(|row| row.anomaly(deployed.contains(row.uid.as_str()))).collect())
}

/// What a file tells.
struct OfFile {
    /// What was ever over its line in it.
    anomalies: Vec<Anomaly>,
    /// The time of its last row.
    last: Option<Timestamp>,
    /// How much was read of it.
    counts: Counts,
}

fn of_file(path: &Path, detector: &DetectorFlags) -> Result<OfFile, Error> {
    let input = input::open(path).map_err(|source| unreadable(input::called(path), source))?;
    let detector = detector.load()?;
    let settings = Settings { threshold: DEFAULT_THRESHOLD, interval_seconds: INTERVAL_SECONDS };
    let (mut insights, mut tracker) = (Insights::default(), Tracker::default());
    let mut sink: Sink<'_, io::Sink> =
        Sink { lines: None, insights: &mut insights, latest: None, namespace: None, tracker: Some(&mut tracker) };
    let read = match input.kind {
        Kind::Table => {
            let mut table = Table::new(settings, Some(detector));
            table.read(input, &mut sink).map(|()| table.counts())
        }
        Kind::Recording => analyze::recording(input, settings, || Some(detector.again()), &mut sink),
    };
    let counts = read.map_err(|error| Error::BadFile {
        path: input::called(path).to_owned(),
        problem: sanitise::line(&error.to_string()),
        hint: "kubectl guard doctor --input-file says what is wrong with a table".to_owned(),
    })?;
    let mut anomalies = tracker.anomalies();
    anomalies.iter_mut().for_each(sanitised);
    Ok(OfFile { anomalies, last: insights.last(), counts })
}

/// Cleans what a file says.
fn sanitised(anomaly: &mut Anomaly) {
    let clean = |text: &mut String| *text = sanitise::line(text);
    clean(&mut anomaly.namespace);
    clean(&mut anomaly.pod);
    clean(&mut anomaly.workload.kind);
    clean(&mut anomaly.workload.name);
    anomaly.node.iter_mut().for_each(clean);
    clean(&mut anomaly.reason);
}

/// The document that programs read; fields are added, never changed.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Document<'a> {
    api_version: &'static str,
    kind: &'static str,
    items: &'a [Known],
}

/// What the table is of.
#[derive(Clone, Copy)]
struct Scope {
    /// The time that open incidents have lasted until.
    now: Timestamp,
    /// All namespaces, so that each line has to name its own.
    namespaces: bool,
}

fn show(incidents: &[Known], format: &Format, scope: Scope, console: &Console) -> Result<(), Error> {
    match format {
        Format::Machine(machine) => {
            let document = Document { api_version: "guard.kubectl.io/v1", kind: "IncidentList", items: incidents };
            return console.print(&machine.write(&document));
        }
        Format::CustomColumns(columns) => {
            let items: Vec<Value> = incidents.iter().map(output::value).collect();
            console.print(&columns.fill(&items, false))?;
        }
        _ if incidents.is_empty() => {}
        Format::Table | Format::Wide | Format::Name => {
            let wide = matches!(format, Format::Wide);
            let style = Style::of(console, scope.now).whole(wide);
            console.print(&table(incidents, wide, scope.namespaces, style))?;
        }
    }
    let n = incidents.len();
    let open = incidents.iter().filter(|known| known.incident.until.is_none()).count();
    console.note(&match n {
        0 => "No incidents".to_owned(),
        1 => format!("1 incident, {open} of it open"),
        _ => format!("{n} incidents, {open} of them open"),
    });
    Ok(())
}

/// Columns that would say the same in every line, or that nobody asked for, are left out.
#[derive(Clone, Copy)]
#[expect(clippy::struct_excessive_bools, reason = "each is a column of its own")]
struct Shown {
    wide: bool,
    namespaces: bool,
    before: bool,
    dates: bool,
}

fn table(incidents: &[Known], wide: bool, namespaces: bool, style: Style) -> String {
    let several =
        |value: &dyn Fn(&Known) -> String| incidents.iter().skip(1).any(|known| value(known) != value(&incidents[0]));
    let shown = Shown {
        wide,
        namespaces,
        before: incidents.iter().any(|known| !known.before().is_empty()),
        dates: several(&|known| known.incident.from.strftime("%F").to_string()),
    };
    let titles: Vec<&str> = [
        Some("ID"),
        Some("BEGAN"),
        Some("LASTED"),
        shown.namespaces.then_some("NAMESPACE"),
        Some("FIRST"),
        Some("PODS"),
        Some("REASON"),
        shown.before.then_some("BEFORE"),
        shown.wide.then_some("TOGETHER BY"),
    ]
    .into_iter()
    .flatten()
    .collect();
    let lines: Vec<Vec<String>> = incidents.iter().filter_map(|known| line(known, shown, style.now)).collect();
    render::simple(&titles, &lines, style)
}

fn line(known: &Known, shown: Shown, now: Timestamp) -> Option<Vec<String>> {
    let Incident { id, from, until, links, pods, .. } = &known.incident;
    let first = pods.first()?;
    let lasted = |until: Timestamp| words::duration(until.duration_since(*from).as_secs_f64());
    let cells = [
        Some(id.clone()),
        Some(render::clock(*from, shown.dates)),
        Some(until.map_or_else(|| format!("{} and on", lasted(now)), lasted)),
        shown.namespaces.then(|| first.namespace.clone()),
        Some(first.pod.clone()),
        Some(pods.len().to_string()),
        Some(first.reason.clone()),
        shown.before.then(|| known.before()),
        shown.wide.then(|| links.iter().map(|link| link.words()).collect::<Vec<_>>().join(", ")),
    ];
    Some(cells.into_iter().flatten().collect())
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::cli::{self, Cli};
    use crate::console::capture;

    const DEMO: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/demo/incident.tar.zst");

    #[test]
    fn a_recorded_incident_is_found_with_the_pod_that_began_it() {
        let found =
            known(group(of_file(Path::new(DEMO), &DetectorFlags::default()).unwrap().anomalies), &fixes(&[], None));
        let style =
            Style { columns: 200, colour: false, headless: false, now: "2026-11-22T14:39:22Z".parse().unwrap() };
        insta::assert_snapshot!(table(&found, true, true, style));
        insta::assert_snapshot!("at_a_hundred_columns", table(&found, false, false, Style { columns: 100, ..style }));
    }

    /// Twelve faults of twelve kinds. The rules of grouping were chosen with this recording in sight.
    #[test]
    fn of_the_labelled_faults_eleven_are_incidents_of_their_own_that_the_right_pod_began() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../models/data/recording");
        let incidents = group(of_file(&folder.join("shop.tar.zst"), &DetectorFlags::default()).unwrap().anomalies);
        let labels = std::fs::read_to_string(folder.join("labels.csv")).unwrap();
        let began = |label: &str| {
            let cells: Vec<&str> = label.split(',').collect();
            let at = |text: &str| text.parse::<Timestamp>().unwrap();
            // One sample more, as in models/RESULTS.md.
            let (start, end) = (at(cells[0]), at(cells[1]) + jiff::SignedDuration::from_secs(10));
            let of_it = |incident: &&Incident| incident.from >= start && incident.from <= end;
            incidents.iter().filter(of_it).any(|incident| incident.pods[0].pod == cells[3])
        };
        assert_eq!(labels.lines().skip(1).filter(|label| began(label)).count(), 11);
        assert_eq!(incidents.len(), 12, "one more than the faults that are found: an idle pod during the surge");
    }

    /// What `incidents` prints with these words behind it.
    async fn printed(words: &[&str]) -> Result<String, Error> {
        let typed = Cli::try_parse_from([&["g", "incidents"], words].concat()).unwrap();
        let cli::Command::Incidents(args) = typed.command else { unreachable!("that is what was typed") };
        let (console, captured) = capture::console(200);
        run(&args, &typed.kube, &console).await?;
        Ok(captured.out.text())
    }

    #[tokio::test]
    async fn what_is_open_at_the_end_of_a_file_has_lasted_until_then() {
        let all = printed(&["--input-file", DEMO]).await.unwrap();
        assert!(all.contains("s and on") || all.contains("m and on"), "{all}");
        assert!(!all.contains("d and on") && !all.contains("h and on"), "{all}");
    }

    #[tokio::test]
    async fn of_a_file_a_namespace_can_be_chosen_and_nothing_that_needs_a_cluster() {
        let all = printed(&["--input-file", DEMO]).await.unwrap();
        let of_shop = printed(&["--input-file", DEMO, "-n", "shop"]).await.unwrap();
        let names_shop =
            |table: &str| table.lines().all(|line| line.contains("NAMESPACE") || line.contains("  shop  "));
        assert!(names_shop(&all) && !of_shop.contains("NAMESPACE"), "{all}{of_shop}");
        let ids = |table: &str| table.lines().map(|line| line[..8].to_owned()).collect::<Vec<_>>();
        assert_eq!(ids(&of_shop), ids(&all));
        assert_eq!(printed(&["--input-file", DEMO, "-n", "other"]).await.unwrap(), "");
        assert_eq!(printed(&["--input-file", DEMO, "-n", "other", "-A"]).await.unwrap(), all);
        for words in [
            &["-l", "app=cart"][..],
            &["--field-selector", "spec.nodeName=a"],
            &["--source", "prometheus"],
            &["--guard-namespace", "elsewhere"],
            &["--prometheus-matcher", "cluster=east"],
        ] {
            let refused = printed(&[&["--input-file", DEMO], words].concat()).await.unwrap_err();
            assert_eq!(refused.process_exit_code(), Exit::Usage, "{words:?}");
        }
    }

    #[test]
    fn a_file_that_is_none_is_named() {
        let error = of_file(Path::new("/nonexistent"), &DetectorFlags::default()).err().unwrap().to_string();
        assert!(error.contains("/nonexistent"), "{error}");
    }

    #[tokio::test]
    async fn a_file_that_cannot_be_judged_is_no_all_clear() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let path = file.path().to_str().unwrap();
        std::fs::write(path, "timestamp,namespace,pod,cpu_usage_cores\n").unwrap();
        let error = printed(&["--input-file", path, "--exit-code"]).await.unwrap_err();
        assert!(error.to_string().contains("no metrics found"), "{error}");
        assert_eq!(error.process_exit_code(), Exit::Error);
        let row = |minute: u32| format!("2026-11-22T13:{minute:02}:00Z,shop,cart,0.1\n");
        let table = format!("timestamp,namespace,pod,cpu_usage_cores\n{}{}", row(5), row(4));
        std::fs::write(path, table).unwrap();
        let typed = Cli::try_parse_from(["g", "incidents", "--input-file", path]).unwrap();
        let cli::Command::Incidents(args) = typed.command else { unreachable!("that is what was typed") };
        let (console, captured) = capture::console(200);
        run(&args, &typed.kube, &console).await.unwrap();
        let said = captured.err.text();
        assert!(said.contains("1 of 2 rows were not newer") && said.contains("No incidents"), "{said}");
    }

    #[test]
    fn the_templates_of_the_help_find_something() {
        let items =
            known(group(of_file(Path::new(DEMO), &DetectorFlags::default()).unwrap().anomalies), &fixes(&[], None));
        let values: Vec<Value> = items.iter().map(output::value).collect();
        let document = Document { api_version: "guard.kubectl.io/v1", kind: "IncidentList", items: &items };
        output::tests::examples_find_something(Formats::OF_INCIDENTS, &document, &values);
    }

    #[test]
    fn without_a_place_for_a_journal_nothing_was_done_before() {
        assert_eq!(recorded(|_| None).unwrap(), []);
    }
}
