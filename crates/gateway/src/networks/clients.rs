//! Who a client is when proxies stand between.

use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;

use axum::http::{HeaderMap, HeaderName, header};

use super::sets::NetworkSet;

/// The header in which trusted proxies say who asked them. Only one is read: proxies pass the other
/// on as the client wrote it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ForwardingHeader {
    /// `X-Forwarded-For`, and `X-Forwarded-Proto` for the scheme.
    #[default]
    XForwardedFor,
    /// `Forwarded` (RFC 7239).
    Forwarded,
}

impl FromStr for ForwardingHeader {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        match name.to_ascii_lowercase().as_str() {
            "x-forwarded-for" => Ok(Self::XForwardedFor),
            "forwarded" => Ok(Self::Forwarded),
            _ => Err(format!("'{name}' is neither x-forwarded-for nor forwarded")),
        }
    }
}

/// Which peers may say for whom they ask.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Proxies {
    /// Their addresses; nobody is believed when it is empty.
    pub trusted: NetworkSet,
    /// How they say it.
    pub header: ForwardingHeader,
}

const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");

impl Proxies {
    /// The address of the client: the nearest hop that is not a trusted proxy. What stands farther
    /// from us anybody can write. Where a hop cannot be read, it is the proxy that wrote it, so a
    /// key's networks refuse rather than guess.
    pub fn client_address(&self, peer: IpAddr, headers: &HeaderMap) -> IpAddr {
        let mut address = peer.to_canonical();
        for hop in self.hops(headers).iter().rev() {
            if !self.trusted.contains(address) {
                return address;
            }
            match hop {
                Some(next) => address = next.to_canonical(),
                None => return address,
            }
        }
        address
    }

    /// Whether the client came by TLS, as far as a trusted `peer` says so; `None` when none does.
    pub fn is_https(&self, peer: IpAddr, headers: &HeaderMap) -> Option<bool> {
        if !self.trusted.contains(peer) {
            return None;
        }
        let scheme = match self.header {
            ForwardingHeader::XForwardedFor => {
                let values = headers.get_all(X_FORWARDED_PROTO);
                values.iter().next_back()?.to_str().ok()?.rsplit(',').next()?.trim().to_owned()
            }
            ForwardingHeader::Forwarded => {
                let value = headers.get_all(header::FORWARDED).iter().next_back()?.to_str().ok()?;
                parameter(split(value, ',').last()?, "proto")?
            }
        };
        Some(scheme.eq_ignore_ascii_case("https"))
    }

    /// Hops from the farthest to the nearest; `None` is one that names no address.
    fn hops(&self, headers: &HeaderMap) -> Vec<Option<IpAddr>> {
        let mut hops = Vec::new();
        let name = match self.header {
            ForwardingHeader::XForwardedFor => X_FORWARDED_FOR,
            ForwardingHeader::Forwarded => header::FORWARDED,
        };
        for value in headers.get_all(name) {
            let Ok(value) = value.to_str() else {
                hops.push(None);
                continue;
            };
            match self.header {
                ForwardingHeader::XForwardedFor => hops.extend(value.split(',').map(address)),
                ForwardingHeader::Forwarded => {
                    let elements = split(value, ',');
                    hops.extend(elements.iter().map(|hop| address(&parameter(hop, "for")?)));
                }
            }
        }
        hops
    }
}

/// An address with or without a port; IPv6 in brackets or bare.
fn address(text: &str) -> Option<IpAddr> {
    let text = text.trim();
    if let Ok(address) = text.parse::<IpAddr>() {
        return Some(address);
    }
    if let Ok(address) = text.parse::<SocketAddr>() {
        return Some(address.ip());
    }
    text.strip_prefix('[')?.strip_suffix(']')?.parse::<IpAddr>().ok()
}

/// The value of `name` in `for=192.0.2.1;proto=https`, without quotes.
fn parameter(element: &str, name: &str) -> Option<String> {
    split(element, ';').into_iter().find_map(|pair| {
        let (key, value) = pair.split_once('=')?;
        if !key.trim().eq_ignore_ascii_case(name) {
            return None;
        }
        let value = value.trim();
        Some(match value.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')) {
            Some(quoted) => quoted.replace('\\', ""),
            None => value.to_owned(),
        })
    })
}

