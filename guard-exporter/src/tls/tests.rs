use rcgen::{CertificateParams, ExtendedKeyUsagePurpose, KeyPair};
use rustls::ClientConfig;
use rustls_pki_types::ServerName;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::*;
use crate::kubelet::tests::{Authority, authority};
use crate::server::{Answer, Asked, Routes, serve};

const NAME: &str = "guard-exporter.guard-system.svc";

/// Writes a certificate for the exporter, signed by this authority.
pub(crate) fn write(files: &Files, authority: &Authority) {
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::new([NAME.to_owned()]).unwrap();
    params.not_after = rcgen::date_time_ymd(2040, 1, 1);
    let certificate = params.signed_by(&key, authority).unwrap();
    std::fs::write(&files.certificate, certificate.pem()).unwrap();
    std::fs::write(&files.key, key.serialize_pem()).unwrap();
}

fn files(folder: &tempfile::TempDir) -> Files {
    Files { certificate: folder.path().join("tls.crt"), key: folder.path().join("tls.key"), client_ca: None }
}

/// Sends these bytes over TLS to whoever proves by `authority` to be the exporter; all that comes back.
pub(crate) async fn ask(
    address: std::net::SocketAddr,
    authority: &Authority,
    client: Option<&Authority>,
    head: &str,
) -> std::io::Result<String> {
    let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots(authority.pem().as_bytes()).unwrap());
    let config = match client {
        None => builder.with_no_client_auth(),
        Some(client) => {
            let key = KeyPair::generate().unwrap();
            let mut params = CertificateParams::new(Vec::new()).unwrap();
            params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
            let certificate = params.signed_by(&key, client).unwrap();
            let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
            builder.with_client_auth_cert(vec![certificate.der().clone()], key).unwrap()
        }
    };
    let connector = tokio_rustls::TlsConnector::from(Arc::new(config));
    let stream = TcpStream::connect(address).await?;
    let mut stream = connector.connect(ServerName::try_from(NAME).unwrap(), stream).await?;
    stream.write_all(format!("{head}\r\nHost: {NAME}\r\n\r\n").as_bytes()).await?;
    let mut answer = Vec::new();
    let read = stream.read_to_end(&mut answer).await;
    // A server that closes without TLS's own goodbye has said all the same.
    if answer.is_empty() { read.map(|_| String::new()) } else { Ok(String::from_utf8(answer).unwrap()) }
}

/// A server that answers how a request came.
async fn start(certificates: Certificates) -> std::net::SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let answer = |asked: Asked| -> futures::future::BoxFuture<'static, Answer> {
        let body = format!("{:?}", asked.channel).into();
        Box::pin(std::future::ready(Answer::new(hyper::StatusCode::OK, "text/plain", body)))
    };
    let routes = Routes { loopback_only: false, answer: Box::new(answer) };
    tokio::spawn(serve(listener, routes, Some(Arc::new(certificates))));
    address
}

#[tokio::test]
async fn a_changed_certificate_is_served_without_a_restart_and_a_broken_one_is_not() {
    let (folder, first, second) = (tempfile::tempdir().unwrap(), authority("first"), authority("second"));
    let files = files(&folder);
    let certificates = Certificates { look: Duration::ZERO, ..Certificates::new(files.clone()) };
    let address = start(certificates).await;
    assert!(ask(address, &first, None, "GET / HTTP/1.1").await.is_err(), "there is no certificate yet");
    write(&files, &first);
    assert!(ask(address, &first, None, "GET / HTTP/1.1").await.unwrap().ends_with("Tls"));
    write(&files, &second);
    assert!(ask(address, &first, None, "GET / HTTP/1.1").await.is_err());
    assert!(ask(address, &second, None, "GET / HTTP/1.1").await.unwrap().ends_with("Tls"));
    std::fs::write(&files.key, "half a k").unwrap();
    assert!(ask(address, &second, None, "GET / HTTP/1.1").await.unwrap().ends_with("Tls"));
}

#[tokio::test]
async fn a_client_certificate_counts_only_if_the_named_authority_signed_it() {
    let (folder, own, clients) = (tempfile::tempdir().unwrap(), authority("own"), authority("clients"));
    let files = Files { client_ca: Some(folder.path().join("clients.crt")), ..files(&folder) };
    write(&files, &own);
    std::fs::write(files.client_ca.as_ref().unwrap(), clients.pem()).unwrap();
    let address = start(Certificates::new(files)).await;
    assert!(ask(address, &own, Some(&clients), "GET / HTTP/1.1").await.unwrap().ends_with("Certified"));
    assert!(ask(address, &own, None, "GET / HTTP/1.1").await.unwrap().ends_with("Tls"));
    let stranger = ask(address, &own, Some(&own), "GET / HTTP/1.1").await;
    assert!(stranger.is_err(), "{stranger:?}");
}

#[tokio::test]
async fn a_handshake_that_does_not_go_on_is_cut_off() {
    let (folder, own) = (tempfile::tempdir().unwrap(), authority("own"));
    let files = files(&folder);
    write(&files, &own);
    let address = start(Certificates::new(files)).await;
    // Silent, in the middle of a handshake, and something that only begins like one.
    let stalled = [&b""[..], &[22, 3, 1, 2, 0], &[22, 0, 0, 0, 0, 0, 0]].map(|bytes| async move {
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(bytes).await.unwrap();
        let mut answer = Vec::new();
        let ended = tokio::time::timeout(Duration::from_secs(15), stream.read_to_end(&mut answer)).await;
        assert!(ended.is_ok(), "{bytes:?} is still open");
    });
    futures::future::join_all(stalled).await;
    assert!(ask(address, &own, None, "GET / HTTP/1.1").await.unwrap().ends_with("Tls"));
}

#[test]
fn the_end_is_that_of_the_certificate_in_use() {
    let (folder, own) = (tempfile::tempdir().unwrap(), authority("own"));
    let files = files(&folder);
    let certificates = Certificates { look: Duration::ZERO, ..Certificates::new(files.clone()) };
    assert_eq!(certificates.ends(), None);
    write(&files, &own);
    let ends = "2040-01-01T00:00:00Z".parse().ok();
    assert_eq!(certificates.ends(), ends);
    std::fs::write(&files.certificate, "half a c").unwrap();
    assert_eq!(certificates.ends(), ends);
}

#[test]
fn an_authority_for_clients_that_cannot_be_read_lets_nobody_in() {
    let (folder, own) = (tempfile::tempdir().unwrap(), authority("own"));
    let files = Files { client_ca: Some(folder.path().join("none.crt")), ..files(&folder) };
    write(&files, &own);
    assert!(Certificates::new(files.clone()).acceptor().is_none());
    std::fs::write(files.client_ca.as_ref().unwrap(), "").unwrap();
    assert!(Certificates::new(files).acceptor().is_none());
}
