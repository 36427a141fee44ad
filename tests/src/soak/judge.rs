//! What a soak came to, by its record: which faults became incidents and who led them, what was told without a reason, and
//! whether anything grew.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;

use super::record::{Alert, Calm, Label, Record, Sample, Told};
use super::schedule::felt_for;

/// The subject that is no exporter: it is killed on purpose.
const RUN: &str = "run";
/// Samples and clocks differ by so much: what begins so long before a fault may still be of it.
const BEFORE: i64 = 15;
/// Somebody else's trouble within this time after a fault may still be its consequence; seconds.
const ECHO: i64 = 60;
/// The first minutes of a process fill its caches; they are left out where it lived longer.
const FILLING: f64 = 300.0;
/// A process of fewer samples says nothing of growth.
const FEWEST: usize = 12;
/// Memory may grow by this share of its median over a process's life ...
pub const SHARE: f64 = 0.05;
/// ... or by so many bytes.
pub const LEAST: f64 = 1_048_576.0;
/// Open files in the last third of a life, beside those of the first.
pub const MORE_FDS: u64 = 2;
/// Series in the last third beside the first, at the lowest of each: two pods of a job.
pub const MORE_SERIES: u64 = 12;
/// The median of the mean score of calm pods, in the last third beside the first.
pub const DRIFT: f64 = 0.02;

/// How a fault showed.
#[derive(Clone, Debug, PartialEq)]
pub struct Seen {
    /// Seconds from the fault's start to when `run` told it, or to the exporter's sample that went over the line.
    pub after: i64,
    /// The pod of the fault is the first mover.
    pub first: bool,
    /// Who leads.
    pub lead: String,
    /// With which cause.
    pub cause: String,
}

/// A fault, as `run` told it and as the exporters saw it.
#[derive(Clone, Debug, PartialEq)]
pub struct Fault {
    /// It.
    pub label: Label,
    /// The incident of `run`.
    pub told: Option<Seen>,
    /// The alert of an exporter.
    pub seen: Option<Seen>,
}

/// How something of a process's life developed.
#[derive(Clone, Debug, PartialEq)]
pub struct Life {
    /// `node1`, `node2` or `run`.
    pub subject: String,
    /// Its process.
    pub pid: u32,
    /// How long it was watched, in hours.
    pub hours: f64,
    /// The median of its memory, in bytes.
    pub median: f64,
    /// By how much its memory grew: the Theil-Sen slope times the time; negative if it shrank.
    pub growth: f64,
    /// The medians of its open files in the first and the last third.
    pub fds: (u64, u64),
    /// The lowest numbers of series in the first and the last third.
    pub series: (u64, u64),
    /// CPU used per second, in the first and the last third.
    pub cpu: (f64, f64),
}

/// Everything there is to say.
#[derive(Clone, Debug, PartialEq)]
pub struct Verdict {
    /// From the first sample to the last, in hours.
    pub hours: f64,
    /// The faults, in their order.
    pub faults: Vec<Fault>,
    /// Incidents that no fault explains.
    pub false_incidents: Vec<Told>,
    /// Incidents of other pods while a fault lasted: neither right nor wrong.
    pub neighbours: Vec<Told>,
    /// Alerts of the exporters that no fault explains.
    pub false_alerts: Vec<Alert>,
    /// Hours of calm pods that were watched.
    pub calm_hours: f64,
    /// Every process that lived long enough to be judged.
    pub lives: Vec<Life>,
    /// The medians of the mean score of calm pods, in the first and the last third.
    pub drift: (f64, f64),
    /// The highest score of any calm pod.
    pub highest: f64,
    /// How many exporters each node has had.
    pub exporters: BTreeMap<String, usize>,
    /// How often the soak was begun, each time in a cluster of its own.
    pub begun: usize,
    /// How often `run` was killed, and how often its files were found whole afterwards.
    pub kills: (usize, usize),
    /// How often it took a new configuration.
    pub reloads: usize,
    /// What went wrong with the soak itself.
    pub troubles: Vec<String>,
}

