//! What each sink is sent. Pure.

use guard_model::incident::Incident;
use guard_model::words;
use jiff::Timestamp;
use serde_json::{Value, json};

use super::Message;
use crate::sanitise;

/// The version of the webhook's document; it changes when a reader of the one before could misread it.
const VERSION: u32 = 1;
/// More lines than these nobody reads in a channel.
const MOST_LINES: usize = 20;

/// For a webhook: the incidents as `incidents -o json` has them.
pub(super) fn webhook(message: &Message, cluster: &str, at: Timestamp) -> Value {
    json!({ "version": VERSION, "cluster": cluster, "at": at, "began": message.began, "ended": message.ended })
}

/// For an Alertmanager: every incident that is open, and what ended. Labels name an incident, and never change while it lasts.
pub(super) fn alertmanager<'a>(
    open: impl Iterator<Item = &'a Incident>,
    ended: &'a [Incident],
    cluster: &str,
) -> Value {
    open.chain(ended).filter_map(|incident| alert(incident, cluster)).collect()
}

fn alert(incident: &Incident, cluster: &str) -> Option<Value> {
    let first = incident.pods.first()?;
    let mut alert = json!({
        "labels": {
            "alertname": "GuardIncident",
            "severity": "warning",
            "cluster": cluster,
            "incident": incident.id,
            "namespace": sanitise::line(&first.namespace),
            "workload": sanitise::line(&first.workload.to_string()),
            "pod": sanitise::line(&first.pod),
        },
        "annotations": { "summary": headline(incident), "description": sanitise::line(&first.reason) },
        "startsAt": incident.from,
    });
    if let Some(until) = incident.until {
        alert["endsAt"] = json!(until);
    }
    Some(alert)
}

/// For Slack: a line for each incident, in its own markup.
pub(super) fn slack(message: &Message, cluster: &str, at: Timestamp) -> Value {
    let began = message.began.iter().map(|incident| {
        let first = incident.pods.first();
        let reason = first.map(|pod| sanitise::line(&pod.reason)).filter(|reason| !reason.is_empty());
        let reason = reason.map_or_else(String::new, |reason| format!(": {}", escaped(&reason)));
        format!(":red_circle: {}{reason}", escaped(&headline(incident)))
    });
    let ended = message.ended.iter().map(|incident| {
        let seconds = incident.until.unwrap_or(at).duration_since(incident.from).as_secs_f64();
        format!(":large_green_circle: {} is over after {}", escaped(&who(incident)), words::duration(seconds))
    });
    let mut lines: Vec<String> = began.chain(ended).collect();
    let more = lines.len().saturating_sub(MOST_LINES);
    lines.truncate(MOST_LINES);
    if more > 0 {
        lines.push(format!("and {more} more: `kubectl guard incidents`"));
    }
    json!({ "text": format!("*kubectl guard, {}*\n{}", escaped(cluster), lines.join("\n")) })
}

/// `shop/cart-1 and 2 more pods (one workload), score 0.93`.
fn headline(incident: &Incident) -> String {
    let score = incident.pods.iter().map(|pod| pod.score).fold(0.0, f64::max);
    let links: Vec<&str> = incident.links.iter().map(|link| link.words()).collect();
    let links = if links.is_empty() { String::new() } else { format!(" ({})", links.join(", ")) };
    format!("{}{links}, score {score:.2}", who(incident))
}

fn who(incident: &Incident) -> String {
    let first = incident.pods.first().map(|pod| format!("{}/{}", pod.namespace, pod.pod)).unwrap_or_default();
    let more = match incident.pods.len() {
        0 | 1 => String::new(),
        2 => " and 1 more pod".to_owned(),
        pods => format!(" and {} more pods", pods - 1),
    };
    sanitise::line(&(first + &more))
}

/// Slack's three characters, so that no text of a cluster becomes a link or calls a channel.
/// <https://api.slack.com/reference/surfaces/formatting#escaping>
fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use guard_model::cause::Cause;
    use guard_model::incident::{Anomaly, group};
    use guard_model::workload::Workload;

    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(1_795_356_000 + second).unwrap()
    }

    fn over(pod: &str, second: i64, reason: &str) -> Anomaly {
        Anomaly {
            namespace: "shop".into(),
            pod: pod.into(),
            workload: Workload::new("Deployment", "cart"),
            node: None,
            since: at(second),
            until: None,
            cause: Some(Cause::Memory),
            reason: reason.into(),
            score: 0.93,
            began_score: 0.93,
            deploy: false,
        }
    }

    fn message() -> Message {
        let began = group(vec![over("cart-1", 0, "memory grows"), over("cart-2", 30, ""), over("cart-3", 30, "")]);
        let hostile = Anomaly { namespace: "<!channel>".into(), until: Some(at(95)), ..over("a\u{1b}[2J&b", 5, "x") };
        Message { began, ended: group(vec![hostile]) }
    }

    #[test]
    fn each_sink_has_its_own_words_for_a_message() {
        let message = message();
        insta::assert_snapshot!(slack(&message, "prod", at(120))["text"].as_str().unwrap(), @r"
        *kubectl guard, prod*
        :red_circle: shop/cart-1 and 2 more pods (one workload), score 0.93: memory grows
        :large_green_circle: &lt;!channel&gt;/a&amp;b is over after 90s
        ");
        insta::assert_snapshot!(format!("{:#}", alertmanager(message.began.iter(), &message.ended, "prod")));
        insta::assert_snapshot!(format!("{:#}", webhook(&message, "prod", at(120))));
    }

    #[test]
    fn a_channel_is_not_flooded() {
        let one = |n: i64| Anomaly {
            workload: Workload::new("Deployment", format!("w{n}")),
            cause: None,
            ..over(&format!("w{n}-1"), n * 200, "")
        };
        let message = Message { began: group((0..45).map(one).collect()), ended: Vec::new() };
        assert_eq!(message.began.len(), 45);
        let text = slack(&message, "prod", at(0))["text"].as_str().unwrap().to_owned();
        assert_eq!(text.lines().count(), MOST_LINES + 2);
        assert!(text.ends_with("and 25 more: `kubectl guard incidents`"), "{text}");
    }
}
