//! The control of a `run` that runs: one word in, one line of JSON out, over a Unix socket that only its user may open.

use std::fs;
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, FileTypeExt as _};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use nix::sys::stat::{Mode, umask};
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{UnixListener, UnixStream};

use super::state::State;
use crate::error::Error;
use crate::sanitise;

/// Longer than any word.
const LONGEST: u64 = 64;
/// More than any answer: a hundred proposals and some parts.
const LONGEST_ANSWER: u64 = 4 << 20;
/// Who says nothing for so long is not waited for.
const PATIENCE: Duration = Duration::from_secs(2);

/// What can be asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// How it is.
    Status,
    /// Let all parts wait.
    Pause,
    /// Let a paused run go on.
    Resume,
    /// Read the configuration anew.
    Reload,
    /// End.
    Stop,
}

impl Order {
    const ALL: [Order; 5] = [Order::Status, Order::Pause, Order::Resume, Order::Reload, Order::Stop];

    /// The word for it.
    pub fn word(self) -> &'static str {
        match self {
            Order::Status => "status",
            Order::Pause => "pause",
            Order::Resume => "resume",
            Order::Reload => "reload",
            Order::Stop => "stop",
        }
    }

    fn read(word: &[u8]) -> Option<Self> {
        Self::ALL.into_iter().find(|order| order.word().as_bytes() == word.trim_ascii())
    }
}

/// What came of it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Answer {
    /// It was done.
    pub done: bool,
    /// What was done, or why not.
    pub said: String,
    /// How it is now.
    pub state: State,
}

/// The place of the socket without a word about it: `kubectl-guard/run.sock` in the folder for such files, else in the one
/// of the journal.
pub fn default_path(environment: impl Fn(&str) -> Option<PathBuf>) -> Option<PathBuf> {
    let set = |name: &str| environment(name).filter(|path| path.is_absolute());
    let state = || set("XDG_STATE_HOME").or_else(|| set("HOME").map(|home| home.join(".local/state")));
    set("XDG_RUNTIME_DIR").or_else(state).map(|folder| folder.join("kubectl-guard/run.sock"))
}

/// A socket that is listened at; it goes with this value.
#[derive(Debug)]
pub struct Control {
    listener: UnixListener,
    path: PathBuf,
}

impl Control {
    /// Listens at `path`, for this user only.
    ///
    /// # Errors
    /// If another `run` listens there, something else is there, or it cannot be made.
    pub async fn listen(path: &Path) -> Result<Self, Error> {
        let failed = |source| Error::Io { doing: sanitise::line(&format!("listen at {}", path.display())), source };
        if let Some(folder) = path.parent() {
            fs::DirBuilder::new().recursive(true).mode(0o700).create(folder).map_err(failed)?;
        }
        match fs::symlink_metadata(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(failed(error)),
            Ok(metadata) if !metadata.file_type().is_socket() => {
                return Err(failed(io::Error::other("there is something else of this name")));
            }
            Ok(_) if UnixStream::connect(path).await.is_ok() => {
                return Err(Error::Usage {
                    message: format!("another run listens at {}", sanitise::line(&path.display().to_string())),
                    hint: "end it with `kubectl guard run stop`, or name another --socket for this one".to_owned(),
                });
            }
            // Left behind by one that was killed.
            Ok(_) => fs::remove_file(path).map_err(failed)?,
        }
        Ok(Self { listener: bind(path).map_err(failed)?, path: path.to_owned() })
    }

    /// Answers one order after another, for as long as it is polled.
    pub async fn serve(&self, obey: impl Fn(Order) -> Answer) {
        loop {
            // A connection that fails is its client's matter.
            let Ok((stream, _)) = self.listener.accept().await else {
                tokio::time::sleep(PATIENCE).await;
                continue;
            };
            let answered = tokio::time::timeout(PATIENCE, answer(stream, &obey)).await;
            drop(answered);
        }
    }
}

/// Binds so that nobody else may open it, not even for a moment.
fn bind(path: &Path) -> io::Result<UnixListener> {
    // The mask is the whole process's: of two who change it at once one would restore what the other has set.
    static MASK: Mutex<()> = Mutex::new(());
    let _held = MASK.lock().unwrap_or_else(PoisonError::into_inner);
    let before = umask(Mode::from_bits_truncate(0o177));
    let listener = UnixListener::bind(path);
    umask(before);
    listener
}

