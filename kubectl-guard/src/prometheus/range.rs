//! A stretch of time with a step, and the pages in which it is asked for. Pure.

/// Prometheus refuses more than 11,000 points of a series in one answer.
const MOST_POINTS: i64 = 10_000;

/// From `start` to `end`, both included, in seconds of Unix time, one value each `step` seconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Range {
    /// The first moment.
    pub start: i64,
    /// The last moment at most.
    pub end: i64,
    /// Seconds between two values; at least 1.
    pub step: i64,
}

impl Range {
    /// The `points` values up to `end`.
    pub fn last(points: u32, step: i64, end: i64) -> Self {
        let step = step.max(1);
        Self { start: end.saturating_sub(step.saturating_mul(i64::from(points.saturating_sub(1)))), end, step }
    }

    /// The range in pages that Prometheus answers, the oldest first. Each starts one step after the one before it ends.
    pub fn pages(self) -> impl Iterator<Item = Range> {
        let step = self.step.max(1);
        let whole = step.saturating_mul(MOST_POINTS - 1);
        let mut next = (self.start <= self.end).then_some(self.start);
        std::iter::from_fn(move || {
            let start = next?;
            let end = start.saturating_add(whole).min(self.end);
            next = end.checked_add(step).filter(|start| *start <= self.end && end < self.end);
            Some(Range { start, end, step })
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn moments(range: Range) -> impl Iterator<Item = i64> {
        (range.start..=range.end).step_by(usize::try_from(range.step).unwrap())
    }

    #[test]
    fn a_short_range_is_one_page() {
        let range = Range::last(40, 15, 1_000);
        assert_eq!(range, Range { start: 415, end: 1_000, step: 15 });
        assert_eq!(range.pages().collect::<Vec<_>>(), [range]);
        assert_eq!(moments(range).count(), 40);
    }

    #[test]
    fn the_wrong_way_round_is_nothing() {
        assert_eq!(Range { start: 2, end: 1, step: 1 }.pages().count(), 0);
        assert_eq!(Range { start: 1, end: 2, step: 0 }.pages().count(), 1);
    }

    proptest! {
        #[test]
        fn the_pages_hold_each_moment_once_and_never_too_many(
            start in -100_000i64..100_000, length in 0i64..200_000, step in 1i64..40
        ) {
            let range = Range { start, end: start + length, step };
            let pages: Vec<Range> = range.pages().collect();
            prop_assert!(pages.iter().all(|page| moments(*page).count() as i64 <= MOST_POINTS));
            let paged: Vec<i64> = pages.into_iter().flat_map(moments).collect();
            prop_assert_eq!(paged, moments(range).collect::<Vec<_>>());
        }
    }
}
