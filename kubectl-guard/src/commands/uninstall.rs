//! `uninstall`: takes away exactly what `install` put into the cluster.

use clap::Args;
use kube::Client;

use crate::connect::{Connection, Environment};
use crate::console::Console;
use crate::error::Error;
use crate::exit::Exit;
use crate::flags::{DryRun, DryRunFlag, KubeFlags};
use crate::setup::manifests::{self, Choices, Kubelet, Object};
use crate::setup::objects::Standing;
use crate::setup::{NAMESPACE, certificates, objects, strangers};

/// Arguments of `uninstall`.
#[derive(Args)]
pub struct UninstallArgs {
    /// Do not ask for confirmation
    #[arg(short, long)]
    yes: bool,
    #[command(flatten)]
    dry_run: DryRunFlag,
}

/// Uninstalls.
///
/// # Errors
/// If the user declines or may not, or if the API server does not answer.
pub async fn run(args: &UninstallArgs, kube: &KubeFlags, console: &Console) -> Result<Exit, Error> {
    let connection = Connection::open(kube, &Environment::of_process())?;
    let how = args.dry_run.dry_run;
    console.note(&format!("context {}, {}", connection.context, connection.server));
    if how == DryRun::None && !args.yes {
        agree(console, &connection)?;
    }
    // Behind the question, which may have stood for an hour: what was put into the namespace meanwhile keeps it.
    let strangers = strangers::find(&connection.client).await?;
    for object in doomed(&strangers) {
        let outcome = take_away(&connection.client, &object, how).await?;
        console.line(&format!("{} {outcome}{}", object.title(), how.suffix()))?;
    }
    if !strangers.is_empty() {
        console.warn(&format!("namespace {NAMESPACE} stays, because it holds {}", strangers.join(", ")));
    }
    Ok(Exit::Done)
}

/// Deletes an object if `install` has applied it; what became of it, in words.
async fn take_away(client: &Client, object: &Object, how: DryRun) -> Result<&'static str, Error> {
    let (found, is_there) = match objects::standing(client, object).await? {
        Standing::Foreign => return Ok("stays: it is not install's alone"),
        Standing::Ours(found) => (*found, true),
        // Asked for all the same: what is deleted by its name and not there is said so by the API server.
        Standing::Missing => (object.clone(), false),
    };
    let gone = match how {
        DryRun::Client => is_there,
        DryRun::None | DryRun::Server => objects::delete(client, &found, how == DryRun::Server).await?,
    };
    Ok(if gone { "deleted" } else { "not found" })
}

fn agree(console: &Console, connection: &Connection) -> Result<(), Error> {
    let question = format!("Delete the exporter and its roles from context {}? [y/N]", connection.context);
    match console.ask(&question) {
        Some(answer) if matches!(answer.to_lowercase().as_str(), "y" | "yes") => Ok(()),
        Some(_) => Err(Error::NotAgreed("not uninstalled".into())),
        None => Err(Error::NotAgreed("not uninstalled: there is no terminal to ask on".into())),
    }
}

/// What to delete, the last applied first; the namespace only if nothing else lives in it.
fn doomed(strangers: &[String]) -> Vec<Object> {
    let all = Choices { kubelet: Kubelet::Authority(String::new()), ..Choices::default() };
    let keep_namespace = !strangers.is_empty();
    let stays = |object: &Object| keep_namespace && object.resource.kind == "Namespace";
    let made = manifests::objects(&all).into_iter().chain(certificates::traces());
    made.rev().filter(|object| !stays(object)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::console::capture;

    fn titles(strangers: &[String]) -> Vec<String> {
        doomed(strangers).iter().map(Object::title).collect()
    }

    #[test]
    fn everything_that_any_install_made_goes_and_the_namespace_last() {
        let titles = titles(&[]);
        assert_eq!(titles[..2], ["secret/guard-exporter-tls", "configmap/guard-exporter-ca"]);
        assert_eq!(titles[2], "daemonset.apps/guard-exporter");
        assert_eq!(titles.last().map(String::as_str), Some("namespace/guard-system"));
        assert!(titles.contains(&"configmap/guard-kubelet-ca".to_owned()));
        assert_eq!(titles.len(), 18);
    }

    #[test]
    fn a_namespace_with_something_else_in_it_stays() {
        let titles = titles(&["configmap/notes".into()]);
        assert_eq!(titles.len(), 17);
        assert!(!titles.contains(&"namespace/guard-system".to_owned()));
    }

    #[test]
    fn without_a_terminal_nothing_is_deleted_unasked() {
        let (console, _) = capture::console(80);
        assert_eq!(console.ask("?"), None);
        assert_eq!(Error::NotAgreed(String::new()).process_exit_code(), Exit::Declined);
    }
}
