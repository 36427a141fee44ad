//! Which proxy leads to the cluster: decided by the cluster's URL, as curl and kubectl do.

use std::net::IpAddr;

use http::Uri;

use crate::connect::Environment;

/// The proxy from the environment for requests to `cluster`, if any.
pub(super) fn of_environment(cluster: &Uri, environment: &Environment) -> Option<String> {
    let proxy = match cluster.scheme_str() {
        Some("http") => environment.http_proxy.as_ref(),
        _ => environment.https_proxy.as_ref(),
    }?;
    let host = cluster.host().unwrap_or_default().trim_start_matches('[').trim_end_matches(']');
    let default_port = if cluster.scheme_str() == Some("http") { 80 } else { 443 };
    let port = cluster.port_u16().unwrap_or(default_port);
    let list = environment.no_proxy.as_deref().unwrap_or_default();
    (!is_direct(host, port, list))
        .then(|| if proxy.contains("://") { proxy.clone() } else { format!("http://{proxy}") })
}

/// A proxy's URL, of a kind that there is. What stands in it is not shown: it can hold a password.
///
/// # Errors
/// In words, if it is none.
pub(super) fn parse(proxy: &str) -> Result<Uri, String> {
    // The proxy looks the names of servers up in either case, as with Go's `socks5`.
    let socks = ["socks5://", "socks5h://"].into_iter().find_map(|scheme| proxy.strip_prefix(scheme));
    let url = socks.map_or_else(|| proxy.to_owned(), |rest| format!("socks5://{rest}"));
    let url: Uri = url.parse().map_err(|_| "the proxy's URL cannot be understood".to_owned())?;
    match (url.scheme_str(), url.authority().filter(|authority| !authority.host().is_empty())) {
        (Some("socks5"), Some(authority)) if authority.as_str().contains('@') => {
            Err("the SOCKS proxy wants a password, which is supported of HTTP proxies alone".to_owned())
        }
        (Some("socks5"), Some(authority)) if authority.port().is_none() => {
            let usual = format!("socks5://{authority}:1080");
            usual.parse().map_err(|_| "the proxy's URL cannot be understood".to_owned())
        }
        (Some("http" | "https" | "socks5"), Some(_)) => Ok(url),
        _ => Err("the proxy's URL must begin with http://, https:// or socks5://, and name a host".to_owned()),
    }
}

/// True if `list` (the value of `NO_PROXY`) or its being this machine exempts the host. Empty items and items that make
/// no sense match nothing.
fn is_direct(host: &str, port: u16, list: &str) -> bool {
    let host = host.to_ascii_lowercase();
    let address = host.parse::<IpAddr>().ok();
    if host == "localhost" || address.is_some_and(|a| a.is_loopback()) {
        return true;
    }
    list.split(',').map(str::trim).filter(|item| !item.is_empty()).any(|item| {
        item == "*"
            || match address {
                Some(address) => matches_address(item, address, port),
                None => matches_name(item, &host, port),
            }
    })
}

fn matches_address(item: &str, address: IpAddr, port: u16) -> bool {
    if let Some((network, bits)) = item.split_once('/') {
        return match (network.parse::<IpAddr>(), bits.parse::<u32>()) {
            (Ok(network), Ok(bits)) => in_network(address, network, bits),
            _ => false,
        };
    }
    if let Ok(one) = item.trim_matches(['[', ']']).parse::<IpAddr>() {
        return one == address;
    }
    item.parse::<std::net::SocketAddr>().is_ok_and(|socket| socket.ip() == address && socket.port() == port)
}

fn in_network(address: IpAddr, network: IpAddr, bits: u32) -> bool {
    let (a, n, width) = match (address, network) {
        (IpAddr::V4(a), IpAddr::V4(n)) => (u128::from(a.to_bits()), u128::from(n.to_bits()), 32),
        (IpAddr::V6(a), IpAddr::V6(n)) => (a.to_bits(), n.to_bits(), 128),
        _ => return false,
    };
    bits <= width && (a ^ n).checked_shr(width - bits).unwrap_or(0) == 0
}

