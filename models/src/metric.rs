//! A metric of the user's own: any number of a pod that a table has in a further column. It is scored against its own past.
//!
//! Nothing is known of its unit, so it is looked at as `asinh(value / unit)`: like a logarithm for values beyond the unit,
//! straight around 0, and for either sign. The unit is a tenth of the smallest of its first values that is not 0.

use serde::{Deserialize, Serialize};

use crate::confirm::{Doubt, confirmed};
use crate::features::{self, LEARNING, Rates, Running};
use crate::robust;

/// Scale of a metric before anything is known of it: a quarter of its value, as with CPU.
const PRIOR_SCALE: f64 = 0.25;
const SCALE_FLOOR: f64 = 0.05;
/// So many values are waited for before anything is learnt.
const FIRST: usize = 5;
/// Beyond it `sinh` is no finite number.
const LARGEST: f64 = 700.0;
/// A value holds for so long where the next is not reported, in seconds: not every row of a table need have it.
const HELD_SECONDS: f64 = 180.0;
/// The unit is this share of the smallest value.
const UNIT_SHARE: f64 = 0.1;

/// What has been learnt of one metric of one pod.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Metric {
    running: Running,
    /// `None` until a value other than 0 was seen.
    unit: Option<f64>,
    /// The first values.
    first: Vec<f64>,
    /// Seconds watched.
    age: f64,
    last: Option<f64>,
    /// The last value; `None` if it is not reported any more.
    pub(crate) value: Option<f64>,
    /// What nine of ten readings show, before this one.
    pub(crate) expected: Option<(f64, f64)>,
    probability: f64,
    before: f64,
}

impl Default for Metric {
    fn default() -> Self {
        let running = Running::new(PRIOR_SCALE);
        Self {
            running,
            unit: None,
            first: Vec::new(),
            age: 0.0,
            last: None,
            value: None,
            expected: None,
            probability: 0.0,
            before: 0.0,
        }
    }
}

impl Metric {
    /// Takes the value measured at `at` (seconds of Unix time); what is no finite number changes nothing.
    pub(crate) fn step(&mut self, at: f64, value: f64) {
        if !value.is_finite() {
            return;
        }
        let interval = features::interval(self.last.map(|last| at - last));
        self.last = Some(at);
        self.value = Some(value);
        self.before = self.probability;
        self.probability = 0.0;
        if self.first.len() < FIRST {
            self.first.push(value);
            if self.first.len() == FIRST {
                self.begin(interval);
            }
            return;
        }
        if self.unit.is_none() {
            self.unit = unit(&[value]);
        }
        let range = self.running.range().map(|(low, high)| (self.raw(low), self.raw(high)));
        self.expected = range.filter(|(low, high)| low.is_finite() && high.is_finite());
        let residual = self.running.residual(self.scaled(value));
        self.running.learn(residual, &Rates::after(interval, self.age), SCALE_FLOOR);
        self.age += interval;
        self.probability = robust::probability(residual);
    }

    /// Takes that there was no value at `at` (seconds of Unix time): what the last one said is over when it is no longer held.
    pub(crate) fn miss(&mut self, at: f64) {
        if self.last.is_none_or(|last| at - last > HELD_SECONDS) {
            (self.value, self.probability, self.before) = (None, 0.0, 0.0);
        }
    }

    /// The middle of the first few values is where it starts from: any one of them may be far off.
    fn begin(&mut self, interval: f64) {
        self.unit = unit(&self.first);
        let mut sorted = self.first.clone();
        sorted.sort_by(f64::total_cmp);
        let middle = self.scaled(sorted[FIRST / 2]);
        let residual = self.running.residual(middle);
        self.running.learn(residual, &Rates::after(interval, 0.0), SCALE_FLOOR);
        self.age = interval * FIRST as f64;
    }

    /// The probability, 0 to 1, that this value is wrong, as far as one reading is believed; `None` while it is learnt, or
    /// not reported.
    pub(crate) fn suspicion(&self) -> Option<f64> {
        self.value?;
        // The first few count as one.
        let seen = self.running.samples() + (FIRST - 1) as f64;
        (seen > f64::from(LEARNING)).then(|| confirmed(self.probability, Doubt::after(self.before)))
    }

    /// What a new pod of the same workload starts from.
    pub(crate) fn inherited(&self) -> Metric {
        Metric { last: None, value: None, probability: 0.0, before: 0.0, ..self.clone() }
    }

    fn scaled(&self, value: f64) -> f64 {
        self.unit.map_or(0.0, |unit| (value / unit).asinh().clamp(-LARGEST, LARGEST))
    }

    fn raw(&self, scaled: f64) -> f64 {
        self.unit.map_or(0.0, |unit| unit * scaled.sinh())
    }
}

/// The unit of these values; `None` if all of them are 0.
fn unit(values: &[f64]) -> Option<f64> {
    let sizes = values.iter().map(|value| value.abs() * UNIT_SHARE).filter(|unit| *unit >= f64::MIN_POSITIVE);
    sizes.reduce(f64::min)
}

