//! kubectl's own examples of templates and columns, and what is no template.

use serde_json::json;

use super::*;

/// The document of kubectl's page on JSONPath.
fn cluster() -> Value {
    json!({
        "kind": "List",
        "items": [
            {"kind": "None", "metadata": {"name": "127.0.0.1", "labels": {"kubernetes.io/hostname": "127.0.0.1"}},
             "status": {"capacity": {"cpu": "4"}, "addresses": [{"type": "LegacyHostIP", "address": "127.0.0.1"}]}},
            {"kind": "None", "metadata": {"name": "127.0.0.2", "labels": {"kubernetes.io/hostname": "127.0.0.2"}},
             "status": {"capacity": {"cpu": "8"}, "addresses": [
                {"type": "LegacyHostIP", "address": "127.0.0.2"}, {"type": "another", "address": "127.0.0.3"}]}},
        ],
        "users": [
            {"name": "myself", "user": {}},
            {"name": "e2e", "user": {"username": "admin", "password": "secret"}},
        ],
    })
}

/// Fails unless what the help offers finds something in this document and in its items.
pub(crate) fn examples_find_something(formats: Formats, document: &impl Serialize, items: &[Value]) {
    let mut seen = 0;
    for (name, help) in formats.0 {
        let Some((_, example)) = help.split_once("such as ") else { continue };
        let format = format!("{}={}", name.split('=').next().unwrap(), example.trim_matches('\''));
        let text = match formats.read(&format).unwrap() {
            Format::Machine(machine) => machine.write(document),
            Format::CustomColumns(columns) => columns.fill(items, false),
            _ => unreachable!("{format} has no example"),
        };
        assert!(!text.trim().is_empty() && !text.contains("<none>"), "{format}: {text}");
        seen += 1;
    }
    assert_eq!(seen, 2);
}

fn filled(template: &str) -> String {
    match Template::parse(template) {
        Ok(template) => template.fill(&cluster()),
        Err(error) => error.to_string(),
    }
}

