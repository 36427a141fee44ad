//! The dashboard of a run: its latest reports, the pods that they are about, and the proposals that wait.

use std::net::Ipv4Addr;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use guard_model::report::NodeReport;
use jiff::Timestamp;
use tokio::sync::OnceCell;

use super::known::known;
use super::{Part, Shared, next_reports};
use crate::approve::Screen;
use crate::commands::fix::desk::ClusterDesk;
use crate::config::Config;
use crate::connect::Connection;
use crate::error::Error;
use crate::flags::Selection;
use crate::pods;
use crate::scores::Scores;
use crate::ui::approvals::Approvals;
use crate::ui::door::Door;
use crate::ui::look::{Look, Scope};
use crate::ui::server::{Pages, Shown};

/// Where a run serves its dashboard, and what may be approved in it. What is being carried out outlives this part, which
/// begins anew at each reload; so does its door, or every open tab would be shut out then.
pub struct Dashboard {
    /// The port; 0 takes a free one.
    pub port: u16,
    /// Nothing may be approved, whatever the configuration says.
    pub read_only: bool,
    /// Its plans.
    pub approvals: Arc<Approvals<ClusterDesk>>,
    /// Its door, once it was opened.
    door: OnceCell<Door>,
    /// What was seen last.
    shown: Shown,
}

impl Dashboard {
    /// A dashboard of the cluster and the proposals of this run.
    pub fn new(port: u16, read_only: bool, connection: &Connection, shared: &Shared<'_>) -> Self {
        let desk = shared.desk(connection, Screen::Dashboard);
        let approvals = Approvals::new(desk, shared.state.queue().clone(), None);
        Self { port, read_only, approvals: Arc::new(approvals), door: OnceCell::new(), shown: Shown::default() }
    }

    /// Opens its door. Its URL is printed, and never in a log: whoever reads that could come in.
    async fn open(&self, scope: Scope, shared: &Shared<'_>) -> Result<Door, Error> {
        let door = Door::open(Ipv4Addr::LOCALHOST, self.port).await?;
        *self.shown.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(nothing(scope));
        shared.console.line(&door.url)?;
        shared.log.info(Part::Serve, "the dashboard's URL is printed; it opens once, in a browser on this machine");
        Ok(door)
    }

    /// Why nothing may be approved.
    fn why_not(&self, config: &Config) -> Option<&'static str> {
        match config.remediation.dry_run {
            _ if self.read_only => Some("this dashboard was started with --read-only"),
            true => Some("remediation.dry_run is set: nothing may be approved in this run"),
            false => None,
        }
    }
}

/// Serves until it is let go.
///
/// # Errors
/// The port is taken, or nobody reads what is printed.
pub async fn serve(
    config: &Config,
    connection: &Connection,
    shared: &Shared<'_>,
    dashboard: &Dashboard,
) -> Result<(), Error> {
    dashboard.approvals.set_read_only(dashboard.why_not(config));
    let selection = Selection { all_namespaces: config.dataset_generator.all_namespaces, ..Selection::default() };
    let open = || dashboard.open(Scope::of(connection, &selection), shared);
    let door = dashboard.door.get_or_try_init(open).await?;
    let pages = Pages { shown: Arc::clone(&dashboard.shown), approvals: Arc::clone(&dashboard.approvals) };
    tokio::select! {
        () = door.serve(pages) => {}
        () = refresh(&selection, connection, shared, &dashboard.shown, config.dataset_generator.interval * 2) => {}
    }
    Ok(())
}

/// What there is to see before the first tick.
fn nothing(scope: Scope) -> Look {
    let warnings = vec!["nothing is scored yet".to_owned()];
    Look { at: Timestamp::now(), scope: Some(scope), warnings, ..Look::default() }
}

/// Looks again after each tick of the scoring, and where none comes for so long: then the scores are old, which has to be said. A
/// look that fails leaves what was seen before, with why it is old.
async fn refresh(
    selection: &Selection,
    connection: &Connection,
    shared: &Shared<'_>,
    shown: &Shown,
    longest: Duration,
) {
    let mut reports = shared.reports.subscribe();
    loop {
        let latest: Arc<Vec<NodeReport>> = reports.borrow_and_update().clone();
        if !latest.is_empty() {
            let next = match look(connection, selection, &latest).await {
                Ok(look) => look,
                Err(error) => {
                    let before = Arc::clone(&shown.read().unwrap_or_else(PoisonError::into_inner));
                    let mut outdated = before.outdated(&error.to_string());
                    outdated.warnings.extend(outdated.scores.warnings(Timestamp::now()));
                    outdated
                }
            };
            shared.state.did(Part::Serve, &format!("{} pods shown", next.rows.len()));
            *shown.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(next);
        }
        next_reports(&mut reports, Some(longest)).await;
    }
}

