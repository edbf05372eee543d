//! The mail that carries a code. The code stands in the body, never in the subject, which lock screens show.

use std::net::IpAddr;

use domain::email::EmailAddress;
use domain::sign_in::SignInCode;
use time::OffsetDateTime;

use crate::server::config::Config;
use crate::server::mailer::Mail;
use crate::server::text;

/// Who asked for a code, so that its reader can tell whether it was them.
pub(super) struct Asked<'a> {
    /// When, by this machine's clock.
    pub(super) at: OffsetDateTime,
    /// From which address.
    pub(super) from: IpAddr,
    /// What the browser called itself.
    pub(super) user_agent: &'a str,
}

/// Writes the mail. Links lead to the configured address only, whatever host the request named.
pub(super) fn code_mail(config: &Config, to: EmailAddress, code: &SignInCode, asked: &Asked<'_>) -> Mail {
    let (first, last) = code.expose().split_at(4);
    let code = format!("{first} {last}");
    let when = text::date_time(asked.at);
    let browser = browser_words(asked.user_agent);
    let (brand, home, from) = (&config.brand, config.public.as_str(), asked.from);
    let plain = format!(
        "Your code to sign in to {brand}:\n\n    {code}\n\n\
         It works once, for 10 minutes, in the browser that asked for it.\n\n\
         Asked for on {when}\nfrom {from} ({browser}), for {to}.\n\n\
         Was it not you? Then ignore this mail: without the code nobody can sign in.\n\
         We never ask for a code by phone, chat or mail.\n\n{brand}\n{home}\n"
    );
    let html_brand = escape(brand);
    let html = format!(
        "<!DOCTYPE html><html lang=\"en\"><head><meta charset=\"utf-8\"><title>{html_brand}</title></head>\
         <body style=\"margin:0;padding:32px 16px;background:#f5f6f7;color:#1b1f23;\
         font:16px/1.5 system-ui,-apple-system,'Segoe UI',sans-serif\">\
         <div style=\"max-width:480px;margin:0 auto;padding:32px;background:#ffffff;border:1px solid #d8dcdf;\
         border-radius:8px\">\
         <p style=\"margin:0 0 16px\">Your code to sign in to {html_brand}:</p>\
         <p style=\"margin:0 0 16px;font:600 32px/1.2 ui-monospace,Menlo,Consolas,monospace;letter-spacing:2px\">\
         {code}</p>\
         <p style=\"margin:0 0 16px\">It works once, for 10 minutes, in the browser that asked for it.</p>\
         <p style=\"margin:0 0 16px;color:#57606a;font-size:14px\">Asked for on {when}<br>\
         from {from} ({browser}), for {to}.</p>\
         <p style=\"margin:0;color:#57606a;font-size:14px\">Was it not you? Then ignore this mail: without the code \
         nobody can sign in. We never ask for a code by phone, chat or mail.</p></div>\
         <p style=\"max-width:480px;margin:16px auto 0;color:#57606a;font-size:13px\">{html_brand} &middot; \
         <a href=\"{home}\" style=\"color:#57606a\">{home}</a></p></body></html>",
        to = escape(to.as_str()),
    );
    Mail { to, subject: format!("Your code to sign in to {brand}"), text: plain, html }
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

/// The browser in our own words. Whoever asks chooses its name, so nothing of that name enters the mail.
fn browser_words(user_agent: &str) -> String {
    let pick = |list: &[(&str, &'static str)]| {
        list.iter().find(|(mark, _)| user_agent.contains(mark)).map(|(_, words)| *words)
    };
    let browser = pick(&[
        ("Firefox/", "Firefox"),
        ("Edg/", "Edge"),
        ("OPR/", "Opera"),
        ("Chrome/", "Chrome"),
        ("Chromium/", "Chromium"),
        ("Safari/", "Safari"),
        ("curl/", "curl"),
    ]);
    let system = pick(&[
        ("Android", "Android"),
        ("iPhone", "iPhone"),
        ("iPad", "iPad"),
        ("Windows", "Windows"),
        ("Mac OS X", "macOS"),
        ("CrOS", "ChromeOS"),
        ("Linux", "Linux"),
    ]);
    let browser = browser.unwrap_or("an unknown browser");
    system.map_or_else(|| browser.to_owned(), |system| format!("{browser} on {system}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_browser_is_told_in_our_words() {
        let firefox = "Mozilla/5.0 (X11; Linux x86_64; rv:145.0) Gecko/20100101 Firefox/145.0";
        assert_eq!(browser_words(firefox), "Firefox on Linux");
        let safari = "Mozilla/5.0 (iPhone; CPU iPhone OS 19_0 like Mac OS X) Version/19.0 Safari/604.1";
        assert_eq!(browser_words(safari), "Safari on iPhone");
        assert_eq!(browser_words("<b>call +1 555</b>"), "an unknown browser");
    }
}
