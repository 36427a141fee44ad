//! `demo`: a recorded incident through the real scorer, table, explanation and plan, without a cluster.
//!
//! Nothing of what it shows is stored: the recording is raw, and every score is computed as it runs.

use std::path::{Path, PathBuf};

use clap::Args;
use guard_model::scorer::Settings;
use guard_model::words;

use crate::commands::explain;
use crate::console::{Console, Paint};
use crate::error::Error;
use crate::events;
use crate::exit::Exit;
use crate::facts::recorded::of_deployment;
use crate::model::DetectorFlags;
use crate::plan::{Evidence, Kind, Place, Source, worst};
use crate::propose::{Proposal, Setting, propose};
use crate::render::explain::Detail;
use crate::render::{self, Style};
use crate::rows::{self, Row};
use crate::scores::DEFAULT_THRESHOLD;
use crate::scores::recording::{self, Recorded};
use crate::wish::Wish;

/// Half an hour of a real cluster (demo/README.md).
const INCIDENT: &[u8] = include_bytes!("../../demo/incident.tar.zst");
/// Seconds between two ticks of it.
const INTERVAL_SECONDS: f64 = 10.0;

/// Arguments of `demo`.
#[derive(Args)]
pub struct DemoArgs {
    #[command(flatten)]
    detector: DetectorFlags,
    /// Replay this recording (.tar.zst) instead of the one that ships
    #[arg(long, value_name = "FILE")]
    recording: Option<PathBuf>,
}

/// Replays the incident and shows what `status`, `explain` and `fix --dry-run` would have shown at its end.
///
/// # Errors
/// If a file that was named cannot be read, or stdout cannot be written.
pub fn run(args: &DemoArgs, console: &Console) -> Result<Exit, Error> {
    let recorded = replay(args, console)?;
    let style = Style::of(console, recorded.at);
    console.print(&story(&recorded, style, &|text| console.paint(Paint::Bold, text)))?;
    Ok(Exit::Done)
}

/// The incident that ships, scored by the model that ships.
pub(crate) fn incident(console: &Console) -> Result<Recorded, Error> {
    replay(&DemoArgs { detector: DetectorFlags::default(), recording: None }, console)
}

fn replay(args: &DemoArgs, console: &Console) -> Result<Recorded, Error> {
    let detector = args.detector.load()?;
    let settings = Settings { threshold: DEFAULT_THRESHOLD, interval_seconds: INTERVAL_SECONDS };
    let detector = || Some(detector.again());
    console.note("Replaying a recorded incident; every score is computed now.");
    match &args.recording {
        Some(path) => recording::read(&*file(path)?, settings, detector),
        None => recording::read(INCIDENT, settings, detector),
    }
}

fn file(path: &Path) -> Result<Vec<u8>, Error> {
    std::fs::read(path).map_err(|source| Error::Io { doing: format!("read {}", path.display()), source })
}

/// What is shown: the table, the worst pod in depth, and what could be done about it.
fn story(recorded: &Recorded, style: Style, title: &dyn Fn(&str) -> String) -> String {
    let rows = rows::join(&recorded.scores, &recorded.facts, recorded.at);
    let span = words::duration(recorded.at.duration_since(recorded.from).as_secs_f64());
    let model = recorded.scores.reports.first().map(|report| &report.model);
    let model = model.map_or_else(|| "no model".to_owned(), |model| format!("model {} {}", model.name, model.version));
    let mut text = format!(
        "{} nodes, {} pods, {span} in {} ticks up to {}, {model}\n\n",
        recorded.scores.reports.len(),
        rows.len(),
        recorded.ticks,
        recorded.at,
    );
    text.push_str(&title("$ kubectl guard status --all"));
    text.push('\n');
    text.push_str(&render::pods(&rows, render::More::default(), style));
    let Some(worst) = rows.first().filter(|row| row.is_anomalous()) else {
        return text + "\nNo anomalous pods.\n";
    };
    text.push('\n');
    text.push_str(&title(&format!("$ kubectl guard explain pod/{}", worst.name)));
    text.push('\n');
    text.push_str(&render::explain::pod(worst, &detail(recorded, worst), style));
    text.push('\n');
    text.push_str(&title("$ kubectl guard fix --dry-run"));
    text.push('\n');
    text + &plan(recorded)
}

