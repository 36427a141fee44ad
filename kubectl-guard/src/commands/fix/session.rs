//! One run of `fix`, with everything it touches given from outside.

use std::path::PathBuf;

use guard_model::report::NodeReport;
use jiff::Timestamp;
use serde_json::Value;

use super::in_place::going_on;
use super::listeners::{Events, Shared};
use super::undoing::Undoing;
use super::{FixArgs, Format};
use crate::approve::{ApprovedPlan, approve, confirm};
use crate::audit::{Journal, JournalError, plan_agent};
use crate::connect::Connection;
use crate::console::Console;
use crate::error::Error;
use crate::exit::Exit;
use crate::facts::{self, Facts, Recent, TargetFacts, Usage};
use crate::flags::dry_run::DryRun;
use crate::outcome::StepOutcome;
use crate::plan::{
    Evidence, Kind, Need, Place, Plan, PlanFile, Target, TargetName, Verdict, document, is_name, render, worst,
};
use crate::propose::{Proposal, Setting, instead, propose};
use crate::verify::ScoreSource;
use crate::wish::Wish;

pub(super) struct Session<'a, S> {
    pub(super) connection: &'a Connection,
    pub(super) console: &'a Console,
    pub(super) journal: Result<Journal, JournalError>,
    pub(super) scores: S,
    pub(super) now: fn() -> Timestamp,
    /// What is to be taken back, if this is an `undo`.
    pub(super) undoing: Option<Undoing>,
    /// The plan that must come out, if one was given as a file.
    pub(super) expected: Option<(PathBuf, PlanFile)>,
    /// The id of the plan that was cut off and is gone on with.
    pub(super) resumes: Option<String>,
    pub(super) events: Events,
    /// Where the journal is told as well.
    pub(super) shared: Option<Shared>,
}

/// What is to be fixed, and what is known of it.
pub(super) struct Case {
    namespace: String,
    target: TargetName,
    evidence: Option<Evidence>,
    facts: Facts,
    identity: String,
}

impl<'a, S> Session<'a, S> {
    /// A session that takes nothing back or up, follows no file, and tells nobody but the journal.
    pub(super) fn new(
        connection: &'a Connection,
        console: &'a Console,
        journal: Result<Journal, JournalError>,
        scores: S,
    ) -> Self {
        Self {
            connection,
            console,
            journal,
            scores,
            now: Timestamp::now,
            undoing: None,
            expected: None,
            resumes: None,
            events: Events::default(),
            shared: None,
        }
    }
}

