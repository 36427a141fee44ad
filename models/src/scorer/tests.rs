//! The road from samples to reports, with the shipped model and without one.

use super::*;
use crate::cause::Cause;
use crate::engine::{Engine, SHIPPED};
use crate::memory::RestoreError;
use crate::report::Severity;
use crate::sample::{Measures, PodFacts, Termination};

const START: i64 = 1_795_356_000;
const SETTINGS: Settings = Settings { threshold: 0.7, interval_seconds: 15.0 };

fn at(tick: i64) -> Timestamp {
    Timestamp::from_second(START + 15 * tick).unwrap()
}

fn scorer() -> Scorer {
    Scorer::new(SETTINGS, Some(Engine::load(SHIPPED).unwrap().into()))
}

fn facts(name: &str) -> PodFacts {
    PodFacts {
        uid: format!("uid-{name}"),
        namespace: "shop".into(),
        name: name.into(),
        workload: Some(Workload::new("Deployment", name.split('-').next().unwrap())),
        revision: Some("1".into()),
        phase: Phase::Running,
        ready: true,
        created: Some(at(-10_000)),
        ready_changed: Some(at(-9_990)),
        containers_ready: 1,
        containers_total: 1,
        ..PodFacts::default()
    }
}

/// A steady pod; `sent` is its egress in bytes per second.
fn sample(tick: i64, facts: PodFacts, sent: f64) -> PodSample {
    // A little life: no real series is a straight line.
    let wave = 1.0 + 0.05 * f64::from((tick * 7 % 5) as i32 - 2);
    let measures = Measures {
        cpu_cores: Some(0.05 * wave),
        memory_bytes: Some(50e6 * (1.0 + 0.001 * wave)),
        receive_bytes_per_second: Some(20e3 * wave),
        transmit_bytes_per_second: Some(sent * wave),
        ..Measures::default()
    };
    PodSample { at: (START + 15 * tick) as f64, fresh: true, reset: false, facts, measures, metrics: Vec::new() }
}

fn run(scorer: &mut Scorer, ticks: std::ops::Range<i64>, name: &str, sent: f64) -> Vec<PodReport> {
    ticks.map(|tick| scorer.tick(at(tick), &[sample(tick, facts(name), sent)]).remove(0)).collect()
}

#[test]
fn a_steady_pod_that_falls_silent_is_found_within_a_minute_and_by_what_it_sends() {
    let mut scorer = scorer();
    let calm = run(&mut scorer, 0..60, "sender-1", 60e3);
    assert!(calm[59].score.is_some_and(|score| score < 0.5));
    let silent = run(&mut scorer, 60..65, "sender-1", 450.0);
    let found = silent.last().unwrap();
    assert_eq!((found.state, found.reasons[0].cause), (State::Anomalous, Cause::Transmit), "{:?}", found.reasons);
}

#[test]
fn a_new_pod_is_learnt_for_twenty_samples_and_then_calm() {
    let reports = run(&mut scorer(), 0..30, "cart-1", 40e3);
    assert!(reports[..19].iter().all(|r| r.state == State::Learning && r.score.is_none()));
    assert!(reports[19..].iter().all(|r| r.state == State::Ok && r.score.is_some_and(|s| s < 0.5)));
}

#[test]
fn egress_times_ten_is_found_within_a_minute_and_named_first() {
    let mut scorer = scorer();
    run(&mut scorer, 0..40, "cart-1", 40e3);
    let after = run(&mut scorer, 40..44, "cart-1", 400e3);
    let found = after.iter().find(|r| r.state == State::Anomalous).expect("found within four samples");
    assert_eq!(found.reasons[0].cause, Cause::Transmit, "{:?}", found.reasons);
    assert!(found.reasons[0].text.starts_with("sent "), "{}", found.reasons[0].text);
    assert!(found.features[3].share > 0.5, "{:?}", found.features);
}

#[test]
fn a_pod_s_own_past_is_a_detector_without_a_model() {
    let mut scorer = Scorer::new(SETTINGS, Some(Detector::Robust));
    let calm = run(&mut scorer, 0..240, "cart-1", 40e3);
    assert!(calm[19..].iter().all(|r| r.state == State::Ok && r.score.is_some_and(|s| s < 0.5)));
    let after = run(&mut scorer, 240..244, "cart-1", 400e3);
    let found = after.iter().find(|r| r.state == State::Anomalous).expect("found within four samples");
    assert_eq!(found.reasons[0].cause, Cause::Transmit, "{:?}", found.reasons);
    assert!(scorer.model().error.is_none() && scorer.model().sha256.is_empty());
}

