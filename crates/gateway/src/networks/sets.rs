//! Sets of networks, as keys and proxies name them.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use ipnet::{IpNet, Ipv4Net};

/// Networks in CIDR notation. An IPv4 address that is written as IPv6 (`::ffff:192.0.2.1`) is the
/// IPv4 address, in the set and when it is looked up.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NetworkSet(Vec<IpNet>);

/// The most networks of a set.
const NETWORKS_MAX: usize = 1024;

/// A line that is no network.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("'{0}' is no network; write an address or address/bits, at most {NETWORKS_MAX} of them")]
pub struct InvalidNetwork(String);

impl NetworkSet {
    /// Whether no network is in it.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether one of its networks has `address`. An empty set has none.
    pub fn contains(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        self.0.iter().any(|network| network.contains(&address))
    }
}

impl FromStr for NetworkSet {
    type Err = InvalidNetwork;

    /// Networks between line ends, commas or blanks.
    fn from_str(text: &str) -> Result<Self, InvalidNetwork> {
        let mut networks = Vec::new();
        for word in text.split([',', ' ', '\t', '\r', '\n']).filter(|word| !word.is_empty()) {
            if networks.len() == NETWORKS_MAX {
                return Err(InvalidNetwork(word.to_owned()));
            }
            networks.push(network(word).ok_or_else(|| InvalidNetwork(word.to_owned()))?);
        }
        Ok(Self(networks))
    }
}

impl fmt::Display for NetworkSet {
    /// One network a line, as [`NetworkSet::from_str`] reads them.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, network) in self.0.iter().enumerate() {
            if index > 0 {
                formatter.write_str("\n")?;
            }
            write!(formatter, "{network}")?;
        }
        Ok(())
    }
}

/// Bits of an IPv6 address before the IPv4 address that it maps.
const MAPPED_BITS: u8 = 96;

fn network(word: &str) -> Option<IpNet> {
    let network = match word.parse::<IpAddr>() {
        Ok(address) => IpNet::from(address),
        Err(_) => word.parse::<IpNet>().ok()?,
    };
    if let IpNet::V6(wide) = network
        && let Some(address) = wide.addr().to_ipv4_mapped()
        && wide.prefix_len() >= MAPPED_BITS
    {
        let narrow = Ipv4Net::new(address, wide.prefix_len() - MAPPED_BITS).ok()?;
        return Some(IpNet::V4(narrow.trunc()));
    }
    Some(network.trunc())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn set(text: &str) -> NetworkSet {
        text.parse().unwrap()
    }

    #[test]
    fn networks_and_addresses_of_both_families() {
        let networks = set("10.0.0.0/8\n192.0.2.7, 2001:db8::/32  ::1");
        for (address, inside) in [
            ("10.255.0.1", true),
            ("11.0.0.1", false),
            ("192.0.2.7", true),
            ("192.0.2.8", false),
            ("2001:db8:ffff::1", true),
            ("2001:db9::1", false),
            ("::1", true),
            ("::ffff:10.1.2.3", true),
            ("::ffff:11.1.2.3", false),
        ] {
            assert_eq!(networks.contains(address.parse().unwrap()), inside, "{address}");
        }
        assert!(!set("").contains("127.0.0.1".parse().unwrap()));
        assert!(set("0.0.0.0/0").contains("8.8.8.8".parse().unwrap()));
        assert!(!set("0.0.0.0/0").contains("2001:db8::1".parse().unwrap()));
        assert!(!set("::/0").contains("8.8.8.8".parse().unwrap()));
    }

    #[test]
    fn mapped_networks_are_those_they_map() {
        assert_eq!(set("::ffff:10.0.0.0/104"), set("10.0.0.0/8"));
        assert_eq!(set("::ffff:192.0.2.1"), set("192.0.2.1"));
    }

    #[test]
    fn what_is_no_network_is_named() {
        for text in ["10.0.0.0/33", "1.2.3", "example.org", "::1/129", "10.0.0.1/-1", "010.0.0.1"] {
            let error = text.parse::<NetworkSet>().unwrap_err();
            assert!(error.to_string().contains(text), "{error}");
        }
        let many = "10.0.0.1\n".repeat(NETWORKS_MAX + 1);
        assert!(many.parse::<NetworkSet>().is_err());
    }

    proptest! {
        #[test]
        fn membership_is_equality_of_the_leading_bits(base: u32, other: u32, bits in 0u8..=32) {
            let text = format!("{}/{bits}", std::net::Ipv4Addr::from(base));
            let mask = u32::MAX.checked_shl(32 - u32::from(bits)).unwrap_or(0);
            for address in [other, base ^ (other & !mask), base] {
                let expected = base & mask == address & mask;
                let v4 = std::net::Ipv4Addr::from(address);
                prop_assert_eq!(set(&text).contains(v4.into()), expected);
                prop_assert_eq!(set(&text).contains(v4.to_ipv6_mapped().into()), expected);
            }
        }

        #[test]
        fn membership_in_ipv6(base: u128, other: u128, bits in 0u8..=128) {
            let base = base | 1 << 127;
            let text = format!("{}/{bits}", std::net::Ipv6Addr::from(base));
            let mask = u128::MAX.checked_shl(128 - u32::from(bits)).unwrap_or(0);
            for address in [other | 1 << 127, base ^ (other & !mask & (u128::MAX >> 1))] {
                let expected = base & mask == address & mask;
                let v6 = std::net::Ipv6Addr::from(address);
                prop_assert_eq!(set(&text).contains(v6.into()), expected);
            }
        }

        #[test]
        fn a_set_survives_being_written(networks in prop::collection::vec((any::<u32>(), 0u8..=32), 0..9)) {
            let lines = networks.iter().map(|(a, b)| format!("{}/{b}", std::net::Ipv4Addr::from(*a)));
            let read = set(&lines.collect::<Vec<_>>().join("\n"));
            prop_assert_eq!(set(&read.to_string()), read);
        }

        #[test]
        fn no_text_breaks_the_reader(text in ".*") {
            let _ = text.parse::<NetworkSet>();
        }
    }
}
