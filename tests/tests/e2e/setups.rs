//! Set-ups that are wrong on the user's side: a clear word, the documented exit code, no panic.

use std::fs;

use anyhow::Result;
use guard_tests::cluster::Cluster;
use guard_tests::person::{Answer, Person};

fn refused(person: &Person, words: &[&str], code: i32, parts: &[&str]) -> Result<()> {
    let answer: Answer = person.guard(words)?;
    assert_eq!(answer.code, Some(code), "{words:?}: {answer:?}");
    assert!(!answer.err.contains("panicked") && !answer.err.contains("RUST_BACKTRACE"), "{}", answer.err);
    for part in parts {
        assert!(answer.err.contains(part), "{words:?} should say {part:?}: {}", answer.err);
    }
    assert!(answer.out.is_empty(), "{}", answer.out);
    Ok(())
}

pub(crate) fn a_broken_set_up_is_explained(cluster: &mut Cluster) -> Result<()> {
    let admin = cluster.admin();
    let folder = cluster.folder().join("setups");
    fs::create_dir_all(&folder)?;

    refused(&admin, &["status", "--context", "elsewhere"], 1, &["context \"elsewhere\"", "guard-e2e"])?;
    refused(&admin.clone().with_kubeconfig(&folder.join("none")), &["status"], 1, &["no kubeconfig", "none"])?;
    let garbage = folder.join("garbage");
    fs::write(&garbage, "clusters: [}")?;
    refused(&admin.clone().with_kubeconfig(&garbage), &["status"], 1, &["garbage"])?;
    // A folder stands for a file that cannot be read: root reads everything else.
    refused(&admin.clone().with_kubeconfig(&folder), &["status"], 1, &["kubeconfig"])?;

    let closed = folder.join("closed");
    fs::write(&closed, fs::read_to_string(admin.kubeconfig())?.replace(":6443", ":6444"))?;
    refused(&admin.clone().with_kubeconfig(&closed), &["status"], 1, &["no answer from https://10.99.0.1:6444"])?;

    // An empty item in NO_PROXY is no reason to fail, and no reason to ask the proxy.
    let proxied = admin.with("HTTPS_PROXY", "http://127.0.0.1:9").with("NO_PROXY", "10.99.0.1,");
    let answer = proxied.guard(&["status", "-A"])?;
    assert_eq!(answer.code, Some(0), "{answer:?}");
    let elsewhere = cluster.admin().with("HTTPS_PROXY", "http://127.0.0.1:9").with("NO_PROXY", "a,");
    refused(&elsewhere, &["status", "-A"], 1, &["no answer from https://10.99.0.1:6443"])
}
