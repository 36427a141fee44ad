//! Who may see the dashboard: request heads in, a verdict out. Pure.
//!
//! The printed URL holds a token that opens once. It is exchanged for a cookie that scripts cannot read and other sites
//! cannot send, and the browser goes on to a URL without it. `Host` is checked against DNS rebinding: a foreign name
//! that resolves to loopback is still a foreign name.

use std::sync::{Mutex, PoisonError};

use http::header::{COOKIE, HOST, ORIGIN};
use http::{HeaderMap, Method, StatusCode, Uri};
use sha2::{Digest, Sha256};

/// The cookie's name. Cookies know no ports, so that of the server is part of it.
const COOKIE_NAME: &str = "guard-session-";
/// The parameter of the URL that holds the token.
const PARAMETER: &str = "token=";

/// What becomes of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It may be answered.
    Pass,
    /// It brought the token: set this cookie, and go on to `/`.
    Enter {
        /// The value of `Set-Cookie`.
        cookie: String,
    },
    /// It is refused.
    Refuse(StatusCode, &'static str),
}

/// The two secrets of one server, and where it listens.
pub struct Gate {
    port: u16,
    /// Gone once it was used.
    token: Mutex<Option<String>>,
    session: String,
}

impl Gate {
    /// A gate for the server at `port`; `token` and `session` are unguessable and consist of letters and digits.
    pub fn new(port: u16, token: String, session: String) -> Self {
        Self { port, token: Mutex::new(Some(token)), session }
    }

    /// Judges the head of a request.
    pub fn judge(&self, method: &Method, uri: &Uri, headers: &HeaderMap) -> Verdict {
        if method != Method::GET {
            return Verdict::Refuse(StatusCode::METHOD_NOT_ALLOWED, "this dashboard only shows: GET alone is answered");
        }
        if !self.is_ours(headers) {
            return Verdict::Refuse(StatusCode::MISDIRECTED_REQUEST, "open the dashboard at the URL that was printed");
        }
        if !self.is_of_our_page(headers) {
            return Verdict::Refuse(StatusCode::FORBIDDEN, "another site may not ask");
        }
        match uri.query().and_then(|query| query.strip_prefix(PARAMETER)) {
            Some(token) if uri.path() == "/" && self.redeem(token) => Verdict::Enter { cookie: self.cookie() },
            _ if self.has_session(headers) => Verdict::Pass,
            Some(_) => Verdict::Refuse(StatusCode::UNAUTHORIZED, "this URL was used already, or is not of this server"),
            None => Verdict::Refuse(StatusCode::UNAUTHORIZED, "open the dashboard at the URL that was printed"),
        }
    }

    /// Exactly one `Host`, and it is loopback at our port.
    fn is_ours(&self, headers: &HeaderMap) -> bool {
        let mut hosts = headers.get_all(HOST).iter();
        let (Some(host), None) = (hosts.next(), hosts.next()) else { return false };
        self.hosts().iter().any(|ours| host.as_bytes().eq_ignore_ascii_case(ours.as_bytes()))
    }

    /// No page asks, or our own does. A browser says whence a request comes; whoever is no browser needs the cookie.
    fn is_of_our_page(&self, headers: &HeaderMap) -> bool {
        let origin = headers.get_all(ORIGIN).iter().all(|origin| {
            let host = origin.as_bytes().strip_prefix(b"http://");
            host.is_some_and(|host| self.hosts().iter().any(|ours| host == ours.as_bytes()))
        });
        let site =
            headers.get_all("sec-fetch-site").iter().all(|site| matches!(site.as_bytes(), b"none" | b"same-origin"));
        origin && site
    }

    fn hosts(&self) -> [String; 2] {
        ["127.0.0.1", "localhost"].map(|host| format!("{host}:{}", self.port))
    }

    /// True for the token, and only once.
    fn redeem(&self, given: &str) -> bool {
        let mut token = self.token.lock().unwrap_or_else(PoisonError::into_inner);
        let right = token.as_ref().is_some_and(|token| same(token, given));
        if right {
            *token = None;
        }
        right
    }

    fn has_session(&self, headers: &HeaderMap) -> bool {
        let name = format!("{COOKIE_NAME}{}=", self.port);
        let texts = headers.get_all(COOKIE).iter().filter_map(|value| value.to_str().ok());
        let mut values = texts.flat_map(|text| text.split(';')).filter_map(|pair| pair.trim().strip_prefix(&name));
        values.any(|value| same(&self.session, value))
    }

    fn cookie(&self) -> String {
        format!("{COOKIE_NAME}{}={}; Path=/; HttpOnly; SameSite=Strict", self.port, self.session)
    }
}

/// Compares digests, so that the time it takes tells nothing of the secret.
fn same(secret: &str, given: &str) -> bool {
    Sha256::digest(secret) == Sha256::digest(given)
}