impl<S: ScoreSource> Session<'_, S> {
    pub(super) async fn run(&mut self, args: &FixArgs, target: Option<TargetName>, named: bool) -> Result<Exit, Error> {
        let reports = self.reports(target.is_some()).await?;
        let typed = target.is_some();
        let Some((namespace, target)) = self.aim(args, target, &reports).await else {
            self.console.note("nothing is over its line: there is nothing to fix");
            return Ok(Exit::Done);
        };
        if !typed && target.kind != Kind::Node {
            self.common_cause(&namespace, &target, &reports);
        }
        let wish = args.wish(named);
        let case = self.found(namespace, target, &reports, &wish).await?;
        let plan = match self.propose(&wish, &case)? {
            Proposal::Plan(plan) => *plan,
            Proposal::Healthy { why } => {
                self.console.note(&why);
                return Ok(Exit::Done);
            }
            Proposal::NothingHelps { why } => {
                self.console.note(&format!("nothing that guard can do would help: {why}"));
                return Ok(Exit::NotRecovered);
            }
        };
        if let Some((path, file)) = &self.expected {
            file.fits(&plan).map_err(|error| error.of(path))?;
        }
        let verdicts = self.access(&plan).await?;
        self.show(args, &plan, &verdicts)?;
        match args.dry_run.dry_run {
            DryRun::Client => {
                self.console
                    .note("nothing was changed (dry run: client; only read, the API server was not asked to check it)");
                Ok(Exit::Done)
            }
            DryRun::Server => {
                self.check(&plan, &verdicts).await?;
                self.console.note("nothing was changed (dry run: server; the API server would take it)");
                Ok(Exit::Done)
            }
            DryRun::None => {
                self.check(&plan, &verdicts).await?;
                self.carry_out(args, &wish, plan, &case).await
            }
        }
    }

    /// What the scores and the cluster come to for a target that nobody named: only read, nothing asked or recorded.
    pub(super) async fn proposed(
        &mut self,
        namespace: &str,
        target: &TargetName,
        wish: &Wish,
    ) -> Result<(Case, Proposal), Error> {
        let reports = self.scores.read().await?;
        let case = self.found(namespace.to_owned(), target.clone(), &reports, wish).await?;
        let proposal = self.propose(wish, &case)?;
        Ok((case, proposal))
    }

    /// Whether the user may do each step of the plan.
    pub(super) async fn access(&self, plan: &Plan) -> Result<Vec<Verdict>, Error> {
        let needs: Vec<&Need> = plan.steps.iter().map(|step| &step.need).collect();
        facts::ask_access(&self.connection.client, &needs).await
    }

    /// The user may carry it out, and the API server would take it.
    pub(super) async fn check(&self, plan: &Plan, verdicts: &[Verdict]) -> Result<(), Error> {
        permitted(plan, verdicts)?;
        self.would_take(&self.writer(plan)?.client, plan.clone()).await
    }

    /// The reports; with a target, a plan can be made without them.
    async fn reports(&mut self, has_target: bool) -> Result<Vec<NodeReport>, Error> {
        match self.scores.read().await {
            Ok(reports) => Ok(reports),
            // Without the API server there is no plan either.
            Err(error @ (Error::Unreachable { .. } | Error::Unauthenticated { .. })) => Err(error),
            Err(error) if has_target => {
                self.console.warn(&format!("no scores: {error}"));
                Ok(Vec::new())
            }
            Err(error) => Err(error),
        }
    }

    /// What was named, else the node that is the cause of much, else the worst workload. Whoever looks at one namespace
    /// only gets no node: they may have no right to it.
    async fn aim(
        &self,
        args: &FixArgs,
        target: Option<TargetName>,
        reports: &[NodeReport],
    ) -> Option<(String, TargetName)> {
        let own = self.undoing.as_ref().map_or(&self.connection.namespace, |undoing| &undoing.step.target.namespace);
        match target {
            Some(target) => Some((own.clone(), target)),
            None if args.all_namespaces
                && args.action.is_none()
                && let Some(node) = self.sick_node(reports).await =>
            {
                Some((String::new(), node))
            }
            None => worst(reports, |namespace| args.all_namespaces || namespace == own),
        }
    }

    /// A node that still takes pods although it is not ready, under pressure, or what many sick workloads have in common.
    async fn sick_node(&self, reports: &[NodeReport]) -> Option<TargetName> {
        // Without the right to see nodes, workloads are all there is to fix.
        let nodes = crate::nodes::list(self.connection).await.ok()?;
        let takes = |name: &str| nodes.iter().any(|node| node.name == name && !node.unschedulable);
        let own = nodes.iter().filter(|node| node.cause.is_some() && !node.unschedulable && is_name(&node.name));
        match own.min_by_key(|node| node.cause) {
            Some(node) => Some(TargetName { kind: Kind::Node, name: node.name.clone() }),
            None => facts::common(reports, |_| true).filter(|node| takes(&node.name)),
        }
    }

    /// Says that the workload's node may be the cause, where many on it are over their line.
    fn common_cause(&self, namespace: &str, target: &TargetName, reports: &[NodeReport]) {
        let Some(node) = facts::common(reports, |of| of == namespace) else { return };
        let (over, of) = facts::sick(reports, &node.name);
        self.console.note(&format!(
            "{over} of the {of} workloads on {node} are over their line, so that the node may be the cause, not {target}: \
             kubectl guard fix {node} --dry-run"
        ));
    }

    /// What is known of the target, or of the one pod of it that is to be acted on in its place.
    async fn found(
        &self,
        namespace: String,
        target: TargetName,
        reports: &[NodeReport],
        wish: &Wish,
    ) -> Result<Case, Error> {
        let case = self.case(namespace, target, reports, wish).await?;
        let Some(pod) = instead(wish, case.evidence.as_ref(), &case.facts, (self.now)()) else { return Ok(case) };
        self.console.note(&format!(
            "{} would not replace its pods while {pod} is not ready (podManagementPolicy OrderedReady): that pod is looked at \
             in its place",
            case.target
        ));
        self.case(case.namespace, pod, reports, wish).await
    }

    async fn case(
        &self,
        namespace: String,
        target: TargetName,
        reports: &[NodeReport],
        wish: &Wish,
    ) -> Result<Case, Error> {
        let client = &self.connection.client;
        let identity = self.connection.identity().await?.username;
        let mut facts = facts::read(client, &namespace, &target, wish).await?;
        if let Some(undoing) = &self.undoing {
            undoing.holds(&facts)?;
        }
        if let TargetFacts::Node(node) = &mut facts.target {
            node.workloads = facts::sick(reports, &node.target.name);
        }
        facts.usage = Usage::of(reports, &namespace, &target);
        facts.recent = self.recent(facts.target.target());
        self.remember(&mut facts, wish).await?;
        let uid = Some(facts.target.target().uid.as_str());
        let evidence = Evidence::of(self.scores.kind(), reports, &namespace, &target, uid);
        Ok(Case { namespace, target, evidence, facts, identity })
    }

    /// What the journal says was last done to this object.
    fn recent(&self, target: &Target) -> Recent {
        match self.journal.as_ref().map(Journal::read) {
            Ok(Ok(lines)) => Recent::of(&lines, target, &self.connection.server, self.resumes.as_deref()),
            Ok(Err(error)) => Recent::Unknown { why: error.to_string() },
            Err(error) => Recent::Unknown { why: error.to_string() },
        }
    }

    fn propose(&self, wish: &Wish, case: &Case) -> Result<Proposal, Error> {
        let place = Place {
            context: self.connection.context.clone(),
            cluster: self.connection.cluster.clone(),
            server: self.connection.server.clone(),
        };
        let setting = Setting { place, identity: case.identity.clone(), now: (self.now)() };
        Ok(propose(wish, case.evidence.clone(), &case.facts, setting)?)
    }

    fn show(&self, args: &FixArgs, plan: &Plan, verdicts: &[Verdict]) -> Result<(), Error> {
        match args.output {
            None => self.console.print(&render(plan, verdicts)),
            Some(Format::Json) => self.console.line(&format!("{:#}", document(plan, verdicts))),
            Some(Format::Yaml) => self.console.print(&yaml(&document(plan, verdicts))?),
        }
    }

    /// The connection whose requests carry the plan's id, so that the API server's audit log can be matched.
    fn writer(&self, plan: &Plan) -> Result<Connection, Error> {
        self.connection.with_user_agent_suffix(&plan_agent(&plan.id))
    }

    pub(super) async fn carry_out(
        &mut self,
        args: &FixArgs,
        wish: &Wish,
        plan: Plan,
        case: &Case,
    ) -> Result<Exit, Error> {
        let approved = approve(plan, args.way(), (self.now)(), self.console)?;
        let approved = self.look_again(approved, wish, case).await?;
        let id = approved.plan().id.clone();
        let _claim = self.claim(&id)?;
        let resized = self.resize(&approved, wish).await?;
        let going_on = going_on(approved.plan(), wish);
        let written = self.write_lead(approved).await;
        let (approved, written) = written.inspect_err(|stop| self.half_done(&going_on, resized, stop))?;
        let generation = match written {
            StepOutcome::Done { generation } => generation,
            StepOutcome::NotDone { .. } | StepOutcome::Unknown { .. } => None,
        };
        if approved.plan().is_drain() {
            return self.drain(args, &approved, &going_on).await;
        }
        let written = (self.now)();
        self.console.note(&format!("{}: done (plan {id})", words(approved.plan())));
        self.follow(args, &approved, &case.facts, resized, generation, written).await
    }

    /// Between the first look and the approval a person may have read for minutes.
    async fn look_again(&mut self, approved: ApprovedPlan, wish: &Wish, case: &Case) -> Result<ApprovedPlan, Error> {
        let reports = self.reports(true).await?;
        let action = approved.plan().lead().map(|step| step.action.kind());
        let wish = Wish { action, ..wish.clone() };
        let case = self.case(case.namespace.clone(), case.target.clone(), &reports, &wish).await?;
        match self.propose(&wish, &case)? {
            Proposal::Plan(again) => Ok(confirm(approved, &again, (self.now)())?),
            Proposal::Healthy { why } | Proposal::NothingHelps { why } => {
                Err(crate::approve::NotApproved::Stale(why).into())
            }
        }
    }
}

pub(super) fn words(plan: &Plan) -> String {
    match plan.lead() {
        Some(step) => step.action.on(&step.target),
        None => "nothing".into(),
    }
}

/// The access reviews allow every step.
fn permitted(plan: &Plan, verdicts: &[Verdict]) -> Result<(), Error> {
    for (index, step) in plan.steps.iter().enumerate() {
        match verdicts.get(index) {
            Some(Verdict::Allowed) => {}
            Some(Verdict::Denied(why)) => return Err(step.need.denied(why)),
            Some(Verdict::Unasked) | None => return Err(step.need.denied("it could not be found out")),
        }
    }
    Ok(())
}

fn yaml(value: &Value) -> Result<String, Error> {
    serde_norway::to_string(value)
        .map_err(|error| Error::Io { doing: "write YAML".into(), source: std::io::Error::other(error) })
}
