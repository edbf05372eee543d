//! Address rules against everything a client can say about where it comes from: no bypass, over IPv4, IPv6 and mapped
//! addresses, directly and through chains of proxies. Over loopback, and from network namespaces where this machine
//! lets us have some.

mod namespaces;

use std::net::{IpAddr, SocketAddr};

use store::PgPool;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpSocket;

use self::namespaces::Namespaces;
use crate::harness::{TestGateway, report};

/// Where requests come from: the key may be used from `inside`, and only `proxy` is believed.
#[derive(Clone, Copy, Debug)]
struct Places<T> {
    inside: T,
    outside: T,
    proxy: T,
}

#[derive(Clone, Copy, Debug)]
enum From {
    Inside,
    Outside,
    Proxy,
}

/// Who asks, with which headers, and whether that may be served. `IN`, `OUT` and `PROXY` stand for addresses.
const MATRIX: &[(From, &[&str], bool)] = &[
    (From::Inside, &[], true),
    (From::Outside, &[], false),
    (From::Proxy, &[], false),
    // Whoever is no trusted proxy can say what he likes.
    (From::Outside, &["x-forwarded-for: IN"], false),
    (From::Outside, &["x-forwarded-for: IN, PROXY"], false),
    (From::Outside, &["x-forwarded-for: PROXY"], false),
    (From::Outside, &["x-forwarded-for: IN", "x-forwarded-for: IN"], false),
    (From::Outside, &["forwarded: for=IN"], false),
    (From::Outside, &["x-real-ip: IN", "x-client-ip: IN", "true-client-ip: IN"], false),
    (From::Outside, &["cf-connecting-ip: IN", "x-cluster-client-ip: IN", "client-ip: IN"], false),
    (From::Outside, &["x-original-forwarded-for: IN", "fastly-client-ip: IN", "via: 1.1 PROXY"], false),
    (From::Outside, &["x-forwarded-for: IN", "connection: x-forwarded-for"], false),
    (From::Inside, &["x-forwarded-for: OUT"], true),
    // A trusted proxy says who asked it, and nothing else of it counts.
    (From::Proxy, &["x-forwarded-for: IN"], true),
    (From::Proxy, &["x-forwarded-for: OUT"], false),
    (From::Proxy, &["x-forwarded-for: IN, OUT"], false),
    (From::Proxy, &["x-forwarded-for: OUT, IN"], true),
    (From::Proxy, &["x-forwarded-for: IN", "x-forwarded-for: OUT"], false),
    (From::Proxy, &["x-forwarded-for: OUT", "x-forwarded-for: IN"], true),
    (From::Proxy, &["forwarded: for=IN"], false),
    (From::Proxy, &["x-real-ip: IN"], false),
    (From::Proxy, &["x-forwarded-for: OUT", "forwarded: for=IN", "x-real-ip: IN"], false),
    // Chains of proxies.
    (From::Proxy, &["x-forwarded-for: IN, PROXY"], true),
    (From::Proxy, &["x-forwarded-for: OUT, PROXY"], false),
    (From::Proxy, &["x-forwarded-for: IN, OUT, PROXY"], false),
    (From::Proxy, &["x-forwarded-for: IN, PROXY, PROXY"], true),
    (From::Proxy, &["x-forwarded-for: IN", "x-forwarded-for: PROXY"], true),
    (From::Proxy, &["x-forwarded-for: PROXY"], false),
    // What cannot be read ends the walk at the proxy.
    (From::Proxy, &["x-forwarded-for: IN, junk"], false),
    (From::Proxy, &["x-forwarded-for: IN,"], false),
    (From::Proxy, &["x-forwarded-for: IN/32"], false),
    (From::Proxy, &["x-forwarded-for: IN%lo"], false),
];

/// Asks the whole matrix. `ask` sends the head of a request from one place and gives the answer's status. Returns how
/// many requests there were.
async fn check<F: Future<Output = u16>>(
    secret: &str,
    addresses: Places<IpAddr>,
    what: &str,
    ask: impl Fn(From, String) -> F,
) -> usize {
    for (from, headers, is_allowed) in MATRIX {
        let mut head =
            format!("GET /v1/models HTTP/1.1\r\nhost: gateway\r\nauthorization: Bearer {secret}\r\n");
        for header in *headers {
            let Places { inside, outside, proxy } = addresses;
            let header = header.replace("PROXY", &proxy.to_string());
            let header = header.replace("OUT", &outside.to_string()).replace("IN", &inside.to_string());
            head.extend([header.as_str(), "\r\n"]);
        }
        head += "connection: close\r\n\r\n";
        let wanted = if *is_allowed { 200 } else { 403 };
        assert_eq!(ask(*from, head).await, wanted, "{what}: {from:?} with {headers:?}");
    }
    MATRIX.len()
}

