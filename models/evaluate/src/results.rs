//! RESULTS.md, drawn from the record.

mod aims;
mod calibration;
mod doubtful;
mod interval;

use std::collections::BTreeSet;
use std::fmt::Write;

use guard_train::card::IN_SHORT;
use guard_train::statistics::median;

use crate::area::Area;
use crate::folds::{BUDGET, GUARD, NETWORK, WITHOUT_MEMORY};
use crate::intervals::{byar, wilson};
use crate::record::{CPU_KINDS, Found, Outcome, Record, Scheme};

const SECONDS_A_DAY: f64 = 86_400.0;

/// The whole page.
pub(crate) fn render(record: &Record) -> String {
    let mut page = format!(
        "# Results\n\nWritten by `cargo run --release -p guard-evaluate` from `evaluate/record.json`; do not edit. \
         {} epochs, seed {}.\n\n{IN_SHORT}\n",
        record.epochs, record.seed
    );
    in_short(&mut page, record);
    aims::render(&mut page, record);
    let recorded = pooled(record, Scheme::Cluster, GUARD).faults.len();
    page.push_str(&METHOD.replace("{recorded}", &recorded.to_string()));
    for (scheme, title, text) in SCHEMES {
        line(&mut page, &format!("\n## {title}\n\n{text}\n"));
        table(&mut page, record, scheme);
        line(&mut page, "\nFound by kind of fault:\n");
        kinds(&mut page, record, scheme, |faults| format!("{} of {}", count(faults), faults.len()));
        if scheme == Scheme::Memory {
            line(&mut page, "\nMedian delay by kind of fault:\n");
            kinds(&mut page, record, scheme, delay);
        }
        if scheme == Scheme::Cluster {
            each_recording(&mut page, record);
        }
    }
    interval::render(&mut page, record);
    calibration::render(&mut page, record);
    doubtful::render(&mut page, record);
    page
}

/// `{recorded}` stands for the number of faults in the recordings.
const METHOD: &str = "
## Method

- Data: `data/nezha` (two applications, 56 pods, one-minute samples; labelled faults: 15 that show in CPU, 7 network delays, 30
  inside the application), `data/recording` and `data/soak` (test clusters of two nodes, 10-second samples, {recorded} labelled faults).
- A tick is one look at all pods; a sample is what one pod showed at it, if it was measured anew; a pod-day is one pod watched for a day.
- Every detector sees one sample after another, as an exporter does, and gets the product's hysteresis. A fault counts as found if
  its pod is under alert within the fault's window and one sample more. *Right pod scored highest* is of the highest scores within that
  window, not of who moved first.
- False alerts are alerts that rise in time known to be free of faults; blips and jobs that the source did not label are in it.
- `kubectl guard at 0.7` is the score that ships at its own line, which nothing was fitted to (when a jump is
  believed, and what counts as coming back, was chosen with these folds in sight, though); `the same score, line fitted` is not the
  product. Every other line is the lowest at
  which the detector cries at most once a pod-day in the calm part of the training time (for a network: of time that it was
  trained on, which flatters it there and not in the test).
- Rules that stand beside the network in `kubectl guard` were made after these recordings, or soaks with the same kinds of fault, had
  been looked at: memory on its way to its limit, what a pod did since it was first seen and while it starts, memory of a young pod,
  disk traffic, traffic that falls silent or to little. Under *Another cluster* the product says how well they fit; only `its
  network alone` meets faults there that nothing was made from.
- AUC-PR is the area under precision over recall, sample by sample; VUS-PR the volume under it if labels fall off over up to six
  samples (Paparrizos and others, PVLDB 15(11), 2022). Both take all lines together, and the mean of the folds; on real days only
  faults that show in CPU are sought, with what their pods show up to three samples before and after, in the calm time of all pods.
- `an LSTM over windows` stands for how LSTM are mostly put to this: our network on the last 30 samples of a pod, from nothing, at
  levels that are not compared with the pod's past. It was trained as ours was, with our synthetic faults and labels, which flatters it.
