//! `doctor`: looks for what keeps guard from working, and says what to do.

use std::collections::HashSet;
use std::io;
use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};
use guard_model::table;

use crate::analyze::input::{self, Kind};
use crate::connect::{Connection, Environment};
use crate::console::{Console, Paint};
use crate::doctor::{self, Check, Level, rights};
use crate::error::Error;
use crate::exit::Exit;
use crate::flags::{ExporterFlags, KubeFlags};
use crate::model as model_file;
use crate::request::Request;
use crate::sanitise;
use crate::scores::portforward;

/// Arguments of `doctor`.
#[derive(Args)]
pub struct DoctorArgs {
    #[command(flatten)]
    exporters: ExporterFlags,
    /// A table of metrics to check
    #[arg(long, value_name = "FILE")]
    input_file: Option<PathBuf>,
    /// A model file to check
    #[arg(long, value_name = "FILE")]
    model: Option<PathBuf>,
    /// Format of the output
    #[arg(short, long, value_enum, default_value_t = Format::Text)]
    output: Format,
}

/// How to write the checks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Format {
    /// For people
    Text,
    /// For programs
    Json,
}

/// Runs every check and prints them; the exit code is 1 if one of them failed.
///
/// # Errors
/// If stdout cannot be written.
pub async fn run(args: &DoctorArgs, kube: &KubeFlags, console: &Console) -> Result<Exit, Error> {
    let mut checks = vec![doctor::plugin_names(&plugins_on_path())];
    checks.extend(args.input_file.as_deref().map(|file| judge("metrics file", metrics(file))));
    checks.extend(args.model.as_deref().map(|file| judge("model file", model(file))));
    match connect(kube).await {
        Ok((connection, check)) => {
            checks.push(check);
            checks.extend(cluster(&connection, &args.exporters.guard_namespace, console).await);
        }
        Err(error) => checks.push(Check::error("connection", &error)),
    }
    print(args.output, &checks, console)?;
    let failed = checks.iter().any(|check| check.level == Level::Fail);
    Ok(if failed { Exit::Error } else { Exit::Done })
}

async fn connect(kube: &KubeFlags) -> Result<(Connection, Check), Error> {
    let connection = Connection::open(kube, &Environment::of_process())?;
    let request = Request { verb: "get", resource: "/version", group: "", namespace: None };
    let version = connection.client.apiserver_version().await.map_err(|error| request.failed(&error))?;
    let identity = connection.identity().await?;
    let found = format!(
        "context {}, {}, Kubernetes {}, as {}",
        connection.context,
        connection.server,
        sanitise::line(&version.git_version),
        identity.username
    );
    Ok((connection, Check::ok("connection", found)))
}

async fn cluster(connection: &Connection, guard_namespace: &str, console: &Console) -> Vec<Check> {
    let viewer = "the Role guard-viewer in guard-system";
    let groups = [
        ("rights to read scores", rights::to_read_scores(guard_namespace), true, viewer),
        ("rights to see pods", rights::to_see(), false, "the ClusterRole guard-viewer"),
        ("rights to fix", rights::to_fix(&connection.namespace), false, "the ClusterRole guard-operator"),
    ];
    let mut checks = Vec::new();
    for (name, needed, must, role) in groups {
        checks.push(match rights::missing(connection, needed).await {
            Ok(missing) => rights::check(name, &missing, must, role),
            Err(error) => Check::error(name, &error),
        });
    }
    match portforward::read(connection, guard_namespace, console).await {
        Ok(scores) => checks.extend(doctor::scores(&scores)),
        Err(error) => checks.push(Check::error("exporters", &error)),
    }
    checks
}

/// The executables on the PATH that kubectl takes for guard.
fn plugins_on_path() -> Vec<(PathBuf, Vec<String>)> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let names = |folder: &Path| -> Vec<String> {
        let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
        entries
            .filter(|entry| is_executable(&entry.path()))
            .filter_map(|e| doctor::plugin_name(&e.file_name()))
            .collect()
    };
    once(std::env::split_paths(&path)).into_iter().map(|folder| (folder.clone(), names(&folder))).collect()
}

/// The folders, each once: a PATH often names one twice, or by another name, as `/bin` is `/usr/bin`.
fn once(folders: impl Iterator<Item = PathBuf>) -> Vec<PathBuf> {
    let mut known = HashSet::new();
    folders.filter(|folder| known.insert(folder.canonicalize().unwrap_or_else(|_| folder.clone()))).collect()
}

fn is_executable(file: &Path) -> bool {
    let Ok(metadata) = std::fs::metadata(file) else { return false };
    #[cfg(unix)]
    let runs = std::os::unix::fs::PermissionsExt::mode(&metadata.permissions()) & 0o111 != 0;
    #[cfg(not(unix))]
    let runs = true;
    metadata.is_file() && runs
}

