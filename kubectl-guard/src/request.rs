//! Requests to the API server, and how their failures are put into words.

use crate::credentials::PluginFailed;
use crate::error::Error;
use crate::sanitise;

/// One request to the API server, for the words of its failure.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    /// The verb as RBAC names it: `get`, `list`, `create`, ...
    pub verb: &'a str,
    /// The resource with its subresource: `pods`, `pods/portforward`.
    pub resource: &'a str,
    /// Its API group; empty for the core group.
    pub group: &'a str,
    /// The namespace; `None` for the whole cluster.
    pub namespace: Option<&'a str>,
}

impl Request<'_> {
    fn resource_with_group(&self) -> String {
        match self.group {
            "" => self.resource.to_owned(),
            // A dot cannot be part of a resource, so the rule can be read back from this.
            group => format!("{}.{group}", self.resource),
        }
    }

    /// What was to be done, in words: `list pods in namespace shop`.
    pub fn doing(&self) -> String {
        let place = self.namespace.map(|n| format!(" in namespace {n}")).unwrap_or_default();
        format!("{} {}{place}", self.verb, self.resource_with_group())
    }

    /// An answer that is not what was asked for.
    pub fn unreadable(&self, problem: &dyn std::fmt::Display) -> Error {
        Error::Api {
            doing: self.doing(),
            code: 0,
            message: sanitise::line(&format!("the answer cannot be read: {problem}")),
        }
    }

    /// The request's failure.
    pub fn failed(&self, error: &kube::Error) -> Error {
        match error {
            kube::Error::Api(status) => self.refused(status.code, &status.message),
            other => {
                if let Some(failed) = PluginFailed::among(other) {
                    return failed.into();
                }
                let server = unanswered(other).map_or("the API server", |unanswered| &unanswered.server);
                Error::Unreachable { doing: self.doing(), server: sanitise::line(server), problem: innermost(other) }
            }
        }
    }

    fn refused(&self, code: u16, message: &str) -> Error {
        let message = sanitise::line(message);
        match code {
            401 => Error::Unauthenticated { doing: self.doing() },
            403 if !is_of_admission(&message) => Error::Forbidden {
                verb: refused_verb(&message).unwrap_or(self.verb).to_owned(),
                resource: self.resource_with_group(),
                namespace: self.namespace.map(str::to_owned),
                message,
            },
            _ => Error::Api { doing: self.doing(), code, message },
        }
    }
}

/// Whether a 403 is of admission and not of a missing right: a quota, a policy, a namespace that ends. Of a right it says who
/// cannot do what, or nothing at all.
pub fn is_of_admission(message: &str) -> bool {
    let is_of_rights = |why: &str| why.trim().is_empty() || why.starts_with("User \"") || why.starts_with("user \"");
    let why = message.split_once(" is forbidden: ").map(|(_, why)| why);
    why.is_some_and(|why| !is_of_rights(why)) || message.starts_with("admission webhook ")
}

/// The verb that the API server names: a port-forward needs two of them, and it says which one is missing.
fn refused_verb(message: &str) -> Option<&str> {
    let (_, rest) = message.split_once(" cannot ")?;
    let (verb, rest) = rest.split_once(' ')?;
    let plain = !verb.is_empty() && verb.bytes().all(|b| b.is_ascii_lowercase());
    (plain && rest.starts_with("resource ")).then_some(verb)
}

/// A request that got no answer, with the server that should have given it.
#[derive(Debug, thiserror::Error)]
#[error("no answer from {server}")]
pub struct Unanswered {
    server: String,
    source: Box<dyn std::error::Error + Send + Sync>,
}

impl Unanswered {
    /// `server` is its URL, `source` why it did not answer.
    pub fn new(server: &str, source: Box<dyn std::error::Error + Send + Sync>) -> Self {
        Self { server: server.to_owned(), source }
    }
}

