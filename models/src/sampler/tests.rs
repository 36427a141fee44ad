//! Each rule on recorded bytes, and arithmetic on any.

use super::*;
use crate::sample::ContainerLimits;
use crate::summary::{self, Cpu, Gauge};

const RECORDED: &[u8] = include_bytes!("../../tests/fixtures/summary.json");

/// The first recorded pod, `seconds` later and with so much more counted.
fn reading(seconds: f64, cores: f64, received: f64, sent: f64) -> Summary {
    let mut summary = summary::parse(RECORDED).unwrap();
    summary.pods.truncate(1);
    let pod = &mut summary.pods[0];
    let cpu = pod.cpu.as_mut().unwrap();
    cpu.at += seconds;
    cpu.cores = None;
    cpu.total = cpu.total.map(|total| total + cores * seconds);
    pod.memory.as_mut().unwrap().at += seconds;
    let network = pod.network.as_mut().unwrap();
    network.at += seconds;
    network.receive += received;
    network.transmit += sent;
    summary
}

fn facts(summary: &Summary) -> Vec<PodFacts> {
    let fact = |pod: &PodCounters| PodFacts {
        uid: pod.uid.clone(),
        namespace: pod.namespace.clone(),
        name: pod.name.clone(),
        phase: Phase::Running,
        cpu_limit_cores: Some(0.5),
        ..PodFacts::default()
    };
    summary.pods.iter().map(fact).collect()
}

fn now(summary: &Summary) -> f64 {
    summary.pods[0].cpu.map_or(0.0, |cpu| cpu.at) + 5.0
}

fn tick(sampler: &mut Sampler, summary: &Summary) -> PodSample {
    sampler.tick(now(summary), Some(summary), None, &facts(summary)).remove(0)
}

#[track_caller]
fn near(value: Option<f64>, expected: f64) {
    assert!(value.is_some_and(|v| (v - expected).abs() < 1e-6 * expected.abs().max(1.0)), "{value:?} {expected}");
}

#[test]
fn rates_come_of_two_readings_and_each_blocks_own_time() {
    let mut sampler = Sampler::default();
    let first = tick(&mut sampler, &reading(0.0, 0.0, 0.0, 0.0));
    assert!(first.fresh && !first.reset);
    assert_eq!((first.measures.cpu_cores, first.measures.receive_bytes_per_second), (None, None));
    let second = tick(&mut sampler, &reading(10.0, 0.25, 5_000.0, 300.0));
    near(second.measures.cpu_cores, 0.25);
    near(second.measures.cpu_limit_share, 0.5);
    near(second.measures.receive_bytes_per_second, 500.0);
    near(second.measures.transmit_bytes_per_second, 30.0);
    assert_eq!(second.measures.memory_limit_share, None, "no limit, no share");
}

#[test]
fn the_same_time_again_is_not_fresh_and_keeps_its_measures() {
    let mut sampler = Sampler::default();
    tick(&mut sampler, &reading(0.0, 0.0, 0.0, 0.0));
    let second = tick(&mut sampler, &reading(10.0, 0.25, 5_000.0, 300.0));
    let again = tick(&mut sampler, &reading(10.0, 0.25, 5_000.0, 300.0));
    assert!(!again.fresh);
    assert_eq!(again.measures, second.measures);
}

#[test]
fn network_that_stands_still_in_time_keeps_its_rates() {
    let mut sampler = Sampler::default();
    tick(&mut sampler, &reading(0.0, 0.0, 0.0, 0.0));
    tick(&mut sampler, &reading(10.0, 0.25, 5_000.0, 300.0));
    let mut later = reading(20.0, 0.25, 5_000.0, 300.0);
    later.pods[0].network.as_mut().unwrap().at -= 10.0;
    let third = tick(&mut sampler, &later);
    assert!(third.fresh);
    near(third.measures.receive_bytes_per_second, 500.0);
}

#[test]
fn a_counter_that_falls_is_a_reset_and_unknown_for_one_sample() {
    let mut sampler = Sampler::default();
    tick(&mut sampler, &reading(0.0, 0.0, 1e6, 1e6));
    let fallen = tick(&mut sampler, &reading(10.0, 0.1, 0.0, 0.0));
    assert!(fallen.fresh && fallen.reset);
    assert_eq!((fallen.measures.receive_bytes_per_second, fallen.measures.cpu_cores), (None, None));
    let next = tick(&mut sampler, &reading(20.0, 0.1, 100.0, 0.0));
    assert!(!next.reset);
    near(next.measures.receive_bytes_per_second, 10.0);
}

