//! Outgoing mail: a bounded queue in memory and a worker that hands mails to the SMTP server.
//!
//! Pages never wait for the mail server, so they answer alike whether it is up, down or slow. A mail that
//! cannot be handed over is tried again for five minutes: a code lives ten.

use std::sync::Arc;
use std::time::Duration;

use domain::email::EmailAddress;
use lettre::message::{Mailbox, MultiPart};
use lettre::transport::smtp::authentication::Credentials;
use lettre::transport::smtp::client::{Tls, TlsParameters};
use lettre::{AsyncSmtpTransport, AsyncTransport, Message, Tokio1Executor};
use tokio::sync::{Semaphore, mpsc};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::config::{Smtp, SmtpSecurity};

const QUEUE: usize = 1024;
const AT_ONCE: usize = 8;
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
pub struct MailSetupError(#[from] lettre::transport::smtp::Error);

/// A handle to the queue.
#[derive(Clone)]
pub struct Mailer {
    queue: mpsc::Sender<Mail>,
}

impl Mailer {
    /// Starts the worker on `tasks`. Once `stop` is cancelled, what is queued gets one more try each.
    pub fn start(
        smtp: &Smtp,
        from: Mailbox,
        tasks: &TaskTracker,
        stop: CancellationToken,
    ) -> Result<Self, MailSetupError> {
        let transport = transport(smtp)?;
        let (queue, mails) = mpsc::channel(QUEUE);
        tasks.spawn(work(transport, from, mails, tasks.clone(), stop));
        Ok(Self { queue })
    }

    /// Queues a mail. A full queue drops it, with a log line: the person can ask again.
    pub fn send(&self, mail: Mail) {
        if self.queue.try_send(mail).is_err() {
            tracing::error!("the mail queue is full or closed; a mail was dropped");
        }
    }
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

async fn work(
    transport: Smtp1,
    from: Mailbox,
    mut mails: mpsc::Receiver<Mail>,
    tasks: TaskTracker,
    stop: CancellationToken,
) {
    let room = Arc::new(Semaphore::new(AT_ONCE));
    loop {
        let mail = tokio::select! {
            mail = mails.recv() => mail,
            // What is queued by now still gets its one try.
            () = stop.cancelled(), if !mails.is_closed() => {
                mails.close();
                continue;
            }
        };
        let Some(mail) = mail else { return };
        let Ok(permit) = Arc::clone(&room).acquire_owned().await else { return };
        let (transport, from, stop) = (transport.clone(), from.clone(), stop.clone());
        tasks.spawn(async move {
            deliver(&transport, &from, &mail, &stop).await;
            drop(permit);
        });
    }
}

/// Tries until the server takes it, refuses it for good, the time is over, or the console stops.
async fn deliver(transport: &Smtp1, from: &Mailbox, mail: &Mail, stop: &CancellationToken) {
    let message = match compose(from, mail) {
        Ok(message) => message,
        Err(error) => return tracing::error!(%error, "a mail could not be written"),
    };
    let until = Instant::now() + TRY_FOR;
    let mut pause = FIRST_PAUSE;
    loop {
        // The error of an SMTP conversation may repeat the address; its kind is enough.
        let Err(error) = transport.send(message.clone()).await else { return };
        if error.is_permanent() {
            return tracing::warn!(status = ?error.status(), "the mail server refused a mail");
        }
        if Instant::now() + pause > until {
            return tracing::error!("gave up on a mail after five minutes");
        }
        tracing::warn!(
            retry_in_ms = pause.as_millis(),
            kind = kind(&error),
            "the mail server cannot take a mail"
        );
        if stop.run_until_cancelled(tokio::time::sleep(pause)).await.is_none() {
            return tracing::warn!("stopping with a mail not delivered");
        }
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

fn kind(error: &lettre::transport::smtp::Error) -> &'static str {
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
