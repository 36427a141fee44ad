//! The record of what was survived: how often each fault was made, and how often nothing was lost; and its section of
//! `tests/FIGURES.md`, with the faults that single tests hold.

use std::fs::OpenOptions;
use std::io::Write as _;
use std::sync::{Mutex, PoisonError};

use anyhow::{Context, Result, ensure};
use jiff::Timestamp;

use crate::figures::{self, Held};
use crate::kills::{self, Survived};

/// A line for each time that a fault was made many times over.
pub const RECORD: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/records/faults.csv");
const TITLES: &str = "date,commit,fault,where,tried,survived,lost,seconds,what must hold";

/// Every fault that is counted: where it is made, and its name.
const FAULTS: [(&str, &str); 39] = [
    ("process", "exporter killed"),
    ("process", "model of garbage"),
    ("process", "disk full under the exporter"),
    ("process", "run killed"),
    ("process", "disk full under run"),
    ("process", "disk full under the journal"),
    ("process", "run: kubelet answers 429"),
    ("process", "run: kubelet breaks off"),
    ("process", "run: kubelet talks nonsense"),
    ("process", "run: kubelet says 50 MB"),
    ("process", "run: kubelet takes longer than a request may"),
    ("process", "run: api server answers 429"),
    ("process", "run: api server breaks off"),
    ("process", "run: api server talks nonsense"),
    ("process", "run: api server says 50 MB"),
    ("process", "run: api server takes longer than a request may"),
    ("process", "api server hangs up"),
    ("process", "api server answers 429"),
    ("process", "api server answers 500"),
    ("process", "api server talks nonsense"),
    ("process", "api server breaks off"),
    ("process", "watch ends with 410"),
    ("process", "watch falls silent"),
    ("process", "clock steps by an hour"),
    ("process", "kubelet hangs up"),
    ("process", "kubelet takes 30 s"),
    ("process", "kubelet breaks off"),
    ("process", "kubelet talks nonsense"),
    ("process", "kubelet says 50 MB"),
    ("process", "certificate and token rotate"),
    ("process", "1000 scrapers dawdle"),
    ("process", MANY_PODS),
    ("cluster", "api server restarts"),
    ("cluster", "api server away for 60 s"),
    ("cluster", "etcd compacted while the api server is away"),
    ("cluster", "kubelet restarts"),
    ("cluster", "containerd restarts"),
    ("cluster", "node loses its power"),
    ("cluster", "all pods of a node replaced"),
];
/// Pods that are replaced by the thousand are one time.
pub const MANY_PODS: &str = "500 pods replaced a minute";

/// Faults that tests hold without a count.
pub(crate) const HELD: [Held; 15] = [
    ("a journal that cannot be written", "what_cannot_be_written_is_an_error", "kubectl-guard/src/audit/tests.rs"),
    (
        "a journal torn in the middle of a line",
        "a_torn_last_line_is_moved_aside_and_the_chain_goes_on",
        "kubectl-guard/src/audit/tests.rs",
    ),
    (
        "a table torn at any byte",
        "a_table_that_was_torn_anywhere_is_gone_on_with_behind_its_last_whole_line",
        "kubectl-guard/src/collect/file.rs",
    ),
    (
        "a clock that steps by an hour, 20 times either way",
        "a_clock_that_steps_by_an_hour_either_way_accuses_nobody",
        "guard-exporter/src/pipeline.rs",
    ),
    ("a clock that is set back over jobs", "a_clock_set_back_forgets_what_lies_ahead", "models/src/recurrence.rs"),
    ("a node's summary of another node", "a_summary_of_another_node_is_not_believed", "guard-exporter/src/pipeline.rs"),
    (
        "a serving certificate that changes",
        "a_changed_certificate_is_served_without_a_restart_and_a_broken_one_is_not",
        "guard-exporter/src/tls/tests.rs",
    ),
    ("bent bytes of a kubelet", "the_kubelets_summary", "tests/hostile/tests/bent.rs"),
    ("bent bytes of cAdvisor", "the_kubelets_cadvisor_page_in_whatever_pieces", "tests/hostile/tests/bent.rs"),
    ("bent bytes of the API server", "pods_of_the_api_server", "tests/hostile/tests/bent.rs"),
    (
        "a write whose answer is lost",
        "after_a_lost_answer_the_object_is_read_and_nothing_is_sent_again",
        "kubectl-guard/src/apply/tests.rs",
    ),
    ("a panic of a part of run", "a_panic_of_a_part_ends_nothing_else", "kubectl-guard/src/run/supervise.rs"),
    ("a kubelet that stays away", "without_its_kubelet_a_node_is_not_guessed_at", "tests/tests/e2e/outages.rs"),
    ("an exporter's pod that is deleted", "a_killed_exporter_costs_a_warning_at_most", "tests/tests/e2e/outages.rs"),
    (
        "a node that dies in a drain",
        "a_drain_of_a_node_that_dies_half_way_is_told_and_gone_on_with",
        "tests/tests/e2e/nodes.rs",
    ),
];

