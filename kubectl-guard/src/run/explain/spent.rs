//! What was spent within the last hour. Pure.

use std::collections::VecDeque;
use std::time::Duration;

use tokio::time::Instant;

const HOUR: Duration = Duration::from_hours(1);

/// Tokens, and when they were spent.
#[derive(Debug, Default)]
pub(super) struct Spent(VecDeque<(Instant, u64)>);

impl Spent {
    /// Adds what was spent.
    pub(super) fn add(&mut self, tokens: u64, now: Instant) {
        self.0.push_back((now, tokens));
    }

    /// So much more within this hour is not more than `most`.
    pub(super) fn allows(&mut self, more: u64, most: u64, now: Instant) -> bool {
        while self.0.front().is_some_and(|(at, _)| now.duration_since(*at) >= HOUR) {
            self.0.pop_front();
        }
        let spent = self.0.iter().fold(more, |sum, (_, tokens)| sum.saturating_add(*tokens));
        spent <= most
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn no_hour_has_more_than_it_may(asks in proptest::collection::vec((0..1_200u64, 0..500u64), 0..60), most in 0..2_000u64) {
            let begin = Instant::now();
            let (mut spent, mut now, mut paid) = (Spent::default(), begin, Vec::<(Instant, u64)>::new());
            for (pause, tokens) in asks {
                now += Duration::from_secs(pause);
                if spent.allows(tokens, most, now) {
                    spent.add(tokens, now);
                    paid.push((now, tokens));
                }
                let within = paid.iter().filter(|(at, _)| now.duration_since(*at) < HOUR);
                prop_assert!(within.map(|(_, tokens)| tokens).sum::<u64>() <= most);
            }
        }
    }

    #[test]
    fn an_hour_later_there_is_as_much_again() {
        let begin = Instant::now();
        let mut spent = Spent::default();
        assert!(spent.allows(100, 100, begin));
        spent.add(100, begin);
        assert!(!spent.allows(1, 100, begin + HOUR - Duration::from_secs(1)));
        assert!(spent.allows(100, 100, begin + HOUR));
    }
}
