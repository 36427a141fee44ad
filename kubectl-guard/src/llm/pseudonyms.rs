//! Stable pseudonyms for names: the same name is the same pseudonym tomorrow, and only this machine can tell which it is.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;

use rcgen::KeyPair;
use sha2::{Digest as _, Sha256};

/// Bytes of the secret that pseudonyms are made with.
const KEY: usize = 32;
/// Hex digits of a pseudonym.
const DIGITS: usize = 8;

/// The secret, and the names that have got a pseudonym.
pub struct Pseudonyms {
    key: [u8; KEY],
    names: BTreeMap<String, String>,
}

impl Pseudonyms {
    /// With the secret of the file, which is made if there is none; with one for this process alone if that fails.
    pub fn at(file: Option<&Path>) -> Self {
        let kept = file.and_then(|file| read(file).or_else(|_| make(file)).ok());
        Self { key: kept.unwrap_or_else(random), names: BTreeMap::new() }
    }

    /// The pseudonym of a name.
    pub fn of(&mut self, kind: &str, name: &str) -> String {
        let digest = Sha256::new().chain_update(self.key).chain_update(kind).chain_update([0]).chain_update(name);
        let pseudonym = format!("{kind}-{}", &format!("{:x}", digest.finalize())[..DIGITS]);
        self.names.insert(pseudonym.clone(), name.to_owned());
        pseudonym
    }

    /// The text with names in place of their pseudonyms, for this machine's eyes.
    pub fn reveal(&self, text: &str) -> String {
        self.names.iter().fold(text.to_owned(), |text, (pseudonym, name)| text.replace(pseudonym, name))
    }
}

fn read(file: &Path) -> io::Result<[u8; KEY]> {
    std::fs::read(file)?.try_into().map_err(|_| io::ErrorKind::InvalidData.into())
}

/// Writes a fresh secret that only the user may read; not over one that another process has just made.
fn make(file: &Path) -> io::Result<[u8; KEY]> {
    use std::io::Write as _;
    if let Some(folder) = file.parent() {
        std::fs::create_dir_all(folder)?;
    }
    let key = random();
    let mut options = std::fs::OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(file)?.write_all(&key)?;
    Ok(key)
}

/// 32 bytes that nobody can guess. The key of a certificate holds as many from the system's source, and what makes one is in
/// the tree already.
fn random() -> [u8; KEY] {
    let secret = KeyPair::generate().map(|pair| pair.serialize_der()).unwrap_or_default();
    Sha256::digest(secret).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn they_are_stable_on_a_machine_and_unlike_on_another() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("guard").join("pseudonyms.key");
        let mut first = Pseudonyms::at(Some(&file));
        let name = first.of("pod", "cart-0");
        assert_eq!(Pseudonyms::at(Some(&file)).of("pod", "cart-0"), name);
        assert_ne!(first.of("pod", "cart-1"), name);
        assert_ne!(first.of("workload", "cart-0")[8..], name[3..]);
        assert_ne!(Pseudonyms::at(None).of("pod", "cart-0"), name);
        assert_eq!(first.reveal(&format!("{name} leaks")), "cart-0 leaks");
    }

    #[cfg(unix)]
    #[test]
    fn the_secret_is_the_users_alone() {
        use std::os::unix::fs::PermissionsExt as _;
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("pseudonyms.key");
        Pseudonyms::at(Some(&file));
        assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    }
}
