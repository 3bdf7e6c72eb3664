//! Where a request came from: what the socket says, and what a proxy that is trusted to say it adds.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use http::header::HOST;
use http::{HeaderMap, HeaderValue};
use ipnet::IpNet;

use super::{FORWARDED_FOR, FORWARDED_HOST, FORWARDED_PROTO, one};
use crate::request::{ClientCertificate, Malformed};

/// The socket's other end.
#[derive(Clone, Debug)]
pub struct Peer {
    address: IpAddr,
    text: HeaderValue,
    certificate: Option<Arc<ClientCertificate>>,
}

impl Peer {
    /// A peer; an IPv4 address that came in an IPv6 coat is taken out of it.
    #[must_use]
    pub fn new(address: IpAddr) -> Self {
        let address = address.to_canonical();
        let text = HeaderValue::from_str(&address.to_string());
        Self { address, text: text.unwrap_or(HeaderValue::from_static("unknown")), certificate: None }
    }

    /// The same, having presented this certificate.
    #[must_use]
    pub fn presenting(self, certificate: Option<Arc<ClientCertificate>>) -> Self {
        Self { certificate, ..self }
    }

    /// The address.
    #[must_use]
    pub fn address(&self) -> IpAddr {
        self.address
    }
}

/// Where a request came from, as the upstream is told.
#[derive(Clone, Debug)]
pub struct Origin {
    /// The client: the peer, or what a trusted proxy says of it.
    pub client: IpAddr,
    /// The certificate that the peer presented.
    pub certificate: Option<Arc<ClientCertificate>>,
    forwarded_for: HeaderValue,
    proto: HeaderValue,
    host: Option<HeaderValue>,
}

impl Origin {
    /// Reads the origin before [`clean_request`](super::clean_request) removes what it is read from. Only a peer in `trusted` is believed;
    /// what a trusted one says must be readable.
    pub fn read(
        peer: &Peer,
        headers: &HeaderMap,
        trusted: &[IpNet],
        scheme: &'static str,
    ) -> Result<Self, Malformed> {
        let mut origin = Self {
            client: peer.address,
            certificate: peer.certificate.clone(),
            forwarded_for: peer.text.clone(),
            proto: HeaderValue::from_static(scheme),
            host: headers.get(HOST).cloned(),
        };
        let is_trusted = |address: IpAddr| trusted.iter().any(|net| net.contains(&address));
        if !is_trusted(peer.address) {
            return Ok(origin);
        }
        let mut chain = String::new();
        for line in headers.get_all(FORWARDED_FOR) {
            let line = line.to_str().map_err(|_| Malformed::HeaderAmbiguous)?;
            chain.push_str(line);
            chain.push_str(", ");
        }
        for hop in chain.rsplit(',').map(str::trim).filter(|hop| !hop.is_empty()) {
            origin.client = read_hop(hop).ok_or(Malformed::HeaderAmbiguous)?;
            if !is_trusted(origin.client) {
                break;
            }
        }
        chain.push_str(&peer.address.to_string());
        origin.forwarded_for = HeaderValue::try_from(chain).map_err(|_| Malformed::HeaderAmbiguous)?;
        if let Some(proto) = one(headers, &FORWARDED_PROTO)? {
            origin.proto = proto.clone();
        }
        if let Some(host) = one(headers, &FORWARDED_HOST)? {
            origin.host = Some(host.clone());
        }
        Ok(origin)
    }

    /// Tells the upstream; nothing that the client said under these names is left.
    pub fn write(self, headers: &mut HeaderMap) {
        headers.insert(FORWARDED_FOR, self.forwarded_for);
        headers.insert(FORWARDED_PROTO, self.proto);
        if let Some(host) = self.host {
            headers.insert(FORWARDED_HOST, host);
        }
    }
}

/// An entry of `X-Forwarded-For`; some proxies add the port.
fn read_hop(text: &str) -> Option<IpAddr> {
    let address = text.parse::<IpAddr>().or_else(|_| text.parse::<SocketAddr>().map(|socket| socket.ip()));
    address.ok().map(|address| address.to_canonical())
}

#[cfg(test)]
mod tests {
    use http::HeaderName;

    use super::*;

    fn headers(lines: &[(&str, &str)]) -> HeaderMap {
        let line = |(name, value): &(&str, &str)| {
            (HeaderName::from_bytes(name.as_bytes()).unwrap(), HeaderValue::from_str(value).unwrap())
        };
        let mut map = HeaderMap::new();
        for (name, value) in lines.iter().map(line) {
            map.append(name, value);
        }
        map
    }

    #[track_caller]
    fn origin(lines: &[(&str, &str)], trusted: &str) -> (String, HeaderMap) {
        let trusted: Vec<IpNet> = trusted.split_terminator(' ').map(|net| net.parse().unwrap()).collect();
        let peer = Peer::new("::ffff:10.0.0.1".parse().unwrap());
        let origin = Origin::read(&peer, &headers(lines), &trusted, "http").unwrap();
        let mut told = HeaderMap::new();
        let client = origin.client.to_string();
        origin.write(&mut told);
        (client, told)
    }

    #[test]
    fn a_stranger_is_not_believed_about_where_it_comes_from() {
        let lines = [("x-forwarded-for", "1.2.3.4"), ("x-forwarded-proto", "https"), ("host", "app.example")];
        let (client, told) = origin(&lines, "192.168.0.0/16");
        assert_eq!(client, "10.0.0.1");
        assert_eq!(told["x-forwarded-for"], "10.0.0.1");
        assert_eq!(told["x-forwarded-proto"], "http");
        assert_eq!(told["x-forwarded-host"], "app.example");
    }

    #[test]
    fn behind_trusted_proxies_the_rightmost_stranger_is_the_client() {
        let lines = [
            ("x-forwarded-for", "6.6.6.6, 1.2.3.4:5555"),
            ("x-forwarded-for", "10.0.0.9"),
            ("x-forwarded-proto", "https"),
            ("x-forwarded-host", "public.example"),
            ("host", "inner"),
        ];
        let (client, told) = origin(&lines, "10.0.0.0/8");
        assert_eq!(client, "1.2.3.4");
        assert_eq!(told["x-forwarded-for"], "6.6.6.6, 1.2.3.4:5555, 10.0.0.9, 10.0.0.1");
        assert_eq!(told["x-forwarded-proto"], "https");
        assert_eq!(told["x-forwarded-host"], "public.example");
        assert_eq!(origin(&[], "10.0.0.0/8").0, "10.0.0.1");

        let peer = Peer::new("10.0.0.1".parse().unwrap());
        let nets = ["10.0.0.0/8".parse().unwrap()];
        for bad in
            [&[("x-forwarded-for", "unknown")][..], &[("x-forwarded-proto", "a"), ("x-forwarded-proto", "b")]]
        {
            let read = Origin::read(&peer, &headers(bad), &nets, "http");
            assert_eq!(read.unwrap_err(), Malformed::HeaderAmbiguous);
        }
    }
}
