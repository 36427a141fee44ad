//! Events of a pod, read as the user and only when asked about that pod.

use jiff::Timestamp;
use k8s_openapi::api::core::v1::Event;
use kube::Api;
use kube::api::ListParams;

use crate::connect::Connection;
use crate::error::Error;
use crate::render::explain::EventLine;
use crate::request::Request;
use crate::sanitise;

/// The events of the pod with this UID, the latest first.
///
/// # Errors
/// If the user may not list events there, or the API server does not answer.
pub async fn of_pod(connection: &Connection, namespace: &str, uid: &str) -> Result<Vec<EventLine>, Error> {
    let request = Request { verb: "list", resource: "events", group: "", namespace: Some(namespace) };
    let api: Api<Event> = Api::namespaced(connection.client.clone(), namespace);
    let params = ListParams::default().fields(&format!("involvedObject.uid={uid}")).limit(200);
    let list = api.list(&params).await.map_err(|error| request.failed(&error))?;
    Ok(lines(&list.items))
}

/// Events as lines, the latest first.
pub fn lines(events: &[Event]) -> Vec<EventLine> {
    let mut lines: Vec<EventLine> = events.iter().map(line).collect();
    lines.sort_by_key(|line| std::cmp::Reverse(line.at));
    lines
}

fn line(event: &Event) -> EventLine {
    let clean = |text: &Option<String>| sanitise::line(text.as_deref().unwrap_or_default());
    EventLine {
        at: last(event),
        kind: clean(&event.type_),
        reason: clean(&event.reason),
        message: clean(&event.message),
        count: event.series.as_ref().and_then(|series| series.count).or(event.count).unwrap_or(1),
    }
}

/// Old and new events keep their time in different fields.
fn last(event: &Event) -> Option<Timestamp> {
    let series = event.series.as_ref().and_then(|series| series.last_observed_time.as_ref()).map(|time| time.0);
    series
        .or(event.last_timestamp.as_ref().map(|time| time.0))
        .or(event.event_time.as_ref().map(|time| time.0))
        .or(event.metadata.creation_timestamp.as_ref().map(|time| time.0))
}
