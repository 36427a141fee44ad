//! Asks a Prometheus for what a board would ask it for.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context, Result};
use jiff::{SignedDuration, Timestamp};
use serde_json::Value;

use super::panel::placeholders;
use super::record::{Answer, Record, Series, rounded};
use crate::dashboards::{Board, filled};
use crate::http::encoded;

/// Seconds from one value to the next.
pub const STEP: u32 = 5;
/// Seconds that a picture shows at most.
pub const LONGEST: i64 = 600;

/// The time that is asked for.
#[derive(Clone, Copy, Debug)]
pub struct Span {
    from: Timestamp,
    to: Timestamp,
    /// How many steps it has.
    steps: usize,
}

impl Span {
    /// The ten minutes before a moment, or what there is since a Prometheus began.
    pub fn until(to: Timestamp, begun: Timestamp) -> Self {
        let to = Timestamp::from_second(to.as_second()).unwrap_or(to);
        let seconds = to.duration_since(begun).as_secs().clamp(i64::from(STEP), LONGEST);
        let steps = seconds / i64::from(STEP);
        let from = to - SignedDuration::from_secs(steps * i64::from(STEP));
        Self { from, to, steps: steps as usize }
    }

    /// How long it is, as a Prometheus writes it.
    pub fn range(&self) -> String {
        format!("{}s", self.to.duration_since(self.from).as_secs())
    }
}

/// Asks for everything on a board. `ask` gives the `data` that the API has at a path.
///
/// # Errors
/// If an answer does not come, or is none.
pub fn record(
    board: &Board,
    variables: &BTreeMap<String, String>,
    span: Span,
    ask: impl Fn(&str) -> Result<Value>,
) -> Result<Record> {
    let mut answers = Vec::new();
    for panel in board.panels() {
        let repeated = match panel["repeat"].as_str() {
            Some(variable) => values_of(board, variable, variables, span, &ask)?.into_iter().map(Some).collect(),
            None => vec![None],
        };
        for value in repeated {
            let mut filled_in = variables.clone();
            filled_in.extend(panel["repeat"].as_str().map(str::to_owned).zip(value.clone()));
            for target in panel["targets"].as_array().into_iter().flatten() {
                let series = series(panel, target, &filled_in, span, &ask)?;
                answers.push(Answer {
                    panel: panel["id"].as_i64().context("a panel without a number")?,
                    query: target["refId"].as_str().context("a query without a letter")?.to_owned(),
                    expression: target["expr"].as_str().context("a query without an expression")?.to_owned(),
                    repeated: value.clone(),
                    series,
                });
            }
        }
    }
    let Span { from, to, .. } = span;
    Ok(Record { board: board.name.to_owned(), from, to, step: STEP, variables: variables.clone(), answers })
}

/// The values that a variable had in this time.
fn values_of(
    board: &Board,
    variable: &str,
    values: &BTreeMap<String, String>,
    span: Span,
    ask: &impl Fn(&str) -> Result<Value>,
) -> Result<BTreeSet<String>> {
    let all = board.variables();
    let variable = all.iter().find(|other| other.name == variable).with_context(|| format!("no {variable}"))?;
    let expression = format!("last_over_time({}[{}])", filled(&variable.series, values), span.range());
    let answer = ask(&moment(&expression, span))?;
    let found = answer["result"].as_array().with_context(|| format!("no result of {expression}"))?.iter();
    Ok(found.filter_map(|series| Some(series["metric"][&variable.label].as_str()?.to_owned())).collect())
}

fn moment(expression: &str, span: Span) -> String {
    format!("query?query={}&time={}", encoded(expression), span.to.as_second())
}

fn series(
    panel: &Value,
    target: &Value,
    values: &BTreeMap<String, String>,
    span: Span,
    ask: &impl Fn(&str) -> Result<Value>,
) -> Result<Vec<Series>> {
    let expression = filled(target["expr"].as_str().unwrap_or_default(), values);
    let path = if target["instant"] == true {
        moment(&expression, span)
    } else {
        let (from, to) = (span.from.as_second(), span.to.as_second());
        format!("query_range?query={}&start={from}&end={to}&step={STEP}", encoded(&expression))
    };
    let answer = ask(&path).with_context(|| expression.clone())?;
    let kept = kept(panel, target);
    let found = answer["result"].as_array().with_context(|| format!("no result of {expression}"))?;
    found.iter().map(|series| one(series, &kept, span)).collect()
}