fn seconds(from: Timestamp, to: Timestamp) -> i64 {
    to.as_second() - from.as_second()
}

impl Label {
    /// Something at this time may be this fault's doing.
    fn echoes(&self, at: Timestamp) -> bool {
        seconds(self.start, at) >= -BEFORE && seconds(self.end, at) <= ECHO
    }

    /// The fault's own pod may still suffer at this time.
    pub fn is_felt(&self, at: Timestamp) -> bool {
        seconds(self.start, at) >= -BEFORE && seconds(self.end, at) <= felt_for(&self.fault) as i64
    }
}

/// Judges a record.
pub fn judge(record: &Record) -> Verdict {
    let told = once(&record.told);
    let faults: Vec<Fault> = record.labels.iter().map(|label| fault(label, &told, record)).collect();
    let of_a_victim =
        |pods: &[String], at| record.labels.iter().any(|label| pods.contains(&label.pod) && label.is_felt(at));
    let others: Vec<&Told> = told.iter().filter(|told| !of_a_victim(&told.pods, told.from)).collect();
    let echo = |at| record.labels.iter().any(|label| label.echoes(at));
    let (neighbours, false_incidents): (Vec<&Told>, Vec<&Told>) = others.into_iter().partition(|told| echo(told.from));
    let false_alerts = record
        .alerts
        .iter()
        .filter(|alert| !of_a_victim(std::slice::from_ref(&alert.pod), alert.since) && !echo(alert.since));
    let (first, last) = (record.samples.first(), record.samples.last());
    let hours = first.zip(last).map_or(0.0, |(first, last)| seconds(first.at, last.at) as f64 / 3600.0);
    let count = |name: &str| record.events.iter().filter(|event| event.event == name).count();
    let troubles = record.events.iter().filter(|event| event.event == "trouble");
    Verdict {
        hours,
        faults,
        false_incidents: false_incidents.into_iter().cloned().collect(),
        neighbours: neighbours.into_iter().cloned().collect(),
        false_alerts: false_alerts.cloned().collect(),
        calm_hours: calm_hours(&record.calm),
        lives: lives(&record.samples),
        drift: thirds(&record.calm.iter().map(|calm| calm.mean).collect::<Vec<_>>(), median),
        highest: record.calm.iter().map(|calm| calm.highest).fold(0.0, f64::max),
        exporters: exporters(&record.samples),
        begun: count("start"),
        kills: (count("kill"), count("files")),
        reloads: count("reload"),
        troubles: troubles.map(|event| event.what.clone()).collect(),
    }
}

/// A process that starts anew tells again of what lasts.
fn once(told: &[Told]) -> Vec<Told> {
    let mut first: BTreeMap<(Timestamp, &str), Told> = BTreeMap::new();
    for told in told {
        first.entry((told.from, &told.pod)).or_insert_with(|| told.clone());
    }
    first.into_values().collect()
}

fn fault(label: &Label, told: &[Told], record: &Record) -> Fault {
    let begins = |at| seconds(label.start, at) >= -BEFORE && seconds(label.end, at) <= ECHO;
    let incident = told.iter().filter(|told| told.pods.contains(&label.pod) && begins(told.from));
    let incident = incident.min_by_key(|told| told.from).map(|told| Seen {
        after: seconds(label.start, told.at),
        first: told.pod == label.pod,
        lead: told.pod.clone(),
        cause: told.cause.clone(),
    });
    let at_fault = |pod: &str, at| record.labels.iter().any(|other| other.pod == pod && other.is_felt(at));
    let alert = record.alerts.iter().filter(|alert| alert.pod == label.pod && begins(alert.since));
    let alert = alert.min_by_key(|alert| alert.since).map(|alert| {
        let earlier = record
            .alerts
            .iter()
            .find(|other| begins(other.since) && other.since < alert.since && !at_fault(&other.pod, other.since));
        Seen {
            after: seconds(label.start, alert.since),
            first: earlier.is_none(),
            lead: earlier.unwrap_or(alert).pod.clone(),
            cause: alert.cause.clone(),
        }
    });
    Fault { label: label.clone(), told: incident, seen: alert }
}

