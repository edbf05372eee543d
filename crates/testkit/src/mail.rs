//! A mail sink: takes every message over real SMTP, keeps it in memory and shows it on a web page.
//!
//! It delivers nothing anywhere. `cargo xtask dev` runs it as the inbox of the demo account, tests run it on
//! port 0 and wait for the message they expect. The SMTP conversation is the `mailin` crate's.

mod inbox;
mod mailbox;
mod message;
mod smtp;

use std::{io, net::SocketAddr, sync::Arc, time::Duration};

use tokio::{net::TcpListener, task::JoinSet};

use mailbox::Mailbox;
pub use mailbox::NoMail;
pub use message::Mail;

/// What the sink does with the mail offered to it, so that a test can have its mail server fail.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(tag = "mode", rename_all = "snake_case")]
pub enum Behaviour {
    /// Takes every message at once.
    #[default]
    Accept,
    /// Takes every message, but answers the sender's `MAIL FROM` this much later.
    Delay {
        /// How long the sender waits, in milliseconds.
        millis: u64,
    },
    /// Is out of service: answers 421 and closes the connection.
    Refuse,
    /// Knows no recipient: answers 550 to every `RCPT TO`.
    Reject,
}

/// A running mail sink. Dropping it closes both listeners and every connection.
#[derive(Debug)]
pub struct MailSink {
    mailbox: Arc<Mailbox>,
    smtp_addr: SocketAddr,
    http_addr: SocketAddr,
    // Held for its Drop: the tasks end with the sink.
    _tasks: JoinSet<()>,
}

impl MailSink {
    /// How long [`MailSink::wait_for`] waits before it gives up.
    pub const PATIENCE: Duration = Duration::from_secs(10);

    /// Listens for SMTP on `smtp` and serves the inbox on `http`. Port 0 picks a free one.
    pub async fn start(smtp: SocketAddr, http: SocketAddr) -> io::Result<Self> {
        let smtp = TcpListener::bind(smtp).await?;
        let http = TcpListener::bind(http).await?;
        let (smtp_addr, http_addr) = (smtp.local_addr()?, http.local_addr()?);
        let mailbox = Arc::new(Mailbox::default());
        let mut tasks = JoinSet::new();
        tasks.spawn(smtp::serve(smtp, Arc::clone(&mailbox)));
        tasks.spawn(inbox::serve(http, Arc::clone(&mailbox)));
        Ok(Self { mailbox, smtp_addr, http_addr, _tasks: tasks })
    }

    /// A sink on free loopback ports.
    pub async fn start_local() -> io::Result<Self> {
        let any = SocketAddr::from(([127, 0, 0, 1], 0));
        Self::start(any, any).await
    }

    /// The address that speaks SMTP.
    #[must_use]
    pub fn smtp_addr(&self) -> SocketAddr {
        self.smtp_addr
    }

    /// The address of the inbox page.
    #[must_use]
    pub fn http_addr(&self) -> SocketAddr {
        self.http_addr
    }

    /// What a program's `SMTP_URL` must be to send here.
    #[must_use]
    pub fn smtp_url(&self) -> String {
        format!("smtp://{}", self.smtp_addr)
    }

    /// Every message so far, newest first.
    #[must_use]
    pub fn messages(&self) -> Vec<Mail> {
        self.mailbox.messages(None)
    }

    /// The oldest message to `to` that no earlier call returned; waits until there is one, for at most
    /// [`MailSink::PATIENCE`]. So two calls give two messages, in the order they came.
    pub async fn wait_for(&self, to: &str) -> Result<Mail, NoMail> {
        self.mailbox.next_for(to, Self::PATIENCE).await
    }

    /// Forgets every message.
    pub fn clear(&self) {
        self.mailbox.clear();
    }

    /// From now on tells the sender of mail to `to` to try again later (451), as a greylisting server does.
    pub fn defer(&self, to: &str) {
        self.mailbox.defer(to);
    }

    /// Changes what happens to the mail offered from now on, on open connections too.
    pub fn behave(&self, behaviour: Behaviour) {
        self.mailbox.behave(behaviour);
    }
}
