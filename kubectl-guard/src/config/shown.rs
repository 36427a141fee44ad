//! What may be shown of a setting: whoever reads a log, or the output of a command, is not told a secret. Pure.

use http::Uri;
use serde_json::{Value, json};

use super::schema::{Kind, SETTINGS};

/// Stands for what is left out.
const LEFT_OUT: &str = "...";

/// The value as it may be shown, and whether something of it is left out: of every address the name and the password, and of
/// those that are told of incidents all but the host, for many a webhook is secret by its path.
pub(super) fn shown(key: &str, value: &Value) -> (Value, bool) {
    let is_address = SETTINGS.iter().any(|setting| setting.key == key && matches!(setting.kind, Kind::Url));
    match value.as_str().filter(|_| is_address).and_then(|url| brief(url, key.starts_with("notices."))) {
        Some(brief) => (json!(brief), true),
        None => (value.clone(), false),
    }
}

/// The address without what could be secret; `None` if it holds nothing of that kind.
fn brief(url: &str, by_path: bool) -> Option<String> {
    let Ok(uri) = url.parse::<Uri>() else { return Some(LEFT_OUT.to_owned()) };
    let (authority, scheme) = (uri.authority().map_or("", |all| all.as_str()), uri.scheme_str().unwrap_or_default());
    let (user, host) = authority.rsplit_once('@').unwrap_or(("", authority));
    let path = uri.path().trim_end_matches('/');
    let hidden = uri.query().is_some() || (by_path && !path.is_empty());
    match (user, hidden) {
        ("", false) => None,
        (_, true) if by_path => Some(format!("{scheme}://{host}/{LEFT_OUT}")),
        (_, true) => Some(format!("{scheme}://{host}{path}?{LEFT_OUT}")),
        (_, false) => Some(format!("{scheme}://{host}{path}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_shown_without_what_could_be_secret() {
        let shown = |key: &str, url: &str| shown(key, &json!(url)).0;
        for key in ["notices.webhook_url", "notices.alertmanager_url"] {
            assert_eq!(
                shown(key, "https://hooks.example.org:8443/T0/s3cret?k=v"),
                "https://hooks.example.org:8443/..."
            );
            assert_eq!(shown(key, "https://u:s3cret@hooks.example.org"), "https://hooks.example.org");
            assert_eq!(shown(key, "http://localhost:9093"), "http://localhost:9093");
        }
        for key in ["llm.url", "dataset_generator.prometheus_url"] {
            assert_eq!(shown(key, "https://u:s3cret@example.org/v1?key=s3cret"), "https://example.org/v1?...");
            assert_eq!(shown(key, "https://example.org/v1"), "https://example.org/v1");
        }
        assert_eq!(shown("agents.output_file", "https://u:p@x/y"), "https://u:p@x/y", "it is no address");
    }
}
