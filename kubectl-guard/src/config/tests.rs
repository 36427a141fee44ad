//! What files, environment and flags come to, and the words for what they cannot mean.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use clap::Parser;
use proptest::prelude::*;

use super::flags::ConfigFlags;
use super::print;
use super::*;
use crate::cli::accept_valued_switches;
use crate::flags::KubeFlags;

#[derive(Parser)]
struct Line {
    #[command(flatten)]
    flags: ConfigFlags,
    #[command(flatten)]
    kube: KubeFlags,
}

/// What the text of one file comes to.
fn of_text(text: &str) -> Result<Merged, ConfigError> {
    let mut merged = Merged::defaults();
    read::lay_text(text, Path::new("guard.yaml"), "", &mut merged).map(|()| merged)
}

/// What is wrong with the text of a file.
fn wrong(text: &str) -> String {
    of_text(text).map(|merged| print::yaml(&merged)).unwrap_err().to_string()
}

fn folder(files: &[(&str, &str)]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (name, text) in files {
        std::fs::write(folder.path().join(name), text).unwrap();
    }
    folder
}

#[test]
fn without_a_word_the_defaults_hold() {
    let merged = load(&[], |_| None, &[]).unwrap();
    insta::assert_snapshot!(print::yaml(&merged));
    let config = Config::of(&merged).unwrap();
    assert_eq!(config.dataset_generator.interval, Duration::from_secs(30));
    assert!(!config.remediation.auto_approve);
}

#[test]
fn the_readme_names_every_setting() {
    let page = include_str!("../../../README.md");
    for setting in schema::SETTINGS {
        for key in [Some(setting.key), setting.alias].into_iter().flatten() {
            assert!(page.contains(&format!("`{key}`")), "README.md has no `{key}`");
        }
    }
}

#[test]
fn every_setting_with_a_default_has_a_value_of_its_kind() {
    for leaf in Merged::defaults().leaves() {
        let optional = ["namespace", "path", "only", "folder", "api_key_file", "price"]
            .contains(leaf.path.last().unwrap())
            || (leaf.path[0] == "notices" && leaf.path[1] != "group_wait");
        assert_eq!(leaf.value.is_null(), optional, "{:?}", leaf.path);
    }
}

#[test]
fn the_older_tools_own_file_means_what_it_meant() {
    let text = "\
dataset_generator:
  output_file: m.csv
  prometheus_url: http://prometheus:9090
  namespace: shop
  interval: 15
agents:
  watch_interval: 5
  alert_threshold: 0.8
remediation:
  auto_approve: False
  dry_run: True
";
    let config = Config::of(&of_text(text).unwrap()).unwrap();
    assert_eq!(config.dataset_generator.output_file, PathBuf::from("m.csv"));
    assert_eq!(config.dataset_generator.namespace.as_deref(), Some("shop"));
    assert_eq!(config.dataset_generator.interval, Duration::from_secs(15));
    assert_eq!(config.agents.watch_interval, Duration::from_secs(5));
    assert!((config.agents.alert_threshold - 0.8).abs() < 1e-9);
    assert!(config.remediation.dry_run && !config.remediation.auto_approve);
}

#[test]
fn flags_stand_over_the_environment_over_later_files_over_earlier_ones() {
    let folder = folder(&[
        ("a.yaml", "agents: {alert_threshold: 0.5, watch_interval: 3}\nmodel: {path: a.onnx}\nlog: {level: error}\n"),
        ("b.yaml", "agents: {alert_threshold: 0.6}\nlog: {level: debug}\n"),
    ]);
    let file = |name: &str| folder.path().join(name).display().to_string();
    let line = Line::parse_from([
        "g",
        "--config-file",
        &file("a.yaml"),
        "--config-file",
        &file("b.yaml"),
        "--log-level",
        "warning",
        "--anomaly-agent-only",
        "-n",
        "shop",
        "--dry-run",
    ]);
    let environment = |name: &str| match name {
        "THRESHOLD" => Some("0.9".to_owned()),
        "ANOMALY_THRESHOLD" => Some("0.75".to_owned()),
        "MODEL_PATH" => Some(String::new()),
        _ => None,
    };
    let merged = line.flags.load(&line.kube, environment).unwrap();
    insta::assert_snapshot!(print::yaml(&merged).replace(&folder.path().display().to_string(), "/etc/guard"));
    let config = Config::of(&merged).unwrap();
    assert_eq!(config.run.only, Some(Part::Detect));
    assert!((config.agents.alert_threshold - 0.75).abs() < 1e-9, "ANOMALY_THRESHOLD stands over THRESHOLD");
}

