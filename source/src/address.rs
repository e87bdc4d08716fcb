//! Which addresses Windlass may fetch from (OWASP: server-side request forgery).
//!
//! A name is resolved once, here; every address it has is checked; git is then told to connect to an address that passed,
//! so that a second answer of the name server changes nothing.

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    time::Duration,
};

use ipnet::IpNet;
use tokio::{net::TcpStream, time::timeout};
use url::Host;
use windlass_domain::RepoUrl;

use crate::fetch::FetchError;

const RESOLVE_TIMEOUT: Duration = Duration::from_secs(10);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// What may be fetched, and how much of it.
#[derive(Debug, Clone)]
pub struct FetchPolicy {
    /// Networks that are allowed although they are not public, such as that of a forge in the same building. Link-local
    /// addresses (169.254.0.0/16, fe80::/10), where clouds keep their metadata, stay closed whatever is listed.
    pub allow_private: Vec<IpNet>,
    /// How long one fetch may take.
    pub timeout: Duration,
    /// How much one fetch may bring, in bytes of packed objects.
    pub max_bytes: u64,
}

impl Default for FetchPolicy {
    /// Public addresses only, ten minutes, 1 GiB.
    fn default() -> Self {
        Self {
            allow_private: Vec::new(),
            timeout: Duration::from_secs(600),
            max_bytes: 1 << 30,
        }
    }
}

/// Where a repository really is: an address that was checked and that answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Endpoint {
    pub(crate) host: String,
    pub(crate) port: u16,
    pub(crate) address: IpAddr,
}

impl FetchPolicy {
    /// Whether git may connect to this address.
    pub fn allows(&self, address: IpAddr) -> bool {
        if let Some(inner) = translated(address) {
            return self.allows(inner);
        }
        let listed = self.allow_private.iter().any(|network| network.contains(&address));
        is_public(address) || (listed && !is_link_local(address))
    }

    /// Resolves the repository's host, refuses it if any of its addresses is not allowed, and picks the first that accepts a
    /// connection.
    pub(crate) async fn locate(&self, url: &RepoUrl) -> Result<Endpoint, FetchError> {
        let host = host_name(url)?;
        let port = url.url().port_or_known_default().unwrap_or(22);
        let unreachable = |why: &str| FetchError::Unreachable {
            host: host.clone(),
            why: why.to_owned(),
        };
        let found = timeout(RESOLVE_TIMEOUT, tokio::net::lookup_host((host.as_str(), port)))
            .await
            .map_err(|_| unreachable("its name server does not answer"))?
            .map_err(|_| unreachable("its name cannot be resolved"))?;
        let addresses: Vec<SocketAddr> = found.collect();
        if addresses.iter().any(|address| !self.allows(address.ip())) {
            return Err(FetchError::Refused { host });
        }
        for &address in &addresses {
            if let Ok(Ok(_)) = timeout(CONNECT_TIMEOUT, TcpStream::connect(address)).await {
                return Ok(Endpoint {
                    host,
                    port,
                    address: address.ip(),
                });
            }
        }
        Err(unreachable(&format!("it accepts no connection on port {port}")))
    }
}

/// The host as a resolver takes it. What curl or ssh might read in another way than we do is refused.
fn host_name(url: &RepoUrl) -> Result<String, FetchError> {
    let plain = |name: &str| {
        !name.ends_with('.')
            && name
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_'))
    };
    match url.url().host() {
        Some(Host::Ipv4(address)) => Ok(address.to_string()),
        Some(Host::Ipv6(address)) => Ok(address.to_string()),
        Some(Host::Domain(name)) if plain(name) => Ok(name.to_owned()),
        _ => Err(FetchError::Refused {
            host: url.host().to_owned(),
        }),
    }
}

