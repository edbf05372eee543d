//! A connection without a client library: for requests no library would send.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::timeout;

const TIME: Duration = Duration::from_secs(20);

pub struct Raw(pub TcpStream);

impl Raw {
    pub async fn connect(address: SocketAddr) -> Self {
        Self(TcpStream::connect(address).await.unwrap())
    }

    /// A connection whose receiving side holds little, for one that reads slowly or not at all.
    pub async fn connect_narrowly(address: SocketAddr) -> Self {
        let socket = TcpSocket::new_v4().unwrap();
        socket.set_recv_buffer_size(32 * 1024).unwrap();
        Self(socket.connect(address).await.unwrap())
    }

    pub async fn send(&mut self, text: &str) {
        self.0.write_all(text.as_bytes()).await.unwrap();
    }

    /// Reads until the gateway closes the connection.
    pub async fn read_to_end(&mut self) -> String {
        let mut bytes = Vec::new();
        timeout(TIME, self.0.read_to_end(&mut bytes)).await.expect("the gateway does not close").unwrap();
        String::from_utf8(bytes).unwrap()
    }

    /// Reads until `end` has come.
    pub async fn read_until(&mut self, end: &str) -> String {
        let mut text = String::new();
        let reading = async {
            while !text.contains(end) {
                let mut buffer = [0; 4096];
                let count = self.0.read(&mut buffer).await.unwrap();
                assert_ne!(count, 0, "closed after: {text}");
                text.push_str(std::str::from_utf8(&buffer[..count]).unwrap());
            }
        };
        timeout(TIME, reading).await.unwrap_or_else(|_| panic!("'{end}' does not come"));
        text
    }
}
