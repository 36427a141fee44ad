use guard_model::cause::Cause;
use guard_model::report::State;
use jiff::{SignedDuration, ToSpan};

use super::*;
use crate::audit::Tried;
use crate::facts::{
    Autoscaling, BudgetFact, NodePod, NodeTarget, Pause, PodTarget, Recent, Revisions, Rollout, StatefulFacts, Usage,
    WorkloadFacts,
};
use crate::node_cause::NodeCause;
use crate::outcome::Outcome;
use crate::plan::examples::{evidence, facts, node_pod, node_target, pod_target, revisions, setting, workload};
use crate::plan::{Action, DrainOptions, Kind, RailState, Resource, Undo};
use crate::sanitise;
use crate::side::Side;
use crate::wish::ResourceWish;
use crate::wish::Wish;

fn wish(action: ActionKind) -> Wish {
    Wish { action: Some(action), ..Wish::default() }
}

fn run(wish: &Wish, facts: &Facts) -> Result<Proposal, Refusal> {
    propose(wish, Some(evidence(Cause::Memory)), facts, setting())
}

fn deployment(change: impl FnOnce(&mut WorkloadFacts)) -> Facts {
    of_kind(Kind::Deployment, change)
}

fn of_kind(kind: Kind, change: impl FnOnce(&mut WorkloadFacts)) -> Facts {
    let mut workload = workload(kind);
    change(&mut workload);
    facts(TargetFacts::Workload(workload))
}

fn pod(change: impl FnOnce(&mut PodTarget)) -> Facts {
    let mut pod = pod_target();
    change(&mut pod);
    facts(TargetFacts::Pod(pod))
}

fn step(proposal: Result<Proposal, Refusal>) -> Step {
    match proposal {
        Ok(Proposal::Plan(plan)) => plan.steps[0].clone(),
        other => panic!("no plan: {other:?}"),
    }
}

#[test]
fn the_evidence_chooses_the_action() {
    let by = |cause| propose(&Wish::default(), Some(evidence(cause)), &deployment(|_| ()), setting());
    assert_eq!(step(by(Cause::Memory)).action, Action::RolloutRestart);
    assert_eq!(step(by(Cause::CpuAtLimit)).action, Action::Scale { replicas: 3 });
    assert!(matches!(by(Cause::CrashLoop), Ok(Proposal::NothingHelps { why }) if why.contains("won't help")));
    let silent = Evidence { side: Some(Side::Below), ..evidence(Cause::Transmit) };
    let nothing = propose(&Wish::default(), Some(silent), &deployment(|_| ()), setting());
    assert!(matches!(nothing, Ok(Proposal::NothingHelps { why }) if why.contains("look at who calls it")));
}

/// The journal says that a restart was no help: more memory is proposed where that can be told, else the restart once more.
#[test]
fn what_did_not_help_is_proposed_after_what_may() {
    let cause = Cause::MemoryNearLimit;
    let tried = Tried { action: ActionKind::Restart, cause, outcome: Outcome::Unchanged, at: setting().now - 1.hour() };
    let proposed = |usage: Usage| {
        let vertical = Some(Autoscaling::Nobody);
        let facts = Facts { tried: vec![tried.clone()], usage, vertical, ..deployment(|_| ()) };
        match propose(&Wish::default(), Some(evidence(cause)), &facts, setting()).unwrap() {
            Proposal::Plan(plan) => (plan.steps[0].action.kind(), plan.advice.join("\n")),
            other => panic!("no plan: {other:?}"),
        }
    };
    let peak = [(Resource::Memory, "90Mi".parse().unwrap())].into();
    let (action, advice) = proposed(Usage { peak, recorded: SignedDuration::from_hours(2), ..Usage::default() });
    assert_eq!(action, ActionKind::Resources, "{advice}");
    assert!(advice.contains("restart was tried at 2026-11-22T12:20:05Z for the same reason"), "{advice}");
    let (action, advice) = proposed(Usage::default());
    assert_eq!(action, ActionKind::Restart, "{advice}");
    assert!(advice.contains("resources is not possible instead: "), "{advice}");
    // What is asked for by name is not reordered.
    let facts = Facts { tried: vec![tried], ..deployment(|_| ()) };
    assert_eq!(step(run(&wish(ActionKind::Restart), &facts)).action, Action::RolloutRestart);
}

#[test]
fn a_healthy_target_is_left_alone_unless_an_action_is_named() {
    let mut healthy = evidence(Cause::Memory);
    healthy.over = 0;
    healthy.score = Some(0.2);
    healthy.pods.iter_mut().for_each(|pod| pod.state = State::Ok);
    let run = |wish: &Wish| propose(wish, Some(healthy.clone()), &deployment(|_| ()), setting());
    assert!(matches!(run(&Wish::default()), Ok(Proposal::Healthy { .. })));
    assert!(matches!(run(&wish(ActionKind::Restart)), Ok(Proposal::Plan(_))));
}