/// Parts between separators that stand outside of quotes.
fn split(text: &str, separator: char) -> Vec<&str> {
    let mut is_quoted = false;
    let mut is_escaped = false;
    text.split(|c| {
        let was_escaped = is_escaped;
        is_escaped = is_quoted && c == '\\' && !was_escaped;
        if c == '"' && !was_escaped {
            is_quoted = !is_quoted;
        }
        c == separator && !is_quoted
    })
    .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client(header: ForwardingHeader, trusted: &str, peer: &str, values: &[&str]) -> String {
        let proxies = Proxies { trusted: trusted.parse().unwrap(), header };
        let mut headers = HeaderMap::new();
        let name = match header {
            ForwardingHeader::XForwardedFor => X_FORWARDED_FOR,
            ForwardingHeader::Forwarded => header::FORWARDED,
        };
        for value in values {
            headers.append(&name, value.parse().unwrap());
        }
        proxies.client_address(peer.parse().unwrap(), &headers).to_string()
    }

    #[test]
    fn the_nearest_hop_that_is_not_trusted_is_the_client() {
        let read = |peer, values: &[&str]| {
            client(ForwardingHeader::XForwardedFor, "10.0.0.0/8 ::1", peer, values)
        };
        assert_eq!(read("192.0.2.9", &["1.2.3.4"]), "192.0.2.9", "nobody believes strangers");
        assert_eq!(read("10.0.0.1", &["1.2.3.4"]), "1.2.3.4");
        assert_eq!(read("::ffff:10.0.0.1", &["1.2.3.4"]), "1.2.3.4");
        assert_eq!(read("10.0.0.1", &["9.9.9.9, 1.2.3.4"]), "1.2.3.4", "the left one is forged");
        assert_eq!(read("10.0.0.1", &["9.9.9.9, 1.2.3.4, 10.0.0.2"]), "1.2.3.4");
        assert_eq!(read("10.0.0.1", &["9.9.9.9", "1.2.3.4"]), "1.2.3.4", "several headers");
        assert_eq!(read("10.0.0.1", &["10.0.0.3, 10.0.0.2"]), "10.0.0.3");
        assert_eq!(read("10.0.0.1", &[]), "10.0.0.1");
        assert_eq!(read("10.0.0.1", &["1.2.3.4, nonsense"]), "10.0.0.1", "not past what is unread");
        assert_eq!(read("10.0.0.1", &["1.2.3.4, "]), "10.0.0.1");
        assert_eq!(read("::1", &["[2001:db8::1]:443"]), "2001:db8::1");
        assert_eq!(read("::1", &["1.2.3.4:5678"]), "1.2.3.4");
        let nobody = client(ForwardingHeader::XForwardedFor, "", "10.0.0.1", &["1.2.3.4"]);
        assert_eq!(nobody, "10.0.0.1");
    }

    #[test]
    fn the_standard_header_is_read_with_its_quotes() {
        let read =
            |values: &[&str]| client(ForwardingHeader::Forwarded, "10.0.0.0/8", "10.0.0.1", values);
        assert_eq!(read(&["for=1.2.3.4;proto=https, for=10.0.0.7"]), "1.2.3.4");
        assert_eq!(read(&["For=\"[2001:db8::1]:4711\""]), "2001:db8::1");
        assert_eq!(read(&["for=1.1.1.1;by=\"a,for=2.2.2.2\""]), "1.1.1.1");
        assert_eq!(read(&["for=unknown"]), "10.0.0.1");
        assert_eq!(read(&["for=_hidden, for=10.0.0.2"]), "10.0.0.2");
        assert_eq!(read(&["proto=https"]), "10.0.0.1");
    }

    #[test]
    fn only_trusted_proxies_say_that_a_client_came_by_tls() {
        let proxies = |header| Proxies { trusted: "10.0.0.0/8".parse().unwrap(), header };
        let mut headers = HeaderMap::new();
        headers.insert(X_FORWARDED_PROTO, "http, https".parse().unwrap());
        headers.insert(header::FORWARDED, "for=x;proto=http".parse().unwrap());
        let trusted = "10.0.0.1".parse().unwrap();
        let usual = proxies(ForwardingHeader::XForwardedFor);
        assert_eq!(usual.is_https(trusted, &headers), Some(true));
        assert_eq!(usual.is_https("1.2.3.4".parse().unwrap(), &headers), None);
        let standard = proxies(ForwardingHeader::Forwarded);
        assert_eq!(standard.is_https(trusted, &headers), Some(false));
        assert_eq!(usual.is_https(trusted, &HeaderMap::new()), None);
    }
}
