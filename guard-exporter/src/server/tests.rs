use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::*;

const BIG: usize = 300_000;

/// A server on a port of its own that answers `/report` with many bytes.
async fn start(loopback_only: bool) -> (std::net::SocketAddr, JoinHandle<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let answer = |asked: Asked| -> BoxFuture<'static, Answer> {
        Box::pin(async move {
            match asked.path.as_str() {
                "/report" => Answer::new(StatusCode::OK, "application/json", Bytes::from(vec![b'x'; BIG])),
                "/never" => std::future::pending().await,
                _ => Answer::not_found(),
            }
        })
    };
    (address, tokio::spawn(serve(listener, Routes { loopback_only, answer: Box::new(answer) }, None)))
}

/// Sends these bytes and returns all that comes back until the server closes.
async fn talk(address: std::net::SocketAddr, request: &str) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    // A reset after the answer is as good an end as any.
    let _ended = stream.read_to_end(&mut answer).await;
    String::from_utf8(answer).unwrap()
}

async fn get(address: std::net::SocketAddr, host: &str) -> String {
    talk(address, &format!("GET /report HTTP/1.1\r\nHost: {host}\r\n\r\n")).await
}

#[tokio::test]
async fn a_big_body_comes_whole_with_its_length() {
    let (address, _server) = start(true).await;
    let answer = get(address, "localhost:9466").await;
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    assert!(head.starts_with("HTTP/1.1 200"), "{head}");
    assert!(head.contains(&format!("content-length: {BIG}")), "{head}");
    assert!(!head.contains("chunked"), "{head}");
    assert_eq!(body.len(), BIG);
}

#[tokio::test]
async fn only_get_is_served() {
    let (address, _server) = start(false).await;
    for method in ["POST", "PUT", "DELETE", "HEAD", "OPTIONS"] {
        let answer = talk(address, &format!("{method} /report HTTP/1.1\r\nHost: localhost\r\n\r\n")).await;
        assert!(answer.starts_with("HTTP/1.1 405"), "{method}: {answer}");
        assert!(answer.contains("allow: GET"), "{answer}");
    }
    assert!(talk(address, "GET /else HTTP/1.1\r\nHost: localhost\r\n\r\n").await.starts_with("HTTP/1.1 404"));
}

#[tokio::test]
async fn a_foreign_host_name_is_refused_on_the_loopback_port() {
    let (address, _server) = start(true).await;
    for host in ["127.0.0.1", "127.0.0.1:40123", "localhost", "LOCALHOST:1", "[::1]:9466"] {
        assert!(get(address, host).await.starts_with("HTTP/1.1 200"), "{host}");
    }
    for host in
        ["evil.example", "localhost.evil.example", "127.0.0.1.evil.example:9466", "localhost:", "localhost:x", ""]
    {
        assert!(get(address, host).await.starts_with("HTTP/1.1 403"), "{host}");
    }
    let without = talk(address, "GET /report HTTP/1.0\r\n\r\n").await;
    assert!(without.starts_with("HTTP/1.0 403"), "{without}");
    let twice = talk(address, "GET /report HTTP/1.1\r\nHost: localhost\r\nHost: evil.example\r\n\r\n").await;
    assert!(!twice.starts_with("HTTP/1.1 200"), "{twice}");
    let absolute = talk(address, "GET http://evil.example/report HTTP/1.1\r\nHost: localhost\r\n\r\n").await;
    assert!(absolute.starts_with("HTTP/1.1 403"), "{absolute}");
}

#[tokio::test]
async fn any_host_name_is_served_on_the_health_port() {
    let (address, _server) = start(false).await;
    assert!(get(address, "10.1.2.3:9465").await.starts_with("HTTP/1.1 200"));
}

#[tokio::test]
async fn a_client_that_does_not_finish_its_head_is_closed() {
    let (address, _server) = start(false).await;
    let began = Instant::now();
    let answer = talk(address, "GET /report HTTP/1.1\r\nHost: loc").await;
    assert!(began.elapsed() < HEADER_TIMEOUT * 3, "{answer}");
    assert!(!answer.contains("200"), "{answer}");
}

#[tokio::test]
async fn a_head_that_comes_in_drops_is_cut_off_like_one_that_does_not_come() {
    let (address, _server) = start(false).await;
    let (mut reader, mut writer) = TcpStream::connect(address).await.unwrap().into_split();
    let drip = async move {
        // Each drop comes in time; the head as a whole does not.
        while writer.write_all(b"G").await.is_ok() {
            tokio::time::sleep(HEADER_TIMEOUT / 20).await;
        }
    };
    let mut answer = Vec::new();
    let began = Instant::now();
    tokio::select! {
        _ended = reader.read_to_end(&mut answer) => {}
        () = drip => {}
    }
    assert!(began.elapsed() < HEADER_TIMEOUT * 3, "{:?}", began.elapsed());
    assert!(!String::from_utf8_lossy(&answer).contains("200"), "{answer:?}");
}

#[tokio::test]
async fn a_client_that_says_nothing_is_cut_off() {
    let (address, _server) = start(false).await;
    let answer = tokio::time::timeout(HEADER_TIMEOUT * 3, talk(address, "")).await;
    assert_eq!(answer.as_deref(), Ok(""));
}

