//! The executable that kubectl asks what may be typed after `kubectl guard`, and the place on the PATH for it.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use crate::error::Error;

/// What kubectl calls: it hands over the words typed so far.
#[cfg(not(windows))]
pub(super) const TEXT: &str = "#!/bin/sh\nexec kubectl-guard complete -- \"$@\"\n";
/// The same for Windows.
#[cfg(windows)]
pub(super) const TEXT: &str = "@kubectl-guard complete -- %*\r\n";

#[cfg(not(windows))]
const NAME: &str = "kubectl_complete-guard";
#[cfg(windows)]
const NAME: &str = "kubectl_complete-guard.cmd";

/// Writes it into `folder`, or into one of the PATH that is the user's own, and gives its path.
pub(super) fn install(folder: Option<&Path>) -> Result<PathBuf, Error> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let chosen = match folder {
        Some(folder) => folder.to_path_buf(),
        None => choose(&path, std::env::home_dir().as_deref(), std::env::current_exe().ok().as_deref()).ok_or_else(
            || Error::Usage {
                message: "no folder of your PATH is your own".into(),
                hint: "name one with --folder".into(),
            },
        )?,
    };
    let file = chosen.join(NAME);
    write(&file).map_err(|source| Error::Io { doing: format!("write {}", file.display()), source })?;
    Ok(file)
}

/// The first folder of `path` below `home`, which needs no rights to write, else that of the plugin itself.
fn choose(path: &OsStr, home: Option<&Path>, plugin: Option<&Path>) -> Option<PathBuf> {
    let folders: Vec<PathBuf> = std::env::split_paths(path).filter(|folder| folder.is_dir()).collect();
    let own = folders.iter().find(|folder| home.is_some_and(|home| folder.starts_with(home)));
    let beside = plugin.and_then(Path::parent).filter(|beside| folders.iter().any(|folder| folder == beside));
    own.map(PathBuf::as_path).or(beside).map(Path::to_path_buf)
}

/// Writes it, executable; not over a file of somebody else.
fn write(file: &Path) -> std::io::Result<()> {
    match std::fs::read_to_string(file) {
        Ok(there) if !there.contains("kubectl-guard complete") => {
            return Err(std::io::Error::other("there is another file of that name, which is not of kubectl guard"));
        }
        Ok(_) => {}
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
        Err(error) => return Err(error),
    }
    std::fs::write(file, TEXT)?;
    #[cfg(unix)]
    std::fs::set_permissions(file, std::os::unix::fs::PermissionsExt::from_mode(0o755))?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_users_own_folder_comes_first_and_one_off_the_path_never() {
        let home = tempfile::tempdir().unwrap();
        let elsewhere = tempfile::tempdir().unwrap();
        let bin = home.path().join("bin");
        std::fs::create_dir(&bin).unwrap();
        let path = |folders: &[&Path]| std::env::join_paths(folders).unwrap();
        let plugin = elsewhere.path().join("kubectl-guard");
        let chosen = |folders: &[&Path]| choose(&path(folders), Some(home.path()), Some(&plugin));
        let missing = home.path().join("missing");
        assert_eq!(chosen(&[&missing, elsewhere.path(), &bin]), Some(bin.clone()));
        assert_eq!(chosen(&[&missing, elsewhere.path()]), Some(elsewhere.path().to_path_buf()));
        assert_eq!(chosen(&[&missing]), None);
    }

    #[cfg(unix)]
    #[test]
    fn it_is_executable_can_be_written_again_and_never_over_anothers() {
        use std::os::unix::fs::PermissionsExt as _;
        let folder = tempfile::tempdir().unwrap();
        let file = install(Some(folder.path())).unwrap();
        assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o755);
        install(Some(folder.path())).unwrap();
        std::fs::write(&file, "#!/bin/sh\necho mine\n").unwrap();
        let error = install(Some(folder.path())).unwrap_err();
        assert!(error.to_string().contains(NAME), "{error}");
        assert_eq!(std::fs::read_to_string(&file).unwrap(), "#!/bin/sh\necho mine\n");
    }
}