#[test]
fn another_detector_knows_what_was_normal_and_learns_for_a_moment_only() {
    let mut scorer = Scorer::new(SETTINGS, Some(Detector::Robust));
    run(&mut scorer, 0..240, "cart-1", 40e3);
    scorer.replace(Engine::load(SHIPPED).unwrap().into());
    assert_eq!(scorer.model().name, "guard-lstm");
    let after = run(&mut scorer, 240..250, "cart-1", 40e3);
    assert!(after[0].state == State::Learning && after[5].state == State::Ok, "{:?}", after[5].state);
    let fault = run(&mut scorer, 250..254, "cart-1", 400e3);
    assert!(fault.iter().any(|r| r.state == State::Anomalous));
}

#[test]
fn a_metric_of_ones_own_is_scored_named_and_shown() {
    let mut scorer = scorer();
    let mut tick = |tick: i64, queue: f64| {
        let metrics = vec![("queue_length".into(), queue), ("errors_total".into(), 0.0)];
        scorer.tick(at(tick), &[PodSample { metrics, ..sample(tick, facts("cart-1"), 40e3) }]).remove(0)
    };
    let calm: Vec<PodReport> = (0..60).map(|i| tick(i, 8.0 + (i % 3) as f64)).collect();
    assert!(calm[20..].iter().all(|r| r.state == State::Ok && r.score.is_some_and(|s| s < 0.5)));
    let after: Vec<PodReport> = (60..64).map(|i| tick(i, 400.0)).collect();
    let found = after.iter().find(|r| r.state == State::Anomalous).expect("found within four samples");
    assert_eq!(found.reasons[0].cause, Cause::Metric, "{:?}", found.reasons);
    assert!(found.reasons[0].text.starts_with("queue_length 400, expected "), "{}", found.reasons[0].text);
    let names: Vec<&str> = found.features.iter().map(|view| &*view.name).collect();
    assert_eq!(names, ["cpu", "memory", "receive", "transmit", "errors_total", "queue_length"]);
    assert!(found.features[5].share > 0.5, "{:?}", found.features);
    let whole: f64 = found.features.iter().map(|view| view.share).sum();
    assert!((whole - 1.0).abs() < 1e-6, "{whole}");
}

#[test]
fn a_metric_that_is_no_longer_reported_ends_what_it_began() {
    let mut scorer = scorer();
    let mut tick = |tick: i64, queue: Option<f64>| {
        let metrics = queue.map(|queue| ("queue_length".into(), queue)).into_iter().collect();
        scorer.tick(at(tick), &[PodSample { metrics, ..sample(tick, facts("cart-1"), 40e3) }]).remove(0)
    };
    (0..60).for_each(|i| drop(tick(i, Some(8.0 + (i % 3) as f64))));
    let found = (60..64).map(|i| tick(i, Some(400.0))).last().unwrap();
    assert_eq!((found.state, found.features.len()), (State::Anomalous, 5));
    assert_eq!(tick(64, None).state, State::Anomalous, "a row without it says nothing yet");
    let over = (65..80).map(|i| tick(i, None)).last().unwrap();
    assert_eq!((over.state, over.features.len()), (State::Ok, 4), "{:?}", over.reasons);
}

#[test]
fn a_metric_that_is_worse_at_the_beat_of_what_came_back_is_news() {
    // Three minutes of each half hour.
    const BEAT: i64 = 120;
    let mut scorer = scorer();
    let mut run = |queue: fn(i64) -> f64, ticks: std::ops::Range<i64>| {
        let tick = |tick: i64| {
            let metrics = vec![("queue_length".into(), queue(tick))];
            scorer.tick(at(tick), &[PodSample { metrics, ..sample(tick, facts("cart-1"), 40e3) }]).remove(0)
        };
        ticks.map(tick).filter(|report| report.state == State::Anomalous).count()
    };
    let usual = |tick: i64| if tick % BEAT < 12 { 400.0 } else { 8.0 + (tick % 3) as f64 };
    run(usual, 60..5 * BEAT - 2);
    assert_eq!(run(usual, 5 * BEAT - 2..6 * BEAT - 2), 0, "as every half hour");
    assert!(run(|tick| if tick % BEAT < 12 { 400e3 } else { 8.0 }, 6 * BEAT - 2..6 * BEAT + 12) > 0);
}