#[test]
fn kubectls_examples_give_what_kubectl_gives() {
    for (template, expected) in [
        ("kind is {.kind}", "kind is List"),
        ("{.kind}", "List"),
        ("{['kind']}", "List"),
        ("{..name}", "127.0.0.1 127.0.0.2 myself e2e"),
        ("{.items[*].metadata.name}", "127.0.0.1 127.0.0.2"),
        ("{$.items[*].metadata.name}", "127.0.0.1 127.0.0.2"),
        ("{.users[0].name}", "myself"),
        ("{.users[-1:].name}", "e2e"),
        ("{.users[0:2].name}", "myself e2e"),
        ("{.items[*]['metadata.name', 'status.capacity']}", r#"127.0.0.1 127.0.0.2 {"cpu":"4"} {"cpu":"8"}"#),
        (r#"{.users[?(@.name=="e2e")].user.password}"#, "secret"),
        (
            "{range .items[*]}[{.metadata.name}, {.status.capacity}] {end}",
            r#"[127.0.0.1, {"cpu":"4"}] [127.0.0.2, {"cpu":"8"}] "#,
        ),
        (r#"{range .items[*]}{.metadata.name}{"\t"}{'\u00e9'}{"\n"}{end}"#, "127.0.0.1\té\n127.0.0.2\té\n"),
        (r"{.items[0].metadata.labels.kubernetes\.io/hostname}", "127.0.0.1"),
        (r"{.items[0].metadata.labels['kubernetes\.io/hostname']}", "127.0.0.1"),
        (r#"{.items[*].status.addresses[?(@.type=="LegacyHostIP")].address}"#, "127.0.0.1 127.0.0.2"),
        (r#"{.items[?(@.metadata.labels.kubernetes\.io/hostname=="127.0.0.2")].status.capacity.cpu}"#, "8"),
        (
            "{range .items[*]}{range .status.addresses[*]}{.address};{end}{$.kind} {end}",
            "127.0.0.1;List 127.0.0.2;127.0.0.3;List ",
        ),
        ("{ .kind }", "List"),
        ("{@.kind}", "List"),
        ("{.users[?(@.user.username)].name}", "e2e"),
    ] {
        assert_eq!(filled(template), expected, "{template}");
    }
}

#[test]
fn a_path_alone_may_leave_out_braces_and_dot() {
    for template in ["{.users[0].name}", "{users[0].name}", ".users[0].name", "users[0].name", "$.users[0].name"] {
        assert_eq!(filled(template), "myself", "{template}");
    }
}

#[test]
fn what_is_missing_or_not_known_prints_nothing() {
    for template in ["{.nothing}", "{.kind.x.y}", "{.users[7].name}", "{.items[?(@.x>3)].kind}", "{range .no[*]}x{end}"]
    {
        assert_eq!(filled(template), "", "{template}");
    }
    assert_eq!(Template::parse("<{.since}>").unwrap().fill(&json!({ "since": null })), "<>");
}

#[test]
fn a_mistake_is_named_with_its_place() {
    let mistakes = [
        "",
        "{",
        "a{.b",
        "{}",
        "{end}",
        "x{range .a}{.b}",
        "{range .a}{.b}{range .c}{end}",
        "{.a[}",
        "{.a[x]}",
        "{.a[]}",
        "{.a..}",
        "{.a .b}",
        "{.a['b', c]}",
        "{.a['b}",
        "{\"x}",
        r#"{"\x"}"#,
        r#"{"a" .b}"#,
        "{.a[?(@.b==)]}",
        "{.a[?(@.b=='c']}",
        "{.a[?($.b==1)]}",
        "{.a[?(@.b=~'x')]}",
        "{.[?(@[?(@[?(@[?(@[?(@[?(@[?(@[?(@[?(@[?(@)])])])])])])])])])]}",
        "{.é.[}",
    ];
    let shown: Vec<String> = mistakes
        .iter()
        .map(|template| {
            format!("{template:<24} {}", Template::parse(template).map_or_else(|e| e.to_string(), |_| "taken".into()))
        })
        .collect();
    insta::assert_snapshot!(shown.join("\n"));
}

fn columns(spec: &str) -> String {
    match Columns::parse(spec) {
        Ok(columns) => columns.fill(cluster()["items"].as_array().unwrap(), false),
        Err(error) => error.to_string(),
    }
}

#[test]
fn columns_are_as_wide_as_they_must_be() {
    insta::assert_snapshot!(columns("NAME:.metadata.name,CPU:{.status.capacity.cpu},WHERE:status.addresses[*].address,NO:.nothing"), @r"
    NAME        CPU   WHERE                 NO
    127.0.0.1   4     127.0.0.1             <none>
    127.0.0.2   8     127.0.0.2,127.0.0.3   <none>
    ");
    let headless = Columns::parse("NAME:.metadata.name").unwrap().fill(cluster()["items"].as_array().unwrap(), true);
    assert_eq!(headless, "127.0.0.1\n127.0.0.2\n");
}

#[test]
fn a_mistake_in_the_columns_is_named_with_its_place() {
    for (spec, at) in [("", 1), ("NAME", 1), ("NAME:", 1), (":.a", 1), ("A:.a,B", 6), ("A:.a,B:.b[", 10), ("A:{.a", 3)]
    {
        let error = columns(spec);
        assert!(error.starts_with(&format!("at character {at}: ")), "{spec}: {error}");
    }
}

#[test]
fn cluster_text_cannot_move_the_cursor() {
    let document = json!({ "name": "a\u{1b}[2Jb", "list": ["c\u{9b}d"] });
    let shown = Template::parse("{.name} {.list}").unwrap().fill(&document);
    assert!(!shown.contains(['\u{1b}', '\u{9b}']), "{shown:?}");
}

#[test]
fn formats_that_are_not_there_are_told_with_those_that_are() {
    for (text, part) in [
        ("xml", "there are table, wide, json, yaml, name, jsonpath=TEMPLATE, custom-columns=SPEC"),
        ("jsonpath", "it is written jsonpath=TEMPLATE"),
        ("custom-columns", "it is written custom-columns=SPEC"),
        ("json=x", "json takes nothing"),
        ("jsonpath={.a", "jsonpath: at character 1: this { has no }"),
        ("JSON", "there is no such format"),
    ] {
        let error = Formats::OF_STATUS.read(text).unwrap_err();
        assert!(error.contains(part), "{text}: {error}");
    }
    assert!(Formats::OF_HISTORY.read("wide").is_err());
}

proptest::proptest! {
    #[test]
    fn no_template_makes_it_panic(template in r#"([{}\[\]().@$?*'"\\,:a-c é=<>&|0-9-]|range |end|\.\.){0,24}"#) {
        if let Ok(template) = Template::parse(&template) {
            template.fill(&cluster());
        }
        drop(Columns::parse(&template).map(|columns| columns.fill(&[cluster()], false)));
    }
}
