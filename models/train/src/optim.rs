//! AdamW, the norm of the gradient and the one-cycle learning rate.

use std::f64::consts::PI;

use crate::net::Net;

const BETAS: [f32; 2] = [0.9, 0.999];
const EPSILON: f32 = 1e-8;
const WEIGHT_DECAY: f32 = 1e-4;
const LONGEST_GRADIENT: f32 = 1.0;

pub(crate) struct AdamW {
    mean: Net,
    square: Net,
    steps: i32,
}

impl AdamW {
    pub(crate) fn new() -> Self {
        Self { mean: Net::zeros(), square: Net::zeros(), steps: 0 }
    }

    /// One step along the gradient, which is shortened first if it is too long.
    pub(crate) fn step(&mut self, net: &mut Net, grad: &Net, rate: f32) {
        self.steps += 1;
        let length = grad.0.iter().flatten().map(|g| f64::from(*g).powi(2)).sum::<f64>().sqrt() as f32;
        let shorten = (LONGEST_GRADIENT / length).min(1.0);
        let [unbias_mean, unbias_square] = BETAS.map(|beta| 1.0 - beta.powi(self.steps));
        for (i, grad) in grad.0.iter().enumerate() {
            let moments = self.mean.0[i].iter_mut().zip(&mut self.square.0[i]);
            for ((w, g), (mean, square)) in net.0[i].iter_mut().zip(grad).zip(moments) {
                let g = g * shorten;
                *mean += (1.0 - BETAS[0]) * (g - *mean);
                *square += (1.0 - BETAS[1]) * (g * g - *square);
                let towards = (*mean / unbias_mean) / ((*square / unbias_square).sqrt() + EPSILON);
                *w -= rate * (towards + WEIGHT_DECAY * *w);
            }
        }
    }
}

/// From a 25th of the peak up to it in the first tenth of all steps, then down to almost nothing, each along a cosine.
pub(crate) fn one_cycle(step: usize, steps: usize, peak: f64) -> f32 {
    const RISE: f64 = 0.1;
    let at = step as f64 / steps as f64;
    let along = |from: f64, to: f64, part: f64| to + (from - to) * (1.0 + (PI * part.clamp(0.0, 1.0)).cos()) / 2.0;
    let rate = if at < RISE {
        along(peak / 25.0, peak, at / RISE)
    } else {
        along(peak, peak / 2.5e5, (at - RISE) / (1.0 - RISE))
    };
    rate as f32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rate_rises_to_its_peak_and_falls_to_almost_nothing() {
        let rate = |step| one_cycle(step, 1000, 4e-3);
        assert!((rate(0) - 1.6e-4).abs() < 1e-8);
        assert!((rate(100) - 4e-3).abs() < 1e-8);
        assert!(rate(50) < rate(90) && rate(300) > rate(600) && rate(999) < 1e-7);
    }
}