/// Whether it is about all namespaces and asks a model, with a file that says so of both and these words of the command line.
fn switched(words: &str) -> (bool, bool) {
    let folder = folder(&[("a.yaml", "llm: {enabled: true}\ndataset_generator: {all_namespaces: true}\n")]);
    let file = folder.path().join("a.yaml").display().to_string();
    let words = ["g", "--config-file", &file].into_iter().chain(words.split_whitespace()).map(OsString::from);
    let (words, off) = accept_valued_switches(words);
    let mut line = Line::parse_from(words);
    line.flags.switch_off(off);
    let config = Config::of(&line.flags.load(&line.kube, |_| None).unwrap()).unwrap();
    (config.dataset_generator.all_namespaces, config.llm.enabled)
}

#[test]
fn a_switch_that_is_typed_as_off_stands_over_a_file_and_so_does_one_namespace() {
    for (words, expected) in [
        ("", (true, true)),
        ("--enable-llm=false", (true, false)),
        ("--enable-llm=true", (true, true)),
        ("--enable-llm --enable-llm=F", (true, false)),
        ("-A=false", (false, true)),
        ("--all-namespaces=0", (false, true)),
        ("-n shop", (false, true)),
        ("-n shop -A", (true, true)),
        ("-n shop --all-namespaces=true", (true, true)),
        ("-n shop -A=false", (false, true)),
    ] {
        assert_eq!(switched(words), expected, "{words}");
    }
}

#[test]
fn a_folder_reads_the_older_tools_three_files_with_and_without_sections() {
    let folder = folder(&[
        ("prometheus.yaml", "url: http://prometheus:9090\nqueries:\n  queue_length: sum(queue) by (pod)\n"),
        ("agent_config.yaml", "watch_interval: 5\nremediation:\n  dry_run: true\n"),
        ("model_config.yaml", "threshold: 0.8\n"),
    ]);
    let merged = load(&[folder.path().to_owned()], |_| None, &[]).unwrap();
    let config = Config::of(&merged).unwrap();
    assert_eq!(config.dataset_generator.prometheus_url, "http://prometheus:9090");
    assert_eq!(config.prometheus.queries["queue_length"], "sum(queue) by (pod)");
    assert_eq!(config.agents.watch_interval, Duration::from_secs(5));
    assert!((config.agents.alert_threshold - 0.8).abs() < 1e-9);
    assert!(config.remediation.dry_run);
}

