//! A client's connection, plain or encrypted, with nothing said on it yet.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use crate::config::Limits;

/// The first byte of every TLS connection: a handshake record. No method begins with it.
const HANDSHAKE: u8 = 0x16;

/// A client's connection.
#[derive(Debug)]
pub(super) enum Socket {
    /// As it came.
    Plain(TcpStream),
    /// After a handshake. Boxed: it is far larger.
    Tls(Box<TlsStream<TcpStream>>),
}

/// Finds out whether a client speaks TLS, and if so, shakes hands with it. A client that does not, though it could, is
/// still answered: it is told what to do instead.
pub(super) async fn establish(
    stream: TcpStream,
    tls: Option<&TlsAcceptor>,
    limits: &Limits,
) -> io::Result<Socket> {
    // Without it the kernel holds back the second event of a stream until the first is acknowledged: 40 ms.
    stream.set_nodelay(true)?;
    let Some(tls) = tls else { return Ok(Socket::Plain(stream)) };
    let mut first = [0];
    let is_tls = timeout(limits.head, stream.peek(&mut first)).await.map_err(io::Error::from)?? == 1
        && first == [HANDSHAKE];
    if !is_tls {
        return Ok(Socket::Plain(stream));
    }
    let stream = timeout(limits.handshake, tls.accept(stream)).await.map_err(io::Error::from)??;
    Ok(Socket::Tls(Box::new(stream)))
}

impl Socket {
    /// Whether nobody between here and the peer can read along.
    pub(super) fn is_encrypted(&self) -> bool {
        matches!(self, Self::Tls(_))
    }
}

impl AsyncRead for Socket {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_read(context, buffer),
            Self::Tls(stream) => Pin::new(stream).poll_read(context, buffer),
        }
    }
}

impl AsyncWrite for Socket {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, data: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_write(context, data),
            Self::Tls(stream) => Pin::new(stream).poll_write(context, data),
        }
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        data: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_write_vectored(context, data),
            Self::Tls(stream) => Pin::new(stream).poll_write_vectored(context, data),
        }
    }

    fn is_write_vectored(&self) -> bool {
        match self {
            Self::Plain(stream) => stream.is_write_vectored(),
            Self::Tls(stream) => stream.is_write_vectored(),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_flush(context),
            Self::Tls(stream) => Pin::new(stream).poll_flush(context),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_shutdown(context),
            Self::Tls(stream) => Pin::new(stream).poll_shutdown(context),
        }
    }
}
