//! Hard facts: what Kubernetes itself states about a pod, as reasons with a score of their own.
//!
//! They speak from the first tick and without a model. Each rule looks at one thing; [`crate::scorer`] mixes the
//! strongest of them with the learnt probability.

use jiff::Timestamp;

use crate::cause::{Cause, Reason};
use crate::habit::Habit;
use crate::restarts::Restarts;
use crate::sample::{Measures, Phase, PodFacts, seconds};
use crate::saturation;
use crate::trend::Growth;
use crate::words;

/// What a pod's own past says about the level it lives at; made by the scorer, empty for a pod without a past.
#[derive(Clone, Copy, Debug, Default)]
pub struct Custom {
    /// Why CPU at its limit is no news of this pod.
    pub cpu_at_limit: Option<Habit>,
    /// Why memory close to its limit is no news of this pod.
    pub memory_near_limit: Option<Habit>,
    /// Its memory is growing.
    pub memory_growth: Option<Growth>,
    /// Restarts of the container that was restarted most often, within the last ten minutes.
    pub recent_restarts: u32,
}

impl Custom {
    /// What the pod's status alone says of its past, where nobody has watched it; `now` in seconds of Unix time.
    pub fn of_status(facts: &PodFacts, now: f64) -> Self {
        Self { recent_restarts: Restarts::of_status(facts, now).most(), ..Self::default() }
    }

    /// The same with all load excused that this habit explains. Batch work may take its CPU, but its memory limit kills
    /// it like any other.
    #[must_use]
    pub(crate) fn excused_by(self, habit: Habit) -> Self {
        let cpu_at_limit = self.cpu_at_limit.or(Some(habit));
        match habit {
            Habit::Every(_) => Self {
                cpu_at_limit,
                memory_near_limit: self.memory_near_limit.or(Some(habit)),
                memory_growth: None,
                ..self
            },
            _ => Self { cpu_at_limit, ..self },
        }
    }
}

/// A growth of less than this share of the limit is no matter.
const LEAST_RISE: f64 = 0.1;

/// A pod that never was ready is given this long to start, or as long as its startup probe takes.
const START_GRACE_SECONDS: f64 = 120.0;

/// A pod that its node has taken is given this long to get its volumes, address and images and to get through its init containers,
/// as by kube-prometheus' `KubePodNotReady`.
const NOT_STARTED_SECONDS: f64 = 900.0;

/// What has happened to a pod is news for this long, and fades after it.
const NEWS_SECONDS: f64 = 300.0;
const FADE_SECONDS: f64 = 600.0;

/// A level that is a habit keeps this share of its score: below the line, still shown.
pub(crate) const HABIT_SHARE: f64 = 0.5;

/// Every fact that speaks against the pod at `now` (seconds of Unix time), the strongest first.
pub fn reasons(facts: &PodFacts, measures: &Measures, custom: Custom, now: f64) -> Vec<Reason> {
    if facts.phase == Phase::Succeeded || facts.deleting {
        return Vec::new();
    }
    let mut found: Vec<Reason> = [
        crash_loop(facts, custom),
        oom_killed(facts, measures, now),
        cannot_start(facts),
        not_started(facts, custom, now),
        unschedulable(facts),
        failed(facts, now),
        not_ready(facts, now),
        restarted(facts, custom),
        cpu_at_limit(facts, measures, custom),
        memory_near_limit(facts, measures, custom),
        memory_on_its_way(facts, custom),
        drops(measures),
    ]
    .into_iter()
    .flatten()
    .collect();
    found.sort_by(|a, b| b.score.total_cmp(&a.score));
    // Two rules may have the same cause: the stronger speaks.
    let mut told = Vec::new();
    found.retain(|reason| {
        !told.contains(&reason.cause) && {
            told.push(reason.cause);
            true
        }
    });
    found
}

fn reason(cause: Cause, score: f64, text: String) -> Reason {
    Reason { cause, score, text }
}

/// What is left of a score this many seconds after what it is for; `None` once that is too little to be told.
fn fading(score: f64, age: f64) -> Option<f64> {
    Some(score * (-(age - NEWS_SECONDS).max(0.0) / FADE_SECONDS).exp()).filter(|left| *left >= 0.1)
}

