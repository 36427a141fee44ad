//! `status`: which pods misbehave, how much, why, since when, and what may help.

use std::num::NonZeroUsize;
use std::time::Duration;

use clap::{Args, ValueEnum};
use jiff::Timestamp;
use serde::Serialize;
use serde_json::Value;

use crate::connect::{Connection, Environment};
use crate::console::Console;
use crate::error::Error;
use crate::exit::Exit;
use crate::flags::variables::variable;
use crate::flags::{KubeFlags, Selection, SourceFlags, duration};
use crate::output::{self, Format, Formats};
use crate::pods::Pods;
use crate::render::{self, More, Style};
use crate::rows::{self, Group, Row};
use crate::scores::{Scores, Source};
use crate::{nodes, pods};

mod counts;
mod worst;

use counts::Counted;

/// Arguments of `status`.
#[derive(Args, Clone)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of its own")]
pub struct StatusArgs {
    /// What to show
    #[arg(value_enum, default_value_t = What::Pods)]
    what: What,
    #[command(flatten)]
    selection: Selection,
    #[command(flatten)]
    source: SourceFlags,
    /// Show all rows, also those under their line
    #[arg(long)]
    all: bool,
    /// Show only rows with at least this score, above 0 and up to 1; severity stays the exporter's. A score in
    /// ANOMALY_THRESHOLD or THRESHOLD shows the rows over their line as well
    #[arg(long, value_name = "SCORE", value_parser = threshold)]
    threshold: Option<f64>,
    /// What the environment has for it: it was not typed for this look, and hides nothing that is over its line.
    #[arg(skip)]
    usual: Option<f64>,
    /// Show only the N worst. From Prometheus nothing else is read then, nor the list of pods, which suits a large
    /// cluster
    #[arg(long, value_name = "N", value_parser = limit)]
    limit: Option<NonZeroUsize>,
    /// Format of the output
    #[arg(short, long, value_name = "FORMAT", value_parser = Formats::OF_STATUS, default_value = "table")]
    output: Format,
    /// Show the labels of each pod as the last column
    #[arg(long)]
    show_labels: bool,
    /// Do not print column headers
    #[arg(long)]
    no_headers: bool,
    /// Order of the rows
    #[arg(long, value_enum, default_value_t = Order::Score)]
    sort_by: Order,
    /// Keep showing the table until ^C
    #[arg(short, long)]
    watch: bool,
    /// Time between two readings with -w
    #[arg(long, value_name = "DURATION", value_parser = duration::parse, default_value = "15s")]
    watch_interval: Duration,
    /// Exit with 10 if pods are over their own line, whatever --threshold and --limit show
    #[arg(long)]
    exit_code: bool,
}

impl StatusArgs {
    /// Leaves what is to be shown of a view that comes the worst first.
    fn keep(&self, view: &mut View) {
        let has = |score: Option<f64>, line: f64| score.is_some_and(|score| score >= line);
        let keep = |score: Option<f64>, anomalous: bool| match self.threshold {
            Some(line) => has(score, line),
            None => anomalous || self.all || self.usual.is_some_and(|line| has(score, line)),
        };
        let limit = self.limit.map_or(usize::MAX, NonZeroUsize::get);
        view.rows.retain(|row| keep(row.score, row.is_anomalous()));
        view.rows.truncate(limit);
        view.groups.retain(|group| keep(group.score, group.is_anomalous()));
        view.groups.truncate(limit);
    }
}

/// What a row stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum What {
    /// One row a pod
    #[value(alias = "pod", alias = "po")]
    Pods,
    /// One row a controller of pods
    #[value(alias = "workload")]
    Workloads,
    /// One row a node
    #[value(alias = "node", alias = "no")]
    Nodes,
}

/// By what to sort.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Order {
    /// The worst first
    Score,
    /// By namespace and name
    Name,
    /// The longest over their line first
    Since,
}

pub(super) fn threshold(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(score) if score > 0.0 && score <= 1.0 => Ok(score),
        _ => Err(format!("{text:?} is no score above 0 and up to 1")),
    }
}

fn limit(text: &str) -> Result<NonZeroUsize, String> {
    text.parse().map_err(|_| format!("{text:?} is no number of rows from 1 on"))
}

/// Everything that is shown at one look; what is counted may be more.
struct View {
    rows: Vec<Row>,
    groups: Vec<Group>,
    counts: Counted,
    /// What the reader should know about the scores.
    warnings: Vec<String>,
    at: Timestamp,
}