/// What came of one fault, made many times.
#[derive(Clone, Debug, PartialEq)]
pub struct Survival {
    /// When.
    pub date: String,
    /// Of which commit.
    pub commit: String,
    /// Its name.
    pub fault: String,
    /// `process` or `cluster`.
    pub place: String,
    /// How often it was made.
    pub tried: usize,
    /// How often all held that must hold.
    pub survived: usize,
    /// How often something was lost.
    pub lost: usize,
    /// How long it took.
    pub seconds: u64,
    /// What must hold.
    pub claim: String,
}

/// Makes a fault so many times; `trial` fails if something is lost. Writes the record if `GUARD_FAULTS_RECORD` is set.
///
/// # Errors
/// If anything was lost, with the first reason; if the record cannot be written, or no list says that it must have this fault.
pub fn survive(
    place: &str,
    fault: &str,
    claim: &str,
    times: usize,
    mut trial: impl FnMut(usize) -> Result<()>,
) -> Result<()> {
    ensure!(FAULTS.contains(&(place, fault)), "{fault} ({place}) is not among the faults that the record must have");
    let begun = Timestamp::now();
    let losses: Vec<String> = (0..times)
        .filter_map(|number| trial(number).with_context(|| format!("{fault}, time {number}")).err())
        .map(|error| format!("{error:#}"))
        .collect();
    let survived = times - losses.len();
    crate::suite::note(&format!("{fault}: tried {times}, survived {survived}, lost {}", losses.len()));
    if std::env::var_os("GUARD_FAULTS_RECORD").is_some() {
        note(&Survival {
            date: begun.round(jiff::Unit::Second)?.to_string(),
            commit: std::env::var("GUARD_E2E_COMMIT").unwrap_or_default(),
            fault: fault.to_owned(),
            place: place.to_owned(),
            tried: times,
            survived,
            lost: losses.len(),
            seconds: Timestamp::now().duration_since(begun).as_secs().unsigned_abs(),
            claim: claim.to_owned(),
        })?;
    }
    ensure!(losses.is_empty(), "lost {} of {times}; first: {}", losses.len(), losses[0]);
    Ok(())
}

fn note(survival: &Survival) -> Result<()> {
    // Faults are made at once; their lines stay apart.
    static WRITING: Mutex<()> = Mutex::new(());
    let _held = WRITING.lock().unwrap_or_else(PoisonError::into_inner);
    let begins = !std::path::Path::new(RECORD).exists();
    std::fs::create_dir_all(concat!(env!("CARGO_MANIFEST_DIR"), "/records"))?;
    let mut file = OpenOptions::new().append(true).create(true).open(RECORD).context(RECORD)?;
    let titles = if begins { format!("{TITLES}\n") } else { String::new() };
    let Survival { date, commit, fault, place, tried, survived, lost, seconds, claim } = survival;
    let line = format!("{date},{commit},{fault},{place},{tried},{survived},{lost},{seconds},{claim}\n");
    file.write_all(format!("{titles}{line}").as_bytes())?;
    tell()
}

/// Writes the section anew, by both records.
///
/// # Errors
/// If one cannot be read, or the page not be written.
pub fn tell() -> Result<()> {
    figures::set("faults", &section(&record()?, &kills::record()?))
}

/// The latest of each fault, in the order in which they were first made.
fn latest(record: &[Survival]) -> Vec<&Survival> {
    let mut latest: Vec<&Survival> = Vec::new();
    for survival in record {
        match latest.iter_mut().find(|known| known.fault == survival.fault) {
            Some(known) => *known = survival,
            None => latest.push(survival),
        }
    }
    latest
}

