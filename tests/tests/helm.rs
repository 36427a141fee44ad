//! The chart of `manifests/helm` makes the objects of `manifests/` and takes the choices of `kubectl guard install`: all
//! three are rendered and compared.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use anyhow::{Context, Result, ensure};
use guard_tests::readme;
use serde::Deserialize as _;
use serde_json::{Value, json};

fn manifests() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../manifests")
}

fn tool(name: &str) -> Result<PathBuf> {
    Ok(Path::new(&std::env::var("GUARD_E2E_BIN").context("GUARD_E2E_BIN is not set: use tests/run")?).join(name))
}

fn text(output: Output) -> Result<String> {
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    ensure!(output.status.success(), "{said}");
    Ok(String::from_utf8(output.stdout)?)
}

/// The objects of a stream of YAML by kind and name, and their number: none may hide another.
fn objects(yaml: &str) -> Result<BTreeMap<String, Value>> {
    let mut found = BTreeMap::new();
    for document in serde_norway::Deserializer::from_str(yaml) {
        let object = Value::deserialize(document)?;
        if object.is_null() {
            continue;
        }
        let name = format!("{}/{}", object["kind"], object["metadata"]["name"]);
        ensure!(found.insert(name.clone(), object).is_none(), "{name} is there twice");
    }
    Ok(found)
}

fn chart(values: &[&str]) -> Result<String> {
    let chart = manifests().join("helm/guard-exporter");
    let mut helm = Command::new(tool("helm")?);
    helm.args(["template", "any-release", "--namespace", "guard-system"]).arg(chart);
    text(helm.args(values.iter().flat_map(|value| ["--set-json", value])).output()?)
}

fn install(words: &[&str]) -> Result<String> {
    let built = std::env::var("GUARD_E2E_GUARD").context("GUARD_E2E_GUARD is not set: use tests/run")?;
    let mut install = Command::new(Path::new(&built).join("kubectl-guard"));
    text(install.args(["install", "-o", "yaml"]).args(words).output()?)
}

/// Helm makes the namespace that it installs into by itself, or takes one that is there.
fn without_namespace(mut objects: BTreeMap<String, Value>) -> BTreeMap<String, Value> {
    objects.retain(|_, object| object["kind"] != "Namespace");
    objects
}

/// Names the objects that differ, and how: all of them at once are too much to read.
fn ensure_same(left: &BTreeMap<String, Value>, right: &BTreeMap<String, Value>) -> Result<()> {
    ensure!(left.keys().eq(right.keys()), "{:?}\n{:?}", left.keys(), right.keys());
    for (name, object) in left {
        let (left, right) = (serde_norway::to_string(object)?, serde_norway::to_string(&right[name])?);
        let strange: Vec<&str> = left.lines().filter(|line| !right.lines().any(|other| other == *line)).collect();
        ensure!(left == right, "{name}: {strange:#?} are not in\n{right}");
    }
    Ok(())
}

fn kustomize(folder: &Path) -> Result<BTreeMap<String, Value>> {
    objects(&text(Command::new(tool("kubectl")?).arg("kustomize").arg(folder).output()?)?)
}

#[test]
#[ignore = "needs helm and kubectl: tests/run runs it"]
fn the_chart_the_kustomization_and_install_make_the_same_objects() -> Result<()> {
    let chart = objects(&chart(&["certificate=false"])?)?;
    ensure_same(&chart, &without_namespace(kustomize(&manifests())?))?;
    ensure_same(&chart, &without_namespace(objects(&install(&[])?)?))
}

