//! The run's control groups: one tree, `guard-e2e`, in every hierarchy, with `world` for our own processes and one
//! folder for each node.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

const ROOT: &str = "/sys/fs/cgroup";
const NAME: &str = "guard-e2e";

/// The path that a kubelet takes as its `cgroupRoot`.
pub fn of_node(node: &str) -> String {
    format!("/{NAME}/{node}")
}

/// Makes the tree. Hierarchies of version 1 each get a folder; version 2 has one, its controllers handed down.
///
/// # Errors
/// If the kernel refuses a folder.
pub fn create() -> Result<()> {
    for hierarchy in hierarchies()? {
        child(&hierarchy, NAME)?;
    }
    child_everywhere("world")
}

/// Makes the folders of one node.
///
/// # Errors
/// If the kernel refuses one.
pub fn create_node(node: &str) -> Result<()> {
    child_everywhere(node)?;
    count_disk_traffic(&Path::new(ROOT).join("blkio").join(NAME).join(node))
}

/// From Linux 6.10 on, version 1 counts the bytes of a disk once a group has a limit for it; one that nothing reaches will do.
fn count_disk_traffic(group: &Path) -> Result<()> {
    let limit = group.join("blkio.throttle.write_bps_device");
    if !limit.exists() {
        return Ok(());
    }
    for disk in fs::read_dir("/sys/block")?.flatten() {
        let device = fs::read_to_string(disk.path().join("dev"))?;
        // A device that takes no limits is not one that pods write to.
        fs::write(&limit, format!("{} 1000000000000", device.trim())).ok();
    }
    Ok(())
}

/// Moves this process into the tree, so that nothing it starts can be overlooked.
///
/// # Errors
/// If the kernel refuses.
pub fn join() -> Result<()> {
    for hierarchy in hierarchies()? {
        fs::write(hierarchy.join(NAME).join("world/cgroup.procs"), "0")?;
    }
    Ok(())
}

/// Ends what still runs in the tree, and removes it.
///
/// # Errors
/// If something is still there after half a minute.
pub fn remove() -> Result<()> {
    remove_everywhere(NAME)
}

/// Ends what still runs on a node, and removes its groups.
///
/// # Errors
/// If something is still there after half a minute.
pub fn end_node(node: &str) -> Result<()> {
    remove_everywhere(&format!("{NAME}/{node}"))
}

fn remove_everywhere(name: &str) -> Result<()> {
    // Beside version 1 the runtime makes groups of version 2 too.
    let unified = Path::new(ROOT).join("unified");
    let trees: Vec<PathBuf> = hierarchies()?.iter().chain([&unified]).map(|place| place.join(name)).collect();
    for _ in 0..300 {
        let left: Vec<&PathBuf> = trees.iter().filter(|tree| tree.exists()).collect();
        if left.is_empty() {
            return Ok(());
        }
        for tree in left {
            sweep(tree);
        }
        std::thread::sleep(Duration::from_millis(100));
    }
    bail!("control groups are still in use: {ROOT}/*/{name}")
}

/// One attempt, deepest folders first; whatever is busy is met again in the next.
fn sweep(folder: &Path) {
    let Ok(entries) = fs::read_dir(folder) else { return };
    entries.flatten().map(|entry| entry.path()).filter(|path| path.is_dir()).for_each(|path| sweep(&path));
    let processes = fs::read_to_string(folder.join("cgroup.procs")).unwrap_or_default();
    for pid in processes.lines().filter_map(|line| line.parse().ok()) {
        // It may have gone meanwhile: nothing to do then.
        kill(Pid::from_raw(pid), Signal::SIGKILL).ok();
    }
    fs::remove_dir(folder).ok();
}

fn child_everywhere(name: &str) -> Result<()> {
    for hierarchy in hierarchies()? {
        child(&hierarchy.join(NAME), name)?;
    }
    Ok(())
}

fn child(parent: &Path, name: &str) -> Result<()> {
    if parent.join("cgroup.subtree_control").exists() {
        let offered = fs::read_to_string(parent.join("cgroup.controllers"))?;
        for controller in offered.split_whitespace() {
            // One that cannot be handed down is one that the kubelet does without.
            fs::write(parent.join("cgroup.subtree_control"), format!("+{controller}")).ok();
        }
    }
    let folder = parent.join(name);
    fs::create_dir_all(&folder).with_context(|| format!("making {}", folder.display()))?;
    // A new cpuset of version 1 is empty and takes no process.
    for file in ["cpuset.cpus", "cpuset.mems"] {
        if folder.starts_with(Path::new(ROOT).join("cpuset")) {
            fs::write(folder.join(file), fs::read_to_string(parent.join(file))?)?;
        }
    }
    Ok(())
}

/// Every place where groups are made: the one of version 2, or each controller's of version 1.
fn hierarchies() -> Result<Vec<PathBuf>> {
    let root = PathBuf::from(ROOT);
    if root.join("cgroup.controllers").exists() {
        return Ok(vec![root]);
    }
    let mut found: Vec<PathBuf> = fs::read_dir(&root)?
        .flatten()
        .filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()))
        .map(|entry| entry.path())
        // Beside version 1 the folder of version 2 is empty of controllers, and unused.
        .filter(|path| path.join("cgroup.procs").exists() && !path.join("cgroup.controllers").exists())
        .collect();
    found.sort();
    Ok(found)
}
