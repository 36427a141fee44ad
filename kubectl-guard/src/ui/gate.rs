//! Who may see the dashboard, and who may approve in it: request heads in, a verdict out. Pure.
//!
//! The printed URL holds a token that opens once. It is exchanged for a cookie that scripts cannot read and other sites
//! cannot send, and for a key that comes with the page and that its script sends with whatever it asks. A cookie alone would
//! not do: a browser hands it to every server of this machine, at whichever port (RFC 6265, 8.5), another user's too.
//! `Host` is checked against DNS rebinding: a foreign name
//! that resolves to loopback is still a foreign name.
//!
//! What is posted changes a cluster, so that nothing about it may be missing: a browser must say that it comes from this
//! very page (`Origin`, `Sec-Fetch-Site`), and it must be of a kind that no form of another site can send (JSON, with a
//! header of its own).

use std::sync::{Arc, Mutex, PoisonError};

use http::header::{CONTENT_TYPE, COOKIE, HOST, ORIGIN};
use http::{HeaderMap, HeaderName, Method, StatusCode, Uri};
use sha2::{Digest, Sha256};

/// The cookie's name. Cookies know no ports, so that of the server is part of it.
const COOKIE_NAME: &str = "guard-session-";
/// The parameter of the URL that holds the token.
const PARAMETER: &str = "token=";
/// What stands beneath it tells of the cluster.
const DATA: &str = "/api/";
/// Where something can be posted.
pub const POSTS: [&str; 2] = ["/api/approve", "/api/decline"];
/// The header with the key, which only a script of our own page sends.
const OF_OUR_SCRIPT: HeaderName = HeaderName::from_static("x-guard");

/// What becomes of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It may be answered.
    Pass,
    /// It brought the token: set this cookie, and give the page with its key.
    Enter {
        /// The value of `Set-Cookie`.
        cookie: String,
        /// What the page sends from then on.
        key: String,
    },
    /// It is refused.
    Refuse(StatusCode, &'static str),
}

/// The secrets of one server, and where it listens.
#[derive(Clone)]
pub struct Gate {
    port: u16,
    /// Gone once it was used, in each copy.
    token: Arc<Mutex<Option<String>>>,
    session: String,
    key: String,
    /// Something may be posted.
    takes_posts: bool,
}

impl Gate {
    /// A gate for the server at `port`; `token`, `session` and `key` are unguessable and consist of letters and digits.
    pub fn new(port: u16, token: String, session: String, key: String) -> Self {
        Self { port, token: Arc::new(Mutex::new(Some(token))), session, key, takes_posts: false }
    }

    /// The same gate, which also lets pass what is posted to [`POSTS`].
    #[must_use]
    pub fn taking_posts(self) -> Self {
        Self { takes_posts: true, ..self }
    }

    /// Judges the head of a request.
    pub fn judge(&self, method: &Method, uri: &Uri, headers: &HeaderMap) -> Verdict {
        let posted = self.takes_posts && method == Method::POST && POSTS.contains(&uri.path());
        if method != Method::GET && !posted {
            let words =
                if self.takes_posts { "not that way" } else { "this dashboard only shows: GET alone is answered" };
            return Verdict::Refuse(StatusCode::METHOD_NOT_ALLOWED, words);
        }
        if !self.is_ours(headers) {
            return Verdict::Refuse(StatusCode::MISDIRECTED_REQUEST, "open the dashboard at the URL that was printed");
        }
        if !self.is_of_our_page(headers) {
            return Verdict::Refuse(StatusCode::FORBIDDEN, "another site may not ask");
        }
        if posted {
            return self.judge_posted(uri, headers);
        }
        match uri.query().and_then(|query| query.strip_prefix(PARAMETER)) {
            Some(token) if uri.path() == "/" && self.redeem(token) => {
                Verdict::Enter { cookie: self.cookie(), key: self.key.clone() }
            }
            // The page itself tells nothing: without the key it says how to come in.
            _ if self.has_session(headers) && (!uri.path().starts_with(DATA) || self.has_key(headers)) => Verdict::Pass,
            _ if self.has_session(headers) => {
                Verdict::Refuse(StatusCode::UNAUTHORIZED, "this tab did not come in by the URL that was printed")
            }
            Some(_) => Verdict::Refuse(StatusCode::UNAUTHORIZED, "this URL was used already, or is not of this server"),
            None => Verdict::Refuse(StatusCode::UNAUTHORIZED, "open the dashboard at the URL that was printed"),
        }
    }

