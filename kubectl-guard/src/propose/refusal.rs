//! Why there is no plan: each guard rail in the words a person reads, with the flag that overrides it where there is one.
//! The exit code says that a guard rail refused.

use crate::error::Failure;
use crate::exit::Exit;
use crate::plan::Target;

/// A guard rail that ends the way to a plan.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// Nothing to propose from.
    #[error(
        "no score of {0} could be read, and nothing is proposed without one; --action says what to do all the same"
    )]
    NoScore(String),
    /// The target lives in a protected namespace and was not named.
    #[error("namespace {0:?} keeps the cluster alive; to act there, name it and the target: -n {0} TYPE/NAME")]
    Protected(String),
    /// The rollouts of a Deployment are paused.
    #[error(
        "{target} is paused, so it would not roll; resume it first: kubectl rollout resume {target} -n {namespace}"
    )]
    Paused {
        /// Which.
        target: String,
        /// Its namespace.
        namespace: String,
    },
    /// Its template changes, its pods don't.
    #[error(
        "{target} would not replace its pods ({why}); restart them one at a time: kubectl guard fix pod/NAME -n {namespace} \
         --action restart"
    )]
    WouldNotRoll {
        /// Which.
        target: String,
        /// By what setting.
        why: String,
        /// Its namespace.
        namespace: String,
    },
    /// A pod that is not ready is waited for before any other is replaced, itself included.
    #[error(
        "{target} would not replace its pods: {pod} is not ready, and podManagementPolicy OrderedReady waits for it; restart \
         that one: kubectl guard fix {pod} -n {namespace} --action restart"
    )]
    HeldUp {
        /// Which.
        target: String,
        /// The pod that is waited for.
        pod: String,
        /// Its namespace.
        namespace: String,
    },
    /// Data would be deleted.
    #[error("the volumes of {0} that go with its pods would be deleted ({1}); --allow-volume-loss accepts that")]
    VolumeLoss(String, &'static str),
    /// Nothing would be left serving.
    #[error("{target} would be without a ready pod ({why}); --allow-downtime accepts that")]
    LastReady {
        /// Which.
        target: String,
        /// Why.
        why: String,
    },
    /// No kind with revisions.
    #[error("{0} has no revisions that could be brought back: only Deployments, StatefulSets and DaemonSets have")]
    NoRevisions(String),
    /// They cannot be read.
    #[error("the revisions of {target} cannot be told: {why}")]
    RevisionsUnknown {
        /// Which.
        target: String,
        /// Why.
        why: String,
    },
    /// The first one.
    #[error("{0} has no earlier revision: this is its first, or its revisionHistoryLimit kept none")]
    NoEarlierRevision(String),
    /// Nothing but restarts lies between them and the present one.
    #[error(
        "the earlier revisions that {target} keeps ({kept}) differ from the present one by a restart only, so that there is \
         nothing to go back to; --to-revision rolls back to one of them all the same"
    )]
    OnlyRestarts {
        /// Which.
        target: String,
        /// Their numbers.
        kept: String,
    },
    /// That is the one it has.
    #[error("{target} is at revision {number} already")]
    IsAtRevision {
        /// Which.
        target: String,
        /// The revision.
        number: i64,
    },
    /// Not kept.
    #[error("{target} keeps no revision {number}; it keeps {kept}")]
    NoSuchRevision {
        /// Which.
        target: String,
        /// What was asked for.
        number: i64,
        /// What there is.
        kept: String,
    },
    /// A flag without its action.
    #[error("--to-revision belongs to --action rollout-undo")]
    RevisionWithoutUndo,
    /// The same second.
    #[error("{0} was restarted within this second already")]
    JustRestarted(String),
    /// Nothing would bring it back.
    #[error("{0} has no controller: once deleted, nothing would bring it back")]
    Bare(String),
    /// The kubelet's own.
    #[error("{0} mirrors a static pod: only its manifest on the node restarts it, deleting the mirror does not")]
    Mirror(String),
    /// On its way out.
    #[error("{0} is being deleted already")]
    Deleting(String),
    /// A Job's pod.
    #[error(
        "{0} belongs to a Job, which counts an eviction as a failure and runs its pods again by its own backoffLimit"
    )]
    JobPod(String),
    /// A pod of a workflow, or of another controller of work that ends.
    #[error(
        "{0} runs once (its restartPolicy is not Always): its controller may count an eviction as a failure, and need not make \
         another"
    )]
    RunsOnce(String),
    /// The kind has no replicas of its own.
    #[error("{0} cannot be scaled: {1}")]
    NotScalable(String, &'static str),
    /// An autoscaler would set it back.
    #[error("{name} owns the replicas of {target} ({min} to {max}) and would set them back; {instead}")]
    Autoscaled {
        /// The workload.
        target: String,
        /// The autoscaler with its kind.
        name: String,
        /// Its lower bound.
        min: i32,
        /// Its upper bound.
        max: i32,
        /// What to do instead.
        instead: String,
    },
    /// An operator would set it back.
    #[error("an operator makes {target} from {from} and would set this back; change it in {from} instead")]
    Operated {
        /// The workload.
        target: String,
        /// Kind and name of what it is made from.
        from: String,
    },
    /// A quota would be exceeded.
    #[error("{target} cannot have that many: {quotas}; nothing was changed")]
    OverQuota {
        /// The workload.
        target: String,
        /// Which quota, and the numbers.
        quotas: String,
    },
    /// No node has room.
    #[error("{target}: {detail}; --allow-pending accepts that they wait")]
    NoRoomToGrow {
        /// The workload.
        target: String,
        /// How many, and why.
        detail: String,
    },
    /// Whether there is an autoscaler is not known.
    #[error("cannot tell whether an autoscaler would set {target} back: {why}")]
    AutoscalerUnknown {
        /// The workload.
        target: String,
        /// Why.
        why: String,
    },
    /// Zero was not asked for.
    #[error("{0} would be scaled to 0, which takes it out of service: --replicas 0 accepts that")]
    ToZero(String),
    /// No change.
    #[error("{target} has {replicas} replicas already")]
    AsItIs {
        /// Which.
        target: String,
        /// How many.
        replicas: i32,
    },
    /// No negative numbers of pods.
    #[error("--replicas {0} is not a number of pods: 0 or more")]
    Negative(i32),
    /// `--replicas` without `scale`.
    #[error("--replicas belongs to --action scale")]
    ReplicasWithoutScale,
    /// `--limits` or such without `resources`.
    #[error("--container, --limits, --requests and --in-place belong to --action resources")]
    AmountsWithoutResources,
    /// A pod has no template.
    #[error("the limits of {0} come from its workload's template: name that workload")]
    NoTemplate(String),
    /// An autoscaler would set it back.
    #[error(
        "VerticalPodAutoscaler {name} sets the requests of {target} and would set them back; change its resourcePolicy \
         (minAllowed, maxAllowed) instead, or set its updateMode to Off first"
    )]
    VerticallyScaled {
        /// The workload.
        target: String,
        /// The autoscaler.
        name: String,
    },
    /// There are several.
    #[error("{target} has the containers {names}: --container says which")]
    WhichContainer {
        /// The workload.
        target: String,
        /// Their names.
        names: String,
    },
    /// There is none of this name.
    #[error("{target} has no such container, only {names}")]
    NoSuchContainer {
        /// The workload.
        target: String,
        /// Their names.
        names: String,
    },
    /// No change.
    #[error("container {container} of {target} has these limits and requests already")]
    SameResources {
        /// The workload.
        target: String,
        /// The container.
        container: String,
    },
    /// Use is known of the whole pod.
    #[error("the use of {0} is recorded by pod, and it has several containers: say what to set with --limits")]
    RecordedByPod(String),
    /// Nothing is proposed from a guess.
    #[error(
        "limits are proposed from at least 60 minutes of recorded use, and of {target} there are {minutes}. An exporter keeps \
         its last 40 readings, ten minutes: say what to set, for example --limits memory=512Mi, or take the use of the last \
         day from a Prometheus: --source prometheus"
    )]
    TooLittleRecorded {
        /// The workload.
        target: String,
        /// How much there is.
        minutes: i64,
    },
    /// The limits are wide enough.
    #[error(
        "the limits of {target} are {headroom} % or more above all recorded use: say what to set with --limits if they \
         are to be raised all the same"
    )]
    NothingToRaise {
        /// The workload.
        target: String,
        /// In percent.
        headroom: u32,
    },
    /// The API server would refuse the pods.
    #[error(
        "{target} would request {request} {resource} with a limit of {limit}: set both with --requests and --limits"
    )]
    RequestOverLimit {
        /// The workload.
        target: String,
        /// `cpu` or `memory`.
        resource: &'static str,
        /// What it would request.
        request: String,
        /// What it would be limited to.
        limit: String,
    },
    /// Less than is needed.
    #[error("a {resource} {what} of {amount} is below present use: a pod of {target} uses {used}")]
    BelowUse {
        /// The workload.
        target: String,
        /// `limit` or `request`.
        what: &'static str,
        /// `cpu` or `memory`.
        resource: &'static str,
        /// What was asked for.
        amount: String,
        /// What is used, in words.
        used: String,
    },
    /// Nobody knows whether it is enough.
    #[error("{resource} of {target} would become less, and no exporter says how much of it is used now")]
    UseUnknown {
        /// The workload.
        target: String,
        /// `cpu` or `memory`.
        resource: &'static str,
    },
    /// The API server refuses that.
    #[error("a limit or request of {0} cannot be taken away in place: leave --in-place out")]
    NotTakenAwayInPlace(String),
    /// A resize that would be a restart.
    #[error(
        "a container of pod/{pod} would be restarted for it (resizePolicy RestartContainer for {resource}), and not be waited \
         for: leave --in-place out, and the rollout of the new template waits for each pod"
    )]
    RestartsInPlace {
        /// The first such pod.
        pod: String,
        /// `cpu` or `memory`.
        resource: &'static str,
    },
    /// A node action on something else.
    #[error("{action} is for nodes, and {target} is none: kubectl guard fix node/NAME --action {action}")]
    NotANode {
        /// What was named.
        target: String,
        /// The action's word.
        action: &'static str,
    },
    /// Another action on a node.
    #[error("{0} is a node: it can be cordoned, uncordoned or drained, say which with --action")]
    OnlyNodeActions(String),
    /// No change.
    #[error("{0} is cordoned already")]
    Cordoned(String),
    /// No change.
    #[error("{0} is not cordoned")]
    NotCordoned(String),
    /// The cluster's own.
    #[error("{0} is a control-plane node; --allow-control-plane accepts that")]
    ControlPlane(String),
    /// Too few nodes would be left.
    #[error("without {target} only {left}, and at least {least} % should; --min-schedulable {share} accepts that")]
    TooFewNodes {
        /// The node.
        target: String,
        /// How many are left.
        left: String,
        /// How many percent there should be.
        least: u8,
        /// How many percent there would be.
        share: usize,
    },
    /// Too soon.
    #[error("{0}: what it did shows within ten minutes; --no-cool-down acts at once")]
    CoolDown(String),
    /// kubectl's filters say no.
    #[error("{target} cannot be drained: {pods}; nothing was changed")]
    Undrainable {
        /// The node.
        target: String,
        /// Which pods, why, and the flag that accepts it.
        pods: String,
    },
    /// Two budgets on one pod.
    #[error(
        "the API server evicts no pod that more than one disruption budget covers, so {target} cannot be drained: {pods}; \
         correct the budgets, or --disable-eviction deletes without asking them"
    )]
    ManyBudgets {
        /// The node.
        target: String,
        /// Which pods and budgets.
        pods: String,
    },
    /// The plan that is to be carried out, or gone on with, asks no budget, and that was not typed now.
    #[error(
        "the plan deletes pods without asking their disruption budgets; --disable-eviction accepts that, and is never taken \
         from a plan"
    )]
    DeletesUntyped,
    /// A spent budget.
    #[error("disruption budgets keep pods on {target}: {pods}; --wait-for-budgets waits for them as long as --timeout")]
    SpentBudgets {
        /// The node.
        target: String,
        /// Which pods and budgets.
        pods: String,
    },
    /// No room.
    #[error("pods of {target} would fit on no other node: {pods}; --allow-pending accepts that they wait")]
    NoRoom {
        /// The node.
        target: String,
        /// Which pods, and why.
        pods: String,
    },
    /// Not guard's.
    #[error(
        "{0} was not cordoned by guard, so somebody else may need it so; --foreign-cordon uncordons it all the same"
    )]
    ForeignCordon(String),
}

impl Refusal {
    /// The rollouts of this Deployment are paused.
    pub(super) fn paused(target: &Target) -> Self {
        Refusal::Paused { target: target.to_string(), namespace: target.namespace.clone() }
    }
}

impl Failure for Refusal {
    fn exit(&self) -> Exit {
        match self {
            // No rail: what was typed fits no cluster.
            Refusal::RevisionWithoutUndo
            | Refusal::ReplicasWithoutScale
            | Refusal::AmountsWithoutResources
            | Refusal::Negative(_)
            | Refusal::NotANode { .. }
            | Refusal::OnlyNodeActions(_) => Exit::Usage,
            _ => Exit::Refused,
        }
    }
}