/// A number of unknown unit, to three digits: `0.0123`, `7`, `12.5`, `48,300`.
pub(crate) fn number(value: f64) -> String {
    let size = value.abs();
    if size >= 1e15 || (size > 0.0 && size < 1e-4) {
        return format!("{value:.2e}");
    }
    let digits = if size > 0.0 { (2 - size.log10().floor() as i32).max(0) as usize } else { 0 };
    let text = format!("{value:.digits$}");
    if digits == 0 { grouped(&text) } else { text.trim_end_matches('0').trim_end_matches('.').to_owned() }
}

/// Thousands apart from four digits on, as people write large numbers.
fn grouped(text: &str) -> String {
    let (sign, digits) = text.strip_prefix('-').map_or(("", text), |digits| ("-", digits));
    let places = digits.len();
    let mut out = sign.to_owned();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (places - place).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// A metric in words: `queue_length 240, expected 3 to 12`.
pub(crate) fn text(name: &str, metric: &Metric) -> String {
    let seen = number(metric.value.unwrap_or(0.0));
    match metric.expected {
        Some((low, high)) => format!("{name} {seen}, expected {} to {}", number(low), number(high)),
        None => format!("{name} {seen}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// An hour of `usual`, with a little life, then what follows.
    fn fed(usual: f64, then: &[f64]) -> Metric {
        let mut metric = Metric::default();
        let calm = (0..120).map(|i| usual * (1.0 + 0.1 * f64::from(i * 7 % 5 - 2)));
        for (i, value) in calm.chain(then.iter().copied()).enumerate() {
            metric.step(30.0 * i as f64, value);
        }
        metric
    }

    #[test]
    fn a_lasting_jump_is_found_in_any_unit_and_either_direction() {
        for unit in [1e-6, 0.02, 1.0, 5e9] {
            for usual in [unit, -unit] {
                let calm = fed(usual, &[]).suspicion().unwrap();
                let high = fed(usual, &[8.0 * usual; 2]).suspicion().unwrap();
                let low = fed(usual, &[usual / 8.0; 2]).suspicion().unwrap();
                assert!(calm < 0.1 && high > 0.9 && low > 0.9, "{usual}: {calm} {high} {low}");
            }
        }
    }

    #[test]
    fn one_odd_reading_is_not_enough() {
        assert!(fed(10.0, &[80.0]).suspicion().unwrap() < 0.3);
    }

    #[test]
    fn what_was_always_zero_and_stays_otherwise_is_news() {
        assert!(fed(0.0, &[0.0, 0.0]).suspicion().unwrap() < 0.01);
        assert!(fed(0.0, &[3.0, 4.0]).suspicion().unwrap() > 0.7);
    }

    #[test]
    fn a_first_value_that_is_far_off_spoils_nothing() {
        let mut metric = Metric::default();
        metric.step(0.0, 1e9);
        (1..400).for_each(|i| metric.step(30.0 * f64::from(i), 10.0 + f64::from(i % 3)));
        let (low, high) = metric.expected.unwrap();
        assert!(low > 1.0 && high < 40.0, "{low} {high}");
        (0..2).for_each(|i| metric.step(12_000.0 + 30.0 * f64::from(i), 500.0));
        assert!(metric.suspicion().unwrap() > 0.7);
    }

    #[test]
    fn it_says_nothing_while_it_is_learnt() {
        let mut metric = Metric::default();
        (0..20).for_each(|i| metric.step(30.0 * f64::from(i), 10.0));
        assert_eq!(metric.suspicion(), None);
    }

    #[test]
    fn what_is_no_longer_reported_is_held_for_a_while_and_then_over() {
        let mut metric = fed(10.0, &[80.0; 2]);
        let last = 30.0 * 121.0;
        metric.miss(last + 180.0);
        assert!(metric.suspicion().unwrap() > 0.9);
        metric.miss(last + 210.0);
        assert_eq!((metric.value, metric.suspicion()), (None, None));
        metric.step(last + 240.0, 80.0);
        assert!(metric.suspicion().unwrap() < 0.3, "it has to be confirmed anew");
    }

    #[test]
    fn words_give_seen_and_expected() {
        let metric = Metric { value: Some(240.0), expected: Some((3.04, 12.5)), ..Metric::default() };
        assert_eq!(text("queue_length", &metric), "queue_length 240, expected 3.04 to 12.5");
        let numbers = [0.0, 0.012_34, -7.0, 48_300.2, 1e-9, 2.5e17].map(number);
        assert_eq!(numbers, ["0", "0.0123", "-7", "48,300", "1.00e-9", "2.50e17"]);
    }

    proptest! {
        #[test]
        fn suspicion_is_a_probability_whatever_is_measured(
            values in prop::collection::vec((any::<f64>(), any::<f64>()), 1..80),
        ) {
            let mut metric = Metric::default();
            for (at, value) in values {
                metric.step(at, value);
                prop_assert!(metric.suspicion().is_none_or(|p| (0.0..=1.0).contains(&p)), "{metric:?}");
                prop_assert!(metric.expected.is_none_or(|(low, high)| low <= high), "{metric:?}");
            }
        }
    }
}
