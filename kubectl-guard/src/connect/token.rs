//! The token of a kubeconfig's `tokenFile`, which others write anew while somebody watches.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use http::HeaderValue;

use super::foreign;
use crate::sanitise;

/// So long what was read holds; client-go's time.
const HOLDS: Duration = Duration::from_mins(1);

/// A file with a token, as it was last read.
#[derive(Clone)]
pub(super) struct TokenFile {
    path: PathBuf,
    known: Arc<Mutex<(Instant, HeaderValue)>>,
}

impl TokenFile {
    /// Reads it for the first time.
    ///
    /// # Errors
    /// In words, if it cannot be read, or holds nothing that a header takes.
    pub(super) fn open(path: &str) -> Result<Self, String> {
        let path = PathBuf::from(path);
        let known = Arc::new(Mutex::new((Instant::now(), read(&path)?)));
        Ok(Self { path, known })
    }

    /// The header that shows it, at most a minute old. As with client-go the last one stays if the file cannot be read:
    /// some take it away once it was.
    pub(super) fn header(&self, now: Instant) -> HeaderValue {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if now.saturating_duration_since(known.0) >= HOLDS {
            let header = read(&self.path).unwrap_or_else(|_| known.1.clone());
            *known = (now, header);
        }
        known.1.clone()
    }
}

/// What stands around a token is none of it: whoever writes one to a file ends the line.
fn read(path: &Path) -> Result<HeaderValue, String> {
    let named = |problem: &str| format!("the user's tokenFile {}: {problem}", sanitise::line(&path.to_string_lossy()));
    let text = std::fs::read_to_string(path).map_err(|error| named(&error.to_string()))?;
    let token = Some(text.trim()).filter(|token| !token.is_empty()).ok_or_else(|| named("it is empty"))?;
    foreign::bearer(token).map_err(|problem| named(&format!("it {problem}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_read_anew_each_minute_and_what_cannot_be_read_leaves_the_last() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("token");
        std::fs::write(&path, "one\n").unwrap();
        let file = TokenFile::open(path.to_str().unwrap()).unwrap();
        let opened = Instant::now();
        let shown = |after: u64| file.header(opened + Duration::from_secs(after)).to_str().unwrap().to_owned();
        std::fs::write(&path, "two\r\n").unwrap();
        assert_eq!([shown(50), shown(61), shown(62)], ["Bearer one", "Bearer two", "Bearer two"]);
        for bad in ["", "\n", "th\nree"] {
            std::fs::write(&path, bad).unwrap();
            assert_eq!(shown(200), "Bearer two", "{bad:?}");
        }
        std::fs::remove_file(&path).unwrap();
        assert_eq!(shown(400), "Bearer two");
    }

    #[test]
    fn what_is_no_token_is_an_error_that_does_not_show_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("token");
        let problem = || TokenFile::open(path.to_str().unwrap()).err().unwrap();
        assert!(problem().contains("No such file"), "{}", problem());
        for bad in ["", " \n", "s3c\nret"] {
            std::fs::write(&path, bad).unwrap();
            assert!(problem().starts_with("the user's tokenFile ") && !problem().contains("s3c"), "{}", problem());
        }
    }
}
