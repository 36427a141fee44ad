//! What a release offers to krew: `manifests/krew/pack` runs here, and its manifest and archives are held to the rules of krew
//! (pkg/index/validation, internal/download) and of krew-index's validation. Then one is installed as krew does it.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use anyhow::{Context, Result, anyhow, ensure};
use serde_json::Value;
use sha2::{Digest as _, Sha256};

const TAG: &str = "v0.1.0";
/// The pairs that krew-index knows.
const PAIRS: [&str; 11] = [
    "linux-386",
    "linux-amd64",
    "linux-arm",
    "linux-arm64",
    "linux-ppc64le",
    "darwin-386",
    "darwin-amd64",
    "darwin-arm64",
    "windows-386",
    "windows-amd64",
    "windows-arm64",
];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// A release: of the plugin that was built here, and of files that stand in for the platforms that cannot be built here.
struct Release {
    folder: PathBuf,
    out: PathBuf,
}

/// Made once: packing a plugin with its debugging symbols takes a while.
fn release() -> Result<&'static Release> {
    static MADE: OnceLock<std::result::Result<Release, String>> = OnceLock::new();
    let made = MADE.get_or_init(|| make().map_err(|error| format!("{error:#}")));
    made.as_ref().map_err(|error| anyhow!("{error}"))
}

fn make() -> Result<Release> {
    let built = std::env::var("GUARD_E2E_GUARD").context("GUARD_E2E_GUARD is not set: use tests/run")?;
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("release");
    if folder.exists() {
        fs::remove_dir_all(&folder)?;
    }
    let (binaries, out) = (folder.join("binaries"), folder.join("out"));
    fs::create_dir_all(&binaries)?;
    for platform in ["linux-amd64", "linux-arm64", "darwin-amd64", "darwin-arm64", "windows-amd64"] {
        fs::write(binaries.join(platform), format!("stands in for {platform}"))?;
    }
    let here = binaries.join(this_platform());
    fs::remove_file(&here)?;
    std::os::unix::fs::symlink(Path::new(&built).join("kubectl-guard"), here)?;
    pack(&binaries, &out)?;
    Ok(Release { folder, out })
}

fn this_platform() -> &'static str {
    if cfg!(target_arch = "aarch64") { "linux-arm64" } else { "linux-amd64" }
}

fn pack(binaries: &Path, out: &Path) -> Result<()> {
    let done = Command::new(root().join("manifests/krew/pack")).arg(TAG).arg(binaries).arg(out).output()?;
    ensure!(done.status.success(), "pack: {}", String::from_utf8_lossy(&done.stderr));
    Ok(())
}

fn text<'a>(value: &'a Value, pointer: &str) -> Result<&'a str> {
    value.pointer(pointer).and_then(Value::as_str).with_context(|| format!("{pointer} is no text in {value}"))
}

fn sum(file: &Path) -> Result<String> {
    Ok(format!("{:x}", Sha256::digest(fs::read(file)?)))
}

/// The names and modes of an archive's entries, by krew's rules for what may be in one.
fn entries(archive: &Path) -> Result<Vec<(String, u32)>> {
    let mut packed = Vec::new();
    let unpacked = Command::new("gzip").arg("-dc").arg(archive).output()?;
    ensure!(unpacked.status.success(), "{} is no gzip", archive.display());
    packed.extend(unpacked.stdout);
    let mut found = Vec::new();
    for entry in tar::Archive::new(packed.as_slice()).entries()? {
        let mut entry = entry?;
        let name = entry.path()?.to_string_lossy().into_owned();
        let kind = entry.header().entry_type();
        ensure!(kind.is_file() || kind.is_dir(), "{name} is neither a file nor a folder");
        ensure!(!name.contains("..") && !name.starts_with(['/', '\\']), "{name} leads out of the archive");
        if kind.is_file() {
            let mut content = Vec::new();
            entry.read_to_end(&mut content)?;
            ensure!(!content.is_empty(), "{name} is empty");
            found.push((name, entry.header().mode()?));
        }
    }
    Ok(found)
}

