//! Proposes a fix for whatever is over its line for sure enough. A proposal waits in the queue until its target is no
//! longer over the line, or somebody mutes it. A person carries it out, with `fix` or on a screen: each with its own look at the cluster and its
//! own approval. Whoever declines it is not asked again until the target has recovered and is over its line anew.

use std::collections::BTreeMap;

use guard_model::report::{NodeReport, PodReport};
use jiff::Timestamp;

use super::agents::Ask;
use super::due::{Proposable, due, heeding, proposable};
use super::history::{Entry, History};
use super::state::{Proposer, Waiting};
use super::{LOOK_AGAIN, Part, Shared, next_reports};
use crate::commands::fix;
use crate::config::{Config, Remediation};
use crate::connect::Connection;
use crate::desk::{Asked, Key};
use crate::error::Error;
use crate::plan::{Plan, Source, TargetName};
use crate::propose::Proposal;
use crate::sanitise;
use crate::verify::ScoreSource;
use crate::wish::Wish;

/// What came of looking at a target.
enum Looked {
    /// There is a proposal.
    Waits(Waiting),
    /// There was one, and somebody declined it.
    Declined,
    /// There is none, for a reason that was said.
    Nothing { why: String },
}

/// The scores of the table, as they are.
struct Tabled<'a>(&'a [NodeReport]);

impl ScoreSource for Tabled<'_> {
    async fn read(&mut self) -> Result<Vec<NodeReport>, Error> {
        Ok(self.0.to_vec())
    }

    fn kind(&self) -> Source {
        Source::Csv
    }
}

/// Everything that proposing carries.
struct Proposing<'a> {
    settings: &'a Remediation,
    connection: &'a Connection,
    shared: &'a Shared<'a>,
    history: History,
    looked: BTreeMap<Key, Looked>,
    /// What programs of the user's propose: one of each for a target.
    asked: BTreeMap<(Key, String), Waiting>,
}

/// Proposes until it is let go.
///
/// # Errors
/// If the history cannot be written.
pub async fn propose(config: &Config, connection: &Connection, shared: &Shared<'_>) -> Result<(), Error> {
    let history = History::open(&config.remediation.history_file, &connection.server)?;
    // What waited when the part before this one ended waits still.
    let (mut looked, mut asked) = (BTreeMap::new(), BTreeMap::new());
    for Entry { proposal, declined, .. } in history.standing() {
        let waiting = proposal.clone();
        let key = (waiting.namespace.clone(), waiting.target.clone());
        match (&waiting.by, declined) {
            (_, Some(_)) => drop(looked.insert(key, Looked::Declined)),
            (Proposer::Guard, None) => drop(looked.insert(key, Looked::Waits(waiting))),
            (Proposer::Agent(name), None) => drop(asked.insert((key, name.clone()), waiting)),
        }
    }
    let mut proposing = Proposing { settings: &config.remediation, connection, shared, history, looked, asked };
    let mut reports = shared.reports.subscribe();
    loop {
        let heard = shared.heard(connection, &mut reports).await;
        let latest = heard.map(|(latest, mutes)| heeding(&latest, &mutes));
        if let Some(latest) = &latest {
            proposing.look(latest).await?;
        }
        let longest = latest.is_none().then_some(LOOK_AGAIN);
        // What a program proposes waits until it is known what is muted.
        let asked = async || match &latest {
            Some(latest) => (latest, shared.asks.next().await),
            None => std::future::pending().await,
        };
        loop {
            tokio::select! {
                () = next_reports(&mut reports, longest) => break,
                () = shared.state.queue().declined() => proposing.decline()?,
                (latest, (agent, ask)) = asked() => proposing.asked(agent, &ask, latest).await?,
            }
        }
    }
}

