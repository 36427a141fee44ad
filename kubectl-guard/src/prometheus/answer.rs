//! What a Prometheus says, believed only as far as it has the shape of an answer. Pure.

use std::collections::BTreeMap;

use http::StatusCode;
use kube::core::Status;
use serde::Deserialize;

use super::PrometheusError;
use crate::sanitise;

/// A value at a moment. Never NaN or infinite: such a value is left out.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Point {
    /// Seconds of Unix time.
    pub at: f64,
    /// The value.
    pub value: f64,
}

/// One series.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Series {
    /// Its labels, sanitised.
    pub labels: BTreeMap<String, String>,
    /// Its values, oldest first: of an instant query one, or none if it has no finite value.
    pub points: Vec<Point>,
}

impl Series {
    /// A label; `None` if it is missing or empty, which is the same to Prometheus.
    pub fn label(&self, name: &str) -> Option<&str> {
        self.labels.get(name).map(String::as_str).filter(|value| !value.is_empty())
    }

    /// The latest value.
    pub fn value(&self) -> Option<f64> {
        self.points.last().map(|point| point.value)
    }
}

/// The answer to a query.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Answer {
    /// Its series, in the order that they came.
    pub series: Vec<Series>,
    /// What the reader should know, such as that a store of a Thanos did not answer; sanitised.
    pub warnings: Vec<String>,
}

impl Answer {
    /// Adds the next page, or the answer to the next piece of a query.
    pub(crate) fn append(&mut self, page: Answer) {
        let mut places: BTreeMap<BTreeMap<String, String>, usize> =
            self.series.iter().enumerate().map(|(place, series)| (series.labels.clone(), place)).collect();
        for series in page.series {
            if let Some(&place) = places.get(&series.labels) {
                self.series[place].points.extend(series.points);
            } else {
                places.insert(series.labels.clone(), self.series.len());
                self.series.push(series);
            }
        }
        for warning in page.warnings {
            if !self.warnings.contains(&warning) {
                self.warnings.push(warning);
            }
        }
    }
}

#[derive(Deserialize)]
struct Envelope {
    status: String,
    data: Option<Data>,
    #[serde(default)]
    warnings: Vec<String>,
    /// VictoriaMetrics' own word for what Thanos warns of.
    #[serde(default, rename = "isPartial")]
    is_partial: bool,
}

/// What is said of an answer that names no reason for being less than the whole.
const PARTIAL: &str = "some of its stores did not answer: this is a part of what there is";

#[derive(Deserialize)]
#[serde(tag = "resultType", content = "result", rename_all = "lowercase")]
enum Data {
    Vector(Vec<Sample>),
    Matrix(Vec<Samples>),
    Scalar((f64, String)),
}

/// A native histogram has no `value`: it has no single one.
#[derive(Deserialize)]
struct Sample {
    metric: BTreeMap<String, String>,
    value: Option<(f64, String)>,
}

#[derive(Deserialize)]
struct Samples {
    metric: BTreeMap<String, String>,
    #[serde(default)]
    values: Vec<(f64, String)>,
}

/// What an error says, in the words of Prometheus.
#[derive(Deserialize)]
struct Refusal {
    error: String,
}

/// Reads the body of a success.
///
/// # Errors
/// If it is none, in words that are ready to be shown.
pub fn parse(server: &str, body: &[u8]) -> Result<Answer, PrometheusError> {
    let strange =
        |problem: &str| PrometheusError::NotPrometheus { server: server.to_owned(), problem: sanitise::line(problem) };
    let envelope: Envelope = serde_json::from_slice(body).map_err(|error| strange(&error.to_string()))?;
    if envelope.status != "success" {
        return Err(strange(&format!("its status is {:?}", envelope.status)));
    }
    let series = match envelope.data.ok_or_else(|| strange("it holds no data"))? {
        Data::Vector(samples) => {
            samples.into_iter().map(|sample| series(&sample.metric, sample.value)).collect::<Result<_, _>>()
        }
        Data::Matrix(samples) => samples.into_iter().map(|samples| series(&samples.metric, samples.values)).collect(),
        Data::Scalar(value) => series(&BTreeMap::new(), [value]).map(|series| vec![series]),
    };
    let partial = envelope.is_partial.then(|| PARTIAL.to_owned());
    let warnings = envelope.warnings.iter().map(|warning| sanitise::line(warning)).chain(partial).collect();
    Ok(Answer { series: series.map_err(|text| strange(&format!("{text:?} is no value")))?, warnings })
}

fn series(
    metric: &BTreeMap<String, String>,
    values: impl IntoIterator<Item = (f64, String)>,
) -> Result<Series, String> {
    let labels = metric.iter().map(|(name, value)| (sanitise::line(name), sanitise::line(value))).collect();
    let mut points = Vec::new();
    for (at, text) in values {
        let value = text.parse::<f64>().map_err(|_| sanitise::fit(&sanitise::line(&text), 40))?;
        if value.is_finite() && at.is_finite() {
            points.push(Point { at, value });
        }
    }
    Ok(Series { labels, points })
}

