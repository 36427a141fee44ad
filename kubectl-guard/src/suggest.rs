//! What a cause suggests to do: pure, from the reasons of a score, the side on which its value lies, and the kind of the
//! workload. `status` shows the words in its FIX column, [`crate::propose`] starts from the same answer, so that a table
//! never promises what a plan refuses.

mod node;

use guard_model::cause::{Cause, Reason};
use guard_model::pod::STATIC_POD;
use guard_model::workload::Workload;

pub use node::suggest_node;

use crate::plan::ActionKind;
use crate::side::Side;

/// What may be done about a target, and what should be known before it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Suggestion {
    /// The action that may help; `None` where no action of guard's would.
    pub action: Option<ActionKind>,
    /// One to three words for a table, such as `restart` or `fix the image`.
    pub words: &'static str,
    /// A sentence: why this, or what to do instead.
    pub advice: &'static str,
}

impl Suggestion {
    pub(crate) const fn act(action: ActionKind, words: &'static str, advice: &'static str) -> Self {
        Self { action: Some(action), words, advice }
    }

    const fn look(words: &'static str, advice: &'static str) -> Self {
        Self { action: None, words, advice }
    }
}

/// What the strongest of `reasons` suggests for this workload; `None` if there is no reason at all.
///
/// `reasons` come strongest first, as in a report; `side` is that of the first, if it is known. A workload that guard cannot
/// act on (a Job, a kind of its own, a bare
/// pod) gets words and advice, never an action.
pub fn suggest(reasons: &[Reason], side: Option<Side>, workload: Option<&Workload>) -> Option<Suggestion> {
    let cause = reasons.first()?.cause;
    let suggestion = side.and_then(|side| not_too_much(cause, side)).unwrap_or_else(|| by_cause(cause));
    let Some(action) = suggestion.action else { return Some(suggestion) };
    Some(match workload.map(|workload| workload.kind.as_str()) {
        Some("Deployment" | "StatefulSet") => suggestion,
        Some("DaemonSet") if action == ActionKind::Restart => suggestion,
        Some("DaemonSet") => Suggestion::look(
            "raise the limit",
            "a DaemonSet has one pod a node and cannot be scaled: raise its limit (--action resources --limits cpu=N), or find what eats the CPU",
        ),
        Some("Job" | "CronJob") => Suggestion::look(
            "wait for the Job",
            "a Job runs its pods again by its own backoffLimit; guard leaves them be",
        ),
        Some("ReplicaSet" | "ReplicationController") if action == ActionKind::Restart => Suggestion::look(
            "restart the pod",
            "nothing rolls this controller's pods; one pod can be evicted: kubectl guard fix pod/NAME --action restart",
        ),
        Some(STATIC_POD) => Suggestion::look(
            "by its file",
            "a static pod is run from a file on its node (--pod-manifest-path): change that; an eviction takes away only its mirror",
        ),
        Some(_) => Suggestion::look("by its operator", "this kind belongs to an operator of its own: act through that"),
        None => Suggestion::look("by hand", "a bare pod has no controller: once deleted, nothing would bring it back"),
    })
}

/// The suggestion for a value that is not higher than expected: nothing that frees or ends something helps there.
fn not_too_much(cause: Cause, side: Side) -> Option<Suggestion> {
    Some(match (cause, side) {
        (Cause::Transmit, Side::Below) => Suggestion::look(
            "see the callers",
            "it sends less than expected: look at who calls it, and at whether it still answers",
        ),
        (Cause::Receive, Side::Below) => Suggestion::look(
            "see the callers",
            "less reaches it than expected: look at who calls it, and at the way there",
        ),
        (Cause::Cpu, Side::Below) => Suggestion::look(
            "see the callers",
            "it does less than expected: look at who gives it work, and at whether it waits for something",
        ),
        (Cause::Disk, Side::Below) => Suggestion::look(
            "see the callers",
            "it reads and writes less than expected: look at who gives it work, and at whether it waits for something",
        ),
        (Cause::Memory, Side::Below) => Suggestion::look(
            "see what changed",
            "it holds less memory than expected, so there is nothing to free: look at who gives it work, and at what it let go",
        ),
        (Cause::Memory, Side::Within) => Suggestion::look(
            "see what changed",
            "its memory is within what is expected, so there is nothing to free: look at what changed when the score rose",
        ),
        _ => return None,
    })
}

