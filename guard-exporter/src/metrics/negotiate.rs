//! Which format and which packing a scraper asks for, from its `Accept` and `Accept-Encoding`. Pure.

use hyper::header::{ACCEPT, ACCEPT_ENCODING, HeaderMap, HeaderName};

/// A text format of series.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// Prometheus' own, 0.0.4.
    Text,
    /// OpenMetrics 1.0.
    OpenMetrics,
}

impl Format {
    /// The type of the body, as Prometheus 3 insists on it.
    pub fn content_type(self) -> &'static str {
        match self {
            Self::Text => "text/plain; version=0.0.4; charset=utf-8",
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
        }
    }

    /// What the scraper likes best of the two. OpenMetrics must be named; whoever names nothing that we have, and whoever
    /// says nothing, gets the plain text that everything reads.
    pub fn preferred(headers: &HeaderMap) -> Self {
        let (mut open, mut text) = (0.0_f64, 0.0_f64);
        for (range, weight) in weighted(headers, &ACCEPT) {
            let mut parts = range.split(';').map(str::trim);
            let name = parts.next().unwrap_or_default().to_ascii_lowercase();
            let version = parts.find_map(|part| part.strip_prefix("version=")).map(|value| value.trim_matches('"'));
            match (name.as_str(), version) {
                ("application/openmetrics-text", None | Some("1.0.0")) => open = open.max(weight),
                ("text/plain", None | Some("0.0.4")) | ("text/*" | "*/*", _) => text = text.max(weight),
                _ => {}
            }
        }
        if open > 0.0 && open >= text { Self::OpenMetrics } else { Self::Text }
    }
}

/// True if the scraper takes gzip.
pub fn takes_gzip(headers: &HeaderMap) -> bool {
    let named = |wanted: &str| {
        let mut found = weighted(headers, &ACCEPT_ENCODING);
        found.find(|(name, _)| name.split(';').next().is_some_and(|name| name.trim().eq_ignore_ascii_case(wanted)))
    };
    named("gzip").or_else(|| named("*")).is_some_and(|(_, weight)| weight > 0.0)
}

/// The items of a list header, each with its `q`.
fn weighted<'a>(headers: &'a HeaderMap, name: &HeaderName) -> impl Iterator<Item = (&'a str, f64)> + use<'a> {
    let values = headers.get_all(name).iter().filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split(',')).map(|item| {
        let weight = item.split(';').skip(1).find_map(|part| part.trim().strip_prefix("q="));
        (item.trim(), weight.map_or(1.0, |weight| weight.parse().unwrap_or(0.0)))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(name: HeaderName, value: &str) -> HeaderMap {
        HeaderMap::from_iter([(name, value.parse().unwrap())])
    }

    #[test]
    fn each_scraper_gets_the_format_that_it_likes_best() {
        let prometheus_3 = "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,\
             application/openmetrics-text;version=0.0.1;q=0.5,text/plain;version=1.0.0;escaping=allow-utf-8;q=0.4,\
             text/plain;version=0.0.4;q=0.3,*/*;q=0.2";
        let cases = [
            (prometheus_3, Format::OpenMetrics),
            ("application/openmetrics-text", Format::OpenMetrics),
            ("application/openmetrics-text; version=\"1.0.0\"; q=0.5, text/plain; q=0.5", Format::OpenMetrics),
            ("application/openmetrics-text;version=1.0.0;q=0.2,text/plain;version=0.0.4;q=0.3", Format::Text),
            ("application/openmetrics-text;q=0", Format::Text),
            ("application/openmetrics-text;version=2.0.0", Format::Text),
            ("application/vnd.google.protobuf;q=0.9,text/plain;version=0.0.4;q=0.3", Format::Text),
            ("text/html,*/*;q=0.8", Format::Text),
            (";;q=,,=", Format::Text),
            ("", Format::Text),
        ];
        for (accept, format) in cases {
            assert_eq!(Format::preferred(&headers(ACCEPT, accept)), format, "{accept}");
        }
        assert_eq!(Format::preferred(&HeaderMap::new()), Format::Text);
    }

    #[test]
    fn only_who_takes_gzip_gets_it() {
        for yes in ["gzip", "GZIP;q=0.5", "br, gzip", "*", "deflate,*;q=0.1"] {
            assert!(takes_gzip(&headers(ACCEPT_ENCODING, yes)), "{yes}");
        }
        for no in ["", "identity", "gzip;q=0", "gzip;q=0,*", "br", "xgzip", "gzip;q=x"] {
            assert!(!takes_gzip(&headers(ACCEPT_ENCODING, no)), "{no}");
        }
        assert!(!takes_gzip(&HeaderMap::new()));
    }
}
