use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use rustls_pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

use super::*;

pub(crate) type Authority = CertifiedIssuer<'static, KeyPair>;

pub(crate) fn authority(name: &str) -> Authority {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
}

/// A kubelet that proves to be `name`, gives `answer` to every request and, if told so, then says nothing more without
/// closing. What it was asked is sent back through the channel.
pub(crate) struct FakeKubelet {
    address: SocketAddr,
    requests: tokio::sync::mpsc::UnboundedReceiver<String>,
}

impl FakeKubelet {
    pub(crate) async fn start(authority: &Authority, name: &str, answer: Vec<u8>, hang: bool) -> Self {
        let key = KeyPair::generate().unwrap();
        let certificate = CertificateParams::new([name.to_owned()]).unwrap().signed_by(&key, authority).unwrap();
        let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key.serialize_der()));
        let settings = rustls::ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![certificate.der().clone()], key)
            .unwrap();
        let acceptor = TlsAcceptor::from(Arc::new(settings));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (asked, requests) = tokio::sync::mpsc::unbounded_channel();
        tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let Ok(mut stream) = acceptor.accept(stream).await else { continue };
                let mut head = Vec::new();
                while !head.ends_with(b"\r\n\r\n") {
                    match stream.read_u8().await {
                        Ok(byte) => head.push(byte),
                        Err(_) => break,
                    }
                }
                let _listening = asked.send(String::from_utf8(head).unwrap());
                // The client may have had enough before all is written.
                let _written = stream.write_all(&answer).await;
                if hang {
                    std::future::pending::<()>().await;
                }
                let _closed = stream.shutdown().await;
            }
        });
        Self { address, requests }
    }

    pub(crate) fn config(&self, folder: &TempDir, authority: &Authority) -> Config {
        let token_file = folder.path().join("token");
        let ca = folder.path().join("ca.crt");
        std::fs::write(&token_file, "first\n").unwrap();
        std::fs::write(&ca, authority.pem()).unwrap();
        Config {
            node: "node1".to_owned(),
            kubelet_host: self.address.ip().to_string(),
            kubelet_port: self.address.port(),
            trust: Trust::Authority(ca),
            token_file,
            interval: Duration::from_secs(15),
            threshold: 0.7,
            detector: guard_model::detector::Kind::Lstm,
            model: None,
            state_file: None,
            listen: "127.0.0.1:0".parse().unwrap(),
            loopback: "127.0.0.1:0".parse().unwrap(),
            tls: crate::tls::Files {
                certificate: folder.path().join("tls.crt"),
                key: folder.path().join("tls.key"),
                client_ca: None,
            },
            audience: "guard-exporter.guard-system.svc".to_owned(),
            insecure_metrics: false,
            kubeconfig: None,
        }
    }
}

pub(crate) fn ok(body: &str) -> Vec<u8> {
    format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{body}", body.len()).into_bytes()
}

async fn read(config: &Config) -> Result<Vec<u8>, KubeletError> {
    let mut body = Vec::new();
    Kubelet::new(config).get(SUMMARY, |piece| body.extend_from_slice(piece)).await.map(|()| body)
}

/// What a kubelet that answers `answer` as `node1` gives.
async fn read_answer(answer: Vec<u8>) -> Result<Vec<u8>, KubeletError> {
    let (authority, folder) = (authority("cluster"), tempfile::tempdir().unwrap());
    let kubelet = FakeKubelet::start(&authority, "node1", answer, false).await;
    read(&kubelet.config(&folder, &authority)).await
}

#[tokio::test]
async fn a_kubelet_that_proves_to_be_the_node_is_read_with_the_token() {
    let (authority, folder) = (authority("cluster"), tempfile::tempdir().unwrap());
    let mut kubelet = FakeKubelet::start(&authority, "node1", ok("{}"), false).await;
    assert_eq!(read(&kubelet.config(&folder, &authority)).await.unwrap(), b"{}");
    let request = kubelet.requests.recv().await.unwrap();
    assert!(request.starts_with("GET /stats/summary HTTP/1.1\r\n"), "{request}");
    assert!(request.contains("authorization: Bearer first\r\n"), "{request}");
    assert!(request.contains("user-agent: guard-exporter/"), "{request}");
}

#[tokio::test]
async fn a_token_that_was_replaced_is_used_at_once() {
    let (authority, folder) = (authority("cluster"), tempfile::tempdir().unwrap());
    let mut kubelet = FakeKubelet::start(&authority, "node1", ok("{}"), false).await;
    let config = kubelet.config(&folder, &authority);
    let mut client = Kubelet::new(&config);
    client.get(SUMMARY, |_| ()).await.unwrap();
    std::fs::write(&config.token_file, "second").unwrap();
    client.get(SUMMARY, |_| ()).await.unwrap();
    kubelet.requests.recv().await.unwrap();
    assert!(kubelet.requests.recv().await.unwrap().contains("Bearer second\r\n"));
}

#[tokio::test]
async fn a_certificate_of_another_node_is_rejected_before_the_token_is_sent() {
    let (authority, folder) = (authority("cluster"), tempfile::tempdir().unwrap());
    let mut kubelet = FakeKubelet::start(&authority, "node2", ok("{}"), false).await;
    let error = read(&kubelet.config(&folder, &authority)).await.unwrap_err();
    assert_eq!(error.kind(), "certificate");
    insta::assert_snapshot!(error);
    assert!(kubelet.requests.try_recv().is_err());
}

