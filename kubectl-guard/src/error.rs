//! Every way in which a command can fail: its words, what to do next, and the exit code.
//!
//! Texts are lower-case fragments. Foreign text in them is sanitised when the error is made.

use std::path::PathBuf;

use crate::exit::Exit;
use crate::version::INSTALL_AGAIN;

/// Why a command failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The reader of our output has gone (`| head`): nothing is wrong.
    #[error("the reader of the output has gone")]
    OutputClosed,
    /// A flag or argument that clap could not judge.
    #[error("{message}")]
    Usage {
        /// What is wrong with it.
        message: String,
        /// What to type instead.
        hint: String,
    },
    /// Reading or writing something local failed.
    #[error("cannot {doing}: {source}")]
    Io {
        /// What was to be done, such as `write /tmp/plan.json`.
        doing: String,
        /// Why it failed.
        source: std::io::Error,
    },
    /// A local file is not what it should be.
    #[error("{}: {problem}", path.display())]
    BadFile {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        problem: String,
        /// What to do about it.
        hint: String,
    },
    /// There is no kubeconfig.
    #[error("no kubeconfig: {tried} does not exist")]
    NoKubeconfig {
        /// The files that were looked for.
        tried: String,
    },
    /// A kubeconfig cannot be read or understood.
    #[error("cannot use kubeconfig {file}: {problem}")]
    BadKubeconfig {
        /// The file, or the list of files.
        file: String,
        /// What is wrong with it.
        problem: String,
    },
    /// The kubeconfig does not hold what was named.
    #[error("{kind} {name:?} is not in kubeconfig {file}")]
    NotInKubeconfig {
        /// `context`, `cluster` or `user`.
        kind: &'static str,
        /// What was asked for.
        name: String,
        /// The file, or the list of files.
        file: String,
        /// What there is.
        available: Vec<String>,
    },
    /// No context was named, and the kubeconfig has no current one.
    #[error("kubeconfig {file} has no current context")]
    NoCurrentContext {
        /// The file, or the list of files.
        file: String,
        /// What there is.
        available: Vec<String>,
    },
    /// A client could not be made from what the kubeconfig and the flags say.
    #[error("cannot connect to {server}: {problem}")]
    Connection {
        /// The API server's URL.
        server: String,
        /// Why not.
        problem: String,
    },
    /// The API server does not answer.
    #[error("cannot {doing}: no answer from {server}: {problem}")]
    Unreachable {
        /// What was to be done.
        doing: String,
        /// The API server's URL, or `the API server`.
        server: String,
        /// Why not.
        problem: String,
    },
    /// The API server does not know who this is.
    #[error("cannot {doing}: the API server does not accept these credentials")]
    Unauthenticated {
        /// What was to be done.
        doing: String,
    },
    /// The user may not do this.
    #[error("you may not {verb} {resource}{}", in_namespace(namespace.as_deref()))]
    Forbidden {
        /// The verb of the missing rule.
        verb: String,
        /// Resource of the missing rule, as `pods/portforward` or `deployments.apps`.
        resource: String,
        /// Its namespace; `None` for the whole cluster.
        namespace: Option<String>,
        /// What the API server said.
        message: String,
    },
    /// The API server refused for another reason.
    #[error("cannot {doing}: {message}")]
    Api {
        /// What was to be done.
        doing: String,
        /// Its status code.
        code: u16,
        /// Its message.
        message: String,
    },
    /// What was named is not in the cluster.
    #[error("{what} not found")]
    NotFound {
        /// Kind, name and namespace.
        what: String,
    },
    /// No `run` listens where it was looked for.
    #[error("no run listens at {socket}")]
    NoRun {
        /// The socket.
        socket: String,
    },
    /// There is nowhere to keep mutes.
    #[error("namespace {namespace} has no ConfigMap {name}")]
    NoMutes {
        /// Where it was looked for.
        namespace: &'static str,
        /// What it is called.
        name: &'static str,
    },
    /// There is no ConfigMap to tell the journal to.
    #[error("namespace {namespace} has no ConfigMap {name} for the journal")]
    NoSink {
        /// Where it was looked for.
        namespace: String,
        /// What it is to be called.
        name: String,
    },
    /// The journal was to be told elsewhere before anything is changed, and could not be.
    #[error("nothing was changed, for the journal could not be told elsewhere first: {0}")]
    NotShared(Box<Error>),
    /// There is nothing to read scores from.
    #[error("no exporter in namespace {namespace}")]
    NoExporter {
        /// Where it was looked for.
        namespace: String,
    },
    /// There are exporters, and none gave an answer.
    #[error("none of {exporters} exporters answered; the first: {first}")]
    NoScores {
        /// How many were asked.
        exporters: usize,
        /// What the first one failed with.
        first: String,
    },
    /// A field of an object that guard would apply belongs to another manager.
    #[error("{what} is managed by somebody else too: {message}")]
    ManagedByAnother {
        /// The object, such as `daemonset.apps/guard-exporter`.
        what: String,
        /// Who manages what, in the words of the API server.
        message: String,
    },
    /// Nobody can grant rights that they do not hold.
    #[error("you may not grant the rights of {what}: you do not hold all of them yourself")]
    MayNotGrant {
        /// The role.
        what: String,
    },
    /// The exporter is installed, and not ready on every node.
    #[error("the exporter is installed, but {state}")]
    NotReady {
        /// How far it got.
        state: String,
        /// What to do about it.
        hint: String,
    },
    /// A question was answered with no, or there was nobody to answer it.
    #[error("{0}")]
    NotAgreed(String),
    /// A recording cannot be read.
    #[error("{0}")]
    Recording(#[from] guard_model::recording::RecordingError),
    /// What a part of the program says of its own failure.
    #[error("{0}")]
    Part(Box<dyn Failure>),
    /// Stopped by ^C.
    #[error("interrupted")]
    Interrupted,
}