impl Proposing<'_> {
    async fn look(&mut self, reports: &[NodeReport]) -> Result<(), Error> {
        self.decline()?;
        let due = due(reports, self.settings.confidence_threshold);
        let known = proposable(reports, self.settings.confidence_threshold);
        self.withdraw(|key| known.iter().any(|known| known.is(key)))?;
        self.withdraw_asked(|key| known.iter().any(|known| known.is(key)))?;
        for (key, target, pod) in due {
            let waiting = self.waiting().count() as u64;
            if !pod.score.is_some_and(|score| self.settings.permits(score, waiting)) {
                break;
            }
            if matches!(self.looked.get(&key), Some(Looked::Waits(_) | Looked::Declined)) {
                continue;
            }
            self.look_at(key, &target, pod, reports).await?;
        }
        self.tell();
        Ok(())
    }

    fn tell(&self) {
        self.shared.state.queue().set(self.waiting().cloned().collect());
        self.shared.state.did(Part::Propose, &format!("{} proposals wait", self.waiting().count()));
    }

    /// Hears what was declined on a screen.
    fn decline(&mut self) -> Result<(), Error> {
        let declined = self.shared.state.queue().take_declined();
        if declined.is_empty() {
            return Ok(());
        }
        for key in declined {
            let own = match self.looked.insert(key.clone(), Looked::Declined) {
                Some(Looked::Waits(waiting)) => Some(waiting),
                _ => None,
            };
            let asked = self.asked.extract_if(.., |(of, _), _| *of == key).map(|(_, waiting)| waiting);
            for waiting in own.into_iter().chain(asked) {
                self.shared.log.info(Part::Propose, &format!("declined: {}", shown(&waiting)));
            }
            self.history.declined(&key.0, &key.1, Timestamp::now())?;
        }
        self.tell();
        Ok(())
    }

    fn waiting(&self) -> impl Iterator<Item = &Waiting> {
        let own = self.looked.values().filter_map(|looked| match looked {
            Looked::Waits(waiting) => Some(waiting),
            Looked::Declined | Looked::Nothing { .. } => None,
        });
        own.chain(self.asked.values())
    }

    /// Looks at what a program proposes as at guard's own ideas: by the same line, against the same guard rails.
    async fn asked(&mut self, agent: String, ask: &Ask, reports: &[NodeReport]) -> Result<(), Error> {
        let known = proposable(reports, self.settings.confidence_threshold);
        let by = Proposer::Agent(agent.clone());
        let why = match self.wish(&agent, ask, &known) {
            Err(why) => why,
            Ok((target, score)) => {
                let asked = Asked { action: ask.action, replicas: ask.replicas };
                let scores = Tabled(reports);
                match fix::proposal(
                    self.connection,
                    self.shared.console,
                    &ask.namespace,
                    &target,
                    &Wish::from(&asked),
                    scores,
                )
                .await
                {
                    Ok(Proposal::Plan(plan)) => {
                        let key = (ask.namespace.clone(), target.to_string());
                        let waiting = of_agent(&key, ask, asked, score, &plan, by);
                        self.propose(&waiting, &plan)?;
                        self.asked.insert((key, agent), waiting);
                        self.tell();
                        return Ok(());
                    }
                    Ok(Proposal::Healthy { why } | Proposal::NothingHelps { why }) => why,
                    Err(error) => error.to_string(),
                }
            }
        };
        self.shared.log.warn(Part::Propose, &format!("{by}: refused: {} of {}: {why}", ask.action.name(), ask.target));
        Ok(())
    }

    /// The target of what a program proposes, with its score.
    fn wish(&self, agent: &str, ask: &Ask, known: &[Proposable]) -> Result<(TargetName, Option<f64>), String> {
        let target = ask.check(known)?;
        let key = (ask.namespace.clone(), target.to_string());
        if matches!(self.looked.get(&key), Some(Looked::Declined)) {
            return Err("what was proposed for it was declined".to_owned());
        }
        if self.asked.contains_key(&(key, agent.to_owned())) {
            return Err("a proposal of this agent's for it waits already".to_owned());
        }
        let score = known.iter().find(|known| known.namespace == ask.namespace && known.target == target);
        let score = score.and_then(|known| known.score);
        let waiting = self.waiting().count() as u64;
        if !score.is_some_and(|score| self.settings.permits(score, waiting)) {
            return Err(format!("{waiting} proposals wait already"));
        }
        Ok((target, score))
    }

    /// Says what is proposed, and keeps it.
    fn propose(&mut self, waiting: &Waiting, plan: &Plan) -> Result<(), Error> {
        let by = if waiting.by == Proposer::Guard { String::new() } else { format!(" by {}", waiting.by) };
        let said = format!("proposed{by}: {}; to do it: {}", shown(waiting), waiting.command);
        self.shared.log.warn(Part::Propose, &said);
        self.history.proposed(waiting.clone(), &plan.id)
    }

    fn withdraw(&mut self, stays: impl Fn(&Key) -> bool) -> Result<(), Error> {
        let gone: Vec<Key> = self.looked.keys().filter(|key| !stays(key)).cloned().collect();
        for key in gone {
            match self.looked.remove(&key) {
                Some(Looked::Waits(waiting)) => {
                    let said = format!("withdrawn: {}, no longer over its line, or muted", shown(&waiting));
                    self.shared.log.info(Part::Propose, &said);
                }
                Some(Looked::Declined) => {}
                Some(Looked::Nothing { .. }) | None => continue,
            }
            self.history.withdrawn(&key.0, &key.1, Timestamp::now())?;
        }
        Ok(())
    }

    fn withdraw_asked(&mut self, stays: impl Fn(&Key) -> bool) -> Result<(), Error> {
        let gone: Vec<_> = self.asked.keys().filter(|(key, _)| !stays(key)).cloned().collect();
        for key in gone {
            if let Some(waiting) = self.asked.remove(&key) {
                let said =
                    format!("withdrawn, by {}: {}, no longer over its line, or muted", waiting.by, shown(&waiting));
                self.shared.log.info(Part::Propose, &said);
                self.history.withdrawn(&key.0.0, &key.0.1, Timestamp::now())?;
            }
        }
        Ok(())
    }

    async fn look_at(
        &mut self,
        key: Key,
        target: &TargetName,
        pod: &PodReport,
        reports: &[NodeReport],
    ) -> Result<(), Error> {
        let scores = Tabled(reports);
        let log = &self.shared.log;
        let why =
            match fix::proposal(self.connection, self.shared.console, &key.0, target, &Wish::default(), scores).await {
                Ok(Proposal::Plan(plan)) => {
                    let waiting = waiting(&key, pod, &plan);
                    self.propose(&waiting, &plan)?;
                    self.looked.insert(key, Looked::Waits(waiting));
                    return Ok(());
                }
                Ok(Proposal::Healthy { why }) => why,
                Ok(Proposal::NothingHelps { why }) => format!("nothing that guard can do would help: {why}"),
                Err(error) => error.to_string(),
            };
        // The same reason is said once, not at each look.
        if !matches!(self.looked.get(&key), Some(Looked::Nothing { why: before }) if *before == why) {
            log.info(Part::Propose, &format!("no proposal for {} in {}: {why}", key.1, key.0));
        }
        self.looked.insert(key, Looked::Nothing { why });
        Ok(())
    }
}