/// Holds one entry of `platforms` and its archive to the rules, and gives its pair of system and architecture.
fn platform(entry: &Value, out: &Path) -> Result<String> {
    let pair = format!("{}-{}", text(entry, "/selector/matchLabels/os")?, text(entry, "/selector/matchLabels/arch")?);
    ensure!(PAIRS.contains(&pair.as_str()), "krew does not know {pair}");
    let (uri, promised, bin) = (text(entry, "/uri")?, text(entry, "/sha256")?, text(entry, "/bin")?);
    let (folder, file) = uri.rsplit_once('/').context("the URI names no file")?;
    ensure!(folder == format!("https://github.com/kubectl-guard/kubectl-guard/releases/download/{TAG}"), "{uri}");
    ensure!(
        promised.len() == 64 && promised.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f')),
        "{promised}"
    );
    let archive = out.join(file);
    ensure!(sum(&archive)? == promised, "the sum of {file} is another");
    let entries = entries(&archive)?;
    ensure!(
        entries.iter().any(|(name, mode)| name == bin && mode & 0o111 == 0o111),
        "{bin} is no executable: {entries:?}"
    );
    let wanted = if pair.starts_with("windows-") { "kubectl-guard.exe" } else { "kubectl-guard" };
    ensure!(bin == wanted, "{bin} on {pair}");
    ensure!(entries.iter().any(|(name, _)| name == "LICENSE"), "krew-index wants the licence installed: {entries:?}");
    ensure!(entries.iter().any(|(name, _)| name == "THIRD_PARTY.txt"), "so do the licences of others: {entries:?}");
    ensure!(entries.iter().any(|(name, _)| name == "man/kubectl-guard-status.1"), "{entries:?}");
    ensure!(entry.get("files").is_none(), "without a list everything is installed, which is what is wanted");
    Ok(pair)
}

#[test]
#[ignore = "needs cargo, and what it fetches: tests/run runs it"]
fn the_licences_of_others_are_told_in_their_own_words() -> Result<()> {
    let told = || -> Result<String> {
        let listed = Command::new(root().join("manifests/krew/licences")).output()?;
        ensure!(listed.status.success(), "licences: {}", String::from_utf8_lossy(&listed.stderr));
        Ok(String::from_utf8_lossy(&listed.stdout).into_owned())
    };
    let text = told()?;
    let crates: Vec<&str> = text.lines().skip(2).take_while(|line| !line.is_empty()).collect();
    assert!(crates.len() > 200 && crates.is_sorted(), "{crates:?}");
    for (name, licence) in
        [("serde_json-", "MIT OR Apache-2.0"), ("tract-core-", "Apache-2.0"), ("windows-sys-", "MIT")]
    {
        assert!(crates.iter().any(|line| line.starts_with(name) && line.contains(licence)), "no {name}: {crates:?}");
    }
    assert!(!text.contains("guard-model-"), "what is of this repository has LICENSE");
    let carried = |line: &str| {
        line.strip_prefix("==== ").is_some_and(|names| names.split(' ').any(|name| name.starts_with("ring-")))
    };
    assert!(text.lines().any(carried) && text.contains("TERMS AND CONDITIONS FOR USE, REPRODUCTION, AND DISTRIBUTION"));
    assert_eq!(told()?, text, "the same crates give the same bytes");
    Ok(())
}

