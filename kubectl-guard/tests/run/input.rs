//! What is read: files and pipes, and variables of the environment that are empty.

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