fn crash_loop(facts: &PodFacts, custom: Custom) -> Option<Reason> {
    let waits = facts.waiting.as_deref() == Some("CrashLoopBackOff");
    if !waits && custom.recent_restarts < 2 {
        return None;
    }
    let ended = match &facts.terminated {
        Some(end) => format!(", last exit {} ({})", end.exit_code, end.reason),
        None => String::new(),
    };
    let restarts = match facts.restarts {
        1 => "1 restart".to_owned(),
        n => format!("{n} restarts"),
    };
    Some(reason(Cause::CrashLoop, if waits { 0.97 } else { 0.9 }, format!("crash loop, {restarts}{ended}")))
}

fn oom_killed(facts: &PodFacts, measures: &Measures, now: f64) -> Option<Reason> {
    let of_container = || {
        let end = facts.terminated.as_ref().filter(|end| end.reason == "OOMKilled")?;
        let age = end.finished_at.map_or(0.0, |at| (now - seconds(at)).max(0.0));
        let score = fading(0.98, age)?;
        let limit = match &facts.container_limits[..] {
            [] => facts.memory_limit_bytes,
            each => each.iter().find(|limits| limits.name == end.container).and_then(|limits| limits.memory_bytes),
        };
        let limit = limit.map_or(String::new(), |b| format!(" at {}", words::bytes(b)));
        let text = format!("{} OOM killed{limit} {} ago", end.container, words::duration(age));
        Some(reason(Cause::OomKilled, score, text))
    };
    let of_processes = || {
        let kills = measures.oom_events.filter(|&kills| kills > 0.0)?;
        Some(reason(Cause::OomKilled, 0.9, format!("{kills:.0} processes OOM killed")))
    };
    of_container().or_else(of_processes)
}

fn cannot_start(facts: &PodFacts) -> Option<Reason> {
    let waiting = facts.waiting.as_deref()?;
    let cause = match waiting {
        "ImagePullBackOff"
        | "ErrImagePull"
        | "ErrImageNeverPull"
        | "InvalidImageName"
        | "ImageInspectError"
        | "RegistryUnavailable" => Cause::ImagePull,
        "CreateContainerConfigError"
        | "CreateContainerError"
        | "RunContainerError"
        | "StartError"
        | "PreCreateHookError"
        | "PreStartHookError"
        | "PostStartHookError" => Cause::StartFailed,
        _ => return None,
    };
    Some(reason(cause, 0.95, waiting.to_owned()))
}

/// A pod that waits for what no status names: a volume, an address, an init container that does not end.
fn not_started(facts: &PodFacts, custom: Custom, now: f64) -> Option<Reason> {
    // Its node says so once it has taken the pod. One that ran there and begins anew, as after a reboot, lost its readiness later.
    let begun = facts.started?.max(facts.ready_changed.unwrap_or(Timestamp::MIN));
    let age = now - seconds(begun);
    let is_told = cannot_start(facts).is_some() || crash_loop(facts, custom).is_some();
    if facts.phase != Phase::Pending || age < NOT_STARTED_SECONDS || is_told {
        return None;
    }
    Some(reason(Cause::StartFailed, 0.85, format!("has not started for {}", words::duration(age))))
}

fn unschedulable(facts: &PodFacts) -> Option<Reason> {
    let message = facts.unschedulable.as_ref()?;
    Some(reason(Cause::Unschedulable, 0.9, format!("cannot be scheduled: {message}")))
}

/// A pod that failed stays until somebody deletes it. Its controller has made another in its place, or has given up: it is news,
/// and fades. A bare pod that failed is missing for as long as it lies there.
fn failed(facts: &PodFacts, now: f64) -> Option<Reason> {
    if facts.phase != Phase::Failed {
        return None;
    }
    let age = || now - ended(facts).map_or(now, seconds);
    let score = if facts.workload.is_some() { fading(0.85, age())? } else { 0.85 };
    let text = match &facts.terminated {
        Some(end) => format!("pod failed, exit {} ({})", end.exit_code, end.reason),
        None => "pod failed".to_owned(),
    };
    Some(reason(Cause::Failed, score, text))
}