#[test]
#[ignore = "needs a built plugin: tests/run runs it"]
fn the_manifest_and_its_archives_keep_the_rules_of_krew() -> Result<()> {
    let out = &release()?.out;
    let filled = fs::read_to_string(out.join("guard.yaml"))?;
    ensure!(!filled.contains('@'), "nothing is left to fill in: {filled}");
    let manifest: Value = serde_norway::from_str(&filled)?;
    assert_eq!(text(&manifest, "/apiVersion")?, "krew.googlecontainertools.github.com/v1alpha2");
    assert_eq!(text(&manifest, "/kind")?, "Plugin");
    assert_eq!(text(&manifest, "/metadata/name")?, "guard", "the name of the file is that of the plugin");
    assert_eq!(text(&manifest, "/spec/version")?, TAG);
    assert_eq!(text(&manifest, "/spec/homepage")?, "https://github.com/kubectl-guard/kubectl-guard");
    let short = text(&manifest, "/spec/shortDescription")?;
    assert!(short.len() <= 50 && !short.contains(['\r', '\n']), "krew search cuts it: {short}");
    assert!(!text(&manifest, "/spec/description")?.is_empty());
    let platforms = manifest.pointer("/spec/platforms").and_then(Value::as_array).context("no platforms")?;
    let pairs: Vec<String> = platforms.iter().map(|entry| platform(entry, out)).collect::<Result<_>>()?;
    let once: BTreeSet<&String> = pairs.iter().collect();
    assert_eq!(once.len(), pairs.len(), "two entries fit one machine: {pairs:?}");
    assert_eq!(pairs, ["linux-amd64", "linux-arm64", "darwin-amd64", "darwin-arm64", "windows-amd64"]);
    let sums = Command::new("sha256sum").args(["--check", "--quiet", "SHA256SUMS"]).current_dir(out).status()?;
    assert!(sums.success());
    Ok(())
}

#[test]
#[ignore = "needs a built plugin: tests/run runs it"]
fn the_same_binaries_make_the_same_release() -> Result<()> {
    let Release { folder, out } = release()?;
    let again = folder.join("again");
    pack(&folder.join("binaries"), &again)?;
    assert_eq!(fs::read(out.join("SHA256SUMS"))?, fs::read(again.join("SHA256SUMS"))?);
    Ok(())
}

/// As krew does it: the archive is unpacked into a folder of its version, and one link to the executable is put on the PATH.
#[test]
#[ignore = "needs a built plugin and kubectl: tests/run runs it"]
fn an_installed_archive_is_kubectl_guard() -> Result<()> {
    let Release { folder, out } = release()?;
    let (store, bin) = (folder.join("store/guard").join(TAG), folder.join("bin"));
    fs::create_dir_all(&store)?;
    fs::create_dir_all(&bin)?;
    let archive = File::open(out.join(format!("kubectl-guard-{}.tar.gz", this_platform())))?;
    assert!(Command::new("tar").arg("-xz").arg("-C").arg(&store).stdin(archive).status()?.success());
    std::os::unix::fs::symlink(store.join("kubectl-guard"), bin.join("kubectl-guard"))?;
    let tools = std::env::var("GUARD_E2E_BIN").context("GUARD_E2E_BIN is not set: use tests/run")?;
    let path = format!("{}:/usr/bin:/bin", bin.display());
    let kubectl = |words: &[&str]| -> Result<String> {
        let mut kubectl = Command::new(Path::new(&tools).join("kubectl"));
        kubectl.args(words).env_clear().env("PATH", &path).env("HOME", folder).env("NO_COLOR", "1");
        let output = kubectl.output()?;
        ensure!(output.status.success(), "kubectl {words:?}: {}", String::from_utf8_lossy(&output.stderr));
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    };
    assert!(kubectl(&["plugin", "list"])?.contains("kubectl-guard"));
    assert!(kubectl(&["guard", "--help"])?.contains("Usage: kubectl guard"));
    assert!(kubectl(&["guard", "demo"])?.contains("catalog-56d6c4f556-lpkcb"));
    kubectl(&["guard", "completion", "install"])?;
    // kubectl itself asks the shim, by the hidden command of its completion scripts.
    let asked = kubectl(&["__complete", "guard", "st"])?;
    assert!(asked.starts_with("status\t"), "{asked}");
    Ok(())
}
