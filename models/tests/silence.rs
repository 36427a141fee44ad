//! What is normal for a pod is no alarm, though it would be for another: its limit, its nights, its rollouts. And what a
//! rollout breaks still is one.

use guard_model::engine::{Engine, SHIPPED};
use guard_model::report::{PodReport, State};
use guard_model::sample::{Measures, Phase, PodFacts, PodSample};
use guard_model::scorer::{Scorer, Settings};
use guard_model::workload::Workload;
use jiff::Timestamp;

const START: i64 = 1_795_305_600;
const MINUTE: i64 = 60;
const HOUR: i64 = 3600;
const DAY: i64 = 86_400;

/// CPU cores of a limit of one, memory of a limit of 512 MiB as a share, bytes received and sent a second.
type Load = [f64; 4];
const CALM: Load = [0.12, 0.4, 20e3, 40e3];
const AT_LIMIT: Load = [0.99, 0.45, 25e3, 45e3];

/// One node, watched at one interval.
struct Node {
    scorer: Scorer,
    interval: i64,
}

impl Node {
    fn new(interval: i64) -> Self {
        let settings = Settings { threshold: 0.7, interval_seconds: interval as f64 };
        Self {
            scorer: Scorer::new(settings, Some(Engine::load(SHIPPED).expect("the shipped model runs").into())),
            interval,
        }
    }

    /// Watches one pod from `from` until `to` (seconds since the start).
    fn watch(&mut self, facts: &PodFacts, from: i64, to: i64, load: impl Fn(i64) -> Load) -> Vec<(i64, PodReport)> {
        (from..to)
            .step_by(self.interval as usize)
            .map(|at| {
                let now = Timestamp::from_second(START + at).expect("a time of this century");
                (at, self.scorer.tick(now, &[sample(facts, at, load(at))]).remove(0))
            })
            .collect()
    }
}

fn facts(kind: &str, pod: &str, revision: &str, created: i64) -> PodFacts {
    let at = |seconds| Timestamp::from_second(START + seconds).ok();
    PodFacts {
        uid: format!("uid-{pod}"),
        namespace: "shop".into(),
        name: pod.into(),
        workload: Some(Workload::new(kind, "cart")),
        revision: Some(revision.into()),
        phase: Phase::Running,
        ready: true,
        created: at(created),
        ready_changed: at(created + 8),
        containers_ready: 1,
        containers_total: 1,
        cpu_limit_cores: Some(1.0),
        memory_limit_bytes: Some(536_870_912.0),
        ..PodFacts::default()
    }
}

