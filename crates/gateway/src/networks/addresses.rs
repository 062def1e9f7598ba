//! Which addresses the gateway may connect to.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// What may be connected to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum AddressPolicy {
    /// Addresses of the public internet alone: for whatever a user or another server named.
    #[default]
    Public,
    /// Private networks and this machine too: for what the operator named. Never addresses that
    /// lead nowhere else than to the metadata of a cloud's machine, or to no machine at all.
    Operator,
}

impl AddressPolicy {
    /// Whether `address` may be connected to.
    pub fn allows(self, address: IpAddr) -> bool {
        match (self, embedded_ipv4(address)) {
            (Self::Public, IpAddr::V4(address)) => is_public_ipv4(address),
            (Self::Public, IpAddr::V6(address)) => is_public_ipv6(address),
            (Self::Operator, IpAddr::V4(address)) => {
                !(address.is_link_local()
                    || address.octets()[0] == 0
                    || address.is_multicast()
                    || address.is_broadcast()
                    || address == ALIBABA_METADATA)
            }
            (Self::Operator, IpAddr::V6(address)) => {
                !(address.is_unicast_link_local()
                    || address.is_unspecified()
                    || address.is_multicast()
                    || address == AWS_METADATA)
            }
        }
    }
}

const ALIBABA_METADATA: Ipv4Addr = Ipv4Addr::new(100, 100, 100, 200);
const AWS_METADATA: Ipv6Addr = Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254);

/// The IPv4 address that an IPv6 address stands for and leads to: mapped, compatible, translated
/// (64:ff9b::/96) and 6to4.
fn embedded_ipv4(address: IpAddr) -> IpAddr {
    let IpAddr::V6(v6) = address else { return address };
    let segments = v6.segments();
    let [.., high, low] = segments;
    let tail = || IpAddr::V4(Ipv4Addr::from(u32::from(high) << 16 | u32::from(low)));
    match segments {
        [0, 0, 0, 0, 0, 0xffff, ..] => tail(),
        [0, 0, 0, 0, 0, 0, 0, 0 | 1] => address,
        [0, 0, 0, 0, 0, 0, ..] | [0x64, 0xff9b, 0, 0, 0, 0, ..] => tail(),
        [0x2002, high, low, ..] => {
            IpAddr::V4(Ipv4Addr::from(u32::from(high) << 16 | u32::from(low)))
        }
        _ => address,
    }
}

fn is_public_ipv4(address: Ipv4Addr) -> bool {
    let [a, b, c, _] = address.octets();
    let is_special = matches!(
        (a, b, c),
        (0 | 10 | 127, _, _)
            | (100, 64..=127, _)
            | (169, 254, _)
            | (172, 16..=31, _)
            | (192, 0, 0 | 2)
            | (192, 88, 99)
            | (192, 168, _)
            | (198, 18..=19, _)
            | (198, 51, 100)
            | (203, 0, 113)
            | (224..=255, _, _)
    );
    !is_special
}

/// Only 2000::/3 is given out; of that, some is for documentation, benchmarks and tunnels.
fn is_public_ipv6(address: Ipv6Addr) -> bool {
    let segments = address.segments();
    let is_special = matches!(
        segments,
        [0x2001, 0..=0x1ff, ..] | [0x2001, 0xdb8, ..] | [0x2002, ..] | [0x3fff, 0..=0xfff, ..]
    );
    segments[0] & 0xe000 == 0x2000 && !is_special
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_public_internet_is_public() {
        for address in ["8.8.8.8", "1.1.1.1", "100.63.0.1", "172.32.0.1", "2606:4700::1111"] {
            assert!(AddressPolicy::Public.allows(address.parse().unwrap()), "{address}");
        }
        for address in [
            "127.0.0.1",
            "127.255.0.9",
            "0.0.0.0",
            "0.1.2.3",
            "10.0.0.1",
            "100.64.0.1",
            "100.100.100.200",
            "169.254.169.254",
            "172.16.0.1",
            "172.31.255.255",
            "192.0.0.192",
            "192.168.1.1",
            "198.18.0.1",
            "203.0.113.5",
            "224.0.0.1",
            "255.255.255.255",
            "::",
            "::1",
            "::ffff:127.0.0.1",
            "::ffff:169.254.169.254",
            "::127.0.0.1",
            "64:ff9b::a00:1",
            "2002:7f00:1::",
            "2002:a9fe:a9fe::1",
            "fc00::1",
            "fd00:ec2::254",
            "fe80::1",
            "fec0::1",
            "ff02::1",
            "2001:db8::1",
            "2001::1",
            "100::1",
        ] {
            assert!(!AddressPolicy::Public.allows(address.parse().unwrap()), "{address}");
        }
    }

    #[test]
    fn the_operator_may_name_private_networks_but_no_metadata() {
        for address in ["127.0.0.1", "10.0.0.1", "192.168.1.1", "::1", "fd00::1", "8.8.8.8"] {
            assert!(AddressPolicy::Operator.allows(address.parse().unwrap()), "{address}");
        }
        for address in [
            "169.254.169.254",
            "::ffff:169.254.169.254",
            "0.0.0.0",
            "::",
            "fe80::1",
            "fd00:ec2::254",
            "100.100.100.200",
            "255.255.255.255",
        ] {
            assert!(!AddressPolicy::Operator.allows(address.parse().unwrap()), "{address}");
        }
    }
}
