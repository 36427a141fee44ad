//! Lists of objects of any kind: of a namespace, or of the cluster.

use kube::api::{Api, ListParams};

use crate::error::Error;
use crate::request::Request;

/// All objects of a kind in a namespace.
pub(super) async fn list<T>(client: &kube::Client, namespace: &str, params: &ListParams) -> Result<Vec<T>, Error>
where
    T: kube::Resource<DynamicType = (), Scope = k8s_openapi::NamespaceResourceScope>
        + Clone
        + serde::de::DeserializeOwned
        + std::fmt::Debug,
{
    let (resource, group) = (T::plural(&()), T::group(&()));
    let request = Request { verb: "list", resource: &resource, group: &group, namespace: Some(namespace) };
    let answer = Api::<T>::namespaced(client.clone(), namespace).list(params).await;
    answer.map(|list| list.items).map_err(|error| request.failed(&error))
}

/// All objects of a kind in the cluster.
pub(super) async fn list_all<T>(client: &kube::Client, params: &ListParams) -> Result<Vec<T>, Error>
where
    T: kube::Resource<DynamicType = ()> + Clone + serde::de::DeserializeOwned + std::fmt::Debug,
{
    let (resource, group) = (T::plural(&()), T::group(&()));
    let request = Request { verb: "list", resource: &resource, group: &group, namespace: None };
    let answer = Api::<T>::all(client.clone()).list(params).await;
    answer.map(|list| list.items).map_err(|error| request.failed(&error))
}
