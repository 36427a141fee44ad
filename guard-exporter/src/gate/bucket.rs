//! Some at once, and then one in a while: how often something may be done that anybody can ask for.

use std::time::{Duration, Instant};

/// A bucket that is full at first, and into which one falls in each `every`.
#[derive(Debug)]
pub(super) struct Bucket {
    size: f64,
    left: f64,
    every: Duration,
    seen: Instant,
}

impl Bucket {
    pub(super) fn new(size: u32, every: Duration, now: Instant) -> Self {
        Self { size: f64::from(size), left: f64::from(size), every, seen: now }
    }

    /// Nothing is missing in it.
    pub(super) fn is_full(&mut self, now: Instant) -> bool {
        self.fill(now);
        self.left >= self.size
    }

    fn fill(&mut self, now: Instant) {
        let fallen = now.saturating_duration_since(self.seen).as_secs_f64() / self.every.as_secs_f64();
        self.left = (self.left + fallen).min(self.size);
        self.seen = self.seen.max(now);
    }

    /// Takes one, if one is left.
    pub(super) fn take(&mut self, now: Instant) -> bool {
        self.fill(now);
        let is_left = self.left >= 1.0;
        if is_left {
            self.left -= 1.0;
        }
        is_left
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_many_as_it_holds_may_be_taken_at_once_and_then_one_in_a_while() {
        let (now, every) = (Instant::now(), Duration::from_secs(2));
        let mut bucket = Bucket::new(3, every, now);
        let taken = |bucket: &mut Bucket, now| (0..10).filter(|_| bucket.take(now)).count();
        assert_eq!(taken(&mut bucket, now), 3);
        assert_eq!(taken(&mut bucket, now + Duration::from_secs(1)), 0);
        assert_eq!(taken(&mut bucket, now + every), 1);
        assert_eq!(taken(&mut bucket, now), 0, "time that runs backwards fills nothing");
        assert_eq!(taken(&mut bucket, now + 100 * every), 3);
    }
}