#[test]
fn a_restarted_container_is_a_reset() {
    let mut sampler = Sampler::default();
    tick(&mut sampler, &reading(0.0, 0.0, 0.0, 0.0));
    let mut restarted = reading(10.0, 0.1, 10.0, 10.0);
    restarted.pods[0].started = restarted.pods[0].started.map(|at| at + 5000.0);
    assert!(tick(&mut sampler, &restarted).reset);
}

#[test]
fn a_clock_that_goes_back_starts_anew() {
    let mut sampler = Sampler::default();
    tick(&mut sampler, &reading(3600.0, 0.1, 1e6, 1e6));
    let back = tick(&mut sampler, &reading(0.0, 0.0, 0.0, 0.0));
    assert!(back.fresh && back.reset && back.measures.cpu_cores.is_none());
    near(tick(&mut sampler, &reading(10.0, 0.2, 100.0, 0.0)).measures.receive_bytes_per_second, 10.0);
}

#[test]
fn a_reading_from_the_future_is_not_believed() {
    let mut sampler = Sampler::default();
    let ahead = reading(10_000.0, 0.1, 1.0, 1.0);
    let sample = sampler.tick(now(&reading(0.0, 0.0, 0.0, 0.0)), Some(&ahead), None, &facts(&ahead)).remove(0);
    assert!(!sample.fresh);
}

#[test]
fn a_pod_without_network_or_cpu_has_none_and_not_zero() {
    let mut sampler = Sampler::default();
    for seconds in [0.0, 10.0] {
        let mut host = reading(seconds, 0.1, 10.0, 10.0);
        host.pods[0].network = None;
        host.pods[0].cpu = None;
        let sample = tick_at(&mut sampler, &host);
        assert!(sample.fresh, "memory has a time of its own");
        assert_eq!((sample.measures.cpu_cores, sample.measures.transmit_bytes_per_second), (None, None));
        assert!(sample.measures.memory_bytes.is_some());
    }
}

fn tick_at(sampler: &mut Sampler, summary: &Summary) -> PodSample {
    sampler.tick(2e9, Some(summary), None, &facts(summary)).remove(0)
}

#[test]
fn a_pod_that_the_kubelet_does_not_know_yet_is_unmeasured() {
    let mut sampler = Sampler::default();
    let known = facts(&reading(0.0, 0.0, 0.0, 0.0));
    let sample = sampler.tick(1000.0, Some(&Summary::default()), None, &known).remove(0);
    assert_eq!((sample.fresh, sample.measures), (false, Measures::default()));
}

#[test]
fn the_same_name_under_another_uid_is_another_pod() {
    let mut sampler = Sampler::default();
    tick(&mut sampler, &reading(0.0, 0.0, 0.0, 0.0));
    let mut other = reading(10.0, 0.25, 5_000.0, 300.0);
    other.pods[0].uid = "another".into();
    let sample = tick(&mut sampler, &other);
    assert!(sample.fresh && !sample.reset && sample.measures.receive_bytes_per_second.is_none());
    assert_eq!(sampler.pods.len(), 1, "the first one is forgotten");
}

#[test]
fn a_static_pod_is_found_by_its_name() {
    let mut sampler = Sampler::default();
    let summary = reading(0.0, 0.0, 0.0, 0.0);
    let mut mirror = facts(&summary);
    mirror[0].uid = "in the API".into();
    mirror[0].mirror = true;
    assert!(sampler.tick(now(&summary), Some(&summary), None, &mirror)[0].fresh);
}

const MIB: f64 = 1_048_576.0;

