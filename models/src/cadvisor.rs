//! The kubelet's `/metrics/cadvisor`: a few families of a large text, read in chunks with bounded memory.

use std::borrow::Cow;
use std::collections::HashMap;

use memchr::memchr;

use crate::summary::MAX_PODS;

/// How many bytes a page may have, which is read as it comes: ten times one of 110 pods.
pub const MAX_BYTES: usize = 64 << 20;
/// A longer line is left out; real ones have about 400 bytes.
const MAX_LINE: usize = 16 * 1024;

/// Longer than any wanted name.
const MAX_NAME: usize = 64;

/// One reading of cadvisor.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Cadvisor {
    /// The wanted counters of each pod, by namespace and name; at most [`MAX_PODS`].
    pub pods: HashMap<(String, String), PodCadvisor>,
    /// Wanted lines that were left out: of pods beyond that, longer than any real line, or not well formed.
    pub dropped: usize,
}

/// What cadvisor counts of one pod. `None`: not in the text. Processes are not among it: the pod's own row counts none,
/// and the summary has them with every tick.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct PodCadvisor {
    /// Received packets that were dropped.
    pub receive_drops: Option<Count>,
    /// Packets to send that were dropped.
    pub transmit_drops: Option<Count>,
    /// CFS periods in which the pod wanted to run.
    pub periods: Option<Count>,
    /// Those of them in which it was throttled.
    pub throttled: Option<Count>,
    /// OOM kills.
    pub oom_events: Option<Count>,
    /// Bytes read from disk. Once a node counts any, 0 for a pod that has none: cadvisor names no device that was not used.
    pub disk_read: Option<Count>,
    /// Bytes written to disk, likewise.
    pub disk_written: Option<Count>,
}

impl PodCadvisor {
    /// Packets dropped, of the directions that are known.
    pub fn drops(&self) -> Option<Count> {
        sum(self.receive_drops, self.transmit_drops)
    }

    /// Bytes read from and written to disk.
    pub fn disk(&self) -> Option<Count> {
        sum(self.disk_read, self.disk_written)
    }
}

fn sum(one: Option<Count>, other: Option<Count>) -> Option<Count> {
    let sum = |a: Count, b: Count| Count { at: a.at.max(b.at), value: a.value + b.value };
    [one, other].into_iter().flatten().reduce(sum)
}

/// A counter at a time. The rows of one text are up to 20 s apart.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Count {
    /// When it was read, in seconds of Unix time.
    pub at: f64,
    /// What was counted since the cgroup was made.
    pub value: f64,
}