#[test]
fn without_a_score_only_a_named_action_is_proposed() {
    let run = |wish: &Wish| propose(wish, None, &deployment(|_| ()), setting());
    assert_eq!(run(&Wish::default()), Err(Refusal::NoScore("deployment/web".into())));
    assert!(matches!(run(&wish(ActionKind::Restart)), Ok(Proposal::Plan(_))));
}

#[test]
fn a_restart_holds_uid_and_version_and_touches_one_annotation() {
    let step = step(run(&wish(ActionKind::Restart), &deployment(|_| ())));
    insta::assert_snapshot!(step.patch, @r#"{"metadata":{"resourceVersion":"4711","uid":"uid-web"},"spec":{"template":{"metadata":{"annotations":{"kubectl.kubernetes.io/restartedAt":"2026-11-22T13:20:05Z"}}}}}"#);
    assert_eq!(step.need.to_string(), "patch deployments.apps in namespace shop");
}

#[test]
fn an_eviction_holds_the_uid_in_delete_options() {
    let step = step(run(&wish(ActionKind::Restart), &pod(|_| ())));
    insta::assert_snapshot!(step.patch, @r#"{"apiVersion":"policy/v1","deleteOptions":{"preconditions":{"uid":"uid-web-a"}},"kind":"Eviction","metadata":{"name":"web-a","namespace":"shop"}}"#);
    assert_eq!(step.need.to_string(), "create pods/eviction in namespace shop");
}

#[test]
fn what_would_not_roll_is_not_restarted() {
    let refused = |facts: &Facts| run(&wish(ActionKind::Restart), facts).unwrap_err();
    assert!(matches!(refused(&deployment(|w| w.paused = true)), Refusal::Paused { .. }));
    assert!(matches!(
        refused(&of_kind(Kind::StatefulSet, |w| w.rollout = Rollout::OnDelete)),
        Refusal::WouldNotRoll { .. }
    ));
    let partition = Rollout::Rolling { max_unavailable: 1, max_surge: 0, partition: 2 };
    assert!(matches!(refused(&of_kind(Kind::StatefulSet, |w| w.rollout = partition)), Refusal::WouldNotRoll { .. }));
    assert!(matches!(
        refused(&deployment(|w| w.restarted_at = Some("2026-11-22T13:20:05Z".into()))),
        Refusal::JustRestarted(_)
    ));
}

/// Every way a restart can end the last ready pod: refused, and accepted only by `--allow-downtime`.
#[test]
fn the_last_ready_replica_is_kept() {
    let one_at_a_time = Rollout::Rolling { max_unavailable: 1, max_surge: 0, partition: 0 };
    // One that waits for nobody: the default would not go on past a pod that is not ready.
    let mut alone_ready = of_kind(Kind::StatefulSet, |w| {
        w.rollout = one_at_a_time;
        w.stateful = Some(StatefulFacts { ordered: false, first: 0, deletes_volumes: false });
    });
    alone_ready.pods[1].ready = false;
    let mut leaving = of_kind(Kind::StatefulSet, |w| w.rollout = one_at_a_time);
    leaving.pods[1].deleting = true;
    let mut last_pod = pod(|_| ());
    last_pod.pods[1].ready = false;
    let cases = [
        deployment(|w| w.rollout = Rollout::Recreate),
        deployment(|w| {
            w.replicas = 1;
            w.rollout = one_at_a_time;
        }),
        alone_ready,
        leaving,
        last_pod,
    ];
    for facts in cases {
        let refused = run(&wish(ActionKind::Restart), &facts);
        assert!(matches!(refused, Err(Refusal::LastReady { .. })), "{facts:?}");
        let accepted = run(&Wish { allow_downtime: true, ..wish(ActionKind::Restart) }, &facts);
        let Ok(Proposal::Plan(plan)) = accepted else { panic!("{accepted:?}") };
        assert!(plan.guard_rails.iter().any(|rail| rail.state == RailState::Overridden));
    }
}

#[test]
fn where_nothing_is_ready_nothing_can_be_lost() {
    let mut facts = deployment(|w| w.rollout = Rollout::Recreate);
    facts.pods.iter_mut().for_each(|pod| pod.ready = false);
    assert!(run(&wish(ActionKind::Restart), &facts).is_ok());
}

#[test]
fn pods_that_nothing_would_bring_back_are_refused() {
    let refused = |facts: &Facts| run(&wish(ActionKind::Restart), facts).unwrap_err();
    assert!(matches!(refused(&pod(|p| p.controller = None)), Refusal::Bare(_)));
    assert!(matches!(refused(&pod(|p| p.mirror = true)), Refusal::Mirror(_)));
    assert!(matches!(refused(&pod(|p| p.controller = Some(("Node".into(), "n1".into())))), Refusal::Mirror(_)));
    assert!(matches!(refused(&pod(|p| p.controller = Some(("Job".into(), "j".into())))), Refusal::JobPod(_)));
    let workflow = |p: &mut PodTarget| (p.controller, p.runs_once) = (Some(("Workflow".into(), "w".into())), true);
    assert!(matches!(refused(&pod(workflow)), Refusal::RunsOnce(_)));
    assert!(matches!(refused(&pod(|p| p.deleting = true)), Refusal::Deleting(_)));
}

#[test]
fn an_autoscaler_or_the_doubt_of_one_refuses_a_scale() {
    let mut facts = deployment(|_| ());
    facts.autoscaling = Autoscaling::Owned { name: "web".into(), min: 1, max: 4 };
    assert!(matches!(run(&wish(ActionKind::Scale), &facts), Err(Refusal::Autoscaled { .. })));
    facts.autoscaling = Autoscaling::Unknown { why: "forbidden".into() };
    assert!(matches!(run(&wish(ActionKind::Scale), &facts), Err(Refusal::AutoscalerUnknown { .. })));
}

#[test]
fn zero_replicas_must_be_typed() {
    let to = |replicas| run(&Wish { replicas, ..wish(ActionKind::Scale) }, &deployment(|_| ()));
    assert_eq!(step(to(Some(0))).action, Action::Scale { replicas: 0 });
    let Ok(Proposal::Plan(plan)) = to(Some(0)) else { panic!() };
    let rail = plan.guard_rails.iter().find(|rail| rail.name == "scale to zero").unwrap();
    assert_eq!((rail.state, rail.detail.as_str()), (RailState::Overridden, "--replicas 0 was asked for"));
    assert_eq!(step(to(None)).action, Action::Scale { replicas: 3 });
    assert!(matches!(to(Some(2)), Err(Refusal::AsItIs { .. })));
    assert!(matches!(to(Some(-1)), Err(Refusal::Negative(-1))));
}

#[test]
fn what_has_no_replicas_is_not_scaled() {
    for facts in [of_kind(Kind::DaemonSet, |_| ()), pod(|_| ())] {
        assert!(matches!(run(&wish(ActionKind::Scale), &facts), Err(Refusal::NotScalable(..))));
    }
}

#[test]
fn a_protected_namespace_must_be_named() {
    let facts = deployment(|w| w.target.namespace = "kube-system".into());
    assert!(matches!(run(&wish(ActionKind::Restart), &facts), Err(Refusal::Protected(_))));
    let named = run(&Wish { named: true, ..wish(ActionKind::Restart) }, &facts);
    assert!(matches!(named, Ok(Proposal::Plan(_))));
}

#[test]
fn a_pause_or_the_doubt_of_one_travels_in_the_plan_as_refused() {
    for pause in [Pause::On { reason: Some("freeze".into()) }, Pause::Unknown { why: "forbidden".into() }] {
        let mut facts = deployment(|_| ());
        facts.pause = pause;
        let Ok(Proposal::Plan(plan)) = run(&wish(ActionKind::Restart), &facts) else { panic!("no plan") };
        assert_eq!(plan.refused_by().unwrap().name, "pause");
    }
}

fn node(change: impl FnOnce(&mut NodeTarget)) -> Facts {
    let mut node = node_target();
    change(&mut node);
    Facts { owner: None, pods: Vec::new(), ..facts(TargetFacts::Node(node)) }
}

fn cordoned(node: &mut NodeTarget) {
    node.unschedulable = true;
}

#[test]
fn what_is_wrong_with_a_node_chooses_its_action() {
    let pressure = || Some((NodeCause::Pressure, "MemoryPressure: KubeletHasInsufficientMemory".to_owned()));
    let dead = || Some((NodeCause::NotReady, "not ready (Unknown): NodeStatusUnknown".to_owned()));
    let with = |problem, workloads, unschedulable| {
        let facts = node(|n| {
            n.problem = problem;
            n.workloads = workloads;
            n.unschedulable = unschedulable;
            n.pods = vec![node_pod("web-a")];
        });
        match run(&Wish::default(), &facts) {
            Ok(Proposal::Plan(plan)) => format!("{} ({})", plan.steps[0].action.phrase(), plan.advice.join("; ")),
            Ok(Proposal::Healthy { why }) => format!("healthy: {why}"),
            Ok(Proposal::NothingHelps { why }) => format!("nothing helps: {why}"),
            Err(refusal) => format!("refused: {refusal}"),
        }
    };
    let table = [
        with(None, (1, 5), false),
        with(None, (2, 2), false),
        with(None, (4, 5), false),
        with(None, (4, 5), true),
        with(pressure(), (0, 5), false),
        with(pressure(), (0, 5), true),
        with(dead(), (0, 0), false),
        with(dead(), (5, 5), true),
    ];
    insta::assert_snapshot!(table.join("\n"));
}

#[test]
fn a_node_is_cordoned_and_uncordoned_and_nothing_else() {
    let cordon = step(run(&wish(ActionKind::Cordon), &node(|_| ())));
    assert_eq!(cordon.need.to_string(), "patch nodes");
    assert_eq!(cordon.undo, Undo::Inverse { action: Action::Uncordon });
    let signed = node(|n| {
        cordoned(n);
        n.cordoned = Some("{}".into());
    });
    assert_eq!(step(run(&wish(ActionKind::Uncordon), &signed)).undo, Undo::Inverse { action: Action::Cordon });
    for other in [wish(ActionKind::Restart), wish(ActionKind::Scale), wish(ActionKind::Resources)] {
        assert!(matches!(run(&other, &node(|_| ())), Err(Refusal::OnlyNodeActions(_))), "{other:?}");
    }
    for facts in [deployment(|_| ()), pod(|_| ())] {
        assert!(matches!(run(&wish(ActionKind::Cordon), &facts), Err(Refusal::NotANode { .. })));
    }
}

#[test]
fn a_node_that_is_so_already_is_left_alone() {
    assert!(matches!(run(&wish(ActionKind::Cordon), &node(cordoned)), Err(Refusal::Cordoned(_))));
    assert!(matches!(run(&wish(ActionKind::Uncordon), &node(|_| ())), Err(Refusal::NotCordoned(_))));
}

/// Each guard rail of a node: refused with the flag that accepts it, and then accepted by that flag alone.
#[test]
fn each_guard_rail_of_a_node_names_its_override() {
    let cases = [
        (
            node(|n| n.control_plane = true),
            Wish { allow_control_plane: true, ..wish(ActionKind::Cordon) },
            "--allow-control-plane",
        ),
        (
            node(|n| n.others = 1),
            Wish { min_schedulable: Some(25), ..wish(ActionKind::Cordon) },
            "--min-schedulable 25",
        ),
        (node(cordoned), Wish { foreign_cordon: true, ..wish(ActionKind::Uncordon) }, "--foreign-cordon"),
    ];
    for (facts, accepted, flag) in cases {
        let refused = run(&Wish { action: accepted.action, ..Wish::default() }, &facts).unwrap_err().to_string();
        assert!(refused.contains(flag), "{refused}");
        let Ok(Proposal::Plan(plan)) = run(&accepted, &facts) else { panic!("{flag}") };
        assert!(plan.guard_rails.iter().any(|rail| rail.state == RailState::Overridden), "{flag}");
    }
}

fn drain(change: impl FnOnce(&mut NodePod)) -> Facts {
    let mut pod = node_pod("web-a");
    change(&mut pod);
    node(|n| n.pods = vec![pod])
}

fn budget(name: &str, allowed: i32) -> BudgetFact {
    BudgetFact { name: name.into(), allowed, spares: false }
}

/// Each thing that a drain would do to a pod: refused with the flag that accepts it, and then accepted by that flag alone.
#[test]
fn each_guard_rail_of_a_drain_names_its_override() {
    type Flag = fn(&mut Wish);
    let machine = |p: &mut NodePod| {
        // A virtual machine runs on in a pod that may end.
        (p.controller, p.others_ready, p.runs_once) = (Some(("VirtualMachineInstance".into(), "vm".into())), 0, true);
    };
    let cases: [(&str, Facts, Flag); 9] = [
        ("--ignore-daemonsets", drain(|p| p.controller = Some(("DaemonSet".into(), "ds".into()))), |w| {
            w.drain.ignore_daemonsets = true;
        }),
        ("--delete-emptydir-data", drain(|p| p.empty_dir = true), |w| w.drain.delete_emptydir_data = true),
        (
            "--force",
            drain(|p| {
                p.controller = None;
                p.ready = false;
            }),
            |w| w.drain.force = true,
        ),
        ("--wait-for-budgets", drain(|p| p.budgets = vec![budget("mine", 0)]), |w| w.drain.wait_for_budgets = true),
        ("--disable-eviction", drain(|p| p.budgets = vec![budget("mine", 1), budget("all", 1)]), |w| {
            w.drain.disable_eviction = true;
        }),
        (
            "--allow-pending",
            drain(|p| p.misfit = Some("of 3 other nodes 3 without room for its requests".into())),
            |w| w.drain.allow_pending = true,
        ),
        ("--allow-downtime", drain(|p| p.others_ready = 0), |w| w.allow_downtime = true),
        ("--allow-downtime", drain(machine), |w| w.allow_downtime = true),
        ("--allow-control-plane", node(|n| n.control_plane = true), |w| w.allow_control_plane = true),
    ];
    let job = drain(|p| (p.controller, p.others_ready) = (Some(("Job".into(), "import".into())), 0));
    let Ok(Proposal::Plan(plan)) = run(&wish(ActionKind::Drain), &job) else { panic!() };
    assert!(plan.advice.iter().any(|line| line.starts_with("a job begins its work anew")), "{:?}", plan.advice);
    let workflow = |p: &mut NodePod| {
        (p.controller, p.others_ready, p.runs_once) = (Some(("Workflow".into(), "import".into())), 0, true);
    };
    let Ok(Proposal::Plan(plan)) = run(&wish(ActionKind::Drain), &drain(workflow)) else { panic!() };
    assert!(plan.advice.iter().any(|line| line.starts_with("they run once")), "{:?}", plan.advice);
    for (flag, facts, accept) in cases {
        let mut wish = wish(ActionKind::Drain);
        let refused = run(&wish, &facts).unwrap_err().to_string();
        assert!(refused.contains(flag), "{refused}");
        accept(&mut wish);
        assert!(matches!(run(&wish, &facts), Ok(Proposal::Plan(_))), "{flag}");
    }
}

/// Whoever approves a plan, or is given it as a file, has not typed what it gives up.
#[test]
fn what_a_drain_gives_up_is_named_in_its_plan() {
    let bare = |number: usize| NodePod { controller: None, empty_dir: true, ..node_pod(&format!("bare-{number}")) };
    let facts = node(|n| {
        n.pods = (0..7).map(bare).collect();
        n.pods.push(NodePod { finished: true, empty_dir: true, ..node_pod("over") });
    });
    let told = |change: fn(&mut DrainOptions)| {
        let mut wish = wish(ActionKind::Drain);
        (wish.drain.force, wish.drain.delete_emptydir_data) = (true, true);
        change(&mut wish.drain);
        let Ok(Proposal::Plan(plan)) = run(&wish, &facts) else { panic!("no plan") };
        let rails = plan.guard_rails.iter().filter(|rail| rail.state == RailState::Overridden);
        let rails = rails.map(|rail| format!("{}: {}", rail.name, rail.detail));
        rails.chain(plan.advice.iter().cloned()).collect::<Vec<_>>().join("\n")
    };
    insta::assert_snapshot!(told(|_| ()), @"
    local data: lost with shop/bare-0, shop/bare-1, shop/bare-2, shop/bare-3, shop/bare-4 and 2 more
    no controller: ended for good: shop/bare-0, shop/bare-1, shop/bare-2, shop/bare-3, shop/bare-4 and 2 more
    ");
    let at_once = told(|options| options.grace_period = 0);
    assert!(at_once.ends_with("\ngrace period: 0 seconds: the pods are removed before they have stopped"), "{at_once}");
    let some = told(|o| (o.grace_period, o.pod_selector) = (5, Some("app=web\nDigest".into())));
    assert!(
        some.ends_with(
            "\neach pod is given 5 s to end, whatever it asks for itself\nonly pods with these labels go: app=web Digest"
        ),
        "{some}"
    );
    let none = run(&wish(ActionKind::Drain), &drain(|p| p.empty_dir = false)).unwrap();
    let Proposal::Plan(plan) = none else { panic!("no plan") };
    assert!(plan.guard_rails.iter().all(|rail| rail.state == RailState::Held), "{:?}", plan.guard_rails);
}

#[test]
fn a_refused_drain_names_pods_and_budgets() {
    let refused = |facts: &Facts| run(&wish(ActionKind::Drain), facts).unwrap_err().to_string();
    insta::assert_snapshot!(refused(&drain(|p| p.budgets = vec![budget("mine", 0)])));
    insta::assert_snapshot!(refused(&drain(|p| p.budgets = vec![budget("mine", 1), budget("all", 2)])));
    insta::assert_snapshot!(refused(&drain(|p| p.empty_dir = true)));
    insta::assert_snapshot!(refused(&drain(|p| p.misfit = Some("no other node takes pods".into()))));
    insta::assert_snapshot!(refused(&drain(|p| p.others_ready = 0)));
}

/// The API server asks no budget for a pod that does not run.
#[test]
fn budgets_of_pods_that_do_not_run_are_not_asked() {
    let spent = |change: fn(&mut NodePod)| {
        drain(|p| {
            p.budgets = vec![budget("mine", 0), budget("all", 0)];
            change(p);
        })
    };
    for facts in
        [spent(|p| p.finished = true), spent(|p| p.pending = true), spent(|p| p.deleting_since = Some(setting().now))]
    {
        assert!(run(&wish(ActionKind::Drain), &facts).is_ok());
    }
}

#[test]
fn a_cordoned_node_is_drained_and_keeps_the_signature_it_has() {
    let facts = node(|n| {
        cordoned(n);
        n.pods = vec![node_pod("web-a")];
    });
    let step = step(run(&wish(ActionKind::Drain), &facts));
    assert!(step.patch["metadata"].get("annotations").is_none(), "{}", step.patch);
    assert_eq!(step.before, step.after);
}

/// Nobody who restarts one pod should roll out what somebody else holds back, unawares.
#[test]
fn a_pod_that_comes_back_with_another_template_says_so() {
    let advice = |outdated| {
        let Ok(Proposal::Plan(plan)) = run(&wish(ActionKind::Restart), &pod(|p| p.outdated = outdated)) else {
            panic!()
        };
        plan.advice.into_iter().filter(|line| line.contains("newer template")).collect::<Vec<_>>()
    };
    assert_eq!(advice(Some(false)), [""; 0]);
    assert!(advice(Some(true))[0].contains("update strategy OnDelete"));
    assert!(advice(None)[0].contains("is not known"));
}

#[test]
fn the_same_target_is_left_alone_for_a_while() {
    let ago =
        |minutes: i64| Recent::Done { what: "restart deployment/web".into(), at: setting().now - minutes.minutes() };
    let with = |recent| Facts { recent, ..deployment(|_| ()) };
    let refused = run(&wish(ActionKind::Restart), &with(ago(9))).unwrap_err().to_string();
    assert!(refused.contains("restart deployment/web") && refused.contains("--no-cool-down"), "{refused}");
    let accepted = run(&Wish { no_cool_down: true, ..wish(ActionKind::Restart) }, &with(ago(9)));
    assert!(
        matches!(accepted, Ok(Proposal::Plan(plan)) if plan.guard_rails.iter().any(|r| r.state == RailState::Overridden))
    );
    assert!(run(&wish(ActionKind::Restart), &with(ago(10))).is_ok());
    let Ok(Proposal::Plan(plan)) = run(&wish(ActionKind::Restart), &with(Recent::Unknown { why: "torn".into() }))
    else {
        panic!("no plan")
    };
    assert_eq!(plan.refused_by().unwrap().name, "cool-down");
}

#[test]
fn whoever_deploys_a_workload_is_named_with_where_to_change_it() {
    let facts = deployment(|w| w.deployed_by = Some("Argo CD application shop".into()));
    let Ok(Proposal::Plan(plan)) = run(&wish(ActionKind::Scale), &facts) else { panic!("no plan") };
    assert!(plan.advice.iter().any(|line| line.contains("Argo CD application shop") && line.contains("in its source")));
}

/// A replica more of what Prometheus Operator makes lasts for seconds; its pods can be restarted all the same.
#[test]
fn what_an_operator_would_set_back_is_refused_with_where_to_change_it() {
    let facts = Facts { revisions: revisions(), ..deployment(|w| w.made_from = Some("Prometheus k8s".into())) };
    for action in [ActionKind::Scale, ActionKind::RolloutUndo, ActionKind::Resources] {
        let refused = run(&wish(action), &facts).unwrap_err();
        assert!(refused.to_string().contains("change it in Prometheus k8s instead"), "{refused}");
    }
    let Ok(Proposal::Plan(plan)) = run(&wish(ActionKind::Restart), &facts) else { panic!("no plan") };
    assert!(plan.advice.iter().any(|line| line.contains("from Prometheus k8s")), "{:?}", plan.advice);
}

mod property {
    use proptest::prelude::*;

    use super::*;

    fn any_wish() -> impl Strategy<Value = Wish> {
        let kinds = [
            ActionKind::Restart,
            ActionKind::RolloutUndo,
            ActionKind::Scale,
            ActionKind::Resources,
            ActionKind::Cordon,
            ActionKind::Uncordon,
            ActionKind::Drain,
        ];
        let flags = proptest::collection::vec(any::<bool>(), 14);
        (
            proptest::option::of(proptest::sample::select(kinds.to_vec())),
            proptest::option::of(-1..5_i32),
            proptest::option::of(0..5_i64),
            proptest::option::of(0..=100_u8),
            flags,
        )
            .prop_map(|(action, replicas, revision, min_schedulable, flag)| Wish {
                action,
                replicas,
                to_revision: revision.filter(|_| action == Some(ActionKind::RolloutUndo)),
                min_schedulable,
                named: flag[0],
                allow_downtime: flag[1],
                allow_control_plane: flag[2],
                foreign_cordon: flag[3],
                no_cool_down: flag[4],
                allow_volume_loss: flag[13],
                resources: ResourceWish {
                    limits: (flag[11] && action == Some(ActionKind::Resources))
                        .then(|| plan::amounts("memory=1Gi").unwrap()),
                    in_place: flag[12] && action == Some(ActionKind::Resources),
                    ..ResourceWish::default()
                },
                drain: DrainOptions {
                    ignore_daemonsets: flag[5],
                    delete_emptydir_data: flag[6],
                    force: flag[7],
                    disable_eviction: flag[8],
                    wait_for_budgets: flag[9],
                    allow_pending: flag[10],
                    ..DrainOptions::default()
                },
            })
    }

    fn any_pod() -> impl Strategy<Value = NodePod> {
        (
            proptest::collection::vec(any::<bool>(), 7),
            0..3_usize,
            proptest::collection::vec(0..2_i32, 0..3),
            proptest::sample::select(vec![None, Some("ReplicaSet"), Some("DaemonSet"), Some("Job")]),
            ".{0,20}",
        )
            .prop_map(|(flag, others_ready, budgets, kind, text)| NodePod {
                finished: flag[0],
                pending: flag[1],
                mirror: flag[2],
                set_exists: flag[3],
                empty_dir: flag[4],
                ready: flag[5],
                misfit: flag[6].then(|| text.clone()),
                others_ready,
                controller: kind.map(|kind| (kind.to_owned(), text.clone())),
                budgets: budgets.into_iter().map(|allowed| budget(&text, allowed)).collect(),
                ..node_pod("web-a")
            })
    }

    fn any_facts() -> impl Strategy<Value = Facts> {
        let names = vec!["shop", "kube-system", "kube-public", "kube-node-lease", "guard-system"];
        (
            0..4_u8,
            proptest::sample::select(names),
            proptest::collection::vec(any::<bool>(), 8),
            1..5_usize,
            0..5_usize,
            proptest::collection::vec(any_pod(), 0..4),
            0..20_i64,
            ".{0,30}",
        )
            .prop_map(|(kind, namespace, flag, nodes, others, pods, minutes, text)| {
                let mut facts = match kind {
                    0 => node(|n| {
                        n.unschedulable = flag[0];
                        n.control_plane = flag[1];
                        n.cordoned = flag[2].then(|| text.clone());
                        n.nodes = nodes;
                        n.others = others.min(nodes - 1);
                        n.problem = flag[3].then_some((NodeCause::Pressure, text.clone()));
                        n.workloads = (others, others);
                        n.pods = pods;
                    }),
                    1 => deployment(|w| {
                        w.target.namespace = namespace.into();
                        w.paused = flag[0];
                        w.deployed_by = Some(text.clone());
                        if flag[1] {
                            w.rollout = Rollout::Recreate;
                        }
                    }),
                    2 => of_kind(Kind::StatefulSet, |w| {
                        w.target.namespace = namespace.into();
                        w.rollout = Rollout::Rolling { max_unavailable: 1, max_surge: 0, partition: 0 };
                        w.stateful = Some(StatefulFacts { ordered: flag[0], first: 0, deletes_volumes: flag[1] });
                    }),
                    _ => pod(|p| {
                        p.target.namespace = namespace.into();
                        p.mirror = flag[0];
                        p.ready = flag[1];
                        if flag[2] {
                            p.controller = None;
                        }
                    }),
                };
                facts.pods.iter_mut().for_each(|pod| pod.ready = flag[3]);
                if flag[7] {
                    facts.revisions = revisions();
                    if let Revisions::Known { current, .. } = &mut facts.revisions {
                        current.template["spec"]["containers"][0]["image"] = text.clone().into();
                    }
                }
                if flag[4] {
                    facts.pause = Pause::On { reason: Some(text.clone()) };
                }
                if flag[5] {
                    facts.autoscaling = Autoscaling::Unknown { why: text.clone() };
                }
                if flag[1] && flag[7] {
                    facts.tried = vec![Tried {
                        action: ActionKind::Restart,
                        cause: Cause::MemoryNearLimit,
                        outcome: Outcome::Unchanged,
                        at: setting().now,
                    }];
                    let unknown = Autoscaling::Unknown { why: text.clone() };
                    facts.vertical = flag[2].then(|| if flag[5] { unknown } else { Autoscaling::Nobody });
                    let peak = [(Resource::Memory, "90Mi".parse().unwrap())].into();
                    facts.usage = Usage { peak, recorded: SignedDuration::from_hours(2), ..Usage::default() };
                }
                if flag[6] {
                    facts.recent = Recent::Done { what: text, at: setting().now - minutes.minutes() };
                }
                facts
            })
    }

    /// What a plan would break, by a second and plainer reading of the facts.
    fn broken(wish: &Wish, facts: &Facts, plan: &Plan) -> Option<&'static str> {
        let action = &plan.lead().unwrap().action;
        let mut rules = vec![
            ("protected", PROTECTED.contains(&plan.steps[0].target.namespace.as_str()) && !wish.named),
            ("pause", facts.pause != Pause::Off && plan.refused_by().is_none()),
            ("zero", *action == Action::Scale { replicas: 0 } && wish.replicas != Some(0)),
            ("autoscaler", matches!(action, Action::Scale { .. }) && facts.autoscaling != Autoscaling::Nobody),
            (
                "vertical autoscaler",
                matches!(action, Action::SetResources { .. })
                    && match &facts.vertical {
                        Some(vertical) => *vertical != Autoscaling::Nobody,
                        None => wish.action.is_none() || facts.autoscaling != Autoscaling::Nobody,
                    },
            ),
        ];
        if let Recent::Done { at, .. } = &facts.recent {
            let soon = setting().now.duration_since(*at) < COOL_DOWN;
            rules.push(("cool-down", soon && !wish.no_cool_down && !matches!(facts.target, TargetFacts::Node(_))));
        }
        match &facts.target {
            TargetFacts::Node(node) => {
                let off = !matches!(action, Action::Uncordon);
                let least = usize::from(wish.min_schedulable.unwrap_or(MIN_SCHEDULABLE));
                rules.push(("control plane", off && node.control_plane && !wish.allow_control_plane));
                rules.push(("cordoned", *action == Action::Cordon && node.unschedulable));
                rules.push(("unasked", wish.action.is_none() && node.cause().is_none()));
                rules.push(("share", off && node.others * 100 / node.nodes < least));
                rules.push(("foreign", !off && node.cordoned.is_none() && !wish.foreign_cordon));
                for pod in node.pods.iter().filter(|_| plan.steps.len() > 1) {
                    let options = &wish.drain;
                    let runs = !pod.finished;
                    let set = pod.controller.as_ref().is_some_and(|(kind, _)| kind == "DaemonSet");
                    let kept = set && runs && pod.set_exists;
                    let goes = !(pod.mirror || kept);
                    let asked = goes && runs && !pod.pending && !options.disable_eviction;
                    rules.push(("emptyDir", goes && !set && runs && pod.empty_dir && !options.delete_emptydir_data));
                    rules.push(("bare", goes && runs && pod.controller.is_none() && !options.force));
                    rules.push((
                        "DaemonSet",
                        set && runs && pod.set_exists && !options.ignore_daemonsets && !pod.mirror,
                    ));
                    rules.push(("two budgets", asked && pod.budgets.len() > 1));
                    let spent = pod.budgets.iter().any(|budget| budget.allowed < 1);
                    rules.push(("spent budget", asked && spent && !options.wait_for_budgets));
                    rules.push((
                        "room",
                        goes && pod.controller.is_some() && pod.misfit.is_some() && !options.allow_pending,
                    ));
                    // Nobody is served by a pod of a Job.
                    let has_users = pod.controller.as_ref().is_none_or(|(kind, _)| kind != "Job");
                    let alone = pod.ready && pod.others_ready == 0;
                    rules.push(("last", goes && runs && alone && has_users && !wish.allow_downtime));
                }
            }
            TargetFacts::Workload(workload) => {
                let rolls =
                    matches!(action, Action::RolloutRestart | Action::RolloutUndo { .. } | Action::SetResources { .. });
                let recreates = workload.rollout == Rollout::Recreate && facts.ready() > 0;
                rules.push(("downtime", rolls && recreates && !wish.allow_downtime));
                rules.push(("paused", rolls && workload.paused));
                let ordered = workload.stateful.is_some_and(|stateful| stateful.ordered);
                let waits = facts.pods.iter().any(|pod| !pod.ready && !pod.deleting);
                let deletes = workload.stateful.is_some_and(|stateful| stateful.deletes_volumes);
                let shrinks = matches!(action, Action::Scale { replicas } if *replicas < workload.replicas);
                rules.push(("volumes", shrinks && deletes && !wish.allow_volume_loss));
                let comes_back = matches!(plan.steps[0].undo, Undo::Inverse { .. });
                rules.push(("lost volumes that come back", shrinks && deletes && comes_back));
                rules.push(("held up", *action == Action::RolloutRestart && ordered && waits));
            }
            TargetFacts::Pod(pod) => {
                let others = facts.pods.iter().any(|other| other.uid != pod.target.uid && other.serves());
                rules.push(("last", pod.ready && !others && !wish.allow_downtime));
                rules.push(("bare or mirror", pod.controller.is_none() || pod.mirror));
            }
        }
        rules.into_iter().find_map(|(name, is)| is.then_some(name))
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2000))]

        #[test]
        fn no_plan_breaks_a_guard_rail_without_its_override(wish in any_wish(), facts in any_facts(), sick in any::<bool>()) {
            let evidence = sick.then(|| evidence(Cause::MemoryNearLimit));
            if let Ok(Proposal::Plan(plan)) = propose(&wish, evidence, &facts, setting()) {
                prop_assert_eq!(broken(&wish, &facts, &plan), None);
                let shown = plan::render(&plan, &[]);
                prop_assert!(!shown.contains(sanitise::is_forbidden), "{shown:?}");
            }
        }
    }
}
