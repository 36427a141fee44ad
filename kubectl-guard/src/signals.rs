//! The signals that ask a command to end: ^C, and SIGTERM of who supervises it.

use crate::error::Error;
use crate::exit::Exit;

/// They are heard from when this is made, also while nobody waits for them.
pub struct Ends {
    #[cfg(unix)]
    terminate: tokio::signal::unix::Signal,
    #[cfg(unix)]
    interrupt: tokio::signal::unix::Signal,
}

impl Ends {
    /// Listens for them.
    ///
    /// # Errors
    /// If that cannot be done.
    #[cfg(unix)]
    pub fn listen() -> Result<Self, Error> {
        use tokio::signal::unix::{SignalKind, signal};
        let failed = |source| Error::Io { doing: "listen for signals".to_owned(), source };
        Ok(Self {
            terminate: signal(SignalKind::terminate()).map_err(failed)?,
            interrupt: signal(SignalKind::interrupt()).map_err(failed)?,
        })
    }

    /// The next one, as the exit code that it asks for: who asks a service to end wants no failure.
    #[cfg(unix)]
    pub async fn next(&mut self) -> Exit {
        tokio::select! {
            _ = self.terminate.recv() => Exit::Done,
            _ = self.interrupt.recv() => Exit::Interrupted,
        }
    }

    /// The next one ends the process at once, as it does while nobody listens: once listened for, a signal is never again the
    /// system's to handle, and a question at a terminal would not be left by ^C.
    pub fn end_the_process(mut self) {
        tokio::spawn(async move {
            self.next().await;
            std::process::exit(Exit::Interrupted as i32)
        });
    }

    /// Listens for ^C.
    ///
    /// # Errors
    /// None.
    #[cfg(not(unix))]
    pub fn listen() -> Result<Self, Error> {
        Ok(Self {})
    }

    /// ^C.
    #[cfg(not(unix))]
    pub async fn next(&mut self) -> Exit {
        if tokio::signal::ctrl_c().await.is_err() {
            std::future::pending::<()>().await;
        }
        Exit::Interrupted
    }
}

#[cfg(all(test, unix))]
mod tests {
    use nix::sys::signal::{Signal, raise};

    use super::*;

    #[tokio::test]
    async fn a_signal_is_heard_though_nobody_waited_for_it() {
        let mut ends = Ends::listen().unwrap();
        // Not SIGINT: other tests of this process listen for that.
        raise(Signal::SIGTERM).unwrap();
        tokio::task::yield_now().await;
        assert_eq!(ends.next().await, Exit::Done);
    }
}