/// What a plan does first, in words.
fn action(plan: &Plan) -> String {
    plan.steps.first().map(|step| step.action.on(&step.target)).unwrap_or_default()
}

fn of_agent(
    (namespace, target): &Key,
    ask: &Ask,
    asked: Asked,
    score: Option<f64>,
    plan: &Plan,
    by: Proposer,
) -> Waiting {
    let replicas = ask.replicas.map(|replicas| format!(" --replicas {replicas}")).unwrap_or_default();
    Waiting {
        namespace: namespace.clone(),
        target: target.clone(),
        action: action(plan),
        score,
        reason: Some(ask.reason()),
        at: Timestamp::now(),
        command: format!("kubectl guard fix {target} -n {namespace} --action {}{replicas}", ask.action.name()),
        by,
        asked: Some(asked),
    }
}

fn waiting((namespace, target): &Key, pod: &PodReport, plan: &Plan) -> Waiting {
    Waiting {
        namespace: namespace.clone(),
        target: target.clone(),
        action: action(plan),
        score: pod.score,
        reason: pod.reasons.first().map(|reason| sanitise::line(&reason.text)),
        at: Timestamp::now(),
        command: format!("kubectl guard fix {target} -n {namespace}"),
        by: Proposer::Guard,
        asked: None,
    }
}

fn shown(waiting: &Waiting) -> String {
    let reason = waiting.reason.as_ref().map_or_else(String::new, |reason| format!(" ({reason})"));
    format!("{} in {}{reason}", waiting.action, waiting.namespace)
}
