//! Programs of the user's: what they are told, what of their words is taken, and their end.

use std::os::unix::fs::PermissionsExt as _;

use super::*;
use crate::api;

const TABLE: &str = "timestamp,namespace,pod,workload,phase,containers_ready,containers_total\n";

/// A row of the Deployment's pod, in this half minute; it is well, or has failed.
fn row(number: i64, phase: &str) -> String {
    let at = jiff::Timestamp::from_second(1_795_356_000 + 30 * number).unwrap();
    let ready = i32::from(phase == "Running");
    format!("{at},shop,cart,Deployment/cart,{phase},{ready},1\n")
}

/// A folder with a pod that has failed, and with these programs.
fn folder(programs: &str) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let rows = [row(0, "Running"), row(1, "Running"), row(2, "Failed")].concat();
    fs::write(folder.path().join("pod_metrics.csv"), format!("{TABLE}{rows}")).unwrap();
    fs::write(folder.path().join("g.yaml"), settings(programs)).unwrap();
    folder
}

fn settings(programs: &str) -> String {
    format!("agents:\n  watch_interval: 1\n  programs:\n{programs}")
}

fn started(folder: &tempfile::TempDir, port: u16) -> Run<'_> {
    let server = format!("--server=http://127.0.0.1:{port}");
    let words = ["run", "--agent-mode=remediation", "--config-file=g.yaml", "-n=shop", "--log-level=debug", &server];
    Run::start(folder, &words)
}

fn status(folder: &Path) -> serde_json::Value {
    let answer = answer(folder, &["run", "status", "-o", "json"]);
    serde_json::from_slice(&answer.stdout).unwrap()
}

/// A program that says this to the first line that it is told, and then listens on.
fn saying(words: &[&str]) -> String {
    let said: String = words.iter().flat_map(|word| ["printf '%s\\n' '", word, "'; "]).collect();
    let command = format!("read -r told; printf '%s\\n' \"$told\" > told; {said}while read -r more; do :; done");
    format!("    loud: {{command: [/bin/sh, -c, {}]}}\n", serde_json::to_string(&command).unwrap())
}

#[test]
fn the_examples_note_and_propose() {
    let examples = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/agents");
    let text = fs::read_to_string(examples.join("agents.yaml")).unwrap();
    let folder = folder("");
    for name in ["note.py", "over.sh"] {
        fs::copy(examples.join(name), folder.path().join(name)).unwrap();
        let lines = fs::read_to_string(examples.join(name)).unwrap().lines().count();
        assert!(lines <= 22, "{name} is an example, of {lines} lines");
    }
    fs::write(folder.path().join("g.yaml"), text.replace("agents:\n", "agents:\n  watch_interval: 1\n")).unwrap();
    let (port, writes) = api::serve();
    let mut run = started(&folder, port);
    run.until_logged("agent note notes: Deployment/cart: pod failed (incident ");
    run.until_logged("proposed by agent note: restart deployment/cart");
    run.until_logged("kubectl guard fix deployment/cart -n shop --action restart");
    let state = status(folder.path());
    let waits =
        state["state"]["proposals"].as_array().unwrap().iter().find(|waits| waits["by"] == "agent note").unwrap();
    assert_eq!(waits["reason"], "it keeps crashing, and has no state");
    assert_eq!(waits["command"], "kubectl guard fix deployment/cart -n shop --action restart");
    let text = order(folder.path(), "status").1;
    assert!(text.contains("AGENT") && text.contains("agent note"), "{text}");
    let history: serde_json::Value =
        serde_json::from_slice(&fs::read(folder.path().join("remediation_history.json")).unwrap()).unwrap();
    assert!(history["proposals"].as_array().unwrap().iter().any(|entry| entry["by"] == "agent note"), "{history}");
    // It works again: that is told, and the proposal goes.
    append(&run.path("pod_metrics.csv"), &(3..40).map(|number| row(number, "Running")).collect::<String>());
    run.until_logged("agent over notes: 1 over; please write down what helped (incident ");
    run.until_logged("withdrawn, by agent note: restart deployment/cart");
    run.send(Signal::SIGTERM);
    assert_eq!(run.ended().code(), Some(0), "{}", run.stderr());
    assert_eq!(*writes.lock().unwrap(), [""; 0], "nothing was written");
}

#[test]
fn what_a_program_says_is_taken_or_refused_and_nothing_else() {
    let ask = |more: &str| {
        format!(
            "{{\"kind\":\"proposal\",\"namespace\":\"shop\",\"target\":\"deployment/cart\",\"reason\":\"r\",{more}}}"
        )
    };
    let words = [
        "kubectl delete namespace shop".to_owned(),
        "{\"kind\":\"command\",\"text\":\"rm\"}".to_owned(),
        "{\"kind\":\"note\",\"text\":\"x\",\"color\":\"red\"}".to_owned(),
        ask("\"action\":\"delete\""),
        ask("\"action\":\"restart\",\"approve\":true"),
        ask("\"action\":\"drain\""),
        ask("\"action\":\"restart\",\"replicas\":3"),
        ask("\"action\":\"scale\",\"replicas\":0"),
        ask("\"action\":\"restart\"").replace("deployment/cart", "deployment/other"),
        ask("\"action\":\"restart\"").replace("deployment/cart", "node/node1"),
        ask("\"action\":\"restart\"").replace("deployment/cart", "../../secrets/x"),
        ask("\"action\":\"restart\"").replace("\"shop\"", "\"kube-system\""),
        "{\"kind\":\"note\",\"text\":\"a\\u001b[31mred\\nApproved? y\"}".to_owned(),
        "x".repeat(20_000),
    ];
    let folder = folder(&saying(&words.iter().map(String::as_str).collect::<Vec<_>>()));
    let (port, writes) = api::serve();
    let mut run = started(&folder, port);
    run.until_logged("a line of more than 16384 bytes");
    let log = run.stderr();
    let mut lines: Vec<&str> =
        log.lines().filter_map(|line| line.split_once("agents  agent loud").map(|(_, text)| text)).collect();
    lines.retain(|line| !line.contains("runs: process"));
    insta::assert_snapshot!(lines.join("\n"));
    let loud = &status(folder.path())["state"]["agents"]["loud"];
    assert_eq!((&loud["refused"], &loud["notes"], &loud["proposals"]), (&13.into(), &1.into(), &0.into()), "{loud}");
    assert!(!log.contains("proposed by"), "{log}");
    // What it was told is of the form that is documented.
    let told: serde_json::Value = serde_json::from_slice(&fs::read(folder.path().join("told")).unwrap()).unwrap();
    assert_eq!((&told["is"], &told["pods"][0]["cause"]), (&"began".into(), &"failed".into()), "{told}");
    assert_eq!(told["targets"][0]["actions"], serde_json::json!(["restart", "rollout-undo", "scale", "resources"]));
    assert_eq!(*writes.lock().unwrap(), [""; 0], "nothing was written");
}

