//! The rows of a table as ticks: samples of one time, to be scored together.
//!
//! Text takes about as long to read as a score to make, so a table is read on a thread of its own and scored on another one,
//! which gets some hundred rows at a time.

use std::io::Read;

use guard_model::rows::Rows;
use guard_model::sample::{self, PodFacts, PodSample};
use guard_model::table::{Reader, TableError};
use jiff::Timestamp;

/// A pod of a table that has had no row for this long, by the table's own clock, is forgotten.
pub(super) const FORGET_SECONDS: f64 = 86_400.0;
/// Looked for that often, in ticks.
const FORGET_EVERY: u64 = 512;
/// Rows of one time that are scored together at most; real ticks are far smaller.
const TICK_ROWS: usize = 4096;
/// Rows that are handed on together at least, so that handing on costs little; a table may have one pod.
const HANDED_ROWS: usize = 512;

/// Rows of one time.
#[derive(Debug, Default)]
pub(super) struct Tick {
    /// That time.
    pub(super) at: Timestamp,
    /// Of the rows that are newer than the one before of their pod.
    pub(super) samples: Vec<PodSample>,
    /// The pods of the other rows, each with how many samples stand before it.
    pub(super) skipped: Vec<(usize, Box<PodFacts>)>,
    /// How many of those are left out because their time is still to come.
    pub(super) ahead: usize,
}

impl Tick {
    /// Rows so far.
    pub(super) fn rows(&self) -> usize {
        self.samples.len() + self.skipped.len()
    }
}

/// What is remembered of a table between two ticks.
#[derive(Debug, Default)]
pub(super) struct Ticks {
    rows: Rows,
    forgetting: Forgetting,
    latest: Option<Timestamp>,
}

impl Ticks {
    /// Rows of a later time than this are left out from now on. Where that is earlier than it was the clock was set back: what
    /// it made future is forgotten, or everything would be old for as long.
    pub(super) fn leave_out_after(&mut self, latest: Timestamp) {
        let before = self.latest.replace(latest);
        if before.is_some_and(|before| latest < before) {
            self.rows.forget_after(sample::seconds(latest));
        }
    }

    /// Reads `input`, titles first, to its end or until `take` takes no more.
    ///
    /// # Errors
    /// If a row is not what it should be; what stands before it is taken all the same.
    pub(super) fn read(&mut self, input: impl Read, mut take: impl FnMut(Vec<Tick>) -> bool) -> Result<(), TableError> {
        let (mut ticks, mut held, mut tick) = (Vec::new(), 0, Tick::default());
        let mut ended = Ok(());
        for row in Reader::new(input)? {
            let row = match row {
                Ok(row) => row,
                Err(error) => {
                    ended = Err(error);
                    break;
                }
            };
            if tick.rows() > 0 && (tick.at != row.at || tick.rows() >= TICK_ROWS) {
                held += tick.rows();
                ticks.push(self.whole(&mut tick));
            }
            if held >= HANDED_ROWS {
                held = 0;
                if !take(std::mem::take(&mut ticks)) {
                    return Ok(());
                }
            }
            tick.at = row.at;
            if self.latest.is_some_and(|latest| row.at > latest) {
                tick.ahead += 1;
                tick.skipped.push((tick.samples.len(), Box::new(row.into_sample().facts)));
                continue;
            }
            match self.rows.sample(row) {
                Ok(sample) => tick.samples.push(sample),
                Err(pod) => tick.skipped.push((tick.samples.len(), pod)),
            }
        }
        if tick.rows() > 0 {
            ticks.push(self.whole(&mut tick));
        }
        take(ticks);
        ended
    }

    /// The tick to which no row is added any more.
    fn whole(&mut self, tick: &mut Tick) -> Tick {
        if let Some(before) = self.forgetting.is_due(tick) {
            self.rows.forget_before(before);
        }
        let samples = Vec::with_capacity(tick.samples.len());
        std::mem::replace(tick, Tick { samples, ..Tick::default() })
    }
}

/// When pods are to be forgotten.
#[derive(Debug, Default)]
pub(super) struct Forgetting {
    ticks: u64,
}

impl Forgetting {
    /// Counts a tick: pods that were last seen before the Unix second it gives may be forgotten. One whose rows all have no score
    /// says nothing of the time.
    pub(super) fn is_due(&mut self, tick: &Tick) -> Option<f64> {
        self.ticks += u64::from(!tick.samples.is_empty());
        let is_due = !tick.samples.is_empty() && self.ticks.is_multiple_of(FORGET_EVERY);
        is_due.then(|| tick.at.as_second() as f64 - FORGET_SECONDS)
    }
}

#[cfg(test)]
mod tests {
    use std::fmt::Write;

    use super::*;