#[tokio::test]
async fn a_scraper_that_does_not_read_is_cut_off_and_gives_its_place_back() {
    let limit = Duration::from_millis(500);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let places = Arc::new(tokio::sync::Semaphore::new(1));
    let (taken, mut told) = tokio::sync::mpsc::unbounded_channel();
    let of_server = Arc::clone(&places);
    // More than the system keeps for a client that does not read.
    let body = Bytes::from(vec![b'x'; 64 << 20]);
    let answer = move |_: Asked| -> BoxFuture<'static, Answer> {
        let place = Arc::clone(&of_server).try_acquire_owned().ok();
        taken.send(()).unwrap();
        Box::pin(std::future::ready(Answer { place, ..Answer::new(StatusCode::OK, "text/plain", body.clone()) }))
    };
    let _server = tokio::spawn(serve(listener, Routes { loopback_only: false, answer: Box::new(answer) }, None));
    let mut stream = TcpStream::connect(address).await.unwrap();
    let head =
        format!("GET / HTTP/1.1\r\nHost: x\r\nX-Prometheus-Scrape-Timeout-Seconds: {}\r\n\r\n", limit.as_secs_f64());
    let began = Instant::now();
    stream.write_all(head.as_bytes()).await.unwrap();
    told.recv().await.unwrap();
    assert_eq!(places.available_permits(), 0);
    let place = tokio::time::timeout(HEADER_TIMEOUT, places.acquire()).await;
    assert!(place.is_ok(), "its place is still taken");
    assert!(began.elapsed() >= limit / 2, "the whole body was taken in {:?}", began.elapsed());
}

#[tokio::test]
async fn a_connection_is_for_one_request_and_its_body_is_not_waited_for() {
    let (address, _server) = start(false).await;
    let one = "GET /report HTTP/1.1\r\nHost: x\r\n";
    for request in [format!("{one}\r\n{one}\r\n"), format!("{one}Content-Length: 1000000000\r\n\r\n")] {
        let began = Instant::now();
        assert_eq!(talk(address, &request).await.matches("HTTP/1.1 200").count(), 1, "{request}");
        assert!(began.elapsed() < HEADER_TIMEOUT, "{request}");
    }
}

#[tokio::test]
async fn what_is_no_request_is_refused_and_harms_nobody() {
    let (address, _server) = start(false).await;
    let many = format!("GET /report HTTP/1.1\r\nHost: x\r\n{}\r\n", "a: b\r\n".repeat(1000));
    for bytes in [
        "\0\0\0\0\r\n\r\n",
        "GET\r\n\r\n",
        "GET /report HTTP/9.9\r\n\r\n",
        "GET /re\0port HTTP/1.1\r\nHost: x\r\n\r\n",
        "GET /report HTTP/1.1\r\nHost: x\r\nA\u{1b}: b\r\n\r\n",
        "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        many.as_str(),
    ] {
        let answer = talk(address, bytes).await;
        assert!(!answer.starts_with("HTTP/1.1 200"), "{bytes:?}: {answer}");
    }
    assert!(get(address, "localhost").await.starts_with("HTTP/1.1 200"));
}

#[tokio::test]
async fn a_head_without_end_is_refused() {
    let (address, _server) = start(false).await;
    let answer =
        talk(address, &format!("GET /report HTTP/1.1\r\nHost: x\r\nA: {}\r\n\r\n", "a".repeat(2 * HEAD))).await;
    assert!(!answer.starts_with("HTTP/1.1 200"), "{answer}");
}

#[tokio::test]
async fn silent_connections_cannot_keep_a_probe_out() {
    let (address, _server) = start(false).await;
    let mut silent = Vec::new();
    for _ in 0..CONNECTIONS * 2 {
        silent.push(TcpStream::connect(address).await.unwrap());
    }
    let began = Instant::now();
    assert!(get(address, "localhost").await.starts_with("HTTP/1.1 200"));
    assert!(began.elapsed() < HEADER_TIMEOUT);
}

#[tokio::test]
async fn whoever_says_how_long_it_waits_is_cut_off_by_then() {
    let (address, _server) = start(false).await;
    let began = Instant::now();
    let head = "GET /never HTTP/1.1\r\nHost: x\r\nX-Prometheus-Scrape-Timeout-Seconds: 0.3\r\n\r\n";
    assert_eq!(talk(address, head).await, "");
    assert!(began.elapsed() < HEADER_TIMEOUT, "{:?}", began.elapsed());
}

#[test]
fn only_a_shorter_time_than_anybody_has_is_taken() {
    let timeout = |value: &str| {
        scrape_timeout(&HeaderMap::from_iter([(
            header::HeaderName::from_static(SCRAPE_TIMEOUT),
            value.parse().unwrap(),
        )]))
    };
    assert_eq!(timeout("9.5"), Some(Duration::from_millis(9500)));
    for value in ["61", "-1", "NaN", "inf", "soon", "1e300", ""] {
        assert_eq!(timeout(value), None, "{value}");
    }
    assert_eq!(scrape_timeout(&HeaderMap::new()), None);
}
