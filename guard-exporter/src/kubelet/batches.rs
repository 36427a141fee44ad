//! A connection that is read many pieces at a time.
//!
//! A kubelet writes a page as it makes it: 4 KiB each half a millisecond, a thousand pieces for the page of a full node. To be
//! woken for each of them costs several times what their bytes do, whether or not they are read then. So the system is asked
//! to tell of the first piece alone; from there on the connection is looked at by the clock, until nothing comes any more.

use std::io::{self, Read};
use std::ops::Range;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use hyper_util::client::legacy::connect::{Connected, Connection};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{Instant, Sleep, sleep_until};

/// How long it rests between two looks: some forty pieces of a page, and little beside the tenth of a second that a kubelet
/// takes for a summary.
const REST: Duration = Duration::from_millis(20);
/// How many bytes are taken from the system at once. TLS would ask for 4 KiB.
const AT_ONCE: usize = 64 * 1024;

/// A TCP connection that rests before it is read again.
pub(super) struct Batches {
    socket: Socket,
    buffer: Box<[u8]>,
    /// What of it was read and not handed on yet.
    left: Range<usize>,
}

enum Socket {
    /// The system wakes us when there is something.
    Watched(TcpStream),
    /// Nobody does: it is read when the rest is over.
    Resting(Resting),
    /// It could not go from one to the other.
    Lost,
}

struct Resting {
    stream: std::net::TcpStream,
    rest: Pin<Box<Sleep>>,
    /// Something was there since the last rest.
    flows: bool,
}

impl Batches {
    pub(super) fn new(stream: TcpStream) -> Self {
        Self { socket: Socket::Watched(stream), buffer: vec![0; AT_ONCE].into(), left: 0..0 }
    }

    /// Has the system look at it no more.
    fn rest(&mut self) -> io::Result<()> {
        self.socket = match std::mem::replace(&mut self.socket, Socket::Lost) {
            Socket::Watched(stream) => {
                let rest = Box::pin(sleep_until(Instant::now() + REST));
                Socket::Resting(Resting { stream: stream.into_std()?, rest, flows: false })
            }
            other => other,
        };
        Ok(())
    }

    /// Has the system look at it, if it does not.
    fn watch(&mut self) -> io::Result<Pin<&mut TcpStream>> {
        self.socket = match std::mem::replace(&mut self.socket, Socket::Lost) {
            Socket::Resting(resting) => Socket::Watched(TcpStream::from_std(resting.stream)?),
            other => other,
        };
        match &mut self.socket {
            Socket::Watched(stream) => Ok(Pin::new(stream)),
            Socket::Resting(_) | Socket::Lost => Err(io::ErrorKind::NotConnected.into()),
        }
    }

    /// Fills the buffer; without a byte, the other side has ended.
    fn poll_fill(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        loop {
            match &mut self.socket {
                Socket::Lost => return Poll::Ready(Err(io::ErrorKind::NotConnected.into())),
                Socket::Watched(stream) => {
                    ready!(stream.poll_read_ready(context))?;
                    self.rest()?;
                }
                Socket::Resting(resting) => {
                    ready!(resting.rest.as_mut().poll(context));
                    match resting.stream.read(&mut self.buffer) {
                        Ok(read) => {
                            (self.left, resting.flows) = (0..read, true);
                            return Poll::Ready(Ok(()));
                        }
                        Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                        Err(error) if error.kind() != io::ErrorKind::WouldBlock => return Poll::Ready(Err(error)),
                        Err(_) if std::mem::take(&mut resting.flows) => {
                            resting.rest.as_mut().reset(Instant::now() + REST);
                        }
                        Err(_) => {
                            self.watch()?;
                        }
                    }
                }
            }
        }
    }
}

impl AsyncRead for Batches {
    fn poll_read(mut self: Pin<&mut Self>, context: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if self.left.is_empty() {
            ready!(self.poll_fill(context))?;
        }
        let given = self.left.start..self.left.end.min(self.left.start + into.remaining());
        into.put_slice(&self.buffer[given.clone()]);
        self.left.start = given.end;
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Batches {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.watch()?.poll_write(context, bytes)
    }

    /// Nothing is held back.
    fn poll_flush(self: Pin<&mut Self>, _context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.watch()?.poll_shutdown(context)
    }
}

impl Connection for Batches {
    fn connected(&self) -> Connected {
        match &self.socket {
            Socket::Watched(stream) => stream.connected(),
            Socket::Resting(_) | Socket::Lost => Connected::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::net::{TcpListener, TcpStream as Sender};
    use std::thread;

    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::runtime::Handle;

    use super::*;

    const PIECES: usize = 200;

    async fn pair() -> (Sender, Batches) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let stream = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let sender = listener.accept().unwrap().0;
        sender.set_nodelay(true).unwrap();
        (sender, Batches::new(stream))
    }

    /// Writes a piece each half a millisecond, as a kubelet does.
    fn dribble(mut sender: Sender) {
        for _ in 0..PIECES {
            thread::sleep(Duration::from_micros(500));
            sender.write_all(&[7; 100]).unwrap();
        }
    }

    #[tokio::test]
    async fn what_comes_piece_by_piece_wakes_once_for_many_pieces() {
        let (sender, mut batches) = pair().await;
        let parked = || Handle::current().metrics().worker_park_count(0);
        let before = parked();
        let sending = thread::spawn(|| dribble(sender));
        let mut all = Vec::new();
        batches.read_to_end(&mut all).await.unwrap();
        sending.join().unwrap();
        assert_eq!(all, vec![7; PIECES * 100]);
        // Five rests and more if the machine is busy; one for each piece if the system told of each.
        let woken = parked() - before;
        assert!(woken <= PIECES as u64 / 4, "woken {woken} times");
    }

    #[tokio::test]
    async fn a_question_is_answered_however_often() {
        let (mut sender, mut batches) = pair().await;
        let answering = thread::spawn(move || {
            let mut asked = [0; 5];
            for _ in 0..3 {
                sender.read_exact(&mut asked).unwrap();
                sender.write_all(&asked).unwrap();
                // Behind the rest in which the answer was read, so that it is watched again.
                thread::sleep(3 * REST);
                sender.write_all(b"!").unwrap();
            }
        });
        for word in [b"right", b"now??", b"again"] {
            batches.write_all(word).await.unwrap();
            let mut answer = [0; 6];
            batches.read_exact(&mut answer).await.unwrap();
            assert_eq!((&answer[..5], answer[5]), (&word[..], b'!'));
        }
        assert_eq!(batches.read(&mut [0; 9]).await.unwrap(), 0, "the other side has ended");
        answering.join().unwrap();
    }
}
