//! May the user do it? One SelfSubjectAccessReview for each right that a plan needs.

use k8s_openapi::api::authorization::v1::{ResourceAttributes, SelfSubjectAccessReview, SelfSubjectAccessReviewSpec};
use kube::api::{Api, PostParams};

use crate::error::Error;
use crate::plan::{Need, Verdict};
use crate::request::Request;
use crate::sanitise;

/// One verdict for each right, in that order. The reviews store nothing in the cluster.
///
/// # Errors
/// The API server does not answer, or refuses even the question.
pub async fn ask(client: &kube::Client, needs: &[&Need]) -> Result<Vec<Verdict>, Error> {
    let request = Request {
        verb: "create",
        resource: "selfsubjectaccessreviews",
        group: "authorization.k8s.io",
        namespace: None,
    };
    let api = Api::<SelfSubjectAccessReview>::all(client.clone());
    let mut verdicts: Vec<Verdict> = Vec::with_capacity(needs.len());
    for (index, need) in needs.iter().enumerate() {
        // One right that several steps need is asked for once: that to resize the pods of a namespace. The evictions of a drain
        // name their pods, and are asked for one by one.
        if let Some(verdict) = needs.iter().position(|same| same == need).filter(|first| *first < index) {
            verdicts.push(verdicts[verdict].clone());
            continue;
        }
        let answer = api.create(&PostParams::default(), &review(need)).await.map_err(|error| request.failed(&error))?;
        // An answer without a status is a no.
        verdicts.push(match answer.status {
            Some(status) if status.allowed => Verdict::Allowed,
            Some(status) => Verdict::Denied(sanitise::line(&status.reason.unwrap_or_default())),
            None => Verdict::Denied("the server gave no answer".into()),
        });
    }
    Ok(verdicts)
}

fn review(need: &Need) -> SelfSubjectAccessReview {
    let some = |text: &str| (!text.is_empty()).then(|| text.to_owned());
    SelfSubjectAccessReview {
        spec: SelfSubjectAccessReviewSpec {
            resource_attributes: Some(ResourceAttributes {
                verb: some(&need.verb),
                group: some(&need.group),
                resource: some(&need.resource),
                subresource: some(&need.subresource),
                namespace: some(&need.namespace),
                name: some(&need.name),
                ..ResourceAttributes::default()
            }),
            ..SelfSubjectAccessReviewSpec::default()
        },
        ..SelfSubjectAccessReview::default()
    }
}
