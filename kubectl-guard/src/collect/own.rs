//! Metrics of the user's own: series of a Prometheus that name a pod, as further columns of the table.

use std::collections::HashMap;
use std::str::FromStr;

use guard_model::table::{COLUMNS, Row};

use crate::error::Error;
use crate::prometheus::{Prometheus, Series};
use crate::scores::prometheus::{Matcher, select, within};

/// One of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OwnMetric {
    /// The name of its column.
    column: String,
    /// What it is by PromQL, if not the metric of the column's name.
    expression: Option<String>,
}

impl OwnMetric {
    /// The metric of this column; without an expression the Prometheus metric of the same name, summed for each pod.
    ///
    /// # Errors
    /// In words, if there can be no such column.
    pub fn new(column: &str, expression: Option<&str>) -> Result<Self, String> {
        let starts = |c: char| c.is_ascii_alphabetic() || c == '_' || c == ':';
        if !column.starts_with(starts) || !column.chars().all(|c| starts(c) || c.is_ascii_digit()) {
            return Err(format!("{column:?} is no name of a metric; an expression needs one: NAME=EXPRESSION"));
        }
        if COLUMNS.contains(&column) {
            return Err(format!("every table has a column {column} already"));
        }
        if expression.is_some_and(|text| text.trim().is_empty()) {
            return Err(format!("what is {column}? It stands behind the ="));
        }
        Ok(Self { column: column.to_owned(), expression: expression.map(str::to_owned) })
    }

    /// What Prometheus is asked: one series a pod, with the labels `namespace` and `pod`. An expression is asked as it is:
    /// what it tells of other namespaces and clusters is left out of the answer.
    fn query(&self, matchers: &[Matcher], namespace: Option<&str>) -> String {
        self.expression.clone().unwrap_or_else(|| {
            format!("sum by (namespace, pod) ({}{})", self.column, select(matchers, &within(namespace)))
        })
    }

    /// The matcher that cannot be applied to the answer: an expression has neither kept its label nor holds it.
    fn unmatched<'a>(&self, matchers: &'a [Matcher], series: &[Series]) -> Option<&'a Matcher> {
        let expression = self.expression.as_ref()?;
        let lost = |matcher: &Matcher| series.iter().any(|series| matcher.fits(series).is_none());
        matchers.iter().find(|matcher| lost(matcher) && !expression.contains(&matcher.text()))
    }
}

impl FromStr for OwnMetric {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.split_once('=') {
            Some((column, expression)) => Self::new(column.trim(), Some(expression)),
            None => Self::new(text.trim(), None),
        }
    }
}

/// Where they come from.
pub struct Own {
    prometheus: Prometheus,
    matchers: Vec<Matcher>,
    metrics: Vec<OwnMetric>,
}

impl Own {
    /// Asks this Prometheus for these metrics.
    pub fn new(prometheus: Prometheus, matchers: Vec<Matcher>, metrics: Vec<OwnMetric>) -> Self {
        Self { prometheus, matchers, metrics }
    }

    /// The titles of their columns.
    pub fn columns(&self) -> Vec<&str> {
        self.metrics.iter().map(|metric| metric.column.as_str()).collect()
    }

    /// Adds a column for each metric to these rows, and says what could not be added.
    ///
    /// # Errors
    /// If Prometheus does not answer, or refuses.
    pub(super) async fn add(&self, rows: &mut [Row], namespace: Option<&str>) -> Result<Vec<String>, Error> {
        let places: HashMap<(String, String), usize> =
            rows.iter().enumerate().map(|(place, row)| ((row.namespace.clone(), row.pod.clone()), place)).collect();
        let mut warnings = Vec::new();
        for metric in &self.metrics {
            let answer = self.prometheus.query(&metric.query(&self.matchers, namespace)).await?;
            warnings.extend(answer.warnings);
            let (mut found, mut several) = (false, None);
            if let Some(matcher) = metric.unmatched(&self.matchers, &answer.series) {
                warnings.push(format!(
                    "{} has series without the label {}, which --prometheus-matcher cannot choose among: write {} into the expression",
                    metric.column,
                    matcher.label(),
                    matcher.text()
                ));
            }
            let elsewhere = |series: &&Series| self.matchers.iter().any(|matcher| matcher.fits(series) == Some(false));
            for series in answer.series.iter().filter(|series| !elsewhere(series)) {
                let (Some(namespace), Some(pod)) = (series.label("namespace"), series.label("pod")) else { continue };
                let Some(&place) = places.get(&(namespace.to_owned(), pod.to_owned())) else { continue };
                found = true;
                // Two series of a pod are one number only if somebody says how.
                if rows[place].own_number(&metric.column).is_some() {
                    several.get_or_insert((namespace, pod));
                } else {
                    rows[place].set_own(&metric.column, series.value());
                }
            }
            if let Some((namespace, pod)) = several {
                warnings.push(format!(
                    "{} has several series of pods such as {namespace}/{pod}, and the first of each is taken: sum by (namespace, pod) makes one of them",
                    metric.column
                ));
            }
            if !found {
                warnings.push(format!(
                    "{} has no series of a pod that is collected: it needs the labels namespace and pod",
                    metric.column
                ));
            }
        }
        Ok(warnings)
    }
}

#[cfg(test)]
mod tests {
    use guard_model::sample::{Measures, PodFacts, PodSample};
    use jiff::Timestamp;
    use serde_json::json;

    use super::*;
    use crate::connect::Environment;
    use crate::prometheus::Endpoint;
    use crate::wire;

