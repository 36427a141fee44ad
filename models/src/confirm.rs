//! How far one reading is believed before the next has confirmed it.

use crate::saturation::known;

/// How soon suspicion in the reading before confirms this one. Chosen on the folds of `models/evaluate`, where 5 and 8
/// do as well.
const READINESS: i32 = 6;

/// A pod's memory fills until about this age, in seconds.
const GROWN_UP: f64 = 600.0;

/// What speaks for doubt in a reading.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Doubt {
    /// The learnt probability of the reading before, 0 to 1.
    pub(crate) before: f64,
    /// Share of CPU in the surprise, 0 to 1.
    pub(crate) cpu_share: f64,
    /// Share of memory in it.
    pub(crate) memory_share: f64,
    /// Age of the pod, in seconds.
    pub(crate) age: f64,
}

impl Doubt {
    /// Of what is neither CPU nor memory, after a reading that had this probability.
    pub(crate) fn after(before: f64) -> Self {
        Self { before, cpu_share: 0.0, memory_share: 0.0, age: f64::INFINITY }
    }
}

/// The learnt probability `now`, 0 to 1, as far as it is believed.
///
/// CPU is believed at once, by its share in the surprise: a pod that is throttled is late already. Traffic and memory
/// jump for a moment in any healthy pod - a fetch, a cache that fills, a minute without requests -, so what they say counts in full
/// only if the reading before was suspicious as well: `1 - (1 - before)^6`, 0.26 after 0.05, 0.88 after 0.3. Memory grows
/// in any young pod; what it says counts by the pod's age, in full after ten minutes. A limit that comes near is a rule's matter.
pub(crate) fn confirmed(now: f64, doubt: Doubt) -> f64 {
    let Doubt { before, cpu_share, memory_share, age } = doubt;
    let [now, before, cpu_share, memory_share] = [now, before, cpu_share, memory_share].map(known);
    let unconfirmed = (1.0 - cpu_share).clamp(0.0, 1.0) * (1.0 - before.clamp(0.0, 1.0)).powi(READINESS);
    let growing = memory_share.clamp(0.0, 1.0) * (1.0 - age / GROWN_UP).clamp(0.0, 1.0);
    now * (1.0 - unconfirmed) * (1.0 - growing)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn one_reading_of_traffic_is_no_incident_and_two_are() {
        assert!(confirmed(0.99, Doubt::after(0.05)) < 0.3);
        assert!(confirmed(0.99, Doubt::after(0.9)) > 0.98);
    }

    #[test]
    fn cpu_is_believed_at_once() {
        assert!((confirmed(0.9, Doubt { cpu_share: 1.0, ..Doubt::after(0.0) }) - 0.9).abs() < 1e-12);
    }

    #[test]
    fn memory_of_a_young_pod_may_grow() {
        let memory = |age| confirmed(0.9, Doubt { memory_share: 0.9, age, ..Doubt::after(0.9) });
        assert!(memory(180.0) < 0.4 && memory(300.0) < 0.6 && memory(600.0) > 0.89);
    }

    #[test]
    fn what_is_no_number_confirms_nothing_and_hides_nothing() {
        let nan = Doubt { before: 0.9, cpu_share: f64::NAN, memory_share: f64::NAN, age: 60.0 };
        assert!(confirmed(0.9, nan) > 0.89);
        assert!(confirmed(f64::NAN, Doubt::after(0.9)) <= 0.0);
    }

    proptest! {
        #[test]
        fn it_is_a_probability_that_never_exceeds_the_learnt_one(
            now in 0.0..=1.0_f64, before in 0.0..=1.0_f64, cpu_share in 0.0..=1.0_f64, memory_share in 0.0..=1.0_f64,
            age in -10.0..1e4_f64,
        ) {
            let believed = confirmed(now, Doubt { before, cpu_share, memory_share, age });
            prop_assert!((0.0..=now).contains(&believed));
        }
    }
}
