//! Netdata's anomaly detection (<https://learn.netdata.cloud/docs/ai-and-machine-learning/ml-configuration>): two centres of the
//! vectors that a series makes once it is differenced, smoothed and lagged, and many models that must agree.
//!
//! Netdata reads each second and trains each three hours on the last six; here is a sample a minute and a fault within the first
//! minutes, so a model is trained each twenty minutes, on as much as there is of the last six hours.

use std::collections::VecDeque;

use guard_model::features::{SIGNALS, Signals};

use super::window::forget;
use super::{Detector, LEAST_SAMPLES, REFIT_SECONDS};

/// Differences that are averaged, averages that make a vector with the newest, and models that must agree.
const SMOOTHED: usize = 3;
const LAGS: usize = 5;
const MODELS: usize = 18;
/// Lloyd's rounds, should the assignments not settle before.
const ROUNDS: usize = 1000;

type Vector = [f64; LAGS + 1];

/// The largest score of a signal.
#[derive(Default)]
pub(super) struct KMeans([Dimension; SIGNALS]);

impl Detector for KMeans {
    fn score(&mut self, at: f64, signals: &Signals) -> f64 {
        let known = self.0.iter_mut().zip(signals.values).filter(|(_, value)| value.is_finite());
        known.map(|(dimension, value)| dimension.score(at, value)).fold(0.0, f64::max)
    }
}

/// One series with its models.
#[derive(Default)]
struct Dimension {
    last: Option<f64>,
    differences: VecDeque<f64>,
    vectors: VecDeque<(f64, Vector)>,
    models: VecDeque<Model>,
    trained: Option<f64>,
}

impl Dimension {
    /// The lowest of the models' scores: all must find it odd.
    fn score(&mut self, at: f64, value: f64) -> f64 {
        let Some(vector) = self.vector(value) else { return 0.0 };
        if self.trained.is_none_or(|then| at - then >= REFIT_SECONDS) && self.vectors.len() >= LEAST_SAMPLES {
            self.trained = Some(at);
            self.models.extend(Model::of(self.vectors.make_contiguous()));
            if self.models.len() > MODELS {
                self.models.pop_front();
            }
        }
        self.vectors.push_back((at, vector));
        forget(&mut self.vectors, at);
        let scores = self.models.iter().map(|model| model.score(&vector));
        scores.reduce(f64::min).unwrap_or(0.0)
    }

    /// The newest smoothed differences; none until there are enough.
    fn vector(&mut self, value: f64) -> Option<Vector> {
        let difference = value - self.last.replace(value)?;
        self.differences.push_front(difference);
        self.differences.truncate(SMOOTHED + LAGS);
        let lags = self.differences.make_contiguous().windows(SMOOTHED);
        let smooth: Vec<f64> = lags.map(|three| three.iter().sum::<f64>() / SMOOTHED as f64).collect();
        smooth.try_into().ok()
    }
}

/// Two centres, and how far from them the vectors were that it was trained on.
struct Model {
    centres: [Vector; 2],
    nearest: f64,
    farthest: f64,
}

impl Model {
    /// None if the series stood still: there is no scale then.
    fn of(vectors: &[(f64, Vector)]) -> Option<Model> {
        let centres = two_means(vectors)?;
        let mut model = Model { centres, nearest: f64::INFINITY, farthest: 0.0 };
        for (_, vector) in vectors {
            let from = model.distance(vector);
            model.nearest = model.nearest.min(from);
            model.farthest = model.farthest.max(from);
        }
        (model.farthest > model.nearest).then_some(model)
    }

    /// Mean distance from the two centres.
    fn distance(&self, vector: &Vector) -> f64 {
        self.centres.iter().map(|centre| between(centre, vector)).sum::<f64>() / self.centres.len() as f64
    }

    /// 0 as near as the nearest in training, 1 as far as the farthest; Netdata calls 0.99 and more odd.
    fn score(&self, vector: &Vector) -> f64 {
        ((self.distance(vector) - self.nearest) / (self.farthest - self.nearest)).max(0.0)
    }
}

fn between(a: &Vector, b: &Vector) -> f64 {
    a.iter().zip(b).map(|(a, b)| (a - b).powi(2)).sum::<f64>().sqrt()
}

/// Lloyd's algorithm from the first vector and the one farthest from it.
fn two_means(vectors: &[(f64, Vector)]) -> Option<[Vector; 2]> {
    let first = vectors.first()?.1;
    let far = vectors.iter().max_by(|a, b| between(&a.1, &first).total_cmp(&between(&b.1, &first)))?.1;
    let mut centres = [first, far];
    for _ in 0..ROUNDS {
        let (mut sums, mut counts) = ([[0.0; LAGS + 1]; 2], [0.0; 2]);
        for (_, vector) in vectors {
            let own = usize::from(between(vector, &centres[1]) < between(vector, &centres[0]));
            counts[own] += 1.0;
            sums[own].iter_mut().zip(vector).for_each(|(sum, value)| *sum += value);
        }
        let mean = |i: usize| if counts[i] > 0.0 { sums[i].map(|sum| sum / counts[i]) } else { centres[i] };
        let next = [mean(0), mean(1)];
        if next == centres {
            break;
        }
        centres = next;
    }
    Some(centres)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_groups_have_their_two_means() {
        let vectors: Vec<(f64, Vector)> =
            [1.0, 2.0, 3.0, 11.0, 13.0].into_iter().map(|v| (0.0, [v, 0.0, 0.0, 0.0, 0.0, 0.0])).collect();
        let [low, high] = two_means(&vectors).unwrap().map(|centre| centre[0]);
        assert!((low - 2.0).abs() < 1e-12 && (high - 12.0).abs() < 1e-12, "{low} {high}");
    }

    #[test]
    fn a_vector_is_of_smoothed_differences_the_newest_first() {
        let mut dimension = Dimension::default();
        let vectors: Vec<Option<Vector>> = (0..9).map(|i| dimension.vector(f64::from(i * i))).collect();
        assert!(vectors[..8].iter().all(Option::is_none));
        // Differences 1, 3, .. 15; their means in threes.
        assert_eq!(vectors[8], Some([13.0, 11.0, 9.0, 7.0, 5.0, 3.0]));
    }

    #[test]
    fn one_model_that_knows_it_is_enough_to_keep_silent() {
        let saw = |peak: f64| {
            let vectors: Vec<(f64, Vector)> = (0..40)
                .map(|i| (0.0, [if i == 7 { peak } else { f64::from(i % 3) }, 0.0, 0.0, 0.0, 0.0, 0.0]))
                .collect();
            Model::of(&vectors).unwrap()
        };
        let odd = [50.0, 0.0, 0.0, 0.0, 0.0, 0.0];
        assert!(saw(2.0).score(&odd) > 10.0);
        let mut both = Dimension { models: [saw(2.0), saw(60.0)].into(), trained: Some(0.0), ..Dimension::default() };
        // A jump by 150 makes a smoothed difference of 50.
        for _ in 0..9 {
            both.score(0.0, 0.0);
        }
        assert!(both.score(0.0, 150.0) < 1.0);
    }

    #[test]
    fn a_series_that_stands_still_has_no_model() {
        assert!(Model::of(&[(0.0, [1.0; LAGS + 1]); 30]).is_none());
    }
}