#[cfg(test)]
mod tests {
    use super::*;

    const COOKIE_OF_US: (&str, &str) = ("cookie", "a=b; guard-session-5000=session");
    const HOST_OF_US: (&str, &str) = ("host", "127.0.0.1:5000");

    fn gate() -> Gate {
        Gate::new(5000, "token".into(), "session".into())
    }

    fn judge(gate: &Gate, method: &Method, path: &str, headers: &[(&str, &str)]) -> Verdict {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(http::HeaderName::from_bytes(name.as_bytes()).unwrap(), value.parse().unwrap());
        }
        gate.judge(method, &path.parse().unwrap(), &map)
    }

    fn code(headers: &[(&str, &str)]) -> u16 {
        match judge(&gate(), &Method::GET, "/api/fleet", headers) {
            Verdict::Refuse(code, _) => code.as_u16(),
            Verdict::Pass => 200,
            Verdict::Enter { .. } => 303,
        }
    }

    #[test]
    fn the_token_opens_once_and_its_cookie_goes_on() {
        let gate = gate();
        let entered = judge(&gate, &Method::GET, "/?token=token", &[HOST_OF_US]);
        let cookie = "guard-session-5000=session; Path=/; HttpOnly; SameSite=Strict".to_owned();
        assert_eq!(entered, Verdict::Enter { cookie });
        let again = judge(&gate, &Method::GET, "/?token=token", &[HOST_OF_US]);
        assert!(matches!(again, Verdict::Refuse(StatusCode::UNAUTHORIZED, _)), "{again:?}");
        assert_eq!(judge(&gate, &Method::GET, "/", &[HOST_OF_US, COOKIE_OF_US]), Verdict::Pass);
    }

    #[test]
    fn a_wrong_token_does_not_spend_the_right_one() {
        let gate = gate();
        for path in ["/?token=", "/?token=tokens", "/?token=session", "/api/fleet?token=token", "/?x=1&token=token"] {
            let verdict = judge(&gate, &Method::GET, path, &[HOST_OF_US]);
            assert!(matches!(verdict, Verdict::Refuse(StatusCode::UNAUTHORIZED, _)), "{path}: {verdict:?}");
        }
        assert!(matches!(judge(&gate, &Method::GET, "/?token=token", &[HOST_OF_US]), Verdict::Enter { .. }));
    }

    #[test]
    fn a_host_that_is_not_loopback_at_our_port_is_refused() {
        for (host, expected) in [
            ("127.0.0.1:5000", 200),
            ("LOCALHOST:5000", 200),
            ("127.0.0.1", 421),
            ("127.0.0.1:5001", 421),
            ("evil.example:5000", 421),
            ("127.0.0.1.evil.example:5000", 421),
            ("localhost.:5000", 421),
            ("", 421),
        ] {
            assert_eq!(code(&[("host", host), COOKIE_OF_US]), expected, "{host:?}");
        }
        assert_eq!(code(&[COOKIE_OF_US]), 421, "no Host at all");
        assert_eq!(code(&[HOST_OF_US, HOST_OF_US, COOKIE_OF_US]), 421, "two of them");
    }

    #[test]
    fn another_site_is_refused_even_with_the_cookie() {
        for (name, value, expected) in [
            ("origin", "http://127.0.0.1:5000", 200),
            ("origin", "http://localhost:5000", 200),
            ("origin", "https://127.0.0.1:5000", 403),
            ("origin", "http://127.0.0.1:5001", 403),
            ("origin", "http://evil.example", 403),
            ("origin", "null", 403),
            ("sec-fetch-site", "same-origin", 200),
            ("sec-fetch-site", "none", 200),
            ("sec-fetch-site", "same-site", 403),
            ("sec-fetch-site", "cross-site", 403),
        ] {
            assert_eq!(code(&[HOST_OF_US, COOKIE_OF_US, (name, value)]), expected, "{name}: {value}");
        }
    }

    #[test]
    fn without_the_right_cookie_nothing_is_shown() {
        for cookie in [
            "",
            "guard-session-5000=",
            "guard-session-5000=token",
            "guard-session-5000=session2",
            "guard-session-5001=session",
            "xguard-session-5000=session",
        ] {
            assert_eq!(code(&[HOST_OF_US, ("cookie", cookie)]), 401, "{cookie:?}");
        }
        assert_eq!(code(&[HOST_OF_US]), 401);
    }

    #[test]
    fn only_get_is_answered() {
        for method in [Method::POST, Method::PUT, Method::DELETE, Method::OPTIONS, Method::HEAD, Method::CONNECT] {
            let verdict = judge(&gate(), &method, "/", &[HOST_OF_US, COOKIE_OF_US]);
            assert!(matches!(verdict, Verdict::Refuse(StatusCode::METHOD_NOT_ALLOWED, _)), "{method}: {verdict:?}");
        }
    }
}