- Grafana's bands and Netdata's k-means are written from their documentation, with its constants but for those that one-minute
  samples of at most 20 hours forbid (`evaluate/src/detectors`); both get the product's hysteresis in place of their own.
- Equal scores share the last place: a detector that says nothing puts no pod first.
- Brackets are 95 % intervals (Wilson; Byar). They take faults and alerts for independent, which those of one pod are not quite.
";

const SCHEMES: [(Scheme, &str, &str); 5] = [
    (
        Scheme::Time,
        "Another time",
        "Trained on two thirds of each calm day; judged on the other third and on half of the faults; twice.",
    ),
    (Scheme::Application, "Another application", "Trained on one application, judged on the other; both ways."),
    (
        Scheme::Synthetic,
        "Synthetic faults",
        "As before, with one fault of seven kinds in each pod that it matters in, put into its calm time; what is judged is the real \
         background. There is no calm time in it to count false alerts in.",
    ),
    (
        Scheme::Memory,
        "Where memory must matter",
        "As before, on the same background: memory that leaks for three hours, and a job that runs on where it ended five times before, which are \
         faults; beside them days with jobs that come back each 40 minutes and load that drifts (as long as the pod has CPU left for it), which \
         are none, and in which false alerts are counted from the fourth hour on. A job that runs on counts as found if its pod is under alert after the job should have ended, even if the \
         alert rose when it began: who cries at every run shows in the false alerts. All baselines but the CPU rule have a past to compare with, and so do the features of both \
         networks: what the network has over the same without memory is its recurrence alone.",
    ),
    (
        Scheme::Cluster,
        "Another cluster",
        "The model that ships, on the recordings; lines from the calm days of `data/nezha`. One pod of the first (`sessions`) \
         lives at its CPU limit all along. The product also sees the pods' status here (crash loop, OOM kill, readiness), the others do not, and some of its rules were \
         made from these faults (see Method).",
    ),
];

/// What `kubectl guard` makes of each recording by itself.
fn each_recording(page: &mut String, record: &Record) {
    line(page, "\nEach recording by itself, `kubectl guard at 0.7`:\n");
    line(page, "| recording | faults found | median delay | right pod scored highest | false alerts a pod-day |");
    line(page, "| --- | --- | --- | --- | --- |");
    for fold in record.folds.iter().filter(|fold| fold.scheme == Scheme::Cluster) {
        for outcome in fold.outcomes.iter().filter(|outcome| outcome.detector == GUARD) {
            line(page, &short_row(&format!("`data/{}`", fold.name), outcome));
        }
    }
}

/// The most important figures of an outcome, as the beginning of a row.
fn short_row(name: &str, outcome: &Outcome) -> String {
    let faults: Vec<&Found> = outcome.faults.iter().collect();
    format!(
        "| {name} | {} | {} | {} | {} |",
        share(count(&faults), faults.len()),
        delay(&faults),
        share(first(&faults, 1), faults.len()),
        rate(outcome),
    )
}

fn line(page: &mut String, text: &str) {
    page.push_str(text);
    page.push('\n');
}