/// No real series is a straight line: up to 6 % either way, memory a tenth of that.
fn sample(facts: &PodFacts, at: i64, [cpu, memory, receive, transmit]: Load) -> PodSample {
    let wave = |signal: i64| {
        let mixed = ((at * 31 + signal * 7919 + 12_345) as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        0.06 * (((mixed ^ (mixed >> 31)) >> 40) as f64 / f64::from(1_u32 << 23) - 1.0)
    };
    let cpu = (cpu * (1.0 + wave(0))).min(1.0);
    let memory = memory * (1.0 + 0.1 * wave(1));
    let measures = Measures {
        cpu_cores: Some(cpu),
        cpu_limit_share: Some(cpu),
        memory_bytes: Some(memory * 536_870_912.0),
        memory_limit_share: Some(memory),
        receive_bytes_per_second: Some(receive * (1.0 + wave(2))),
        transmit_bytes_per_second: Some(transmit * (1.0 + wave(3))),
        ..Measures::default()
    };
    PodSample {
        at: (START + at) as f64,
        fresh: true,
        reset: false,
        facts: facts.clone(),
        measures,
        metrics: Vec::new(),
    }
}

/// When the pod was anomalous, in seconds since the start.
fn alarms(reports: &[(i64, PodReport)]) -> Vec<i64> {
    reports.iter().filter(|(_, report)| report.state == State::Anomalous).map(|(at, _)| *at).collect()
}

/// Busy for `minutes` at the beginning of every period.
fn every(period: i64, minutes: i64) -> impl Fn(i64) -> Load {
    move |at| if at >= HOUR && (at - HOUR) % period < minutes * MINUTE { AT_LIMIT } else { CALM }
}

#[test]
fn a_pod_that_always_lives_at_its_limit_is_no_alarm() {
    for interval in [15, 60] {
        let pod = facts("Deployment", "cart-1", "1", -DAY);
        let reports = Node::new(interval).watch(&pod, 0, 4 * HOUR, |_| AT_LIMIT);
        assert_eq!(alarms(&reports), [0_i64; 0], "each {interval} s");
        let (_, last) = reports.last().expect("there are reports");
        assert!(last.reasons.iter().any(|r| r.text.ends_with("of its limit, as always")), "{:?}", last.reasons);
    }
}

#[test]
fn a_nightly_job_inside_a_pod_is_no_alarm_from_the_second_night_on() {
    let pod = facts("Deployment", "cart-1", "1", -DAY);
    // Beside it, a fetch of a minute each three hours: what any pod shows by day must not hide what it does by night.
    let fetches = |at: i64| if at % (3 * HOUR) == 17 * MINUTE { [0.2, 0.4, 600e3, 40e3] } else { every(DAY, 20)(at) };
    for load in [&every(DAY, 20) as &dyn Fn(i64) -> Load, &fetches] {
        let reports = Node::new(60).watch(&pod, 0, 5 * DAY, load);
        let nights: Vec<i64> = alarms(&reports).into_iter().map(|at| (at - HOUR) / DAY).collect();
        assert!(nights.contains(&0) && nights.iter().all(|night| *night < 1), "{nights:?}");
        let second = reports.iter().find(|(at, _)| *at == DAY + HOUR + 5 * MINUTE).expect("it was watched");
        assert!(second.1.reasons[0].text.ends_with(", as every 24h"), "{:?}", second.1.reasons);
    }
}

#[test]
fn a_nightly_job_that_does_not_end_is_an_alarm() {
    let pod = facts("Deployment", "cart-1", "1", -DAY);
    let hangs = |at: i64| if at >= 3 * DAY + HOUR { AT_LIMIT } else { every(DAY, 20)(at) };
    let late = alarms(&Node::new(60).watch(&pod, 0, 3 * DAY + 3 * HOUR, hangs)).into_iter().filter(|at| *at > 2 * DAY);
    let first = late.min().expect("it is found") - (3 * DAY + HOUR);
    assert!((20 * MINUTE..=35 * MINUTE).contains(&first), "after {first} s");
}

#[test]
fn a_periodic_job_inside_a_pod_is_no_alarm_from_the_fourth_time_on() {
    for (interval, period, minutes) in [(15, 10 * MINUTE, 2), (15, HOUR, 5), (60, HOUR, 5)] {
        let pod = facts("Deployment", "cart-1", "1", -DAY);
        let reports = Node::new(interval).watch(&pod, 0, HOUR + 12 * period, every(period, minutes));
        let times: Vec<i64> = alarms(&reports).into_iter().map(|at| (at - HOUR) / period).collect();
        assert!(times.iter().all(|time| *time < 3), "each {interval} s, every {period} s: {times:?}");
    }
}

#[test]
fn the_pods_of_a_cron_job_are_no_alarm() {
    for interval in [15, 60] {
        let mut node = Node::new(interval);
        for run in 0..8 {
            let start = run * HOUR;
            let pod = facts("CronJob", &format!("cart-2938{run}-x"), "1", start);
            // It fetches, works, and sends what came of it.
            let work = |at: i64| match at - start {
                ..120 => [0.1, 0.1, 5e6, 40e3],
                120..900 => [0.99, 0.5, 2e3, 2e3],
                _ => [0.05, 0.5, 2e3, 8e6],
            };
            let reports = node.watch(&pod, start, start + 1200, work);
            assert_eq!(alarms(&reports), [0_i64; 0], "run {run}, each {interval} s");
        }
    }
}

#[test]
fn a_rollout_is_no_alarm_and_is_marked_as_one() {
    for interval in [15, 60] {
        let mut node = Node::new(interval);
        node.watch(&facts("Deployment", "cart-1", "1", -DAY), 0, 2 * HOUR, |_| CALM);
        // A new process starts busily, with little in memory.
        let next = facts("Deployment", "cart-2", "2", 2 * HOUR);
        let starts = |at: i64| if at < 2 * HOUR + 90 { [0.9, 0.2, 2e3, 2e3] } else { [0.13, 0.35, 21e3, 38e3] };
        let reports = node.watch(&next, 2 * HOUR, 4 * HOUR, starts);
        assert_eq!(alarms(&reports), [0_i64; 0], "each {interval} s");
        assert!(reports[1].1.deploy && !reports.last().expect("there are reports").1.deploy);
    }
}

#[test]
fn a_bad_rollout_is_an_alarm_marked_as_one() {
    for interval in [15, 60] {
        let mut node = Node::new(interval);
        node.watch(&facts("Deployment", "cart-1", "1", -DAY), 0, 2 * HOUR, |_| CALM);
        let next = facts("Deployment", "cart-2", "2", 2 * HOUR);
        let reports = node.watch(&next, 2 * HOUR, 3 * HOUR, |_| AT_LIMIT);
        let found = reports.iter().find(|(_, report)| report.state == State::Anomalous);
        let (at, report) = found.expect("a version that burns all its CPU is found");
        assert!(at - 2 * HOUR <= 10 * MINUTE && report.deploy, "each {interval} s, after {} s", at - 2 * HOUR);
    }
}