#[tokio::test]
async fn a_certificate_of_an_unknown_authority_is_rejected_with_the_three_choices() {
    let (authority, folder) = (authority("cluster"), tempfile::tempdir().unwrap());
    let kubelet = FakeKubelet::start(&self::authority("stranger"), "node1", ok("{}"), false).await;
    let error = read(&kubelet.config(&folder, &authority)).await.unwrap_err();
    assert_eq!(error.kind(), "certificate");
    insta::assert_snapshot!(error);
}

#[tokio::test]
async fn a_replaced_authority_is_read_after_a_rejection() {
    let (old, new, folder) = (authority("old"), authority("new"), tempfile::tempdir().unwrap());
    let kubelet = FakeKubelet::start(&new, "node1", ok("{}"), false).await;
    let config = kubelet.config(&folder, &old);
    let mut client = Kubelet::new(&config);
    assert!(client.get(SUMMARY, |_| ()).await.is_err());
    std::fs::write(folder.path().join("ca.crt"), new.pem()).unwrap();
    client.get(SUMMARY, |_| ()).await.unwrap();
}

#[tokio::test]
async fn any_certificate_is_accepted_by_explicit_choice_only() {
    let (authority, folder) = (authority("cluster"), tempfile::tempdir().unwrap());
    let kubelet = FakeKubelet::start(&self::authority("stranger"), "elsewhere", ok("{}"), false).await;
    let mut config = kubelet.config(&folder, &authority);
    config.trust = Trust::Insecure;
    assert!(!Kubelet::new(&config).verifies());
    assert_eq!(read(&config).await.unwrap(), b"{}");
}

#[tokio::test]
async fn refusals_name_what_is_missing() {
    let unauthorised = read_answer(b"HTTP/1.1 401 Unauthorized\r\ncontent-length: 0\r\n\r\n".to_vec()).await;
    assert_eq!(unauthorised.unwrap_err().kind(), "unauthorized");
    let forbidden = read_answer(b"HTTP/1.1 403 Forbidden\r\ncontent-length: 0\r\n\r\n".to_vec()).await.unwrap_err();
    assert!(forbidden.to_string().contains("get on nodes/stats"), "{forbidden}");
    let broken = read_answer(b"HTTP/1.1 500 Oops\r\ncontent-length: 0\r\n\r\n".to_vec()).await;
    assert_eq!(broken.unwrap_err().kind(), "status");
}

#[tokio::test]
async fn an_answer_that_breaks_off_is_an_error() {
    let announced = read_answer(b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n{\"node".to_vec()).await;
    assert_eq!(announced.unwrap_err().kind(), "truncated");
    let chunked = read_answer(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\n{\"nod".to_vec()).await;
    assert_eq!(chunked.unwrap_err().kind(), "truncated");
    assert_eq!(read_answer(b"what?\r\n\r\n".to_vec()).await.unwrap_err().kind(), "truncated");
}

#[tokio::test]
async fn an_oversized_answer_is_not_read() {
    let announced =
        read_answer(format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", summary::MAX_BYTES + 1).into_bytes())
            .await;
    assert_eq!(announced.unwrap_err().kind(), "too_large");
    let endless = [b"HTTP/1.1 200 OK\r\n\r\n".to_vec(), vec![b' '; 200_000]].concat();
    let (authority, folder) = (authority("cluster"), tempfile::tempdir().unwrap());
    let kubelet = FakeKubelet::start(&authority, "node1", endless, true).await;
    let mut client = Kubelet { largest: 100_000, ..Kubelet::new(&kubelet.config(&folder, &authority)) };
    let mut taken = 0;
    let error = client.get(SUMMARY, |piece| taken += piece.len()).await.unwrap_err();
    assert_eq!(error.kind(), "too_large");
    assert!(taken <= 100_000);
}

#[tokio::test]
async fn a_slow_answer_is_given_up_within_the_interval() {
    let (authority, folder) = (authority("cluster"), tempfile::tempdir().unwrap());
    let kubelet = FakeKubelet::start(&authority, "node1", b"HTTP/1.1 200 OK\r\n".to_vec(), true).await;
    let mut config = kubelet.config(&folder, &authority);
    config.interval = Duration::from_secs(1);
    let began = std::time::Instant::now();
    assert_eq!(read(&config).await.unwrap_err().kind(), "timeout");
    assert!(began.elapsed() < Duration::from_secs(1));
}

#[tokio::test]
async fn a_missing_kubelet_token_or_authority_is_named() {
    let (authority, folder) = (authority("cluster"), tempfile::tempdir().unwrap());
    let kubelet = FakeKubelet::start(&authority, "node1", ok("{}"), false).await;
    let config = kubelet.config(&folder, &authority);
    let closed = Config { kubelet_port: 1, ..config.clone() };
    assert_eq!(read(&closed).await.unwrap_err().kind(), "unreachable");
    let tokenless = Config { token_file: folder.path().join("none"), ..config.clone() };
    assert_eq!(read(&tokenless).await.unwrap_err().kind(), "token");
    std::fs::write(folder.path().join("ca.crt"), "no certificate").unwrap();
    assert_eq!(read(&config).await.unwrap_err().kind(), "authority");
}
