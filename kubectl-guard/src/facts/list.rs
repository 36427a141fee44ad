//! Lists of objects of any kind: of a namespace, or of the cluster.

use std::fmt::Debug;

use kube::api::{Api, ListParams};
use serde::de::DeserializeOwned;

use crate::error::Error;
use crate::request::Request;

/// All objects of a kind in a namespace.
pub(super) async fn list<T>(client: &kube::Client, namespace: &str, params: &ListParams) -> Result<Vec<T>, Error>
where
    T: kube::Resource<DynamicType = (), Scope = k8s_openapi::NamespaceResourceScope> + Clone + DeserializeOwned + Debug,
{
    listed(&Api::namespaced(client.clone(), namespace), Some(namespace), params).await
}

/// All objects of a kind in the cluster.
pub(super) async fn list_all<T>(client: &kube::Client, params: &ListParams) -> Result<Vec<T>, Error>
where
    T: kube::Resource<DynamicType = ()> + Clone + DeserializeOwned + Debug,
{
    listed(&Api::all(client.clone()), None, params).await
}

async fn listed<T>(api: &Api<T>, namespace: Option<&str>, params: &ListParams) -> Result<Vec<T>, Error>
where
    T: kube::Resource<DynamicType = ()> + Clone + DeserializeOwned + Debug,
{
    let (resource, group) = (T::plural(&()), T::group(&()));
    let request = Request { verb: "list", resource: &resource, group: &group, namespace };
    api.list(params).await.map(|list| list.items).map_err(|error| request.failed(&error))
}
