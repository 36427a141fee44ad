//! What a soak writes down as it goes, line by line, so that a soak that is cut off leaves what it had: labels, samples of
//! the processes, scores of calm pods, incidents as `run` told them, alerts of the exporters, and what was done on the way.

use std::fs::{self, OpenOptions};
use std::io::Write as _;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use jiff::Timestamp;

/// Titles of `labels.csv`: those of the recording that the model is judged by.
const LABELS: &str = "start,end,namespace,pod,workload,node,fault";
const SAMPLES: &str = "at,subject,pid,rss_bytes,fds,cpu_seconds,series";
const CALM: &str = "at,pods,mean_score,highest_score";
const INCIDENTS: &str = "from,namespace,pod,cause,score,pods,told_at";
const ALERTS: &str = "since,last_seen,namespace,pod,node,cause,score";
const EVENTS: &str = "at,event,what";

/// A fault that was made.
#[derive(Clone, Debug, PartialEq)]
pub struct Label {
    /// When it began.
    pub start: Timestamp,
    /// When it ended.
    pub end: Timestamp,
    /// Its pod.
    pub pod: String,
    /// The workload of the pod.
    pub workload: String,
    /// Its node.
    pub node: String,
    /// Its kind.
    pub fault: String,
}

/// A process at a time.
#[derive(Clone, Debug, PartialEq)]
pub struct Sample {
    /// When.
    pub at: Timestamp,
    /// `node1`, `node2` for their exporters, or `run`.
    pub subject: String,
    /// Its process: another one is another life.
    pub pid: u32,
    /// Resident memory.
    pub rss: u64,
    /// Open file descriptors.
    pub fds: u64,
    /// CPU used so far, in seconds.
    pub cpu: f64,
    /// Series that it exports; 0 for `run`.
    pub series: u64,
}

/// The scores of the pods that nothing was done to lately.
#[derive(Clone, Debug, PartialEq)]
pub struct Calm {
    /// When.
    pub at: Timestamp,
    /// How many they are.
    pub pods: usize,
    /// Their mean score.
    pub mean: f64,
    /// The highest of them.
    pub highest: f64,
}

/// An incident as `run` told of it.
#[derive(Clone, Debug, PartialEq)]
pub struct Told {
    /// When it began.
    pub from: Timestamp,
    /// The namespace of the pod that leads it.
    pub namespace: String,
    /// The pod that leads it.
    pub pod: String,
    /// What it led with.
    pub cause: String,
    /// The highest score of its pods when it was told.
    pub score: f64,
    /// All its pods, the first mover first.
    pub pods: Vec<String>,
    /// When it was told.
    pub at: Timestamp,
}

/// A pod over its line, as an exporter saw it.
#[derive(Clone, Debug, PartialEq)]
pub struct Alert {
    /// Since when.
    pub since: Timestamp,
    /// When it was last seen.
    pub last: Timestamp,
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub pod: String,
    /// Its node.
    pub node: String,
    /// The leading cause when it was first seen.
    pub cause: String,
    /// The highest score.
    pub score: f64,
}

/// What was done on the way, or found.
#[derive(Clone, Debug, PartialEq)]
pub struct Event {
    /// When.
    pub at: Timestamp,
    /// `start`, `end`, `kill`, `reload`, `files`, or `trouble`.
    pub event: String,
    /// What it was about.
    pub what: String,
}

/// A whole record.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Record {
    /// The faults.
    pub labels: Vec<Label>,
    /// The processes.
    pub samples: Vec<Sample>,
    /// The calm pods.
    pub calm: Vec<Calm>,
    /// The incidents that were told.
    pub told: Vec<Told>,
    /// The alerts of the exporters.
    pub alerts: Vec<Alert>,
    /// What was done on the way.
    pub events: Vec<Event>,
}

/// A line of one of the record's files.
trait Line: Sized {
    const FILE: &'static str;
    const TITLES: &'static str;
    fn cells(&self) -> Vec<String>;
    fn read(cells: &[&str]) -> Option<Self>;
}

impl Line for Label {
    const FILE: &'static str = "labels.csv";
    const TITLES: &'static str = LABELS;
    fn cells(&self) -> Vec<String> {
        let namespace = super::NAMESPACE.to_owned();
        let own = [&self.pod, &self.workload, &self.node, &self.fault].map(Clone::clone);
        [vec![second(self.start), second(self.end), namespace], own.to_vec()].concat()
    }
    fn read(cells: &[&str]) -> Option<Self> {
        let [start, end, _, pod, workload, node, fault] = cells else { return None };
        Some(Self {
            start: start.parse().ok()?,
            end: end.parse().ok()?,
            pod: (*pod).to_owned(),
            workload: (*workload).to_owned(),
            node: (*node).to_owned(),
            fault: (*fault).to_owned(),
        })
    }
}

