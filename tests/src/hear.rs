//! Somebody who is told: a listener on loopback that takes JSON by POST, and keeps it.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::Value;

const PATIENCE: Duration = Duration::from_secs(5);
/// More than any message that a test waits for.
const LONGEST: u64 = 16 << 20;

/// Listens for as long as the process lives; what it hears comes out of the channel, in its order.
///
/// # Errors
/// If there is no free port.
pub fn listen() -> Result<(SocketAddr, Receiver<Value>)> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let address = listener.local_addr()?;
    let (heard, out) = channel();
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            // Who breaks off says nothing.
            hear(&stream, &heard).ok();
        }
    });
    Ok((address, out))
}

fn hear(stream: &TcpStream, heard: &Sender<Value>) -> Result<()> {
    stream.set_read_timeout(Some(PATIENCE))?;
    let mut reader = BufReader::new(stream);
    let mut length = 0;
    for line in reader.by_ref().lines() {
        let line = line?.to_ascii_lowercase();
        if line.is_empty() {
            break;
        }
        if let Some(text) = line.strip_prefix("content-length:") {
            length = text.trim().parse().context("a length that is no number")?;
        }
    }
    ensure!(length <= LONGEST, "a message of {length} bytes");
    let message = serde_json::from_reader(reader.take(length))?;
    let mut writer = stream;
    writer.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")?;
    Ok(heard.send(message)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_posted_is_heard_in_its_order() {
        let (address, heard) = listen().unwrap();
        for text in ["{\"n\":1}", "{\"n\":2}"] {
            let mut stream = TcpStream::connect(address).unwrap();
            let request = format!("POST / HTTP/1.1\r\nHost: x\r\ncontent-length: {}\r\n\r\n{text}", text.len());
            stream.write_all(request.as_bytes()).unwrap();
            let mut answer = String::new();
            stream.read_to_string(&mut answer).unwrap();
            assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
        }
        let numbers: Vec<Value> = heard.try_iter().map(|message| message["n"].clone()).collect();
        assert_eq!(numbers, [1, 2]);
    }
}
