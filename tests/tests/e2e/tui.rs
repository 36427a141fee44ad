//! The screen of `run --tui` on a real cluster: a plan is looked at and approved with keys, in a real terminal.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use guard_tests::cluster::Cluster;
use guard_tests::person::Person;
use guard_tests::wait;
use serde_json::{Value, json};

use crate::ui;

/// What is sick, in a namespace of the same name.
const SHOP: &str = "kiosk";
/// Longer than anything on the screen takes but for a score, which needs a sample or two.
const SHOWN_WITHIN: Duration = Duration::from_mins(2);

/// A shell of this person's in a terminal of 100 columns by 30 lines.
struct Terminal {
    person: Person,
    folder: tempfile::TempDir,
}

impl Terminal {
    fn open(person: Person) -> Result<Self> {
        let terminal = Self { person, folder: tempfile::tempdir()? };
        let shell = "bash --norc --noprofile -i";
        terminal.tmux(&["-f", "/dev/null", "new-session", "-d", "-x", "100", "-y", "30", shell])?;
        Ok(terminal)
    }

    fn socket(&self) -> PathBuf {
        self.folder.path().join("tmux")
    }

    fn tmux(&self, words: &[&str]) -> Result<String> {
        let mut command = self.person.command("/usr/bin/env");
        command.args(["tmux", "-S"]).arg(self.socket()).args(words).current_dir(self.folder.path());
        let output = command.env_remove("TMUX").env("LC_ALL", "C.UTF-8").output()?;
        ensure!(output.status.success(), "tmux {words:?}: {}", String::from_utf8_lossy(&output.stderr));
        Ok(String::from_utf8(output.stdout)?)
    }

    fn types(&self, line: &str) -> Result<()> {
        self.tmux(&["send-keys", "-l", line])?;
        self.presses("Enter")
    }

    fn presses(&self, key: &str) -> Result<()> {
        self.tmux(&["send-keys", key]).map(drop)
    }

    /// Waits until the screen holds this text.
    fn until(&self, text: &str) -> Result<()> {
        wait::until(&format!("{text:?} on the screen"), SHOWN_WITHIN, || {
            let screen = self.screen()?;
            ensure!(screen.contains(text), "{screen}");
            Ok(Some(()))
        })
    }

    /// Waits until the screen holds what is wanted, or one of the others; whether it is what is wanted.
    fn either(&self, wanted: &str, others: &[&str]) -> Result<bool> {
        wait::until(&format!("{wanted:?} or one of {others:?} on the screen"), SHOWN_WITHIN, || {
            let screen = self.screen()?;
            let is_wanted = screen.contains(wanted);
            ensure!(is_wanted || others.iter().any(|other| screen.contains(other)), "{screen}");
            Ok(Some(is_wanted))
        })
    }

    fn screen(&self) -> Result<String> {
        self.tmux(&["capture-pane", "-p"])
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        // It has ended already where the test came to its end.
        drop(self.tmux(&["kill-server"]));
    }
}

pub(crate) fn a_plan_is_approved_on_the_screen(cluster: &mut Cluster) -> Result<()> {
    let done = approves_with_keys(cluster);
    // Whatever came of it: a pod that is over its line would be in the way of others.
    cluster.admin().kubectl(&["delete", "namespace", SHOP, "--ignore-not-found", "--wait=false"])?;
    done
}

fn approves_with_keys(cluster: &Cluster) -> Result<()> {
    ui::open_shop(cluster, SHOP)?;
    ui::leak(cluster, SHOP)?;
    let (admin, before) = (cluster.admin(), ui::generation(cluster, SHOP)?);
    let terminal = Terminal::open(admin.clone())?;
    terminal.types(&format!("kubectl guard run --tui -n {SHOP} --interval 2s --watch-interval 1s; echo ended $?"))?;
    terminal.until("> kiosk-")?;
    terminal.presses("3")?;
    terminal.until("> restart deployment/kiosk")?;
    // The exporter may not have scored the pod yet, on whose word a plan rests; and the status of a Deployment may change right
    // now, which makes a plan stale. Then it is looked at again.
    wait::until("the plan to be carried out", SHOWN_WITHIN, || {
        terminal.presses("Enter")?;
        if !terminal
            .either("Plan: restart deployment/kiosk in namespace kiosk", &["no plan: ", "is not over its line"])?
        {
            return Ok(None);
        }
        terminal.presses("a")?;
        terminal.until("Type kiosk to approve")?;
        terminal.types(SHOP)?;
        let written = terminal.either("kiosk: done (plan ", &["nothing was changed"])?;
        if !written {
            terminal.presses("Escape")?;
        }
        Ok(written.then_some(()))
    })?;
    ensure!(ui::generation(cluster, SHOP)? != before, "it was not restarted");
    let history: Value = serde_json::from_str(&admin.guard(&["history", "-o", "json"])?.out)?;
    let entry = history.as_array().into_iter().flatten().find(|entry| entry["target"] == "deployment/kiosk").cloned();
    let entry = entry.with_context(|| history.to_string())?;
    ensure!(entry["approval"] == json!({"by": "typed", "name": SHOP, "on": "tui"}), "{entry}");

    // Its scores are still waited for: who leaves is asked, and leaves the second time.
    terminal.presses("C-c")?;
    terminal.until("Quit? (y/n)")?;
    terminal.presses("C-c")?;
    terminal.until("ended 130")
}