#[test]
fn a_program_sees_no_secret_and_ends_with_all_that_it_started() {
    let command = "env > seen; sleep 1000 & echo $! > child; exec sleep 1000";
    let folder = folder(&format!("    quiet: {{command: [/bin/sh, -c, {command:?}], folder: deep}}\n"));
    fs::create_dir(folder.path().join("deep")).unwrap();
    let (port, _) = api::serve();
    let log = fs::File::create(folder.path().join("stderr")).unwrap();
    let server = format!("--server=http://127.0.0.1:{port}");
    let mut command = guard(folder.path(), &["run", "--agent-mode=remediation", "--config-file=g.yaml", &server]);
    command.env("OPENAI_API_KEY", "sk-geheim").env("LANG", "C").env("PATH", "/usr/bin:/bin");
    command.env("KUBECONFIG", "/nonexistent/geheim").arg("--token=geheim");
    let child = command.stdout(Stdio::null()).stderr(log).spawn().unwrap();
    let mut run = Run { folder: folder.path(), child };
    let child =
        run.until("its child", |run| fs::read_to_string(run.path("deep/child")).ok()?.trim().parse::<i32>().ok());
    let seen = fs::read_to_string(run.path("deep/seen")).unwrap();
    let mut names: Vec<&str> = seen.lines().filter_map(|line| line.split_once('=')).map(|(name, _)| name).collect();
    // The shell's own.
    names.retain(|name| !["PWD", "OLDPWD", "SHLVL", "_"].contains(name));
    names.sort_unstable();
    assert_eq!(names, ["HOME", "LANG", "PATH"], "{seen}");
    run.send(Signal::SIGTERM);
    assert_eq!(run.ended().code(), Some(0), "{}", run.stderr());
    let begin = Instant::now();
    while kill(Pid::from_raw(child), None).is_ok() && !is_zombie(child) {
        assert!(begin.elapsed() < PATIENCE, "process {child} has outlived it");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// It has ended, and nobody has asked how yet.
fn is_zombie(process: i32) -> bool {
    fs::read_to_string(format!("/proc/{process}/stat")).is_ok_and(|stat| stat.contains(") Z "))
}

#[test]
fn a_program_that_ends_or_does_not_read_is_started_again_later_each_time() {
    let programs = "    \
                    ends: {command: [/bin/sh, -c, 'echo broken >&2; exit 3']}\n    \
                    missing: {command: [/nonexistent/agent]}\n    \
                    deaf: {command: [/bin/sh, -c, 'exec 0<&-; sleep 1000']}\n";
    let folder = folder(programs);
    let (port, _) = api::serve();
    let mut run = started(&folder, port);
    run.until_logged("agent ends: it ended with exit code 3; again in 1s");
    run.until_logged("agent ends: it ended with exit code 3; again in 2s");
    run.until_logged("agent ends on stderr: broken");
    run.until_logged("agent missing: /nonexistent/agent cannot be started: No such file or directory");
    run.until_logged("agent deaf: it does not read what it is told, and was ended; again in");
    let restarts = status(folder.path())["state"]["agents"]["ends"]["restarts"].as_u64().unwrap();
    assert!(restarts >= 2, "{restarts}");
}

#[test]
fn a_reload_takes_a_program_away_and_adds_none() {
    let folder = folder(&saying(&[]));
    let (port, _) = api::serve();
    let mut run = started(&folder, port);
    run.until_logged("agent loud runs: process");
    let script = run.path("more.sh");
    fs::write(&script, "#!/bin/sh\necho started > started\n").unwrap();
    fs::set_permissions(&script, fs::Permissions::from_mode(0o700)).unwrap();
    let more = "    more: {command: [./more.sh]}\n";
    fs::write(run.path("g.yaml"), settings(&(saying(&[]) + more))).unwrap();
    run.until_logged("agents.programs.more: a reload may take a program away; to add or change one needs a new start");
    fs::write(run.path("g.yaml"), settings(&saying(&["x"]))).unwrap();
    run.until_logged("agents.programs.loud: a reload may take a program away");
    fs::write(run.path("g.yaml"), "agents:\n  watch_interval: 1\n").unwrap();
    run.until_logged("reloaded: agents.programs.loud.command");
    run.until("no programs", |run| status(run.folder)["state"]["agents"].as_object().unwrap().is_empty().then_some(()));
    assert!(!run.path("started").exists());
}
