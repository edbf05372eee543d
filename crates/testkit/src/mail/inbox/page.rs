//! The inbox as HTML: no scripts, both themes, the code readable across a desk.

use std::{fmt::Write, time::SystemTime};

use time::OffsetDateTime;

use super::super::Mail;

const STYLE: &str = include_str!("inbox.css");

pub(super) fn inbox(mails: &[Mail]) -> String {
    let count = match mails.len() {
        0 => "No mail yet".to_owned(),
        1 => "1 message".to_owned(),
        n => format!("{n} messages"),
    };
    let mut body = format!("<header><h1>Inbox</h1><p>{count} · refreshes every 2 seconds</p></header>");
    if mails.is_empty() {
        body.push_str(
            "<p class=\"empty\">Everything the console sends ends here and is delivered nowhere else. \
             Ask for a sign-in code and it shows up by itself.</p>",
        );
    }
    let now = SystemTime::now().into();
    body.push_str("<ol>");
    for mail in mails {
        body.push_str(&row(mail, now));
    }
    body.push_str("</ol>");
    document("Inbox", "<meta http-equiv=\"refresh\" content=\"2\">", &body)
}

fn row(mail: &Mail, now: OffsetDateTime) -> String {
    format!(
        "<li><a href=\"/messages/{}\"><span class=\"what\"><strong>{}</strong><small>to {} · {}</small></span>{}</a></li>",
        mail.id,
        subject(mail),
        escape(&mail.to.join(", ")),
        ago(mail.received, now),
        code(mail),
    )
}

pub(super) fn message(mail: &Mail) -> String {
    let mut body = format!(
        "<header><p><a href=\"/\">← Inbox</a></p><h1>{}</h1><p>from {} to {}</p>{}</header><pre>{}</pre>",
        subject(mail),
        escape(&mail.from),
        escape(&mail.to.join(", ")),
        code(mail),
        escape(&mail.text),
    );
    if mail.html.is_some() {
        // Writing to a String cannot fail.
        let _ = write!(
            body,
            "<iframe sandbox title=\"The message as HTML\" src=\"/messages/{}/html\"></iframe>",
            mail.id
        );
    }
    document(&mail.subject, "", &body)
}

pub(super) fn gone() -> String {
    document(
        "No such message",
        "",
        "<header><h1>No such message</h1><p><a href=\"/\">← Inbox</a></p></header>",
    )
}

fn document(title: &str, head: &str, body: &str) -> String {
    format!(
        "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\"><title>{} · Mail sink</title>\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\
         <meta name=\"color-scheme\" content=\"light dark\">{head}<style>{STYLE}</style></head>\
         <body><main>{body}</main></body></html>",
        escape(title)
    )
}

fn subject(mail: &Mail) -> String {
    if mail.subject.is_empty() { "(no subject)".to_owned() } else { escape(&mail.subject) }
}

/// Two groups of four for the eye; one selectable run for the clipboard.
fn code(mail: &Mail) -> String {
    let Some(code) = mail.code.as_deref() else { return String::new() };
    let (front, back) = code.split_at(code.len() / 2);
    format!("<code><span>{}</span>{}</code>", escape(front), escape(back))
}

fn ago(then: OffsetDateTime, now: OffsetDateTime) -> String {
    match (now - then).whole_seconds() {
        ..5 => "just now".to_owned(),
        s @ 5..60 => format!("{s} s ago"),
        s @ 60..3600 => format!("{} min ago", s / 60),
        s => format!("{} h ago", s / 3600),
    }
}

fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            c => escaped.push(c),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn foreign_text_cannot_become_markup() {
        let mail = Mail {
            id: 1,
            to: vec!["<b>@example.com".to_owned()],
            from: "\"x\"@example.com".to_owned(),
            subject: "<script>alert(1)</script>".to_owned(),
            text: "</pre><img src=x>".to_owned(),
            html: None,
            code: Some("12345678".to_owned()),
            received: OffsetDateTime::UNIX_EPOCH,
        };
        for page in [inbox(std::slice::from_ref(&mail)), message(&mail)] {
            assert!(!page.contains("<script>") && !page.contains("<b>") && !page.contains("<img"), "{page}");
            assert!(page.contains("<code><span>1234</span>5678</code>"));
        }
    }

    #[test]
    fn times_are_told_in_the_largest_unit_that_fits() {
        let at = |seconds| {
            ago(OffsetDateTime::UNIX_EPOCH, OffsetDateTime::UNIX_EPOCH + time::Duration::seconds(seconds))
        };
        assert_eq!([at(2), at(59), at(61), at(7300)], ["just now", "59 s ago", "1 min ago", "2 h ago"]);
    }
}