/// When a pod that has failed did: the latest that is known. An evicted pod may have no container that ended, and one that its
/// node refused has no condition.
fn ended(facts: &PodFacts) -> Option<Timestamp> {
    let container = facts.terminated.as_ref().and_then(|end| end.finished_at);
    [container, facts.ready_changed, facts.begun()].into_iter().flatten().max()
}

fn not_ready(facts: &PodFacts, now: f64) -> Option<Reason> {
    if facts.phase != Phase::Running || facts.ready {
        return None;
    }
    let begun = facts.begun().map_or(now, seconds);
    let changed = facts.ready_changed.map_or(begun, seconds);
    let age = (now - changed).max(0.0);
    // The kubelet first writes condition Ready within a second or two of taking the pod, however long that had to wait for it.
    let was_ready = changed - begun > 5.0;
    // A piece of work whose first container has done its part is not ready either, and nobody is served by it.
    let is_done_in_part = was_ready && facts.is_batch();
    let may_start = !was_ready && (facts.starting || age < START_GRACE_SECONDS);
    if is_done_in_part || may_start {
        return None;
    }
    let score = if age < 60.0 { 0.75 } else { 0.85 };
    let (ready, total) = (facts.containers_ready, facts.containers_total);
    Some(reason(
        Cause::NotReady,
        score,
        format!("not ready for {}, {ready} of {total} containers", words::duration(age)),
    ))
}

fn restarted(facts: &PodFacts, custom: Custom) -> Option<Reason> {
    if custom.recent_restarts != 1 {
        return None;
    }
    let ended = match &facts.terminated {
        Some(end) => format!(", exit {} ({})", end.exit_code, end.reason),
        None => String::new(),
    };
    // One restart alone stays under the line, and under where an alert of another cause ends: it is worth a look, not a page.
    Some(reason(Cause::Restarted, 0.5, format!("restarted{ended}")))
}

fn cpu_at_limit(facts: &PodFacts, measures: &Measures, custom: Custom) -> Option<Reason> {
    let share = measures.cpu_limit_share.filter(|_| !facts.opt_out.expected_high_cpu)?;
    let score = saturation::saturation(share);
    level(Cause::CpuAtLimit, &of("CPU", facts, measures.cpu_limit_of), share, score, custom.cpu_at_limit)
}

/// Memory has no head start to lose as CPU has: at its limit the next byte kills. The rule rises later and steeper.
fn memory_near_limit(facts: &PodFacts, measures: &Measures, custom: Custom) -> Option<Reason> {
    let share = measures.memory_limit_share?;
    let score = 0.9 / (1.0 + (-(share - 0.94) / 0.015).exp());
    let what = of("memory", facts, measures.memory_limit_of);
    level(Cause::MemoryNearLimit, &what, share, score, custom.memory_near_limit)
}

/// Memory that will be at its limit soon if it goes on: half way at five minutes.
fn memory_on_its_way(facts: &PodFacts, custom: Custom) -> Option<Reason> {
    let (growth, limit) = (custom.memory_growth?, facts.memory_limit_bytes?);
    let left = growth.seconds_to(limit);
    let score = 0.9 / (1.0 + ((left - 300.0) / 60.0).exp());
    if growth.risen < LEAST_RISE * limit || score < 0.1 {
        return None;
    }
    let (rate, left) = (words::rate(growth.bytes_per_second), words::duration(left));
    Some(reason(Cause::MemoryNearLimit, score, format!("memory grows by {rate}, at its limit in {left}")))
}

/// What is at its limit, with the container's name if it is that of one among several.
fn of(what: &str, facts: &PodFacts, container: Option<usize>) -> String {
    match container.and_then(|place| facts.container_limits.get(place)) {
        Some(limits) => format!("{what} of {}", limits.name),
        None => what.to_owned(),
    }
}

fn level(cause: Cause, what: &str, share: f64, score: f64, habit: Option<Habit>) -> Option<Reason> {
    if score < 0.1 {
        return None;
    }
    let percent = words::percent(share);
    if let Some(habit) = habit {
        let text = format!("{what} at {percent} of its limit, {}", habit.words());
        return Some(reason(cause, HABIT_SHARE * score, text));
    }
    Some(reason(cause, score, format!("{what} at {percent} of its limit")))
}

