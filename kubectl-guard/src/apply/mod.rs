//! The only writes to a cluster. A dry run takes any plan and asks the API server with `dryRun=All`; a write takes an
//! [`ApprovedPlan`], which only [`crate::approve`] can make, and is sent once, never again.

mod announce;
mod answer;
mod drain;
mod request;

use std::time::Duration;

use http::{Request, StatusCode, header};
use http_body_util::{BodyExt, Limited};
use kube::client::{Body, Client};
use serde_json::Value;

pub use announce::announce;
pub use drain::{PodEnd, Stage, Until, Witness, drain, ended};

use crate::approve::ApprovedPlan;
use crate::error::{Error, Failure};
use crate::exit::Exit;
use crate::outcome::StepOutcome;
use crate::plan::{Action, Kind, Latest, Need, Plan, Step};
use crate::write_point::WritePoint;

/// How long an answer to a write is waited for: longer than the API server's own limit of 60 s would only hide it.
const PATIENCE: Duration = Duration::from_mins(1);
/// No answer to a write is larger than an object can be.
const LARGEST: usize = 8 << 20;
/// How often, and how far apart, the object is looked at after a write without an answer.
const LOOKS: usize = 3;
const BETWEEN_LOOKS: Duration = if cfg!(test) { Duration::ZERO } else { Duration::from_secs(2) };

/// Why a write, or its dry run, did not succeed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ApplyError {
    /// The user has no right to it.
    #[error("you may not {need}: {message}")]
    Forbidden {
        /// The missing rule.
        need: Box<Need>,
        /// The server's words.
        message: String,
    },
    /// A precondition failed: the object is not the one that the plan saw.
    #[error("{target} has changed since the plan was made ({message}); nothing was written, make the plan again")]
    Stale {
        /// Which.
        target: String,
        /// The server's words.
        message: String,
    },
    /// A disruption budget forbids it now.
    #[error("a disruption budget forbids to evict {target} now: {message}")]
    Budget {
        /// Which.
        target: String,
        /// The server's words.
        message: String,
    },
    /// The server asks for patience; nothing was written.
    #[error("the API server is overloaded and did not take the write to {target}: {message}")]
    Overloaded {
        /// Which.
        target: String,
        /// The server's words.
        message: String,
        /// Its `Retry-After`, in seconds.
        retry_after: Option<u64>,
    },
    /// Several budgets cover a pod, which the API server never evicts; no retry can help.
    #[error("{target} cannot be evicted: {message}")]
    ManyBudgets {
        /// Which.
        target: String,
        /// The server's words.
        message: String,
    },
    /// The namespace is being deleted, in which nothing can be made any more, evictions included.
    #[error("{target} cannot be evicted: its namespace is being deleted, and it with that ({message})")]
    NamespaceEnds {
        /// Which.
        target: String,
        /// The server's words.
        message: String,
    },
    /// Any other refusal; nothing was written.
    #[error("the API server refused the write to {target} (HTTP {code}): {message}")]
    Refused {
        /// Which.
        target: String,
        /// HTTP status.
        code: u16,
        /// The server's words.
        message: String,
    },
    /// A dry run without a clear answer.
    #[error("the API server could not check the change of {target}: {why}; nothing was written")]
    Unchecked {
        /// Which.
        target: String,
        /// What is known.
        why: String,
    },
    /// No answer, or one that leaves it open.
    #[error("the outcome of the write to {target} is unknown: {why}; look at it before you act again")]
    Unknown {
        /// Which.
        target: String,
        /// What is known.
        why: String,
    },
}

impl ApplyError {
    /// The exit code of the process.
    pub fn exit(&self) -> Exit {
        match self {
            ApplyError::Forbidden { .. } => Exit::NotPermitted,
            ApplyError::Stale { .. } => Exit::Stale,
            ApplyError::Budget { .. } | ApplyError::ManyBudgets { .. } | ApplyError::NamespaceEnds { .. } => {
                Exit::Refused
            }
            ApplyError::Overloaded { .. }
            | ApplyError::Refused { .. }
            | ApplyError::Unchecked { .. }
            | ApplyError::Unknown { .. } => Exit::Error,
        }
    }
}

/// A write, or its dry run, that did not succeed for another reason than rights.
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
pub struct NotWritten(ApplyError);

impl NotWritten {
    /// Nobody can say whether it was.
    pub fn is_unknown(&self) -> bool {
        matches!(self.0, ApplyError::Unknown { .. })
    }
}

impl Failure for NotWritten {
    fn exit(&self) -> Exit {
        self.0.exit()
    }
}

impl From<ApplyError> for Error {
    fn from(error: ApplyError) -> Self {
        match error {
            ApplyError::Forbidden { need, message } => need.denied(&message),
            // A login that ended between the check and the write.
            ApplyError::Refused { target, code: 401, .. } => {
                Error::Unauthenticated { doing: format!("write {target}") }
            }
            other => NotWritten(other).into(),
        }
    }
}