fn in_short(page: &mut String, record: &Record) {
    let served = |scheme| pooled(record, scheme, GUARD);
    let (time, application, cluster) = (served(Scheme::Time), served(Scheme::Application), served(Scheme::Cluster));
    for (outcome, on) in [
        (&time, "At another time than it was trained on"),
        (&application, "On another application than it was trained on"),
    ] {
        let cpu = of_kinds(&outcome.faults, &CPU_KINDS);
        line(
            page,
            &format!(
                "- {on}: {} of the faults that show in CPU found, the right pod scored highest in {}, {} false alerts a pod-day.",
                share(count(&cpu), cpu.len()),
                share(first(&cpu, 1), cpu.len()),
                rate(outcome),
            ),
        );
    }
    let faults: Vec<&Found> = cluster.faults.iter().collect();
    let network = pooled(record, Scheme::Cluster, NETWORK);
    line(
        page,
        &format!(
            "- On recordings of other clusters, never trained on: {} faults of {} kinds found, the right pod scored highest in {}; by its \
             network alone {}. Some rules beside the network were made from these very faults (see Method).",
            share(count(&faults), faults.len()),
            faults.iter().map(|fault| &fault.kind).collect::<BTreeSet<_>>().len(),
            share(first(&faults, 1), faults.len()),
            share(count(&network.faults.iter().collect::<Vec<_>>()), network.faults.len()),
        ),
    );
    let synthetic = served(Scheme::Synthetic);
    line(
        page,
        &format!(
            "- Synthetic faults of seven kinds on the real background of another application: {} found.",
            share(count(&synthetic.faults.iter().collect::<Vec<_>>()), synthetic.faults.len()),
        ),
    );
    memory_in_short(page, record);
    words_in_short(page, record);
    let hidden: Vec<&Found> = application.faults.iter().filter(|f| !CPU_KINDS.contains(&f.kind.as_str())).collect();
    line(
        page,
        &format!(
            "- Faults that hardly reach CPU, memory and traffic (network delays, exceptions, wrong returns) stay hidden: {} found.",
            share(count(&hidden), hidden.len()),
        ),
    );
}

/// What the product's scores and reasons are worth, taken at their word.
fn words_in_short(page: &mut String, record: &Record) {
    for (scheme, on) in [(Scheme::Time, "At another time"), (Scheme::Application, "On another application")] {
        let cells = calibration::cells(record, scheme);
        line(
            page,
            &format!(
                "- {on}, a score is off by {} in the mean over all samples (expected calibration error), by {} where it is 0.1 or \
                 more; the changed feature is among the first two reasons in {}.",
                calibration::figure(&cells),
                calibration::figure(&calibration::suspicious(&cells)),
                aims::within_first(record, scheme),
            ),
        );
    }
}

/// What the recurrence of the network is worth, where it should be worth something.
fn memory_in_short(page: &mut String, record: &Record) {
    let figures = |detector| {
        let outcome = pooled(record, Scheme::Memory, detector);
        let faults: Vec<&Found> = outcome.faults.iter().collect();
        format!(
            "{} found after {} at {} false alerts a pod-day",
            share(count(&faults), faults.len()),
            delay(&faults),
            rate(&outcome)
        )
    };
    line(
        page,
        &format!(
            "- Slow leaks and jobs that run on, among jobs that come back and load that drifts: {}; by its network alone {}; \
             by the same without memory {}.",
            figures(GUARD),
            figures(NETWORK),
            figures(WITHOUT_MEMORY),
        ),
    );
}

fn table(page: &mut String, record: &Record, scheme: Scheme) {
    let cpu_only = matches!(scheme, Scheme::Time | Scheme::Application);
    let what = if cpu_only { "CPU faults" } else { "faults" };
    line(
        page,
        &format!(
            "| detector | {what} found | median delay | right pod scored highest | among the three highest | false alerts a pod-day | calm time under alert | AUC-PR | VUS-PR |\n\
         | --- | --- | --- | --- | --- | --- | --- | --- | --- |"
        ),
    );
    for detector in detectors(record, scheme) {
        let outcome = pooled(record, scheme, detector);
        let faults = if cpu_only { of_kinds(&outcome.faults, &CPU_KINDS) } else { outcome.faults.iter().collect() };
        let delay = delay(&faults);
        line(
            page,
            &format!(
                "| {detector} | {} | {delay} | {} | {} | {} | {} | {} |",
                share(count(&faults), faults.len()),
                share(first(&faults, 1), faults.len()),
                share(first(&faults, 3), faults.len()),
                rate(&outcome),
                time_under_alert(&outcome),
                areas(outcome.area),
            ),
        );
    }
}