#[test]
fn disk_traffic_is_scored_named_and_shown_where_it_is_measured() {
    let mut scorer = scorer();
    let mut tick = |tick: i64, rate: Option<f64>| {
        let mut sample = sample(tick, facts("cart-1"), 40e3);
        sample.measures.disk_bytes_per_second = rate;
        scorer.tick(at(tick), &[sample]).remove(0)
    };
    // A reading of cadvisor is held by four ticks.
    let calm: Vec<PodReport> = (0..60).map(|i| tick(i, Some(1e3 * (i / 4 % 3) as f64))).collect();
    assert!(calm[20..].iter().all(|r| r.state == State::Ok && r.score.is_some_and(|s| s < 0.5)));
    let first: Vec<PodReport> = (60..64).map(|i| tick(i, Some(11e6))).collect();
    assert!(first.iter().all(|r| r.state == State::Ok), "one reading may be a burst");
    let second = tick(64, Some(21e6));
    assert_eq!((second.state, second.reasons[0].cause), (State::Anomalous, Cause::Disk), "{:?}", second.reasons);
    assert!(second.reasons[0].text.starts_with("disk 20 MiB/s, expected "), "{}", second.reasons[0].text);
    let disk = second.features.iter().find(|view| view.name == "disk").expect("it is measured");
    assert!(disk.share > 0.5 && disk.seen == Some(21e6), "{disk:?}");
    assert!(tick(65, None).features.iter().all(|view| view.name != "disk"));
}

#[test]
fn a_new_pod_inherits_what_its_workloads_metrics_were_like() {
    let mut scorer = scorer();
    let with = |name: &str, tick: i64, queue: f64| PodSample {
        metrics: vec![("queue_length".into(), queue)],
        ..sample(tick, facts(name), 40e3)
    };
    for tick in 0..60 {
        scorer.tick(at(tick), &[with("cart-1", tick, 8.0 + (tick % 3) as f64)]);
    }
    let heirs: Vec<PodReport> = (60..70).map(|i| scorer.tick(at(i), &[with("cart-2", i, 400.0)]).remove(0)).collect();
    assert!(heirs.iter().any(|r| r.reasons.iter().any(|reason| reason.cause == Cause::Metric)), "{:?}", heirs[9]);
}

#[test]
fn without_a_model_only_facts_speak() {
    let mut scorer = Scorer::new(SETTINGS, None);
    run(&mut scorer, 0..40, "cart-1", 40e3);
    let after = run(&mut scorer, 40..50, "cart-1", 400e3);
    assert!(after.iter().all(|r| r.score.is_none()), "{:?}", after.last());
    let mut looping = facts("cart-1");
    looping.waiting = Some("CrashLoopBackOff".into());
    let report = scorer.tick(at(50), &[sample(50, looping, 40e3)]).remove(0);
    assert_eq!((report.state, report.severity), (State::Anomalous, Severity::Critical));
    assert!(report.score.is_some_and(|s| s > 0.9));
    assert!(scorer.model().error.is_some());
    let healed = run(&mut scorer, 51..53, "cart-1", 40e3);
    assert_eq!((healed[0].state, healed[1].state, healed[1].score), (State::Anomalous, State::Ok, None));
}

/// The model that ships, with some of its weights as they must not be: for a pod with a known CPU limit it gives no number.
fn poisoned() -> Engine {
    const NAME: &[u8] = b"embed_w";
    // Raw data (field 9 of an initialiser) follow its name, with their length in two bytes.
    let place = (0..SHIPPED.len()).find(|at| SHIPPED[*at..].starts_with(NAME) && SHIPPED[at + NAME.len()] == 0x4a);
    let weights = place.expect("the weights have that name") + NAME.len() + 3;
    let mut bytes = SHIPPED.to_vec();
    for unit in 0..HIDDEN {
        // Whether the shares of the CPU limit and of the memory limit are known.
        for input in [6 * SIGNALS + 2, 6 * SIGNALS + 3] {
            let at = weights + 4 * (unit * INPUTS + input);
            bytes[at..at + 4].copy_from_slice(&3e38_f32.to_le_bytes());
        }
    }
    Engine::load(&bytes).expect("it fits all the same")
}

