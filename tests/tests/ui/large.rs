//! Five thousand pods: what a browser draws must not grow with them.

use anyhow::{Context, Result, ensure};
use guard_tests::browser::{Browser, Display};
use kubectl_guard::rows::Row;
use serde_json::json;

use crate::desk::Served;
use crate::fleet::{fleet, over, well};

fn pod(i: usize) -> Row {
    let (workload, name) = (format!("service-{:03}", i % 500), format!("service-{:03}-7d4b9c6f5-{i:05}", i % 500));
    let row = if i < 50 { over(&name, &workload) } else { well(&name, &workload) };
    Row { namespace: format!("team-{:02}", i % 40), node: Some(format!("node-{:03}", i % 100)), ..row }
}

/// Looks as the page does: the answer is read, everything is drawn and laid out. Gives the number of elements there are then.
const LOOKS: &str = "(async () => {
  const { fleet } = await import('/views.js');
  const text = await (await fetch('/api/fleet', { headers: { 'x-guard': sessionStorage.getItem('guard-key') } })).text();
  const view = document.getElementById('view');
  const ui = { filter: FILTER, shown: 200, desk: null, recorded: false, setFilter() {}, more() {} };
  for (let i = 0; i < 10; i += 1) {
    view.replaceChildren(...fleet(JSON.parse(text), ui));
    view.getBoundingClientRect();
  }
  return document.querySelectorAll('*').length;
})()";
const LOOKS_IN_ALL: f64 = 10.0;

/// Seconds for which the page's own thread has had a processor: other programs of this machine take nothing from it.
fn worked(browser: &mut Browser) -> Result<f64> {
    let metrics = browser.call("Performance.getMetrics", &json!({}))?;
    let all = metrics["metrics"].as_array().context("no metrics")?;
    let task = all.iter().find(|metric| metric["name"] == "TaskDuration").context("no TaskDuration")?;
    task["value"].as_f64().context("no number")
}

/// What one look costs the page, in milliseconds of its thread, and how many elements it draws.
#[derive(Debug)]
struct Cost {
    look: f64,
    elements: f64,
}

fn cost(pods: usize, filter: &str) -> Result<Cost> {
    let served = Served::start(fleet((0..pods).map(pod).collect()), None)?;
    let mut browser = Browser::open(&served.url, Display::DESK)?;
    browser.call("Performance.enable", &json!({ "timeDomain": "threadTicks" }))?;
    browser.until("document.querySelectorAll('tbody tr').length > 100")?;
    let looks = LOOKS.replace("FILTER", &json!(filter).to_string());
    // What is compiled once is not counted.
    browser.value(&looks)?;
    let before = worked(&mut browser)?;
    let elements = browser.value(&looks)?.as_f64().context("no number")?;
    Ok(Cost { look: (worked(&mut browser)? - before) * 1000.0 / LOOKS_IN_ALL, elements })
}

#[test]
#[ignore = "needs a browser: tests/run"]
fn five_thousand_pods_cost_hardly_more_than_five_hundred() -> Result<()> {
    let (few, many, filtered) = (cost(500, "")?, cost(5000, "")?, cost(5000, "node-007")?);
    let told = format!("500 pods: {few:?}; 5,000 pods: {many:?}; 5,000 filtered to 50: {filtered:?}");
    println!("{told}");
    ensure!(many.elements <= 1.1 * few.elements, "the page grows with the pods: {told}");
    ensure!(many.look < 3.0 * few.look, "ten times the pods, and three times the work: {told}");
    // Each key typed into the filter costs this.
    ensure!(filtered.look < 2.0 * few.look, "{told}");
    Ok(())
}
