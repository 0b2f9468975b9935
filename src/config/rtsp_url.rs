//! The address of a network camera: `rtsp://[user[:password]@]host[:port][/path]`.
//!
//! A login that could be read in two ways is refused: what one reader takes for
//! the end of the password another takes for the host, and then the rest of the
//! password is a host's name, which is looked up, sent and printed.

use std::fmt;

/// What to write in a user name or password instead of what ends it.
const ESCAPES: &str = "in a user name or password write %2F for '/', %3F for '?', %23 for '#', %40 for '@' and %25 \
                       for '%'";

/// A network camera's address, taken apart.
#[derive(Clone, PartialEq, Eq)]
pub struct RtspUrl {
    /// Whether the connection is encrypted (`rtsps`).
    pub tls: bool,
    /// Who to say one is, if the camera asks.
    pub login: Option<Login>,
    /// Name or address; an IPv6 address without its brackets.
    pub host: String,
    /// 554 or, with TLS, 322 unless said otherwise.
    pub port: u16,
    /// Path and query as they were written: empty, or from their '/' or '?' on.
    pub path: String,
}

/// A user and a password, decoded; any bytes.
#[derive(Clone, PartialEq, Eq)]
pub struct Login {
    /// Without control characters.
    pub user: Vec<u8>,
    /// Empty if there is none.
    pub password: Vec<u8>,
}

/// Says nothing that could be a secret: paths and queries hold passwords, too.
impl fmt::Debug for RtspUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.tls { "RtspUrl(rtsps)" } else { "RtspUrl(rtsp)" })
    }
}

impl fmt::Debug for Login {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Login")
    }
}

impl RtspUrl {
    /// Reads a URL whose scheme is `rtsp` or `rtsps`.
    ///
    /// # Errors
    /// What is wrong, without any part of `text`.
    pub fn parse(text: &str) -> Result<RtspUrl, String> {
        let (scheme, rest) = text.split_once("://").ok_or("a URL has :// behind its scheme")?;
        let tls = scheme.eq_ignore_ascii_case("rtsps");
        if text.chars().any(char::is_control) {
            return Err("this URL holds a control character".into());
        }
        let (authority, path) = rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len()));
        if path.contains('@') {
            return Err(format!(
                "this URL can be misread: an '@' stands behind the first '/', '?' or '#'; {ESCAPES} (and, in a path, \
                 %40 for '@')"
            ));
        }
        let (login, address) = match authority.rsplit_once('@') {
            Some((login, address)) => (Some(Login::parse(login)?), address),
            None => (None, authority),
        };
        let (host, port) = split_port(address)?;
        if host.is_empty() {
            return Err("this URL names no host; write for example \"rtsp://192.168.1.20/stream1\"".into());
        }
        // '%' comes before the interface of a link-local address.
        if host.len() > 253 || !host.chars().all(|c| c.is_alphanumeric() || "-_.:%".contains(c)) {
            return Err(format!("what stands where this URL's host should be is none; {ESCAPES}"));
        }
        let port = match port {
            None | Some("") => Some(if tls { 322 } else { 554 }),
            Some(port) => port.parse().ok().filter(|port| *port != 0),
        };
        let port = port.ok_or_else(|| {
            format!("what follows the ':' behind this URL's host is no port from 1 to 65535; {ESCAPES}")
        })?;
        Ok(RtspUrl { tls, login, host: host.to_owned(), port, path: path.to_owned() })
    }

    /// Host and port as they stand in a URL.
    fn address(&self) -> String {
        if self.host.contains(':') {
            format!("[{}]:{}", self.host, self.port)
        } else {
            format!("{}:{}", self.host, self.port)
        }
    }

    /// The URL as requests name it: without the login, with the port.
    pub fn request_uri(&self) -> String {
        let scheme = if self.tls { "rtsps" } else { "rtsp" };
        format!("{scheme}://{}{}", self.address(), self.path)
    }
}

/// A host, and what follows the ':' behind it.
fn split_port(address: &str) -> Result<(&str, Option<&str>), String> {
    let Some(bracketed) = address.strip_prefix('[') else {
        return Ok(match address.split_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (address, None),
        });
    };
    let (host, rest) = bracketed.split_once(']').ok_or("this URL has a '[' without a ']'")?;
    match rest.strip_prefix(':') {
        None if !rest.is_empty() => Err("behind the ']' of this URL only ':' and a port may follow".into()),
        port => Ok((host, port)),
    }
}

