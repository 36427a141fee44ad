//! How far one reading is believed before the next has confirmed it.

/// How soon suspicion in the reading before confirms this one. Chosen on the folds of `models/evaluate`, where 5 and 8
/// do as well.
const READINESS: i32 = 6;

/// The learnt probability `now` as far as it is believed, after a reading that had `before`, both 0 to 1.
///
/// CPU is believed at once, by its share (0 to 1) in the surprise: a pod that is throttled is late already. Traffic and memory
/// jump for a moment in any healthy pod - a fetch, a cache that fills, a minute without requests -, so what they say counts in full
/// only if the reading before was suspicious as well: `1 - (1 - before)^6`, 0.26 after 0.05, 0.88 after 0.3.
pub(crate) fn confirmed(now: f64, before: f64, cpu_share: f64) -> f64 {
    let doubt = (1.0 - cpu_share).clamp(0.0, 1.0) * (1.0 - before.clamp(0.0, 1.0)).powi(READINESS);
    now * (1.0 - doubt)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn one_reading_of_traffic_is_no_incident_and_two_are() {
        assert!(confirmed(0.99, 0.05, 0.0) < 0.3);
        assert!(confirmed(0.99, 0.9, 0.0) > 0.98);
    }

    #[test]
    fn cpu_is_believed_at_once() {
        assert!((confirmed(0.9, 0.0, 1.0) - 0.9).abs() < 1e-12);
    }

    proptest! {
        #[test]
        fn it_is_a_probability_that_never_exceeds_the_learnt_one(
            now in 0.0..=1.0_f64, before in 0.0..=1.0_f64, share in 0.0..=1.0_f64,
        ) {
            let believed = confirmed(now, before, share);
            prop_assert!((0.0..=now).contains(&believed));
        }
    }
}