/// A part's own way to fail. It knows its words, its exit code and what to do next, so that this module need not know the part.
pub trait Failure: std::error::Error + Send + Sync + 'static {
    /// The exit code of the process.
    fn exit(&self) -> Exit {
        Exit::Error
    }

    /// What to do next, if its own words do not say so.
    fn hint(&self) -> Option<&str> {
        None
    }

    /// The same may go well in a moment.
    fn may_pass(&self) -> bool {
        false
    }
}

impl<F: Failure> From<F> for Error {
    fn from(failure: F) -> Self {
        Error::Part(Box::new(failure))
    }
}

fn in_namespace(namespace: Option<&str>) -> String {
    match namespace {
        Some(namespace) => format!(" in namespace {namespace}"),
        None => " in the whole cluster".to_owned(),
    }
}

impl Error {
    /// The exit code of the process.
    pub fn process_exit_code(&self) -> Exit {
        match self {
            Error::OutputClosed => Exit::Done,
            Error::Usage { .. } => Exit::Usage,
            Error::Forbidden { .. } | Error::Unauthenticated { .. } | Error::MayNotGrant { .. } => Exit::NotPermitted,
            Error::NotReady { .. } => Exit::Partial,
            Error::NotAgreed(_) => Exit::Declined,
            Error::Interrupted => Exit::Interrupted,
            Error::Part(failure) => failure.exit(),
            Error::NotShared(error) => error.process_exit_code(),
            Error::Io { .. }
            | Error::BadFile { .. }
            | Error::NoKubeconfig { .. }
            | Error::BadKubeconfig { .. }
            | Error::NotInKubeconfig { .. }
            | Error::NoCurrentContext { .. }
            | Error::Connection { .. }
            | Error::Unreachable { .. }
            | Error::Api { .. }
            | Error::NotFound { .. }
            | Error::NoRun { .. }
            | Error::ManagedByAnother { .. }
            | Error::NoExporter { .. }
            | Error::NoMutes { .. }
            | Error::NoSink { .. }
            | Error::Recording(_)
            | Error::NoScores { .. } => Exit::Error,
        }
    }

    /// The failure of a part, if it is this one.
    pub fn part<F: Failure>(&self) -> Option<&F> {
        match self {
            Error::Part(failure) => (failure.as_ref() as &dyn std::error::Error).downcast_ref(),
            _ => None,
        }
    }

    /// Whether it is this failure of a part.
    pub fn is<F: Failure>(&self) -> bool {
        self.part::<F>().is_some()
    }

    /// Somebody is away, perhaps for a moment only.
    pub fn may_pass(&self) -> bool {
        match self {
            // The codes are those of a server that stops or has too much to do, or of what stands before it.
            Error::Unreachable { .. } | Error::NoScores { .. } | Error::Api { code: 429 | 500..=504, .. } => true,
            Error::Part(failure) => failure.may_pass(),
            _ => false,
        }
    }

