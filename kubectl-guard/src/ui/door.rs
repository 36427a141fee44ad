//! The way in: a port on loopback, and the one URL that opens it.

use std::net::Ipv4Addr;

use tokio::net::TcpListener;

use super::gate::Gate;
use super::server::{self, Pages};
use crate::desk::Desk;
use crate::error::Error;
use crate::plan::hex;

const SECRET_BYTES: usize = 32;

/// A port that is listened on, and who may come in.
pub struct Door {
    listener: TcpListener,
    gate: Gate,
    /// Opens once, in a browser on this machine.
    pub url: String,
}

impl Door {
    /// Listens on this port of a loopback address; 0 takes a free one.
    ///
    /// # Errors
    /// The port is taken, or the system gives no random bytes.
    pub async fn open(address: Ipv4Addr, port: u16) -> Result<Self, Error> {
        let failed = |doing: String| move |source| Error::Io { doing, source };
        let listener = TcpListener::bind((address, port)).await;
        let listener = listener.map_err(failed(format!("listen on {address}:{port}")))?;
        let port = listener.local_addr().map_err(failed("learn the port".to_owned()))?.port();
        let token = secret()?;
        let gate = Gate::new(port, token.clone(), secret()?, secret()?);
        Ok(Self { listener, gate, url: format!("http://{address}:{port}/?token={token}") })
    }

    /// Serves until it is let go. Whoever came in may come in again when it serves again: nobody else had the port meanwhile, so
    /// that nobody else was shown cookie and key.
    pub async fn serve<D: Desk + 'static>(&self, pages: Pages<D>) {
        server::serve(&self.listener, self.gate.clone(), pages).await;
    }
}

/// Letters and digits that nobody can guess.
fn secret() -> Result<String, Error> {
    let mut bytes = [0; SECRET_BYTES];
    getrandom::fill(&mut bytes).map_err(|error| Error::Io {
        doing: "draw random bytes".into(),
        source: std::io::Error::other(error.to_string()),
    })?;
    Ok(hex(&bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_long_and_differ() {
        let (one, other) = (secret().unwrap(), secret().unwrap());
        assert_eq!(one.len(), 2 * SECRET_BYTES);
        assert_ne!(one, other);
    }
}
