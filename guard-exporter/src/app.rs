//! Puts the parts together: settings, listeners, the watch and the tick, until a signal says stop.

use std::ffi::OsString;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use clap::Parser;
use futures::future::{BoxFuture, ready};
use guard_model::report::PodReport;
use guard_model::scorer::Settings;
use hyper::StatusCode;
use hyper::header::{HeaderValue, USER_AGENT};
use kube::config::{KubeConfigOptions, Kubeconfig};
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::Semaphore;
use tokio::task::{JoinError, JoinSet};

use crate::config::{Arguments, Config, ConfigError, Trust};
use crate::gate::{Gate, Lifetimes};
use crate::health::{Heartbeat, readyz};
use crate::metrics;
use crate::model::Source;
use crate::mutes::Mutes;
use crate::pipeline::Pipeline;
use crate::server::{Answer, Asked, Channel, Routes, serve};
use crate::snapshot::Snapshot;
use crate::tick::{Latest, TickError, Ticker};
use crate::tls::Certificates;
use crate::watch::Pods;

/// How many threads may do work that blocks: one scores, one reads a file or looks up a name.
const BLOCKING_THREADS: usize = 2;
/// How many scrapes may be on their way at once: each holds its whole body in memory until the scraper has taken it.
const SCRAPES: usize = 8;
/// How long the API server may say nothing at all: longer than a watch lasts (290 s), and that has a bookmark each minute. Else a
/// connection that died without a word, or an answer that never begins, would leave the pods as they were for ever.
const SILENCE: Duration = Duration::from_mins(5);
/// The environment cannot be used as it was given: exit code of a wrong command line.
const USAGE: u8 = 2;

/// Why the exporter cannot start or go on.
#[derive(Debug, thiserror::Error)]
pub enum ExporterError {
    /// The settings cannot be used.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The system gives no thread, socket or signal.
    #[error("cannot {what}: {cause}")]
    System {
        /// What was tried.
        what: String,
        /// What the system said.
        cause: std::io::Error,
    },
    /// There is no way to reach an API server.
    #[error(
        "cannot set up a connection to the API server: {0}; run in a pod with a ServiceAccount, or give --kubeconfig"
    )]
    Kube(String),
    /// Scoring broke off.
    #[error(transparent)]
    Tick(#[from] TickError),
}

/// The whole program: what it is told in, its exit code out (0 stopped by a signal, 1 error, 2 usage).
pub fn main_impl(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    let arguments = match Arguments::try_parse_from(arguments) {
        Ok(arguments) => arguments,
        Err(error) => {
            // If even that cannot be written, nobody is there to be told.
            let _told = error.print();
            return if error.use_stderr() { ExitCode::from(USAGE) } else { ExitCode::SUCCESS };
        }
    };
    tracing_subscriber::fmt()
        .with_max_level(arguments.log_level.filter())
        .with_writer(std::io::stderr)
        .with_ansi(false)
        .init();
    match start(arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!(%error, "giving up");
            if matches!(error, ExporterError::Config(_)) { ExitCode::from(USAGE) } else { ExitCode::FAILURE }
        }
    }
}

fn start(arguments: Arguments) -> Result<(), ExporterError> {
    let config = arguments.resolve(|name| std::env::var(name).ok())?;
    // One thread for all that waits, and another for the few milliseconds of scoring: a DaemonSet's memory is paid on
    // every node.
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .max_blocking_threads(BLOCKING_THREADS)
        .build()
        .map_err(|cause| ExporterError::System { what: "start".to_owned(), cause })?;
    runtime.block_on(async {
        let exporter = Exporter::bind(config).await?;
        exporter.run(signalled()?).await
    })
}

/// Ends when the process is told to stop.
fn signalled() -> Result<impl Future<Output = ()>, ExporterError> {
    let listen =
        |kind| signal(kind).map_err(|cause| ExporterError::System { what: "listen for signals".to_owned(), cause });
    let (mut terminate, mut interrupt) = (listen(SignalKind::terminate())?, listen(SignalKind::interrupt())?);
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        tracing::info!("told to stop");
    })
}

/// An exporter whose ports are open and that has not begun.
pub struct Exporter {
    config: Config,
    client: kube::Client,
    network: TcpListener,
    loopback: TcpListener,
}