#[test]
fn what_is_printed_as_yaml_reads_back_the_same() {
    let text = "\
prometheus: {queries: {a: '1', \"b: # c\": \"sum(x) > 'y'\", 'yes': up}}
dataset_generator: {namespace: 'true', output_file: \"a b\\tc.csv\"}
agents: {alert_threshold: 1}
";
    let merged = of_text(text).unwrap();
    let printed = print::yaml(&merged);
    assert_eq!(of_text(&printed).unwrap().tree(), merged.tree(), "{printed}");
}

#[test]
fn json_names_who_said_each_value() {
    let json = print::json(&of_text("agents:\n  alert_threshold: 0.8\n").unwrap());
    assert_eq!(json["config"]["agents"]["alert_threshold"], 0.8);
    assert_eq!(json["origins"]["agents.alert_threshold"], "guard.yaml:2:20");
    assert_eq!(json["origins"]["agents.watch_interval"], "default");
}

#[test]
fn a_file_may_say_nothing() {
    for text in ["", "\n", "# nothing\n", "---\n", "agents:\n", "~\n"] {
        assert_eq!(of_text(text).unwrap().tree(), Merged::defaults().tree(), "{text:?}");
    }
}

#[test]
fn what_cannot_be_meant_is_told_with_its_place_and_the_nearest_key() {
    let files = [
        "agents:\n  alert_treshold: 0.8\n",
        "agent:\n  alert_threshold: 0.8\n",
        "agents:\n  interval: 30\n",
        "dry_run: true\n",
        "wibble: 1\n",
        "log:\n  wibble: 1\n",
        "agents:\n  alert_threshold: high\n",
        "agents:\n  alert_threshold: 0\n",
        "agents:\n  alert_threshold: '0.8'\n",
        "agents:\n  alert_threshold: nan\n",
        "agents:\n  alert_threshold: [0.8]\n",
        "agents:\n  watch_interval:\n",
        "agents: 5\n",
        "- agents\n",
        "dataset_generator:\n  interval: 10ms\n  prometheus_url: prometheus\n  namespace: {a: b}\n",
        "remediation:\n  dry_run: yes\n  max_proposals: -1\n",
        "run:\n  agent_mode: all\n",
        "prometheus:\n  queries: up\n",
        "prometheus:\n  queries:\n    up: [1]\n",
        "agents:\n  alert_threshold: 0.8\n  alert_threshold: 0.9\n",
        "agents: {alert_threshold: 0.8\n",
        "a: &x 1\nb: *x\n",
        "agents: !!map {}\n",
        "agents: {}\n---\nagents: {}\n",
        "? [a]\n: b\n",
        "agents:\n\talert_threshold: 1\n",
        "\"a\\e[31m\": 1\n",
        "llm: {price: cheap, max_tokens: 10, api_key: sk-1}\n",
        "agents: {programs: [note]}\n",
        "agents:\n  programs:\n    Note: {command: [a]}\n    note: python3 note.py\n",
        "agents:\n  programs:\n    note: {command: python3 note.py}\n",
        "agents:\n  programs:\n    note:\n      comand: [python3, note.py]\n      timeout: soon\n      shell: true\n",
        "agents:\n  programs:\n    note: {command: []}\n    none: {command: ['', a]}\n    deep: {command: [a, [b]]}\n",
    ];
    let told: Vec<String> = files.iter().map(|text| format!("{text}=> {}\n", wrong(text))).collect();
    insta::assert_snapshot!(told.join("\n"));
}

#[test]
fn programs_are_laid_over_each_other_by_name_and_read_back() {
    let first = "agents: {watch_interval: 5, programs: {note: {command: [/usr/bin/python3, 'a b.py', '-1'], folder: /etc/guard}}}\n";
    let second = "agents: {programs: {note: {command: [note], timeout: 500ms}, over: {command: [sh, over.sh]}}}\n";
    let mut merged = of_text(first).unwrap();
    let program = |merged: &Merged, name: &str| Config::of(merged).unwrap().agents.programs[name].clone();
    assert_eq!(program(&merged, "note").command, ["/usr/bin/python3", "a b.py", "-1"]);
    assert_eq!(program(&merged, "note").timeout, Duration::from_secs(10));
    read::lay_text(second, Path::new("second.yaml"), "", &mut merged).unwrap();
    let note = program(&merged, "note");
    assert_eq!((note.command, note.folder), (vec!["note".to_owned()], Some("/etc/guard".into())));
    assert_eq!(note.timeout, Duration::from_millis(500));
    let printed = print::yaml(&merged);
    assert_eq!(of_text(&printed).unwrap().tree(), merged.tree(), "{printed}");
    assert!(printed.contains("    note:\n      command: [\"note\"]"), "{printed}");
}

#[test]
fn a_reload_may_take_a_program_away_and_nothing_else() {
    let with = |programs: &str| of_text(&format!("agents: {{programs: {{{programs}}}}}\n")).unwrap();
    let (one, two) = ("a: {command: [a]}", "a: {command: [a]}, b: {command: [b]}");
    let refused = |old: &Merged, new: &Merged| {
        let changes = tighten::changes(old, new);
        tighten::refused(&Config::of(old).unwrap(), &Config::of(new).unwrap(), &changes)
    };
    assert_eq!(refused(&with(two), &with(one)), [""; 0]);
    assert_eq!(refused(&with(one), &of_text("").unwrap()), [""; 0]);
    for (old, new) in [(one, two), (one, "a: {command: [b]}"), (one, "a: {command: [a], timeout: 1m}")] {
        assert_eq!(refused(&with(old), &with(new)).len(), 1, "{old} -> {new}");
    }
    for (key, text) in [("llm.enabled", "true"), ("llm.url", "http://localhost:1"), ("llm.tokens_per_hour", "70000")] {
        let new = load(&[], |_| None, &[(key, "flag", text.to_owned())]).unwrap();
        assert_eq!(refused(&of_text("").unwrap(), &new).len(), 1, "{key}");
    }
    let fewer = load(&[], |_| None, &[("llm.tokens_per_hour", "flag", "0".to_owned())]).unwrap();
    assert_eq!(refused(&of_text("").unwrap(), &fewer), [""; 0]);
}

#[test]
fn nothing_is_taken_from_a_file_with_a_mistake() {
    let mut merged = Merged::defaults();
    let text = "remediation: {dry_run: true}\nagents: {wibble: 1}\n";
    assert!(read::lay_text(text, Path::new("g"), "", &mut merged).is_err());
    assert_eq!(merged.tree(), Merged::defaults().tree());
}

#[test]
fn a_file_that_is_missing_too_large_no_text_or_an_empty_folder_is_an_error() {
    let folder = folder(&[]);
    let error = |name: &str| {
        let error = load(&[folder.path().join(name)], |_| None, &[]).unwrap_err().to_string();
        error.replace(&folder.path().display().to_string(), "DIR")
    };
    std::fs::write(folder.path().join("large"), vec![b'#'; 300 * 1024]).unwrap();
    std::fs::write(folder.path().join("latin1"), b"a: \xe9").unwrap();
    let told = ["none.yaml", "large", "latin1", "."].map(error).join("\n");
    insta::assert_snapshot!(told, @r"
    DIR/none.yaml: it cannot be read: No such file or directory (os error 2)
    DIR/large: more than 262144 bytes
    DIR/latin1: it is no text (UTF-8)
    DIR/.: there is none of prometheus.yaml, agent_config.yaml, model_config.yaml in this folder
    ");
}

#[test]
fn a_wrong_flag_or_variable_is_named() {
    let line = Line::parse_from(["g", "--interval", "soon"]);
    let flag = line.flags.load(&line.kube, |_| None).unwrap_err();
    let variable = load(&[], |name| (name == "THRESHOLD").then(|| "70%".to_owned()), &[]).unwrap_err();
    insta::assert_snapshot!(format!("{flag}\n{variable}"), @r#"
    --interval: it must be a duration such as 30s, at least 1s, not "soon"
    $THRESHOLD: it must be a number above 0 and up to 1, not "70%"
    "#);
}

#[test]
fn an_address_that_cannot_be_meant_is_not_told() {
    let wrong = ["hooks.example.org/T0/s3cret", "https//u:s3cret@example.org", "s3cret", "ftp://u:s3cret@example.org"];
    let keys = ["notices.webhook_url", "notices.alertmanager_url", "llm.url", "dataset_generator.prometheus_url"];
    for (key, text) in keys.iter().flat_map(|key| wrong.map(|text| (*key, text))) {
        let (section, name) = key.split_once('.').unwrap();
        let file = of_text(&format!("{section}:\n  {name}: {text}\n")).unwrap_err();
        let flag = load(&[], |_| None, &[(key, "flag", text.to_owned())]).unwrap_err();
        for told in [file, flag].map(|error| error.to_string()) {
            assert!(told.contains("it must be a URL") && !told.contains("s3cret"), "{told}");
        }
    }
    for text in [
        "notices:\n  webhook_url:https://example.org/s3cret\n",
        "notices: {webhook_url:https://example.org/s3cret}\n",
        "notices:\n  webhook_url:https://example.org/s3cret\n  group_wait: 5\n",
        "notices: https://example.org/s3cret\n",
    ] {
        let told = of_text(text).unwrap_err().to_string();
        assert!(!told.contains("s3cret"), "{told}");
    }
    let variable = load(&[], |name| (name == "OPENAI_BASE_URL").then(|| wrong[1].to_owned()), &[]).unwrap_err();
    assert!(!variable.to_string().contains("s3cret"), "{variable}");
}

#[test]
fn only_one_part_can_run_alone() {
    for line in ["g --only collect --generator-only", "g --generator-only --dataset-agent-only"] {
        assert!(Line::try_parse_from(line.split(' ')).is_err(), "{line}");
    }
}

/// A text that is nearly a configuration.
fn nearly() -> impl Strategy<Value = String> {
    let keys: Vec<&str> = schema::SETTINGS.iter().flat_map(|setting| setting.key.split('.')).collect();
    let word = prop_oneof![
        3 => proptest::sample::select(keys).prop_map(str::to_owned),
        2 => proptest::sample::select(vec!["0.5", "true", "30s", "a.csv", "-", "[", "{", "'", "*a", "&a", "!t", "|", "?", "---"])
            .prop_map(str::to_owned),
        1 => "\\PC{0,6}",
    ];
    let joint = proptest::sample::select(vec![": ", ":\n  ", "\n", "\n    ", ", ", " ", "}", "]"]);
    proptest::collection::vec((word, joint), 0..24)
        .prop_map(|parts| parts.into_iter().map(|(word, joint)| word + joint).collect())
}

proptest! {
    #[test]
    fn any_bytes_are_a_configuration_or_an_error(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        let folder = folder(&[]);
        let path = folder.path().join("any");
        std::fs::write(&path, bytes).unwrap();
        if let Ok(merged) = load(&[path], |_| None, &[]) {
            prop_assert!(Config::of(&merged).is_ok());
        }
    }

    #[test]
    fn what_is_accepted_becomes_a_configuration_and_reads_back(text in nearly()) {
        if let Ok(merged) = of_text(&text) {
            prop_assert!(Config::of(&merged).is_ok());
            let again = of_text(&print::yaml(&merged)).unwrap();
            prop_assert_eq!(again.tree(), merged.tree());
        }
    }

    #[test]
    fn no_nesting_exhausts_the_stack(depth in 1..60_000usize, bracket in proptest::sample::select(vec!["[", "{a: ", "- ", "? "])) {
        prop_assert!(of_text(&bracket.repeat(depth)).is_err());
    }

    #[test]
    fn a_value_of_a_file_is_the_value_of_the_configuration(score in 0.001..=1.0f64, seconds in 1..86_400u64, text in "[a-z][a-z0-9-]{0,20}") {
        let yaml = format!("agents: {{alert_threshold: {score}}}\ndataset_generator: {{interval: {seconds}, namespace: '{text}'}}\n");
        let config = Config::of(&of_text(&yaml).unwrap()).unwrap();
        prop_assert!((config.agents.alert_threshold - score).abs() < 1e-12);
        prop_assert_eq!(config.dataset_generator.interval, Duration::from_secs(seconds));
        prop_assert_eq!(config.dataset_generator.namespace, Some(text));
    }
}