/// Sends every step with `dryRun=All`: admission, validation, preconditions and budgets are checked, nothing is stored.
///
/// # Errors
/// The first step that the API server would refuse.
pub async fn dry_run(client: &Client, plan: &Plan) -> Result<(), ApplyError> {
    let waits = plan
        .steps
        .first()
        .is_some_and(|step| matches!(&step.action, Action::Drain { options } if options.wait_for_budgets));
    for step in &plan.steps {
        match send(client, step, true).await {
            Err(ApplyError::Unknown { target, why }) => return Err(ApplyError::Unchecked { target, why }),
            // What a budget forbids now is what the drain was told to wait for.
            Err(ApplyError::Budget { .. }) if waits => {}
            // Such a pod goes with its namespace, and is waited for.
            Err(ApplyError::NamespaceEnds { .. }) if plan.is_drain() => {}
            answered => drop(answered?),
        }
    }
    Ok(())
}

/// Writes one step of an approved plan, once. After a write without an answer the object is read to find out.
///
/// # Errors
/// It was not written, or nobody can say.
pub async fn write(client: &Client, approved: &ApprovedPlan, step: usize) -> Result<StepOutcome, ApplyError> {
    let Some(step) = approved.plan().steps.get(step) else {
        return Ok(StepOutcome::NotDone { why: "the plan has no such step".into() });
    };
    match send(client, step, false).await {
        Err(ApplyError::Unknown { target, why }) => match look_for_long(client, step).await {
            Some(StepOutcome::NotDone { why }) => Err(ApplyError::Stale { target, message: why }),
            Some(StepOutcome::Unknown { why: seen }) => {
                Err(ApplyError::Unknown { target, why: format!("{why}; {seen}") })
            }
            Some(done @ StepOutcome::Done { .. }) => Ok(done),
            None => Err(ApplyError::Unknown { target, why: format!("{why}; the object could not be read either") }),
        },
        answered => answered,
    }
}

async fn send(client: &Client, step: &Step, dry_run: bool) -> Result<StepOutcome, ApplyError> {
    let exchange = exchange(client, request::request(step, dry_run));
    let answered = if dry_run { exchange.await } else { WritePoint::Step.send(exchange).await };
    match answered {
        Ok(answer) => answer::read(step, &answer),
        Err(why) => Err(ApplyError::Unknown { target: step.target.to_string(), why }),
    }
}

/// Reads the object until it tells what became of the write; `None` if it never could be read.
async fn look_for_long(client: &Client, step: &Step) -> Option<StepOutcome> {
    let mut last = None;
    for attempt in 0..LOOKS {
        if attempt > 0 {
            tokio::time::sleep(BETWEEN_LOOKS).await;
        }
        last = look(client, step).await.or(last);
        if !matches!(last, None | Some(StepOutcome::Unknown { .. })) {
            break;
        }
    }
    last
}

/// What the object itself tells of a write whose answer nobody has; `None` if it cannot be read now.
pub async fn look(client: &Client, step: &Step) -> Option<StepOutcome> {
    let answer = read(client, step).await?;
    let object = match answer.code {
        StatusCode::NOT_FOUND => None,
        code if code.is_success() => Some(serde_json::from_slice::<Value>(&answer.body).ok()?),
        _ => return None,
    };
    Some(answer::reconcile(step, object.as_ref()))
}

/// The target of a step as the API server shows it now; `None` if that cannot be told.
pub async fn latest(client: &Client, step: &Step) -> Option<Latest> {
    let answer = read(client, step).await?;
    let object = answer.code.is_success().then(|| serde_json::from_slice::<Value>(&answer.body).ok())??;
    // A node has no generation, and its heartbeats move its version.
    let untouched = step.target.kind != Kind::Node || answer::holds(&object["spec"], &step.before["spec"]);
    Some(Latest { target: step.target.now_in(&object)?, untouched })
}

/// The object of a step as it is; `None` without an answer.
async fn read(client: &Client, step: &Step) -> Option<Answer> {
    exchange(client, Request::get(step.target.path()).body(Vec::new()).ok()?).await.ok()
}

/// An answer of the API server.
struct Answer {
    code: StatusCode,
    retry_after: Option<u64>,
    body: Vec<u8>,
}

/// One request, one answer, within [`PATIENCE`].
async fn exchange(client: &Client, request: Request<Vec<u8>>) -> Result<Answer, String> {
    let exchange = async {
        let response = client.send(request.map(Body::from)).await.map_err(|error| crate::request::innermost(&error))?;
        let code = response.status();
        let retry_after =
            response.headers().get(header::RETRY_AFTER).and_then(|value| value.to_str().ok()?.parse().ok());
        let body = Limited::new(response.into_body(), LARGEST).collect().await.map_err(|error| error.to_string())?;
        Ok(Answer { code, retry_after, body: body.to_bytes().to_vec() })
    };
    match tokio::time::timeout(PATIENCE, exchange).await {
        Ok(result) => result,
        Err(_) => Err(format!("no answer within {} s", PATIENCE.as_secs())),
    }
}

#[cfg(test)]
mod tests;