fn calm_hours(calm: &[Calm]) -> f64 {
    let spans = calm.windows(2).map(|two| (two[0].pods as f64, seconds(two[0].at, two[1].at)));
    // A soak that was gone on with has a gap.
    spans.filter(|(_, span)| *span <= 120).map(|(pods, span)| pods * span as f64 / 3600.0).sum()
}

fn exporters(samples: &[Sample]) -> BTreeMap<String, usize> {
    let mut of: BTreeMap<String, BTreeSet<u32>> = BTreeMap::new();
    for sample in samples.iter().filter(|sample| sample.subject != RUN) {
        of.entry(sample.subject.clone()).or_default().insert(sample.pid);
    }
    of.into_iter().map(|(node, pids)| (node, pids.len())).collect()
}

fn lives(samples: &[Sample]) -> Vec<Life> {
    let mut of: BTreeMap<(&str, u32), Vec<&Sample>> = BTreeMap::new();
    for sample in samples {
        of.entry((&sample.subject, sample.pid)).or_default().push(sample);
    }
    of.into_iter().filter_map(|((subject, pid), samples)| life(subject, pid, &samples)).collect()
}

fn life(subject: &str, pid: u32, samples: &[&Sample]) -> Option<Life> {
    let (first, last) = (samples.first()?, samples.last()?);
    let since = |sample: &Sample| seconds(first.at, sample.at) as f64;
    let skipped = FILLING.min(since(last) / 3.0);
    let filled: Vec<&Sample> = samples.iter().copied().filter(|sample| since(sample) >= skipped).collect();
    if filled.len() < FEWEST {
        return None;
    }
    let memory: Vec<(f64, f64)> = filled.iter().map(|sample| (since(sample), sample.rss as f64)).collect();
    let third = filled.len() / 3;
    let cpu = |part: &[&Sample]| {
        let (from, to) = (part[0], part[part.len() - 1]);
        (to.cpu - from.cpu) / (since(to) - since(from)).max(1.0)
    };
    let whole = |values: (f64, f64)| (values.0 as u64, values.1 as u64);
    let of = |value: fn(&Sample) -> u64| filled.iter().map(|sample| value(sample) as f64).collect::<Vec<_>>();
    Some(Life {
        subject: subject.to_owned(),
        pid,
        hours: since(last) / 3600.0,
        median: median(&of(|sample| sample.rss)),
        growth: slope(&memory) * (since(last) - skipped),
        fds: whole(thirds(&of(|sample| sample.fds), median)),
        series: whole(thirds(&of(|sample| sample.series), |part| part.iter().copied().fold(f64::INFINITY, f64::min))),
        cpu: (cpu(&filled[..third.max(2)]), cpu(&filled[filled.len() - third.max(2)..])),
    })
}

/// Something of the first and of the last third.
fn thirds(values: &[f64], of: impl Fn(&[f64]) -> f64) -> (f64, f64) {
    let third = values.len().div_ceil(3);
    if third == 0 {
        return (0.0, 0.0);
    }
    (of(&values[..third]), of(&values[values.len() - third..]))
}

fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted.get(sorted.len() / 2).copied().unwrap_or(0.0)
}

/// The median of the slopes between all pairs (Theil, 1950; Sen, JASA 63, 1968): a spike does not move it.
fn slope(points: &[(f64, f64)]) -> f64 {
    let pairs = points.iter().enumerate().flat_map(|(place, a)| points[..place].iter().map(move |b| (a, b)));
    let slopes: Vec<f64> = pairs.filter(|(a, b)| a.0 > b.0).map(|(a, b)| (a.1 - b.1) / (a.0 - b.0)).collect();
    median(&slopes)
}

