//! However a run of the cluster ends, it leaves nothing on the machine: no process, mount, link, route, namespace or
//! control group. After a `kill -9` the processes are gone at once, and the next run removes what groups are left.

use std::fs;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::Result;
use guard_tests::wait;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// What a machine shows of a run, each as a line.
fn traces() -> Result<Vec<String>> {
    let mut found: Vec<String> = fs::read_dir("/proc")?
        .flatten()
        .map(|entry| entry.path())
        .filter(|path| fs::read_to_string(path.join("cgroup")).is_ok_and(|text| text.contains("/guard-e2e")))
        .map(|path| format!("process {} {}", path.display(), fs::read_to_string(path.join("comm")).unwrap_or_default()))
        .collect();
    let mounts = fs::read_to_string("/proc/self/mounts")?;
    found.extend(mounts.lines().filter(|line| line.contains("guard-e2e")).map(str::to_owned));
    let links = fs::read_dir("/sys/class/net")?.flatten();
    let links = links.map(|link| link.file_name().to_string_lossy().into_owned());
    found.extend(links.filter(|name| name.starts_with("guard") || name.starts_with("cni")));
    let routes = fs::read_to_string("/proc/net/route")?;
    // 10.244.x.x and 10.99.x.x, as the kernel writes them.
    found.extend(routes.lines().filter(|line| line.contains("F40A") || line.contains("630A")).map(str::to_owned));
    Ok(found)
}

fn groups() -> Result<Vec<PathBuf>> {
    let controllers = fs::read_dir("/sys/fs/cgroup")?.flatten().map(|entry| entry.path());
    let places = controllers.chain([PathBuf::from("/sys/fs/cgroup")]);
    Ok(places.map(|place| place.join("guard-e2e")).filter(|group| group.exists()).collect())
}

fn settings() -> Result<Vec<String>> {
    let names = ["vm/overcommit_memory", "kernel/panic", "kernel/panic_on_oops"];
    Ok(names.iter().map(|name| fs::read_to_string(format!("/proc/sys/{name}"))).collect::<Result<_, _>>()?)
}

/// A cluster with a pod on it, whose owner then waits.
fn start() -> Result<Child> {
    let marker = PathBuf::from(guard_tests::world::FOLDER).join("up");
    let script = format!(
        "kubectl create deployment busy --image=guard.test/work:1 --replicas=2 &&
         kubectl rollout status --timeout=60s deployment busy && touch {} && exec sleep 300",
        marker.display()
    );
    let mut owner =
        Command::new(env!("CARGO_BIN_EXE_guard-cluster")).args(["sh", "-c", &script]).stdout(Stdio::null()).spawn()?;
    wait::until("the cluster with its pods", Duration::from_mins(3), || {
        // The folder is emptied at the start, so an earlier run's marker cannot mislead for long.
        anyhow::ensure!(owner.try_wait()?.is_none(), "the owner has ended");
        Ok((marker.exists() && !groups()?.is_empty()).then_some(()))
    })?;
    assert!(traces()?.iter().any(|trace| trace.contains("containerd-shim")), "the search for traces finds none");
    Ok(owner)
}

fn end(mut owner: Child, signal: Signal) -> Result<Option<i32>> {
    fs::remove_file(PathBuf::from(guard_tests::world::FOLDER).join("up"))?;
    kill(Pid::from_raw(owner.id() as i32), signal)?;
    Ok(owner.wait()?.code())
}

fn nothing_runs() -> Result<()> {
    wait::until("every trace to go", Duration::from_secs(20), || {
        let traces = traces()?;
        anyhow::ensure!(traces.is_empty(), "{}", traces.join("\n"));
        Ok(Some(()))
    })
}

#[test]
#[ignore = "needs root and the cluster's binaries: tests/run runs it"]
fn a_cluster_leaves_nothing_behind_even_after_kill_9() -> Result<()> {
    // A run that was killed before this one has left the kubelet's settings: they are not the machine's own.
    guard_tests::world::clean_up()?;
    let before = settings()?;

    end(start()?, Signal::SIGKILL)?;
    nothing_runs()?;

    // The second run finds the groups of the first, and is ended as ^C ends it.
    let second = start()?;
    assert_eq!(end(second, Signal::SIGINT)?, Some(130));
    nothing_runs()?;
    assert_eq!(groups()?, Vec::<PathBuf>::new());
    assert_eq!(settings()?, before);
    Ok(())
}