/// Whether an address is on the public internet: neither special (IANA's special-purpose registries, RFC 6890) nor multicast
/// nor reserved. An IPv6 address that stands for an IPv4 address is as public as that one.
pub fn is_public(address: IpAddr) -> bool {
    if let Some(inner) = translated(address) {
        return is_public(inner);
    }
    match address {
        IpAddr::V4(address) => !in_any(address.into(), &SPECIAL_V4),
        IpAddr::V6(address) => in_any(address.into(), &["2000::/3"]) && !in_any(address.into(), &SPECIAL_V6),
    }
}

const SPECIAL_V4: [&str; 15] = [
    "0.0.0.0/8",       // this network
    "10.0.0.0/8",      // private
    "100.64.0.0/10",   // carrier-grade NAT
    "127.0.0.0/8",     // loopback
    "169.254.0.0/16",  // link-local
    "172.16.0.0/12",   // private
    "192.0.0.0/24",    // protocol assignments
    "192.0.2.0/24",    // documentation
    "192.88.99.0/24",  // 6to4 relays
    "192.168.0.0/16",  // private
    "198.18.0.0/15",   // benchmarks
    "198.51.100.0/24", // documentation
    "203.0.113.0/24",  // documentation
    "224.0.0.0/4",     // multicast
    "240.0.0.0/4",     // reserved, broadcast
];

/// Inside the global unicast space; all outside it is closed.
const SPECIAL_V6: [&str; 4] = [
    "2001::/23",     // protocol assignments: Teredo, benchmarks, ORCHID
    "2001:db8::/32", // documentation
    "2002::/16",     // 6to4, which carries any IPv4 address
    "3fff::/20",     // documentation
];

fn in_any(address: IpAddr, networks: &[&str]) -> bool {
    networks
        .iter()
        .any(|network| network.parse().is_ok_and(|network: IpNet| network.contains(&address)))
}

/// The IPv4 address inside an IPv4-mapped address or one of NAT64's well-known prefix (RFC 6052).
fn translated(address: IpAddr) -> Option<IpAddr> {
    let IpAddr::V6(address) = address else { return None };
    if let Some(inner) = address.to_ipv4_mapped() {
        return Some(inner.into());
    }
    let nat64 = Ipv6Addr::new(0x64, 0xff9b, 0, 0, 0, 0, 0, 0).octets();
    let octets = address.octets();
    (octets[..12] == nat64[..12]).then(|| Ipv4Addr::new(octets[12], octets[13], octets[14], octets[15]).into())
}