    fn rows() -> Vec<Row> {
        let row = |name: &str| {
            let facts = PodFacts { namespace: "shop".into(), name: name.into(), ..PodFacts::default() };
            let sample =
                PodSample { at: 0.0, fresh: true, reset: false, facts, measures: Measures::default(), metrics: vec![] };
            Row::of(Timestamp::UNIX_EPOCH, &sample)
        };
        vec![row("cart"), row("mail")]
    }

    /// What Prometheus says of these pods of a namespace.
    fn vector(pods: &[(&str, &str)]) -> (u16, serde_json::Value) {
        let series =
            |(pod, value): &(&str, &str)| json!({"metric": {"namespace": "shop", "pod": pod}, "value": [1, value]});
        vector_of(&pods.iter().map(series).collect::<Vec<_>>())
    }

    fn vector_of(result: &[serde_json::Value]) -> (u16, serde_json::Value) {
        (200, json!({"status": "success", "data": {"resultType": "vector", "result": result}}))
    }

    /// The rows, the warnings, and what Prometheus was asked.
    async fn added(
        metrics: &[&str],
        answer: fn(&str, usize) -> (u16, serde_json::Value),
    ) -> (Vec<Row>, Vec<String>, Vec<String>) {
        let (connection, seen) = wire::server(answer).await;
        let endpoint = Endpoint::behind("monitoring/prometheus:9090").unwrap();
        let prometheus = Prometheus::open(&endpoint, &connection, &Environment::default()).unwrap();
        let metrics = metrics.iter().map(|text| text.parse().unwrap()).collect();
        let own = Own::new(prometheus, vec!["cluster=east".parse().unwrap()], metrics);
        let mut rows = rows();
        let warnings = own.add(&mut rows, Some("shop")).await.unwrap();
        let asked = seen.lock().unwrap().iter().map(|path| path.split("&query=").nth(1).unwrap().to_owned()).collect();
        (rows, warnings, asked)
    }

    fn own(row: &Row) -> Vec<(&str, f64)> {
        row.own().iter().map(|(name, value)| (&**name, *value)).collect()
    }

    #[tokio::test]
    async fn each_metric_becomes_a_column_of_the_pods_that_have_it() {
        let metrics = ["queue_length", r#"slow=max by (namespace, pod) (latency_seconds{cluster="east"})"#];
        let (rows, warnings, asked) = added(&metrics, |_, n| match n {
            0 => vector(&[("cart", "7"), ("gone", "1")]),
            _ => vector(&[("mail", "0.25")]),
        })
        .await;
        assert_eq!(own(&rows[0]), [("queue_length", 7.0)]);
        assert_eq!(own(&rows[1]), [("slow", 0.25)]);
        assert_eq!(warnings, Vec::<String>::new());
        assert_eq!(
            asked,
            [
                "sum%20by%20%28namespace%2C%20pod%29%20%28queue_length%7Bnamespace%3D%22shop%22%2Ccluster%3D%22east%22%7D%29",
                "max%20by%20%28namespace%2C%20pod%29%20%28latency_seconds%7Bcluster%3D%22east%22%7D%29",
            ]
        );
    }

    #[tokio::test]
    async fn what_cannot_be_a_column_is_said() {
        let (rows, warnings, _) = added(&["a", "b"], |_, n| match n {
            0 => vector(&[("cart", "7"), ("cart", "8")]),
            _ => vector(&[("gone", "1")]),
        })
        .await;
        assert_eq!(rows[0].own_number("a"), Some(7.0));
        insta::assert_snapshot!(warnings.join("\n"));
    }

    #[tokio::test]
    async fn the_other_pods_of_a_metric_with_several_series_keep_theirs() {
        let (rows, warnings, _) =
            added(&["a"], |_, _| vector(&[("cart", "7"), ("cart", "8"), ("cart", "9"), ("mail", "1"), ("mail", "2")]))
                .await;
        assert_eq!((own(&rows[0]), own(&rows[1])), (vec![("a", 7.0)], vec![("a", 1.0)]));
        assert_eq!(warnings.len(), 1, "{warnings:?}");
    }

    #[tokio::test]
    async fn an_expressions_series_of_another_cluster_are_left_out_where_they_say_so() {
        fn of(cluster: &str, value: &str) -> serde_json::Value {
            json!({"metric": {"namespace": "shop", "pod": "cart", "cluster": cluster}, "value": [1, value]})
        }
        let (rows, warnings, _) = added(&["q=x"], |_, _| vector_of(&[of("west", "9"), of("east", "7")])).await;
        assert_eq!((own(&rows[0]), warnings), (vec![("q", 7.0)], vec![]));
        let lost = ["q=sum by (namespace, pod) (x)"];
        let (rows, warnings, _) = added(&lost, |_, _| vector(&[("cart", "7")])).await;
        assert_eq!(own(&rows[0]), [("q", 7.0)]);
        insta::assert_snapshot!(warnings.join("\n"), @r#"q has series without the label cluster, which --prometheus-matcher cannot choose among: write cluster="east" into the expression"#);
        let written = [r#"q=sum by (namespace, pod) (x{cluster="east"})"#];
        let (_, warnings, _) = added(&written, |_, _| vector(&[("cart", "7")])).await;
        assert_eq!(warnings, Vec::<String>::new());
    }

    #[test]
    fn a_column_needs_a_name_that_is_free() {
        let refused = |text: &str| text.parse::<OwnMetric>().unwrap_err();
        let texts = ["", "9x", "rate(x[5m])", "cpu_usage_cores", "pod=x", "queue= ", "a b=c"];
        insta::assert_snapshot!(texts.map(refused).join("\n"));
        assert!("job:queue:rate5m".parse::<OwnMetric>().is_ok());
    }
}