impl<T: Copy> Places<T> {
    fn at(&self, from: From) -> T {
        match from {
            From::Inside => self.inside,
            From::Outside => self.outside,
            From::Proxy => self.proxy,
        }
    }

    fn map<U>(self, change: impl Fn(T) -> U) -> Places<U> {
        let Self { inside, outside, proxy } = self;
        Places { inside: change(inside), outside: change(outside), proxy: change(proxy) }
    }
}

/// A gateway that listens on IPv4 and IPv6, whose key may be used from the insides of `all` and that believes their
/// proxies.
async fn gateway(pool: PgPool, all: &[Places<IpAddr>]) -> TestGateway {
    let proxies: Vec<String> = all.iter().map(|places| places.proxy.to_string()).collect();
    let gateway = TestGateway::start_as(pool, |config| {
        config.listen = "[::]:0".parse().unwrap();
        config.edge.proxies = proxies.join(",").parse().unwrap();
    })
    .await;
    let insides: Vec<String> = all.iter().map(|places| places.inside.to_string()).collect();
    let sql = "UPDATE api_keys SET addresses = $1::text[]::cidr[] RETURNING id";
    sqlx::query_scalar::<_, uuid::Uuid>(sql).bind(insides).fetch_one(&gateway.owner).await.unwrap();
    gateway.until_enforced().await;
    gateway
}

async fn ask_from(source: IpAddr, to: SocketAddr, head: String) -> u16 {
    let socket = if source.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }.unwrap();
    socket.bind(SocketAddr::new(source, 0)).unwrap();
    let mut stream = socket.connect(to).await.unwrap();
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.unwrap();
    status(&String::from_utf8(answer).unwrap())
}

fn status(answer: &str) -> u16 {
    answer
        .split(' ')
        .nth(1)
        .and_then(|status| status.parse().ok())
        .unwrap_or_else(|| panic!("no answer: {answer}"))
}

#[sqlx::test(migrator = "store::MIGRATOR")]
async fn over_loopback_no_header_gets_around_an_address_rule(pool: PgPool) {
    let address = |last: u8| IpAddr::from([127, 0, 0, last]);
    let places = Places { inside: address(2), outside: address(3), proxy: address(4) };
    // A listener on [::] sees IPv4 clients under mapped addresses: the rule must know them all the same.
    let gateway = gateway(pool, &[places]).await;
    let to = SocketAddr::new(address(1), gateway.address().port());
    let mut asked =
        check(&gateway.key.secret, places, "IPv4", |from, head| ask_from(places.at(from), to, head)).await;
    // And so must the walk along the hops.
    let mapped = places.map(|address| match address {
        IpAddr::V4(v4) => IpAddr::V6(v4.to_ipv6_mapped()),
        IpAddr::V6(_) => address,
    });
    asked += check(&gateway.key.secret, mapped, "mapped", |from, head| {
        // A proxy may write an address in either way; what is not an address at all stays so.
        ask_from(places.at(from), to, head.replace("/32", "/128"))
    })
    .await;
    // There is one IPv6 loopback address: neither inside nor a proxy.
    let to = SocketAddr::new("::1".parse().unwrap(), gateway.address().port());
    for (_, headers, _) in MATRIX {
        let headers: String =
            headers.iter().map(|header| format!("{header}\r\n").replace("IN", "127.0.0.2")).collect();
        let head = format!(
            "GET /v1/models HTTP/1.1\r\nhost: gateway\r\nauthorization: Bearer {}\r\n{headers}connection: close\r\n\r\n",
            gateway.key.secret
        );
        assert_eq!(ask_from("::1".parse().unwrap(), to, head).await, 403, "{headers}");
        asked += 1;
    }
    report(&format!("address rules over loopback: {asked} requests, 0 bypasses"));
}

#[sqlx::test(migrator = "store::MIGRATOR")]
async fn from_other_networks_no_header_gets_around_an_address_rule(pool: PgPool) {
    let namespaces = match Namespaces::make() {
        Ok(namespaces) => namespaces,
        Err(reason) => {
            report(&format!(
                "NOT RUN: address rules from network namespaces need root and `ip netns`: {reason}"
            ));
            return;
        }
    };
    let (v4, v6) = (namespaces.v4(), namespaces.v6());
    let gateway = gateway(pool, &[v4, v6]).await;
    let port = gateway.address().port();
    let mut asked = 0;
    for (what, places) in [("IPv4", v4), ("IPv6", v6)] {
        asked += check(&gateway.key.secret, places, what, |from, head| {
            let answer = namespaces.ask(from, places.at(from).is_ipv4(), port, head);
            async move { status(&answer.await) }
        })
        .await;
    }
    report(&format!("address rules from network namespaces: {asked} requests, 0 bypasses"));
}