impl Login {
    fn parse(text: &str) -> Result<Login, String> {
        if text.contains('@') {
            return Err(format!("this URL can be misread: it has more than one '@'; {ESCAPES}"));
        }
        let (user, password) = text.split_once(':').unwrap_or((text, ""));
        let decode = |part: &str| {
            percent_decoded(part)
                .ok_or_else(|| format!("this URL can be misread: a '%' without two hex digits behind it; {ESCAPES}"))
        };
        let (user, password) = (decode(user)?, decode(password)?);
        if user.iter().chain(&password).any(u8::is_ascii_control) {
            return Err("the user name or password of this URL holds a control character".into());
        }
        Ok(Login { user, password })
    }
}

/// Percent-encoding (RFC 3986, section 2.1) undone, once.
pub fn percent_decoded(text: &str) -> Option<Vec<u8>> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        if byte != b'%' {
            bytes.push(byte);
            continue;
        }
        let mut digit = || char::from(rest.next()?).to_digit(16);
        let value = digit()? * 16 + digit()?;
        bytes.push(u8::try_from(value).ok()?);
    }
    Some(bytes)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_login_is_decoded_once() {
        let url = RtspUrl::parse("rtsp://ad%40min:p%23ss%2Fw%3Frd%40x%2525@[fe80::1%eth0]:8554/a?b=c").unwrap();
        assert_eq!(url.login, Some(Login { user: b"ad@min".into(), password: b"p#ss/w?rd@x%25".into() }));
        assert_eq!(url.request_uri(), "rtsp://[fe80::1%eth0]:8554/a?b=c");
        let plain = RtspUrl::parse("RTSPS://u@cam").unwrap();
        assert_eq!(plain.login, Some(Login { user: b"u".into(), password: Vec::new() }));
        assert_eq!(plain.request_uri(), "rtsps://cam:322");
        // A ':' in the password cannot be misread.
        assert_eq!(RtspUrl::parse("rtsp://u:a:b@cam").unwrap().login.unwrap().password, b"a:b");
    }

    #[test]
    fn what_could_be_misread_is_refused_with_the_escape_and_without_the_secret() {
        for (bad, escape) in [
            ("rtsp://admin:Zm/hunter2@cam/s", "%2F"),
            ("rtsp://admin:Zm?hunter2@cam/s", "%3F"),
            ("rtsp://admin:Zm#hunter2@cam/s", "%23"),
            ("rtsp://admin:Zm@hunter2@cam/s", "%40"),
            ("rtsp://admin:Zm@hunter2/x@cam/s", "%40"),
            ("rtsp://admin:Zm%hunter2@cam/s", "%25"),
            ("rtsp://Zm%2:hunter2@cam/s", "%25"),
            ("rtsp://admin:hunter2%@cam/s", "%25"),
            ("rtsp://admin:Zm/hunter2", "%2F"),
            ("rtsp://admin:hunter2#cam", "%23"),
            ("rtsp://admin:hunter2\\cam@c am/s", "%2F"),
        ] {
            let problem = RtspUrl::parse(bad).unwrap_err();
            assert!(problem.contains(escape), "{bad}: {problem}");
            assert!(!problem.contains("hunter2") && !problem.contains("Zm"), "{bad}: {problem}");
        }
    }

    #[test]
    fn nothing_of_it_is_printed() {
        let url = RtspUrl::parse("rtsp://joe:hunter2@cam/key").unwrap();
        let shown = format!("{url:?} {:?}", url.login);
        assert_eq!(shown, "RtspUrl(rtsp) Some(Login)");
    }

    proptest! {
        #[test]
        fn never_panics(rest in "[\\PC%@:/?#\\[\\]a-f0-9]{0,30}") {
            let _ = RtspUrl::parse(&format!("rtsp://{rest}"));
        }

        #[test]
        fn any_password_survives_encoding(password in "[ -~äß€]{0,20}") {
            let encoded: String = password.bytes().map(|byte| format!("%{byte:02x}")).collect();
            let url = RtspUrl::parse(&format!("rtsp://u:{encoded}@cam/")).unwrap();
            prop_assert_eq!(url.login.unwrap().password, password.as_bytes());
        }
    }
}
