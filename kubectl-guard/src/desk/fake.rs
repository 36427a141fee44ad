//! A desk without a cluster, for tests.

use std::sync::{Arc, Mutex};

use tokio::sync::Notify;

use super::{Asked, Desk, Look, Proposer, Shown, Waiting};
use crate::approve::{NotApproved, Screen, Way, approve};
use crate::error::Error;
use crate::exit::Exit;
use crate::plan::examples::{Typist, now, plan};
use crate::plan::{ActionKind, TargetName, Verdict};

/// Shows a plan to restart `deployment/web`, or to do what is asked; carries it out when it is let.
#[derive(Default)]
pub(crate) struct FakeDesk {
    /// Why there is no plan.
    pub(crate) nothing: Option<String>,
    /// The target has changed since it was shown.
    pub(crate) stale: Mutex<bool>,
    /// Lets one plan end.
    pub(crate) end: Notify,
    /// The names that were typed for what was carried out.
    pub(crate) done: Mutex<Vec<String>>,
}

/// The plan that it shows.
pub(crate) fn shown() -> Shown {
    Shown::new(plan(ActionKind::Restart), vec![Verdict::Allowed], None)
}

/// The proposal that it is for.
pub(crate) fn waiting() -> Waiting {
    Waiting {
        namespace: "shop".to_owned(),
        target: "deployment/web".to_owned(),
        action: "restart deployment/web".to_owned(),
        score: Some(0.93),
        reason: Some("memory near its limit".to_owned()),
        at: now(),
        command: "kubectl guard fix deployment/web -n shop".to_owned(),
        by: Proposer::Guard,
        asked: None,
    }
}

impl Desk for Arc<FakeDesk> {
    async fn look(&self, _: &str, target: &TargetName, asked: Option<&Asked>) -> Result<Look, Error> {
        if let Some(why) = &self.nothing {
            return Ok(Look::Nothing { why: why.clone() });
        }
        if target.name != "web" {
            return Err(Error::NotFound { what: target.to_string() });
        }
        let plan = asked.map_or_else(|| shown().plan, |asked| plan(asked.action));
        Ok(Look::Plan(Box::new(Shown::new(plan, vec![Verdict::Allowed], asked.cloned()))))
    }

    async fn carry_out(&self, shown: &Shown, typed: &str, said: &(dyn Fn(&str) + Sync)) -> Result<Exit, Error> {
        if *self.stale.lock().unwrap() {
            return Err(NotApproved::Stale("deployment/web has changed since".into()).into());
        }
        let way = Way::Shown { digest: &shown.digest, name: typed, on: Screen::Dashboard };
        let approved = approve(shown.plan.clone(), way, now(), &Typist(""))?;
        said(&format!("restart deployment/web: done (plan {})", approved.plan().id));
        self.end.notified().await;
        self.done.lock().unwrap().push(typed.to_owned());
        Ok(Exit::Done)
    }
}