/// Shows the rows, once or again and again.
///
/// # Errors
/// If the cluster cannot be reached, the user may not see it, or no exporter answers.
pub async fn run(mut args: StatusArgs, kube: &KubeFlags, console: &Console) -> Result<Exit, Error> {
    if args.threshold.is_none() {
        args.usual = threshold_of_environment(variable)?;
    }
    let environment = Environment::of_process();
    let connection = Connection::open(kube, &environment)?;
    let source = args.source.open(&connection, &environment)?;
    worst::check(&args, &source)?;
    // Not so often that looking is all that is done.
    let pause = args.watch_interval.max(Duration::from_secs(1));
    loop {
        match look(&args, &connection, &source, console).await {
            Ok(view) => {
                if args.watch {
                    console.clear()?;
                }
                show(&args, &connection, &view, console)?;
                if !args.watch {
                    let found = args.exit_code && view.counts.anomalous() > 0;
                    return Ok(if found { Exit::Anomalies } else { Exit::Done });
                }
            }
            // A watch outlives an API server, or a Prometheus, that is away for a moment.
            Err(error) if args.watch && error.may_pass() => console.error(&error),
            Err(error) => return Err(error),
        }
        tokio::time::sleep(pause).await;
    }
}

/// `ANOMALY_THRESHOLD` before `THRESHOLD`.
pub(super) fn threshold_of_environment(get: impl Fn(&str) -> Option<String>) -> Result<Option<f64>, Error> {
    let Some((name, text)) =
        ["ANOMALY_THRESHOLD", "THRESHOLD"].iter().find_map(|name| get(name).map(|text| (name, text)))
    else {
        return Ok(None);
    };
    match threshold(&text) {
        Ok(score) => Ok(Some(score)),
        Err(problem) => Err(Error::Usage { message: format!("${name}: {problem}"), hint: format!("unset ${name}") }),
    }
}

async fn look(args: &StatusArgs, connection: &Connection, source: &Source, console: &Console) -> Result<View, Error> {
    let mut view = match (source, args.limit) {
        (Source::Prometheus { prometheus, matchers }, Some(limit)) => {
            worst::look(args, connection, (prometheus, matchers), limit).await?
        }
        _ => look_at_all(args, connection, source, console).await?,
    };
    args.keep(&mut view);
    view.sort(args.sort_by);
    Ok(view)
}

impl View {
    /// Puts what comes the worst first into this order.
    fn sort(&mut self, order: Order) {
        match order {
            Order::Score => {}
            Order::Name => {
                self.rows.sort_by(|a, b| (&a.namespace, &a.name).cmp(&(&b.namespace, &b.name)));
                self.groups.sort_by(|a, b| (&a.namespace, &a.name).cmp(&(&b.namespace, &b.name)));
            }
            Order::Since => {
                self.rows.sort_by_key(|row| (row.since.is_none(), row.since));
                self.groups.sort_by_key(|group| (group.since.is_none(), group.since));
            }
        }
    }
}

async fn look_at_all(
    args: &StatusArgs,
    connection: &Connection,
    source: &Source,
    console: &Console,
) -> Result<View, Error> {
    let (pods, told) = tokio::try_join!(
        pods::list(connection, &args.selection),
        source.read(connection, pods::scope(connection, &args.selection), console)
    )?;
    let at = Timestamp::now();
    let (rows, mut warnings) = joined(&told.of(&pods.facts, at)?, &pods, at);
    let groups = match args.what {
        What::Pods => Vec::new(),
        What::Workloads => rows::workloads(&rows),
        What::Nodes => rows::nodes(&rows, &node_facts(connection, &mut warnings).await?),
    };
    Ok(View { counts: Counted::All(rows::count(&rows)), rows, groups, warnings, at })
}

/// The rows of these pods, the worst first, and what the reader should know about their scores.
fn joined(scores: &Scores, pods: &Pods, at: Timestamp) -> (Vec<Row>, Vec<String>) {
    let mut rows = rows::join(scores, &pods.facts, at);
    rows::label(&mut rows, &pods.labels);
    (rows, scores.warnings(at))
}

/// A user who may not list nodes still sees what the pods tell of them.
async fn node_facts(connection: &Connection, warnings: &mut Vec<String>) -> Result<Vec<rows::NodeFacts>, Error> {
    match nodes::list(connection).await {
        Err(error @ Error::Forbidden { .. }) => {
            warnings.push(format!("{error}: readiness and pressure of nodes are not known"));
            Ok(Vec::new())
        }
        answer => answer,
    }
}