fn matches_name(item: &str, host: &str, port: u16) -> bool {
    let item = item.to_ascii_lowercase();
    let (name, only_port) = match item.rsplit_once(':') {
        Some((name, text)) => match text.parse::<u16>() {
            Ok(port) => (name, Some(port)),
            Err(_) => return false,
        },
        None => (item.as_str(), None),
    };
    if only_port.is_some_and(|only| only != port) {
        return false;
    }
    let name = name.strip_prefix('*').unwrap_or(name);
    // `.example.org` matches what is below it; `example.org` matches itself too.
    match name.strip_prefix('.') {
        Some("") => false,
        Some(_) => host.ends_with(name),
        None => host == name || host.strip_suffix(name).is_some_and(|rest| rest.ends_with('.')),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn direct(list: &str, url: &str) -> bool {
        let environment = Environment {
            https_proxy: Some("http://proxy:3128".into()),
            http_proxy: Some("proxy:3128".into()),
            no_proxy: Some(list.into()),
            ..Environment::default()
        };
        of_environment(&url.parse().unwrap(), &environment).is_none()
    }

    #[test]
    fn the_clusters_host_decides() {
        let cases = [
            ("a,", "https://10.0.0.1:6443", false),
            (",,a ,", "https://a:6443", true),
            ("*", "https://k8s.example.org", true),
            ("example.org", "https://k8s.example.org", true),
            ("example.org", "https://example.org", true),
            ("example.org", "https://badexample.org", false),
            (".example.org", "https://example.org", false),
            ("*.example.org", "https://k8s.example.org", true),
            ("k8s.example.org:6443", "https://k8s.example.org:6443", true),
            ("k8s.example.org:443", "https://k8s.example.org:6443", false),
            ("10.0.0.0/8", "https://10.255.0.1", true),
            ("10.0.0.0/8", "https://11.0.0.1", false),
            ("0.0.0.0/0", "https://11.0.0.1", true),
            ("10.0.0.0/99", "https://10.0.0.1", false),
            ("fd00::/8", "https://[fd12::1]:6443", true),
            ("proxy", "https://10.0.0.1", false),
            ("", "https://localhost:6443", true),
            ("", "https://127.0.0.1:6443", true),
            ("", "http://10.0.0.1", false),
            ("K8S.example.ORG", "https://k8s.example.org", true),
        ];
        for (list, url, expected) in cases {
            assert_eq!(direct(list, url), expected, "NO_PROXY={list} {url}");
        }
    }

    #[test]
    fn a_proxy_without_a_scheme_is_http() {
        let environment = Environment { http_proxy: Some("proxy:3128".into()), ..Environment::default() };
        let proxy = of_environment(&"http://10.0.0.1".parse().unwrap(), &environment);
        assert_eq!(proxy.as_deref(), Some("http://proxy:3128"));
    }

    #[test]
    fn a_proxy_of_a_kind_that_there_is_is_taken_and_no_other_is_shown() {
        let taken = |proxy: &str| parse(proxy).map(|url| url.to_string());
        for (proxy, url) in [
            ("http://user:s3cret@proxy:3128", "http://user:s3cret@proxy:3128/"),
            ("https://proxy", "https://proxy/"),
            ("socks5://localhost:8080", "socks5://localhost:8080/"),
            ("socks5h://localhost", "socks5://localhost:1080"),
        ] {
            assert_eq!(taken(proxy).unwrap().trim_end_matches('/'), url.trim_end_matches('/'));
        }
        for bad in ["socks4://s3cret@proxy", "socks5://user:s3cret@proxy", "s3cret", "http://", "http://s3cret@:", ""] {
            let problem = taken(bad).expect_err(bad);
            assert!(problem.starts_with("the ") && !problem.contains("s3cret"), "{problem}");
        }
    }
}