impl Count {
    /// Time and value.
    pub(crate) fn pair(self) -> (f64, f64) {
        (self.at, self.value)
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Family {
    ReceiveDrops,
    TransmitDrops,
    Periods,
    Throttled,
    Oom,
    DiskRead,
    DiskWritten,
}

const FAMILIES: usize = 7;

fn family(name: &str) -> Option<Family> {
    Some(match name {
        "container_network_receive_packets_dropped_total" => Family::ReceiveDrops,
        "container_network_transmit_packets_dropped_total" => Family::TransmitDrops,
        "container_cpu_cfs_periods_total" => Family::Periods,
        "container_cpu_cfs_throttled_periods_total" => Family::Throttled,
        "container_oom_events_total" => Family::Oom,
        "container_fs_reads_bytes_total" => Family::DiskRead,
        "container_fs_writes_bytes_total" => Family::DiskWritten,
        _ => return None,
    })
}

/// One family of one pod: cadvisor gives a row for the pod's own cgroup, which holds its containers, and a row for each
/// of them. Adding both would count twice.
#[derive(Clone, Copy, Default)]
struct Rows {
    pod: Option<Count>,
    containers: Option<Count>,
}

#[derive(Default)]
struct Counters {
    rows: [Rows; FAMILIES],
}

/// Takes the text in chunks of any size.
#[derive(Default)]
pub struct Reader {
    /// The beginning of a line whose end has not come yet.
    rest: Vec<u8>,
    /// The line at hand is longer than [`MAX_LINE`]: skip to its end.
    skipping: bool,
    pods: HashMap<(String, String), Counters>,
    /// Disk traffic of anything was named, if only of the node.
    counts_disk: bool,
    dropped: usize,
}

impl Reader {
    /// Takes the next chunk.
    pub fn feed(&mut self, mut chunk: &[u8]) {
        while let Some(end) = memchr(b'\n', chunk) {
            let (line, after) = (&chunk[..end], &chunk[end + 1..]);
            if self.skipping {
                self.skipping = false;
            } else if self.rest.is_empty() {
                self.line(line);
            } else {
                let mut whole = std::mem::take(&mut self.rest);
                whole.extend_from_slice(line);
                self.line(&whole);
                whole.clear();
                self.rest = whole;
            }
            chunk = after;
        }
        if self.rest.len() + chunk.len() > MAX_LINE && !self.skipping {
            // What does not begin with a wanted name is no loss: comments and other families may be as long as they like.
            self.rest.extend_from_slice(&chunk[..chunk.len().min(MAX_NAME)]);
            self.dropped += usize::from(is_wanted(&self.rest));
            self.rest.clear();
            self.skipping = true;
        } else if !self.skipping {
            self.rest.extend_from_slice(chunk);
        }
    }

    /// The counters of every pod that was named.
    pub fn finish(mut self) -> Cadvisor {
        let last = std::mem::take(&mut self.rest);
        self.line(&last);
        let pods = self.pods.into_iter().map(|(pod, counters)| (pod, counters.resolve(self.counts_disk))).collect();
        Cadvisor { pods, dropped: self.dropped }
    }

    fn line(&mut self, line: &[u8]) {
        if !is_wanted(line) {
            return;
        }
        let row = std::str::from_utf8(line).ok().filter(|line| line.len() <= MAX_LINE).and_then(row);
        self.counts_disk |=
            row.as_ref().is_some_and(|row| matches!(row.family, Family::DiskRead | Family::DiskWritten));
        match row {
            Some(row) if !row.counts() => (),
            Some(row) if self.pods.len() < MAX_PODS || self.pods.contains_key(&row.place) => {
                let (family, of_pod, count) = (row.family, row.of_pod, row.count);
                let rows = &mut self.pods.entry(row.place).or_default().rows[family as usize];
                let sum = if of_pod { &mut rows.pod } else { &mut rows.containers };
                let before = sum.unwrap_or_default();
                *sum = Some(Count { at: before.at.max(count.at), value: before.value + count.value });
            }
            _ => self.dropped += 1,
        }
    }
}

/// A look at the name before any work is done: of some 4500 lines a hundred are wanted.
fn is_wanted(line: &[u8]) -> bool {
    let start = &line[..line.len().min(MAX_NAME + 1)];
    let name = &start[..memchr(b'{', start).unwrap_or(start.len())];
    std::str::from_utf8(name).is_ok_and(|name| family(name).is_some())
}

impl Counters {
    fn resolve(&self, counts_disk: bool) -> PodCadvisor {
        let pod_or_containers = |f: Family| self.rows[f as usize].pod.or(self.rows[f as usize].containers);
        let read =
            self.rows.iter().filter_map(|rows| rows.pod.or(rows.containers)).map(|count| count.at).reduce(f64::max);
        let unused = read.filter(|_| counts_disk).map(|at| Count { at, value: 0.0 });
        let oom = self.rows[Family::Oom as usize];
        let most = |a: Count, b: Count| Count { at: a.at.max(b.at), value: a.value.max(b.value) };
        PodCadvisor {
            receive_drops: pod_or_containers(Family::ReceiveDrops),
            transmit_drops: pod_or_containers(Family::TransmitDrops),
            periods: pod_or_containers(Family::Periods),
            throttled: pod_or_containers(Family::Throttled),
            // The kernel's notice names the cgroup it killed in: either row may hold it.
            oom_events: [oom.pod, oom.containers].into_iter().flatten().reduce(most),
            disk_read: pod_or_containers(Family::DiskRead).or(unused),
            disk_written: pod_or_containers(Family::DiskWritten).or(unused),
        }
    }
}

struct Row {
    family: Family,
    place: (String, String),
    of_pod: bool,
    of_sandbox: bool,
    count: Count,
}

impl Row {
    /// Rows of the node, of slices and of sandboxes count nothing of a pod.
    fn counts(&self) -> bool {
        !self.of_sandbox && !self.place.0.is_empty() && !self.place.1.is_empty()
    }
}

/// `name{label="value",...} value [milliseconds]`; `None` for what is not well formed.
fn row(line: &str) -> Option<Row> {
    let (name, rest) = line.split_once('{')?;
    let family = family(name)?;
    let (mut namespace, mut pod, mut container, mut cgroup) = (Cow::default(), Cow::default(), Cow::default(), false);
    let rest = labels(rest, |key, value| match key {
        "namespace" => namespace = value,
        "pod" => pod = value,
        "container" => container = value,
        // Only a row of a container or sandbox has a name; the pod's own cgroup has none.
        "name" => cgroup = value.is_empty(),
        _ => (),
    })?;
    let mut fields = rest.split_ascii_whitespace();
    let value = fields.next()?.parse().ok().filter(|value: &f64| value.is_finite() && *value >= 0.0)?;
    let at = fields.next()?.parse().ok().filter(|ms: &f64| ms.is_finite())? / 1000.0;
    // The network belongs to the sandbox: its row stands for the pod.
    let of_pod = matches!(family, Family::ReceiveDrops | Family::TransmitDrops) || (container.is_empty() && cgroup);
    let of_sandbox = !of_pod && (container.is_empty() || container == "POD");
    let place = (namespace.into_owned(), pod.into_owned());
    Some(Row { family, place, of_pod, of_sandbox, count: Count { at, value } })
}

/// Gives each label to `take` and returns what follows the closing brace.
fn labels<'a>(mut text: &'a str, mut take: impl FnMut(&'a str, Cow<'a, str>)) -> Option<&'a str> {
    loop {
        text = text.trim_start_matches([',', ' ']);
        if let Some(rest) = text.strip_prefix('}') {
            return Some(rest);
        }
        let (key, rest) = text.split_once("=\"")?;
        let (value, rest) = quoted(rest)?;
        take(key, value);
        text = rest;
    }
}

