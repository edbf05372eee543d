//! A socket under the HTTP library: reads along for the conversation, and keeps the library from answering in its own
//! words.
//!
//! When the library cannot read a request it writes a bare status line of its own, without a request id and without
//! the error body every client of this service relies on. Such bytes are recognised by when they come: no request is
//! being served and everything belonging to the last one has been flushed. They are dropped, and the edge says what
//! there is to say once the library has given the connection back.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::conversation::Conversation;
use super::head::Scanner;
use super::socket::Socket;

/// A watched socket.
#[derive(Debug)]
pub(super) struct Watched {
    socket: Socket,
    conversation: Conversation,
    scanner: Scanner,
}

impl Watched {
    pub(super) fn new(socket: Socket, conversation: Conversation) -> Self {
        Self { socket, conversation, scanner: Scanner::default() }
    }

    /// The socket, once the library is done with it.
    pub(super) fn into_socket(self) -> Socket {
        self.socket
    }
}

impl AsyncRead for Watched {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        ready!(Pin::new(&mut self.socket).poll_read(context, buffer))?;
        let read = &buffer.filled()[before..];
        if !read.is_empty() {
            let fault = self.scanner.read(read);
            self.conversation.heard(fault);
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Watched {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        data: &[u8],
    ) -> Poll<io::Result<usize>> {
        if !self.conversation.owes_answer() {
            return Poll::Ready(Ok(data.len()));
        }
        Pin::new(&mut self.socket).poll_write(context, data)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        data: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        if !self.conversation.owes_answer() {
            return Poll::Ready(Ok(data.iter().map(|slice| slice.len()).sum()));
        }
        Pin::new(&mut self.socket).poll_write_vectored(context, data)
    }

    fn is_write_vectored(&self) -> bool {
        self.socket.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        // The library flushes the socket only when it holds nothing back itself.
        self.conversation.flushed();
        Pin::new(&mut self.socket).poll_flush(context)
    }

    /// The edge ends the connection itself, after what it may have to say.
    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll_flush(context)
    }
}