/// What `fix --dry-run` would propose; a recording can never be more than a dry run.
fn plan(recorded: &Recorded) -> String {
    let reports = &recorded.scores.reports;
    let Some((namespace, target)) = worst(reports, |_| true) else { return "Nothing to fix.\n".to_owned() };
    let deployment = recorded.deployments.iter().find(|object| {
        target.kind == Kind::Deployment
            && object.metadata.name.as_ref() == Some(&target.name)
            && object.metadata.namespace.as_ref() == Some(&namespace)
    });
    let Some(facts) = deployment.and_then(|object| of_deployment(object.clone(), &recorded.pods)) else {
        return format!("The recording holds no {target} to make a plan for.\n");
    };
    let evidence = Evidence::of(Source::Recording, reports, &namespace, &target, None);
    let recording = || "recording".to_owned();
    let place = Place { context: recording(), cluster: recording(), server: "no API server".to_owned() };
    let setting = Setting { place, identity: "nobody: this is a recording".to_owned(), now: recorded.at };
    match propose(&Wish::default(), evidence, &facts, setting) {
        Ok(Proposal::Plan(plan)) => crate::plan::render(&plan, &[]) + "Nothing was changed: this is a recording.\n",
        Ok(Proposal::Healthy { why } | Proposal::NothingHelps { why }) => why + "\n",
        Err(refusal) => format!("refused: {refusal}\n"),
    }
}

fn detail(recorded: &Recorded, row: &Row) -> Detail {
    let is_it = |uid: Option<&String>| uid.is_some_and(|uid| *uid == row.uid);
    let Some(object) = recorded.pods.iter().find(|pod| is_it(pod.metadata.uid.as_ref())) else {
        return Detail::default();
    };
    let of_it: Vec<_> =
        recorded.events.iter().filter(|event| is_it(event.involved_object.uid.as_ref())).cloned().collect();
    Detail { events: events::lines(&of_it), ..explain::detail(object, &recorded.scores, &row.uid) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::console::capture;
    use guard_model::detector;

    const LEAKING: &str = "catalog-56d6c4f556-lpkcb";

    fn args(model: Option<PathBuf>) -> DemoArgs {
        DemoArgs { detector: DetectorFlags { model, ..DetectorFlags::default() }, recording: None }
    }

    fn table(args: &DemoArgs) -> Vec<Row> {
        let (console, _) = capture::console(120);
        let recorded = replay(args, &console).unwrap();
        rows::join(&recorded.scores, &recorded.facts, recorded.at)
    }

    #[test]
    fn the_model_finds_what_no_rule_sees() {
        let rows = table(&args(None));
        let anomalous: Vec<&str> = rows.iter().filter(|row| row.is_anomalous()).map(|row| row.name.as_str()).collect();
        assert_eq!(anomalous.first(), Some(&LEAKING), "{rows:#?}");
    }

    #[test]
    fn the_story_ends_with_a_plan_for_the_right_workload() {
        let (console, captured) = capture::console(120);
        run(&args(None), &console).unwrap();
        let text = captured.out.text();
        let (_, plan) = text.split_once("$ kubectl guard fix --dry-run\n").unwrap();
        assert!(plan.contains("deployment/catalog") && plan.contains("Nothing was changed"), "{plan}");
    }

    #[test]
    fn the_picture_is_of_what_it_prints_now() {
        let (console, captured) = capture::console(120);
        run(&args(None), &console).unwrap();
        let text = captured.out.text();
        let printed: Vec<&str> = text.lines().map(str::trim_end).filter(|line| !line.is_empty()).collect();
        let drawn = include_str!("../../demo/demo.svg").lines().filter_map(|line| {
            let (_, words) = line.strip_suffix("</text>")?.split_once('>')?;
            Some(words.replace("&#x27;", "'").replace("&quot;", "\"").replace("&lt;", "<").replace("&gt;", ">"))
        });
        let drawn: Vec<String> = drawn.map(|line| line.replace("&amp;", "&")).collect();
        assert_eq!(drawn, printed, "demo/picture.py draws it anew");
    }

    #[test]
    fn another_model_makes_another_table() {
        let zero = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../models/golden/zero.onnx"));
        assert!(table(&args(Some(zero))).iter().all(|row| row.name != LEAKING || !row.is_anomalous()));
    }

    #[test]
    fn without_a_model_the_pods_own_past_finds_it_too() {
        let robust = DetectorFlags { detector: detector::Kind::Robust, ..DetectorFlags::default() };
        let rows = table(&DemoArgs { detector: robust, recording: None });
        assert!(rows.iter().any(|row| row.name == LEAKING && row.is_anomalous()), "{rows:#?}");
    }

    #[test]
    fn a_broken_model_is_an_error_with_its_name() {
        let (console, _) = capture::console(120);
        let no_model = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(file!());
        let error = run(&args(Some(no_model)), &console).unwrap_err();
        assert!(error.shown().contains("demo.rs"), "{}", error.shown());
    }
}