/// The value up to the closing quote, with `\\`, `\"` and `\n` resolved, and what follows it.
fn quoted(text: &str) -> Option<(Cow<'_, str>, &str)> {
    let end = text.find(['"', '\\'])?;
    if text[end..].starts_with('"') {
        return Some((Cow::Borrowed(&text[..end]), &text[end + 1..]));
    }
    let mut value = text[..end].to_owned();
    let mut chars = text[end..].char_indices();
    while let Some((i, c)) = chars.next() {
        match c {
            '"' => return Some((Cow::Owned(value), &text[end + i + 1..])),
            '\\' => value.push(match chars.next()?.1 {
                'n' => '\n',
                other => other,
            }),
            other => value.push(other),
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    const RECORDED: &[u8] = include_bytes!("../tests/fixtures/cadvisor.txt");

    fn read(chunks: &[&[u8]]) -> Cadvisor {
        let mut reader = Reader::default();
        for chunk in chunks {
            reader.feed(chunk);
        }
        reader.finish()
    }

    #[test]
    fn recorded_bytes_give_each_pod_once() {
        let pods = read(&[RECORDED]);
        let report = pods.pods[&("shop".to_owned(), "report-f844fbfd7-mjgx9".to_owned())];
        let value = |count: Option<Count>| count.map(|count| count.value);
        assert_eq!(value(report.drops()), Some(0.0));
        assert_eq!(value(report.oom_events), Some(0.0));
        assert_eq!(value(report.periods), Some(2493.0), "the pod's row alone, not its containers' on top");
        assert_eq!(value(report.throttled), Some(0.0));
        assert_eq!(report.disk(), None, "not in the text, not 0");
        let at = |count: Option<Count>| count.map(|count| count.at.to_bits());
        assert_ne!(at(report.drops()), at(report.periods), "each row has its own time");
        assert_eq!(pods.dropped, 0);
    }

    /// Recorded lines: `report` has written, and cadvisor names no disk of `sender`, which has not.
    #[test]
    fn a_pod_without_disk_traffic_has_none_once_anything_has_some() {
        let recorded = r#"container_fs_writes_bytes_total{container="",device="/dev/vda",id="/",image="",name="",namespace="",pod=""} 1.3119488e+07 1795951497943
container_fs_reads_bytes_total{container="",device="/dev/vda",id="/k/burstable/pod64a5",image="",name="",namespace="soak",pod="report"} 8192 1795951496912
container_fs_reads_bytes_total{container="report",device="/dev/vda",id="/k/burstable/pod64a5/434c",image="guard.test/work:1",name="434c",namespace="soak",pod="report"} 8192 1795951501047
container_fs_writes_bytes_total{container="",device="/dev/vda",id="/k/burstable/pod64a5",image="",name="",namespace="soak",pod="report"} 2.097152e+06 1795951496912
container_oom_events_total{container="",id="/k/burstable/pod87ea",image="",name="",namespace="soak",pod="sender"} 0 1795951490592
"#;
        let disk = |text: &str, pod: &str| {
            read(&[text.as_bytes()]).pods[&("soak".to_owned(), pod.to_owned())]
                .disk()
                .map(|count| (count.at, count.value))
        };
        assert_eq!(disk(recorded, "report"), Some((1_795_951_496.912, 2_105_344.0)), "the pod's rows alone");
        assert_eq!(disk(recorded, "sender"), Some((1_795_951_490.592, 0.0)));
        let without = recorded.lines().last().unwrap();
        assert_eq!(disk(without, "sender"), None, "a node that counts nothing says nothing of any pod");
    }

    #[test]
    fn chunks_may_end_anywhere() {
        let whole = read(&[RECORDED]);
        for size in [1, 7, 100, 4096] {
            assert_eq!(read(&RECORDED.chunks(size).collect::<Vec<_>>()), whole, "chunks of {size}");
        }
    }

    #[test]
    fn a_label_may_hold_anything() {
        let line = br#"container_oom_events_total{container="a}\",b=\"c\\",name="x",namespace="n",pod="p"} 3 5000"#;
        let pods = read(&[line]);
        let expected = Some(Count { at: 5.0, value: 3.0 });
        assert_eq!(pods.pods[&("n".to_owned(), "p".to_owned())].oom_events, expected);
    }

    #[test]
    fn what_is_not_well_formed_is_left_out() {
        let endless = [b"container_oom_events_total{pod=\"".as_slice(), &vec![b'x'; 2 * MAX_LINE], b"\"} 1\n"].concat();
        for (text, dropped) in [
            (&b"container_oom_events_total{name=\"\",namespace=\"n\",pod=\"p\"} NaN 5\n"[..], 1),
            (b"container_oom_events_total{namespace=\"n\",pod=\"p} 1 5\n", 1),
            (b"container_oom_events_total{namespace=\"n\",pod=\"p\"}\n", 1),
            (b"container_oom_events_total{namespace=\"n\",pod=\"\xff\"} 1 5\n", 1),
            (&endless, 1),
            (b"container_oom_events_total 5\n", 0),
            (b"\xff\xfe{\n", 0),
            (b"container_last_seen{namespace=\"n\",pod=\"p\"} 1 5\n", 0),
            (b"container_oom_events_total{id=\"/\",name=\"\",namespace=\"\",pod=\"\"} 1 5\n", 0),
        ] {
            let read = read(&[text]);
            let shown = String::from_utf8_lossy(&text[..text.len().min(80)]);
            assert_eq!((read.pods.len(), read.dropped), (0, dropped), "{shown}");
        }
        let after = [
            endless.as_slice(),
            b"container_oom_events_total{container=\"c\",name=\"x\",namespace=\"n\",pod=\"p\"} 1 5\n",
        ];
        assert_eq!(read(&[&after.concat()]).pods.len(), 1, "reading goes on after a line that is too long");
    }
    #[test]
    fn more_pods_than_a_node_can_run_are_counted_and_left_out() {
        let line = |i: usize| format!("container_oom_events_total{{name=\"\",namespace=\"n\",pod=\"p{i}\"}} 0 5\n");
        let text: String = (0..MAX_PODS + 3).map(line).collect();
        let read = read(&[text.as_bytes()]);
        assert_eq!((read.pods.len(), read.dropped), (MAX_PODS, 3));
    }

    proptest::proptest! {
        #[test]
        fn no_bytes_panic(line in "(container_oom_events_total)?[{}\\[a-z=\",\\\\ \n\u{e9}0-9.]{0,60}") {
            read(&[line.as_bytes()]);
        }
    }
}
