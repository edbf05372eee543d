//! The cable between a gateway and its database, which a test can pull out.

use std::net::SocketAddr;
use std::path::PathBuf;

use sqlx::postgres::{PgConnectOptions, PgPoolOptions, PgSslMode};
use store::PgPool;
use tokio::io::{AsyncRead, AsyncWrite, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream, UnixStream};
use tokio::sync::watch;

#[derive(Clone)]
enum Database {
    Tcp(String, u16),
    Unix(PathBuf),
}

pub struct Cable {
    pub address: SocketAddr,
    plugged: watch::Sender<bool>,
}

trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}
impl<T: AsyncRead + AsyncWrite + Unpin + Send> Stream for T {}

impl Cable {
    /// A cable to the database of `pool`, plugged in or not.
    pub async fn to(pool: &PgPool, plugged: bool) -> Self {
        let database = database_of(&pool.connect_options());
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (plugged, state) = watch::channel(plugged);
        tokio::spawn(async move {
            loop {
                let (client, _) = listener.accept().await.unwrap();
                tokio::spawn(carry(client, database.clone(), state.clone()));
            }
        });
        Self { address, plugged }
    }

    /// A pool through this cable, acting as the gateway.
    pub fn pool(&self, owner: &PgPool) -> PgPool {
        let options = owner.connect_options().as_ref().clone();
        let options = options.host("127.0.0.1").port(self.address.port()).ssl_mode(PgSslMode::Disable);
        PgPoolOptions::new()
            .max_connections(6)
            .acquire_timeout(std::time::Duration::from_secs(1))
            .after_connect(|connection, _| {
                Box::pin(async move {
                    sqlx::Executor::execute(connection, "SET ROLE latchkey_gateway").await.map(|_| ())
                })
            })
            .connect_lazy_with(options)
    }

    pub fn pull(&self) {
        self.plugged.send_replace(false);
    }

    pub fn plug_in(&self) {
        self.plugged.send_replace(true);
    }
}

fn database_of(options: &PgConnectOptions) -> Database {
    let host = options.get_host();
    if let Some(socket) = options.get_socket() {
        return Database::Unix(socket.join(format!(".s.PGSQL.{}", options.get_port())));
    }
    if host.starts_with('/') {
        return Database::Unix(PathBuf::from(host).join(format!(".s.PGSQL.{}", options.get_port())));
    }
    Database::Tcp(host.to_owned(), options.get_port())
}

async fn carry(mut client: TcpStream, database: Database, mut plugged: watch::Receiver<bool>) {
    if !*plugged.borrow() {
        return;
    }
    let mut server: Box<dyn Stream> = match database {
        Database::Tcp(host, port) => Box::new(TcpStream::connect((host.as_str(), port)).await.unwrap()),
        Database::Unix(path) => Box::new(UnixStream::connect(path).await.unwrap()),
    };
    tokio::select! {
        _ = copy_bidirectional(&mut client, &mut server) => {}
        _ = plugged.wait_for(|plugged| !plugged) => {}
    }
}