/// A row for each kind of fault, with what `cell` makes of those of each detector.
fn kinds(page: &mut String, record: &Record, scheme: Scheme, cell: fn(&[&Found]) -> String) {
    let detectors = detectors(record, scheme);
    line(page, &format!("| fault | {} |\n| --- |{}", detectors.join(" | "), " --- |".repeat(detectors.len())));
    let outcomes: Vec<Outcome> = detectors.iter().map(|detector| pooled(record, scheme, detector)).collect();
    let kinds: BTreeSet<&str> = outcomes.iter().flat_map(|o| &o.faults).map(|fault| fault.kind.as_str()).collect();
    for kind in kinds {
        let mut row = format!("| {kind} |");
        for outcome in &outcomes {
            write!(row, " {} |", cell(&of_kinds(&outcome.faults, &[kind]))).unwrap_or_default();
        }
        line(page, &row);
    }
}

/// Names in the order of the record.
fn detectors(record: &Record, scheme: Scheme) -> Vec<&str> {
    let first = record.folds.iter().find(|fold| fold.scheme == scheme);
    first.into_iter().flat_map(|fold| &fold.outcomes).map(|outcome| outcome.detector.as_str()).collect()
}

/// The outcomes of all folds of a scheme as one; areas, which are of one model's scores, as their mean.
fn pooled(record: &Record, scheme: Scheme, detector: &str) -> Outcome {
    let folds = record.folds.iter().filter(|fold| fold.scheme == scheme);
    let outcomes: Vec<&Outcome> =
        folds.flat_map(|fold| &fold.outcomes).filter(|outcome| outcome.detector == detector).collect();
    let mut all = Outcome {
        detector: detector.to_owned(),
        line: f64::NAN,
        faults: Vec::new(),
        false_alerts: Vec::new(),
        false_seconds: 0.0,
        calm_seconds: 0.0,
        area: Area::mean(outcomes.iter().filter_map(|outcome| outcome.area)),
        area_without: Area::mean(outcomes.iter().filter_map(|outcome| outcome.area_without.or(outcome.area))),
    };
    for outcome in outcomes {
        all.faults.extend_from_slice(&outcome.faults);
        all.false_alerts.extend_from_slice(&outcome.false_alerts);
        all.false_seconds += outcome.false_seconds;
        all.calm_seconds += outcome.calm_seconds;
    }
    all
}

fn of_kinds<'a>(faults: &'a [Found], kinds: &[&str]) -> Vec<&'a Found> {
    faults.iter().filter(|fault| kinds.contains(&fault.kind.as_str())).collect()
}

fn count(faults: &[&Found]) -> usize {
    faults.iter().filter(|fault| fault.after.is_some()).count()
}

/// Median of those that were found.
fn delay(faults: &[&Found]) -> String {
    let delays: Vec<f64> = faults.iter().filter_map(|fault| fault.after).collect();
    if delays.is_empty() { "-".to_owned() } else { format!("{:.0} s", median(&delays)) }
}

fn first(faults: &[&Found], places: usize) -> usize {
    faults.iter().filter(|fault| fault.rank <= places).count()
}

fn share(hits: usize, of: usize) -> String {
    let [low, high] = wilson(hits, of);
    format!("{hits} of {of} ({low:.2} to {high:.2})")
}

fn rate(outcome: &Outcome) -> String {
    if outcome.calm_seconds <= 0.0 {
        return "-".to_owned();
    }
    let days = outcome.calm_seconds / SECONDS_A_DAY;
    let [low, high] = byar(outcome.false_alerts.len()).map(|end| end / days);
    format!("{:.2} ({low:.2} to {high:.2})", outcome.false_alerts.len() as f64 / days)
}

fn areas(area: Option<Area>) -> String {
    area.map_or("- | -".to_owned(), |area| format!("{:.2} | {:.2}", area.auc_pr, area.vus_pr))
}

fn time_under_alert(outcome: &Outcome) -> String {
    if outcome.calm_seconds <= 0.0 {
        return "-".to_owned();
    }
    format!("{:.2} %", 100.0 * outcome.false_seconds / outcome.calm_seconds)
}

/// The budget that METHOD puts into words.
const _: () = assert!(BUDGET > 0.99 && BUDGET < 1.01);
