//! The SMTP side: one connection at a time through mailin's state machine, bent by [`Behaviour`].

use std::{io, net::IpAddr, sync::Arc, time::Duration};

use mailin::{Action, Handler, Response, Session, SessionBuilder, response};
use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader},
    net::{TcpListener, TcpStream},
    task::JoinSet,
};

use super::{Behaviour, Mail, mailbox::Mailbox};

/// Far above any mail of ours; keeps a runaway sender from filling the memory.
const MESSAGE_LIMIT_BYTES: usize = 16 * 1024 * 1024;

pub(super) async fn serve(listener: TcpListener, mailbox: Arc<Mailbox>) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => { connections.spawn(converse(stream, Arc::clone(&mailbox))); }
                Err(error) => tracing::warn!(%error, "mail sink cannot accept a connection"),
            },
            Some(_) = connections.join_next() => {}
        }
    }
}

async fn converse(stream: TcpStream, mailbox: Arc<Mailbox>) {
    if let Err(error) = try_converse(stream, mailbox).await {
        tracing::debug!(%error, "an SMTP connection ended early");
    }
}

async fn try_converse(stream: TcpStream, mailbox: Arc<Mailbox>) -> io::Result<()> {
    let peer = stream.peer_addr()?.ip();
    let mut stream = BufReader::new(stream);
    let handler = Receiver { mailbox: Arc::clone(&mailbox), to: Vec::new(), raw: Vec::new() };
    let mut session = SessionBuilder::new("mail-sink").build(peer, handler);
    if mailbox.behaviour() == Behaviour::Refuse {
        return reply(&mut stream, &response::NO_SERVICE).await;
    }
    reply(&mut stream, &session.greeting()).await?;
    let mut line = Vec::new();
    loop {
        line.clear();
        if stream.read_until(b'\n', &mut line).await? == 0 {
            return Ok(());
        }
        let answer = answer(&mut session, &line, &mailbox).await;
        if answer.action != Action::NoReply {
            reply(&mut stream, &answer).await?;
        }
        if answer.action == Action::Close {
            return Ok(());
        }
    }
}

async fn answer(session: &mut Session<Receiver>, line: &[u8], mailbox: &Mailbox) -> Response {
    match mailbox.behaviour() {
        Behaviour::Refuse => return response::NO_SERVICE,
        Behaviour::Delay { millis } if line.len() > 4 && line[..4].eq_ignore_ascii_case(b"MAIL") => {
            tokio::time::sleep(Duration::from_millis(millis)).await;
        }
        Behaviour::Accept | Behaviour::Delay { .. } | Behaviour::Reject => {}
    }
    session.process(line)
}

async fn reply(stream: &mut BufReader<TcpStream>, response: &Response) -> io::Result<()> {
    stream.write_all(&response.buffer()?).await?;
    stream.flush().await
}

/// Collects one connection's message.
struct Receiver {
    mailbox: Arc<Mailbox>,
    to: Vec<String>,
    raw: Vec<u8>,
}

impl Handler for Receiver {
    fn mail(&mut self, _ip: IpAddr, _domain: &str, _from: &str) -> Response {
        self.to.clear();
        self.raw.clear();
        response::OK
    }

    fn rcpt(&mut self, to: &str) -> Response {
        if self.mailbox.behaviour() == Behaviour::Reject {
            return response::NO_MAILBOX;
        }
        if self.mailbox.is_deferred(to) {
            return Response::custom(451, "4.7.1 Try again later".to_owned());
        }
        self.to.push(to.to_owned());
        response::OK
    }

    fn data(&mut self, bytes: &[u8]) -> io::Result<()> {
        if self.raw.len() + bytes.len() > MESSAGE_LIMIT_BYTES {
            return Err(io::Error::other("message too large"));
        }
        self.raw.extend_from_slice(bytes);
        Ok(())
    }

    fn data_end(&mut self) -> Response {
        let to = std::mem::take(&mut self.to);
        match Mail::parse(&std::mem::take(&mut self.raw), to) {
            Some(mail) => Response::custom(250, format!("2.0.0 Ok: kept as {}", self.mailbox.add(mail))),
            None => response::TRANSACTION_FAILED,
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncReadExt;

    use super::super::MailSink;
    use super::*;

    /// Says `lines` to the sink as one client would and returns all it answered.
    async fn say(sink: &MailSink, lines: &str) -> String {
        let mut stream = TcpStream::connect(sink.smtp_addr()).await.unwrap();
        stream.write_all(lines.as_bytes()).await.unwrap();
        let mut answers = String::new();
        stream.read_to_string(&mut answers).await.unwrap();
        answers
    }

    fn message(to: &str, code: &str) -> String {
        format!(
            "EHLO test\r\nMAIL FROM:<mail@example.com>\r\nRCPT TO:<{to}>\r\nDATA\r\nSubject: Code\r\n\r\n{code}\r\n..end\r\n.\r\nQUIT\r\n"
        )
    }

    #[tokio::test]
    async fn a_message_is_kept_as_it_was_sent() {
        let sink = MailSink::start_local().await.unwrap();
        let answers = say(&sink, &message("a@example.com", "1234 5678")).await;
        assert!(answers.contains("250 2.0.0 Ok: kept as 1"), "{answers}");
        let mail = sink.wait_for("a@example.com").await.unwrap();
        assert_eq!((mail.subject.as_str(), mail.code.as_deref()), ("Code", Some("12345678")));
        assert_eq!(mail.text, "1234 5678\r\n.end\r\n");
    }

    #[tokio::test]
    async fn waiting_gives_each_message_once_and_only_to_its_recipient() {
        let sink = MailSink::start_local().await.unwrap();
        let (first, ()) = tokio::join!(sink.wait_for("a@example.com"), async {
            say(&sink, &message("b@example.com", "11111111")).await;
            say(&sink, &message("a@example.com", "22222222")).await;
            say(&sink, &message("a@example.com", "33333333")).await;
        });
        assert_eq!(first.unwrap().code.as_deref(), Some("22222222"));
        assert_eq!(sink.wait_for("A@example.com").await.unwrap().code.as_deref(), Some("33333333"));
        assert_eq!(sink.messages().len(), 3);
    }

    #[tokio::test]
    async fn a_refusing_sink_keeps_nothing() {
        let sink = MailSink::start_local().await.unwrap();
        sink.behave(Behaviour::Refuse);
        let mut stream = TcpStream::connect(sink.smtp_addr()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        assert!(answer.starts_with("421"), "{answer}");
        sink.behave(Behaviour::Reject);
        assert!(say(&sink, &message("a@example.com", "12345678")).await.contains("\r\n550 "));
        assert!(sink.messages().is_empty());
    }

    #[tokio::test]
    async fn a_deferred_recipient_gets_nothing_and_others_do() {
        let sink = MailSink::start_local().await.unwrap();
        sink.defer("Later@example.com");
        assert!(say(&sink, &message("later@example.com", "12345678")).await.contains("\r\n451 "));
        say(&sink, &message("a@example.com", "12345678")).await;
        assert_eq!(sink.messages().len(), 1);
    }

    #[tokio::test]
    async fn a_delaying_sink_takes_the_message_in_the_end() {
        let sink = MailSink::start_local().await.unwrap();
        sink.behave(Behaviour::Delay { millis: 120 });
        let started = std::time::Instant::now();
        say(&sink, &message("a@example.com", "12345678")).await;
        assert!(started.elapsed() >= Duration::from_millis(120));
        assert_eq!(sink.messages().len(), 1);
    }
}
