//! Whether the product names what was done to a pod: the place of the injected feature among its reasons, when it is surest.

use guard_model::cause::Cause;
use serde::{Deserialize, Serialize};

use crate::day::{Day, Fault};
use crate::scores::{PodCauses, PodScores};

/// One fault with what was said of it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Named {
    pub(crate) kind: String,
    pub(crate) pod: String,
    /// Place of the injected feature among the reasons, from 1; none if it is not among them.
    pub(crate) place: Option<usize>,
}

/// What a fault of this kind changes; nothing if that is none of the features.
fn features(kind: &str) -> &'static [Cause] {
    match kind {
        "cpu_contention" | "cpu_consumed" | "cpu to its limit" | "cpu up by 40 % of its limit" => {
            &[Cause::Cpu, Cause::CpuAtLimit]
        }
        "memory leak" | "memory up by 40 % of its limit" => &[Cause::Memory, Cause::MemoryNearLimit],
        "traffic times 5" | "silence" => &[Cause::Receive, Cause::Transmit],
        "egress times 10" => &[Cause::Transmit],
        _ => &[],
    }
}

/// None if the fault changes no feature. The sample that speaks is that of the highest score in the fault's window.
pub(crate) fn named(day: &Day, fault: &Fault, scores: &[PodScores], causes: &[PodCauses]) -> Option<Named> {
    let features = features(&fault.kind);
    let pod = day.pods.iter().position(|pod| *pod == fault.pod).filter(|_| !features.is_empty())?;
    let within = scores[pod].iter().zip(&causes[pod]).filter(|((at, _), _)| fault.window(day.interval, *at));
    let surest = within.max_by(|a, b| a.0.1.total_cmp(&b.0.1)).map(|(_, causes)| causes);
    let place = surest.and_then(|causes| causes.iter().position(|cause| features.contains(cause)));
    Some(Named { kind: fault.kind.clone(), pod: fault.pod.clone(), place: place.map(|place| place + 1) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_surest_sample_of_the_window_speaks() {
        let day = Day::made(&["a", "b"]);
        let fault = |kind: &str| Fault { start: 50.0, end: 130.0, pod: "b".to_owned(), kind: kind.to_owned() };
        let scores = [vec![(60.0, 1.0)], vec![(0.0, 1.0), (60.0, 0.4), (120.0, 0.9), (300.0, 1.0)]];
        let causes = [
            vec![vec![Cause::Memory]],
            vec![vec![], vec![Cause::Memory], vec![Cause::Receive, Cause::CpuAtLimit], vec![Cause::Memory]],
        ];
        let place = |kind| named(&day, &fault(kind), &scores, &causes).map(|named| named.place);
        assert_eq!(place("cpu_contention"), Some(Some(2)));
        assert_eq!(place("memory leak"), Some(None));
        assert_eq!(place("exception"), None, "it changes none of the features");
    }
}
