//! JSON Merge Patches (RFC 7386) between two values: what turns one into the other, and nothing more.

use serde_json::{Map, Value};

/// The patch that turns `from` into `to`; an empty object where they are the same. Neither holds a null: Kubernetes stores
/// none.
pub(crate) fn difference(from: &Value, to: &Value) -> Value {
    let (Value::Object(old), Value::Object(new)) = (from, to) else { return to.clone() };
    let gone = old.keys().filter(|key| !new.contains_key(*key)).map(|key| (key.clone(), Value::Null));
    let changed = new.iter().filter_map(|(key, value)| match old.get(key) {
        Some(before) if before == value => None,
        Some(before) if before.is_object() && value.is_object() => Some((key.clone(), difference(before, value))),
        _ => Some((key.clone(), value.clone())),
    });
    Value::Object(gone.chain(changed).collect())
}

/// What the API server makes of `value` by such a patch.
pub(crate) fn merged(value: &Value, patch: &Value) -> Value {
    let Value::Object(patch) = patch else { return patch.clone() };
    let mut whole = value.as_object().cloned().unwrap_or_default();
    for (key, change) in patch {
        if change.is_null() {
            whole.remove(key);
        } else {
            let part = merged(whole.get(key).unwrap_or(&Value::Null), change);
            whole.insert(key.clone(), part);
        }
    }
    Value::Object(whole)
}

/// The same without what is null, at any depth of its objects and lists.
pub(crate) fn without_nulls(value: &Value) -> Value {
    match value {
        Value::Object(fields) => {
            let kept = fields.iter().filter(|(_, value)| !value.is_null());
            Value::Object(kept.map(|(key, value)| (key.clone(), without_nulls(value))).collect::<Map<_, _>>())
        }
        Value::Array(items) => Value::Array(items.iter().map(without_nulls).collect()),
        other => other.clone(),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn values() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            any::<bool>().prop_map(Value::from),
            (0..3_i64).prop_map(Value::from),
            "[ab]?".prop_map(Value::from)
        ];
        leaf.prop_recursive(4, 24, 4, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..3).prop_map(Value::from),
                prop::collection::btree_map("[abc]", inner, 0..4)
                    .prop_map(|fields| Value::Object(fields.into_iter().collect())),
            ]
        })
    }

    fn objects() -> impl Strategy<Value = Value> {
        prop::collection::btree_map("[abc]", values(), 0..4)
            .prop_map(|fields| Value::Object(fields.into_iter().collect()))
    }

    proptest! {
        #[test]
        fn the_difference_makes_one_of_the_other(from in objects(), to in objects()) {
            let patch = difference(&from, &to);
            let made = merged(&from, &patch);
            prop_assert_eq!(&made, &to);
            prop_assert_eq!(merged(&made, &patch), to, "a second time changes nothing");
        }
    }

    #[test]
    fn only_what_differs_is_touched() {
        let old = json!({ "spec": { "a": 1, "b": { "c": 1, "d": 2 } }, "x": [1, 2] });
        let new = json!({ "spec": { "b": { "c": 1, "d": 3 }, "e": 5 }, "x": [1] });
        assert_eq!(difference(&old, &new), json!({ "spec": { "a": null, "b": { "d": 3 }, "e": 5 }, "x": [1] }));
        assert_eq!(difference(&old, &old), json!({}));
    }

    #[test]
    fn nulls_are_left_out_at_any_depth() {
        let value = json!({ "a": null, "b": [{ "c": null, "d": 1 }] });
        assert_eq!(without_nulls(&value), json!({ "b": [{ "d": 1 }] }));
    }
}
