//! How a camera asks for a login and what is answered: Digest (RFC 7616 with MD5
//! and SHA-256, RFC 2617 without `qop`), and Basic (RFC 7617).

use base64::Engine;
use md5::Md5;
use sha2::{Digest, Sha256};

use crate::config::Login;
use crate::domain::to_hex;

/// Challenges that are looked at, and parameters of each.
const MOST: usize = 16;

/// The strongest way of logging in that a camera offers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Offer {
    /// The password itself.
    Basic,
    /// A proof that one knows it.
    Digest(Challenge),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Algorithm {
    Md5,
    Sha256,
}

/// What a Digest is to be made of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Challenge {
    realm: String,
    nonce: String,
    opaque: Option<String>,
    algorithm: Algorithm,
    /// As the camera writes it.
    algorithm_name: Option<String>,
    /// `-sess`: the client's nonce goes into the first hash.
    session: bool,
    /// `qop=auth` is offered.
    auth: bool,
    /// The login was right, the nonce too old.
    stale: bool,
}

impl Challenge {
    pub fn is_stale(&self) -> bool {
        self.stale
    }

    /// Whether the other is to be answered with something else.
    pub fn same_nonce(&self, other: &Challenge) -> bool {
        self.nonce == other.nonce
    }
}

/// The strongest of what the `WWW-Authenticate` headers offer, of what is known.
pub(super) fn strongest<'a>(headers: impl Iterator<Item = &'a str>) -> Option<Offer> {
    let offers: Vec<Named> = headers.flat_map(read).take(MOST).collect();
    let digests = offers.iter().filter(|offer| offer.scheme.eq_ignore_ascii_case("Digest")).filter_map(digest);
    if let Some(best) = digests.max_by_key(|challenge| challenge.algorithm) {
        return Some(Offer::Digest(best));
    }
    offers.iter().any(|offer| offer.scheme.eq_ignore_ascii_case("Basic")).then_some(Offer::Basic)
}

fn digest(offer: &Named) -> Option<Challenge> {
    let written = offer.get("algorithm");
    let name = written.unwrap_or("MD5").to_ascii_uppercase();
    let (algorithm, session) = match name.as_str() {
        "MD5" => (Algorithm::Md5, false),
        "MD5-SESS" => (Algorithm::Md5, true),
        "SHA-256" => (Algorithm::Sha256, false),
        "SHA-256-SESS" => (Algorithm::Sha256, true),
        _ => return None,
    };
    let qop = offer.get("qop");
    let auth = qop.is_some_and(|list| list.split(',').any(|one| one.trim().eq_ignore_ascii_case("auth")));
    if qop.is_some_and(|list| !list.trim().is_empty()) && !auth {
        return None;
    }
    Some(Challenge {
        realm: offer.get("realm").unwrap_or_default().to_owned(),
        nonce: offer.get("nonce")?.to_owned(),
        opaque: offer.get("opaque").map(str::to_owned),
        algorithm,
        algorithm_name: written.map(str::to_owned),
        session,
        auth,
        stale: offer.get("stale").is_some_and(|text| text.eq_ignore_ascii_case("true")),
    })
}

/// A scheme and its parameters.
struct Named {
    scheme: String,
    parameters: Vec<(String, String)>,
}

impl Named {
    fn get(&self, name: &str) -> Option<&str> {
        self.parameters.iter().find(|one| one.0.eq_ignore_ascii_case(name)).map(|one| one.1.as_str())
    }
}

/// One header, which may hold several challenges: `Digest a="b", c=d, Basic e="f"`.
fn read(text: &str) -> Vec<Named> {
    let mut found: Vec<Named> = Vec::new();
    let mut rest = text;
    for _ in 0..MOST * MOST {
        rest = rest.trim_start_matches([' ', '\t', ',']);
        let (word, after) = rest.split_at(rest.find([' ', '\t', ',', '=']).unwrap_or(rest.len()));
        if word.is_empty() && after.is_empty() {
            break;
        }
        let after = after.trim_start_matches([' ', '\t']);
        let Some(value) = after.strip_prefix('=') else {
            found.push(Named { scheme: word.to_owned(), parameters: Vec::new() });
            rest = after;
            continue;
        };
        let value = value.trim_start_matches([' ', '\t']);
        let (value, after) = match value.strip_prefix('"') {
            Some(quoted) => quoted.split_at(closing_quote(quoted)),
            None => value.split_at(value.find([',', ' ', '\t']).unwrap_or(value.len())),
        };
        if let Some(last) = found.last_mut()
            && last.parameters.len() < MOST
        {
            last.parameters.push((word.to_owned(), value.to_owned()));
        }
        rest = after.strip_prefix('"').unwrap_or(after);
    }
    found
}

/// Where the quote ends that began before `text`.
fn closing_quote(text: &str) -> usize {
    let mut escaped = false;
    for (at, c) in text.char_indices() {
        match c {
            '"' if !escaped => return at,
            '\\' => escaped = !escaped,
            _ => escaped = false,
        }
    }
    text.len()
}

/// What a proof is made of besides the challenge.
pub(super) struct Request<'a> {
    pub method: &'a str,
    pub uri: &'a str,
    /// How often this nonce has been used, this time included.
    pub count: u32,
    /// Our own nonce.
    pub cnonce: &'a str,
}

