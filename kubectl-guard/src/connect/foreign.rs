//! Clients for servers that are no cluster: kube's own client carries the requests, so that no second TLS, proxy or
//! token code is needed.

use http::{HeaderValue, Uri, header};
use kube::client::ClientBuilder;
use kube::config::AuthInfo;
use kube::{Client, Config};
use secrecy::ExposeSecret as _;

use super::{CONNECT_TIMEOUT, Environment, proxy, user_agent};
use crate::request::innermost;

/// A client for `url` that shows `auth` and believes `authorities`, else the system's; without retries, with the proxy of
/// the environment.
///
/// # Errors
/// In words, if it cannot be made, if `auth` would travel in the clear, or if no header takes it.
pub(crate) fn client(
    url: &Uri,
    auth: AuthInfo,
    authorities: Option<Vec<Vec<u8>>>,
    environment: &Environment,
) -> Result<Client, String> {
    let shows = auth.token.is_some() || auth.token_file.is_some() || auth.password.is_some();
    if shows {
        keeps_secrets(url)?;
    }
    if let Some(token) = &auth.token {
        fits_a_header(token.expose_secret()).map_err(|problem| format!("the token {problem}"))?;
    }
    let mut config = Config::new(url.clone());
    config.connect_timeout = Some(CONNECT_TIMEOUT);
    config.default_retry = false;
    config.auth_info = auth;
    config.root_cert = authorities;
    config.proxy_url = match proxy::of_environment(url, environment) {
        Some(proxy) => Some(proxy::parse(&proxy)?),
        None => None,
    };
    config.headers.push((header::USER_AGENT, user_agent(None)?));
    Ok(ClientBuilder::try_from(config).map_err(|error| innermost(&error))?.build())
}

/// Whether credentials may be sent to `url`; in words, if they would travel in the clear.
pub(crate) fn keeps_secrets(url: &Uri) -> Result<(), String> {
    if url.scheme_str() == Some("http") && !is_here(url) {
        return Err("the credentials would travel in the clear; use https://".to_owned());
    }
    Ok(())
}

/// What is said of a secret that no header can carry.
const NO_HEADER: &str = "holds a line break, or another character that no header takes";

/// Whether a header can carry `secret`; in words, without it, if none can.
pub(crate) fn fits_a_header(secret: &str) -> Result<(), &'static str> {
    HeaderValue::from_str(secret).map(drop).map_err(|_| NO_HEADER)
}

/// The header that shows `token`, and that no log does; in words, without it, if there can be none.
pub(crate) fn bearer(token: &str) -> Result<HeaderValue, &'static str> {
    let mut header = HeaderValue::try_from(format!("Bearer {token}")).map_err(|_| NO_HEADER)?;
    header.set_sensitive(true);
    Ok(header)
}

/// True if what is sent to `url` does not leave this machine.
pub(crate) fn is_here(url: &Uri) -> bool {
    let host = url.host().unwrap_or_default().trim_matches(['[', ']']);
    host == "localhost" || host.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problem_of(url: &str, token: Option<&str>) -> Option<String> {
        let auth = AuthInfo { token: token.map(|token| token.to_owned().into()), ..AuthInfo::default() };
        client(&url.parse().unwrap(), auth, None, &Environment::default()).err()
    }

    fn problem(url: &str, token: bool) -> Option<String> {
        problem_of(url, token.then_some("geheim"))
    }

    #[tokio::test]
    async fn a_token_that_no_header_takes_is_an_error_that_does_not_show_it() {
        for token in ["geheim\r\nzweite", "geheim\n", "ge\u{0}heim"] {
            let problem = problem_of("https://api.example.org", Some(token)).unwrap();
            assert_eq!(problem, "the token holds a line break, or another character that no header takes");
        }
    }

    #[tokio::test]
    async fn credentials_leave_the_machine_by_tls_only() {
        for good in ["https://api.example.org/v1", "http://localhost:11434/v1", "http://127.0.0.1", "http://[::1]:80"] {
            assert_eq!(problem(good, true), None, "{good}");
        }
        assert!(problem("http://api.example.org", true).unwrap().contains("in the clear"));
        assert!(problem("http://127.0.0.1.example.org", true).is_some());
        assert_eq!(problem("http://api.example.org", false), None);
    }
}