#[test]
fn a_pod_without_a_usable_number_takes_the_score_of_no_other_and_ends_its_alert() {
    let mut scorer = Scorer::new(SETTINGS, Some(poisoned().into()));
    let mut tick = |tick: i64, sent: f64, limited: bool| {
        let mut victim = sample(tick, facts("cart-1"), sent);
        (victim.measures.cpu_limit_share, victim.measures.memory_limit_share) =
            (limited.then_some(0.1), limited.then_some(0.1));
        let reports = scorer.tick(at(tick), &[victim, sample(tick, facts("catalog-1"), 40e3)]);
        assert_eq!(scorer.model().error, None, "one of two is scored");
        (reports, scorer.model().missed.clone())
    };
    (0..60).for_each(|i| drop(tick(i, 40e3, false)));
    let (found, missed) = (60..64).map(|i| tick(i, 400e3, false)).last().unwrap();
    assert_eq!((found[0].state, missed), (State::Anomalous, None));
    let (one, missed) = tick(64, 400e3, true);
    assert_eq!((one[0].state, one[0].score), (State::Anomalous, None), "one that is missing ends nothing");
    assert!(one[1].score.is_some(), "the other pod is scored");
    assert_eq!(missed.unwrap(), "it gave no usable number for 1 of 2 pods, such as shop/cart-1");
    let (later, _) = (65..70).map(|i| tick(i, 400e3, true)).last().unwrap();
    assert_eq!((later[0].state, later[1].state), (State::Ok, State::Ok));
    let (again, missed) = (70..80).map(|i| tick(i, 40e3, false)).last().unwrap();
    assert!(again[0].score.is_some() && missed.is_none(), "it goes on from nothing");
}

#[test]
fn a_model_that_has_no_number_for_any_pod_is_not_in_use() {
    let mut scorer = Scorer::new(SETTINGS, Some(poisoned().into()));
    let mut limited = sample(0, facts("cart-1"), 40e3);
    (limited.measures.cpu_limit_share, limited.measures.memory_limit_share) = (Some(0.1), Some(0.1));
    scorer.tick(at(0), &[limited]);
    let model = scorer.model();
    assert_eq!(model.error.as_deref(), Some("it gave no usable number for 1 of 1 pods, such as shop/cart-1"));
    assert_eq!(model.missed, None);
}

#[test]
fn a_fact_that_is_over_ends_its_alert_while_the_pod_is_learnt() {
    let (mut scorer, mut pulling) = (scorer(), facts("cart-1"));
    (pulling.phase, pulling.ready, pulling.waiting) = (Phase::Pending, false, Some("ErrImagePull".into()));
    let report = scorer.tick(at(0), &[sample(0, pulling, 40e3)]).remove(0);
    assert_eq!((report.state, report.severity), (State::Anomalous, Severity::Critical));
    let after = run(&mut scorer, 1..3, "cart-1", 40e3);
    assert_eq!((after[1].state, after[1].severity, after[1].score), (State::Learning, Severity::None, None));
}

#[test]
fn facts_speak_while_a_pod_is_learnt() {
    let mut killed = facts("cart-1");
    killed.terminated = Some(Termination {
        container: "main".into(),
        reason: "OOMKilled".into(),
        exit_code: 137,
        finished_at: Some(at(0)),
    });
    let report = scorer().tick(at(1), &[sample(1, killed, 40e3)]).remove(0);
    assert_eq!(report.state, State::Anomalous);
    assert_eq!(report.reasons[0].cause, Cause::OomKilled);
    assert_eq!(report.learning_left, 19);
}

#[test]
fn a_replaced_pod_starts_from_its_workloads_baseline() {
    let mut scorer = scorer();
    run(&mut scorer, 0..40, "cart-1", 40e3);
    let mut fresh = facts("cart-2");
    fresh.created = Some(at(40));
    fresh.revision = Some("2".into());
    let first = scorer.tick(at(40), &[sample(40, fresh.clone(), 40e3)]).remove(0);
    assert_eq!((first.state, first.learning_left), (State::Learning, 4));
    assert!(first.deploy, "another template within ten minutes is a rollout");
    let later = (41..50).map(|tick| scorer.tick(at(tick), &[sample(tick, fresh.clone(), 40e3)]).remove(0));
    assert!(later.last().is_some_and(|r| r.state == State::Ok));
}