/// The suggestion of one cause, for a workload that every action can be done to.
fn by_cause(cause: Cause) -> Suggestion {
    use ActionKind::{Restart, Scale};
    match cause {
        Cause::CrashLoop => Suggestion::look(
            "fix the crash",
            "a restart won't help: the kubelet restarts it already; read the last logs (kubectl logs --previous), then \
             mend the image or its configuration, or roll the last rollout back",
        ),
        Cause::OomKilled => Suggestion::act(
            Restart,
            "restart",
            "a restart frees the memory for now; if it climbs again, find the leak or raise the memory limit: --action resources --limits memory=N",
        ),
        Cause::ImagePull => Suggestion::look(
            "fix the image",
            "a restart won't help: the image cannot be pulled; correct its name, tag or pull secret",
        ),
        Cause::Unschedulable => Suggestion::look(
            "free a node",
            "a restart won't help: no node can take the pod; free or add capacity, or loosen its requests and selectors",
        ),
        Cause::StartFailed => Suggestion::look(
            "fix the config",
            "a restart won't help: a container cannot be created, or an init container does not end; see the pod's events, and \
             correct the ConfigMap, Secret, volume or command that it needs",
        ),
        Cause::Failed => Suggestion::look(
            "see why it failed",
            "the pod has ended and its controller replaces it; see its reason (kubectl guard explain)",
        ),
        Cause::NotReady => Suggestion::act(
            Restart,
            "restart",
            "a restart may help if the pod is stuck; if its readiness probe fails because of a dependency, it won't",
        ),
        Cause::Restarted => {
            Suggestion::look("wait", "it has restarted by itself a short while ago; see whether it stays well")
        }
        Cause::CpuAtLimit => Suggestion::act(
            Scale,
            "scale",
            "more replicas share the load; if only one pod is hot, the load is not balanced or the pod spins: restart it",
        ),
        Cause::MemoryNearLimit => Suggestion::act(
            Restart,
            "restart",
            "a restart comes before the kernel's kill; if it climbs again, find the leak or raise the memory limit: --action resources --limits memory=N",
        ),
        Cause::Drops => Suggestion::look(
            "see the network",
            "packets are lost below the pod: look at its node and network, not at the pod",
        ),
        Cause::Cpu => {
            Suggestion::act(Restart, "restart", "a restart ends a runaway loop; if the load is real, scale instead")
        }
        Cause::Memory => {
            Suggestion::act(Restart, "restart", "a restart frees the memory for now; if it climbs again, find the leak")
        }
        Cause::Receive => Suggestion::look(
            "see the callers",
            "what it receives is decided by its callers: look at them; if the load is real, --action scale shares it",
        ),
        Cause::Disk => Suggestion::look(
            "see the disk",
            "see what it reads and writes: a cache without memory, a dump, a log that grows; a restart ends a runaway job, and \
             nothing that is asked of it",
        ),
        Cause::Metric => Suggestion::look(
            "see the metric",
            "what this metric counts decides what helps: look at what changed when it did",
        ),
        Cause::Transmit => Suggestion::act(
            Restart,
            "look, restart",
            "look first: unusual sending may be data leaving the cluster, and a restart destroys the traces of it",
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reasons(cause: Cause) -> Vec<Reason> {
        vec![Reason { cause, score: 0.9, text: String::new() }]
    }

    fn words(cause: Cause, kind: &str) -> String {
        let suggestion = suggest(&reasons(cause), None, Some(&Workload::new(kind, "web"))).unwrap();
        format!("{} -> {:?} ({})", cause.name(), suggestion.action, suggestion.words)
    }

    #[test]
    fn each_cause_has_its_suggestion() {
        let table: Vec<_> = Cause::ALL.into_iter().map(|cause| words(cause, "Deployment")).collect();
        insta::assert_snapshot!(table.join("\n"));
    }

    #[test]
    fn a_daemonset_is_never_scaled_but_may_be_restarted() {
        assert_eq!(words(Cause::CpuAtLimit, "DaemonSet"), "cpu_at_limit -> None (raise the limit)");
        assert_eq!(words(Cause::Memory, "DaemonSet"), "memory -> Some(Restart) (restart)");
    }

    #[test]
    fn what_guard_cannot_act_on_gets_words_and_no_action() {
        for kind in ["Job", "CronJob", "ReplicaSet", "Rollout"] {
            for cause in Cause::ALL {
                let suggestion = suggest(&reasons(cause), None, Some(&Workload::new(kind, "web"))).unwrap();
                assert_eq!(suggestion.action, None, "{kind} {cause:?}");
            }
        }
        assert_eq!(suggest(&reasons(Cause::Memory), None, None).unwrap().action, None);
    }

    #[test]
    fn no_reason_suggests_nothing() {
        assert_eq!(suggest(&[], None, Some(&Workload::new("Deployment", "web"))), None);
    }

    #[test]
    fn what_has_fallen_silent_is_neither_restarted_nor_suspected() {
        let web = Workload::new("Deployment", "web");
        let of = |cause, side| suggest(&reasons(cause), Some(side), Some(&web)).unwrap();
        for cause in Cause::ALL.into_iter().filter(|cause| !cause.is_fact()) {
            let below = of(cause, Side::Below);
            assert_eq!(below.action, None, "{cause:?}");
            assert!(!below.advice.contains("leaving the cluster"), "{cause:?}: {}", below.advice);
            assert_eq!(Some(of(cause, Side::Above)), suggest(&reasons(cause), None, Some(&web)), "{cause:?}");
        }
        assert_eq!(of(Cause::Memory, Side::Within).action, None, "there is nothing to free");
        assert_eq!(of(Cause::OomKilled, Side::Below).action, Some(ActionKind::Restart), "a fact has no side");
    }
}