impl Exporter {
    /// Opens the ports and prepares the connection to the API server, which need not answer yet.
    ///
    /// # Errors
    /// If a port is taken, or nothing says where the API server is.
    pub async fn bind(config: Config) -> Result<Self, ExporterError> {
        let client = client(config.kubeconfig.as_deref(), SILENCE).await?;
        let (network, loopback) = (listen(config.listen).await?, listen(config.loopback).await?);
        Ok(Self { config, client, network, loopback })
    }

    /// The network port, and the loopback port with the report.
    ///
    /// # Errors
    /// If the system does not say.
    pub fn addresses(&self) -> std::io::Result<(SocketAddr, SocketAddr)> {
        Ok((self.network.local_addr()?, self.loopback.local_addr()?))
    }

    /// Samples, scores and serves until `stop`.
    ///
    /// # Errors
    /// If scoring broke off.
    pub async fn run(self, stop: impl Future<Output = ()>) -> Result<(), ExporterError> {
        let config = &self.config;
        announce(config);
        let settings = Settings { threshold: config.threshold, interval_seconds: config.interval.as_secs_f64() };
        let mut source = Source::new(config.detector, config.model.clone());
        let detector = source
            .load()
            .inspect_err(|reason| tracing::error!(reason, "there is no model: hard facts alone make the scores"));
        let pipeline = Pipeline::new(&config.node, settings, detector);
        let heartbeat = Arc::new(Heartbeat::new(config.interval));
        let (pods, mutes) = (Pods::default(), Mutes::default());
        // Says in the log if there is none.
        let certificates = Arc::new(Certificates::new(config.tls.clone()));
        let shown = (!config.insecure_metrics).then(|| Arc::clone(&certificates));
        let followed = (pods.clone(), mutes.clone());
        let (ticker, latest) = Ticker::new(config, followed, pipeline, source, shown, Arc::clone(&heartbeat));
        let scrapes = Scrapes::new(latest, pods.clone(), heartbeat);
        let gate = Gate::new(self.client.clone(), config.audience.clone(), Lifetimes::default());
        let open = network_routes(scrapes.clone(), gate, config.insecure_metrics);
        let own = loopback_routes(scrapes);
        // Each is woken for what is its own: as branches of one future all would be polled for each piece of a kubelet's answer.
        let mut others = JoinSet::new();
        others.spawn(serve(self.network, open, Some(certificates)));
        others.spawn(serve(self.loopback, own, None));
        others.spawn(follow(pods, mutes, self.client, config.node.clone()));
        tokio::select! {
            result = ticker.run(stop) => Ok(result?),
            Some(ended) = others.join_next() => {
                // They have no end but a panic, which is passed on.
                if let Err(Ok(panic)) = ended.map_err(JoinError::try_into_panic) {
                    std::panic::resume_unwind(panic);
                }
                Ok(())
            }
        }
    }
}

/// Follows the pods and the mutes without end: should a stream end by itself, what is known stays.
async fn follow(pods: Pods, mutes: Mutes, client: kube::Client, node: String) {
    let namespace = client.default_namespace().to_owned();
    tokio::join!(pods.follow(client.clone(), &node), mutes.follow(client, &namespace));
    tracing::error!("the watches of pods and mutes ended; going on with what is known");
    std::future::pending::<()>().await;
}

fn announce(config: &Config) {
    tracing::info!(
        version = env!("CARGO_PKG_VERSION"),
        node = config.node,
        network = %config.listen,
        loopback = %config.loopback,
        "starting"
    );
    if config.trust == Trust::Insecure {
        tracing::warn!(
            "--kubelet-insecure-tls: the kubelet's certificate is not verified, the token goes to whoever answers"
        );
    }
    if config.insecure_metrics {
        tracing::warn!(address = %config.listen, "--insecure-metrics: /metrics is served in plain HTTP to anyone");
    }
}