#[test]
fn a_name_used_again_by_another_uid_is_another_pod() {
    let mut scorer = scorer();
    run(&mut scorer, 0..30, "db-0", 40e3);
    let mut bare = facts("db-0");
    bare.uid = "another".into();
    bare.workload = None;
    let report = scorer.tick(at(30), &[sample(30, bare, 40e3)]).remove(0);
    assert_eq!(report.learning_left, 19);
    assert_eq!(report.history.len(), 1);
}

#[test]
fn a_pod_that_is_stuck_at_its_cpu_limit_stays_an_incident_and_names_its_cpu() {
    let mut scorer = scorer();
    let tick = |scorer: &mut Scorer, tick: i64, cpu: f64| {
        let mut sample = sample(tick, facts("cart-1"), 40e3);
        let cpu = cpu * sample.measures.cpu_cores.unwrap() / 0.05;
        (sample.measures.cpu_cores, sample.measures.cpu_limit_share) = (Some(cpu), Some(cpu));
        scorer.tick(at(tick), &[sample]).remove(0)
    };
    (0..480).for_each(|i| drop(tick(&mut scorer, i, 0.12)));
    for i in 480..1920 {
        let report = tick(&mut scorer, i, 0.97);
        if i == 1200 {
            // A restart keeps it.
            let saved = scorer.save((START + 15 * i) as f64);
            scorer = self::scorer();
            scorer.restore(&saved, (START + 15 * i) as f64).unwrap();
        }
        let first = report.reasons[0].cause;
        let is_told = report.state == State::Anomalous && matches!(first, Cause::CpuAtLimit | Cause::Cpu);
        assert!(is_told, "{i} {:?} {:?}", report.state, report.reasons);
    }
    let after: Vec<State> = (1920..1924).map(|i| tick(&mut scorer, i, 0.12).state).collect();
    assert_eq!(after[3], State::Ok, "{after:?}");
}

#[test]
fn a_pod_that_was_at_its_cpu_limit_since_it_was_first_seen_may_be_there() {
    let mut scorer = scorer();
    let mut tick = |tick: i64| {
        let mut sample = sample(tick, facts("cart-1"), 40e3);
        (sample.measures.cpu_cores, sample.measures.cpu_limit_share) = (Some(0.97), Some(0.97));
        scorer.tick(at(tick), &[sample]).remove(0)
    };
    let reports: Vec<PodReport> = (0..400).map(&mut tick).collect();
    assert!(reports.iter().all(|report| report.state != State::Anomalous));
    assert!(reports[399].reasons[0].text.ends_with("as always"), "{:?}", reports[399].reasons);
}

#[test]
fn a_signal_that_is_as_expected_is_named_last() {
    let mut sample = sample(0, facts("cart-1"), 40e3);
    sample.measures.cpu_limit_share = Some(0.97);
    let mut series = Series::new(&sample, None);
    series.observe(START as f64, &sample);
    series.learning_left = 0;
    let seen = Seen {
        values: [Some(0.05), Some(9e8), Some(2e4), None],
        expected: [Some((0.01, 0.1)), Some((4e7, 6e7)), Some((1e4, 3e4)), None],
        share: [0.4, 0.2, 0.4, 0.0],
    };
    (0..2).for_each(|_| series.suspect(0.9, START as f64, seen));
    let verdict = verdict(SETTINGS, at(0), &sample, &mut series);
    let causes: Vec<Cause> = verdict.reasons.iter().map(|reason| reason.cause).collect();
    assert_eq!(causes, [Cause::CpuAtLimit, Cause::Memory, Cause::Cpu, Cause::Receive]);
}

#[test]
fn a_fact_of_long_ago_is_not_put_before_what_is_wrong_now() {
    let reason = |cause, score| Reason { cause, score, text: String::new() };
    let mut reasons = [
        reason(Cause::Drops, 0.15),
        reason(Cause::Cpu, 0.3),
        reason(Cause::Memory, 0.9),
        reason(Cause::Receive, 0.2),
        reason(Cause::NotReady, 0.85),
    ];
    rank(&mut reasons, 0.7, |reason| reason.cause == Cause::Memory);
    let causes = reasons.map(|reason| reason.cause);
    assert_eq!(causes, [Cause::NotReady, Cause::Cpu, Cause::Receive, Cause::Memory, Cause::Drops]);
}

