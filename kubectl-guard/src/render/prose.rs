//! What is known of a pod, in plain sentences: by rules, from the same facts as the rest of the page.

use guard_model::report::State;
use guard_model::words;
use jiff::Timestamp;

use crate::render::explain::Detail;
use crate::rows::Row;

/// A rollout this short before the trouble is named with it, in seconds.
const SOON: f64 = 1_800.0;

/// One paragraph about `row`; `rows` are all that were read, for its neighbours.
pub fn pod(row: &Row, detail: &Detail, rows: &[Row], now: Timestamp) -> String {
    let sentences = [
        Some(state(row, now)),
        why(row),
        neighbours(row, rows),
        rollout(row, detail),
        detail.facts.terminated.as_ref().map(|end| {
            format!("Its container {} last ended as {}, with exit code {}.", end.container, end.reason, end.exit_code)
        }),
        advice(row),
    ];
    sentences.into_iter().flatten().collect::<Vec<_>>().join(" ")
}

fn state(row: &Row, now: Timestamp) -> String {
    let ago = row.since.map(|at| format!(" for {}", words::duration(now.duration_since(at).as_secs_f64())));
    let ago = ago.unwrap_or_default();
    match row.state {
        Some(State::Anomalous) => format!("Pod {} has not behaved as it should{ago}.", row.name),
        Some(State::Ok) => format!("Pod {} behaves as it should.", row.name),
        Some(State::Learning) => {
            format!("Pod {} is too new to be judged by what it has learnt; no hard fact speaks against it.", row.name)
        }
        Some(State::Stale) => format!("Pod {} has had no fresh sample; what follows is old.", row.name),
        Some(State::Muted) => format!("Pod {} is muted.", row.name),
        None => format!(
            "Pod {} has no score{}.",
            row.name,
            row.note.as_ref().map(|why| format!(": {why}")).unwrap_or_default()
        ),
    }
}

fn why(row: &Row) -> Option<String> {
    let (first, rest) = row.reasons.split_first()?;
    let also: Vec<&str> = rest.iter().map(|reason| reason.text.as_str()).collect();
    let also = if also.is_empty() { String::new() } else { format!("; also: {}", also.join(", ")) };
    // Kubernetes' own messages end with a full stop already.
    Some(format!("{}.", format!("What stands out: {}{also}", first.text).trim_end_matches('.')))
}

fn neighbours(row: &Row, rows: &[Row]) -> Option<String> {
    if !row.is_anomalous() {
        return None;
    }
    let owner = row.workload.as_ref()?;
    let peers: Vec<&Row> = rows
        .iter()
        .filter(|other| other.namespace == row.namespace && other.workload.as_ref() == Some(owner))
        .collect();
    let over = peers.iter().filter(|peer| peer.is_anomalous()).count();
    let where_to_look = match (over, peers.len()) {
        (_, 1) => return None,
        (1, _) => "so look at this pod and its node before what they share",
        (over, all) if over * 2 >= all => {
            "so look at what they share: the last rollout, their configuration, a dependency"
        }
        _ => "so look at what these have in common",
    };
    let is = if over == 1 { "is over its" } else { "are over their" };
    Some(format!("{over} of the {} pods of {owner} {is} line, {where_to_look}.", peers.len()))
}

fn rollout(row: &Row, detail: &Detail) -> Option<String> {
    let rollout = detail.rollout.as_ref()?.as_ref().ok()?;
    let before = row.since?.duration_since(rollout.made?).as_secs_f64();
    let revision = rollout.revision.as_deref()?;
    (0.0..SOON).contains(&before).then(|| {
        format!(
            "Revision {revision} was rolled out {} before it began: look at what that changed.",
            words::duration(before)
        )
    })
}

fn advice(row: &Row) -> Option<String> {
    let suggestion = row.suggestion().filter(|_| row.is_anomalous())?;
    Some(match suggestion.action {
        Some(action) => format!("What may help: {}; {}.", action.name(), suggestion.advice),
        None => format!("Guard has no action that helps: {}.", suggestion.advice),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::render::explain::Rollout;
    use crate::rows::tests::{now, shop};

    fn tell(name: &str, detail: &Detail) -> String {
        let rows = shop();
        pod(rows.iter().find(|row| row.name == name).unwrap(), detail, &rows, now())
    }

    #[test]
    fn a_pod_is_told_in_plain_sentences() {
        let rows = shop();
        let told: Vec<String> = rows.iter().map(|row| pod(row, &Detail::default(), &rows, now())).collect();
        insta::assert_snapshot!(told.join("\n"));
    }

    #[test]
    fn a_rollout_just_before_is_named_and_an_old_one_is_not() {
        let since = shop().iter().find(|row| row.name == "cart-1").and_then(|row| row.since).unwrap();
        let detail = |minutes| Detail {
            rollout: Some(Ok(Rollout {
                name: "cart-5d4".into(),
                revision: Some("3".into()),
                made: Some(since - jiff::SignedDuration::from_mins(minutes)),
            })),
            ..Detail::default()
        };
        assert!(tell("cart-1", &detail(5)).contains("Revision 3 was rolled out 5m before it began"));
        assert!(!tell("cart-1", &detail(50)).contains("Revision"));
        assert!(!tell("cart-1", &detail(-5)).contains("Revision"));
    }
}
