//! Random draws from one seed: the same numbers on every machine and with every version of every crate.

/// `SplitMix64`, whose stream its few lines define.
#[derive(Clone, Debug)]
pub struct Draw(u64);

impl Draw {
    /// The stream of this seed.
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// Uniform in [0, 1).
    pub fn unit(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1u64 << 53) as f64
    }

    /// Uniform in [low, high).
    pub fn uniform(&mut self, low: f64, high: f64) -> f64 {
        low + (high - low) * self.unit()
    }

    /// Uniform in the logarithm.
    pub fn log_uniform(&mut self, low: f64, high: f64) -> f64 {
        self.uniform(low.ln(), high.ln()).exp()
    }

    /// True this often.
    pub fn chance(&mut self, probability: f64) -> bool {
        self.unit() < probability
    }

    /// Integer in low..high; low if the range is empty.
    pub fn integer(&mut self, low: usize, high: usize) -> usize {
        low + (self.unit() * high.saturating_sub(low) as f64) as usize
    }

    /// Normal, by Box and Muller.
    pub fn normal(&mut self, mean: f64, deviation: f64) -> f64 {
        let radius = (-2.0 * (1.0 - self.unit()).ln()).sqrt();
        mean + deviation * radius * (std::f64::consts::TAU * self.unit()).cos()
    }

    /// Exponential with this mean.
    pub fn exponential(&mut self, mean: f64) -> f64 {
        -mean * (1.0 - self.unit()).ln()
    }

    /// One of the values, each as likely; there must be one.
    pub fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.integer(0, from.len())]
    }

    /// One of the values, each as likely as its weight among all weights.
    pub fn weighted<T: Copy>(&mut self, from: &[(T, f64)]) -> T {
        let mut left = self.unit() * from.iter().map(|(_, weight)| weight).sum::<f64>();
        for &(value, weight) in from {
            left -= weight;
            if left < 0.0 {
                return value;
            }
        }
        from[from.len() - 1].0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_stream_is_that_of_the_published_generator() {
        let mut draw = Draw::new(1_234_567);
        assert_eq!(draw.next(), 6_457_827_717_110_365_317);
        assert_eq!(draw.next(), 3_203_168_211_198_807_973);
    }

    #[test]
    fn draws_stay_in_their_ranges_and_weights_count() {
        let mut draw = Draw::new(7);
        let picked = (0..10_000).filter(|_| draw.weighted(&[(true, 3.0), (false, 1.0)])).count();
        assert!((7_300..7_700).contains(&picked), "{picked}");
        for _ in 0..1000 {
            assert!((2..5).contains(&draw.integer(2, 5)));
            assert!((0.1..=10.0).contains(&draw.log_uniform(0.1, 10.0)));
        }
    }
}
