//! Has the linker pack the addresses that a static program corrects when it starts: a mebibyte less to ship, and to hold in
//! memory. The plugin is built with this too.

use std::env;
use std::process::Command;

/// glibc corrects packed addresses since 2.36. A static program has the one of the machine that built it; a dynamic one may
/// meet an older one anywhere.
const GLIBC: (u32, u32) = (2, 36);

fn main() {
    // Nothing else but what cargo looks at by itself: without a word it would run with each change of a file.
    println!("cargo::rerun-if-env-changed=CARGO_ENCODED_RUSTFLAGS");
    let has = |name: &str, wanted: &str| env::var(name).is_ok_and(|value| value.split(',').any(|part| part == wanted));
    let is_static = has("CARGO_CFG_TARGET_OS", "linux")
        && has("CARGO_CFG_TARGET_ENV", "gnu")
        && has("CARGO_CFG_TARGET_FEATURE", "crt-static");
    let is_for_here = env::var("HOST") == env::var("TARGET");
    if is_static && is_for_here && glibc().is_some_and(|version| version >= GLIBC) {
        println!("cargo::rustc-link-arg-bins=-Wl,-z,pack-relative-relocs");
    }
}

/// The version of this machine's.
fn glibc() -> Option<(u32, u32)> {
    let told = Command::new("getconf").arg("GNU_LIBC_VERSION").output().ok()?;
    let told = String::from_utf8(told.stdout).ok()?;
    let (major, minor) = told.trim().strip_prefix("glibc ")?.split_once('.')?;
    Some((major.parse().ok()?, minor.split('.').next()?.parse().ok()?))
}