#[test]
#[ignore = "needs helm and kubectl: tests/run runs it"]
fn the_charts_values_are_the_choices_of_install() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let authority = folder.path().join("ca.crt");
    let pem = "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n";
    fs::write(&authority, pem)?;
    let authority = authority.to_string_lossy();
    let pem = format!("kubeletCA={}", Value::from(pem));
    let cases: [(&[&str], &[&str]); 3] = [
        (
            &[
                r#"image="registry.example.org/guard:1@sha256:0""#,
                r#"imagePullSecret="pull""#,
                r#"imagePullPolicy="Always""#,
            ],
            &[
                "--image=registry.example.org/guard:1@sha256:0",
                "--image-pull-secret=pull",
                "--image-pull-policy=Always",
            ],
        ),
        (&[r#"interval="30s""#, "kubeletInsecureTLS=true"], &["--interval=30s", "--kubelet-insecure-tls"]),
        (&[&pem], &["--kubelet-ca", &authority]),
    ];
    for (values, words) in cases {
        let chart = chart(&[values, &["certificate=false"]].concat())?;
        ensure_same(&objects(&chart)?, &without_namespace(objects(&install(words)?)?))?;
    }
    Ok(())
}

#[test]
#[ignore = "needs helm and kubectl: tests/run runs it"]
fn other_settings_and_their_files_stand_behind_what_install_makes() -> Result<()> {
    let chart = objects(&chart(&[
        "certificate=false",
        r#"env={"ANOMALY_THRESHOLD": 0.8, "MODEL_PATH": "/etc/guard/own/own.onnx"}"#,
        r#"extraVolumes=[{"name": "own", "configMap": {"name": "guard-own-model"}}]"#,
        r#"extraVolumeMounts=[{"name": "own", "mountPath": "/etc/guard/own"}]"#,
    ])?)?;
    let mut wanted = without_namespace(objects(&install(&[])?)?);
    let pod = wanted.values_mut().find(|object| object["kind"] == "DaemonSet").context("no DaemonSet")?;
    let pod = &mut pod["spec"]["template"]["spec"];
    let mut add = |pointer: &str, items: Value| -> Result<()> {
        let list = pod.pointer_mut(pointer).and_then(Value::as_array_mut).context("no list")?;
        list.extend(items.as_array().into_iter().flatten().cloned());
        Ok(())
    };
    add(
        "/containers/0/env",
        json!([{"name": "ANOMALY_THRESHOLD", "value": "0.8"}, {"name": "MODEL_PATH", "value": "/etc/guard/own/own.onnx"}]),
    )?;
    add("/containers/0/volumeMounts", json!([{"name": "own", "mountPath": "/etc/guard/own"}]))?;
    add("/volumes", json!([{"name": "own", "configMap": {"name": "guard-own-model"}}]))?;
    ensure_same(&chart, &wanted)
}

#[test]
#[ignore = "needs helm and kubectl: tests/run runs it"]
fn the_readmes_kustomization_is_a_choice_of_install() -> Result<()> {
    let folder = tempfile::tempdir()?;
    std::os::unix::fs::symlink(fs::canonicalize(manifests())?, folder.path().join("manifests"))?;
    let own = folder.path().join("own");
    fs::create_dir(&own)?;
    fs::write(own.join("kustomization.yaml"), readme::blocks("Install", "yaml")?.concat())?;
    ensure_same(&kustomize(&own)?, &objects(&install(&["--kubelet-insecure-tls", "--image", readme::IMAGE])?)?)
}

#[test]
#[ignore = "needs helm and kubectl: tests/run runs it"]
fn a_chart_that_could_not_work_is_refused_with_the_reason() -> Result<()> {
    let refused = |values: &[&str]| chart(values).err().map(|error| error.to_string()).unwrap_or_default();
    assert!(refused(&[r#"interval="90s""#]).contains("interval"));
    assert!(refused(&[r#"intervall="30s""#]).contains("intervall"));
    assert!(refused(&[r#"kubeletCA="no PEM""#]).contains("kubeletCA"));
    assert!(refused(&[r#"env={"GUARD_INTERVAL": "5s"}"#]).contains("GUARD_INTERVAL"), "it has a value of its own");
    let both = refused(&[r#"kubeletCA="-----BEGIN CERTIFICATE-----""#, "kubeletInsecureTLS=true"]);
    assert!(both.contains("exclude each other"), "{both}");
    let mut elsewhere = Command::new(tool("helm")?);
    let output = elsewhere.arg("template").arg(manifests().join("helm/guard-exporter")).output()?;
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success() && said.contains("--namespace guard-system"), "{said}");
    Ok(())
}
