//! The two ends of an HTTP exchange that tests need: a GET, plain or over TLS, and a server that answers everything alike.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::ops::RangeInclusive;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, ServerConfig, ServerConnection, StreamOwned};
use tokio::net::TcpSocket;

const PATIENCE: Duration = Duration::from_secs(5);

/// The body of a GET that was answered with 200.
///
/// # Errors
/// If there is no such answer.
pub fn get(address: &str, path: &str) -> Result<Vec<u8>> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    write!(stream, "GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n")?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer)?;
    let end = answer.windows(4).position(|four| four == b"\r\n\r\n").context("no head in the answer")?;
    let head = String::from_utf8_lossy(&answer[..end]).into_owned();
    ensure!(head.starts_with("HTTP/1.1 200"), "{path}: {head}");
    let body = answer.split_off(end + 4);
    if head.to_ascii_lowercase().contains("transfer-encoding: chunked") { joined(&body) } else { Ok(body) }
}

/// Text as it may stand in a query of a URL: every byte by its number.
pub fn encoded(text: &str) -> String {
    text.bytes().fold(String::new(), |text, byte| format!("{text}%{byte:02X}"))
}

/// The body whose chunks these are.
fn joined(mut chunks: &[u8]) -> Result<Vec<u8>> {
    let mut body = Vec::new();
    loop {
        let end = chunks.windows(2).position(|two| two == b"\r\n").context("a chunk without a length")?;
        let length = usize::from_str_radix(std::str::from_utf8(&chunks[..end])?, 16)?;
        if length == 0 {
            return Ok(body);
        }
        let (start, stop) = (end + 2, end + 2 + length);
        body.extend_from_slice(chunks.get(start..stop).context("a chunk that breaks off")?);
        chunks = chunks.get(stop + 2..).context("a chunk without an end")?;
    }
}

/// Ports under those that the kernel gives to outgoing connections (from 32768): of those, one that
/// was free a moment ago may be some client's when the program that it is meant for comes to listen.
const PORTS: RangeInclusive<u16> = 20_000..=32_000;

/// An address on loopback where nobody listens, and that no other caller in this process was given.
///
/// # Errors
/// If there is no free port.
pub fn free_address() -> Result<String> {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    let first = std::process::id() as usize;
    for _ in PORTS {
        let step = first.wrapping_add(NEXT.fetch_add(1, Ordering::Relaxed)) % PORTS.len();
        let port = PORTS.clone().nth(step).context("a port of the range")?;
        // Bound, and not listening: what a process that is being started inherits of it, until it is another program, keeps
        // nobody from listening there.
        let socket = TcpSocket::new_v4()?;
        socket.set_reuseaddr(true)?;
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        if socket.bind(address).is_ok() {
            return Ok(address.to_string());
        }
    }
    bail!("no port of {PORTS:?} is free on loopback")
}

/// What a server needs to show this certificate.
///
/// # Errors
/// If it cannot be used.
pub fn server(certificate: &Path, key: &Path) -> Result<Arc<ServerConfig>> {
    let chain = vec![CertificateDer::from_pem_file(certificate)?];
    let config = ServerConfig::builder_with_provider(rustls::crypto::ring::default_provider().into())
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(chain, PrivateKeyDer::from_pem_file(key)?)?;
    Ok(Arc::new(config))
}

/// Answers every request over TLS with 200 and the same body, for as long as the process lives.
///
/// # Errors
/// If the certificate cannot be used, or there is no free port.
pub fn serve_tls(certificate: &Path, key: &Path, body: &'static [u8]) -> Result<SocketAddr> {
    let config = server(certificate, key)?;
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let address = listener.local_addr()?;
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            // A client that goes away early is its own business.
            answer(stream, &config, body).ok();
        }
    });
    Ok(address)
}

fn answer(stream: TcpStream, config: &Arc<ServerConfig>, body: &[u8]) -> Result<()> {
    stream.set_read_timeout(Some(PATIENCE))?;
    let mut stream = StreamOwned::new(ServerConnection::new(Arc::clone(config))?, stream);
    for line in BufReader::new(&mut stream).lines() {
        if line?.is_empty() {
            break;
        }
    }
    write!(stream, "HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", body.len())?;
    stream.write_all(body)?;
    stream.conn.send_close_notify();
    Ok(stream.flush()?)
}

/// Status and body of a GET over TLS from whoever proves to be `name` by this authority (PEM).
///
/// # Errors
/// If there is no such server, or it does not answer.
pub fn get_tls(address: &str, name: &str, authority: &str, path: &str, token: Option<&str>) -> Result<(u16, String)> {
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(authority.as_bytes()) {
        roots.add(certificate?)?;
    }
    let config = ClientConfig::builder_with_provider(rustls::crypto::ring::default_provider().into())
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth();
    let connection = ClientConnection::new(Arc::new(config), ServerName::try_from(name.to_owned())?)?;
    let stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    let mut stream = StreamOwned::new(connection, stream);
    let bearer = token.map(|token| format!("Authorization: Bearer {token}\r\n")).unwrap_or_default();
    write!(stream, "GET {path} HTTP/1.1\r\nHost: {name}\r\n{bearer}\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    let (head, body) = answer.split_once("\r\n\r\n").context("no head in the answer")?;
    let status = head.split(' ').nth(1).context("no status in the answer")?.parse()?;
    Ok((status, body.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_free_and_given_once() {
        let (one, other) = (free_address().unwrap(), free_address().unwrap());
        assert_ne!(one, other);
        let listening = TcpListener::bind(&one).unwrap();
        let taken = TcpSocket::new_v4().unwrap();
        taken.set_reuseaddr(true).unwrap();
        assert!(taken.bind(listening.local_addr().unwrap()).is_err(), "where somebody listens is not free");
    }

    #[test]
    fn whoever_still_holds_what_was_tried_keeps_nobody_from_listening() {
        let address: SocketAddr = free_address().unwrap().parse().unwrap();
        let inherited = TcpSocket::new_v4().unwrap();
        inherited.set_reuseaddr(true).unwrap();
        inherited.bind(address).unwrap();
        assert!(TcpListener::bind(address).is_ok());
    }
}