impl Life {
    /// By how much its memory may grow.
    pub fn allowed(&self) -> f64 {
        (self.median * SHARE).max(LEAST)
    }
}

impl Verdict {
    /// How many faults became an incident of `run`, and of how many the right pod leads.
    pub fn told(&self) -> (usize, usize) {
        let told = self.faults.iter().filter_map(|fault| fault.told.as_ref());
        (told.clone().count(), told.filter(|seen| seen.first).count())
    }

    /// The same of the exporters' alerts.
    pub fn seen(&self) -> (usize, usize) {
        let seen = self.faults.iter().filter_map(|fault| fault.seen.as_ref());
        (seen.clone().count(), seen.filter(|seen| seen.first).count())
    }

    /// How long after its start a fault was told, in the median; seconds.
    pub fn told_after(&self) -> i64 {
        let after = self.faults.iter().filter_map(|fault| Some(fault.told.as_ref()?.after as f64));
        median(&after.collect::<Vec<_>>()) as i64
    }

    /// What must hold of every soak and does not; a sentence each. How many faults are found is told, and held elsewhere.
    pub fn broken(&self) -> Vec<String> {
        let mut broken: Vec<String> = self.troubles.iter().map(|what| format!("trouble on the way: {what}")).collect();
        let mib = |bytes: f64| bytes / 1_048_576.0;
        for life in &self.lives {
            let Life { subject, fds, series, .. } = life;
            if life.growth > life.allowed() {
                let (grew, may) = (mib(life.growth), mib(life.allowed()));
                broken.push(format!("the memory of {subject} grew by {grew:.1} MiB, and may by {may:.1} MiB"));
            }
            if fds.1 > fds.0 + MORE_FDS {
                broken.push(format!("{subject} had {} files open at first and {} at last", fds.0, fds.1));
            }
            if series.1 > series.0 + MORE_SERIES {
                broken.push(format!("{subject} had {} series at first and {} at last", series.0, series.1));
            }
        }
        for (node, exporters) in self.exporters.iter().filter(|(_, exporters)| **exporters > self.begun) {
            let begun = self.begun;
            broken.push(format!("an exporter restarted: {node} had {exporters}, and the soak was begun {begun} times"));
        }
        if (self.drift.1 - self.drift.0).abs() > DRIFT {
            broken.push(format!("calm scores drift from {:.3} to {:.3}", self.drift.0, self.drift.1));
        }
        if self.kills.0 != self.kills.1 {
            broken.push(format!(
                "run was killed {} times, and its files were whole {} times",
                self.kills.0, self.kills.1
            ));
        }
        broken
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(1_796_000_000 + second).unwrap()
    }

    fn label(pod: &str, start: i64, end: i64) -> Label {
        let text = |text: &str| text.to_owned();
        let workload = text(pod.split('-').next().unwrap());
        Label { start: at(start), end: at(end), pod: text(pod), workload, node: text("node1"), fault: text("hang") }
    }

    fn told(pods: &[&str], from: i64) -> Told {
        let pods: Vec<String> = pods.iter().map(|pod| (*pod).to_owned()).collect();
        Told {
            from: at(from),
            namespace: "soak".to_owned(),
            pod: pods[0].clone(),
            cause: "not_ready".to_owned(),
            score: 0.9,
            pods,
            at: at(from + 5),
        }
    }

    fn alert(pod: &str, since: i64) -> Alert {
        let text = |text: &str| text.to_owned();
        let (namespace, node, cause) = (text("soak"), text("node1"), text("cpu"));
        Alert { since: at(since), last: at(since + 30), namespace, pod: text(pod), node, cause, score: 0.8 }
    }

    fn samples(rss: impl Fn(i64) -> u64) -> Vec<Sample> {
        let sample = |n: i64| Sample {
            at: at(15 * n),
            subject: "node1".to_owned(),
            pid: 7,
            rss: rss(n),
            fds: 20,
            cpu: 0.1 * n as f64,
            series: 90 + 6 * u64::from(n % 4 == 0),
        };
        (0..240).map(sample).collect()
    }

