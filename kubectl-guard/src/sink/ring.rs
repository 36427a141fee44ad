//! What lies in the ConfigMap: for each plan a key with its lines, as the journal has them. Pure.
//!
//! It is a ring: when it is full, the oldest plans make room; what others keep in it stays. Of what is read, a plan counts only if all its lines are of it,
//! the first is its intent, and that fits its digest; where a line's hash of the line before it fits nothing that is held,
//! that is told: it was added on another machine, another plan's line lay between, or somebody has edited it.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use serde_json::{Map, Value};

use crate::audit::{Event, Line};
use crate::plan::{Plan, hex, is_name};
use crate::sanitise;

/// Bytes of all lines: Kubernetes takes 1 MiB, with the names of the keys and what others may add.
pub const MOST_BYTES: usize = 768 << 10;

const KEY: &str = "plan-";

/// What of the data changes so that it has these lines of a plan; `None` if it has them all.
pub(super) fn change(data: &BTreeMap<String, String>, id: &str, lines: &[String]) -> Result<Option<Value>, String> {
    let key = format!("{KEY}{id}");
    let mut text = data.get(&key).cloned().unwrap_or_default();
    let held: BTreeSet<&str> = data.get(&key).map(|text| text.lines().collect()).unwrap_or_default();
    let new: Vec<&String> = lines.iter().filter(|line| !held.contains(line.as_str())).collect();
    if new.is_empty() {
        return Ok(None);
    }
    for line in new {
        text.push_str(line);
        text.push('\n');
    }
    let (plans, foreign): (Vec<_>, Vec<_>) =
        data.iter().filter(|(other, _)| **other != key).partition(|(other, _)| other.starts_with(KEY));
    let kept: usize = foreign.iter().map(|(_, text)| text.len()).sum();
    let mut room = MOST_BYTES.checked_sub(text.len() + kept).ok_or_else(|| {
        let beside = if kept > 0 { format!(", of which others have {}", kept >> 10) } else { String::new() };
        format!("plan {id} has {} KiB, and a ConfigMap takes {} KiB{beside}", text.len() >> 10, MOST_BYTES >> 10)
    })?;
    let mut changed = Map::new();
    let mut others: Vec<(Option<Timestamp>, &String, usize)> =
        plans.into_iter().map(|(other, text)| (begun(text), other, text.len())).collect();
    // The youngest first; what cannot be read comes last and goes first.
    others.sort_by(|a, b| b.cmp(a));
    for (_, other, size) in others {
        if let Some(rest) = room.checked_sub(size) {
            room = rest;
        } else {
            room = 0;
            changed.insert(other.clone(), Value::Null);
        }
    }
    changed.insert(key, Value::String(text));
    Ok(Some(Value::Object(changed)))
}

/// When the first line was written.
fn begun(text: &str) -> Option<Timestamp> {
    Some(serde_json::from_str::<Line>(text.lines().next()?).ok()?.at)
}

/// The lines of all plans, and what speaks against some.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Held {
    /// The lines of each plan, oldest plan first.
    pub lines: Vec<Line>,
    /// What whoever reads them should know.
    pub doubts: Vec<String>,
}

impl Held {
    /// Reads the data. Text in it is sanitised, but for what is only compared with objects.
    pub fn of(data: &BTreeMap<String, String>) -> Self {
        let hashes: BTreeSet<String> = data.values().flat_map(|text| text.lines()).map(|l| hex(l.as_bytes())).collect();
        let mut held = Self::default();
        let mut plans: Vec<Vec<Line>> = Vec::new();
        for (key, text) in data {
            let name = sanitise::line(key);
            match plan_lines(key, text).and_then(|lines| lines.iter().map(cleaned).collect::<Result<Vec<Line>, _>>()) {
                Ok(lines) => {
                    let loose = |line: &&Line| line.prev.as_ref().is_none_or(|prev| !hashes.contains(prev));
                    match lines.iter().skip(1).filter(loose).count() {
                        0 => {}
                        loose => held.doubts.push(format!(
                            "{name}: {loose} of {} lines follow on none that is held: they were added on another machine, lines \
                             of another plan lay between, or somebody has edited them",
                            lines.len()
                        )),
                    }
                    plans.push(lines);
                }
                Err(why) => held.doubts.push(format!("{name} is left out: {why}")),
            }
        }
        plans.sort_by_key(|lines| lines.first().map(|line| line.at));
        held.lines = plans.into_iter().flatten().collect();
        held
    }
}

