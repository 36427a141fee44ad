//! After a write: waits until the rollout is complete and the scores say what came of it. Reads only.

mod judge;
mod resize;
mod rollout;

use std::collections::BTreeMap;
use std::time::Duration;

use guard_model::report::NodeReport;
use http::Request;
use jiff::Timestamp;
use kube::Client;
use serde_json::Value;

pub use judge::{CALM_SECONDS, CALM_TICKS, WORSE_BY, WORSE_TICKS};
pub use resize::resized;

use crate::approve::ApprovedPlan;
use crate::error::Error;
use crate::facts::{Owner, PodFact, pods_of};
use crate::outcome::Outcome;
use crate::plan::{Kind, Source, Target};
use crate::scores::prometheus::Used;
use judge::{Judge, Look};

/// Where scores are read again and again.
pub trait ScoreSource {
    /// The present reports of all exporters that answer.
    fn read(&mut self) -> impl Future<Output = Result<Vec<NodeReport>, Error>> + Send;

    /// What kind of source this is; it decides how far its scores may be trusted.
    fn kind(&self) -> Source;

    /// By container, what these pods have used within the last day; `None` where the reports themselves hold the record.
    fn used(
        &self,
        _namespace: &str,
        _pods: &[String],
        _now: Timestamp,
    ) -> impl Future<Output = Result<Option<BTreeMap<String, Used>>, Error>> + Send {
        std::future::ready(Ok(None))
    }
}

/// What is waited for, and for how long.
#[derive(Clone, Copy, Debug)]
pub struct Wait<'a> {
    /// What was written.
    pub approved: &'a ApprovedPlan,
    /// Whose pods are judged.
    pub owner: &'a Owner,
    /// Its pods are replaced. Where they are not, the scores are all there is to look at.
    pub rolls: bool,
    /// The generation that the rollout must reach, where it is known.
    pub generation: Option<i64>,
    /// When the write was answered.
    pub written: Timestamp,
    /// How long to wait at most.
    pub limit: Duration,
}

/// Waits until the outcome is certain or the time is over. `tell` is given a line whenever the standing changes.
///
/// A look that fails is no outcome: it is told and tried again at the next tick.
pub async fn wait(client: &Client, source: &mut impl ScoreSource, wait: Wait<'_>, tell: impl Fn(&str)) -> Outcome {
    let plan = wait.approved.plan();
    let mut judge = Judge::new(plan.evidence.as_ref(), wait.written);
    let interval = plan.evidence.as_ref().map_or(15.0, |evidence| evidence.interval_seconds).clamp(1.0, 30.0);
    let end = tokio::time::Instant::now() + wait.limit;
    let mut told = String::new();
    let mut say = |line: String| {
        if line != told {
            tell(&line);
            told = line;
        }
    };
    loop {
        match look(client, source, &wait).await {
            Ok((live, rolled_out, reports)) => {
                let outcome = judge.observe(&Look { live: &live, rolled_out, reports: &reports });
                if let Some(outcome) = outcome {
                    return outcome;
                }
                say(progress(&live, (wait.rolls, rolled_out), judge.standing()));
            }
            Err(error) => say(format!("cannot look yet: {error}")),
        }
        let next = tokio::time::Instant::now() + Duration::from_secs_f64(interval / 2.0);
        if next >= end {
            return judge.standing();
        }
        tokio::time::sleep_until(next).await;
    }
}

fn progress(live: &[PodFact], (rolls, rolled_out): (bool, bool), standing: Outcome) -> String {
    let ready = live.iter().filter(|pod| pod.serves()).count();
    let rollout = match (rolls, rolled_out) {
        (false, _) => "resized in place",
        (true, true) => "rolled out",
        (true, false) => "rolling out",
    };
    let score = match standing {
        Outcome::Recovered | Outcome::Learning => "no pod over its line, not yet sure",
        Outcome::Unchanged if rolled_out => "still over its line",
        Outcome::Unchanged => "waiting for the new pods",
        Outcome::Worse => "worse than before",
        Outcome::Unknown => "waiting for new scores",
    };
    format!("{rollout}, {ready} of {} pods ready, {score}", live.len())
}

async fn look(
    client: &Client,
    source: &mut impl ScoreSource,
    wait: &Wait<'_>,
) -> Result<(Vec<PodFact>, bool, Vec<NodeReport>), Error> {
    let live = pods_of(client, wait.owner).await?;
    let rolled_out = match wait.approved.plan().target().filter(|_| wait.rolls) {
        Some(target) if target.kind == Kind::Pod => replaced(target, &live),
        Some(target) => rollout::is_complete(target.kind, &object(client, target).await?, wait.generation),
        None => true,
    };
    Ok((live, rolled_out, source.read().await?))
}

/// The evicted pod has gone, and what its controller keeps instead is ready.
fn replaced(target: &Target, live: &[PodFact]) -> bool {
    !live.is_empty() && live.iter().all(|pod| pod.uid != target.uid && pod.serves())
}

async fn object(client: &Client, target: &Target) -> Result<Value, Error> {
    let request = crate::request::Request {
        verb: "get",
        resource: target.kind.resource(),
        group: target.kind.group(),
        namespace: Some(&target.namespace),
    };
    let get = Request::get(target.path()).body(Vec::new()).map_err(|error| Error::Api {
        doing: request.doing(),
        code: 0,
        message: error.to_string(),
    })?;
    client.request(get).await.map_err(|error| request.failed(&error))
}

#[cfg(test)]
mod tests;