/// A few drops are the weather of a busy network; five a second are half a suspicion, and more than ten are over the line of 0.7.
fn drops(measures: &Measures) -> Option<Reason> {
    let drops = measures.drops_per_second.filter(|&drops| drops >= 1.0)?;
    Some(reason(Cause::Drops, 0.8 * (1.0 - (-drops / 5.0).exp()), format!("{drops:.0} packets dropped a second")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sample::{ContainerLimits, OptOut, Termination};
    use crate::workload::Workload;

    const NOW: f64 = 1_795_356_000.0;

    fn before(seconds: i64) -> Option<Timestamp> {
        Timestamp::from_second(NOW as i64 - seconds).ok()
    }

    fn running() -> PodFacts {
        PodFacts {
            phase: Phase::Running,
            ready: true,
            created: before(86_400),
            ready_changed: before(86_000),
            containers_ready: 1,
            containers_total: 1,
            ..PodFacts::default()
        }
    }

    fn end(reason: &str, exit_code: i32, ago: i64) -> Termination {
        Termination { container: "main".into(), reason: reason.into(), exit_code, finished_at: before(ago) }
    }

    fn leading(facts: &PodFacts) -> Option<(Cause, f64, String)> {
        let all = reasons(facts, &Measures::default(), Custom::default(), NOW);
        all.into_iter().next().map(|r| (r.cause, (r.score * 100.0).round() / 100.0, r.text))
    }

    #[test]
    fn a_healthy_pod_gives_no_reason() {
        assert_eq!(leading(&running()), None);
    }

    #[test]
    fn a_crash_loop_names_restarts_and_exit_code() {
        let facts = PodFacts {
            waiting: Some("CrashLoopBackOff".into()),
            restarts: 7,
            ready: false,
            terminated: Some(end("Error", 1, 20)),
            ..running()
        };
        let (cause, score, text) = leading(&facts).unwrap();
        assert_eq!((cause, score), (Cause::CrashLoop, 0.97));
        assert_eq!(text, "crash loop, 7 restarts, last exit 1 (Error)");
    }

    #[test]
    fn an_oom_kill_leads_a_crash_loop_and_fades() {
        let facts = |ago| PodFacts {
            waiting: Some("CrashLoopBackOff".into()),
            restarts: 3,
            terminated: Some(end("OOMKilled", 137, ago)),
            memory_limit_bytes: Some(64.0 * 1024.0 * 1024.0),
            ..running()
        };
        let (cause, score, text) = leading(&facts(30)).unwrap();
        assert_eq!((cause, score, text.as_str()), (Cause::OomKilled, 0.98, "main OOM killed at 64 MiB 30s ago"));
        assert_eq!(leading(&facts(1200)).unwrap().0, Cause::CrashLoop);
        let well = |ago| PodFacts { terminated: Some(end("OOMKilled", 137, ago)), ..running() };
        assert!(leading(&well(1600)).is_some() && leading(&well(1800)).is_none(), "what is nearly nothing is not told");
    }

    #[test]
    fn a_starting_pod_is_given_time() {
        let facts = |age| PodFacts { ready: false, created: before(age), ready_changed: before(age), ..running() };
        assert_eq!(leading(&facts(60)), None);
        assert_eq!(leading(&facts(121)).unwrap().0, Cause::NotReady);
        let waited = PodFacts { created: before(3600), started: before(31), ready_changed: before(30), ..facts(60) };
        assert_eq!(leading(&waited), None, "no node had taken it for an hour");
        let slow = PodFacts { starting: true, ..facts(900) };
        assert_eq!(leading(&slow), None, "its startup probe gives it longer");
        let again = PodFacts { ready_changed: before(30), ..slow };
        assert_eq!(leading(&again).unwrap().0, Cause::NotReady, "it was ready, and starts again");
    }

    #[test]
    fn a_piece_of_work_whose_first_container_is_done_goes_on() {
        let of = |kind: &str| PodFacts {
            workload: Some(Workload::new(kind, "nightly")),
            ready: false,
            ready_changed: before(90),
            ..running()
        };
        assert_eq!(leading(&of("Job")), None);
        assert_eq!(leading(&of("Deployment")).unwrap().0, Cause::NotReady);
        assert_eq!(leading(&PodFacts { ends: true, ..of("TaskRun") }), None);
        let never = PodFacts { created: before(300), ready_changed: before(299), ..of("Job") };
        assert_eq!(leading(&never).unwrap().0, Cause::NotReady, "it never was ready");
    }

    #[test]
    fn losing_readiness_speaks_at_once() {
        let facts = PodFacts { ready: false, ready_changed: before(5), containers_ready: 0, ..running() };
        let (cause, score, text) = leading(&facts).unwrap();
        assert_eq!((cause, score, text.as_str()), (Cause::NotReady, 0.75, "not ready for 5s, 0 of 1 containers"));
    }

    #[test]
    fn what_finishes_or_is_deleted_is_no_anomaly() {
        let crashed = PodFacts { waiting: Some("CrashLoopBackOff".into()), ..running() };
        assert_eq!(leading(&PodFacts { deleting: true, ..crashed.clone() }), None);
        assert_eq!(leading(&PodFacts { phase: Phase::Succeeded, ..crashed }), None);
    }

    #[test]
    fn a_pod_that_failed_and_has_a_controller_is_news_and_fades() {
        let failed = PodFacts {
            workload: Some(Workload::new("Deployment", "cart")),
            phase: Phase::Failed,
            ready: false,
            ..running()
        };
        let score = |facts: &PodFacts| leading(facts).map(|(cause, score, _)| (cause, score));
        let exited = |ago| PodFacts { terminated: Some(end("Error", 137, ago)), ..failed.clone() };
        assert_eq!(score(&exited(200)), Some((Cause::Failed, 0.85)));
        assert_eq!(score(&exited(900)), Some((Cause::Failed, 0.31)));
        assert_eq!(score(&exited(3600)), None, "another has taken its place");
        let evicted = |ago| PodFacts { ready_changed: before(ago), ..failed.clone() };
        assert_eq!([200, 3600].map(|ago| score(&evicted(ago)).is_some()), [true, false]);
        let refused = |ago| PodFacts { created: before(ago), ready_changed: None, ..failed.clone() };
        assert_eq!([200, 3600].map(|ago| score(&refused(ago)).is_some()), [true, false]);
        assert_eq!(
            score(&PodFacts { workload: None, ..exited(3600) }),
            Some((Cause::Failed, 0.85)),
            "none replaces it"
        );
    }

    #[test]
    fn waiting_reasons_map_to_their_causes() {
        let cases = [
            ("ImagePullBackOff", Some(Cause::ImagePull)),
            ("CreateContainerConfigError", Some(Cause::StartFailed)),
            ("ContainerCreating", None),
            ("PodInitializing", None),
        ];
        for (waiting, cause) in cases {
            let facts = PodFacts { waiting: Some(waiting.into()), phase: Phase::Pending, ..running() };
            assert_eq!(leading(&facts).map(|l| l.0), cause, "{waiting}");
        }
    }

    #[test]
    fn a_pod_that_does_not_start_for_a_quarter_of_an_hour_is_told() {
        let of = |age, waiting: Option<&str>| PodFacts {
            phase: Phase::Pending,
            ready: false,
            started: before(age),
            ready_changed: before(age),
            waiting: waiting.map(str::to_owned),
            ..running()
        };
        assert_eq!(leading(&of(890, None)), None);
        let (cause, score, text) = leading(&of(900, None)).unwrap();
        assert_eq!((cause, score, text.as_str()), (Cause::StartFailed, 0.85, "has not started for 15m"));
        let again = PodFacts { started: before(86_400), ..of(60, None) };
        assert_eq!(leading(&again), None, "its node was rebooted");
        let all = |facts: &PodFacts| -> Vec<Cause> {
            let all = reasons(facts, &Measures::default(), Custom::default(), NOW);
            all.into_iter().map(|reason| reason.cause).collect()
        };
        assert_eq!(all(&of(3600, Some("ImagePullBackOff"))), [Cause::ImagePull]);
        assert_eq!(all(&of(3600, Some("CrashLoopBackOff"))), [Cause::CrashLoop]);
        let waits = PodFacts { started: None, unschedulable: Some("no room".into()), ..of(3600, None) };
        assert_eq!(all(&waits), [Cause::Unschedulable], "no node has taken it");
        assert_eq!(all(&PodFacts { phase: Phase::Running, ready: true, ..of(3600, None) }), []);
    }

    #[test]
    fn one_restart_stays_under_the_line_and_two_are_a_loop() {
        let of = |recent_restarts| {
            let custom = Custom { recent_restarts, ..Custom::default() };
            reasons(&running(), &Measures::default(), custom, NOW).first().map(|r| (r.cause, r.score))
        };
        assert_eq!(of(1), Some((Cause::Restarted, 0.5)));
        assert_eq!(of(2), Some((Cause::CrashLoop, 0.9)));
    }

    #[test]
    fn cpu_at_its_limit_yields_to_custom_and_to_the_owners_word() {
        let measures = Measures { cpu_limit_share: Some(1.0), ..Measures::default() };
        let score = |facts: &PodFacts, custom| reasons(facts, &measures, custom, NOW).first().map(|r| r.score);
        assert!(score(&running(), Custom::default()).unwrap() > 0.9);
        let always = Custom { cpu_at_limit: Some(Habit::Always), ..Custom::default() };
        assert!(score(&running(), always).unwrap() < 0.5);
        let expected = PodFacts { opt_out: OptOut { expected_high_cpu: true, ..OptOut::default() }, ..running() };
        assert_eq!(score(&expected, Custom::default()), None);
    }

    #[test]
    fn a_container_at_its_own_limit_is_named() {
        let limits = |name: &str, bytes| ContainerLimits {
            name: name.into(),
            memory_bytes: Some(bytes),
            ..ContainerLimits::default()
        };
        let container_limits = vec![limits("proxy", 1e9), limits("main", 64.0 * 1024.0 * 1024.0)];
        let facts = PodFacts { container_limits, memory_limit_bytes: Some(2e9), ..running() };
        let measures = Measures {
            cpu_limit_share: Some(1.0),
            cpu_limit_of: Some(0),
            memory_limit_share: Some(0.99),
            memory_limit_of: Some(1),
            ..Measures::default()
        };
        let texts = reasons(&facts, &measures, Custom::default(), NOW).into_iter().map(|reason| reason.text);
        let expected = ["CPU of proxy at 100 % of its limit", "memory of main at 99 % of its limit"];
        assert_eq!(texts.collect::<Vec<_>>(), expected);
        let killed = PodFacts { terminated: Some(end("OOMKilled", 137, 30)), ..facts };
        assert_eq!(leading(&killed).unwrap().2, "main OOM killed at 64 MiB 30s ago", "at its own limit");
    }

    #[test]
    fn more_than_ten_drops_a_second_are_an_incident_and_five_are_not() {
        let score = |drops| {
            let measures = Measures { drops_per_second: Some(drops), ..Measures::default() };
            reasons(&running(), &measures, Custom::default(), NOW).first().map_or(0.0, |reason| reason.score)
        };
        assert!(score(0.9) <= 0.0 && (score(5.0) - 0.51).abs() < 0.01 && score(10.0) < 0.7 && score(11.0) > 0.7);
    }

    #[test]
    fn memory_that_grows_towards_its_limit_says_when_it_gets_there() {
        const MIB: f64 = 1024.0 * 1024.0;
        let facts = PodFacts { memory_limit_bytes: Some(96.0 * MIB), ..running() };
        let growing = |rate: f64| {
            let growth = Growth { bytes_per_second: rate * MIB, risen: 30.0 * MIB, now: 42.0 * MIB };
            let custom = Custom { memory_growth: Some(growth), ..Custom::default() };
            reasons(&facts, &Measures::default(), custom, NOW).into_iter().next()
        };
        let found = growing(0.9).unwrap();
        assert_eq!(
            (found.cause, found.text.as_str()),
            (Cause::MemoryNearLimit, "memory grows by 922 KiB/s, at its limit in 60s")
        );
        assert!(found.score > 0.85 && growing(0.1).is_none());
        let unlimited = PodFacts { memory_limit_bytes: None, ..facts.clone() };
        let growth = Growth { bytes_per_second: MIB, risen: 30.0 * MIB, now: 42.0 * MIB };
        let custom = Custom { memory_growth: Some(growth), ..Custom::default() };
        assert!(reasons(&unlimited, &Measures::default(), custom, NOW).is_empty());
    }
}