/// The first recorded pod with a container `proxy`, which idles, beside its own one, which has used so many cores since the
/// beginning and holds so much memory.
fn beside_a_proxy(seconds: f64, cores: f64, bytes: f64) -> Summary {
    let mut summary = reading(seconds, cores + 0.01, 0.0, 0.0);
    let pod = &mut summary.pods[0];
    pod.memory.as_mut().unwrap().value = bytes + 50.0 * MIB;
    let read = |name: &str, cores: f64, value: f64| {
        let at = pod.containers[0].cpu.unwrap().at + seconds;
        let cpu = Some(Cpu { at, cores: None, total: Some(20.0 + cores * seconds) });
        ContainerCounters { name: name.into(), cpu, memory: Some(Gauge { at, value }) }
    };
    pod.containers = vec![read("proxy", 0.01, 50.0 * MIB), read("main", cores, bytes)];
    summary
}

fn limits(name: &str, cores: f64, memory: f64) -> ContainerLimits {
    ContainerLimits { name: name.into(), cpu_cores: Some(cores), memory_bytes: Some(memory * MIB) }
}

/// Facts of that pod with these limits of its own and of its containers.
fn limited(summary: &Summary, pod: Option<(f64, f64)>, containers: &[ContainerLimits]) -> Vec<PodFacts> {
    let mut pods = facts(summary);
    pods[0].cpu_limit_cores = pod.map(|(cores, _)| cores);
    pods[0].memory_limit_bytes = pod.map(|(_, memory)| memory * MIB);
    pods[0].container_limits = containers.to_vec();
    pods
}

#[test]
fn the_share_is_that_of_the_container_nearest_to_its_own_limit() {
    let (main, proxy) = (limits("main", 0.5, 512.0), limits("proxy", 2.0, 1024.0));
    let measured = |pod: Option<(f64, f64)>, containers: &[ContainerLimits]| {
        let mut sampler = Sampler::default();
        let mut tick = |seconds| {
            let summary = beside_a_proxy(seconds, 0.49, 511.0 * MIB);
            sampler.tick(now(&summary), Some(&summary), None, &limited(&summary, pod, containers)).remove(0).measures
        };
        tick(0.0);
        tick(10.0)
    };
    let sidecar = measured(Some((2.5, 1536.0)), &[proxy, main.clone()]);
    near(sidecar.cpu_limit_share, 0.98);
    near(sidecar.memory_limit_share, 511.0 / 512.0);
    assert_eq!((sidecar.cpu_limit_of, sidecar.memory_limit_of), (Some(1), Some(1)));
    near(sidecar.cpu_cores, 0.5);
    let unlimited = measured(None, std::slice::from_ref(&main));
    near(unlimited.cpu_limit_share, 0.98);
    assert_eq!((unlimited.cpu_limit_of, unlimited.memory_limit_of), (Some(0), Some(0)));
    let of_pod = measured(Some((0.5, 561.0)), &[main]);
    near(of_pod.cpu_limit_share, 1.0);
    near(of_pod.memory_limit_share, 1.0);
    assert_eq!((of_pod.cpu_limit_of, of_pod.memory_limit_of), (None, None), "the pod is nearer to its own");
}

#[test]
fn a_container_is_measured_by_the_same_rules_as_its_pod() {
    let mut sampler = Sampler::default();
    let mut tick = |seconds: f64, change: fn(&mut PodCounters), is_read: bool| {
        let mut summary = beside_a_proxy(seconds, 0.1, 100.0 * MIB);
        change(&mut summary.pods[0]);
        let pods = limited(&summary, None, &[limits("main", 0.5, 200.0)]);
        let m = sampler.tick(now(&summary), Some(&summary).filter(|_| is_read), None, &pods).remove(0).measures;
        (m.cpu_limit_share.map(|share| (100.0 * share).round() as i64), m.memory_limit_share.is_some())
    };
    let window: fn(&mut PodCounters) = |pod| pod.containers[1].cpu.as_mut().unwrap().cores = Some(0.4);
    let restarted: fn(&mut PodCounters) = |pod| pod.started = pod.started.map(|at| at + 5000.0);
    let alone: fn(&mut PodCounters) = |pod| drop(pod.containers.remove(1));
    let same: fn(&mut PodCounters) = |_| ();
    assert_eq!(tick(0.0, same, true), (None, true), "one reading is no rate");
    assert_eq!(tick(10.0, window, true), (Some(80), true), "the kubelet's own window");
    assert_eq!(tick(70.0, window, true), (Some(20), true), "over long by the counter");
    assert_eq!(tick(70.0, same, false), (None, false), "nobody read it");
    assert_eq!(tick(80.0, alone, true), (None, false), "it does not run");
    assert_eq!(tick(90.0, restarted, true), (None, true), "a restart is unknown for one reading");
    assert_eq!(tick(100.0, restarted, true), (Some(20), true));
}