/// From tick 64 on in ticks of 5 s, of which each third has a reading: the alert outlasts the first calm one and ends with the second.
fn ends_by_the_second_calm_reading(scorer: &mut Scorer, of: impl Fn(i64) -> PodSample) {
    let mut tick = |five: i64| {
        let now = Timestamp::from_second(START + 15 * 64 + 5 * five).unwrap();
        scorer.tick(now, &[PodSample { fresh: five % 3 == 0, ..of(64 + five / 3) }]).remove(0)
    };
    let reports: Vec<PodReport> = (0..60).map(&mut tick).collect();
    let first_calm = reports.iter().position(|r| r.score.is_some_and(|score| score < 0.7 * 0.75)).unwrap();
    let ended = reports.iter().position(|r| r.state == State::Ok).unwrap();
    assert!(first_calm % 3 == 0 && ended == first_calm + 3, "calm at {first_calm}, over at {ended}");
}

#[test]
fn a_fact_that_fades_is_no_news_at_each_tick() {
    let mut scorer = scorer();
    let killed = Termination {
        container: "main".into(),
        reason: "OOMKilled".into(),
        exit_code: 137,
        finished_at: Some(at(64 - 48)),
    };
    let of =
        |tick: i64, sent: f64| sample(tick, PodFacts { terminated: Some(killed.clone()), ..facts("cart-1") }, sent);
    (0..60).for_each(|i| drop(scorer.tick(at(i), &[of(i, 40e3)])));
    let fault = (60..64).map(|i| scorer.tick(at(i), &[of(i, 400e3)]).remove(0)).last().unwrap();
    assert_eq!(fault.state, State::Anomalous);
    // While it is calm, the kill of twelve minutes ago fades on.
    ends_by_the_second_calm_reading(&mut scorer, |tick| of(tick, 40e3));
}

#[test]
fn a_pod_that_failed_is_not_waited_for() {
    let mut scorer = scorer();
    run(&mut scorer, 0..30, "cart-1", 40e3);
    let gone = PodFacts { phase: Phase::Failed, ready: false, ready_changed: Some(at(30)), ..facts("cart-1") };
    let states = (30..150).map(|tick| {
        let lies = PodSample { fresh: false, measures: Measures::default(), ..sample(30, gone.clone(), 0.0) };
        scorer.tick(at(tick), &[lies]).remove(0).state
    });
    let states: Vec<State> = states.collect();
    assert_eq!((states[0], states[119]), (State::Anomalous, State::Ok));
    assert!(!states.contains(&State::Stale), "{states:?}");
}

#[test]
fn one_calm_reading_seen_at_many_ticks_ends_no_alert() {
    let mut scorer = scorer();
    run(&mut scorer, 0..60, "cart-1", 40e3);
    let fault = run(&mut scorer, 60..64, "cart-1", 400e3);
    assert_eq!(fault[3].state, State::Anomalous);
    ends_by_the_second_calm_reading(&mut scorer, |tick| sample(tick, facts("cart-1"), 40e3));
}

#[test]
fn an_alert_ends_by_what_is_measured_anew_or_by_facts_that_change() {
    let mut scorer = scorer();
    run(&mut scorer, 0..30, "cart-1", 40e3);
    let mut tick = |tick: i64, ready: bool, fresh: bool| {
        let facts = PodFacts { ready, ready_changed: Some(at(29)), ..facts("cart-1") };
        scorer.tick(at(tick), &[PodSample { fresh, ..sample(30, facts, 40e3) }]).remove(0).state
    };
    let states = [tick(30, false, true), tick(31, true, false), tick(32, true, false), tick(33, true, true)];
    assert_eq!(states, [State::Anomalous, State::Anomalous, State::Anomalous, State::Ok]);
}

#[test]
fn a_pod_that_is_no_longer_measured_turns_stale_and_not_calm() {
    let mut scorer = scorer();
    run(&mut scorer, 0..30, "cart-1", 40e3);
    let quiet = |tick| PodSample { fresh: false, ..sample(tick, facts("cart-1"), 40e3) };
    let states: Vec<State> = (30..36).map(|tick| scorer.tick(at(tick), &[quiet(tick)]).remove(0).state).collect();
    assert_eq!(states, [State::Ok, State::Ok, State::Ok, State::Ok, State::Stale, State::Stale]);
}

