//! An answer as text, marked as what it is.

use guard_model::workload::Workload;

use super::{Answer, Endpoint, Reply};
use crate::plan::{Kind, TargetName};
use crate::rows::Row;
use crate::sanitise;

/// Columns of the labels.
const LABEL: usize = 10;

/// What the model says of `row`, wrapped to `columns`; the command is made here, from the typed action.
pub fn show(answer: &Answer, reply: &Reply, endpoint: &Endpoint, row: &Row, columns: usize) -> String {
    let model = sanitise::line(&endpoint.model);
    let mut out = format!("\n{model} at {} says (an opinion: nothing of it is carried out)\n", endpoint.server());
    let mut say = |label: &str, text: &str| {
        for (i, line) in sanitise::wrap(text, columns.saturating_sub(LABEL + 1)).iter().enumerate() {
            out.push_str(format!("{:<LABEL$} {line}\n", if i == 0 { label } else { "" }).trim_start_matches('\n'));
        }
    };
    say("cause", &answer.root_cause);
    say("because", &answer.explanation);
    for (i, check) in answer.checks.iter().enumerate() {
        say(if i == 0 { "to check" } else { "" }, check);
    }
    let sure = format!("{:.0} % sure, by its own account", answer.confidence * 100.0);
    match answer.action {
        Some(action) => {
            let target = target(&row.owner(), &row.name);
            say("it would", &format!("{} ({sure})", action.name()));
            say("", &format!("kubectl guard fix {target} -n {} --action {} --dry-run", row.namespace, action.name()));
        }
        None => say("it would", &format!("do nothing of what guard can do ({sure})")),
    }
    say("cost", &cost(reply, endpoint));
    out
}

/// The workload, or the pod itself where nothing rolls those of its controller.
fn target(owner: &Workload, pod: &str) -> TargetName {
    match Kind::of(owner) {
        Some(kind) => TargetName { kind, name: owner.name.clone() },
        None => TargetName { kind: Kind::Pod, name: pod.to_owned() },
    }
}

/// What an answer cost, in words.
pub fn cost(reply: &Reply, endpoint: &Endpoint) -> String {
    let Some(took) = reply.took else { return "none: it answered this before".to_owned() };
    let mut parts = vec![format!("{:.1} s", took.as_secs_f64())];
    if let Some(usage) = reply.usage {
        parts.push(format!("{} tokens sent, {} received", usage.prompt_tokens, usage.completion_tokens));
        if let Some(price) = endpoint.price {
            parts.push(format!("{:.5} US dollars", price.of(usage)));
        }
    }
    parts.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_names_what_fix_can_act_on() {
        let of = |kind| target(&Workload::new(kind, "cart"), "cart-1").to_string();
        assert_eq!(of("StatefulSet"), "statefulset/cart");
        assert_eq!(of("ReplicaSet"), "pod/cart-1");
        assert_eq!(of("Pod"), "pod/cart-1");
    }
}