fn show(args: &StatusArgs, connection: &Connection, view: &View, console: &Console) -> Result<(), Error> {
    let View { rows, groups, .. } = view;
    let shown = if args.what == What::Pods { rows.len() } else { groups.len() };
    let namespace = pods::scope(connection, &args.selection);
    match &args.output {
        Format::Machine(machine) => console.print(&machine.write(&document(args.what, view)))?,
        Format::CustomColumns(_) | Format::Name | Format::Table | Format::Wide if shown == 0 => {}
        Format::CustomColumns(columns) => {
            let document = document(args.what, view);
            console.print(&columns.fill(&document.items, args.no_headers))?;
        }
        Format::Name => names(args.what, rows, groups, console)?,
        Format::Table | Format::Wide => {
            let wide = matches!(args.output, Format::Wide);
            let style = Style { headless: args.no_headers, ..Style::of(console, view.at).whole(wide) };
            let more = More { namespaces: namespace.is_none(), wide, labels: args.show_labels };
            console.print(&match args.what {
                What::Pods => render::pods(rows, more, style),
                What::Workloads => render::groups(groups, "WORKLOAD", more.namespaces, style),
                What::Nodes => render::groups(groups, "NODE", false, style),
            })?;
        }
    }
    // Behind the table: a screen that is drawn anew begins with it.
    view.warnings.iter().for_each(|warning| console.warn(warning));
    if !matches!(args.output, Format::Machine(_)) {
        console.note(&view.counts.summary(namespace));
    }
    Ok(())
}

fn names(what: What, rows: &[Row], groups: &[Group], console: &Console) -> Result<(), Error> {
    let names: Vec<String> = match what {
        What::Pods => rows.iter().map(|row| format!("pod/{}\n", row.name)).collect(),
        What::Workloads => groups
            .iter()
            .map(|group| group.name.split_once('/').unwrap_or(("Pod", &group.name)))
            .map(|(kind, name)| format!("{}/{name}\n", kind.to_lowercase()))
            .collect(),
        What::Nodes => groups.iter().map(|group| format!("node/{}\n", group.name)).collect(),
    };
    console.print(&names.concat())
}

/// The document that programs read; fields are added, never changed.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Document<'a> {
    api_version: &'static str,
    kind: &'static str,
    at: Timestamp,
    counts: &'a Counted,
    items: Vec<Value>,
}