    fn event(name: &str) -> super::super::record::Event {
        super::super::record::Event { at: at(0), event: name.to_owned(), what: String::new() }
    }

    #[test]
    fn faults_are_found_by_their_own_pod_and_the_rest_is_told_apart() {
        let record = Record {
            labels: vec![label("web-1", 1000, 1100), label("cart-1", 1020, 1100), label("mail-1", 2000, 2100)],
            told: vec![
                told(&["web-1"], 1030),
                // Told again by the next process.
                told(&["web-1"], 1030),
                told(&["mail-2", "mail-1"], 2040),
                told(&["feed-1"], 1050),
                told(&["feed-1"], 1500),
                // Its own pod's afterpains.
                told(&["web-1"], 1300),
            ],
            alerts: vec![alert("web-1", 1020), alert("cart-1", 1040), alert("feed-1", 1010), alert("feed-1", 1700)],
            ..Record::default()
        };
        let verdict = judge(&record);
        let found = |fault: &Fault| fault.told.as_ref().map(|seen| (seen.after, seen.first));
        assert_eq!(verdict.faults.iter().map(found).collect::<Vec<_>>(), [Some((35, true)), None, Some((45, false))]);
        assert_eq!(verdict.told_after(), 45);
        assert_eq!((verdict.told(), verdict.seen()), ((2, 1), (2, 0)), "feed-1 was earlier than both");
        assert_eq!((verdict.neighbours.len(), verdict.false_incidents.len()), (1, 1));
        assert_eq!(verdict.false_incidents[0].from, at(1500));
        assert_eq!(verdict.false_alerts.iter().map(|alert| alert.since).collect::<Vec<_>>(), [at(1700)]);
    }

    #[test]
    fn a_leak_is_told_from_spikes_and_from_filling() {
        let mib = 1_048_576;
        let grows = |rss: &dyn Fn(i64) -> u64| {
            judge(&Record { samples: samples(rss), events: vec![event("start")], ..Record::default() }).broken()
        };
        assert_eq!(grows(&|n| 16 * mib + if n % 10 == 0 { 4 * mib } else { 0 }), [""; 0]);
        assert_eq!(grows(&|n| (10 + n.min(10) as u64) * mib), [""; 0], "the first minutes fill it");
        let leak = grows(&|n| 16 * mib + n as u64 * 8192);
        assert_eq!(leak, ["the memory of node1 grew by 1.7 MiB, and may by 1.0 MiB"]);
    }

    #[test]
    fn an_exporter_that_restarts_is_told_unless_the_soak_was_begun_again() {
        let mut samples = samples(|_| 16 << 20);
        samples.last_mut().unwrap().pid += 1;
        let run = Sample { subject: RUN.to_owned(), pid: 1, ..samples[0].clone() };
        samples.extend([run.clone(), Sample { pid: 2, ..run }]);
        let broken = |starts| {
            judge(&Record { samples: samples.clone(), events: vec![event("start"); starts], ..Record::default() })
                .broken()
        };
        assert_eq!(broken(1), ["an exporter restarted: node1 had 2, and the soak was begun 1 times"]);
        assert_eq!(broken(2), [""; 0]);
    }

    #[test]
    fn what_must_hold_is_told_where_it_does_not() {
        let calm = |n: i64| Calm { at: at(15 * n), pods: 10, mean: 0.001 * n as f64, highest: 0.5 };
        let record = Record {
            calm: (0..60).map(calm).collect(),
            events: vec![event("kill"), event("kill"), event("files"), event("trouble")],
            ..Record::default()
        };
        let verdict = judge(&record);
        assert_eq!(verdict.broken().len(), 3, "{:?}", verdict.broken());
        assert!((verdict.calm_hours - 10.0 * 59.0 * 15.0 / 3600.0).abs() < 1e-9);
    }
}