/// The value of `Authorization`.
pub(super) fn answer(offer: &Offer, login: &Login, request: &Request<'_>) -> String {
    let Offer::Digest(challenge) = offer else {
        let pair = [login.user.as_slice(), b":", login.password.as_slice()].concat();
        return format!("Basic {}", base64::engine::general_purpose::STANDARD.encode(pair));
    };
    let hash = |parts: &[&[u8]]| match challenge.algorithm {
        Algorithm::Md5 => to_hex(&Md5::digest(parts.join(&b':'))),
        Algorithm::Sha256 => to_hex(&Sha256::digest(parts.join(&b':'))),
    };
    let count = format!("{:08x}", request.count);
    let (nonce, cnonce) = (challenge.nonce.as_bytes(), request.cnonce.as_bytes());
    let mut who = hash(&[&login.user, challenge.realm.as_bytes(), &login.password]);
    if challenge.session {
        who = hash(&[who.as_bytes(), nonce, cnonce]);
    }
    let what = hash(&[request.method.as_bytes(), request.uri.as_bytes()]);
    let response = if challenge.auth {
        hash(&[who.as_bytes(), nonce, count.as_bytes(), cnonce, b"auth", what.as_bytes()])
    } else {
        hash(&[who.as_bytes(), nonce, what.as_bytes()])
    };
    let user = String::from_utf8_lossy(&login.user).replace('\\', "\\\\").replace('"', "\\\"");
    let Challenge { realm, nonce, .. } = challenge;
    let uri = request.uri;
    let mut text = format!(
        "Digest username=\"{user}\", realm=\"{realm}\", nonce=\"{nonce}\", uri=\"{uri}\", response=\"{response}\""
    );
    if let Some(name) = &challenge.algorithm_name {
        text += &format!(", algorithm={name}");
    }
    if challenge.auth {
        text += &format!(", qop=auth, nc={count}, cnonce=\"{}\"", request.cnonce);
    } else if challenge.session {
        text += &format!(", cnonce=\"{}\"", request.cnonce);
    }
    if let Some(opaque) = &challenge.opaque {
        text += &format!(", opaque=\"{opaque}\"");
    }
    text
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn login(user: &str, password: &str) -> Login {
        Login { user: user.into(), password: password.into() }
    }

    const RFC_7616: &str = "realm=\"http-auth@example.org\", qop=\"auth, auth-int\", algorithm=ALGORITHM, \
        nonce=\"7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v\", opaque=\"FQhe/qaU925kfnzjCev0ciny7QMkPqMAFRtzCUYo5tdS\"";

    /// RFC 7616, section 3.9.1.
    #[test]
    fn digests_are_those_of_the_standard() {
        for (algorithm, response) in [
            ("MD5", "8ca523f5e9506fed4657c9700eebdbec"),
            ("SHA-256", "753927fa0e85d155564e2e272a28d1802ca10daf4496794697cf8db5856cb6c1"),
        ] {
            let header = format!("Digest {}", RFC_7616.replace("ALGORITHM", algorithm));
            let offer = strongest([header.as_str()].into_iter()).unwrap();
            let request = Request {
                method: "GET",
                uri: "/dir/index.html",
                count: 1,
                cnonce: "f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ",
            };
            let text = answer(&offer, &login("Mufasa", "Circle of Life"), &request);
            assert!(text.contains(&format!("response=\"{response}\"")), "{text}");
            assert!(text.contains("qop=auth, nc=00000001, cnonce=\"f2/") && text.contains("opaque=\"FQ"), "{text}");
        }
    }

    /// RFC 2617 without `qop`, as most cameras have it (RFC 2069's form).
    #[test]
    fn digests_without_qop_are_the_old_ones() {
        let offer = strongest(["Digest realm=\"cam\",nonce=\"n\""].into_iter()).unwrap();
        let request = Request { method: "DESCRIBE", uri: "rtsp://h/s", count: 9, cnonce: "c" };
        let text = answer(&offer, &login("a\"b", "p"), &request);
        let hash = |text: &str| to_hex(&Md5::digest(text));
        let expected = hash(&format!("{}:n:{}", hash("a\"b:cam:p"), hash("DESCRIBE:rtsp://h/s")));
        assert!(text.starts_with("Digest username=\"a\\\"b\", realm=\"cam\"") && text.contains(&expected), "{text}");
        assert!(!text.contains("cnonce") && !text.contains("algorithm"), "{text}");
    }

    #[test]
    fn the_strongest_offer_is_taken_and_basic_last() {
        let of = |headers: &[&str]| match strongest(headers.iter().copied()) {
            Some(Offer::Digest(challenge)) => format!("{:?} {}", challenge.algorithm, challenge.realm),
            Some(Offer::Basic) => "Basic".to_owned(),
            None => "none".to_owned(),
        };
        let (md5, sha) = ("Digest realm=\"a\", nonce=\"b\"", "digest realm=\"c\", nonce=\"d\", algorithm=\"SHA-256\"");
        assert_eq!(of(&["Basic realm=\"x\"", md5, sha]), "Sha256 c");
        assert_eq!(of(&[&format!("Basic realm=\"a, Digest\", {md5}")]), "Md5 a");
        assert_eq!(of(&["Basic realm=\"x\""]), "Basic");
        assert_eq!(of(&["basic"]), "Basic");
        assert_eq!(of(&["Digest realm=\"a\", nonce=\"b\", algorithm=SHA-512-256", "Bearer"]), "none");
        assert_eq!(of(&["Digest realm=\"a\", nonce=\"b\", qop=\"auth-int\""]), "none");
        assert_eq!(of(&["Digest realm=\"a\""]), "none");
        assert_eq!(of(&[]), "none");
    }

    proptest! {
        #[test]
        fn any_header_is_read(text in "(\\PC|[\"=, \\\\]|Digest |nonce=|Basic ){0,40}") {
            let _ = strongest([text.as_str()].into_iter());
        }
    }
}
