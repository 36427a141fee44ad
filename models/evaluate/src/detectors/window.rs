//! The last hours of one series.

use std::collections::VecDeque;

use super::WINDOW_SECONDS;

/// Samples of the last so many seconds, in the order of their coming and in that of their value.
pub(super) struct Window {
    seconds: f64,
    samples: VecDeque<(f64, f64)>,
    sorted: Vec<f64>,
}

impl Window {
    pub(super) fn of(seconds: f64) -> Window {
        Window { seconds, samples: VecDeque::new(), sorted: Vec::new() }
    }

    /// Drops what is too old at this time (Unix seconds).
    pub(super) fn forget(&mut self, at: f64) {
        while let Some(&(_, value)) = self.samples.front().filter(|(then, _)| at - then > self.seconds) {
            self.samples.pop_front();
            self.sorted.remove(self.place(value));
        }
    }

    /// Takes a value, which must be a number.
    pub(super) fn push(&mut self, at: f64, value: f64) {
        self.forget(at);
        self.sorted.insert(self.place(value), value);
        self.samples.push_back((at, value));
    }

    fn place(&self, value: f64) -> usize {
        self.sorted.partition_point(|other| other.total_cmp(&value).is_lt())
    }

    pub(super) fn len(&self) -> usize {
        self.sorted.len()
    }

    /// In the order of their value.
    pub(super) fn sorted(&self) -> &[f64] {
        &self.sorted
    }

    /// Middle of the values; NaN if there is none.
    pub(super) fn median(&self) -> f64 {
        let n = self.sorted.len();
        if n == 0 { f64::NAN } else { f64::midpoint(self.sorted[(n - 1) / 2], self.sorted[n / 2]) }
    }

    /// Mean and standard deviation (of the values themselves, as PromQL has it); NaN if there is none.
    pub(super) fn mean_and_deviation(&self) -> (f64, f64) {
        let n = self.sorted.len() as f64;
        let mean = self.sorted.iter().sum::<f64>() / n;
        let variance = self.sorted.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / n;
        (mean, variance.sqrt())
    }
}

/// Drops what is older than the detectors' window.
pub(super) fn forget<T>(samples: &mut VecDeque<(f64, T)>, at: f64) {
    while samples.front().is_some_and(|(then, _)| at - then > WINDOW_SECONDS) {
        samples.pop_front();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_window_knows_its_middle_and_spread_and_forgets() {
        let mut window = Window::of(100.0);
        assert!(window.median().is_nan() && window.mean_and_deviation().0.is_nan());
        for (at, value) in [(0.0, 9.0), (40.0, 1.0), (60.0, 5.0), (80.0, 3.0)] {
            window.push(at, value);
        }
        assert_eq!((window.len(), window.median()), (4, 4.0));
        window.forget(101.0);
        assert_eq!(window.sorted(), [1.0, 3.0, 5.0]);
        let (mean, deviation) = window.mean_and_deviation();
        assert!((mean - 3.0).abs() < 1e-12 && (deviation - (8.0_f64 / 3.0).sqrt()).abs() < 1e-12);
    }
}
