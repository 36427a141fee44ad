//! Limits and requests of a container: as typed, as a patch, and in words. Pure.

use std::collections::BTreeMap;

use guard_model::quantity::Quantity;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

/// What a container may be given more or less of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Resource {
    /// In cores.
    Cpu,
    /// In bytes.
    Memory,
}

impl Resource {
    /// Both.
    pub const ALL: [Self; 2] = [Resource::Cpu, Resource::Memory];

    /// The word of Kubernetes.
    pub fn name(self) -> &'static str {
        match self {
            Resource::Cpu => "cpu",
            Resource::Memory => "memory",
        }
    }

    /// The finest amount of it: a thousandth of a core, a byte.
    pub fn finest(self) -> Quantity {
        Quantity::thousandths(match self {
            Resource::Cpu => 1,
            Resource::Memory => 1000,
        })
    }
}

/// New amounts; `None` takes the limit or request away.
pub type Amounts = BTreeMap<Resource, Option<Quantity>>;

/// Amounts as `kubectl set resources` spells them: `cpu=200m,memory=512Mi`, where 0 takes one away.
///
/// # Errors
/// What cannot be read, in words.
pub fn amounts(text: &str) -> Result<Amounts, String> {
    let mut amounts = Amounts::new();
    for part in text.split(',') {
        let (name, amount) = part.split_once('=').ok_or("it must be like cpu=200m,memory=512Mi")?;
        let resource = Resource::ALL.into_iter().find(|resource| resource.name() == name);
        let resource = resource.ok_or_else(|| format!("{name:?} is not cpu or memory"))?;
        let amount: Quantity =
            amount.parse().map_err(|error: guard_model::quantity::NotAQuantity| error.to_string())?;
        if amount.is_negative() {
            return Err(format!("{name} cannot be less than nothing"));
        }
        if !amount.is_multiple_of(resource.finest()) {
            return Err(format!(
                "{name} is counted in whole {}",
                if resource == Resource::Cpu { "1m" } else { "bytes" }
            ));
        }
        if amounts.insert(resource, Some(amount).filter(|amount| amount.is_positive())).is_some() {
            return Err(format!("{name} is given twice"));
        }
    }
    Ok(amounts)
}

/// New limits and requests of one container; what is not named stays as it is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ResourceChange {
    /// The container.
    pub container: String,
    /// Its limits.
    #[serde(default)]
    pub limits: Amounts,
    /// Its requests.
    #[serde(default)]
    pub requests: Amounts,
}

impl ResourceChange {
    /// Nothing is named.
    pub fn is_empty(&self) -> bool {
        self.limits.is_empty() && self.requests.is_empty()
    }

    /// A limit or request is taken away.
    pub fn takes_away(&self) -> bool {
        self.limits.values().chain(self.requests.values()).any(Option::is_none)
    }

    /// `limits cpu=200m,memory=512Mi and requests cpu=100m of container web`.
    pub fn words(&self) -> String {
        let list = |what: &str, amounts: &Amounts| {
            let each = amounts.iter().map(|(resource, amount)| {
                let amount = amount.map_or_else(|| "none".into(), |amount| amount.to_string());
                format!("{}={amount}", resource.name())
            });
            (!amounts.is_empty()).then(|| format!("{what} {}", each.collect::<Vec<_>>().join(",")))
        };
        let lists: Vec<String> =
            [list("limits", &self.limits), list("requests", &self.requests)].into_iter().flatten().collect();
        format!("{} of container {}", lists.join(" and "), self.container)
    }

    /// The part of a pod's spec that says so; `null` takes away.
    pub fn spec(&self) -> Value {
        let object = |amounts: &Amounts| {
            let fields = amounts.iter().map(|(resource, amount)| (resource.name().to_owned(), json!(amount)));
            Value::Object(fields.collect::<Map<_, _>>())
        };
        let mut resources = Map::new();
        for (what, amounts) in [("limits", &self.limits), ("requests", &self.requests)] {
            if !amounts.is_empty() {
                resources.insert(what.into(), object(amounts));
            }
        }
        json!({ "containers": [{ "name": self.container, "resources": resources }] })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn change(limits: &str, requests: &str) -> ResourceChange {
        let read = |text: &str| if text.is_empty() { Amounts::new() } else { amounts(text).unwrap() };
        ResourceChange { container: "web".into(), limits: read(limits), requests: read(requests) }
    }

    #[test]
    fn amounts_are_spelled_as_in_kubectl() {
        let both = change("cpu=200m,memory=1.5Gi", "memory=0");
        assert_eq!(both.words(), "limits cpu=200m,memory=1536Mi and requests memory=none of container web");
        assert_eq!(
            both.spec(),
            json!({ "containers": [{ "name": "web", "resources": {
                "limits": { "cpu": "200m", "memory": "1536Mi" }, "requests": { "memory": null } } }] })
        );
        assert!(both.takes_away() && !change("cpu=1", "").takes_away());
    }

    #[test]
    fn what_cannot_be_an_amount_is_refused_with_the_reason() {
        let wrong = ["", "cpu", "disk=1", "cpu=-1", "cpu=0.1m", "memory=100m", "cpu=1,cpu=2", "memory=1GiB", "cpu=1,"];
        let reasons: Vec<String> =
            wrong.iter().map(|text| format!("{text:?}: {}", amounts(text).unwrap_err())).collect();
        insta::assert_snapshot!(reasons.join("\n"));
    }

    #[test]
    fn a_change_comes_back_from_the_journal_as_it_went_in() {
        let change = change("cpu=200m,memory=0", "cpu=100m");
        let text = serde_json::to_string(&change).unwrap();
        assert_eq!(serde_json::from_str::<ResourceChange>(&text).unwrap(), change);
    }
}