fn document(what: What, view: &View) -> Document<'_> {
    let (kind, items) = match what {
        What::Pods => ("PodScoreList", view.rows.iter().map(output::value).collect()),
        What::Workloads => ("WorkloadScoreList", view.groups.iter().map(output::value).collect()),
        What::Nodes => ("NodeScoreList", view.groups.iter().map(output::value).collect()),
    };
    Document { api_version: "guard.kubectl.io/v1", kind, at: view.at, counts: &view.counts, items }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::console::capture;
    use crate::rows::tests::{now, pod, report};
    use guard_model::report::State;

    #[derive(Parser)]
    struct Typed {
        #[command(flatten)]
        args: StatusArgs,
    }

    /// What somebody typed behind `status`.
    pub(super) fn typed(words: &str) -> StatusArgs {
        Typed::parse_from(["status"].into_iter().chain(words.split_whitespace())).args
    }

    #[test]
    fn the_worst_are_left_of_what_is_shown() {
        let names = ["a", "b", "c", "d"];
        let pods: Vec<_> = names.iter().map(|name| pod(name, Some("node1"))).collect();
        let kept = |words: &str| -> Vec<String> {
            let mut rows = rows::join(&Scores::default(), &pods, now());
            for (row, score) in rows.iter_mut().zip([0.9, 0.8, 0.4, 0.2]) {
                let told = report(&row.name, Some(score), if score > 0.7 { State::Anomalous } else { State::Ok });
                (row.score, row.state) = (told.score, Some(told.state));
            }
            let counts = Counted::All(rows::count(&rows));
            let mut view = View { rows, groups: Vec::new(), counts, warnings: Vec::new(), at: now() };
            typed(words).keep(&mut view);
            view.rows.into_iter().map(|row| row.name).collect()
        };
        assert_eq!(kept(""), ["a", "b"]);
        assert_eq!(kept("--limit 1"), ["a"]);
        assert_eq!(kept("--limit 3 --all"), ["a", "b", "c"]);
        assert_eq!(kept("--limit 9 --threshold 0.3"), ["a", "b", "c"]);
        assert!(Typed::try_parse_from(["status", "--limit", "0"]).is_err());
    }

    #[test]
    fn what_the_environment_has_hides_nothing_that_is_over_its_line() {
        let scored = [("over", 0.55, State::Anomalous), ("near", 0.65, State::Ok), ("calm", 0.2, State::Ok)];
        let kept = |words: &str, usual: f64| -> Vec<String> {
            let mut rows = rows::join(&Scores::default(), &scored.map(|(name, ..)| pod(name, Some("node1"))), now());
            rows.sort_by_key(|row| scored.iter().position(|(name, ..)| row.name == *name));
            for (row, (_, score, state)) in rows.iter_mut().zip(scored) {
                (row.score, row.state) = (Some(score), Some(state));
            }
            let (groups, counts) = (rows::workloads(&rows), Counted::All(rows::count(&rows)));
            let over = groups.iter().filter(|group| group.is_anomalous()).count();
            let mut view = View { rows, groups, counts, warnings: Vec::new(), at: now() };
            StatusArgs { usual: Some(usual), ..typed(words) }.keep(&mut view);
            assert_eq!(view.groups.iter().filter(|group| group.is_anomalous()).count(), over, "{words} {usual}");
            view.rows.into_iter().map(|row| row.name).collect()
        };
        assert_eq!(kept("", 0.7), ["over"], "an alert lasts until the score is under three quarters of its line");
        assert_eq!(kept("", 0.6), ["over", "near"]);
        assert_eq!(kept("--all", 0.7), ["over", "near", "calm"]);
        assert_eq!(kept("--threshold 0.5", 0.7), ["over", "near"], "what is typed counts");
    }

    #[test]
    fn workloads_are_sorted_as_pods_are() {
        let rows = crate::rows::tests::shop();
        let (groups, counts) = (rows::workloads(&rows), Counted::All(rows::count(&rows)));
        let mut view = View { rows, groups, counts, warnings: Vec::new(), at: now() };
        view.sort(Order::Name);
        assert!(view.groups.is_sorted_by_key(|group| (group.namespace.clone(), group.name.clone())));
        assert!(view.rows.is_sorted_by_key(|row| (row.namespace.clone(), row.name.clone())));
        view.sort(Order::Since);
        let since: Vec<_> = view.groups.iter().map(|group| group.since).collect();
        let known = since.iter().flatten().count();
        assert!(known > 1 && since[..known].is_sorted() && since[known..].iter().all(Option::is_none), "{since:?}");
    }

    #[test]
    fn the_templates_of_the_help_find_something() {
        let rows = crate::rows::tests::shop();
        let rows: Vec<Row> = rows.into_iter().filter(|row| row.score.is_some()).collect();
        let (groups, counts) = (rows::workloads(&rows), Counted::All(rows::count(&rows)));
        let view = View { rows, groups, counts, warnings: Vec::new(), at: now() };
        for what in [What::Pods, What::Workloads, What::Nodes] {
            let document = document(what, &view);
            output::tests::examples_find_something(Formats::OF_STATUS, &document, &document.items);
        }
    }

    /// What is shown of one pod, about whose scores there is a warning.
    fn shown(words: &str, console: &Console) {
        let kube = KubeFlags { server: Some("http://127.0.0.1:1".into()), ..KubeFlags::default() };
        let connection = Connection::open(&kube, &Environment::default()).unwrap();
        let rows = rows::join(&Scores::default(), &[pod("cart-1", Some("node1"))], now());
        let counts = Counted::All(rows::count(&rows));
        let view = View { rows, groups: Vec::new(), counts, warnings: vec!["node9 is silent".into()], at: now() };
        show(&typed(words), &connection, &view, console).unwrap();
    }

    #[tokio::test]
    async fn warnings_stand_behind_the_table_whatever_its_format() {
        for words in ["--all", "--all -o json", "--all -o name", "nodes"] {
            let (console, captured) = capture::console(100);
            shown(words, &console);
            assert!(captured.err.text().starts_with("warning: node9 is silent\n"), "{words}: {}", captured.err.text());
        }
        let (console, captured) = capture::terminal(100);
        console.clear().unwrap();
        shown("--all -w", &console);
        let screen = captured.out.text();
        let (table, warning) = (screen.find("cart-1").unwrap(), screen.find("node9 is silent").unwrap());
        assert!(table < warning, "{screen}");
        assert_eq!(screen.matches("\u{1b}[2J").count(), 1);
    }

    #[test]
    fn the_environments_threshold_is_checked_as_the_flags_is() {
        let get = |a: Option<&'static str>, t: Option<&'static str>| {
            threshold_of_environment(move |name| if name == "THRESHOLD" { t } else { a }.map(str::to_owned))
        };
        assert_eq!(get(None, None).unwrap(), None);
        assert_eq!(get(Some("0.8"), Some("0.5")).unwrap(), Some(0.8));
        assert_eq!(get(None, Some("0.5")).unwrap(), Some(0.5));
        assert_eq!(get(Some("2"), None).unwrap_err().process_exit_code(), Exit::Usage);
    }
}