impl Line for Sample {
    const FILE: &'static str = "samples.csv";
    const TITLES: &'static str = SAMPLES;
    fn cells(&self) -> Vec<String> {
        let numbers = [u64::from(self.pid), self.rss, self.fds].map(|number| number.to_string()).to_vec();
        let head = vec![second(self.at), self.subject.clone()];
        [head, numbers, vec![format!("{:.2}", self.cpu), self.series.to_string()]].concat()
    }
    fn read(cells: &[&str]) -> Option<Self> {
        let [at, subject, pid, rss, fds, cpu, series] = cells else { return None };
        Some(Self {
            at: at.parse().ok()?,
            subject: (*subject).to_owned(),
            pid: pid.parse().ok()?,
            rss: rss.parse().ok()?,
            fds: fds.parse().ok()?,
            cpu: cpu.parse().ok()?,
            series: series.parse().ok()?,
        })
    }
}

impl Line for Calm {
    const FILE: &'static str = "calm.csv";
    const TITLES: &'static str = CALM;
    fn cells(&self) -> Vec<String> {
        vec![second(self.at), self.pods.to_string(), format!("{:.4}", self.mean), format!("{:.4}", self.highest)]
    }
    fn read(cells: &[&str]) -> Option<Self> {
        let [at, pods, mean, highest] = cells else { return None };
        Some(Self {
            at: at.parse().ok()?,
            pods: pods.parse().ok()?,
            mean: mean.parse().ok()?,
            highest: highest.parse().ok()?,
        })
    }
}

impl Line for Told {
    const FILE: &'static str = "incidents.csv";
    const TITLES: &'static str = INCIDENTS;
    fn cells(&self) -> Vec<String> {
        let pod = [&self.namespace, &self.pod, &self.cause].map(Clone::clone).to_vec();
        let tail = vec![format!("{:.2}", self.score), self.pods.join(" "), second(self.at)];
        [vec![second(self.from)], pod, tail].concat()
    }
    fn read(cells: &[&str]) -> Option<Self> {
        let [from, namespace, pod, cause, score, pods, at] = cells else { return None };
        Some(Self {
            from: from.parse().ok()?,
            namespace: (*namespace).to_owned(),
            pod: (*pod).to_owned(),
            cause: (*cause).to_owned(),
            score: score.parse().ok()?,
            pods: pods.split(' ').map(str::to_owned).collect(),
            at: at.parse().ok()?,
        })
    }
}

impl Line for Alert {
    const FILE: &'static str = "alerts.csv";
    const TITLES: &'static str = ALERTS;
    fn cells(&self) -> Vec<String> {
        let names = [&self.namespace, &self.pod, &self.node, &self.cause].map(Clone::clone).to_vec();
        [vec![second(self.since), second(self.last)], names, vec![format!("{:.2}", self.score)]].concat()
    }
    fn read(cells: &[&str]) -> Option<Self> {
        let [since, last, namespace, pod, node, cause, score] = cells else { return None };
        Some(Self {
            since: since.parse().ok()?,
            last: last.parse().ok()?,
            namespace: (*namespace).to_owned(),
            pod: (*pod).to_owned(),
            node: (*node).to_owned(),
            cause: (*cause).to_owned(),
            score: score.parse().ok()?,
        })
    }
}

impl Line for Event {
    const FILE: &'static str = "events.csv";
    const TITLES: &'static str = EVENTS;
    fn cells(&self) -> Vec<String> {
        let plain = self.what.replace([',', '\n', '\r'], ";");
        vec![second(self.at), self.event.clone(), plain]
    }
    fn read(cells: &[&str]) -> Option<Self> {
        let [at, event, what] = cells else { return None };
        Some(Self { at: at.parse().ok()?, event: (*event).to_owned(), what: (*what).to_owned() })
    }
}

/// A time to the second, as the labels have it.
fn second(at: Timestamp) -> String {
    at.round(jiff::Unit::Second).unwrap_or(at).to_string()
}

/// The files of a record, written to as things happen.
#[derive(Debug)]
pub struct Files {
    folder: PathBuf,
}

impl Files {
    /// Begins a record in this folder, or goes on with the one that is there.
    ///
    /// # Errors
    /// If the folder cannot be made.
    pub fn open(folder: &Path) -> Result<Self> {
        fs::create_dir_all(folder).with_context(|| format!("making {}", folder.display()))?;
        Ok(Self { folder: folder.to_owned() })
    }

