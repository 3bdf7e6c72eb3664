//! The small languages inside `gateway.toml`'s strings: durations, sizes, places, server addresses, nets.
//!
//! Each reader takes text and returns a value or one clause that says what is wrong; where it stands is the
//! caller's business.

use std::net::{IpAddr, Ipv6Addr};
use std::time::Duration;

use ipnet::IpNet;

use super::{Place, Scheme, ServerAddress};
use crate::request::{CanonicalPath, Host};

/// `250ms`, `30s`, `5m`, `1h`: one whole number and one unit.
pub(in super::super) fn duration(text: &str) -> Result<Duration, &'static str> {
    const WRONG: &str =
        "a duration is a whole number and a unit, such as \"250ms\", \"30s\", \"5m\" or \"1h\"";
    let (number, unit) = number_and_unit(text).ok_or(WRONG)?;
    let seconds = |factor: u64| number.checked_mul(factor).map(Duration::from_secs).ok_or(WRONG);
    match unit {
        "ms" => Ok(Duration::from_millis(number)),
        "s" => Ok(Duration::from_secs(number)),
        "m" => seconds(60),
        "h" => seconds(3600),
        _ => Err(WRONG),
    }
}

/// `512B`, `64KiB`, `10MiB`, `1GiB`.
pub(super) fn size(text: &str) -> Result<u64, &'static str> {
    const WRONG: &str = "a size is a whole number and a unit, such as \"512B\", \"64KiB\" or \"10MiB\"";
    let (number, unit) = number_and_unit(text).ok_or(WRONG)?;
    let factor: u64 = match unit {
        "B" => 1,
        "KiB" => 1 << 10,
        "MiB" => 1 << 20,
        "GiB" => 1 << 30,
        _ => return Err(WRONG),
    };
    number.checked_mul(factor).ok_or(WRONG)
}

fn number_and_unit(text: &str) -> Option<(u64, &str)> {
    let end = text.find(|c: char| !c.is_ascii_digit())?;
    let (number, unit) = text.split_at_checked(end)?;
    Some((number.parse().ok()?, unit))
}

/// `/prefix`, `host/` or `host/prefix`.
pub(super) fn place(text: &str) -> Result<Place, &'static str> {
    let slash = text.find('/').ok_or("a place is a path such as \"/desk\", perhaps with a host before it")?;
    let (host, path) = text.split_at_checked(slash).unwrap_or(("", text));
    let host = match host {
        "" => None,
        _ if host.contains(':') => return Err("a place's host has no port and no scheme"),
        _ => Some(Host::parse(host).map_err(|_| "that is not a host name")?.as_str().to_owned()),
    };
    Ok(Place { host, prefix: prefix(path)? })
}

/// `/`, or a path without a slash at its end.
pub(super) fn prefix(text: &str) -> Result<String, &'static str> {
    let path = CanonicalPath::parse(text).map_err(|_| "that is not a plain path")?;
    if text.len() > 1 && text.ends_with('/') {
        return Err("leave out the slash at the end: a prefix ends at a segment's end anyway");
    }
    if path.segments().iter().any(|segment| segment.contains(['{', '}', '*'])) {
        return Err("a prefix has no parameters");
    }
    Ok(text.to_owned())
}

/// `http://host[:port]` or `https://host[:port]`.
pub(super) fn server(text: &str) -> Result<ServerAddress, &'static str> {
    let (scheme, rest) = match text.split_once("://") {
        Some(("http", rest)) => (Scheme::Http, rest),
        Some(("https", rest)) => (Scheme::Https, rest),
        _ => return Err("a server is \"http://host:port\" or \"https://host:port\""),
    };
    let authority = rest.strip_suffix('/').unwrap_or(rest);
    if authority.contains(['/', '?', '#']) {
        return Err("a server has no path: what the gateway strips from the front is all that changes");
    }
    if authority.contains('@') {
        return Err("a server's address holds no user or password");
    }
    let name = Host::parse(authority).map_err(|_| "that is not a host and a port")?;
    let name = name.as_str();
    let bare = name.strip_prefix('[').and_then(|name| name.strip_suffix(']'));
    let default_port = match scheme {
        Scheme::Http => 80,
        Scheme::Https => 443,
    };
    let after_name = authority.rsplit(']').next().unwrap_or(authority);
    let port = match after_name.rsplit_once(':') {
        None => default_port,
        Some((_, digits)) => digits.parse().ok().filter(|p| *p != 0).ok_or("that is not a port")?,
    };
    Ok(ServerAddress { scheme, host: bare.unwrap_or(name).to_owned(), port })
}