#[test]
fn what_has_succeeded_is_not_sampled() {
    let summary = reading(0.0, 0.0, 0.0, 0.0);
    let mut done = facts(&summary);
    done[0].phase = Phase::Succeeded;
    assert!(Sampler::default().tick(now(&summary), Some(&summary), None, &done).is_empty());
}

/// The kubelet's recorded answers around a crash loop, one a line and tick, each 10 s but for a pause in the middle.
fn crash_loop() -> Vec<PodSample> {
    let mut sampler = Sampler::default();
    let pods = crate::pod::pods(include_bytes!("../../tests/fixtures/crash_loop.pods.json")).unwrap();
    let answers = include_str!("../../tests/fixtures/crash_loop.jsonl").lines();
    let sample = |line: &str| {
        let summary = summary::parse(line.as_bytes()).unwrap();
        sampler.tick(1_795_357_500.0, Some(&summary), None, &pods).remove(0)
    };
    answers.map(sample).collect()
}

#[test]
fn a_recorded_crash_loop_is_unmeasured_while_no_container_runs_and_reset_when_one_does() {
    let ticks = crash_loop();
    let shown = |s: &PodSample| (s.fresh, s.reset, s.measures.memory_bytes.is_some(), s.measures.cpu_cores.is_some());
    let expected = [
        (true, false, true, true),    // 14:17:22, before it
        (false, false, true, true),   // 14:17:32, the same reading
        (false, false, false, false), // 14:17:42, all its containers are dead
        (true, true, true, false),    // 14:17:52, a younger container
        (false, false, false, false), // 14:18:02, dead again
        (false, false, false, false), // 14:20:42
        (true, true, true, false),    // 14:20:52, the next container
        (true, false, true, true),    // 14:21:02, and it stays
        (true, false, true, true),
        (true, false, true, true),
    ];
    assert_eq!(ticks.iter().map(shown).collect::<Vec<_>>(), expected);
    assert_eq!(ticks[2].at.to_bits(), ticks[1].at.to_bits(), "its last time stays");
}

#[test]
fn a_container_that_starts_after_none_ran_is_a_restart() {
    let mut sampler = Sampler::default();
    tick(&mut sampler, &reading(0.0, 0.0, 0.0, 0.0));
    let mut none_runs = reading(10.0, 0.1, 10.0, 10.0);
    none_runs.pods[0].started = None;
    assert!(!tick(&mut sampler, &none_runs).reset);
    let mut restarted = reading(20.0, 0.1, 20.0, 20.0);
    restarted.pods[0].started = restarted.pods[0].started.map(|at| at + 5000.0);
    assert!(tick(&mut sampler, &restarted).reset);
}

#[test]
fn a_reset_under_the_same_time_waits_for_the_next_reading() {
    let mut sampler = Sampler::default();
    tick(&mut sampler, &reading(10.0, 0.0, 0.0, 0.0));
    for (seconds, expected) in [(10.0, (false, false)), (20.0, (true, true))] {
        let mut restarted = reading(seconds, 0.0, 0.0, 0.0);
        restarted.pods[0].started = restarted.pods[0].started.map(|at| at + 5000.0);
        let sample = tick(&mut sampler, &restarted);
        assert_eq!((sample.fresh, sample.reset), expected);
    }
}

#[test]
fn a_tick_without_an_answer_forgets_nothing() {
    let mut sampler = Sampler::default();
    tick(&mut sampler, &reading(0.0, 0.0, 0.0, 0.0));
    let second = reading(10.0, 0.25, 5_000.0, 300.0);
    tick(&mut sampler, &second);
    let silent = sampler.tick(now(&second), None, None, &facts(&second)).remove(0);
    assert_eq!((silent.fresh, silent.measures), (false, Measures::default()));
    let again = tick(&mut sampler, &second);
    assert!(!again.fresh);
    near(again.measures.receive_bytes_per_second, 500.0);
    near(tick(&mut sampler, &reading(60.0, 0.25, 30_000.0, 300.0)).measures.receive_bytes_per_second, 500.0);
}