    /// A fault that is over.
    ///
    /// # Errors
    /// If the disk does not take it; so of all the others.
    pub fn label(&self, label: &Label) -> Result<()> {
        self.write(label)
    }

    /// A process at a time.
    ///
    /// # Errors
    /// As above.
    pub fn sample(&self, sample: &Sample) -> Result<()> {
        self.write(sample)
    }

    /// The calm pods at a time.
    ///
    /// # Errors
    /// As above.
    pub fn calm(&self, calm: &Calm) -> Result<()> {
        self.write(calm)
    }

    /// An incident that was told.
    ///
    /// # Errors
    /// As above.
    pub fn told(&self, told: &Told) -> Result<()> {
        self.write(told)
    }

    /// An alert that is over, or that lasts at the end.
    ///
    /// # Errors
    /// As above.
    pub fn alert(&self, alert: &Alert) -> Result<()> {
        self.write(alert)
    }

    /// Something that was done or found now.
    ///
    /// # Errors
    /// As above.
    pub fn event(&self, event: &str, what: &str) -> Result<()> {
        self.write(&Event { at: Timestamp::now(), event: event.to_owned(), what: what.to_owned() })
    }

    fn write<L: Line>(&self, line: &L) -> Result<()> {
        let path = self.folder.join(L::FILE);
        let begins = !path.exists();
        let mut file = OpenOptions::new().append(true).create(true).open(&path)?;
        let titles = if begins { format!("{}\n", L::TITLES) } else { String::new() };
        file.write_all(format!("{titles}{}\n", line.cells().join(",")).as_bytes())?;
        Ok(())
    }
}

impl Record {
    /// Reads a record; a file that is missing has no lines.
    ///
    /// # Errors
    /// If a file has a line that is none of ours.
    pub fn read(folder: &Path) -> Result<Self> {
        Ok(Self {
            labels: lines(folder)?,
            samples: lines(folder)?,
            calm: lines(folder)?,
            told: lines(folder)?,
            alerts: lines(folder)?,
            events: lines(folder)?,
        })
    }

    /// Whether the soak ran to its end.
    pub fn is_whole(&self) -> bool {
        self.events.iter().any(|event| event.event == "end")
    }
}

fn lines<L: Line>(folder: &Path) -> Result<Vec<L>> {
    let path = folder.join(L::FILE);
    let Ok(text) = fs::read_to_string(&path) else { return Ok(Vec::new()) };
    let read = |line: &str| {
        let cells: Vec<&str> = line.split(',').collect();
        L::read(&cells).with_context(|| format!("{}: {line}", path.display()))
    };
    text.lines().filter(|line| *line != L::TITLES).map(read).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_again() {
        let folder = tempfile::tempdir().unwrap();
        let at: Timestamp = "2026-11-29T01:02:03Z".parse().unwrap();
        let text = |text: &str| text.to_owned();
        let record = Record {
            labels: vec![Label {
                start: at,
                end: at,
                pod: text("web-1"),
                workload: text("web"),
                node: text("node1"),
                fault: text("hang"),
            }],
            samples: vec![Sample { at, subject: text("run"), pid: 7, rss: 1 << 24, fds: 12, cpu: 1.25, series: 0 }],
            calm: vec![Calm { at, pods: 20, mean: 0.0125, highest: 0.25 }],
            told: vec![Told {
                from: at,
                namespace: text("soak"),
                pod: text("web-1"),
                cause: text("not_ready"),
                score: 0.75,
                pods: vec![text("web-1"), text("web-2")],
                at,
            }],
            alerts: vec![Alert {
                since: at,
                last: at,
                namespace: text("soak"),
                pod: text("web-1"),
                node: text("node1"),
                cause: text("not_ready"),
                score: 0.75,
            }],
            events: Vec::new(),
        };
        let files = Files::open(folder.path()).unwrap();
        files.label(&record.labels[0]).unwrap();
        files.sample(&record.samples[0]).unwrap();
        files.calm(&record.calm[0]).unwrap();
        files.told(&record.told[0]).unwrap();
        files.alert(&record.alerts[0]).unwrap();
        assert_eq!(Record::read(folder.path()).unwrap(), record);
        files.event("end", "an hour,\nwhole").unwrap();
        let read = Record::read(folder.path()).unwrap();
        assert!(read.is_whole() && read.events[0].what == "an hour;;whole", "{:?}", read.events);
    }
}
