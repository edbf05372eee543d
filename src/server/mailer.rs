//! Outgoing mail: tasks that hand mails to the SMTP server, a bounded number of them.
//!
//! Pages never wait for the mail server, so they answer alike whether it is up, down or slow. A mail that
//! cannot be handed over is tried again for five minutes: a code lives ten. While it waits for its next try it holds
//! up no other: only a conversation with the server takes one of the few lines.

use std::sync::Arc;
use std::time::Duration;

use domain::email::EmailAddress;
use lettre::message::{Mailbox, MultiPart};
use lettre::transport::smtp::Error;
use lettre::transport::smtp::authentication::Credentials;
use lettre::transport::smtp::client::{Tls, TlsParameters};
use lettre::{AsyncSmtpTransport, AsyncTransport, Message, Tokio1Executor};
use tokio::sync::Semaphore;
use tokio::time::{Instant, timeout_at};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::config::{Smtp, SmtpSecurity};

/// Mails in memory.
const MAILS: usize = 1024;
/// How many of them may wait for another try; the rest of the room is for mails that had none yet.
const WAITING: usize = 512;
/// Conversations with the server at once.
const LINES: usize = 8;
const TRY_FOR: Duration = Duration::from_mins(5);
const FIRST_PAUSE: Duration = Duration::from_millis(500);
const LONGEST_PAUSE: Duration = Duration::from_secs(20);
const CONVERSATION_WITHIN: Duration = Duration::from_secs(15);

type Smtp1 = AsyncSmtpTransport<Tokio1Executor>;

/// One mail, in both forms.
#[derive(Clone)]
pub struct Mail {
    /// To whom.
    pub to: EmailAddress,
    /// The subject; never a code.
    pub subject: String,
    /// The plain text.
    pub text: String,
    /// The HTML.
    pub html: String,
}

/// The mail server's settings cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("the mail server's settings cannot be used: {0}")]
pub struct MailSetupError(#[from] Error);

/// A handle to the post office.
#[derive(Clone)]
pub struct Mailer {
    office: Arc<Office>,
    tasks: TaskTracker,
}

/// What all mails share.
struct Office {
    transport: Smtp1,
    from: Mailbox,
    stop: CancellationToken,
    room: Arc<Semaphore>,
    waiting: Semaphore,
    lines: Semaphore,
}

impl Mailer {
    /// Delivers on `tasks`. Once `stop` is cancelled, a mail gets one more try.
    pub fn start(
        smtp: &Smtp,
        from: Mailbox,
        tasks: &TaskTracker,
        stop: CancellationToken,
    ) -> Result<Self, MailSetupError> {
        let office = Office {
            transport: transport(smtp)?,
            from,
            stop,
            room: Arc::new(Semaphore::new(MAILS)),
            waiting: Semaphore::new(WAITING),
            lines: Semaphore::new(LINES),
        };
        Ok(Self { office: Arc::new(office), tasks: tasks.clone() })
    }

    /// Takes a mail. Where there is no room it is dropped, with a log line: the person can ask again.
    pub fn send(&self, mail: Mail) {
        let Ok(place) = Arc::clone(&self.office.room).try_acquire_owned() else {
            return tracing::error!("too many mails are under way; a mail was dropped");
        };
        let (office, until) = (Arc::clone(&self.office), Instant::now() + TRY_FOR);
        self.tasks.spawn(async move {
            office.deliver(&mail, until).await;
            drop(place);
        });
    }
}

impl Office {
    /// Tries until the server takes it, refuses it for good, the time is over, or the console stops.
    async fn deliver(&self, mail: &Mail, until: Instant) {
        let message = match compose(&self.from, mail) {
            Ok(message) => message,
            Err(error) => return tracing::error!(%error, "a mail could not be written"),
        };
        let mut pause = FIRST_PAUSE;
        loop {
            let Ok(line) = timeout_at(until, self.lines.acquire()).await else { return give_up() };
            let outcome = self.transport.send(message.clone()).await;
            drop(line);
            // The error of an SMTP conversation may repeat the address; its kind is enough.
            let Err(error) = outcome else { return };
            if error.is_permanent() {
                return tracing::warn!(status = ?error.status(), "the mail server refused a mail");
            }
            if Instant::now() + pause > until {
                return give_up();
            }
            let Ok(_waiting) = self.waiting.try_acquire() else {
                return tracing::error!("too many mails wait for another try; a mail was dropped");
            };
            tracing::warn!(
                retry_in_ms = pause.as_millis(),
                kind = kind(&error),
                "the mail server cannot take a mail"
            );
            if self.stop.run_until_cancelled(tokio::time::sleep(pause)).await.is_none() {
                return tracing::warn!("stopping with a mail not delivered");
            }
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }
}

fn give_up() {
    tracing::error!("gave up on a mail after five minutes");
}

fn transport(smtp: &Smtp) -> Result<Smtp1, MailSetupError> {
    let tls = match smtp.security {
        SmtpSecurity::Plain => Tls::None,
        SmtpSecurity::StartTls => Tls::Required(TlsParameters::new(smtp.host.clone())?),
        SmtpSecurity::Tls => Tls::Wrapper(TlsParameters::new(smtp.host.clone())?),
    };
    // "Dangerous" because it does nothing about TLS by itself; the line above does.
    let mut builder =
        Smtp1::builder_dangerous(&smtp.host).port(smtp.port).tls(tls).timeout(Some(CONVERSATION_WITHIN));
    if let Some((user, password)) = smtp.login.clone() {
        builder = builder.credentials(Credentials::new(user, password));
    }
    Ok(builder.build())
}

fn kind(error: &Error) -> &'static str {
    if error.is_transient() {
        "it said to try later"
    } else if error.is_timeout() {
        "it did not answer in time"
    } else if error.is_tls() {
        "TLS could not be set up"
    } else {
        "it cannot be reached"
    }
}

fn compose(from: &Mailbox, mail: &Mail) -> Result<Message, Box<dyn std::error::Error + Send + Sync>> {
    let to = Mailbox::new(None, mail.to.as_str().parse()?);
    let body = MultiPart::alternative_plain_html(mail.text.clone(), mail.html.clone());
    Ok(Message::builder().from(from.clone()).to(to).subject(&mail.subject).multipart(body)?)
}
