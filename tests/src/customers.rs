//! Customers: they call pods from outside of the cluster at a rate that swings and wanders, and send packets to some.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::Result;

use crate::soak::schedule::Dice;

/// A call takes no longer, and neither does a pod that is gone hold its customers up.
const PATIENCE: Duration = Duration::from_secs(2);
/// The rate swings once in this time, by a third.
const DAY: f64 = 600.0;
const PACKET: usize = 1000;

/// The customers of one pod; they leave when this is dropped.
#[derive(Debug)]
pub struct Customers {
    gone: Arc<AtomicBool>,
    times: Arc<AtomicU64>,
}

impl Customers {
    /// They call `http://ADDRESS:8080/` so often a second, and send so many packets a second to port 8125.
    ///
    /// # Errors
    /// If there is no socket to send from.
    pub fn of(address: &str, calls: f64, packets: f64, seed: u64) -> Result<Self> {
        let (gone, times) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(1)));
        let to: SocketAddr = format!("{address}:8080").parse()?;
        let (left, often) = (Arc::clone(&gone), Arc::clone(&times));
        std::thread::spawn(move || {
            // Whoever is not answered calls again.
            repeat(&left, &often, calls, seed, || drop(call(to)));
        });
        if packets > 0.0 {
            let socket = UdpSocket::bind("0.0.0.0:0")?;
            let to: SocketAddr = format!("{address}:8125").parse()?;
            let left = Arc::clone(&gone);
            std::thread::spawn(move || {
                let often = AtomicU64::new(1);
                repeat(&left, &often, packets, seed + 1, || drop(socket.send_to(&[0; PACKET], to)));
            });
        }
        Ok(Self { gone, times })
    }

    /// From now on they call so many times as often.
    pub fn hurry(&self, times: u64) {
        self.times.store(times, Ordering::Relaxed);
    }
}

impl Drop for Customers {
    fn drop(&mut self) {
        self.gone.store(true, Ordering::Relaxed);
    }
}

fn repeat(gone: &AtomicBool, times: &AtomicU64, rate: f64, seed: u64, mut act: impl FnMut()) {
    let (start, mut dice) = (Instant::now(), Dice::new(seed));
    while !gone.load(Ordering::Relaxed) {
        let swing = 1.0 + 0.3 * (std::f64::consts::TAU * start.elapsed().as_secs_f64() / DAY).sin();
        let wander = dice.between((80, 120)) as f64 / 100.0;
        let often = rate * swing * times.load(Ordering::Relaxed) as f64;
        std::thread::sleep(Duration::from_secs_f64(wander / often));
        act();
    }
}

fn call(to: SocketAddr) -> Result<()> {
    let mut stream = TcpStream::connect_timeout(&to, PATIENCE)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.write_all(b"GET / HTTP/1.1\r\nHost: shop\r\nConnection: close\r\n\r\n")?;
    stream.read_to_end(&mut Vec::new())?;
    Ok(())
}