fn plan_lines(key: &str, text: &str) -> Result<Vec<Line>, String> {
    let id = key.strip_prefix(KEY).ok_or("it is no plan")?;
    let read = |text: &str| serde_json::from_str::<Line>(text).map_err(|error| sanitise::line(&error.to_string()));
    let lines = text.lines().map(read).collect::<Result<Vec<Line>, String>>()?;
    if lines.iter().any(|line| line.plan_id != id) {
        return Err("it has lines of another plan".into());
    }
    match lines.first().map(|line| &line.event) {
        Some(Event::Intent { plan, digest, .. }) => fits(plan, id, digest)?,
        _ => return Err("it does not begin with what was approved".into()),
    }
    let again = lines.iter().skip(1).any(|line| matches!(line.event, Event::Intent { .. }));
    if again { Err("it begins twice".into()) } else { Ok(lines) }
}

/// The line with every text of it sanitised: its digest was made of what it was before.
fn cleaned(line: &Line) -> Result<Line, String> {
    let unreadable = |error: serde_json::Error| sanitise::line(&error.to_string());
    let mut value = serde_json::to_value(line).map_err(unreadable)?;
    clean(&mut value);
    serde_json::from_value(value).map_err(unreadable)
}

/// The plan is the one that the approval was about, and names only what can be a name.
fn fits(plan: &Plan, id: &str, digest: &str) -> Result<(), String> {
    if plan.id != id {
        return Err("its plan has another id".into());
    }
    if plan.digest() != digest && !plan.answers_to(digest) {
        return Err("its plan is not the one whose digest was approved".into());
    }
    let named = |step: &crate::plan::Step| {
        is_name(&step.target.name) && (step.target.namespace.is_empty() || is_name(&step.target.namespace))
    };
    if plan.steps.iter().all(named) { Ok(()) } else { Err("its target cannot be a name in Kubernetes".into()) }
}

