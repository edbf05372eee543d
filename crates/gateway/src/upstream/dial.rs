//! Looks names up and lets only those addresses through that may be connected to: what a provider's name leads to is
//! decided by whoever runs its name server, at the moment of the connection.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use domain::dial::PrivateNetworks;
use hyper_util::client::legacy::connect::dns::Name;
use tower::Service;

/// A resolver whose answers are judged. An address in place of a name never gets here: it is judged with its base URL.
#[derive(Clone, Debug)]
pub(crate) struct Judged<R> {
    resolver: R,
    private: Arc<PrivateNetworks>,
}

/// Nothing is left of a name's addresses.
#[derive(Debug, thiserror::Error)]
#[error("{host} is at {addresses:?}, where no upstream may be")]
struct NotAllowed {
    host: String,
    addresses: Vec<std::net::IpAddr>,
}

impl<R> Judged<R> {
    pub(super) fn new(resolver: R, private: PrivateNetworks) -> Self {
        Self { resolver, private: Arc::new(private) }
    }
}

impl<R> Service<Name> for Judged<R>
where
    R: Service<Name, Error = io::Error>,
    R::Response: Iterator<Item = SocketAddr>,
    R::Future: Send + 'static,
{
    type Response = std::vec::IntoIter<SocketAddr>;
    type Error = io::Error;
    type Future = Pin<Box<dyn Future<Output = io::Result<Self::Response>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.resolver.poll_ready(context)
    }

    fn call(&mut self, name: Name) -> Self::Future {
        let private = self.private.clone();
        let host = name.as_str().to_owned();
        let found = self.resolver.call(name);
        Box::pin(async move {
            let judged = found.await?.partition::<Vec<_>, _>(|at| private.allow(&host, at.ip()));
            let (allowed, refused) = judged;
            if refused.is_empty() {
                return Ok(allowed.into_iter());
            }
            let addresses: Vec<_> = refused.iter().map(SocketAddr::ip).collect();
            // An alarm: either the operator has to allow it, or somebody wants the provider's key to go elsewhere.
            tracing::error!(
                host,
                ?addresses,
                "an upstream's name leads to addresses where none may be; PRIVATE_UPSTREAM_NETWORKS can allow private ones"
            );
            if allowed.is_empty() {
                return Err(io::Error::new(io::ErrorKind::PermissionDenied, NotAllowed { host, addresses }));
            }
            Ok(allowed.into_iter())
        })
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;
    use std::future::{Ready, ready};
    use std::net::IpAddr;

    use hyper_util::client::legacy::connect::HttpConnector;
    use tokio::net::TcpListener;

    use super::*;

    /// A name server of one's own.
    #[derive(Clone, Debug)]
    struct Hosts(HashMap<&'static str, Vec<IpAddr>>);

    impl Service<Name> for Hosts {
        type Response = std::vec::IntoIter<SocketAddr>;
        type Error = io::Error;
        type Future = Ready<io::Result<Self::Response>>;

        fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }

        fn call(&mut self, name: Name) -> Self::Future {
            let found = self.0.get(name.as_str()).cloned().ok_or(io::ErrorKind::NotFound.into());
            ready(found.map(|found| {
                found.into_iter().map(|ip| SocketAddr::new(ip, 0)).collect::<Vec<_>>().into_iter()
            }))
        }
    }

    /// Connects to each name on a port that is open on loopback; says who could be reached.
    async fn reached(private: &str, names: &[&str]) -> Vec<bool> {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let at = |texts: &[&str]| texts.iter().map(|text| text.parse().unwrap()).collect::<Vec<IpAddr>>();
        let hosts = Hosts(HashMap::from([
            ("loopback.example.com", at(&["127.0.0.1"])),
            ("mapped.example.com", at(&["::ffff:127.0.0.1"])),
            ("metadata.example.com", at(&["169.254.169.254"])),
            ("nowhere.example.com", at(&["0.0.0.0"])),
            ("both.example.com", at(&["169.254.169.254", "127.0.0.1"])),
            ("localhost", at(&["127.0.0.1"])),
        ]));
        let judged = Judged::new(hosts, private.parse().unwrap());
        let mut connector = HttpConnector::new_with_resolver(judged);
        connector.set_connect_timeout(Some(std::time::Duration::from_secs(5)));
        let mut reached = Vec::new();
        for name in names {
            let uri = format!("http://{name}:{port}/").parse().unwrap();
            reached.push(connector.call(uri).await.is_ok());
        }
        reached
    }

    #[tokio::test]
    async fn what_a_name_leads_to_is_judged_and_not_the_name() {
        let names = [
            "loopback.example.com",
            "mapped.example.com",
            "metadata.example.com",
            "nowhere.example.com",
            "both.example.com",
            "localhost",
        ];
        assert_eq!(reached("", &names).await, [false, false, false, false, false, true]);
        // What is never allowed is left out, and the rest of the same name is used.
        let allowed = reached("127.0.0.0/8", &names).await;
        assert_eq!((allowed[0], &allowed[2..]), (true, [false, false, true, true].as_slice()));
    }
}