    /// What to do next, if there is something to say.
    pub fn hint(&self) -> Option<String> {
        let hint = match self {
            Error::OutputClosed | Error::Interrupted | Error::Io { .. } | Error::Api { .. } | Error::Recording(_) => {
                return None;
            }
            Error::Part(failure) => return failure.hint().map(str::to_owned),
            Error::Usage { hint, .. } | Error::BadFile { hint, .. } | Error::NotReady { hint, .. } => hint.clone(),
            Error::ManagedByAnother { .. } => "--force-conflicts takes these fields over".into(),
            Error::MayNotGrant { .. } => {
                "let an administrator of the cluster install; `kubectl guard install -o yaml` shows what it needs"
                    .into()
            }
            Error::NotAgreed(_) => "nothing was changed; --yes answers beforehand".into(),
            Error::NoKubeconfig { .. } => {
                "name one with --kubeconfig or $KUBECONFIG; `kubectl guard demo` needs no cluster".into()
            }
            Error::BadKubeconfig { .. } => "`kubectl config view` shows how kubectl reads it".into(),
            Error::NotInKubeconfig { kind, available, .. } => there_are(kind, available),
            Error::NoCurrentContext { available, .. } => {
                format!("{}; choose with --context or `kubectl config use-context`", there_are("context", available))
            }
            Error::Connection { .. } => "see `kubectl config view --minify` for what the context says".into(),
            Error::Unreachable { .. } => "is the cluster up? `kubectl cluster-info` asks the same server".into(),
            Error::Unauthenticated { .. } => "log in again, or choose a user with --context or --user".into(),
            Error::Forbidden { verb, resource, namespace, .. } => {
                format!("ask for this rule: {}", rule(verb, resource, namespace.as_deref()))
            }
            Error::NoSink { namespace, name } => format!("make it: kubectl create configmap {name} -n {namespace}"),
            Error::NotShared(error) => return error.hint(),
            Error::NoMutes { .. } => format!("this version's install makes it: {INSTALL_AGAIN}"),
            Error::NotFound { what } if what.starts_with("node/") => "`kubectl get nodes` names those there are".into(),
            Error::NoRun { .. } => {
                "does `kubectl guard run` run here, started by you? --socket names the socket of another one".into()
            }
            Error::NotFound { .. } => "is the namespace right? choose it with -n".into(),
            Error::NoExporter { .. } => {
                format!(
                    "`kubectl guard install` sets it up, if it never was; else {INSTALL_AGAIN}; --guard-namespace names \
                     another namespace"
                )
            }
            Error::NoScores { .. } => "`kubectl guard doctor` looks for the cause".into(),
        };
        Some(hint)
    }

    /// The error and what to do next, for a place that has one line.
    pub fn in_one_line(&self) -> String {
        self.hint().map_or_else(|| self.to_string(), |hint| format!("{self}; {hint}"))
    }

    /// The error as it is shown: one line, and the hint in a second.
    pub fn shown(&self) -> String {
        match self.hint() {
            Some(hint) => format!("error: {self}\nhint: {hint}"),
            None => format!("error: {self}"),
        }
    }
}

fn there_are(kind: &str, available: &[String]) -> String {
    const MOST: usize = 12;
    if available.is_empty() {
        return format!("it has no {kind}s at all");
    }
    let more = available.len().saturating_sub(MOST);
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    format!("there are the {kind}s {}{more}", available[..available.len().min(MOST)].join(", "))
}

/// The missing rule in the words of a Role.
fn rule(verb: &str, resource: &str, namespace: Option<&str>) -> String {
    let (resource, group) = match resource.split_once('.') {
        Some((resource, group)) => (resource, group.split('/').next().unwrap_or_default()),
        None => (resource, ""),
    };
    let place = match namespace {
        Some(namespace) => format!("a Role in namespace {namespace}"),
        None => "a ClusterRole".to_owned(),
    };
    format!("{place} with apiGroups: [\"{group}\"], resources: [\"{resource}\"], verbs: [\"{verb}\"]")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_in_no_namespace_is_not_looked_for_in_another() {
        let hint = |what: &str| Error::NotFound { what: what.into() }.hint().unwrap();
        assert!(hint("deployment/cart in namespace shop").contains("-n"));
        assert_eq!(hint("node/node9"), "`kubectl get nodes` names those there are");
        let no_run = Error::NoRun { socket: "/run/user/7/kubectl-guard/run.sock".into() };
        insta::assert_snapshot!(no_run.shown(), @r"
        error: no run listens at /run/user/7/kubectl-guard/run.sock
        hint: does `kubectl guard run` run here, started by you? --socket names the socket of another one
        ");
    }

    #[test]
    fn a_wrong_context_lists_those_there_are() {
        let error = Error::NotInKubeconfig {
            kind: "context",
            name: "prod".into(),
            file: "/home/ann/.kube/config".into(),
            available: vec!["kind".into(), "staging".into()],
        };
        insta::assert_snapshot!(error.shown(), @r#"
        error: context "prod" is not in kubeconfig /home/ann/.kube/config
        hint: there are the contexts kind, staging
        "#);
    }
}
