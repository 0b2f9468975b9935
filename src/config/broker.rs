//! The address of an MQTT broker.

use std::fmt;
use std::str::FromStr;

/// Where an MQTT broker listens: `mqtt://host[:port]` or `mqtts://host[:port]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BrokerUrl {
    /// Whether the connection is encrypted (`mqtts`).
    pub tls: bool,
    /// Name or address; an IPv6 address without its brackets.
    pub host: String,
    /// 1883 or, with TLS, 8883 unless said otherwise.
    pub port: u16,
}

impl FromStr for BrokerUrl {
    type Err = &'static str;

    /// Never repeats `text` in the error: it may hold a password.
    fn from_str(text: &str) -> Result<BrokerUrl, &'static str> {
        let (tls, rest) = match text.split_once("://") {
            Some(("mqtt", rest)) => (false, rest),
            Some(("mqtts", rest)) => (true, rest),
            _ => return Err("must begin with mqtt:// or, encrypted, with mqtts://"),
        };
        if rest.contains('@') {
            return Err("must not hold a login: put the name into 'username' and the password into 'password_file'");
        }
        let rest = rest.strip_suffix('/').unwrap_or(rest);
        if rest.contains(['/', '?', '#']) {
            return Err("must end after the host and the port; topics begin with 'prefix' of [unit]");
        }
        let (host, port) = match rest.strip_prefix('[').map(|rest| rest.split_once(']')) {
            Some(None) => return Err("has a '[' without a ']'"),
            Some(Some((host, port))) => {
                host.parse::<std::net::Ipv6Addr>().map_err(|_| "has brackets, but no IPv6 address in them")?;
                (host, port)
            }
            None => rest.split_at(rest.find(':').unwrap_or(rest.len())),
        };
        let port = match port.strip_prefix(':') {
            None if port.is_empty() => Some(if tls { 8883 } else { 1883 }),
            None => None,
            Some(port) => port.parse().ok().filter(|port| *port != 0),
        };
        let port = port.ok_or("must have a port from 1 to 65535 after the host, or none")?;
        let is_host = |c: char| c.is_alphanumeric() || "-_.:".contains(c);
        if host.is_empty() || host.len() > 253 || !host.chars().all(is_host) {
            return Err("must name a host, for example mqtts://broker.example.org");
        }
        Ok(BrokerUrl { tls, host: host.to_owned(), port })
    }
}

impl fmt::Display for BrokerUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.tls { "mqtts" } else { "mqtt" };
        if self.host.contains(':') {
            write!(f, "{scheme}://[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{scheme}://{}:{}", self.host, self.port)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn ports_follow_the_scheme() {
        let shown = |text: &str| text.parse::<BrokerUrl>().map(|url| url.to_string());
        assert_eq!(shown("mqtt://localhost").as_deref(), Ok("mqtt://localhost:1883"));
        assert_eq!(shown("mqtts://b.example.org/").as_deref(), Ok("mqtts://b.example.org:8883"));
        assert_eq!(shown("mqtts://10.0.0.1:443").as_deref(), Ok("mqtts://10.0.0.1:443"));
        assert_eq!(shown("mqtt://[::1]:1884").as_deref(), Ok("mqtt://[::1]:1884"));
    }

    #[test]
    fn refuses_what_it_would_misunderstand() {
        for bad in [
            "",
            "localhost",
            "localhost:1883",
            "tcp://h",
            "mqtt://",
            "mqtt://:1883",
            "mqtt://h:0",
            "mqtt://h:65536",
            "mqtt://h:",
            "mqtt://h:x",
            "mqtt://u:p@h",
            "mqtt://h/topic",
            "mqtt://h?x",
            "mqtt://[::1",
            "mqtt://[h]",
            "mqtt://::1",
            "mqtt://a b",
            "MQTT://h",
            "mqtt://[::1]1883",
        ] {
            assert!(bad.parse::<BrokerUrl>().is_err(), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn never_panics_and_reads_back(text in "(mqtts?://)?[\\PC\\[\\]:.a-z0-9]{0,20}") {
            if let Ok(url) = text.parse::<BrokerUrl>() {
                prop_assert_eq!(url.to_string().parse(), Ok(url));
            }
        }
    }
}