/// Sanitises every text, but for the fields of objects: they are compared, and shown nowhere.
fn clean(value: &mut Value) {
    match value {
        Value::String(text) => *text = sanitise::line(text),
        Value::Array(items) => items.iter_mut().for_each(clean),
        Value::Object(keys) => {
            let compared = |key: &String| ["patch", "before", "after"].contains(&key.as_str());
            keys.iter_mut().filter(|(key, _)| !compared(key)).for_each(|(_, value)| clean(value));
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::approve::{Way, approve};
    use crate::audit::{Journal, entries};
    use crate::outcome::StepOutcome;
    use crate::plan::ActionKind;
    use crate::plan::examples::{Typist, now, plan};

    const DONE: StepOutcome = StepOutcome::Done { generation: None };

    /// The lines of a scale that was carried out at `second`, and the id of its plan.
    fn scaled(second: i64) -> (String, Vec<String>) {
        let folder = tempfile::tempdir().unwrap();
        let journal = Journal::at(folder.path().join("journal.jsonl"));
        let mut plan = plan(ActionKind::Scale);
        plan.id = format!("{second:012}");
        let id = plan.id.clone();
        let approved = approve(plan, Way::Ask, now(), &Typist("web")).unwrap();
        let at = now() + jiff::SignedDuration::from_secs(second);
        journal.append(at, &id, Event::intent(&approved, None)).unwrap();
        journal.append(at, &id, Event::Outcome { step: 0, outcome: DONE }).unwrap();
        let lines = journal.lines_of(&id).unwrap();
        (id, lines)
    }

    fn merged(data: &mut BTreeMap<String, String>, change: &Value) {
        for (key, value) in change.as_object().unwrap() {
            match value.as_str() {
                Some(text) => drop(data.insert(key.clone(), text.to_owned())),
                None => drop(data.remove(key)),
            }
        }
    }

    fn with(plans: &[(String, Vec<String>)]) -> BTreeMap<String, String> {
        let mut data = BTreeMap::new();
        for (id, lines) in plans {
            let change = change(&data, id, lines).unwrap().unwrap();
            merged(&mut data, &change);
        }
        data
    }

    #[test]
    fn what_was_added_is_read_back_in_order_and_added_once() {
        let plans = [scaled(60), scaled(0)];
        let data = with(&plans);
        let held = Held::of(&data);
        assert_eq!(held.doubts, [""; 0]);
        let ids: Vec<String> = entries(&held.lines).into_iter().map(|entry| entry.id).collect();
        assert_eq!(ids, [plans[1].0.clone(), plans[0].0.clone()], "oldest first");
        assert_eq!(change(&data, &plans[0].0, &plans[0].1), Ok(None));
        // A colleague's journal has only what it added itself; what is there stays.
        let more = change(&data, &plans[0].0, &["{}".to_owned()]).unwrap().unwrap();
        let text = more[format!("plan-{}", plans[0].0)].as_str().unwrap();
        assert_eq!(text.lines().count(), 3, "{text}");
    }

    #[test]
    fn the_oldest_make_room_and_what_cannot_be_read_before_them() {
        let mut data = with(&[scaled(0), scaled(1)]);
        data.insert("plan-torn".into(), "x".repeat(MOST_BYTES - 40_000));
        let big = vec!["y".repeat(MOST_BYTES - 20_000)];
        let change = change(&data, "new", &big).unwrap().unwrap();
        assert!(
            change["plan-torn"].is_null() && change.as_object().unwrap().contains_key("plan-torn"),
            "{change:.200}"
        );
        let kept = |second: i64| change.get(format!("plan-{second:012}")).is_none();
        assert!(kept(0) && kept(1), "there is room for both");
        let (id, lines) = scaled(2);
        let full = vec!["z".repeat(MOST_BYTES - lines.iter().map(|l| l.len() + 1).sum::<usize>() - 1)];
        let mut data = with(&[scaled(0), (id.clone(), lines)]);
        let tight = super::change(&data, "new", &full).unwrap().unwrap();
        merged(&mut data, &tight);
        assert_eq!(data.keys().collect::<Vec<_>>(), ["plan-000000000002", "plan-new"], "the oldest has gone");
        let too_big = super::change(&data, "new", &["z".repeat(MOST_BYTES)]).unwrap_err();
        assert!(too_big.contains("a ConfigMap takes 768 KiB"), "{too_big}");
    }

    #[test]
    fn what_others_keep_in_it_stays() {
        let mut data = with(&[scaled(0)]);
        data.insert("notes".into(), "x".repeat(400 << 10));
        let more = |kib: usize| change(&data, "new", &["y".repeat(kib << 10)]);
        let changed = more(366).unwrap().unwrap();
        assert!(changed.get("notes").is_none() && changed["plan-000000000000"].is_null(), "{changed:.100}");
        let full = more(370).unwrap_err();
        assert_eq!(full, "plan new has 370 KiB, and a ConfigMap takes 768 KiB, of which others have 400");
    }

    /// The data with something replaced in it.
    fn edited(from: &str, to: &str) -> Held {
        let mut data = with(&[scaled(0)]);
        for text in data.values_mut() {
            assert!(text.contains(from), "{text}");
            *text = text.replacen(from, to, 1);
        }
        Held::of(&data)
    }

    #[test]
    fn what_was_edited_is_left_out_or_doubted() {
        let told = [
            edited(r#""replicas":3"#, r#""replicas":300"#),
            edited(r#""plan_id":"000000000000""#, r#""plan_id":"000000000009""#),
            edited(r#""event":"intent""#, r#""event":"aborted""#),
            edited("{", "["),
        ];
        assert!(told.iter().all(|held| held.lines.is_empty()));
        let told: Vec<String> = told.iter().flat_map(|held| held.doubts.clone()).collect();
        insta::assert_snapshot!(told.join("\n"));
        let advice = edited(r#""identity":"alice""#, r#""identity":"alice""#);
        assert_eq!(advice.doubts, [""; 0]);
        let doubted = edited(r#""approval":{"by":"typed","name":"web"}"#, r#""approval":{"by":"typed","name":"WEB"}"#);
        assert_eq!(doubted.lines.len(), 2);
        assert!(doubted.doubts[0].contains("1 of 2 lines follow on none that is held"), "{:?}", doubted.doubts);
    }

    #[test]
    fn what_is_shown_is_harmless() {
        let hostile =
            edited(r#""approval":{"by":"typed","name":"web"}"#, r#""approval":{"by":"typed","name":"\u001b[2J"}"#);
        assert!(!format!("{:?}", hostile.lines).contains("\\u{1b}"), "{:?}", hostile.lines[0].event);
    }

    #[test]
    fn nothing_that_others_put_there_is_taken_for_a_plan() {
        let data = [("notes", "hello"), ("plan-", ""), ("plan-x", "{}")];
        let data = data.map(|(key, text)| (key.to_owned(), text.to_owned())).into();
        let held = Held::of(&data);
        assert!(held.lines.is_empty());
        assert_eq!(held.doubts.len(), 3, "{:?}", held.doubts);
    }
}