impl Drop for Control {
    fn drop(&mut self) {
        drop(fs::remove_file(&self.path));
    }
}

async fn answer(mut stream: UnixStream, obey: impl Fn(Order) -> Answer) -> io::Result<()> {
    let mut word = Vec::new();
    let (read, mut write) = stream.split();
    read.take(LONGEST).read_to_end(&mut word).await?;
    let Some(order) = Order::read(&word) else { return Ok(()) };
    let text = serde_json::to_vec(&obey(order))?;
    write.write_all(&text).await?;
    write.shutdown().await
}

/// Gives an order to the `run` that listens at `path`.
///
/// # Errors
/// If none listens there, or it does not answer.
pub async fn order(path: &Path, order: Order) -> Result<Answer, Error> {
    let shown = sanitise::line(&path.display().to_string());
    let failed = |source: io::Error| match source.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused => Error::NoRun { socket: shown.clone() },
        _ => Error::Io { doing: format!("ask the run at {shown}"), source },
    };
    let exchange = async {
        let mut stream = UnixStream::connect(path).await?;
        stream.write_all(order.word().as_bytes()).await?;
        stream.shutdown().await?;
        let mut text = Vec::new();
        stream.take(LONGEST_ANSWER).read_to_end(&mut text).await?;
        serde_json::from_slice(&text).map_err(io::Error::other)
    };
    // One client is answered after the other.
    match tokio::time::timeout(PATIENCE * 5, exchange).await {
        Ok(answer) => answer.map_err(failed),
        Err(_) => Err(failed(io::Error::new(io::ErrorKind::TimedOut, "no answer"))),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use jiff::Timestamp;

    use super::*;
    use crate::run::state::Shown;

    fn obeyed(order: Order) -> Answer {
        let state = Shown::new(Timestamp::UNIX_EPOCH).now();
        Answer { done: true, said: order.word().to_owned(), state }
    }

    #[tokio::test]
    async fn orders_are_obeyed_and_noise_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("deep/run.sock");
        let control = Control::listen(&path).await.unwrap();
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(&path), mode(path.parent().unwrap())), (0o600, 0o700));
        let asked = async {
            for word in Order::ALL {
                assert_eq!(order(&path, word).await.unwrap().said, word.word());
            }
            for noise in [&b""[..], b"stop now", &[0xff; 500], b"GET / HTTP/1.1\r\n\r\n"] {
                let mut stream = UnixStream::connect(&path).await.unwrap();
                // It may hang up before it has read all of it.
                drop(stream.write_all(noise).await);
                drop(stream.shutdown().await);
                let mut text = Vec::new();
                drop(stream.read_to_end(&mut text).await);
                assert_eq!(text, b"");
            }
            assert_eq!(order(&path, Order::Status).await.unwrap(), obeyed(Order::Status));
        };
        tokio::select! {
            () = control.serve(obeyed) => unreachable!("it serves for ever"),
            () = asked => {}
        }
        drop(control);
        assert!(!path.exists());
        assert!(matches!(order(&path, Order::Stop).await, Err(Error::NoRun { .. })));
    }

    #[tokio::test]
    async fn only_one_listens_and_what_was_left_behind_is_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("run.sock");
        let first = Control::listen(&path).await.unwrap();
        assert!(matches!(Control::listen(&path).await, Err(Error::Usage { .. })));
        drop(first);
        drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
        assert!(path.exists());
        drop(Control::listen(&path).await.unwrap());
        fs::write(&path, "mine").unwrap();
        assert!(matches!(Control::listen(&path).await, Err(Error::Io { .. })));
        assert_eq!(fs::read_to_string(&path).unwrap(), "mine");
    }

    #[test]
    fn the_socket_lies_where_such_files_lie() {
        let of = |set: &[(&str, &str)]| {
            let get = |name: &str| set.iter().find(|(key, _)| *key == name).map(|(_, path)| PathBuf::from(path));
            default_path(get).map(|path| path.display().to_string())
        };
        assert_eq!(
            of(&[("XDG_RUNTIME_DIR", "/run/user/1"), ("HOME", "/h")]).unwrap(),
            "/run/user/1/kubectl-guard/run.sock"
        );
        assert_eq!(of(&[("HOME", "/h")]).unwrap(), "/h/.local/state/kubectl-guard/run.sock");
        assert_eq!(of(&[("HOME", "here")]), None);
    }
}
