//! How the score of one pod went: the one query that looks back, over an hour and no further.

use guard_model::report::{HISTORY, HistoryPoint};
use guard_model::sample::PodFacts;
use jiff::Timestamp;

use super::{Matcher, select};
use crate::error::Error;
use crate::prometheus::{Answer, Prometheus, Range};

/// So many seconds lie between two points: as many as a report has then span an hour.
const STEP: i64 = 3600 / HISTORY as i64;

/// The scores of the pod within the last hour, oldest first.
///
/// # Errors
/// If Prometheus does not answer, or refuses, or is none.
pub async fn history(
    prometheus: &Prometheus,
    matchers: &[Matcher],
    pod: &PodFacts,
    now: Timestamp,
) -> Result<Vec<HistoryPoint>, Error> {
    let own = [Matcher::new("namespace", &pod.namespace).text(), Matcher::new("pod", &pod.name).text()];
    // A pod of one name moves from node to node; two exporters never score it at once for long.
    let expression = format!("max(guard_pod_anomaly_score{})", select(matchers, &own));
    let range = Range::last(HISTORY as u32, STEP, now.as_second());
    Ok(points(&prometheus.query_range(&expression, range).await?, range, pod.created))
}

/// A point for each step from the first that is known: one without a value is a gap. What was before the pod was made is
/// another pod's.
fn points(answer: &Answer, range: Range, created: Option<Timestamp>) -> Vec<HistoryPoint> {
    let told = answer.series.iter().flat_map(|series| &series.points);
    let told: Vec<(i64, f64)> = told.map(|point| (point.at.round() as i64, point.value)).collect();
    let own = |at: &i64| created.is_none_or(|created| *at >= created.as_second());
    let value = |at: i64| told.iter().find(|(then, _)| *then == at).map(|(_, value)| *value as f32);
    let steps = (range.start..=range.end).step_by(STEP as usize).filter(own);
    let point = |at| HistoryPoint { at, score: value(at), cpu: None, memory: None, receive: None, transmit: None };
    steps.map(point).skip_while(|point| point.score.is_none()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::prometheus::{Point, Series};

    #[test]
    fn gaps_stay_gaps_and_another_pods_past_is_left_out() {
        let range = Range { start: 0, end: 10 * STEP, step: STEP };
        let told = [1, 2, 4, 5, 8].map(|step| Point { at: (step * STEP) as f64, value: 0.5 });
        let answer =
            Answer { series: vec![Series { points: told.to_vec(), ..Series::default() }], ..Answer::default() };
        let shown = |created: Option<i64>| -> String {
            let created = created.map(|step| Timestamp::from_second(step * STEP - 1).unwrap());
            points(&answer, range, created).iter().map(|point| if point.score.is_some() { 'x' } else { '.' }).collect()
        };
        assert_eq!(shown(None), "xx.xx..x..");
        assert_eq!(shown(Some(3)), "xx..x..");
        assert_eq!(shown(Some(9)), "");
    }

    #[test]
    fn it_spans_the_last_hour_in_as_many_points_as_a_report_has() {
        let range = Range::last(HISTORY as u32, STEP, 100_000);
        assert_eq!((range.end - range.start) / STEP + 1, HISTORY as i64);
        assert!((3500..=3600).contains(&(range.end - range.start)), "{range:?}");
    }
}