#[test]
fn a_pod_that_is_deleted_may_fall_silent_and_ends_its_alert_at_once() {
    let mut scorer = scorer();
    let leaving = |name: &str| PodFacts { deleting: true, ready: false, ready_changed: Some(at(60)), ..facts(name) };
    let mut node =
        |ticks: std::ops::Range<i64>, of: &dyn Fn(&str) -> PodFacts, sent: [f64; 2]| -> Vec<[PodReport; 2]> {
            let reports = |tick| {
                let samples = [sample(tick, of("sender-1"), sent[0]), sample(tick, of("cart-1"), sent[1])];
                scorer.tick(at(tick), &samples).try_into().unwrap()
            };
            ticks.map(reports).collect()
        };
    node(0..60, &facts, [60e3, 40e3]);
    let before = node(60..64, &facts, [60e3, 400e3]).pop().unwrap();
    assert_eq!(before.map(|report| report.state), [State::Ok, State::Anomalous]);
    let drained = node(64..84, &leaving, [450.0, 450.0]);
    for report in drained.iter().flatten() {
        assert_eq!((report.state, report.score, report.severity), (State::Ok, None, Severity::None));
        assert_eq!((report.since, report.reasons.len()), (None, 0), "{:?}", report.reasons);
    }
    let learnt_at = |baseline: &Baseline| baseline.at as i64 - START;
    assert!(
        scorer.baselines.values().all(|baseline| learnt_at(baseline) < 15 * 64),
        "what it did then is not what is normal"
    );
}

#[test]
fn an_owner_may_ask_for_silence_or_for_a_line_of_its_own() {
    let mut ignored = facts("cart-1");
    ignored.waiting = Some("CrashLoopBackOff".into());
    ignored.opt_out.ignore = true;
    let mut strict = facts("cart-2");
    strict.ready = false;
    strict.ready_changed = Some(at(0));
    strict.opt_out.threshold = Some(0.9);
    let reports = scorer().tick(at(1), &[sample(1, ignored, 1.0), sample(1, strict, 1.0)]);
    assert_eq!(reports[0].state, State::Muted);
    assert_eq!(reports[1].state, State::Learning, "0.75 is under a line of 0.9");
}

#[test]
fn what_was_learnt_survives_a_restart_of_the_scorer() {
    let mut before = scorer();
    run(&mut before, 0..40, "cart-1", 40e3);
    let mut unmeasured = facts("host-1");
    unmeasured.workload = None;
    let mut gap = sample(40, unmeasured, 1.0);
    gap.measures = Measures::default();
    before.tick(at(40), &[sample(40, facts("cart-1"), 40e3), gap]);
    let bytes = before.save((START + 600) as f64);
    let mut after = scorer();
    let restored = after.restore(&bytes, (START + 630) as f64).unwrap();
    assert_eq!((restored.pods, restored.baselines), (2, 1));
    let next = |scorer: &mut Scorer| scorer.tick(at(42), &[sample(42, facts("cart-1"), 40e3)]).remove(0);
    assert_eq!(next(&mut before), next(&mut after));
}

#[test]
fn stale_or_foreign_state_is_refused_and_changes_nothing() {
    let bytes = scorer().save(1000.0);
    let mut scorer = scorer();
    assert!(matches!(scorer.restore(&bytes, 1000.0 + 90_000.0), Err(RestoreError::Stale { .. })));
    assert!(matches!(scorer.restore(&bytes, 900.0), Err(RestoreError::Stale { .. })));
    assert!(matches!(scorer.restore(b"{", 1000.0), Err(RestoreError::Unreadable(_))));
    let other = String::from_utf8(bytes).unwrap().replacen("\"version\":2", "\"version\":9", 1);
    assert!(matches!(scorer.restore(other.as_bytes(), 1000.0), Err(RestoreError::Version { found: 9, .. })));
}

#[test]
fn series_of_pods_that_have_gone_are_dropped() {
    let mut scorer = scorer();
    for tick in 0..1000 {
        let mut short = facts("batch-1");
        short.uid = format!("uid-{tick}");
        short.workload = Some(Workload::new("Job", format!("batch-{tick}")));
        scorer.tick(at(tick), &[sample(tick, short, 1.0)]);
    }
    assert_eq!(scorer.series.len(), 1);
    assert!(scorer.baselines.is_empty(), "no pod of them was ever learnt");
}
