use proptest::prelude::*;

use super::*;
use crate::plan::examples::{drain_plan, node_plan, now, plan, resources_plan};
use crate::plan::{ActionKind, DrainOptions, Kind};

/// What `fix -o yaml` prints.
fn printed(plan: &Plan) -> Value {
    let mut value = json!(plan);
    value["digest"] = json!(plan.digest());
    value["allowed"] = json!([true]);
    value
}

fn read(value: &Value) -> Result<PlanFile, PlanFileError> {
    PlanFile::read(&serde_norway::to_string(value).unwrap(), now())
}

fn plans() -> Vec<Plan> {
    let options = DrainOptions { force: true, ..DrainOptions::default() };
    vec![plan(ActionKind::Restart), plan(ActionKind::Scale), node_plan(ActionKind::Cordon), drain_plan(options)]
}

/// The file as somebody would forge it: changed, with a digest that fits.
fn forged(plan: &Plan, change: impl FnOnce(&mut Value)) -> PlanFile {
    let mut value = json!(plan);
    change(&mut value);
    let plan: Plan = serde_json::from_value(value).unwrap();
    read(&printed(&plan)).unwrap()
}

#[test]
fn what_was_printed_is_read_and_fits_what_is_made_again() {
    for plan in plans() {
        let value = printed(&plan);
        for text in [serde_norway::to_string(&value).unwrap(), format!("{value:#}")] {
            let file = PlanFile::read(&text, now()).unwrap();
            file.fits(&plan).unwrap();
            assert_eq!(file.action(), &plan.steps[0].action);
            assert_eq!(file.target().to_string(), plan.steps[0].target.to_string());
        }
    }
    let drain = read(&printed(&plans()[3])).unwrap();
    assert!(matches!(drain.action(), Action::Drain { options } if options.force) && drain.namespace().is_empty());
    let resize = resources_plan(true);
    let file = read(&printed(&resize)).unwrap();
    assert!(file.is_in_place() && file.target().to_string() == "deployment/web");
    file.fits(&resize).unwrap();
}

#[test]
fn what_is_no_plan_of_this_guard_is_refused() {
    let good = printed(&plan(ActionKind::Scale));
    let with = |pointer: &str, value: Value| {
        let mut changed = good.clone();
        *changed.pointer_mut(pointer).unwrap() = value;
        read(&changed).unwrap_err()
    };
    assert_eq!(with("/version", json!(2)), PlanFileError::Version { found: 2 });
    assert!(matches!(with("/digest", json!(null)), PlanFileError::NoPlan(_)));
    assert!(matches!(with("/steps", json!([])), PlanFileError::NoPlan(_)));
    assert!(matches!(with("/steps/0/target/name", json!("../secrets")), PlanFileError::NoPlan(_)));
    assert!(matches!(with("/steps/0/action/replicas", json!(30)), PlanFileError::Edited { .. }));
    assert!(matches!(with("/steps/0/patch/spec/replicas", json!(30)), PlanFileError::Edited { .. }));
    assert_eq!(with("/steps/0/action/type", json!("exec")).exit(), Exit::Error);
    let mut misspelt = good.clone();
    misspelt["steps"][0]["patchs"] = json!({});
    let told = read(&misspelt).unwrap_err().to_string();
    assert!(told.ends_with("a plan has no steps.0.patchs; is \"patch\" meant?"), "{told}");
    assert!(told.starts_with("line "), "{told}");
    let twice =
        serde_norway::to_string(&good).unwrap().replacen("identity: alice", "identity: alice\nidentity: bob", 1);
    assert!(
        matches!(PlanFile::read(&twice, now()), Err(PlanFileError::NoPlan(why)) if why.contains("identity")),
        "{twice}"
    );
    let late = PlanFile::read(&good.to_string(), now() + crate::plan::LIFETIME).unwrap_err();
    assert_eq!((late.exit(), late.to_string().starts_with("it expired")), (Exit::Stale, true));
    assert_eq!(PlanFile::read(&" ".repeat(MAX_BYTES + 1), now()), Err(PlanFileError::TooLarge));
}

#[test]
fn a_file_that_carries_what_guard_would_not_propose_is_refused() {
    let plan = plan(ActionKind::Scale);
    let refused = |change: fn(&mut Value)| forged(&plan, change).fits(&plan).unwrap_err().to_string();
    let told = [
        refused(|v| v["steps"][0]["patch"]["metadata"]["labels"] = json!({"owned": "yes"})),
        refused(|v| v["steps"][0]["need"]["verb"] = json!("delete")),
        refused(|v| v["steps"][0]["target"]["uid"] = json!("another")),
        refused(|v| v["steps"][0]["target"]["resource_version"] = json!("4710")),
        refused(|v| v["server"] = json!("https://10.6.6.6")),
        refused(|v| v["identity"] = json!("mallory\u{1b}[2J")),
        refused(|v| v["guard_rails"] = json!([])),
        refused(|v| {
            let step = v["steps"][0].clone();
            v["steps"].as_array_mut().unwrap().push(step);
        }),
    ];
    insta::assert_snapshot!(told.join("\n"));
}

proptest! {
    #[test]
    fn no_text_makes_it_panic(text in "\\PC{0,300}") {
        drop(PlanFile::read(&text, now()));
    }

    /// Whatever is put in place of a part of a plan: it is refused, or it was the same.
    #[test]
    fn a_plan_with_a_part_exchanged_never_fits(part in 0..40_usize, text in "[a-z0-9:/.]{0,12}") {
        let plan = plan(ActionKind::Restart);
        let mut value = printed(&plan);
        let mut leaves = Vec::new();
        pointers(&value, String::new(), &mut leaves);
        let pointer = &leaves[part % leaves.len()];
        *value.pointer_mut(pointer).unwrap() = json!(text);
        if let Ok(file) = read(&value) {
            // What is no part of the digest, such as the advice or a reason's words, is not taken from a file.
            prop_assert!(file.fits(&plan).is_ok() && file.target().kind == Kind::Deployment, "{}", pointer);
            prop_assert_eq!(file.action(), &plan.steps[0].action);
        }
    }
}

fn pointers(value: &Value, path: String, found: &mut Vec<String>) {
    match value {
        Value::Object(keys) => keys.iter().for_each(|(key, value)| {
            pointers(value, format!("{path}/{}", key.replace('~', "~0").replace('/', "~1")), found);
        }),
        Value::Array(items) => {
            items.iter().enumerate().for_each(|(i, value)| pointers(value, format!("{path}/{i}"), found));
        }
        _ => found.push(path),
    }
}
