//! The journal's lines in a ConfigMap as well, so that colleagues see what was done, and can take it back or go on with it
//! from their own machines.
//!
//! The journal on the disk stays the authority: a line is there before it is here. A change holds the version of the map
//! that it was made from. Whoever can write the map can lie in it: what is read from it is checked as [`ring`] says, and the
//! object itself is asked before anything is done on its word.

mod ring;

use std::fmt;
use std::str::FromStr;

use k8s_openapi::api::core::v1::ConfigMap;
use kube::Client;
use kube::api::{Api, Patch, PatchParams};

pub use ring::{Held, MOST_BYTES};

use crate::error::Error;
use crate::plan::{FIELD_MANAGER, is_name};
use crate::request::Request;
use crate::setup::NAMESPACE;
use crate::write_point::WritePoint;

/// How often a change is made while others make theirs.
const TRIES: usize = 4;

/// A ConfigMap that takes the lines of plans.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sink {
    namespace: String,
    name: String,
}

impl FromStr for Sink {
    type Err = String;

    /// `configmap/NAME`, in guard's namespace, or `configmap/NAME.NAMESPACE`.
    fn from_str(text: &str) -> Result<Self, String> {
        let form = || "write configmap/NAME or configmap/NAME.NAMESPACE".to_owned();
        let place = text.strip_prefix("configmap/").or_else(|| text.strip_prefix("cm/")).ok_or_else(form)?;
        // A namespace has no dots, so that the last one is before it.
        let (name, namespace) = place.rsplit_once('.').unwrap_or((place, NAMESPACE));
        if !is_name(name) || !is_name(namespace) {
            return Err(form());
        }
        Ok(Self { namespace: namespace.into(), name: name.into() })
    }
}

impl fmt::Display for Sink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "configmap/{} in namespace {}", self.name, self.namespace)
    }
}

impl Sink {
    /// What it holds.
    ///
    /// # Errors
    /// It is not there, may not be read, or the API server does not answer.
    pub async fn read(&self, client: &Client) -> Result<Held, Error> {
        Ok(Held::of(&self.map(client).await?.data.unwrap_or_default()))
    }

    /// Adds the lines of a plan that it does not have yet. Made anew if somebody else was faster.
    ///
    /// # Errors
    /// It is not there or has no room, may not be written, or the API server does not answer.
    pub async fn add(&self, client: &Client, id: &str, lines: &[String]) -> Result<(), Error> {
        let params = PatchParams { field_manager: Some(FIELD_MANAGER.to_owned()), ..PatchParams::default() };
        let api = self.api(client);
        let mut tries = TRIES;
        loop {
            let map = self.map(client).await?;
            let data = map.data.unwrap_or_default();
            let changed = ring::change(&data, id, lines)
                .map_err(|why| Error::Io { doing: format!("add to {self}"), source: std::io::Error::other(why) })?;
            let Some(changed) = changed else { return Ok(()) };
            let version = map.metadata.resource_version;
            let change = serde_json::json!({ "metadata": { "resourceVersion": version }, "data": changed });
            tries -= 1;
            match WritePoint::Sink.send(api.patch(&self.name, &params, &Patch::Merge(&change))).await {
                Err(kube::Error::Api(status)) if status.code == 409 && tries > 0 => {}
                Err(error) => return Err(self.request("patch").failed(&error)),
                Ok(_) => return Ok(()),
            }
        }
    }

    async fn map(&self, client: &Client) -> Result<ConfigMap, Error> {
        let map = self.api(client).get_opt(&self.name).await.map_err(|error| self.request("get").failed(&error))?;
        map.ok_or_else(|| Error::NoSink { namespace: self.namespace.clone(), name: self.name.clone() })
    }

    fn api(&self, client: &Client) -> Api<ConfigMap> {
        Api::namespaced(client.clone(), &self.namespace)
    }

    fn request(&self, verb: &'static str) -> Request<'_> {
        Request { verb, resource: "configmaps", group: "", namespace: Some(&self.namespace) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sink_is_named_with_or_without_its_namespace() {
        let read = |text: &str| text.parse::<Sink>().map(|sink| sink.to_string());
        assert_eq!(read("configmap/journal").as_deref(), Ok("configmap/journal in namespace guard-system"));
        assert_eq!(read("cm/our.journal.ops").as_deref(), Ok("configmap/our.journal in namespace ops"));
        for text in ["journal", "secret/journal", "configmap/", "configmap/../x", "configmap/a.", "configmap/A"] {
            assert!(read(text).is_err(), "{text}");
        }
    }
}
