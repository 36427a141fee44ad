//! `run --tui` in a real terminal: a tmux of its own, without a cluster.

use std::path::PathBuf;
use std::process::Command;
use std::time::Instant;

use nix::errno::Errno;

use super::*;

/// What a warning is drawn in, as tmux tells it.
const YELLOW: &str = "\u{1b}[38;5;3m";

/// A shell in a terminal.
struct Tmux {
    folder: tempfile::TempDir,
}

impl Tmux {
    /// A shell in a folder with a table of one pod that has failed.
    fn start() -> Self {
        // Of now: the age of older scores is shown, too.
        let last = (jiff::Timestamp::now().as_second() - 1_795_356_000) / 30;
        let tmux = Self { folder: folder_with_table(&rows(last - 2..last + 1, last)) };
        tmux.tmux(&["-f", "/dev/null", "new-session", "-d", "-x", "80", "-y", "24", "bash --norc --noprofile -i"]);
        tmux.types("PS1='$ '; clear");
        tmux
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn tmux(&self, words: &[&str]) -> String {
        let mut command = Command::new("tmux");
        command.arg("-S").arg(self.path("tmux")).args(words).current_dir(self.folder.path());
        // Where a test runs within a tmux, that one is not asked.
        command.env_remove("TMUX").env("HOME", self.folder.path()).env("LC_ALL", "C.UTF-8");
        for name in ["NO_COLOR", "XDG_RUNTIME_DIR", "XDG_STATE_HOME", "GUARD_JOURNAL", "KUBECONFIG"] {
            command.env_remove(name);
        }
        let output = command.output().unwrap();
        assert!(output.status.success(), "{words:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }

    /// Types a line, with Enter.
    fn types(&self, line: &str) {
        self.tmux(&["send-keys", "-l", line]);
        self.presses("Enter");
    }

    fn presses(&self, key: &str) {
        self.tmux(&["send-keys", key]);
    }

    fn screen(&self) -> String {
        self.tmux(&["capture-pane", "-p"])
    }

    /// Waits until the screen holds `text`.
    fn until(&self, text: &str) -> String {
        self.until_so(text, |screen| screen.contains(text))
    }

    fn until_so(&self, what: &str, is: impl Fn(&str) -> bool) -> String {
        let begin = Instant::now();
        loop {
            let screen = self.screen();
            if is(&screen) {
                return screen;
            }
            assert!(begin.elapsed() < PATIENCE, "no {what:?}:\n{screen}");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Starts `run --tui` and waits for its pod.
    fn runs(&self, before: &str) {
        let guard = env!("CARGO_BIN_EXE_kubectl-guard");
        self.types(&format!("{before} {guard} run --only=analyze --watch-interval=1s --tui; echo ended $?"));
        self.until("> cart");
    }

    /// The terminal is the shell's again, as it was, and the screen has left nothing on it.
    fn is_restored(&self, exit: i32) {
        let screen = self.until(&format!("ended {exit}"));
        assert!(!screen.contains("> cart") && !screen.contains("over its line"), "{screen}");
        let asked = self.tmux(&["display-message", "-p", "#{alternate_on} #{cursor_flag}"]);
        assert_eq!(asked.trim(), "0 1", "the screen is left, and the cursor shown");
        self.types("clear; stty -a | grep -o -w -e '-*icanon' -e '-*echo' -e '-*isig' | tr '\\n' ' '; echo .");
        self.until("isig icanon echo .");
    }

    fn pid(&self) -> Pid {
        let status = answer(self.folder.path(), &["run", "status", "-o", "json"]);
        let answer: serde_json::Value = serde_json::from_slice(&status.stdout).unwrap();
        Pid::from_raw(i32::try_from(answer["state"]["pid"].as_i64().unwrap()).unwrap())
    }
}

impl Drop for Tmux {
    fn drop(&mut self) {
        drop(Command::new("tmux").arg("-S").arg(self.path("tmux")).arg("kill-server").output());
    }
}

#[test]
fn there_is_no_screen_without_a_terminal() {
    let folder = folder_with_table(&rows(0..3, 2));
    let refused = answer(folder.path(), &["run", "--only=analyze", "--tui"]);
    assert_eq!(refused.status.code(), Some(2));
    insta::assert_snapshot!(String::from_utf8(refused.stderr).unwrap());
}

#[test]
#[ignore = "needs tmux"]
fn a_person_walks_through_the_screen_and_back_to_the_shell() {
    let tmux = Tmux::start();
    tmux.runs("");
    let pods = tmux.until("worst first");
    assert!(pods.starts_with("guard  no cluster: pod_metrics.csv  1 pod, 1 over  up "), "{pods}");
    assert!(pods.contains("[1 Pods] 2 Incidents (1)  3 Plans  4 History  5 Log"), "{pods}");
    assert!(pods.contains("pod failed"), "{pods}");
    tmux.presses("f");
    tmux.until("there is no cluster in this run, and so nothing to fix");
    tmux.presses("Enter");
    assert!(tmux.until("pod/cart in namespace shop").contains("why        pod failed"));
    tmux.presses("2");
    tmux.until("[2 Incidents (1)]");
    tmux.presses("5");
    tmux.until("kubectl-guard 0.1.0 runs: score");
    tmux.presses("?");
    tmux.until("only lines that hold a text");
    tmux.presses("Escape");
    // An Escape with a key right behind it is that key with Alt.
    tmux.until_so("the log again", |screen| screen.contains("> 20"));
    tmux.presses("1");
    tmux.until("> cart");
    tmux.presses("p");
    tmux.until("PAUSED");
    tmux.presses("p");
    tmux.until_so("running", |screen| !screen.contains("PAUSED"));
    tmux.tmux(&["resize-window", "-x", "40", "-y", "12"]);
    let small = tmux.until_so("40 columns", |screen| screen.contains("[1 Pods] 2  3  4  5"));
    assert!(small.contains("> cart"), "{small}");
    tmux.tmux(&["resize-window", "-x", "80", "-y", "24"]);
    // A key takes away what was told.
    tmux.presses("g");
    tmux.until("worst first");
    tmux.presses("C-z");
    tmux.until("Stopped");
    assert_eq!(tmux.tmux(&["display-message", "-p", "#{alternate_on} #{cursor_flag}"]).trim(), "0 1");
    tmux.types("fg; echo ended $?");
    tmux.until("worst first");
    tmux.presses("q");
    tmux.is_restored(0);
}

#[test]
#[ignore = "needs tmux"]
fn the_terminal_is_as_it_was_after_an_interrupt_and_after_a_signal() {
    let tmux = Tmux::start();
    tmux.runs("");
    assert!(tmux.tmux(&["capture-pane", "-p", "-e"]).contains(YELLOW), "a warning is yellow");
    tmux.presses("C-c");
    tmux.is_restored(130);
    tmux.types("clear");
    tmux.runs("NO_COLOR=1");
    let coloured = tmux.tmux(&["capture-pane", "-p", "-e"]);
    assert!(coloured.contains("warning") && !coloured.contains(YELLOW), "{coloured:?}");
    kill(tmux.pid(), Signal::SIGTERM).unwrap();
    tmux.is_restored(0);
}

#[test]
#[ignore = "needs tmux"]
fn it_ends_when_its_terminal_has_gone() {
    let tmux = Tmux::start();
    tmux.runs("");
    let pid = tmux.pid();
    tmux.tmux(&["kill-server"]);
    let begin = Instant::now();
    while kill(pid, None) != Err(Errno::ESRCH) {
        assert!(begin.elapsed() < TO_END * 2, "it still runs without a terminal");
        std::thread::sleep(Duration::from_millis(20));
    }
}