fn unanswered<'a>(error: &'a (dyn std::error::Error + 'static)) -> Option<&'a Unanswered> {
    std::iter::successors(Some(error), |error| error.source()).find_map(|error| error.downcast_ref())
}

/// The innermost cause of an error: kube and hyper wrap it in layers that repeat each other.
pub fn innermost(error: &dyn std::error::Error) -> String {
    let mut inner = error;
    while let Some(source) = inner.source() {
        inner = source;
    }
    sanitise::line(&inner.to_string())
}

#[cfg(test)]
mod tests {
    use kube::core::Status;

    use super::*;
    use crate::exit::Exit;

    const PORT_FORWARD: Request =
        Request { verb: "create", resource: "pods/portforward", group: "", namespace: Some("guard-system") };

    #[test]
    fn a_refusal_names_the_missing_rule() {
        let refusal =
            kube::Error::Api(Box::new(Status::failure("pods is \u{1b}[31mforbidden", "Forbidden").with_code(403)));
        let error = PORT_FORWARD.failed(&refusal);
        assert_eq!(error.process_exit_code(), Exit::NotPermitted);
        insta::assert_snapshot!(error.shown(), @r#"
        error: you may not create pods/portforward in namespace guard-system
        hint: ask for this rule: a Role in namespace guard-system with apiGroups: [""], resources: ["pods/portforward"], verbs: ["create"]
        "#);
    }

    #[test]
    fn the_api_server_knows_best_which_verb_is_missing() {
        let message = r#"pods "x" is forbidden: User "ann" cannot get resource "pods/portforward" in API group """#;
        let error = PORT_FORWARD.failed(&kube::Error::Api(Box::new(Status::failure(message, "").with_code(403))));
        assert_eq!(error.to_string(), "you may not get pods/portforward in namespace guard-system");
        assert_eq!(refused_verb("you cannot rm -rf resource x"), None);
    }

    #[test]
    fn what_admission_forbids_is_no_missing_right() {
        let of = |message: &str| {
            PORT_FORWARD.failed(&kube::Error::Api(Box::new(Status::failure(message, "Forbidden").with_code(403))))
        };
        for (message, exit) in [
            (r#"pods "x" is forbidden: User "ann" cannot create resource "pods""#, Exit::NotPermitted),
            (
                r#"roles "x" is forbidden: user "ann" (groups=["dev"]) is attempting to grant RBAC permissions"#,
                Exit::NotPermitted,
            ),
            (
                r#"serviceaccounts "guard-exporter" is forbidden: unable to create new content in namespace guard-system because it is being terminated"#,
                Exit::Error,
            ),
            (r#"pods "x" is forbidden: maximum memory usage per Container is 512Mi, but limit is 1Gi"#, Exit::Error),
            (r#"pods "x" is forbidden: violates PodSecurity "restricted:latest": host namespaces"#, Exit::Error),
            (r#"admission webhook "validation.gatekeeper.sh" denied the request: [images] not allowed"#, Exit::Error),
        ] {
            let error = of(message);
            assert_eq!(error.process_exit_code(), exit, "{message}");
            assert!(exit == Exit::NotPermitted || error.to_string().ends_with(message), "{error}");
        }
    }

    #[test]
    fn a_rule_of_a_group_names_the_group() {
        let request = Request { verb: "patch", resource: "deployments", group: "apps", namespace: None };
        let error = request.failed(&kube::Error::Api(Box::new(Status::failure("no", "Forbidden").with_code(403))));
        insta::assert_snapshot!(error.shown(), @r#"
        error: you may not patch deployments.apps in the whole cluster
        hint: ask for this rule: a ClusterRole with apiGroups: ["apps"], resources: ["deployments"], verbs: ["patch"]
        "#);
    }

    #[test]
    fn the_cause_is_the_innermost() {
        let io = std::io::Error::new(std::io::ErrorKind::ConnectionRefused, "connection refused");
        let error = PORT_FORWARD.failed(&kube::Error::Service(Box::new(io)));
        assert!(error.to_string().ends_with("no answer from the API server: connection refused"), "{error}");
    }
}