/// `10.0.0.0/8` or a single address; not all addresses at once.
pub(super) fn net(text: &str) -> Result<IpNet, &'static str> {
    let net = match text.parse::<IpAddr>() {
        Ok(address) => IpNet::from(address),
        Err(_) => text.parse::<IpNet>().map_err(|_| "a net is an address or \"10.0.0.0/8\"")?,
    };
    if net.prefix_len() == 0 {
        return Err("every address would be believed");
    }
    if net.trunc() != net {
        return Err("the address has bits beyond the prefix's length");
    }
    Ok(net)
}

/// Whether a URL is `https`, or stays on this machine.
pub(super) fn url(text: &str) -> Result<UrlReach, &'static str> {
    let (scheme, rest) = text.split_once("://").ok_or("that is not a URL")?;
    let authority = rest.split(['/', '?', '#']).next().unwrap_or(rest);
    if authority.contains('@') {
        return Err("a URL here holds no user or password");
    }
    let host = Host::parse(authority).map_err(|_| "that URL has no plain host")?;
    match scheme {
        "https" => Ok(UrlReach::Safe),
        "http" if is_loopback(host.as_str()) => Ok(UrlReach::Safe),
        "http" => Ok(UrlReach::Plain),
        _ => Err("only https and http URLs can be fetched"),
    }
}

/// How far a URL's answer can be believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum UrlReach {
    /// `https`, or this machine.
    Safe,
    /// Plain `http` across a network.
    Plain,
}

fn is_loopback(host: &str) -> bool {
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    host == "localhost"
        || bare.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
        || bare.parse::<Ipv6Addr>().is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_and_sizes_need_their_unit() {
        assert_eq!(duration("250ms"), Ok(Duration::from_millis(250)));
        assert_eq!(duration("5m"), Ok(Duration::from_secs(300)));
        assert_eq!(size("10MiB"), Ok(10 << 20));
        for bad in ["", "5", "s", "-1s", "1.5s", "5 s", "5S", "1h30m", "99999999999999999999s"] {
            assert!(duration(bad).is_err(), "{bad}");
        }
        for bad in ["10", "10MB", "10mib", "KiB", "99999999999GiB"] {
            assert!(size(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn places_are_paths_perhaps_under_a_host() {
        let at = |host: Option<&str>, prefix: &str| {
            Ok(Place { host: host.map(str::to_owned), prefix: prefix.to_owned() })
        };
        assert_eq!(place("/desk"), at(None, "/desk"));
        assert_eq!(place("/"), at(None, "/"));
        assert_eq!(place("Desk.Example/a/b"), at(Some("desk.example"), "/a/b"));
        for bad in ["desk", "", "/desk/", "/a//b", "/a/../b", "h:80/a", "https://h/a", "/{x}", "/a*"] {
            assert!(place(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn servers_are_a_scheme_a_host_and_a_port() {
        let is = |scheme, host: &str, port| Ok(ServerAddress { scheme, host: host.into(), port });
        assert_eq!(server("http://127.0.0.1:7001"), is(Scheme::Http, "127.0.0.1", 7001));
        assert_eq!(server("https://App.example/"), is(Scheme::Https, "app.example", 443));
        assert_eq!(server("http://[::1]:7"), is(Scheme::Http, "::1", 7));
        assert_eq!(server("http://[::1]"), is(Scheme::Http, "::1", 80));
        for bad in
            ["127.0.0.1:7001", "ftp://a", "http://a/b", "http://u:p@a", "http://", "http://a:0", "http://a:x"]
        {
            assert!(server(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn no_net_is_everybody() {
        assert!(net("10.0.0.0/8").is_ok() && net("::1").is_ok());
        for bad in ["0.0.0.0/0", "::/0", "10.0.0.1/8", "x"] {
            assert!(net(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn keys_over_plain_http_are_noticed() {
        assert_eq!(url("https://sso.example/jwks"), Ok(UrlReach::Safe));
        assert_eq!(url("http://127.0.0.1:9/jwks"), Ok(UrlReach::Safe));
        assert_eq!(url("http://[::1]:9/jwks"), Ok(UrlReach::Safe));
        assert_eq!(url("http://keycloak:8080/jwks"), Ok(UrlReach::Plain));
        assert!(url("file:///etc/passwd").is_err() && url("https://u@h/").is_err());
    }
}
