//! Somebody at a terminal: a kubeconfig, a home of their own, and the commands they type.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};

/// A person with the rights of a kubeconfig.
#[derive(Clone, Debug)]
pub struct Person {
    /// Their name in audit logs.
    pub name: String,
    kubeconfig: PathBuf,
    home: PathBuf,
    commands: PathBuf,
    environment: Vec<(String, String)>,
}

/// What a command said and how it ended.
#[derive(Clone, Debug)]
pub struct Answer {
    /// Its exit code; `None` if a signal ended it.
    pub code: Option<i32>,
    /// Its standard output.
    pub out: String,
    /// Its standard error.
    pub err: String,
}

impl Answer {
    /// The digest of the plan that it shows.
    ///
    /// # Errors
    /// If it shows none.
    pub fn digest(&self) -> Result<&str> {
        let digest = self.out.split_whitespace().find(|word| word.starts_with("sha256:"));
        digest.with_context(|| format!("no digest is shown: {self:?}"))
    }
}

impl Person {
    pub(crate) fn new(name: &str, folder: &Path) -> Self {
        Self {
            name: name.to_owned(),
            kubeconfig: folder.join("kubeconfigs").join(name),
            home: folder.join("home").join(name),
            commands: folder.join("bin"),
            environment: Vec::new(),
        }
    }

    /// The same person with one more environment variable.
    #[must_use]
    pub fn with(mut self, name: &str, value: &str) -> Self {
        self.environment.push((name.to_owned(), value.to_owned()));
        self
    }

    /// The same person with another kubeconfig.
    #[must_use]
    pub fn with_kubeconfig(mut self, file: &Path) -> Self {
        self.kubeconfig = file.to_path_buf();
        self
    }

    /// Their kubeconfig.
    pub fn kubeconfig(&self) -> &Path {
        &self.kubeconfig
    }

    /// Their home, where the plugin keeps its journal.
    pub fn home(&self) -> &Path {
        &self.home
    }

    /// Types `kubectl ...` and gives what it printed.
    ///
    /// # Errors
    /// If it fails, with what it said.
    pub fn kubectl(&self, arguments: &[&str]) -> Result<String> {
        let answer = self.type_command("kubectl", arguments, "")?;
        ensure!(answer.code == Some(0), "kubectl {}: {}{}", arguments.join(" "), answer.out, answer.err);
        Ok(answer.out)
    }

    /// Waits until the rollout of a workload (`deployment/web`) is complete.
    ///
    /// # Errors
    /// If it is not within 90 s.
    pub fn wait_for_rollout(&self, namespace: &str, target: &str) -> Result<()> {
        self.kubectl(&["-n", namespace, "rollout", "status", target, "--timeout=90s"]).map(drop)
    }

    /// Types `helm ...` and gives what it printed.
    ///
    /// # Errors
    /// If it fails, with what it said.
    pub fn helm(&self, arguments: &[&str]) -> Result<String> {
        let answer = self.type_command("helm", arguments, "")?;
        ensure!(answer.code == Some(0), "helm {}: {}{}", arguments.join(" "), answer.out, answer.err);
        Ok(answer.out)
    }

    /// Types `kubectl ...`, whatever comes of it.
    ///
    /// # Errors
    /// If it cannot be started.
    pub fn try_kubectl(&self, arguments: &[&str]) -> Result<Answer> {
        self.type_command("kubectl", arguments, "")
    }

    /// Types `kubectl apply -f -` with these objects.
    ///
    /// # Errors
    /// If the cluster does not take them.
    pub fn apply(&self, manifest: &str) -> Result<()> {
        let answer = self.type_command("kubectl", &["apply", "-f", "-"], manifest)?;
        ensure!(answer.code == Some(0), "kubectl apply: {}{}", answer.out, answer.err);
        Ok(())
    }

    /// Types `kubectl guard ...`, as a plugin and without a terminal, whatever comes of it.
    ///
    /// # Errors
    /// If it cannot be started.
    pub fn guard(&self, arguments: &[&str]) -> Result<Answer> {
        let words: Vec<&str> = std::iter::once("guard").chain(arguments.iter().copied()).collect();
        self.type_command("kubectl", &words, "")
    }

    /// Types a line into a shell in the root of the repository, whatever comes of it.
    ///
    /// # Errors
    /// If it cannot be started.
    pub fn shell(&self, line: &str) -> Result<Answer> {
        let line = format!("cd '{}' && {line}", concat!(env!("CARGO_MANIFEST_DIR"), "/.."));
        self.type_command("/bin/sh", &["-c", &line], "")
    }

    /// A program in this person's environment, not yet started.
    pub fn command(&self, program: &str) -> Command {
        let path = format!("{}:/usr/sbin:/usr/bin:/sbin:/bin", self.commands.display());
        let mut command = Command::new(self.commands.join(program));
        command
            // Nothing of this machine's user: no current context by accident, no proxy, no token.
            .env_clear()
            .envs([("PATH", path.as_str()), ("TERM", "dumb"), ("LANG", "C.UTF-8")])
            .env("HOME", &self.home)
            .env("KUBECONFIG", &self.kubeconfig)
            .envs(self.environment.iter().map(|(name, value)| (name, value)));
        command
    }

    fn type_command(&self, program: &str, arguments: &[&str], input: &str) -> Result<Answer> {
        use std::io::Write;
        fs::create_dir_all(&self.home)?;
        let mut child = self
            .command(program)
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()?;
        if let Some(mut stdin) = child.stdin.take() {
            // A command that reads nothing closes the pipe early.
            stdin.write_all(input.as_bytes()).ok();
        }
        let output = child.wait_with_output()?;
        Ok(Answer {
            code: output.status.code(),
            out: String::from_utf8_lossy(&output.stdout).into_owned(),
            err: String::from_utf8_lossy(&output.stderr).into_owned(),
        })
    }
}
