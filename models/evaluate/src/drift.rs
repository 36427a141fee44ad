//! What only somebody with a memory can tell apart, put into the calm time of real pods: memory that leaks for hours and a job
//! that does not end, which are faults; a job that comes back and load that drifts, which are none.
//!
//! One sample shows neither: a leak adds less a minute than the pod's own noise, and a job that runs on looks as it did each
//! time it ended. All detectors but those that look at one level alone have a past to compare with; what differs between the
//! network and the same without memory is the recurrence alone.

use std::ops::Range;

use guard_model::sample::Measures;
use guard_train::draw::Draw;

use crate::day::{Day, Fault, Tick};
use crate::synthetic::{Change, Typical, put, span, typical};

const HOUR: f64 = 3600.0;
/// How long a leak, or a rise and fall of load, takes.
const SLOW_SECONDS: f64 = 3.0 * HOUR;
/// A job's period and length, and the length of the run that does not end.
const PERIOD_SECONDS: f64 = 2400.0;
const RUN_SECONDS: f64 = 240.0;
const STUCK_SECONDS: f64 = 1800.0;
/// Runs before the one that does not end.
const RUNS: usize = 5;

/// A job takes this share of the CPU limit, and a leak of the memory limit; load rises to so many times itself.
const JOB: f64 = 0.35;
const LEAK: f64 = 0.45;
const LOAD: f64 = 3.0;
/// Load may bring a pod up to this share of its limit: beyond it, the pod is short of CPU, which is a fault.
const ROOM: f64 = 0.6;

/// When something is done, and when that is a fault.
type Times = (Vec<Range<f64>>, Option<Range<f64>>);

/// Something done to a pod, by its name.
struct Pattern {
    name: &'static str,
    matters: fn(&Typical) -> bool,
    change: Change,
    /// From a time on, until the end of the day.
    times: fn(f64, f64) -> Times,
}

const FAULTS: [Pattern; 2] = [
    Pattern {
        name: "slow leak",
        matters: Typical::has_memory_to_spare,
        change: |m, t, gone| m.memory_bytes = m.memory_bytes.map(|bytes| bytes + LEAK * t.memory_limit * gone),
        times: |start, _| (vec![start..start + SLOW_SECONDS], Some(start..start + SLOW_SECONDS)),
    },
    Pattern { name: "job that runs on", matters: Typical::has_cpu_limit, change: job, times: stuck },
];

const NO_FAULTS: [Pattern; 2] = [
    Pattern {
        name: "drifting load",
        matters: |t| t.has_traffic() && LOAD * t.cpu <= ROOM * t.cpu_limit,
        change: |m, _, gone| {
            let factor = 1.0 + (LOAD - 1.0) * (std::f64::consts::PI * gone).sin().powi(2);
            for rate in [&mut m.cpu_cores, &mut m.receive_bytes_per_second, &mut m.transmit_bytes_per_second] {
                *rate = rate.map(|value| value * factor);
            }
        },
        times: |start, end| (waves(start, end), None),
    },
    Pattern {
        name: "periodic job",
        matters: Typical::has_cpu_limit,
        change: job,
        times: |start, end| (runs(start, ((end - start) / PERIOD_SECONDS) as usize), None),
    },
];

fn job(m: &mut Measures, t: &Typical, _: f64) {
    m.cpu_cores = m.cpu_cores.map(|cpu| (cpu + JOB * t.cpu_limit).min(t.cpu_limit));
}

/// One rise and fall after the other.
fn waves(start: f64, end: f64) -> Vec<Range<f64>> {
    let begin = |i: usize| start + SLOW_SECONDS * i as f64;
    (0..((end - start) / SLOW_SECONDS).ceil() as usize).map(|i| begin(i)..begin(i + 1)).collect()
}

fn runs(start: f64, count: usize) -> Vec<Range<f64>> {
    let begin = |i: usize| start + PERIOD_SECONDS * i as f64;
    (0..count).map(|i| begin(i)..begin(i) + RUN_SECONDS).collect()
}

/// Runs that end, and one that does not: a fault from when it should have.
fn stuck(start: f64, _: f64) -> Times {
    let last = start + PERIOD_SECONDS * RUNS as f64;
    let mut times = runs(start, RUNS);
    times.push(last..last + STUCK_SECONDS);
    (times, Some(last + RUN_SECONDS..last + STUCK_SECONDS))
}

