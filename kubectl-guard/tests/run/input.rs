//! What is read: files and pipes, and variables of the environment that are empty.

use std::io::{BufRead as _, BufReader};
use std::net::{TcpListener, TcpStream};

use super::*;

/// What a command does with a table on its stdin.
fn fed(words: &[&str], table: &str) -> Output {
    let folder = tempfile::tempdir().unwrap();
    let mut command = guard(folder.path(), words);
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(table.as_bytes()).unwrap();
    child.wait_with_output().unwrap()
}

#[test]
fn a_pipe_is_read_from_its_first_byte() {
    let table = format!("{HEADER}{}", rows(0..4, 3));
    for file in ["-", "/dev/stdin"] {
        let answer = fed(&["analyze", file, "--output-file=-"], &table);
        let told = String::from_utf8(answer.stderr).unwrap();
        assert_eq!(answer.status.code(), Some(0), "{file}: {told}");
        assert!(told.ends_with("1 pod misbehaved of 1 watched, 4 rows\n"), "{file}: {told}");
        let insights: serde_json::Value = serde_json::from_slice(&answer.stdout).unwrap();
        assert_eq!(insights["pods"][0]["insights"][0]["likely_causes"][0]["cause"], "failed");
        let answer = fed(&["incidents", "--input-file", file], &table);
        assert!(String::from_utf8(answer.stdout).unwrap().contains("pod failed"), "{file}");
        assert_eq!(fed(&["analyze", "--test", file], &table).status.code(), Some(0), "{file}");
        assert_eq!(fed(&["analyze", "--test", file], HEADER).status.code(), Some(1), "{file} without rows");
        assert_eq!(fed(&["analyze", "--follow", file], &table).status.code(), Some(2), "{file} does not grow");
    }
}

#[test]
fn a_variable_that_is_empty_says_nothing() {
    let folder = folder_with_table(&rows(0..4, 3));
    for words in [&["analyze"][..], &["incidents", "--input-file=pod_metrics.csv"], &["config", "print"]] {
        let mut command = guard(folder.path(), words);
        let names =
            ["K8S_NAMESPACE", "MODEL_PATH", "ANOMALY_THRESHOLD", "THRESHOLD", "OPENAI_BASE_URL", "OPENAI_MODEL"];
        command.envs(names.map(|name| (name, "")));
        let answer = command.output().unwrap();
        let told = String::from_utf8(answer.stderr).unwrap();
        assert_eq!(answer.status.code(), Some(0), "{words:?}: {told}");
        assert!(words[0] == "config" || told.starts_with("1 "), "{words:?}: {told}");
    }
}

#[test]
fn the_older_options_of_analyze_mean_what_they_meant() {
    let folder = folder_with_table(&rows(0..4, 3));
    fs::rename(folder.path().join("pod_metrics.csv"), folder.path().join("m.csv")).unwrap();
    for (option, misbehaved) in [("-agent", "1 pod"), ("--agent-only", "1 pod"), ("--alert-threshold=1", "0 pods")] {
        let answer = answer(folder.path(), &["analyze", "--input-file=m.csv", "--output-file=-", option]);
        let told = String::from_utf8(answer.stderr).unwrap();
        assert!(told.ends_with(&format!("{misbehaved} misbehaved of 1 watched, 4 rows\n")), "{option}: {told}");
    }
}

#[test]
fn the_older_options_of_run_are_its_settings() {
    let folder = tempfile::tempdir().unwrap();
    let options = ["--metrics-file=m.csv", "--watch-interval=5", "--confidence-threshold=0.9", "--interval=40"];
    let answer = answer(folder.path(), &[&["config", "print"], &options[..]].concat());
    let text = String::from_utf8(answer.stdout).unwrap();
    for (setting, option) in [
        ("output_file: m.csv", "--metrics-file"),
        ("watch_interval: 5", "--watch-interval"),
        ("confidence_threshold: 0.9", "--confidence-threshold"),
        ("interval: 40", "--interval"),
    ] {
        let line = text.lines().find(|line| line.trim_start().starts_with(setting));
        assert!(line.is_some_and(|line| line.ends_with(&format!("# {option}"))), "{setting}: {text}");
    }
}

#[test]
fn the_older_tools_variables_choose_the_cluster_and_the_namespace() {
    let server = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = server.local_addr().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let own = folder.path().join("own.yaml");
    let (cluster, context) = (format!("server: \"http://{address}\""), "cluster: own, user: own, namespace: other");
    let config = format!(
        "clusters: [{{name: own, cluster: {{{cluster}}}}}]\ncontexts: [{{name: own, context: {{{context}}}}}]\n\
         users: [{{name: own, user: {{}}}}]\ncurrent-context: own\n"
    );
    fs::write(&own, config).unwrap();
    let asked = std::thread::spawn(move || {
        let mut line = String::new();
        BufReader::new(server.accept().unwrap().0).read_line(&mut line).unwrap();
        line
    });
    let mut command = guard(folder.path(), &["collect", "--test"]);
    let answer = command.env("KUBECONFIG", &own).env("K8S_NAMESPACE", "shop").output().unwrap();
    // Whoever still waits for a request has got none.
    drop(TcpStream::connect(address));
    let told = String::from_utf8(answer.stderr).unwrap();
    assert_eq!(asked.join().unwrap(), "GET /api/v1/namespaces/shop/pods HTTP/1.1\r\n", "{told}");
}
