//! The cable between a gateway and its database: a test can pull it out, or have it swallow what goes through.

use std::net::SocketAddr;
use std::path::PathBuf;

use sqlx::postgres::{PgConnectOptions, PgPoolOptions, PgSslMode};
use store::PgPool;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadHalf, WriteHalf, split};
use tokio::net::{TcpListener, TcpStream, UnixStream};
use tokio::sync::watch;

#[derive(Clone)]
enum Database {
    Tcp(String, u16),
    Unix(PathBuf),
}

/// What those connections call themselves that go through a cable.
const NAME: &str = "gateway through a cable";

/// How a cable is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum State {
    PluggedIn,
    /// Connections end, new ones too.
    Pulled,
    /// Connections stay and nothing gets through, until it is plugged in again.
    Swallowing,
    /// The same for those that listen for notifications, in the listener's direction; all others work.
    ListenersSwallowed,
    /// Connections that listen end, as soon as they begin to.
    ListenersCut,
}

pub struct Cable {
    pub address: SocketAddr,
    state: watch::Sender<State>,
}

trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}
impl<T: AsyncRead + AsyncWrite + Unpin + Send> Stream for T {}

impl Cable {
    /// A cable to the database of `pool`, plugged in or not.
    pub async fn to(pool: &PgPool, plugged: bool) -> Self {
        let database = database_of(&pool.connect_options());
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let first = if plugged { State::PluggedIn } else { State::Pulled };
        let (sender, state) = watch::channel(first);
        tokio::spawn(async move {
            loop {
                let (client, _) = listener.accept().await.unwrap();
                tokio::spawn(carry(client, database.clone(), state.clone()));
            }
        });
        Self { address, state: sender }
    }

    /// A pool through this cable, acting as the gateway.
    pub fn pool(&self, owner: &PgPool) -> PgPool {
        let options = owner.connect_options().as_ref().clone();
        let options = options.host("127.0.0.1").port(self.address.port());
        let options = options.ssl_mode(PgSslMode::Disable).application_name(NAME);
        PgPoolOptions::new()
            .max_connections(6)
            // Passwords take their time in a debug build, and several connections are made at once.
            .acquire_timeout(std::time::Duration::from_secs(5))
            .after_connect(|connection, _| {
                Box::pin(async move {
                    sqlx::Executor::execute(connection, "SET ROLE latchkey_gateway").await.map(|_| ())
                })
            })
            .connect_lazy_with(options)
    }

    pub fn pull(&self) {
        self.state.send_replace(State::Pulled);
    }

    pub fn plug_in(&self) {
        self.state.send_replace(State::PluggedIn);
    }

    /// As a database that hangs: nothing gets through, and nobody is told.
    pub fn swallow(&self) {
        self.state.send_replace(State::Swallowing);
    }

    /// As a connection that is open on one side only: whoever listens hears nothing and cannot know.
    pub fn swallow_notifications(&self) {
        self.state.send_replace(State::ListenersSwallowed);
    }

    /// Nobody can listen.
    pub fn cut_notifications(&self) {
        self.state.send_replace(State::ListenersCut);
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

async fn carry(client: TcpStream, database: Database, mut state: watch::Receiver<State>) {
    if *state.borrow() == State::Pulled {
        return;
    }
    let server: Box<dyn Stream> = match database {
        Database::Tcp(host, port) => Box::new(TcpStream::connect((host.as_str(), port)).await.unwrap()),
        Database::Unix(path) => Box::new(UnixStream::connect(path).await.unwrap()),
    };
    let (from_client, to_client) = split(client);
    let (from_server, to_server) = split(server);
    let listens = watch::Sender::new(false);
    let is_listener = listens.subscribe();
    let mut ends = listens.subscribe();
    let there = copy(from_client, to_server, state.clone(), |bytes| {
        if bytes.windows(6).any(|word| word == b"LISTEN") {
            listens.send_replace(true);
        }
        State::Swallowing
    });
    let back = copy(from_server, to_client, state.clone(), |_| {
        if *is_listener.borrow() { State::ListenersSwallowed } else { State::Swallowing }
    });
    let mut later = state.clone();
    let listener_cut = async {
        let _ = ends.wait_for(|listens| *listens).await;
        let _ = later.wait_for(|state| *state == State::ListenersCut).await;
    };
    tokio::select! {
        () = there => {}
        () = back => {}
        () = listener_cut => {}
        _ = state.wait_for(|state| *state == State::Pulled) => {}
    }
}

/// Copies until either side ends, and holds what comes while the cable swallows. `held_in` says, of some bytes, in which
/// state beside [`State::Swallowing`] they are held.
async fn copy<T: Stream, U: Stream>(
    mut from: ReadHalf<T>,
    mut to: WriteHalf<U>,
    mut state: watch::Receiver<State>,
    held_in: impl Fn(&[u8]) -> State,
) {
    let mut buffer = vec![0; 16 * 1024];
    while let Ok(length @ 1..) = from.read(&mut buffer).await {
        let held = held_in(&buffer[..length]);
        let passes = state.wait_for(|state| *state != State::Swallowing && *state != held).await.is_ok();
        if !passes || to.write_all(&buffer[..length]).await.is_err() {
            return;
        }
    }
}
