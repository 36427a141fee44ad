//! What the containers of some pods have used within the last day, as the kubelets' cAdvisor metrics have it.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};

use super::{Matcher, one_of, pieces, select};
use crate::error::Error;
use crate::plan::Resource;
use crate::prometheus::{Answer, Prometheus, Range};

/// Seconds between two points: a day of them is far below what one answer may have.
const STEP: i64 = 60;
/// How many points a day has.
const POINTS: u32 = 1440;

/// What one container has used at most, of any of the pods.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Used {
    /// The most of each resource, in cores and bytes.
    pub peak: BTreeMap<Resource, f64>,
    /// For how long there are samples of every resource, gaps left out.
    pub recorded: SignedDuration,
}

/// By container, what these pods have used within the last day.
///
/// # Errors
/// If Prometheus does not answer, or refuses, or is none.
pub async fn used(
    prometheus: &Prometheus,
    matchers: &[Matcher],
    namespace: &str,
    pods: &[String],
    now: Timestamp,
) -> Result<BTreeMap<String, Used>, Error> {
    if pods.is_empty() {
        return Ok(BTreeMap::new());
    }
    let range = Range::last(POINTS, STEP, now.as_second());
    let names: Vec<&str> = pods.iter().map(String::as_str).collect();
    let (mut cpu, mut memory) = (Vec::new(), Vec::new());
    for names in pieces(&names) {
        let [of_cpu, of_memory] = queries(matchers, namespace, &names);
        let (of_cpu, of_memory) =
            tokio::try_join!(prometheus.query_range(&of_cpu, range), prometheus.query_range(&of_memory, range))?;
        cpu.push(of_cpu);
        memory.push(of_memory);
    }
    Ok(by_container(&highest(&cpu), &highest(&memory)))
}

/// The highest of the pieces' answers, container by container and moment by moment: what one query about all of them says.
fn highest(pieces: &[Answer]) -> BTreeMap<String, Vec<f64>> {
    let mut all: BTreeMap<String, BTreeMap<i64, f64>> = BTreeMap::new();
    for series in pieces.iter().flat_map(|answer| &answer.series) {
        let Some(container) = series.label("container") else { continue };
        let course = all.entry(container.to_owned()).or_default();
        for point in &series.points {
            let highest = course.entry(point.at.round() as i64).or_insert(point.value);
            *highest = highest.max(point.value);
        }
    }
    all.into_iter().map(|(container, course)| (container, course.into_values().collect())).collect()
}

/// The highest of the pods, for CPU and memory.
fn queries(matchers: &[Matcher], namespace: &str, pods: &[&str]) -> [String; 2] {
    let own = [
        Matcher::new("namespace", namespace).text(),
        one_of("pod", pods),
        // The sandbox, and the pod as a whole.
        "container!=\"\"".to_owned(),
        "container!=\"POD\"".to_owned(),
    ];
    let of = select(matchers, &own);
    [
        format!("max by (container) (rate(container_cpu_usage_seconds_total{of}[5m]))"),
        format!("max by (container) (container_memory_working_set_bytes{of})"),
    ]
}

fn by_container(cpu: &BTreeMap<String, Vec<f64>>, memory: &BTreeMap<String, Vec<f64>>) -> BTreeMap<String, Used> {
    let mut all: BTreeMap<String, Used> = BTreeMap::new();
    let mut lengths: BTreeMap<String, Vec<usize>> = BTreeMap::new();
    for (resource, courses) in [(Resource::Cpu, cpu), (Resource::Memory, memory)] {
        for (container, course) in courses {
            let Some(peak) = course.iter().copied().reduce(f64::max) else { continue };
            all.entry(container.clone()).or_default().peak.insert(resource, peak);
            lengths.entry(container.clone()).or_default().push(course.len());
        }
    }
    for (container, used) in &mut all {
        let shortest = lengths.get(container).filter(|lengths| lengths.len() == 2).and_then(|all| all.iter().min());
        let points = shortest.map_or(0, |points| i64::try_from(*points).unwrap_or(0));
        used.recorded = SignedDuration::from_secs(points.saturating_mul(STEP));
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::prometheus::{Point, Series};

    #[test]
    fn the_queries_name_the_pods_and_no_sandbox() {
        let pods = ["web-5d4-a", "web.x-0"];
        let cluster: Matcher = "cluster=east".parse().unwrap();
        insta::assert_snapshot!(queries(&[cluster], "shop", &pods).join("\n"));
    }

    fn series(container: &str, values: &[f64]) -> Series {
        let points =
            values.iter().zip(0_i32..).map(|(value, minute)| Point { at: f64::from(minute) * 60.0, value: *value });
        Series { labels: [("container".to_owned(), container.to_owned())].into(), points: points.collect() }
    }

    fn answer(series: Vec<Series>) -> Answer {
        Answer { series, ..Answer::default() }
    }

    #[test]
    fn the_most_counts_and_the_shorter_record() {
        let cpu = answer(vec![series("web", &[0.1, 0.4, 0.2]), series("side", &[0.1])]);
        let memory = answer(vec![series("web", &[1e6, 3e6]), series("", &[9e9])]);
        let all = by_container(&highest(&[cpu]), &highest(&[memory]));
        assert_eq!(all["web"].peak, [(Resource::Cpu, 0.4), (Resource::Memory, 3e6)].into());
        assert_eq!(all["web"].recorded, SignedDuration::from_mins(2));
        assert_eq!(all["side"].recorded, SignedDuration::ZERO, "nothing is known of its memory");
        assert_eq!(all.len(), 2);
    }

    #[test]
    fn pieces_of_a_long_list_come_to_what_the_whole_would() {
        let pieces = [answer(vec![series("web", &[0.1, 0.4])]), answer(vec![series("web", &[0.3, 0.2, 0.1])])];
        assert_eq!(highest(&pieces)["web"], [0.3, 0.4, 0.1]);
    }

    #[test]
    fn a_day_fits_into_one_answer() {
        let range = Range::last(POINTS, STEP, 1_000_000);
        assert_eq!((range.pages().count(), range.end - range.start), (1, 86_340));
    }
}
