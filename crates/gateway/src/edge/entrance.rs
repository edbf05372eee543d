//! How many may be inside at once: connections and requests, in all and of each client.
//!
//! A client is the address a request really comes from. For a connection of its own that is the peer, and its
//! connections are counted. A trusted proxy's connections carry many clients, so there each client's requests are.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use domain::rule::client_network;
use ipnet::IpNet;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::config::Limits;
use crate::metrics::Inside;

/// The counts.
#[derive(Clone, Debug)]
pub(super) struct Entrance {
    connections: Arc<Semaphore>,
    requests: Arc<Semaphore>,
    clients: Arc<Clients>,
}

/// A connection's place.
#[derive(Debug)]
pub(super) struct Place {
    _connection: OwnedSemaphorePermit,
    _client: Option<Guest>,
}

/// A request's place.
#[derive(Debug)]
pub(super) struct Slot {
    _request: OwnedSemaphorePermit,
    _client: Option<Guest>,
    _counted: Inside,
}

/// Why there is no place for a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Full {
    /// There are too many in all.
    Everywhere,
    /// This client has too many.
    ForClient,
}

impl Entrance {
    pub(super) fn new(limits: &Limits) -> Self {
        Self {
            connections: Arc::new(Semaphore::new(limits.connections)),
            requests: Arc::new(Semaphore::new(limits.requests)),
            clients: Arc::new(Clients { limit: limits.per_client, inside: Mutex::default() }),
        }
    }

    /// A place for a connection, counted for `client` if that is its peer.
    pub(super) fn connection(&self, client: Option<IpAddr>) -> Result<Place, Full> {
        let connection = self.connections.clone().try_acquire_owned().map_err(|_| Full::Everywhere)?;
        let client = client.map(|client| self.clients.enter(client).ok_or(Full::ForClient)).transpose()?;
        Ok(Place { _connection: connection, _client: client })
    }

    /// A place for a request, counted for `client` if its connection is not. None if there is none.
    pub(super) fn request(&self, client: Option<IpAddr>, counted: impl FnOnce() -> Inside) -> Option<Slot> {
        let request = self.requests.clone().try_acquire_owned().ok()?;
        let client = match client {
            Some(client) => Some(self.clients.enter(client)?),
            None => None,
        };
        Some(Slot { _request: request, _client: client, _counted: counted() })
    }
}

/// How many of each client are inside.
#[derive(Debug)]
struct Clients {
    limit: usize,
    inside: Mutex<HashMap<IpNet, usize>>,
}

impl Clients {
    fn enter(self: &Arc<Self>, client: IpAddr) -> Option<Guest> {
        let network = client_network(client);
        let mut inside = self.lock();
        let count = inside.entry(network).or_default();
        if *count >= self.limit {
            return None;
        }
        *count += 1;
        Some(Guest { network, clients: self.clone() })
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<IpNet, usize>> {
        self.inside.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One of a client's, until dropped.
#[derive(Debug)]
struct Guest {
    network: IpNet,
    clients: Arc<Clients>,
}

impl Drop for Guest {
    fn drop(&mut self) {
        let mut inside = self.clients.lock();
        if let Some(count) = inside.get_mut(&self.network) {
            *count -= 1;
            if *count == 0 {
                inside.remove(&self.network);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entrance(connections: usize, per_client: usize) -> Entrance {
        Entrance::new(&Limits { connections, per_client, requests: connections, ..Limits::default() })
    }

    #[test]
    fn one_client_cannot_fill_the_house() {
        let entrance = entrance(10, 2);
        let enter = |address: &str| entrance.connection(Some(address.parse().unwrap()));
        let mut inside = vec![enter("198.51.100.9").unwrap(), enter("::ffff:198.51.100.9").unwrap()];
        assert_eq!(enter("198.51.100.9").unwrap_err(), Full::ForClient);
        // One customer has a whole /64.
        inside.extend([enter("2001:db8::1").unwrap(), enter("2001:db8::ffff:2").unwrap()]);
        assert_eq!(enter("2001:db8::3").unwrap_err(), Full::ForClient);
        inside.extend([enter("2001:db8:0:1::3").unwrap(), enter("198.51.100.10").unwrap()]);
        inside.remove(0);
        inside.push(enter("198.51.100.9").unwrap());
        assert_eq!(enter("198.51.100.9").unwrap_err(), Full::ForClient);
        drop(inside);
        assert!(entrance.clients.lock().is_empty(), "clients that have left are forgotten");
    }

    #[test]
    fn trusted_proxies_count_in_all_only() {
        let entrance = entrance(3, 1);
        let inside: Vec<_> = (0..3).map(|_| entrance.connection(None).unwrap()).collect();
        assert_eq!(entrance.connection(None).unwrap_err(), Full::Everywhere);
        drop(inside);
        let client = Some("203.0.113.7".parse().unwrap());
        let first = entrance.request(client, Inside::default).unwrap();
        assert!(entrance.request(client, Inside::default).is_none());
        assert!(entrance.request(Some("203.0.113.8".parse().unwrap()), Inside::default).is_some());
        drop(first);
        assert!(entrance.request(client, Inside::default).is_some());
    }
}