fn judge(name: &'static str, result: Result<String, (String, &str)>) -> Check {
    match result {
        Ok(found) => Check::ok(name, found),
        Err((found, fix)) => Check::fail(name, found, fix),
    }
}

/// Reads a table to its end, or of a recording as much as shows that it is one.
fn metrics(file: &Path) -> Result<String, (String, &'static str)> {
    let shown = input::called(file).display();
    let collect = "does the collector run, and may it read metrics? the other checks tell";
    let input = input::open(file).map_err(|error| {
        let fix = if error.kind() == io::ErrorKind::InvalidData { "name the unpacked table" } else { collect };
        (format!("cannot read {shown}: {error}"), fix)
    })?;
    if input.kind == Kind::Recording {
        return match input.has_metrics() {
            Ok(true) => Ok(format!("{shown}: a recording")),
            Ok(false) => Err((format!("{shown} is a recording without a sample"), collect)),
            Err(error) => Err((sanitise::line(&format!("{shown}: {error}")), "have the recording made anew")),
        };
    }
    let broken = |error: table::TableError| {
        (sanitise::line(&format!("{shown}: {error}")), "correct the line, or have the file written anew")
    };
    let mut rows = 0_u64;
    for row in table::Reader::new(input).map_err(broken)? {
        row.map_err(broken)?;
        rows += 1;
    }
    if rows == 0 { Err((format!("{shown} holds no metrics"), collect)) } else { Ok(format!("{shown}: {rows} rows")) }
}

/// Loads a model as the exporter would.
fn model(file: &Path) -> Result<String, (String, &'static str)> {
    let engine =
        model_file::load(Some(file)).map_err(|error| (sanitise::line(&error.to_string()), model_file::HINT))?;
    let info = engine.info();
    Ok(sanitise::line(&format!("{} {}, sha256 {}", info.name, info.version, info.sha256)))
}

fn print(format: Format, checks: &[Check], console: &Console) -> Result<(), Error> {
    if format == Format::Json {
        let text = serde_json::to_string_pretty(checks)
            .map_err(|error| Error::Io { doing: "write the checks".into(), source: error.into() })?;
        return console.line(&text);
    }
    for check in checks {
        let paint = match check.level {
            Level::Ok => Paint::Green,
            Level::Warn => Paint::Yellow,
            Level::Fail => Paint::Red,
        };
        let level = console.paint(paint, &format!("{:4}", check.level));
        console.line(&format!("{level}  {}: {}", check.name, check.found))?;
        if let Some(fix) = &check.fix {
            console.line(&format!("      fix: {fix}"))?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(text: &[u8]) -> tempfile::NamedTempFile {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), text).unwrap();
        file
    }

    #[test]
    #[cfg(unix)]
    fn a_folder_that_the_path_names_twice_or_by_another_name_is_looked_into_once() {
        let folder = tempfile::tempdir().unwrap();
        let [bin, other, link] = ["bin", "other", "link"].map(|name| folder.path().join(name));
        std::fs::create_dir(&bin).unwrap();
        std::os::unix::fs::symlink(&bin, &link).unwrap();
        let path = [bin.clone(), other.clone(), bin.clone(), link, other.clone()];
        assert_eq!(once(path.into_iter()), [bin, other]);
    }

    #[test]
    fn a_table_without_rows_is_found_empty() {
        let only_header = file(b"timestamp,namespace,pod,cpu_usage_cores\n");
        assert!(metrics(only_header.path()).unwrap_err().0.contains("holds no metrics"));
        assert!(metrics(file(b"").path()).is_err());
        assert!(metrics(Path::new("/nonexistent")).is_err());
    }

    #[test]
    fn what_is_no_table_is_told_as_what_it_is() {
        let demo = concat!(env!("CARGO_MANIFEST_DIR"), "/demo/incident.tar.zst");
        assert!(metrics(Path::new(demo)).unwrap().ends_with("a recording"));
        let (found, fix) = metrics(file(b"\x1f\x8b\x08\0").path()).unwrap_err();
        assert!(found.contains("compressed by gzip") && fix.contains("unpacked"), "{found}: {fix}");
    }

    #[test]
    fn the_shipped_model_loads_and_a_keras_file_is_refused_with_the_reason() {
        assert!(model(file(guard_model::engine::SHIPPED).path()).unwrap().contains("sha256"));
        assert!(model(file(b"\x89HDF\r\n\x1a\nrest").path()).unwrap_err().0.contains("Keras"));
    }
}
