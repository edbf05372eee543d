//! A browser without scripts: keeps cookies, posts forms, remembers which page it is on.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use axum::Router;
use axum::body::Body;
use axum::http::header::{
    ACCEPT, CONTENT_TYPE, COOKIE, HOST, LOCATION, ORIGIN, REFERER, SET_COOKIE, USER_AGENT,
};
use axum::http::{HeaderMap, Method, Request, StatusCode};
use http_body_util::BodyExt;
use latchkey::auth::{RedeemCode, RequestCode};
use latchkey::server::clientaddr::Peer;
use leptos::server_fn::ServerFn;
use tower::ServiceExt;

use super::PUBLIC_URL;

const FIREFOX: &str = "Mozilla/5.0 (X11; Linux x86_64; rv:145.0) Gecko/20100101 Firefox/145.0";

pub struct Browser {
    router: Router,
    peer: SocketAddr,
    pub cookies: BTreeMap<String, String>,
    /// The address of the page that is shown.
    pub page: String,
    /// The text of every answer but those a test took out.
    pub seen: Vec<String>,
}

/// An answer.
#[derive(Clone, Debug)]
pub struct Page {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: String,
}

impl Browser {
    pub fn new(router: Router, peer: SocketAddr) -> Self {
        let page = format!("{PUBLIC_URL}/");
        Self { router, peer, cookies: BTreeMap::new(), page, seen: Vec::new() }
    }

    /// Another tab of the same browser.
    pub fn tab(&self) -> Self {
        let mut tab = Self::new(self.router.clone(), self.peer);
        tab.cookies.clone_from(&self.cookies);
        tab
    }

    pub async fn get(&mut self, path: &str) -> Page {
        let page = self.send(self.request(Method::GET, path).body(Body::empty()).unwrap()).await;
        if page.status == StatusCode::OK {
            self.page = format!("{PUBLIC_URL}{path}");
        }
        page
    }

    /// Follows a redirect by a GET, as browsers do.
    pub async fn follow(&mut self, page: &Page) -> Page {
        assert!(page.status.is_redirection(), "{page:?}");
        self.get(page.location()).await
    }

    /// Posts a form of the page that is shown.
    pub async fn post(&mut self, path: &str, fields: &[(&str, &str)]) -> Page {
        let request = self
            .request(Method::POST, path)
            .header(ORIGIN, PUBLIC_URL)
            .header(REFERER, &self.page)
            .header(CONTENT_TYPE, "application/x-www-form-urlencoded")
            .body(Body::from(form(fields)))
            .unwrap();
        self.send(request).await
    }

    /// Calls a server function as our own scripts do.
    pub async fn call(&mut self, path: &str, fields: &[(&str, &str)]) -> Page {
        let mut request = self
            .request(Method::POST, path)
            .header(ORIGIN, PUBLIC_URL)
            .header(CONTENT_TYPE, "application/x-www-form-urlencoded")
            .body(Body::from(form(fields)))
            .unwrap();
        request.headers_mut().insert(ACCEPT, "application/json".parse().unwrap());
        self.send(request).await
    }

    pub async fn submit_email(&mut self, email: &str) -> Page {
        self.post(RequestCode::PATH, &[("email", email)]).await
    }

    pub async fn submit_code(&mut self, code: &str) -> Page {
        self.post(RedeemCode::PATH, &[("code", code)]).await
    }

    /// What every request of this browser carries.
    pub fn request(&self, method: Method, path: &str) -> axum::http::request::Builder {
        let cookies: Vec<String> =
            self.cookies.iter().map(|(name, value)| format!("{name}={value}")).collect();
        Request::builder()
            .method(method)
            .uri(path)
            .extension(Peer(self.peer))
            .header(HOST, "keys.example.com")
            .header(USER_AGENT, FIREFOX)
            .header(ACCEPT, "text/html,application/xhtml+xml")
            .header(COOKIE, cookies.join("; "))
    }

    pub async fn send(&mut self, request: Request<Body>) -> Page {
        let response = self.router.clone().oneshot(request).await.unwrap();
        let (parts, body) = response.into_parts();
        let body = body.collect().await.unwrap().to_bytes();
        let page = Page {
            status: parts.status,
            headers: parts.headers,
            body: String::from_utf8_lossy(&body).into_owned(),
        };
        self.keep_cookies(&page.headers);
        self.seen.push(format!("{:?}\n{}", page.headers, page.body));
        page
    }

    fn keep_cookies(&mut self, headers: &HeaderMap) {
        for line in headers.get_all(SET_COOKIE) {
            let line = line.to_str().unwrap();
            let (pair, attributes) = line.split_once(';').unwrap();
            let (name, value) = pair.split_once('=').unwrap();
            if attributes.contains("Max-Age=0") {
                self.cookies.remove(name);
            } else {
                self.cookies.insert(name.to_owned(), value.to_owned());
            }
        }
    }
}

impl Page {
    pub fn location(&self) -> &str {
        self.header(LOCATION.as_str())
    }

    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    /// The whole `Set-Cookie` line of a cookie.
    pub fn cookie_line(&self, name: &str) -> Option<&str> {
        let lines = self.headers.get_all(SET_COOKIE).iter().map(|line| line.to_str().unwrap());
        lines.into_iter().find(|line| line.starts_with(&format!("{name}=")))
    }

    /// The value of the first `<input>` with this name.
    pub fn input(&self, name: &str) -> String {
        let at = self
            .body
            .find(&format!("name=\"{name}\""))
            .unwrap_or_else(|| panic!("no {name} in {}", self.body));
        let start = self.body[..at].rfind('<').unwrap();
        let tag = &self.body[start..at + self.body[at..].find('>').unwrap()];
        let value = tag.split_once("value=\"").map_or("", |(_, rest)| rest.split('"').next().unwrap());
        value.replace("&quot;", "\"").replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&")
    }

    /// The text without tags, entities and runs of white space.
    pub fn text(&self) -> String {
        let mut text = String::new();
        let mut inside = false;
        for c in self.body.chars() {
            match c {
                '<' => inside = true,
                '>' => inside = false,
                c if !inside => text.push(c),
                _ => {}
            }
        }
        let text =
            text.replace("&#x27;", "'").replace("&quot;", "\"").replace("&lt;", "<").replace("&gt;", ">");
        text.replace("&amp;", "&").split_whitespace().collect::<Vec<_>>().join(" ")
    }
}

fn form(fields: &[(&str, &str)]) -> String {
    form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish()
}
