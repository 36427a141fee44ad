//! The page of the older tool's names, read: what it says is accepted is, and what it says shows it is there.

use super::*;

/// The rows of all tables: then, now, tests.
fn rows(page: &str) -> Vec<[String; 3]> {
    let lines =
        page.lines().filter(|line| line.starts_with("| ") && !line.starts_with("| then") && !line.starts_with("| ---"));
    let row = |line: &str| {
        let cells: Vec<String> = line.trim_matches('|').split(" | ").map(|cell| cell.trim().to_owned()).collect();
        cells.try_into().unwrap_or_else(|cells| unreachable!("a row has three cells: {cells:?}"))
    };
    lines.map(row).collect()
}

/// What stands between backticks.
fn code(text: &str) -> Vec<&str> {
    text.split('`').skip(1).step_by(2).collect()
}

/// Every name of a function in the sources of this folder.
fn functions(folder: &Path, found: &mut Vec<String>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() && !path.ends_with("target") && !path.ends_with("node_modules") {
            functions(&path, found);
        } else if path.extension().is_some_and(|end| end == "rs") {
            let text = fs::read_to_string(&path).unwrap();
            let names = text.lines().filter_map(|line| line.split_once("fn ")?.1.split(['(', '<']).next());
            found.extend(names.map(str::to_owned));
        }
    }
}

#[test]
fn every_name_of_the_older_tool_is_accepted_or_refused_with_the_reason() {
    let page = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/older-names.md")).unwrap();
    let rows = rows(&page);
    assert!(rows.len() > 50, "{} rows", rows.len());
    let folder = tempfile::tempdir().unwrap();
    let (mut commands, mut refused) = (0, Vec::new());
    for [then, now, _] in &rows {
        for command in code(now).into_iter().filter_map(|code| code.strip_prefix("kubectl guard ")) {
            commands += 1;
            let words: Vec<&str> = command.split(' ').collect();
            let is_refused =
                now.split_once(&format!("{command}`")).is_some_and(|(_, rest)| rest.starts_with(", refused: "));
            // What is accepted is not carried out.
            let answer = answer(folder.path(), &if is_refused { words } else { [&words[..], &["--help"]].concat() });
            let text = String::from_utf8(answer.stderr).unwrap();
            assert_eq!(answer.status.code(), Some(if is_refused { 2 } else { 0 }), "{then}: {command}\n{text}");
            if is_refused {
                refused.push(format!("{command}\n{text}"));
            }
        }
    }
    assert!(commands > 40, "{commands} commands");
    insta::assert_snapshot!(refused.join("\n"));
}

/// What is well-formed may still be refused for what it lacks. A cluster that does not answer ends everything but `run`,
/// which waits for it.
#[test]
fn no_command_that_is_accepted_lacks_an_argument() {
    let page = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/older-names.md")).unwrap();
    let mut commands = 0;
    for [then, now, _] in &rows(&page) {
        for command in code(now).into_iter().filter_map(|code| code.strip_prefix("kubectl guard ")) {
            let is_refused = now.contains(&format!("{command}`, refused: "));
            if is_refused || command.split(' ').next() == Some("run") {
                continue;
            }
            commands += 1;
            let folder = tempfile::tempdir().unwrap();
            let words: Vec<&str> = ["--server=http://127.0.0.1:1"].into_iter().chain(command.split(' ')).collect();
            let answer = answer(folder.path(), &words);
            let text = String::from_utf8(answer.stderr).unwrap();
            assert!(answer.status.code().is_some_and(|code| code != 2), "{then}: {command}\n{text}");
        }
    }
    assert!(commands > 20, "{commands} commands");
}

#[test]
fn every_test_that_shows_it_is_there() {
    let page = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/older-names.md")).unwrap();
    let mut there = Vec::new();
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    for folder in ["kubectl-guard", "guard-exporter", "models", "tests"] {
        functions(&root.join(folder), &mut there);
    }
    for [then, _, tests] in rows(&page) {
        let named = code(&tests);
        assert!(!named.is_empty(), "{then}: nothing shows it");
        for test in named {
            assert!(there.iter().any(|name| name == test), "{then}: there is no test {test}");
        }
    }
}
