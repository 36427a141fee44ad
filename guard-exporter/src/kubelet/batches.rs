//! A connection that is read many pieces at a time.
//!
//! A kubelet writes a page as it makes it: 4 KiB each half a millisecond, a thousand pieces for the page of a full node. To wake
//! for each of them costs several times what their bytes do. So once a connection has run dry, and then has something
//! again, it is given a moment to gather more.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use hyper_util::client::legacy::connect::{Connected, Connection};
use tokio::io::{AsyncRead, AsyncWrite, BufReader, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{Instant, Sleep, sleep_until};

/// How long: some twenty pieces of a page, and little beside the tenth of a second that a kubelet takes for a summary.
const REST: Duration = Duration::from_millis(10);
/// How many bytes are taken from the system at once: what gathers meanwhile. TLS would ask for 4 KiB.
const AT_ONCE: usize = 64 * 1024;

/// A TCP connection that rests before it is read again.
pub(super) struct Batches {
    stream: BufReader<TcpStream>,
    state: State,
    rest: Pin<Box<Sleep>>,
}

#[derive(Clone, Copy)]
enum State {
    /// Read until nothing is left.
    Flowing,
    /// Nothing was left.
    Dry,
    /// There is something again.
    Resting,
}

impl Batches {
    pub(super) fn new(stream: TcpStream) -> Self {
        let rest = Box::pin(sleep_until(Instant::now()));
        Self { stream: BufReader::with_capacity(AT_ONCE, stream), state: State::Flowing, rest }
    }
}

impl AsyncRead for Batches {
    fn poll_read(mut self: Pin<&mut Self>, context: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        loop {
            match self.state {
                State::Flowing => {
                    let read = Pin::new(&mut self.stream).poll_read(context, into);
                    if read.is_pending() {
                        self.state = State::Dry;
                    }
                    return read;
                }
                State::Dry => {
                    ready!(self.stream.get_ref().poll_read_ready(context))?;
                    self.rest.as_mut().reset(Instant::now() + REST);
                    self.state = State::Resting;
                }
                State::Resting => {
                    ready!(self.rest.as_mut().poll(context));
                    self.state = State::Flowing;
                }
            }
        }
    }
}

impl AsyncWrite for Batches {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

impl Connection for Batches {
    fn connected(&self) -> Connected {
        self.stream.get_ref().connected()
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    use super::*;

    const PIECES: usize = 200;

    /// Writes a piece each half a millisecond, as a kubelet does.
    async fn dribble(mut stream: TcpStream) {
        let mut pace = tokio::time::interval(Duration::from_micros(500));
        for _ in 0..PIECES {
            pace.tick().await;
            stream.write_all(&[7; 100]).await.unwrap();
        }
    }

    #[tokio::test]
    async fn what_comes_piece_by_piece_is_read_many_pieces_at_once() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let stream = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        stream.set_nodelay(true).unwrap();
        tokio::spawn(dribble(stream));
        let mut batches = Batches::new(listener.accept().await.unwrap().0);
        let (mut bytes, mut reads, mut into) = (0, 0, vec![0; AT_ONCE]);
        loop {
            let read = batches.read(&mut into).await.unwrap();
            if read == 0 {
                break;
            }
            (bytes, reads) = (bytes + read, reads + 1);
        }
        assert_eq!(bytes, PIECES * 100);
        // Ten rests in all; without them one read a piece. A machine that is busy makes fewer.
        assert!(reads <= PIECES / 4, "{reads} reads");
    }
}