/// Reads the body of a failure.
pub(super) fn refusal(server: &str, status: StatusCode, body: &[u8]) -> PrometheusError {
    let message = match serde_json::from_slice::<Refusal>(body) {
        Ok(refusal) => sanitise::line(&refusal.error),
        Err(_) => String::new(),
    };
    let (server, code) = (server.to_owned(), status.as_u16());
    match code {
        401 | 403 | 407 => PrometheusError::Denied { server, status: code, message },
        300..=399 => {
            let problem = format!("it sends elsewhere ({code}); a page to log in stands before it");
            PrometheusError::NotPrometheus { server, problem }
        }
        _ => PrometheusError::Failed { server, status: code, message },
    }
}

/// The API server's own refusal to pass a request on; Prometheus has no such words.
pub(super) fn status_of_kubernetes(body: &[u8]) -> Option<Status> {
    #[derive(Deserialize)]
    struct Kind {
        kind: String,
    }
    let kind: Kind = serde_json::from_slice(body).ok()?;
    (kind.kind == "Status").then(|| serde_json::from_slice(body).ok())?
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn told(body: &str) -> Result<Answer, String> {
        parse("prom", body.as_bytes()).map_err(|error| error.to_string())
    }

    #[test]
    fn a_vector_a_matrix_and_a_scalar_are_series() {
        let answer = told(
            r#"{"status":"success","data":{"resultType":"vector","result":[
                {"metric":{"pod":"a\u001b[31m"},"value":[1.5,"0.25"]},{"metric":{},"value":[1,"NaN"]}]},
                "warnings":["one store \u001b]0;x\u0007is away"],"infos":["?"]}"#,
        )
        .unwrap();
        assert_eq!(answer.series[0].label("pod"), Some("a"));
        assert_eq!(answer.series[0].points, [Point { at: 1.5, value: 0.25 }]);
        assert_eq!(answer.series[1].value(), None);
        assert_eq!(answer.warnings, ["one store is away"]);

        let matrix = r#"{"status":"success","data":{"resultType":"matrix","result":[
            {"metric":{},"values":[[1,"1"],[2,"+Inf"],[3,"-2e3"]]}]}}"#;
        let values: Vec<f64> = told(matrix).unwrap().series[0].points.iter().map(|point| point.value).collect();
        assert_eq!(values, [1.0, -2000.0]);

        let empty = r#"{"status":"success","isPartial":IS,"data":{"resultType":"vector","result":[]}}"#;
        assert_eq!(told(&empty.replace("IS", "true")).unwrap().warnings, [PARTIAL]);
        assert!(told(&empty.replace("IS", "false")).unwrap().warnings.is_empty());

        let scalar = r#"{"status":"success","data":{"resultType":"scalar","result":[1,"4"]}}"#;
        assert_eq!(told(scalar).unwrap().series[0].value(), Some(4.0));
    }

    #[test]
    fn what_is_no_answer_is_never_taken_for_an_empty_one() {
        for body in [
            "",
            "<html>log in</html>",
            "[]",
            "{}",
            r#"{"status":"success"}"#,
            r#"{"status":"error","data":{"resultType":"vector","result":[]}}"#,
            r#"{"status":"success","data":{"resultType":"vector","result":{}}}"#,
            r#"{"status":"success","data":{"resultType":"vector","result":[{"metric":{"pod":7},"value":[1,"1"]}]}}"#,
            r#"{"status":"success","data":{"resultType":"vector","result":[{"metric":{},"value":[1,1]}]}}"#,
            r#"{"status":"success","data":{"resultType":"vector","result":[{"metric":{},"value":["1","1"]}]}}"#,
            r#"{"status":"success","data":{"resultType":"vector","result":[{"metric":{},"value":[1,"many"]}]}}"#,
            r#"{"status":"success","data":{"resultType":"string","result":[1,"1"]}}"#,
            r#"{"status":"success","data":{"resultType":"vector","result":[{"metric":{},"val"#,
        ] {
            let error = told(body).unwrap_err();
            assert!(error.starts_with("prom does not answer like a Prometheus: "), "{body}: {error}");
        }
    }

    #[test]
    fn a_refusal_keeps_its_words_and_nothing_that_a_terminal_obeys() {
        let body = br#"{"status":"error","errorType":"timeout","error":"query \u001b[2Jtimed out"}"#;
        let error = refusal("prom", StatusCode::SERVICE_UNAVAILABLE, body);
        assert_eq!(error.to_string(), "prom answers with 503: query timed out");
        let error = refusal("prom", StatusCode::UNAUTHORIZED, b"<html>");
        assert_eq!(error.to_string(), "prom does not let you ask (401)");
        assert!(refusal("prom", StatusCode::FOUND, b"").to_string().contains("log in"));
    }

    #[test]
    fn pages_join_by_their_labels() {
        let page = |pod: &str, at: f64| Series {
            labels: [("pod".to_owned(), pod.to_owned())].into(),
            points: vec![Point { at, value: at }],
        };
        let mut whole = Answer { series: vec![page("a", 1.0)], warnings: vec!["w".into()] };
        whole.append(Answer { series: vec![page("b", 2.0), page("a", 2.0)], warnings: vec!["w".into()] });
        assert_eq!(whole.series[0].points.len(), 2);
        assert_eq!(whole.series[1], page("b", 2.0));
        assert_eq!(whole.warnings, ["w"]);
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(body in proptest::collection::vec(any::<u8>(), 0..400)) {
            drop((parse("p", &body), refusal("p", StatusCode::OK, &body), status_of_kubernetes(&body)));
        }
    }
}