    fn table(rows: impl IntoIterator<Item = (i64, &'static str)>) -> String {
        let mut text = "timestamp,namespace,pod\n".to_owned();
        for (second, pod) in rows {
            writeln!(text, "{},shop,{pod}", Timestamp::from_second(second).unwrap()).unwrap();
        }
        text
    }

    /// Rows of each tick, by what was handed on together.
    fn handed(text: &str, most: usize) -> (Vec<Vec<usize>>, Result<(), TableError>) {
        let mut handed = Vec::new();
        let ended = Ticks::default().read(text.as_bytes(), |ticks| {
            handed.push(ticks.iter().map(Tick::rows).collect());
            handed.len() < most
        });
        (handed, ended)
    }

    #[test]
    fn rows_of_one_time_are_a_tick_and_many_ticks_are_handed_on_together() {
        let (all, ended) = handed(&table((0..2000).flat_map(|second| [(second, "cart"), (second, "catalog")])), 99);
        assert!(ended.is_ok() && all.iter().flatten().all(|rows| *rows == 2));
        let together: Vec<usize> = all.iter().map(|ticks| ticks.iter().sum()).collect();
        assert_eq!(together, [512, 512, 512, 512, 512, 512, 512, 416]);
    }

    #[test]
    fn a_time_of_very_many_rows_is_more_than_one_tick() {
        let (all, _) = handed(&table(std::iter::repeat_n((7, "cart"), TICK_ROWS + 5)), 99);
        assert_eq!(all, [vec![TICK_ROWS], vec![5]]);
    }

    #[test]
    fn what_stands_before_a_bad_row_is_handed_on_and_nothing_after_nobody_takes_more() {
        let text = table([(1, "cart"), (2, "cart")]) + "yesterday,shop,cart\n" + &table([(3, "cart")]);
        let (all, ended) = handed(&text, 99);
        assert_eq!(all, [[1, 1]]);
        assert!(ended.unwrap_err().to_string().starts_with("line 4, "));
        let (all, ended) = handed(&table((0..2000).map(|second| (second, "cart"))), 1);
        assert!(ended.is_ok() && all.len() == 1);
    }

    #[test]
    fn rows_that_are_not_newer_are_known_by_their_place() {
        let text = table([(5, "cart"), (5, "catalog"), (5, "cart"), (5, "till")]);
        let mut skipped = Vec::new();
        Ticks::default()
            .read(text.as_bytes(), |ticks| {
                let of_tick = |tick: Tick| tick.skipped.into_iter().map(|(place, pod)| (place, pod.name));
                skipped.extend(ticks.into_iter().flat_map(of_tick));
                true
            })
            .unwrap();
        assert_eq!(skipped, [(2, "cart".to_owned())]);
    }

    /// Names of the pods whose rows have a score, of those whose have none, and how many of these are of a time to come.
    fn names(ticks: &mut Ticks, text: &str) -> (String, String, usize) {
        let (mut scored, mut skipped, mut ahead) = (String::new(), String::new(), 0);
        let mut of_tick = |tick: Tick| {
            scored.extend(tick.samples.iter().map(|sample| sample.facts.name.as_str()));
            skipped.extend(tick.skipped.iter().map(|(_, pod)| pod.name.as_str()));
            ahead += tick.ahead;
        };
        ticks
            .read(text.as_bytes(), |ticks| {
                ticks.into_iter().for_each(&mut of_tick);
                true
            })
            .unwrap();
        (scored, skipped, ahead)
    }

    #[test]
    fn rows_of_a_time_to_come_are_left_out_and_harm_nobody() {
        let mut ticks = Ticks::default();
        ticks.leave_out_after(Timestamp::from_second(1000).unwrap());
        let text =
            table([(900, "a"), (900, "b"), (4_070_908_800, "a"), (930, "a"), (930, "b"), (1000, "a"), (1001, "b")]);
        assert_eq!(names(&mut ticks, &text), ("ababa".to_owned(), "ab".to_owned(), 2));
    }

    #[test]
    fn behind_a_clock_that_was_set_back_rows_count_at_once() {
        let mut ticks = Ticks::default();
        ticks.leave_out_after(Timestamp::from_second(10_000).unwrap());
        assert_eq!(names(&mut ticks, &table([(9990, "a"), (2000, "b")])).0, "ab");
        ticks.leave_out_after(Timestamp::from_second(2890).unwrap());
        let (scored, skipped, _) = names(&mut ticks, &table([(2800, "a"), (2800, "b"), (1900, "b")]));
        assert_eq!((&*scored, &*skipped), ("ab", "b"), "what was not made future is remembered");
    }

    #[test]
    fn pods_are_forgotten_after_a_day_every_so_many_ticks() {
        let mut forgetting = Forgetting::default();
        let at = Timestamp::from_second(200_000).unwrap();
        let sample = guard_model::table::Row::default().into_sample();
        let tick = Tick { at, samples: vec![sample], ..Tick::default() };
        let unscored = Tick { at: Timestamp::MAX, ..Tick::default() };
        let mut step = || {
            assert_eq!(forgetting.is_due(&unscored), None);
            forgetting.is_due(&tick)
        };
        let due: Vec<Option<f64>> = (0..FORGET_EVERY * 2).map(|_| step()).collect();
        assert_eq!(due.iter().flatten().collect::<Vec<_>>(), [&113_600.0; 2]);
        assert!(due[511].is_some() && due[1023].is_some());
    }
}