#[test]
fn after_a_long_pause_rates_are_unknown_and_levels_are_not() {
    let mut sampler = Sampler::default();
    tick(&mut sampler, &reading(0.0, 0.0, 0.0, 0.0));
    let late = tick(&mut sampler, &reading(MAX_PAUSE_SECONDS + 1.0, 0.25, 5_000.0, 300.0));
    assert!(late.fresh && !late.reset && late.measures.memory_bytes.is_some());
    assert_eq!((late.measures.cpu_cores, late.measures.receive_bytes_per_second), (None, None));
}

#[test]
fn the_kubelets_own_window_counts_for_short_intervals_and_the_counter_for_long_ones() {
    for (seconds, expected) in [(12.0, 0.4), (60.0, 0.25)] {
        let mut sampler = Sampler::default();
        tick(&mut sampler, &reading(0.0, 0.0, 0.0, 0.0));
        let mut later = reading(seconds, 0.25, 0.0, 0.0);
        later.pods[0].cpu.as_mut().unwrap().cores = Some(0.4);
        near(tick(&mut sampler, &later).measures.cpu_cores, expected);
    }
}

#[test]
fn a_network_block_that_is_left_behind_is_unknown() {
    let mut sampler = Sampler::default();
    tick(&mut sampler, &reading(0.0, 0.0, 0.0, 0.0));
    tick(&mut sampler, &reading(10.0, 0.25, 5_000.0, 300.0));
    let mut later = reading(20.0 + NETWORK_LAG_SECONDS, 0.25, 5_000.0, 300.0);
    later.pods[0].network.as_mut().unwrap().at -= 10.0 + NETWORK_LAG_SECONDS;
    later.pods[0].network.as_mut().unwrap().at -= 10.0;
    assert_eq!(tick(&mut sampler, &later).measures.receive_bytes_per_second, None);
}

fn read(text: &[u8]) -> Cadvisor {
    let mut reader = crate::cadvisor::Reader::default();
    reader.feed(text);
    reader.finish()
}

#[test]
fn the_traffic_of_its_node_is_not_that_of_a_pod() {
    let mut sampler = Sampler::default();
    let mut tick = |seconds, received| {
        let summary = reading(seconds, 0.25, received, received);
        let mut pods = facts(&summary);
        pods[0].host_network = true;
        sampler.tick(now(&summary), Some(&summary), None, &pods).remove(0)
    };
    tick(0.0, 5_000.0);
    let second = tick(10.0, 900_000.0);
    near(second.measures.cpu_cores, 0.25);
    assert_eq!((second.measures.receive_bytes_per_second, second.measures.transmit_bytes_per_second), (None, None));
    assert_eq!(second.measures.network_errors_per_second, None);
    // The interface of another pod has gone, and its bytes with it.
    assert!(!tick(20.0, 1_000.0).reset);
}

/// Two recorded readings of cadvisor, a minute apart, between which a process of the pod was OOM killed.
#[test]
fn cadvisor_gives_rates_over_its_own_times() {
    let mut sampler = Sampler::default();
    let mut summary = reading(0.0, 0.0, 0.0, 0.0);
    (summary.pods[0].namespace, summary.pods[0].name) = ("shop".into(), "cart-59f948d975-tr5v2".into());
    let pods = facts(&summary);
    let before = read(include_bytes!("../../tests/fixtures/oom_before.cadvisor.txt"));
    let after = read(include_bytes!("../../tests/fixtures/oom_after.cadvisor.txt"));
    let mut tick = |cadvisor| sampler.tick(now(&summary), Some(&summary), cadvisor, &pods).remove(0).measures;
    assert_eq!(tick(Some(&before)).throttled_share, None, "one reading is no rate");
    let measured = tick(Some(&after));
    near(measured.oom_events, 1.0);
    near(measured.throttled_share, 1.0 / (22_148.0 - 21_514.0));
    near(measured.drops_per_second, 0.0);
    assert_eq!(measured.disk_bytes_per_second, None, "not among the rows");
    assert_eq!(tick(None), measured, "it holds until the next reading");
    assert_eq!(tick(Some(&after)), measured, "and while the next reading is the same");
    let back = tick(Some(&before));
    assert_eq!((back.oom_events, back.throttled_share, back.drops_per_second), (None, None, None));
}