    /// What a read may leave out is needed here.
    fn judge_posted(&self, uri: &Uri, headers: &HeaderMap) -> Verdict {
        let from = only(headers, &ORIGIN).and_then(|origin| origin.strip_prefix(b"http://"));
        let site = only(headers, &HeaderName::from_static("sec-fetch-site"));
        if from.is_none() || from != only(headers, &HOST) || site != Some(b"same-origin") {
            return Verdict::Refuse(StatusCode::FORBIDDEN, "only the dashboard's own page may approve");
        }
        if !self.has_session(headers) {
            return Verdict::Refuse(StatusCode::UNAUTHORIZED, "open the dashboard at the URL that was printed");
        }
        if !self.has_key(headers) || uri.query().is_some() {
            return Verdict::Refuse(StatusCode::FORBIDDEN, "only the dashboard's own page may approve");
        }
        match only(headers, &CONTENT_TYPE) {
            Some(b"application/json") => Verdict::Pass,
            _ => Verdict::Refuse(StatusCode::UNSUPPORTED_MEDIA_TYPE, "JSON alone is read"),
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

    fn has_key(&self, headers: &HeaderMap) -> bool {
        let given = only(headers, &OF_OUR_SCRIPT).and_then(|value| std::str::from_utf8(value).ok());
        given.is_some_and(|given| same(&self.key, given))
    }

    fn cookie(&self) -> String {
        format!("{COOKIE_NAME}{}={}; Path=/; HttpOnly; SameSite=Strict", self.port, self.session)
    }
}

/// The value of a header that is there once.
fn only<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a [u8]> {
    let mut values = headers.get_all(name).iter().map(http::HeaderValue::as_bytes);
    values.next().filter(|_| values.next().is_none())
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
    const KEY_OF_US: (&str, &str) = ("x-guard", "key");

    fn gate() -> Gate {
        Gate::new(5000, "token".into(), "session".into(), "key".into())
    }

    fn judge(gate: &Gate, method: &Method, path: &str, headers: &[(&str, &str)]) -> Verdict {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(http::HeaderName::from_bytes(name.as_bytes()).unwrap(), value.parse().unwrap());
        }
        gate.judge(method, &path.parse().unwrap(), &map)
    }

    /// What becomes of a script of ours that asks with these headers.
    fn code(headers: &[(&str, &str)]) -> u16 {
        code_of("/api/fleet", &[headers, &[KEY_OF_US]].concat())
    }

    fn code_of(path: &str, headers: &[(&str, &str)]) -> u16 {
        match judge(&gate(), &Method::GET, path, headers) {
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
        assert_eq!(entered, Verdict::Enter { cookie, key: "key".to_owned() });
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
    fn whoever_has_the_cookie_alone_sees_the_page_and_nothing_of_the_cluster() {
        // Such as the server at another port, which the same browser visited.
        for path in ["/api/fleet", "/api/proposals", "/api/history", "/api/plan/shop/deployment/cart", "/api/nothing"] {
            let with = |more: &[(&str, &str)]| code_of(path, &[&[HOST_OF_US, COOKIE_OF_US], more].concat());
            assert_eq!(with(&[KEY_OF_US]), 200, "{path}");
            for wrong in ["1", "", "token", "session", "key2"] {
                assert_eq!(with(&[("x-guard", wrong)]), 401, "{path}: {wrong:?}");
            }
            assert_eq!((with(&[]), with(&[KEY_OF_US, KEY_OF_US])), (401, 401), "{path}: none, and two");
            assert_eq!(code_of(path, &[HOST_OF_US, KEY_OF_US]), 401, "{path}: the key alone");
        }
        assert_eq!(code_of("/", &[HOST_OF_US, COOKIE_OF_US]), 200);
        assert_eq!(code_of("/app.js", &[HOST_OF_US, COOKIE_OF_US]), 200);
    }

    const POSTED: [(&str, &str); 6] = [
        HOST_OF_US,
        COOKIE_OF_US,
        ("origin", "http://127.0.0.1:5000"),
        ("sec-fetch-site", "same-origin"),
        KEY_OF_US,
        ("content-type", "application/json"),
    ];

    fn posted(path: &str, headers: &[(&str, &str)]) -> u16 {
        match judge(&gate().taking_posts(), &Method::POST, path, headers) {
            Verdict::Refuse(code, _) => code.as_u16(),
            Verdict::Pass => 200,
            Verdict::Enter { .. } => 303,
        }
    }

    #[test]
    fn what_is_posted_passes_only_whole() {
        for path in POSTS {
            assert_eq!(posted(path, &POSTED), 200, "{path}");
        }
        let by_name = POSTED.map(|(name, value)| (name, value.replace("127.0.0.1", "localhost")));
        let by_name: Vec<_> = by_name.iter().map(|(name, value)| (*name, value.as_str())).collect();
        assert_eq!(posted("/api/approve", &by_name), 200);
        for (name, missing) in [
            ("host", 421),
            ("cookie", 401),
            ("origin", 403),
            ("sec-fetch-site", 403),
            ("x-guard", 403),
            ("content-type", 415),
        ] {
            let others: Vec<_> = POSTED.into_iter().filter(|(other, _)| *other != name).collect();
            assert_eq!(posted("/api/approve", &others), missing, "without {name}");
            let twice = if name == "cookie" { 200 } else { missing };
            let doubled =
                [&POSTED[..], &POSTED.into_iter().filter(|(other, _)| *other == name).collect::<Vec<_>>()].concat();
            assert_eq!(posted("/api/approve", &doubled), twice, "two of {name}");
        }
    }

    #[test]
    fn what_is_posted_from_elsewhere_is_refused() {
        for (name, value, expected) in [
            ("host", "evil.example:5000", 421),
            ("host", "localhost:5000", 403),
            ("cookie", "guard-session-5000=token", 401),
            ("cookie", "guard-session-5001=session", 401),
            ("origin", "http://localhost:5000", 403),
            ("origin", "https://127.0.0.1:5000", 403),
            ("origin", "http://127.0.0.1:5001", 403),
            ("origin", "http://evil.example", 403),
            ("origin", "null", 403),
            ("origin", "", 403),
            ("sec-fetch-site", "none", 403),
            ("sec-fetch-site", "same-site", 403),
            ("sec-fetch-site", "cross-site", 403),
            ("x-guard", "1", 403),
            ("x-guard", "session", 403),
            ("x-guard", "", 403),
            ("content-type", "text/plain", 415),
            ("content-type", "application/x-www-form-urlencoded", 415),
            ("content-type", "multipart/form-data", 415),
            ("content-type", "application/json; charset=utf-8", 415),
        ] {
            let foreign = POSTED.map(|(other, own)| if other == name { (other, value) } else { (other, own) });
            assert_eq!(posted("/api/approve", &foreign), expected, "{name}: {value}");
        }
        for path in ["/", "/api/fleet", "/api/approve/", "/api/approve/x", "//api/approve"] {
            assert_eq!(posted(path, &POSTED), 405, "{path}");
        }
        assert_eq!(posted("/api/approve?token=token", &POSTED), 403, "a query");
    }

    #[test]
    fn nothing_is_posted_to_a_dashboard_that_only_shows() {
        for path in POSTS {
            let verdict = judge(&gate(), &Method::POST, path, &POSTED);
            assert!(matches!(verdict, Verdict::Refuse(StatusCode::METHOD_NOT_ALLOWED, _)), "{path}: {verdict:?}");
        }
    }

    #[test]
    fn only_get_is_answered() {
        for method in [Method::POST, Method::PUT, Method::DELETE, Method::OPTIONS, Method::HEAD, Method::CONNECT] {
            let verdict = judge(&gate(), &method, "/", &[HOST_OF_US, COOKIE_OF_US]);
            assert!(matches!(verdict, Verdict::Refuse(StatusCode::METHOD_NOT_ALLOWED, _)), "{method}: {verdict:?}");
        }
    }
}