async fn look(connection: &Connection, selection: &Selection, reports: &[NodeReport]) -> Result<Look, Error> {
    let pods = pods::list(connection, selection).await?;
    let at = Timestamp::now();
    let scores = Scores { reports: known(reports, &pods.facts).into_iter().collect(), ..Scores::default() };
    Ok(Look::of(Scope::of(connection, selection), &pods, scores, at))
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpStream;

    use super::*;
    use crate::config;
    use crate::console::capture::console;
    use crate::rows::tests::{node, report};
    use crate::run::log::Log;
    use crate::wire;
    use guard_model::report::{PodReport, State};

    /// The one pod of the cluster.
    fn pods() -> (u16, serde_json::Value) {
        let spec = json!({"nodeName": "node1", "containers": [{"name": "work"}]});
        let pod = json!({"metadata": {"namespace": "shop", "name": "cart-1", "uid": "5f2c"}, "spec": spec,
            "status": {"phase": "Running"}});
        (200, json!({"kind": "PodList", "apiVersion": "v1", "metadata": {}, "items": [pod]}))
    }

    /// The warnings of the dashboard, once they are `so`, of a score that will be old in a moment and that nothing newer follows.
    async fn warned(answer: fn(&str, usize) -> (u16, serde_json::Value), so: fn(&[String]) -> bool) -> Vec<String> {
        let (connection, _) = wire::server(answer).await;
        let (console, _) = console(80);
        let settings = Config::of(&config::load(&[], |_| None, &[]).unwrap()).unwrap();
        let shared = Shared::new(Log::open(&console, &settings.log).unwrap(), None, &console);
        let cart = report("cart-1", Some(0.1), State::Ok);
        let at = Timestamp::now() - jiff::SignedDuration::from_millis(59_500);
        let reports = vec![NodeReport { at, interval_seconds: 1.0, ..node("", vec![cart]) }];
        shared.reports.send_replace(Arc::new(reports));
        let shown: Shown = Shown::default();
        let selection = Selection::default();
        let seen = async {
            loop {
                let warnings = shown.read().unwrap().warnings.clone();
                if so(&warnings) {
                    return warnings;
                }
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::select! {
            warnings = seen => warnings,
            () = refresh(&selection, &connection, &shared, &shown, Duration::from_millis(20)) => Vec::new(),
            () = tokio::time::sleep(Duration::from_secs(20)) => shown.read().unwrap().warnings.clone(),
        }
    }

    #[tokio::test]
    async fn scores_that_nothing_newer_follows_grow_old_in_the_dashboard() {
        let warnings = warned(|_, _| pods(), |warnings| !warnings.is_empty()).await;
        assert!(warnings[0].starts_with("scores of the table are "), "{warnings:?}");
    }

    #[tokio::test]
    async fn a_cluster_that_is_away_is_told_with_the_age_of_the_scores() {
        let answer = |_: &str, before: usize| if before == 0 { pods() } else { (500, json!({})) };
        let warnings = warned(answer, |warnings| warnings.len() > 1).await;
        assert!(warnings[0].starts_with("cannot list pods"), "{warnings:?}");
        assert!(warnings[1].starts_with("scores of the table are "), "{warnings:?}");
    }

    #[tokio::test]
    async fn the_dashboard_has_the_scores_that_the_table_has_by_name() {
        let (connection, _) = wire::server(|_, _| pods()).await;
        let cart = PodReport { uid: "shop/cart-1".into(), ..report("cart-1", Some(0.93), State::Anomalous) };
        let look = look(&connection, &Selection::default(), &[node("", vec![cart])]).await.unwrap();
        assert_eq!((look.rows[0].score, look.rows[0].note.as_deref()), (Some(0.93), None));
        let page: serde_json::Value = serde_json::from_slice(&look.pod("shop", "cart-1").unwrap().body).unwrap();
        assert_eq!(page["report"]["uid"], "5f2c", "{page}");
        assert_eq!((page["recorded"].as_bool(), page["namespace"].as_str()), (Some(false), Some("shop")), "{page}");
    }

    #[tokio::test]
    async fn a_reload_shuts_no_open_tab_out() {
        let (connection, _) = wire::server(|_, _| pods()).await;
        let (console, streams) = console(80);
        let settings = Config::of(&config::load(&[], |_| None, &[]).unwrap()).unwrap();
        let shared = Shared::new(Log::open(&console, &settings.log).unwrap(), None, &console);
        let dashboard = Dashboard::new(0, false, &connection, &shared);
        let url = || streams.out.text().trim().to_owned();
        let printed = async {
            while url().is_empty() {
                tokio::task::yield_now().await;
            }
        };
        tokio::select! {
            () = printed => {}
            ended = serve(&settings, &connection, &shared, &dashboard) => panic!("{ended:?}"),
        }
        let first = url();
        let (host, path) = first.strip_prefix("http://").and_then(|rest| rest.split_once('/')).unwrap();
        let asked = async {
            let mut stream = TcpStream::connect(host).await.unwrap();
            let request = format!("GET /{path} HTTP/1.1\r\nHost: {host}\r\n\r\n");
            stream.write_all(request.as_bytes()).await.unwrap();
            let mut answer = String::new();
            stream.read_to_string(&mut answer).await.unwrap();
            answer
        };
        let answer = tokio::select! {
            answer = asked => answer,
            ended = serve(&settings, &connection, &shared, &dashboard) => panic!("{ended:?}"),
        };
        assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
        assert_eq!(url(), first, "it is printed once");
    }
}