#[test]
fn a_falling_count_of_cadvisor_is_unknown_for_one_reading() {
    let mut sampler = Sampler::default();
    let summary = reading(0.0, 0.0, 0.0, 0.0);
    let pods = facts(&summary);
    let of = |at: f64, drops: f64| {
        let counters = PodCadvisor { receive_drops: Some(Count { at, value: drops }), ..PodCadvisor::default() };
        let name = (pods[0].namespace.clone(), pods[0].name.clone());
        Cadvisor { pods: [(name, counters)].into(), dropped: 0 }
    };
    let mut drops =
        |cadvisor| sampler.tick(now(&summary), Some(&summary), Some(&cadvisor), &pods)[0].measures.drops_per_second;
    assert_eq!(drops(of(1000.0, 5.0)), None);
    near(drops(of(1060.0, 65.0)), 1.0);
    assert_eq!(drops(of(1120.0, 0.0)), None);
    near(drops(of(1180.0, 6.0)), 0.1);
}

#[test]
fn what_cadvisor_said_last_does_not_hold_for_ever() {
    let mut sampler = Sampler::default();
    let summary = reading(0.0, 0.0, 0.0, 0.0);
    let pods = facts(&summary);
    let of = |at, kills| {
        let counters = PodCadvisor { oom_events: Some(Count { at, value: kills }), ..PodCadvisor::default() };
        Cadvisor { pods: [((pods[0].namespace.clone(), pods[0].name.clone()), counters)].into(), dropped: 0 }
    };
    let start = now(&summary);
    let mut kills = |after: f64, cadvisor: Option<Cadvisor>| {
        sampler.tick(start + after, Some(&summary), cadvisor.as_ref(), &pods)[0].measures.oom_events
    };
    kills(0.0, Some(of(start, 0.0)));
    near(kills(60.0, Some(of(start + 60.0, 1.0))), 1.0);
    near(kills(60.0 + HOLDS_SECONDS, None), 1.0);
    assert_eq!(kills(61.0 + HOLDS_SECONDS, None), None);
    assert_eq!(kills(300.0, Some(of(start + 300.0, 2.0))), None, "what came before is too long ago for a rate");
}

proptest::proptest! {
    #[test]
    fn no_sequence_of_counters_gives_a_rate_that_is_negative_or_no_number(
        readings in proptest::collection::vec(
            (-50.0..5000.0f64, -1e3..1e12f64, -1e3..1e15f64, proptest::bool::ANY, -50.0..5000.0f64), 1..40)
    ) {
        let mut sampler = Sampler::default();
        for (at, cpu, bytes, present, started) in readings {
            let counters = PodCounters {
                uid: "u".into(),
                cpu: present.then_some(Cpu { at, cores: None, total: Some(cpu) }),
                memory: Some(Gauge { at, value: bytes.abs() }),
                network: Some(Network { at, receive: bytes, transmit: cpu, receive_errors: Some(bytes), transmit_errors: Some(0.0) }),
                started: present.then_some(started),
                ..PodCounters::default()
            };
            let pods = [PodFacts { uid: "u".into(), phase: Phase::Running, ..PodFacts::default() }];
            let summary = Summary { pods: vec![counters], ..Summary::default() };
            let count = Some(Count { at, value: bytes.abs() });
            let slow = PodCadvisor {
                receive_drops: count,
                transmit_drops: None,
                periods: count,
                throttled: Some(Count { at: started, value: cpu.abs() }),
                oom_events: count,
                disk_read: None,
                disk_written: count,
            };
            let cadvisor = Cadvisor { pods: [((String::new(), String::new()), slow)].into(), dropped: 0 };
            let m = sampler.tick(1000.0, Some(&summary).filter(|_| present), Some(&cadvisor), &pods)[0].measures;
            let all = [m.cpu_cores, m.receive_bytes_per_second, m.transmit_bytes_per_second, m.network_errors_per_second,
                m.drops_per_second, m.throttled_share, m.oom_events, m.disk_bytes_per_second];
            proptest::prop_assert!(all.into_iter().flatten().all(|rate| rate.is_finite() && rate >= 0.0), "{:?}", m);
        }
    }
}
