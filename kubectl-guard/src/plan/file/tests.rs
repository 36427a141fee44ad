use proptest::prelude::*;

use super::*;
use crate::plan::examples::{drain_plan, node_plan, now, plan, resources_plan};
use crate::plan::{ActionKind, DrainOptions};

/// What `fix -o yaml` prints.
fn printed(plan: &Plan) -> Value {
    document(plan, &[Verdict::Allowed])
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
    assert!(matches!(with("/checksums", json!(null)), PlanFileError::NoPlan(_)));
    assert!(matches!(with("/steps", json!([])), PlanFileError::NoPlan(_)));
    assert!(matches!(with("/steps/0/target/name", json!("../secrets")), PlanFileError::NoPlan(_)));
    assert!(matches!(with("/steps/0/action/replicas", json!(30)), PlanFileError::Edited(_)));
    assert!(matches!(with("/steps/0/patch/spec/replicas", json!(30)), PlanFileError::Edited(_)));
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

/// What nothing is made of is compared too: a reviewer read it.
#[test]
fn what_was_edited_is_named_part_by_part() {
    let good = printed(&plan(ActionKind::Scale));
    let told = [
        ("/evidence/score", json!(0.99)),
        ("/evidence/reasons/0/text", json!("all is well")),
        ("/guard_rails/0/detail", json!("shop is not one, honestly")),
        ("/advice", json!(["approve this"])),
        ("/allowed/0", json!(false)),
        ("/expires", json!("2026-11-22T18:30:05Z")),
        ("/steps/0/undo", json!({"type": "irreversible", "why": "no"})),
        ("/digest", json!("sha256:00")),
        ("/checksums/evidence", json!("00")),
    ]
    .map(|(pointer, value)| {
        let mut changed = good.clone();
        *changed.pointer_mut(pointer).unwrap() = value;
        let error = read(&changed).unwrap_err();
        assert_eq!(error.exit(), Exit::Refused, "{pointer}");
        format!("{pointer}: {error}")
    });
    insta::assert_snapshot!(told.join("\n"));
    let mut two = good;
    two["identity"] = json!("bob");
    two["advice"] = json!(["x"]);
    assert_eq!(
        read(&two).unwrap_err().to_string(),
        "it was changed after it was written: its parts advice, identity are not what was written"
    );
}

#[test]
fn a_file_that_carries_what_guard_would_not_propose_is_refused() {
    let plan = plan(ActionKind::Scale);
    let refused = |change: fn(&mut Value)| forged(&plan, change).fits(&plan).unwrap_err().to_string();
    let told = [
        refused(|v| v["steps"][0]["patch"]["metadata"]["labels"] = json!({"owned": "yes"})),
        refused(|v| v["steps"][0]["need"]["verb"] = json!("delete")),
        refused(|v| v["steps"][0]["target"]["uid"] = json!("another")),
        refused(|v| v["steps"][0]["target"]["generation"] = json!(1)),
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
        let same = value.pointer(pointer) == printed(&plan).pointer(pointer);
        prop_assert_eq!(read(&value).is_ok(), same, "{}", pointer);
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