/// The section, in Markdown.
pub fn section(record: &[Survival], kills: &[Survived]) -> String {
    let mut text = "`tests/run --faults`: the real programs beside stand-ins of a kubelet and an API server that fail as they are told \
        (process), and parts of the real cluster that are stopped and started (cluster). The last run of each; all are in \
        [records/faults.csv](records/faults.csv).\n\n\
        | fault | where | tried | survived | lost | what must hold |\n| --- | --- | --- | --- | --- | --- |\n"
        .to_owned();
    text.extend(latest(record).into_iter().map(|Survival { fault, place, tried, survived, lost, claim, .. }| {
        format!("| {fault} | {place} | {tried} | {survived} | {lost} | {claim} |\n")
    }));
    let killed = kills.iter().filter(|kill| kill.killed).count();
    text.extend([format!(
        "\n`tests/run --kills`: `fix` and the other commands that write, killed before, after and within each of their writes and \
        taken up again: {} kills{}, of which {killed} came in time; all were survived ([kills.csv](kills.csv)).\n",
        kills.len(),
        when(kills)
    )]);
    text + &figures::held("fault", &HELD)
}

/// When these were made and of which commit, as far as their lines tell it.
fn when(kills: &[Survived]) -> String {
    let (without, with): (Vec<&Survived>, Vec<&Survived>) = kills.iter().partition(|kill| kill.date.is_empty());
    let last = with.iter().max_by_key(|kill| &kill.date);
    let last = last.map(|kill| format!(", the last at {} of commit {}", kill.date, kill.commit));
    let count = (!without.is_empty()).then(|| format!(" ({} from before they were dated)", without.len()));
    [last, count].into_iter().flatten().collect()
}

/// The record's lines.
///
/// # Errors
/// If a line is none of ours.
pub fn record() -> Result<Vec<Survival>> {
    let Ok(text) = std::fs::read_to_string(RECORD) else { return Ok(Vec::new()) };
    let read = |line: &str| {
        let cells: Vec<&str> = line.splitn(9, ',').collect();
        let [date, commit, fault, place, tried, survived, lost, seconds, claim] = cells[..] else { return None };
        Some(Survival {
            date: date.to_owned(),
            commit: commit.to_owned(),
            fault: fault.to_owned(),
            place: place.to_owned(),
            tried: tried.parse().ok()?,
            survived: survived.parse().ok()?,
            lost: lost.parse().ok()?,
            seconds: seconds.parse().ok()?,
            claim: claim.to_owned(),
        })
    };
    text.lines().filter(|line| *line != TITLES).map(|line| read(line).with_context(|| line.to_owned())).collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn kills_are_told_with_the_last_date_and_how_many_have_none() {
        let kill = |date: &str, commit: &str| Survived {
            action: "scale".to_owned(),
            at: "step.before:1".to_owned(),
            killed: true,
            then: "resumed".to_owned(),
            date: date.to_owned(),
            commit: commit.to_owned(),
        };
        let (old, first, last) = (kill("", ""), kill("2026-11-30T01:00:00Z", "a"), kill("2026-11-30T02:00:00Z", "b"));
        assert_eq!(when(&[first.clone(), last.clone()]), ", the last at 2026-11-30T02:00:00Z of commit b");
        assert_eq!(when(&[old.clone(), old.clone()]), " (2 from before they were dated)");
        assert_eq!(
            when(&[last, first, old]),
            ", the last at 2026-11-30T02:00:00Z of commit b (1 from before they were dated)"
        );
    }

    /// So often a fault is made around a process, and of the whole cluster.
    const LEAST: [(&str, usize); 2] = [("process", 20), ("cluster", 3)];

    #[test]
    fn nothing_was_lost_however_often_it_was_tried() {
        let record = record().unwrap();
        let latest = latest(&record);
        let made: BTreeSet<(&str, &str)> = latest.iter().map(|one| (one.place.as_str(), one.fault.as_str())).collect();
        assert_eq!(made, BTreeSet::from(FAULTS), "tests/run --faults makes those that are missing");
        for survival in latest {
            let (_, least) = LEAST.into_iter().find(|(place, _)| *place == survival.place).unwrap();
            assert!(survival.tried >= if survival.fault == MANY_PODS { 1 } else { least }, "{survival:?}");
            assert!(survival.lost == 0 && survival.survived == survival.tried, "{survival:?}");
        }
        let page = std::fs::read_to_string(figures::PAGE).unwrap();
        assert!(
            page.contains(section(&record, &kills::record().unwrap()).trim_end()),
            "the page tells of another record"
        );
    }
}
