//! Namespaces of its own for everything a run starts, so that nothing can outlive it.
//!
//! The test program runs itself again as process 1 of new PID, mount and network namespaces. However it ends (done,
//! failed, panicked, ^C, `kill -9`), the kernel then ends every process in them and drops their mounts, links and
//! routes. Only control groups and a few settings of the kernel are the machine's: the outer process puts those back,
//! or, after a `kill -9`, the next run does before it starts.
//!
//! ```text
//! outer (cleans up) -> setpriv, unshare -> init (process 1, reaps) -> the tests, the control plane, the nodes
//! ```

use std::fs::{self, File, TryLockError};
use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use nix::sys::wait::WaitStatus;
use tokio::signal::unix::{SignalKind, signal};

use crate::{cgroup, process::run};

/// Logs, keys, images and state of the run; kept after it for its logs, emptied by the next.
pub const FOLDER: &str = "/var/tmp/kubectl-guard-e2e";

const STAGE: &str = "GUARD_E2E_STAGE";
const LOCK: &str = "/var/tmp/kubectl-guard-e2e.lock";

/// What a kubelet sets for the whole machine.
const SETTINGS: [&str; 4] = ["vm/overcommit_memory", "vm/panic_on_oom", "kernel/panic", "kernel/panic_on_oops"];

/// Where the caller is after [`enter`].
#[derive(Debug)]
pub enum Place {
    /// In the namespaces: start a cluster.
    Inside,
    /// Outside, and all is over: end with this.
    Done(ExitCode),
}

/// Takes the program into namespaces of its own, by running it again.
///
/// # Errors
/// If a namespace cannot be made, or something of an earlier run cannot be removed.
pub fn enter() -> Result<Place> {
    match std::env::var(STAGE).as_deref() {
        Ok("init") => init().map(Place::Done),
        Ok(_) => Ok(Place::Inside),
        Err(_) => supervise().map(Place::Done),
    }
}

/// Removes what an earlier run left on the machine, if anything; waits for a run that goes on.
///
/// # Errors
/// If a control group is still in use after half a minute.
pub fn clean_up() -> Result<()> {
    let _lock = lock()?;
    clean()
}

fn clean() -> Result<()> {
    cgroup::remove()?;
    restore_settings(Path::new(FOLDER))
}

fn supervise() -> Result<ExitCode> {
    if !nix::unistd::geteuid().is_root() {
        bail!("a cluster needs root; set GUARD_E2E_CONTEXT to use one that runs already");
    }
    let _lock = lock()?;
    clean()?;
    if Path::new(FOLDER).exists() {
        fs::remove_dir_all(FOLDER).context("emptying the folder of the last run")?;
    }
    fs::create_dir_all(FOLDER)?;
    save_settings(Path::new(FOLDER))?;
    cgroup::create()?;
    let code = tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(watch());
    clean()?;
    code
}

/// One cluster at a time on a machine; the kernel gives the lock back however we end.
fn lock() -> Result<File> {
    let file = File::create(LOCK)?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            crate::suite::note("waiting for the run that holds the test cluster");
            file.lock()?;
        }
        Err(TryLockError::Error(error)) => return Err(error).context(LOCK),
    }
    Ok(file)
}

/// Runs the inner program to its end, or to ours.
async fn watch() -> Result<ExitCode> {
    let mut inner = tokio::process::Command::new("setpriv")
        // Should we die without a word, unshare goes with us, and process 1 with unshare.
        .args(["--pdeathsig", "KILL", "unshare", "--fork", "--kill-child=KILL"])
        .args(["--pid", "--mount", "--net", "--mount-proc", "--propagation", "private"])
        .arg(std::env::current_exe()?)
        .args(std::env::args_os().skip(1))
        .env(STAGE, "init")
        .spawn()
        .context("starting setpriv and unshare (package util-linux)")?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let mut hangup = signal(SignalKind::hangup())?;
    tokio::select! {
        status = inner.wait() => return Ok(ExitCode::from(status?.code().unwrap_or(1) as u8)),
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
        _ = hangup.recv() => {}
    }
    inner.kill().await?;
    Ok(ExitCode::from(130))
}

/// Process 1: runs the program, and reaps what the container runtime leaves to it.
fn init() -> Result<ExitCode> {
    cgroup::join()?;
    run("ip", &["link", "set", "lo", "up"])?;
    let program = std::process::Command::new(std::env::current_exe()?)
        .args(std::env::args_os().skip(1))
        .env(STAGE, "inside")
        .spawn()?;
    let program = program.id() as i32;
    loop {
        match nix::sys::wait::wait()? {
            WaitStatus::Exited(pid, code) if pid.as_raw() == program => return Ok(ExitCode::from(code as u8)),
            WaitStatus::Signaled(pid, _, _) if pid.as_raw() == program => return Ok(ExitCode::FAILURE),
            _ => {}
        }
    }
}

fn save_settings(folder: &Path) -> Result<()> {
    let values: Result<String, std::io::Error> = SETTINGS
        .iter()
        .map(|name| Ok(format!("{name} {}\n", fs::read_to_string(format!("/proc/sys/{name}"))?.trim())))
        .collect();
    Ok(fs::write(folder.join("settings"), values?)?)
}

fn restore_settings(folder: &Path) -> Result<()> {
    let file = folder.join("settings");
    let Ok(values) = fs::read_to_string(&file) else { return Ok(()) };
    for (name, value) in values.lines().filter_map(|line| line.split_once(' ')) {
        fs::write(format!("/proc/sys/{name}"), value).with_context(|| format!("putting {name} back"))?;
    }
    Ok(fs::remove_file(file)?)
}
