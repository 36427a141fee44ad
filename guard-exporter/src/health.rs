//! Whether the exporter lives and whether it is of use, for the kubelet's probes. Strangers on the network get a bare word;
//! the reasons are in the log and in the report.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use hyper::StatusCode;

use crate::server::Answer;
use crate::snapshot::Snapshot;

/// How many intervals may pass without a tick.
const MISSED: u32 = 3;

/// When the tick loop last went round.
pub struct Heartbeat {
    began: Instant,
    last: AtomicU64,
    limit: Duration,
}

impl Heartbeat {
    /// A heart that has just beaten and should do so every `interval`.
    pub fn new(interval: Duration) -> Self {
        Self { began: Instant::now(), last: AtomicU64::new(0), limit: interval.saturating_mul(MISSED) }
    }

    /// Says that the loop goes round.
    pub fn beat(&self) {
        self.last.store(self.began.elapsed().as_millis() as u64, Ordering::Relaxed);
    }

    fn silent_for(&self) -> Duration {
        self.began.elapsed().saturating_sub(Duration::from_millis(self.last.load(Ordering::Relaxed)))
    }

    /// Answer to the liveness probe: only this process's own loop counts, so that an outage of the API server or the
    /// kubelet, which a restart cannot mend, does not cause one on every node.
    pub fn healthz(&self) -> Answer {
        word(self.silent_for() <= self.limit, "ok\n", "stalled\n")
    }

    /// True if the loop has not gone round for so long that what it published last says nothing about now.
    pub fn stalled(&self) -> bool {
        self.silent_for() > self.limit
    }
}

/// Answer to the readiness probe: the model is in use, and a reading of the kubelet has been scored.
pub fn readyz(snapshot: Option<&Snapshot>) -> Answer {
    let ready =
        snapshot.is_some_and(|snapshot| snapshot.report.model.error.is_none() && snapshot.last_sample.is_some());
    word(ready, "ok\n", "not ready\n")
}

fn word(good: bool, yes: &'static str, no: &'static str) -> Answer {
    if good { Answer::text(StatusCode::OK, yes) } else { Answer::text(StatusCode::SERVICE_UNAVAILABLE, no) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::snapshot::example;

    #[test]
    fn a_loop_that_goes_round_is_alive_and_one_that_stands_still_is_not() {
        let standing = Heartbeat::new(Duration::ZERO);
        while standing.silent_for().is_zero() {
            std::hint::spin_loop();
        }
        assert_eq!(standing.healthz().status, StatusCode::SERVICE_UNAVAILABLE);
        let going = Heartbeat::new(Duration::from_mins(1));
        going.beat();
        assert_eq!(going.healthz().status, StatusCode::OK);
    }

    #[test]
    fn ready_is_who_has_a_model_and_scored_a_reading() {
        assert_eq!(readyz(None).status, StatusCode::SERVICE_UNAVAILABLE);
        let mut snapshot = example();
        assert_eq!(readyz(Some(&snapshot)).status, StatusCode::OK);
        snapshot.report.kubelet.up = false;
        assert_eq!(
            readyz(Some(&snapshot)).status,
            StatusCode::OK,
            "an outage of the kubelet is no reason to be passed by"
        );
        snapshot.last_sample = None;
        assert_eq!(readyz(Some(&snapshot)).status, StatusCode::SERVICE_UNAVAILABLE);
        snapshot = example();
        snapshot.report.model.missed =
            Some("it gave no usable number for 1 of 40 pods, such as shop/cart-1".to_owned());
        assert_eq!(readyz(Some(&snapshot)).status, StatusCode::OK, "the others are scored");
        snapshot.report.model.error = Some("broken".to_owned());
        let answer = readyz(Some(&snapshot));
        assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(answer.body, "not ready\n");
    }
}
