//! Container images without Docker: one static binary in an OCI archive that `ctr images import` takes.

use std::fs::{self, File};
use std::io::Write;
use std::path::Path;

use anyhow::{Context, Result};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

/// Writes the archive `out` of an image that holds `binary` as its only file and entry point.
///
/// # Errors
/// If a file cannot be read or written.
pub fn save(name: &str, binary: &Path, out: &Path) -> Result<()> {
    let program = binary.file_name().context("the binary has no name")?.to_string_lossy().into_owned();
    save_as(name, binary, &program, out)
}

/// The same, with the binary at the place `program` of the image.
///
/// # Errors
/// If a file cannot be read or written.
pub fn save_as(name: &str, binary: &Path, program: &str, out: &Path) -> Result<()> {
    let layer = layer(program, binary)?;
    let config = json!({
        "architecture": architecture(), "os": "linux",
        "config": {"Entrypoint": [format!("/{program}")], "User": "65532:65532"},
        "rootfs": {"type": "layers", "diff_ids": [digest(&layer)]},
    })
    .to_string()
    .into_bytes();
    let manifest = json!({
        "schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": descriptor("application/vnd.oci.image.config.v1+json", &config),
        "layers": [descriptor("application/vnd.oci.image.layer.v1.tar", &layer)],
    })
    .to_string()
    .into_bytes();
    let mut entry = descriptor("application/vnd.oci.image.manifest.v1+json", &manifest);
    entry["annotations"] = json!({"io.containerd.image.name": name});
    let index = json!({"schemaVersion": 2, "manifests": [entry]}).to_string();

    let mut archive = tar::Builder::new(File::create(out)?);
    add(&mut archive, "oci-layout", br#"{"imageLayoutVersion":"1.0.0"}"#, 0o644)?;
    add(&mut archive, "index.json", index.as_bytes(), 0o644)?;
    for blob in [&layer, &config, &manifest] {
        add(&mut archive, &format!("blobs/sha256/{}", hex(blob)), blob, 0o644)?;
    }
    archive.finish()?;
    Ok(())
}

/// The one layer: the program, and a world-writable /tmp as every image has.
fn layer(program: &str, binary: &Path) -> Result<Vec<u8>> {
    let bytes = fs::read(binary).with_context(|| format!("reading {}", binary.display()))?;
    let mut archive = tar::Builder::new(Vec::new());
    add(&mut archive, program, &bytes, 0o755)?;
    let mut folder = header(0, 0o1777);
    folder.set_entry_type(tar::EntryType::Directory);
    archive.append_data(&mut folder, "tmp/", std::io::empty())?;
    Ok(archive.into_inner()?)
}

fn add(archive: &mut tar::Builder<impl Write>, name: &str, bytes: &[u8], mode: u32) -> Result<()> {
    Ok(archive.append_data(&mut header(bytes.len() as u64, mode), name, bytes)?)
}

fn header(size: u64, mode: u32) -> tar::Header {
    let mut header = tar::Header::new_gnu();
    header.set_size(size);
    header.set_mode(mode);
    header
}

fn descriptor(media_type: &str, blob: &[u8]) -> Value {
    json!({"mediaType": media_type, "digest": digest(blob), "size": blob.len()})
}

fn digest(blob: &[u8]) -> String {
    format!("sha256:{}", hex(blob))
}

fn hex(blob: &[u8]) -> String {
    format!("{:x}", Sha256::digest(blob))
}

/// Go's name of this machine's architecture.
fn architecture() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_image_is_the_same_for_the_same_binary() {
        let folder = tempfile::tempdir().unwrap();
        let binary = folder.path().join("work");
        fs::write(&binary, b"\x7fELF").unwrap();
        save("guard.test/work:1", &binary, &folder.path().join("a")).unwrap();
        save("guard.test/work:1", &binary, &folder.path().join("b")).unwrap();
        assert_eq!(fs::read(folder.path().join("a")).unwrap(), fs::read(folder.path().join("b")).unwrap());
    }

    #[test]
    fn every_blob_lies_under_its_own_digest() {
        let folder = tempfile::tempdir().unwrap();
        let binary = folder.path().join("work");
        fs::write(&binary, b"\x7fELF").unwrap();
        let out = folder.path().join("image");
        save("guard.test/work:1", &binary, &out).unwrap();
        let mut archive = tar::Archive::new(File::open(out).unwrap());
        let mut blobs = 0;
        for entry in archive.entries().unwrap() {
            let mut entry = entry.unwrap();
            let path = entry.path().unwrap().to_string_lossy().into_owned();
            let Some(name) = path.strip_prefix("blobs/sha256/").map(str::to_owned) else { continue };
            let mut bytes = Vec::new();
            std::io::Read::read_to_end(&mut entry, &mut bytes).unwrap();
            assert_eq!(hex(&bytes), name);
            blobs += 1;
        }
        assert_eq!(blobs, 3);
    }
}