/// The calm time of a day with a fault in each pod that one of them matters in; there is no calm time in it.
pub(crate) fn slow_faults(day: &Day, seed: u64) -> Day {
    let (ticks, faults) = disturb(day, &FAULTS, seed);
    Day { ticks, faults, calm: Vec::new(), unlabelled: Vec::new(), pods: day.pods.clone(), ..*day }
}

/// The calm time of a day with what looks odd and is none of a fault, in as many pods as it matters in: it is calm from the
/// fourth hour on, when a job has come back three times.
pub(crate) fn no_faults(day: &Day, seed: u64) -> Day {
    let (ticks, faults) = disturb(day, &NO_FAULTS, seed);
    let span = span(day);
    let calm = vec![span.start + 4.0 * HOUR..span.end];
    Day { ticks, faults, calm, unlabelled: Vec::new(), pods: day.pods.clone(), ..*day }
}

fn disturb(day: &Day, patterns: &[Pattern], seed: u64) -> (Vec<Tick>, Vec<Fault>) {
    let mut draw = Draw::new(seed);
    let span = span(day);
    let mut ticks: Vec<_> = day.ticks.iter().filter(|tick| span.contains(&tick.at)).cloned().collect();
    let (mut faults, mut next) = (Vec::new(), draw.integer(0, patterns.len()));
    for pod in &day.pods {
        let typical = typical(&ticks, pod);
        let mut order = (0..patterns.len()).map(|i| &patterns[(next + i) % patterns.len()]);
        let Some(pattern) = order.find(|pattern| (pattern.matters)(&typical)) else { continue };
        next += 1;
        // Watched for an hour at least, and with time for the longest.
        let start = draw.uniform(span.start + HOUR, span.start + 2.0 * HOUR);
        let (times, fault) = (pattern.times)(start, span.end);
        for time in times {
            put(&mut ticks, pod, pattern.change, &typical, &time);
        }
        let named = |time: Range<f64>| Fault {
            start: time.start,
            end: time.end,
            pod: pod.clone(),
            kind: pattern.name.to_owned(),
        };
        faults.extend(fault.map(named));
    }
    (ticks, faults)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::synthetic::tests::day;

    #[test]
    fn a_leak_is_slow_and_a_stuck_job_is_a_fault_from_when_it_should_have_ended() {
        let faulty = slow_faults(&day(480), 1);
        let value = |pod: &str, at: f64, of: fn(&Measures) -> Option<f64>| {
            let tick = faulty.ticks.iter().find(|tick| tick.at >= at).unwrap();
            of(&tick.samples.iter().find(|sample| sample.facts.name == pod).unwrap().measures).unwrap()
        };
        let leak = faulty.faults.iter().find(|fault| fault.kind == "slow leak").unwrap();
        let memory = |at| value(&leak.pod, at, |m| m.memory_bytes);
        assert!((memory(leak.end - 60.0) - 6.5e7).abs() < 1e6 && memory(leak.start + 60.0) < 2.1e7);
        let stuck = faulty.faults.iter().find(|fault| fault.kind == "job that runs on").unwrap();
        let busy = |at| value(&stuck.pod, at, |m| m.cpu_cores) > 0.4;
        assert!(busy(stuck.end - 120.0) && busy(stuck.start + 60.0) && !busy(stuck.start - RUN_SECONDS - 120.0));
        assert!(busy(stuck.start - PERIOD_SECONDS - 100.0), "an earlier run, which is no fault");
        assert!(faulty.calm.is_empty());
    }

    #[test]
    fn what_is_no_fault_has_no_label_and_goes_on_until_the_end() {
        let calm = no_faults(&day(480), 1);
        assert!(calm.faults.is_empty() && (calm.calm[0].end - calm.calm[0].start) > 3.9 * HOUR);
        let late = calm.ticks.iter().filter(|tick| tick.at > 5.0 * HOUR).flat_map(|tick| &tick.samples);
        let odd = late.filter(|sample| sample.measures != day(1).ticks[0].samples[0].measures).count();
        assert!(odd > 500, "{odd}");
    }
}
