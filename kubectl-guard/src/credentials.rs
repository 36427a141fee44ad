//! The kubeconfig's credential plugin, where it gave no credentials: told in our own words, for kube's hold what the plugin
//! wrote (a token, perhaps) and all of its arguments.

use std::error::Error;
use std::io;

use kube::client::AuthError;
use kube::config::AuthInfo;

use crate::error::Failure;
use crate::sanitise;

/// A plugin that gave no credentials.
#[derive(Debug, thiserror::Error)]
#[error("credential plugin {command} {problem}")]
pub(crate) struct PluginFailed {
    command: String,
    problem: String,
}

impl PluginFailed {
    /// The plugin of this name gave a token that cannot be sent.
    pub(crate) fn unusable(command: &str) -> Self {
        Self { command: sanitise::line(command), problem: "wrote a token that no header takes".to_owned() }
    }

    /// If that is what is behind `error`; `command` is the plugin's.
    pub(crate) fn behind(error: &(dyn Error + 'static), command: &str) -> Option<Self> {
        let cause = causes(error).find_map(|cause| cause.downcast_ref::<AuthError>())?;
        let problem = match cause {
            AuthError::AuthExecStart(error) if error.kind() == io::ErrorKind::NotFound => {
                if command.contains(['/', '\\']) { "is not there" } else { "is not on the PATH" }.to_owned()
            }
            AuthError::AuthExecStart(error) => format!("cannot be started: {error}"),
            AuthError::AuthExecRun { out, .. } => match out.status.code() {
                Some(code) => format!("ended with status {code}"),
                None => "was ended by a signal".to_owned(),
            },
            AuthError::AuthExecParse(_) | AuthError::ParseTokenKey(_) => "wrote what cannot be read".to_owned(),
            AuthError::ExecPluginFailed => "wrote no credentials".to_owned(),
            _ => return None,
        };
        Some(Self { command: sanitise::line(command), problem })
    }

    /// If it is among the causes of `error`.
    pub(crate) fn among(error: &(dyn Error + 'static)) -> Option<Self> {
        let found = causes(error).find_map(|cause| cause.downcast_ref::<Self>())?;
        Some(Self { command: found.command.clone(), problem: found.problem.clone() })
    }
}

impl Failure for PluginFailed {
    fn hint(&self) -> Option<&str> {
        Some("kubectl runs it too: `kubectl get --raw /version` shows what it says; a new login may be needed")
    }

    // Whoever watches goes on when somebody has logged in again.
    fn may_pass(&self) -> bool {
        true
    }
}

fn causes<'a>(error: &'a (dyn Error + 'static)) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    std::iter::successors(Some(error), |&error| error.source())
}

/// What the kubeconfig calls the plugin of this user.
pub(crate) fn command(user: &AuthInfo) -> String {
    let by_exec = user.exec.as_ref().and_then(|exec| exec.command.clone());
    let by_provider = || user.auth_provider.as_ref().and_then(|provider| provider.config.get("cmd-path").cloned());
    by_exec.or_else(by_provider).unwrap_or_default()
}