fn network_routes(scrapes: Scrapes, gate: Gate, insecure_metrics: bool) -> Routes {
    let gate = Arc::new(gate);
    let answer = move |asked: Asked| -> BoxFuture<'static, Answer> {
        let (scrapes, gate) = (scrapes.clone(), Arc::clone(&gate));
        Box::pin(async move {
            match asked.path.as_str() {
                "/healthz" => scrapes.heartbeat.healthz(),
                "/readyz" => readyz(scrapes.latest.borrow().as_deref()),
                "/metrics" if insecure_metrics || asked.channel == Channel::Certified => scrapes.answer(&asked),
                "/metrics" if asked.channel == Channel::Tls => {
                    gate.judge(&asked.headers, asked.from).await.refusal().unwrap_or_else(|| scrapes.answer(&asked))
                }
                _ => Answer::not_found(),
            }
        })
    };
    Routes { loopback_only: false, answer: Box::new(answer) }
}

fn loopback_routes(scrapes: Scrapes) -> Routes {
    let answer = move |asked: Asked| -> BoxFuture<'static, Answer> {
        let answer = match asked.path.as_str() {
            "/v1/report" => report(scrapes.latest.borrow().as_deref()),
            "/metrics" => scrapes.answer(&asked),
            _ => Answer::not_found(),
        };
        Box::pin(ready(answer))
    };
    Routes { loopback_only: true, answer: Box::new(answer) }
}

fn report(snapshot: Option<&Snapshot>) -> Answer {
    match snapshot {
        Some(snapshot) => Answer::new(StatusCode::OK, "application/json", snapshot.json()),
        None => Answer::text(StatusCode::SERVICE_UNAVAILABLE, "no tick has ended yet\n"),
    }
}

/// What a scrape is answered from, and how many may be answered at once.
#[derive(Clone)]
struct Scrapes {
    latest: Latest,
    pods: Pods,
    heartbeat: Arc<Heartbeat>,
    places: Arc<Semaphore>,
}

impl Scrapes {
    fn new(latest: Latest, pods: Pods, heartbeat: Arc<Heartbeat>) -> Self {
        Self { latest, pods, heartbeat, places: Arc::new(Semaphore::new(SCRAPES)) }
    }

    fn answer(&self, asked: &Asked) -> Answer {
        let Ok(place) = Arc::clone(&self.places).try_acquire_owned() else {
            return Answer::text(StatusCode::SERVICE_UNAVAILABLE, "too many scrapes at once\n");
        };
        let snapshot = self.latest.borrow().clone();
        let current = !self.heartbeat.stalled();
        // A pod that goes between two ticks is missing from the very next scrape, and not from the one after a tick.
        let shown = |pod: &PodReport| current && self.pods.has(&pod.uid);
        let answer = metrics::answer(snapshot.as_deref(), shown, &asked.headers);
        Answer { place: Some(place), ..answer }
    }
}

/// Listens there; on every address of IPv4 where every address is meant and the kernel has no IPv6.
async fn listen(address: SocketAddr) -> Result<TcpListener, ExporterError> {
    let failed = |cause| ExporterError::System { what: format!("listen on {address}"), cause };
    match TcpListener::bind(address).await {
        Err(_) if address.ip() == Ipv6Addr::UNSPECIFIED => {
            TcpListener::bind((Ipv4Addr::UNSPECIFIED, address.port())).await.map_err(failed)
        }
        bound => bound.map_err(failed),
    }
}

async fn client(kubeconfig: Option<&Path>, silence: Duration) -> Result<kube::Client, ExporterError> {
    let said = |error: &dyn std::fmt::Display| ExporterError::Kube(error.to_string());
    let mut config = match kubeconfig {
        None => kube::Config::incluster().map_err(|error| said(&error))?,
        Some(file) => {
            let kubeconfig = Kubeconfig::read_from(file).map_err(|error| said(&error))?;
            let options = KubeConfigOptions::default();
            kube::Config::from_custom_kubeconfig(kubeconfig, &options).await.map_err(|error| said(&error))?
        }
    };
    config.read_timeout = Some(silence);
    config.reset_reader_on_write = true;
    // kube sends none by itself, and the audit log would name nobody.
    let agent = HeaderValue::from_static(concat!("guard-exporter/", env!("CARGO_PKG_VERSION")));
    config.headers.push((USER_AGENT, agent));
    kube::Client::try_from(config).map_err(|error| said(&error))
}

#[cfg(test)]
mod tests;
