//! The kubelet's `/metrics/cadvisor`: a few families of a large text, read in chunks with bounded memory.

use std::collections::HashMap;

use crate::summary::MAX_PODS;

/// A longer line is left out; real ones have about 400 bytes.
const MAX_LINE: usize = 16 * 1024;

/// The wanted counters of each pod, by namespace and name.
pub type Cadvisor = HashMap<(String, String), PodCadvisor>;

/// What cadvisor counts of one pod. `None`: not in the text.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct PodCadvisor {
    /// When the youngest of the counters was read, in seconds of Unix time.
    pub at: f64,
    /// Packets dropped, both directions.
    pub drops: Option<f64>,
    /// CFS periods in which the pod wanted to run.
    pub periods: Option<f64>,
    /// Those of them in which it was throttled.
    pub throttled: Option<f64>,
    /// OOM kills.
    pub oom_events: Option<f64>,
    /// Bytes read from and written to disk.
    pub disk_bytes: Option<f64>,
    /// Processes.
    pub processes: Option<f64>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Family {
    Drops,
    Periods,
    Throttled,
    Oom,
    Disk,
    Processes,
}

const FAMILIES: usize = 6;

fn family(name: &str) -> Option<Family> {
    Some(match name {
        "container_network_receive_packets_dropped_total" | "container_network_transmit_packets_dropped_total" => {
            Family::Drops
        }
        "container_cpu_cfs_periods_total" => Family::Periods,
        "container_cpu_cfs_throttled_periods_total" => Family::Throttled,
        "container_oom_events_total" => Family::Oom,
        "container_fs_reads_bytes_total" | "container_fs_writes_bytes_total" => Family::Disk,
        "container_processes" => Family::Processes,
        _ => return None,
    })
}

/// One family of one pod: cadvisor gives a row for the pod's own cgroup, which holds its containers, and a row for each
/// of them. Adding both would count twice.
#[derive(Clone, Copy, Default)]
struct Rows {
    pod: Option<f64>,
    containers: Option<f64>,
}

#[derive(Default)]
struct Counters {
    at: f64,
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
}

impl Reader {
    /// Takes the next chunk.
    pub fn feed(&mut self, mut chunk: &[u8]) {
        while let Some(end) = chunk.iter().position(|&b| b == b'\n') {
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
        if self.rest.len() + chunk.len() > MAX_LINE {
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
        self.pods.into_iter().map(|(pod, counters)| (pod, counters.resolve())).collect()
    }

    fn line(&mut self, line: &[u8]) {
        let Some(row) = std::str::from_utf8(line).ok().filter(|l| l.len() <= MAX_LINE).and_then(row) else { return };
        let pod = (row.namespace, row.pod);
        if self.pods.len() >= MAX_PODS && !self.pods.contains_key(&pod) {
            return;
        }
        let counters = self.pods.entry(pod).or_default();
        counters.at = counters.at.max(row.at);
        let rows = &mut counters.rows[row.family as usize];
        let sum = if row.of_pod { &mut rows.pod } else { &mut rows.containers };
        *sum = Some(sum.unwrap_or(0.0) + row.value);
    }
}

impl Counters {
    fn resolve(&self) -> PodCadvisor {
        let pod_or_containers = |f: Family| self.rows[f as usize].pod.or(self.rows[f as usize].containers);
        let oom = self.rows[Family::Oom as usize];
        PodCadvisor {
            at: self.at,
            drops: pod_or_containers(Family::Drops),
            periods: pod_or_containers(Family::Periods),
            throttled: pod_or_containers(Family::Throttled),
            // The kernel's notice names the cgroup it killed in: either row may hold it.
            oom_events: [oom.pod, oom.containers].into_iter().flatten().reduce(f64::max),
            disk_bytes: pod_or_containers(Family::Disk),
            processes: pod_or_containers(Family::Processes),
        }
    }
}

struct Row {
    family: Family,
    namespace: String,
    pod: String,
    of_pod: bool,
    value: f64,
    at: f64,
}

/// `name{label="value",...} value [milliseconds]`; `None` for what is not wanted or not well formed.
fn row(line: &str) -> Option<Row> {
    let (name, rest) = line.split_once('{')?;
    let family = family(name)?;
    let (mut namespace, mut pod, mut container, mut cgroup) = (String::new(), String::new(), String::new(), false);
    let rest = labels(rest, |key, value| match key {
        "namespace" => namespace = value,
        "pod" => pod = value,
        "container" => container = value,
        // Only a row of a container or sandbox has a name; the pod's own cgroup has none.
        "name" => cgroup = value.is_empty(),
        _ => (),
    })?;
    let mut fields = rest.split_ascii_whitespace();
    let value: f64 = fields.next()?.parse().ok()?;
    let at = fields.next().and_then(|ms| ms.parse::<f64>().ok()).unwrap_or(0.0) / 1000.0;
    let wanted = !pod.is_empty() && !namespace.is_empty() && value.is_finite() && value >= 0.0 && at.is_finite();
    // The network belongs to the sandbox: its row stands for the pod.
    let of_pod = family == Family::Drops || (container.is_empty() && cgroup);
    let sandbox = !of_pod && (container.is_empty() || container == "POD");
    (wanted && !sandbox).then_some(Row { family, namespace, pod, of_pod, value, at })
}

/// Gives each label to `take` and returns what follows the closing brace.
fn labels(mut text: &str, mut take: impl FnMut(&str, String)) -> Option<&str> {
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
fn quoted(text: &str) -> Option<(String, &str)> {
    let mut value = String::new();
    let mut chars = text.char_indices();
    while let Some((i, c)) = chars.next() {
        match c {
            '"' => return Some((value, &text[i + 1..])),
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
        let report = pods[&("shop".to_owned(), "report-f844fbfd7-mjgx9".to_owned())];
        assert_eq!(report.drops, Some(0.0));
        assert_eq!(report.oom_events, Some(0.0));
        assert_eq!(report.periods, Some(2493.0), "the pod's row alone, not its containers' on top");
        assert_eq!(report.throttled, Some(0.0));
        assert!((report.at - 1_795_356_120.0).abs() < 60.0, "{}", report.at);
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
        assert_eq!(pods[&("n".to_owned(), "p".to_owned())].oom_events, Some(3.0));
    }

    #[test]
    fn what_is_not_well_formed_is_left_out() {
        let endless = [b"container_oom_events_total{pod=\"".as_slice(), &vec![b'x'; 2 * MAX_LINE], b"\"} 1\n"].concat();
        for text in [
            &b"container_oom_events_total{namespace=\"n\",pod=\"p\"} NaN\n"[..],
            b"container_oom_events_total{namespace=\"n\",pod=\"p} 1\n",
            b"container_oom_events_total{namespace=\"n\",pod=\"p\"}\n",
            b"container_oom_events_total 5\n",
            b"\xff\xfe{\n",
            &endless,
        ] {
            assert!(read(&[text]).is_empty(), "{}", String::from_utf8_lossy(&text[..text.len().min(80)]));
        }
        let after = [
            endless.as_slice(),
            b"container_oom_events_total{container=\"c\",name=\"x\",namespace=\"n\",pod=\"p\"} 1\n",
        ];
        assert_eq!(read(&[&after.concat()]).len(), 1, "reading goes on after a line that is too long");
    }
}