/// One series of an answer, with the labels that are kept.
fn one(series: &Value, kept: &impl Fn(&str) -> bool, span: Span) -> Result<Series> {
    let labels = series["metric"].as_object().context("a series without labels")?.iter();
    let labels = labels.filter(|(name, _)| kept(name)).map(|(name, value)| (name, value.as_str().unwrap_or_default()));
    let labels = labels.map(|(name, value)| (name.clone(), value.to_owned())).collect();
    let number = |point: &Value| rounded(point[1].as_str()?.parse().ok()?);
    let Some(points) = series["values"].as_array() else {
        return Ok(Series { labels, values: vec![number(&series["value"])] });
    };
    let mut values = vec![None; span.steps + 1];
    for point in points {
        let passed = point[0].as_f64().context("a value without a time")? - span.from.as_second() as f64;
        let place = values.get_mut((passed / f64::from(STEP)).round() as usize).filter(|_| passed >= 0.0);
        *place.with_context(|| format!("a value outside of the time: {point}"))? = number(point);
    }
    Ok(Series { labels, values })
}

/// Which labels a panel shows: those of its legend, and in a table all that are not taken out.
fn kept(panel: &Value, target: &Value) -> impl Fn(&str) -> bool {
    let out: Vec<String> = panel["transformations"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|transformation| transformation["options"]["excludeByName"].as_object())
        .flat_map(|names| names.iter().filter(|(_, out)| *out == true).map(|(name, _)| name.clone()))
        .collect();
    let is_table = panel["type"] == "table";
    let shown = placeholders(target["legendFormat"].as_str().unwrap_or_default());
    move |label| if is_table { !out.iter().any(|other| other == label) } else { shown.iter().any(|name| name == label) }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(1_795_353_000 + second).unwrap()
    }

    #[test]
    fn no_more_is_asked_for_than_there_is() {
        let span = Span::until(at(1000), at(0));
        assert_eq!((span.from, span.to, span.steps), (at(400), at(1000), 120));
        let span = Span::until(at(63), at(0));
        assert_eq!((span.from, span.steps, span.range().as_str()), (at(3), 12, "60s"));
    }

    #[test]
    fn values_have_their_place_and_labels_are_those_that_are_shown() {
        let board = Board {
            name: "fleet",
            json: json!({"templating": {"list": []}, "panels": [
                {"id": 1, "type": "timeseries", "targets": [
                    {"refId": "A", "expr": "up{node=\"$node\"}", "legendFormat": "{{ node }}!"}]},
                {"id": 2, "type": "table", "targets": [{"refId": "A", "expr": "up", "instant": true}],
                    "transformations": [{"id": "organize", "options": {"excludeByName": {"job": true}}}]}]}),
        };
        let metric = json!({"__name__": "up", "job": "guard", "node": "n1"});
        let ask = |path: &str| {
            let values = json!([[at(5).as_second(), "0.123456"], [at(15).as_second(), "NaN"]]);
            Ok(if path.starts_with("query_range?query=%75%70%7B") {
                json!({"result": [{"metric": metric, "values": values}]})
            } else {
                assert!(path.starts_with("query?query=%75%70&time="), "{path}");
                json!({"result": [{"metric": metric, "value": [at(20).as_second(), "1"]}]})
            })
        };
        let variables = BTreeMap::from([("node".to_owned(), "n1".to_owned())]);
        let record = record(&board, &variables, Span::until(at(20), at(0)), ask).unwrap();
        let [lines, table] = &record.answers[..] else { panic!("{record:?}") };
        assert_eq!(lines.series[0].values, [None, Some(0.1235), None, None, None]);
        assert_eq!(lines.series[0].labels, variables);
        assert_eq!(table.series[0].values, [Some(1.0)]);
        assert_eq!(table.series[0].labels.keys().collect::<Vec<_>>(), ["__name__", "node"]);
    }
}
