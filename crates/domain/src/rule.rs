//! Rules: what a request must satisfy whatever has been consumed. Each rule is "anything" unless it lists something.

use std::net::IpAddr;
use std::sync::Arc;

use ipnet::IpNet;

/// An entry of the permission catalogue, such as `chat:read`.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct Permission(Arc<str>);

impl Permission {
    /// Talk to chat models.
    pub const CHAT: &'static str = "chat:read";
    /// Make embeddings.
    pub const EMBEDDINGS: &'static str = "embeddings:read";
    /// Continue texts with older models.
    pub const COMPLETIONS: &'static str = "completions:read";
    /// Ask for responses, the successor of chat.
    pub const RESPONSES: &'static str = "responses:read";
    /// Ask for messages, Anthropic's form of chat.
    pub const MESSAGES: &'static str = "messages:read";
    /// Make images.
    pub const IMAGES: &'static str = "images:generate";
    /// Turn text into speech.
    pub const SPEECH: &'static str = "audio:speech";
    /// Turn speech into text.
    pub const TRANSCRIPTIONS: &'static str = "audio:transcribe";
    /// Have texts judged for harm.
    pub const MODERATIONS: &'static str = "moderations:read";
    /// List the models the key may use.
    pub const MODELS: &'static str = "models:list";

    /// The whole catalogue, for lists of what a key may do.
    pub const CATALOGUE: [&'static str; 10] = [
        Self::CHAT,
        Self::COMPLETIONS,
        Self::RESPONSES,
        Self::MESSAGES,
        Self::EMBEDDINGS,
        Self::IMAGES,
        Self::SPEECH,
        Self::TRANSCRIPTIONS,
        Self::MODERATIONS,
        Self::MODELS,
    ];

    /// A permission by its name.
    pub fn new(name: &str) -> Self {
        Self(name.into())
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// A list that limits, or no limit.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub enum Allow<T> {
    /// No restriction, later additions included.
    #[default]
    Any,
    /// Only what is listed.
    Only(Vec<T>),
}

impl<T: PartialEq> Allow<T> {
    /// Whether `item` passes.
    pub fn allows<Q>(&self, item: &Q) -> bool
    where
        T: std::borrow::Borrow<Q>,
        Q: PartialEq + ?Sized,
    {
        match self {
            Self::Any => true,
            Self::Only(list) => list.iter().any(|entry| std::borrow::Borrow::borrow(entry) == item),
        }
    }
}

impl std::borrow::Borrow<str> for Permission {
    fn borrow(&self) -> &str {
        &self.0
    }
}

/// Which client addresses may use a key.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct AddressRule(Allow<IpNet>);

impl AddressRule {
    /// How many networks are on the list; `None` where any address will do.
    pub fn count(&self) -> Option<usize> {
        match &self.0 {
            Allow::Any => None,
            Allow::Only(networks) => Some(networks.len()),
        }
    }

    /// Takes networks; an IPv4-mapped IPv6 network of /96 or longer counts as its IPv4 network.
    pub fn only(networks: impl IntoIterator<Item = IpNet>) -> Self {
        Self(Allow::Only(networks.into_iter().map(canonical_network).collect()))
    }

    /// Whether a client at `address` may use the key. IPv4-mapped IPv6 addresses are compared as IPv4.
    pub fn allows(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        match &self.0 {
            Allow::Any => true,
            Allow::Only(networks) => networks.iter().any(|network| network.contains(&address)),
        }
    }
}

/// An IPv4-mapped IPv6 network of /96 or longer as the IPv4 network it is.
pub(crate) fn canonical_network(network: IpNet) -> IpNet {
    let IpNet::V6(v6) = network else { return network };
    let mapped = v6.addr().to_ipv4_mapped().filter(|_| v6.prefix_len() >= 96);
    mapped.and_then(|v4| ipnet::Ipv4Net::new(v4, v6.prefix_len() - 96).ok()).map_or(network, IpNet::V4)
}

/// The network a client belongs to for counting: the address itself for IPv4, its /64 for IPv6 (one customer
/// usually has a whole /64).
pub fn client_network(address: IpAddr) -> IpNet {
    network_of(address, 32, 64)
}

/// The wider network: /24 for IPv4, /48 for IPv6.
pub fn wide_client_network(address: IpAddr) -> IpNet {
    network_of(address, 24, 48)
}

fn network_of(address: IpAddr, v4: u8, v6: u8) -> IpNet {
    match address.to_canonical() {
        IpAddr::V4(ip) => {
            ipnet::Ipv4Net::new(ip, v4).map_or_else(|_| IpNet::from(address), |net| IpNet::V4(net.trunc()))
        }
        IpAddr::V6(ip) => {
            ipnet::Ipv6Net::new(ip, v6).map_or_else(|_| IpNet::from(address), |net| IpNet::V6(net.trunc()))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(networks: &[&str]) -> AddressRule {
        AddressRule::only(networks.iter().map(|text| text.parse().unwrap()))
    }

    #[test]
    fn address_rules() {
        let ip = |text: &str| text.parse::<IpAddr>().unwrap();
        assert!(AddressRule::default().allows(ip("203.0.113.9")));
        assert!(rule(&["203.0.113.0/24"]).allows(ip("203.0.113.9")));
        assert!(rule(&["203.0.113.0/24"]).allows(ip("::ffff:203.0.113.9")));
        assert!(rule(&["::ffff:203.0.113.0/120"]).allows(ip("203.0.113.9")));
        assert!(!rule(&["203.0.113.0/24"]).allows(ip("203.0.114.9")));
        assert!(!rule(&["2001:db8::/32"]).allows(ip("203.0.113.9")));
        assert!(!rule(&[]).allows(ip("203.0.113.9")), "an empty list that limits allows nobody");
    }

    #[test]
    fn permissions_and_models() {
        let some = Allow::Only(vec![Permission::new("chat:read")]);
        assert!(some.allows("chat:read") && !some.allows("models:list"));
        assert!(Allow::<Permission>::Any.allows("invented:later"));
    }

    #[test]
    fn networks_for_counting() {
        let net = |text: &str| client_network(text.parse().unwrap()).to_string();
        assert_eq!(net("203.0.113.9"), "203.0.113.9/32");
        assert_eq!(net("::ffff:203.0.113.9"), "203.0.113.9/32");
        assert_eq!(net("2001:db8:1:2:3::4"), "2001:db8:1:2::/64");
        assert_eq!(wide_client_network("2001:db8:1:2:3::4".parse().unwrap()).to_string(), "2001:db8:1::/48");
    }
}