fn is_link_local(address: IpAddr) -> bool {
    in_any(address, &["169.254.0.0/16", "fe80::/10"])
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    const CLOSED: &[&str] = &[
        "0.0.0.0",
        "0.1.2.3",
        "10.0.0.1",
        "10.255.255.255",
        "100.64.0.1",
        "100.127.255.255",
        "127.0.0.1",
        "127.1.2.3",
        "169.254.0.1",
        "169.254.169.254",
        "172.16.0.1",
        "172.31.255.255",
        "192.0.0.1",
        "192.0.0.170",
        "192.0.2.1",
        "192.88.99.1",
        "192.168.0.1",
        "192.168.255.255",
        "198.18.0.1",
        "198.19.255.255",
        "198.51.100.7",
        "203.0.113.9",
        "224.0.0.1",
        "239.255.255.255",
        "240.0.0.1",
        "255.255.255.255",
        "::",
        "::1",
        "::127.0.0.1",
        "::8.8.8.8",
        "::ffff:127.0.0.1",
        "::ffff:10.0.0.1",
        "::ffff:169.254.169.254",
        "::ffff:0.0.0.0",
        "64:ff9b::7f00:1",
        "64:ff9b::a00:1",
        "64:ff9b::a9fe:a9fe",
        "64:ff9b:1::1",
        "100::1",
        "2001::1",
        "2001:2::1",
        "2001:10::1",
        "2001:db8::1",
        "2002:7f00:1::1",
        "2002:808:808::1",
        "3fff::1",
        "5f00::1",
        "fc00::1",
        "fd00::1",
        "fd12:3456::1",
        "fe80::1",
        "febf::1",
        "fec0::1",
        "ff02::1",
        "ff0e::1",
        "4000::1",
    ];

    const OPEN: &[&str] = &[
        "1.1.1.1",
        "8.8.8.8",
        "9.255.255.255",
        "11.0.0.0",
        "100.63.255.255",
        "100.128.0.0",
        "126.255.255.255",
        "128.0.0.1",
        "140.82.121.4",
        "169.253.255.255",
        "169.255.0.0",
        "172.15.255.255",
        "172.32.0.0",
        "192.0.1.1",
        "192.167.255.255",
        "192.169.0.0",
        "198.17.255.255",
        "198.20.0.0",
        "223.255.255.255",
        "2001:4860:4860::8888",
        "2606:4700::1111",
        "2a01:4f8::1",
        "::ffff:8.8.8.8",
        "64:ff9b::808:808",
    ];

    #[test]
    fn special_addresses_are_not_public() {
        for text in CLOSED {
            assert!(!is_public(text.parse().unwrap()), "{text} passed");
        }
    }

    #[test]
    fn ordinary_addresses_are_public() {
        for text in OPEN {
            assert!(is_public(text.parse().unwrap()), "{text} was refused");
        }
    }

    fn policy(networks: &[&str]) -> FetchPolicy {
        FetchPolicy {
            allow_private: networks.iter().map(|text| text.parse().unwrap()).collect(),
            ..FetchPolicy::default()
        }
    }

    #[test]
    fn a_listed_network_is_allowed_however_it_is_written() {
        let policy = policy(&["10.1.0.0/16", "fd00::/8"]);
        for text in ["10.1.2.3", "::ffff:10.1.2.3", "64:ff9b::a01:203", "fd00::1", "8.8.8.8"] {
            assert!(policy.allows(text.parse().unwrap()), "{text} was refused");
        }
        for text in ["10.2.0.1", "127.0.0.1", "192.168.0.1", "::1"] {
            assert!(!policy.allows(text.parse().unwrap()), "{text} passed");
        }
    }

    #[test]
    fn link_local_stays_closed_whatever_is_listed() {
        let policy = policy(&["0.0.0.0/0", "::/0"]);
        for text in [
            "169.254.169.254",
            "::ffff:169.254.169.254",
            "64:ff9b::a9fe:a9fe",
            "fe80::1",
        ] {
            assert!(!policy.allows(text.parse().unwrap()), "{text} passed");
        }
        assert!(policy.allows("127.0.0.1".parse().unwrap()));
    }

    #[rstest]
    #[case("http://127.0.0.1/a/b")]
    #[case("http://127.1/a/b")]
    #[case("http://2130706433/a/b")]
    #[case("http://0x7f000001/a/b")]
    #[case("http://0177.0.0.1/a/b")]
    #[case("http://0/a/b")]
    #[case("http://localhost/a/b")]
    #[case("http://localhost./a/b")]
    #[case("http://LOCALHOST/a/b")]
    #[case("http://[::1]/a/b")]
    #[case("http://[::]/a/b")]
    #[case("http://[::ffff:127.0.0.1]/a/b")]
    #[case("http://[64:ff9b::7f00:1]/a/b")]
    #[case("http://169.254.169.254/a/b")]
    #[case("ssh://git@127.0.0.1/a/b")]
    #[case("ssh://git@127.1/a/b")]
    #[case("ssh://git@2130706433/a/b")]
    #[case("ssh://git@0x7f.1/a/b")]
    #[case("ssh://git@0177.0.0.1/a/b")]
    #[case("ssh://git@[::1]/a/b")]
    #[case("ssh://git@localhost%2e/a/b")]
    #[case("ssh://git@%6cocalhost/a/b")]
    #[tokio::test]
    async fn every_spelling_of_this_machine_is_refused(#[case] url: &str) {
        let Ok(url) = url.parse::<RepoUrl>() else { return };
        let error = FetchPolicy::default().locate(&url).await.unwrap_err();
        assert!(matches!(error, FetchError::Refused { .. }), "{url}: {error:?}");
    }
}
