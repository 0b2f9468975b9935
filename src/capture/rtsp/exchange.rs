//! The conversation with a camera, seen from between: what FFmpeg asks goes on to
//! the camera in its own name, demands for a login are answered here, redirects are
//! judged here. Pure: messages in, bytes for either side out.

use std::collections::VecDeque;
use std::net::IpAddr;

use super::login::{self, Offer};
use super::message::{Malformed, Message};
use crate::config::RtspUrl;

/// Requests without a reply at most; FFmpeg has two, a keep-alive and what follows.
const MOST_PENDING: usize = 8;
/// Redirects that are followed at most.
const MOST_REDIRECTS: u32 = 3;
/// Replies in a row that answer nothing, or nothing yet ("100 Continue"), at most.
const MOST_UNASKED: u32 = 64;
/// Times that one request is sent at most: without a login, with it, with a new nonce.
const MOST_TRIES: u32 = 3;

/// Why the conversation is over, for people.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum Refusal {
    #[error("401 Unauthorized: wrong user or password")]
    WrongLogin,
    #[error("401 Unauthorized: the camera asks for a login; write it into the source, as rtsp://user:password@host")]
    NoLogin,
    #[error(
        "401 Unauthorized: the camera asks for Basic, which gives the password to anybody on the way; \
         'allow_basic = true' for this camera permits it"
    )]
    Basic,
    #[error("401 Unauthorized: the camera asks for a login in no known way (Digest with MD5 or SHA-256, or Basic)")]
    UnknownScheme,
    #[error("the camera redirects to another host, which is not followed: set the source to where the pictures are")]
    RedirectedElsewhere,
    #[error("the camera redirects again and again")]
    RedirectedTooOften,
    #[error("the camera redirects to where it is not understood")]
    RedirectedNowhere,
    #[error("the camera sends {0}")]
    Malformed(#[from] Malformed),
    #[error("{0}")]
    Units(&'static str),
    #[error("too many requests without an answer")]
    TooManyRequests,
    #[error("the camera answers again and again what it was not asked")]
    Unasked,
    /// Connecting, for the first time or after a redirect.
    #[error("{0}")]
    Connection(String),
}

/// What is to be done with a message from the camera.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// FFmpeg is told this.
    Client(Vec<u8>),
    /// The camera is asked again.
    Camera(Vec<u8>),
    /// The connection goes there, and [`Exchange::moved`] tells what to ask.
    Elsewhere(RtspUrl),
    /// It answers nothing that was asked.
    Nothing,
}

/// What FFmpeg asked and the camera has not answered.
struct Pending {
    /// As FFmpeg wrote it.
    request: Message,
    /// Our number of the last time that it was sent.
    cseq: u32,
    tries: u32,
    /// How the login was given then, if it was.
    given: Option<Offer>,
}

/// One camera's conversation.
pub(super) struct Exchange {
    camera: RtspUrl,
    /// What the owner calls its host.
    host: String,
    /// Where the connection goes.
    peer: IpAddr,
    /// What FFmpeg calls the camera.
    local: String,
    allow_basic: bool,
    /// Our nonce.
    cnonce: String,
    cseq: u32,
    pending: VecDeque<Pending>,
    /// How the camera wants the login.
    offer: Option<Offer>,
    /// How often the offer's nonce has been used.
    count: u32,
    /// The camera has taken the login.
    proved: bool,
    redirects: u32,
    /// Replies that answered nothing since one that did.
    unasked: u32,
}

impl Exchange {
    /// With the camera at `peer`, which FFmpeg calls `local`; `cnonce` is random.
    pub fn new(camera: RtspUrl, peer: IpAddr, local: String, allow_basic: bool, cnonce: String) -> Exchange {
        Exchange {
            host: camera.host.clone(),
            camera,
            peer,
            local,
            allow_basic,
            cnonce,
            cseq: 0,
            pending: VecDeque::new(),
            offer: None,
            count: 0,
            proved: false,
            redirects: 0,
            unasked: 0,
        }
    }

    /// A message of FFmpeg's, as the camera is to get it.
    pub fn client(&mut self, message: Message) -> Result<Vec<u8>, Refusal> {
        if message.is_reply() {
            return Ok(message.to_bytes());
        }
        if self.pending.len() == MOST_PENDING {
            // Some cameras never answer these, and FFmpeg does not mind.
            let is_keep_alive = |one: &Pending| matches!(one.request.method_and_uri().0, "OPTIONS" | "GET_PARAMETER");
            let Some(at) = self.pending.iter().position(is_keep_alive) else {
                return Err(Refusal::TooManyRequests);
            };
            self.pending.remove(at);
        }
        let mut pending = Pending { request: message, cseq: 0, tries: 0, given: None };
        let bytes = self.send(&mut pending);
        self.pending.push_back(pending);
        Ok(bytes)
    }

    /// The request in the camera's words, with the login if it has asked for one.
    fn send(&mut self, pending: &mut Pending) -> Vec<u8> {
        self.cseq = self.cseq.wrapping_add(1);
        pending.cseq = self.cseq;
        pending.tries += 1;
        pending.given = None;
        let mut message = pending.request.clone();
        let (method, uri) = message.method_and_uri();
        let uri = match uri.strip_prefix(&self.local) {
            Some(rest) => self.camera.request_uri() + rest,
            None => uri.to_owned(),
        };
        if let (Some(offer), Some(login)) = (&self.offer, &self.camera.login) {
            self.count = self.count.saturating_add(1);
            let request = login::Request { method, uri: &uri, count: self.count, cnonce: &self.cnonce };
            let answer = login::answer(offer, login, &request);
            pending.given = Some(offer.clone());
            message.headers.push(("Authorization".to_owned(), answer));
        }
        message.start = format!("{} {uri} RTSP/1.0", pending.request.method_and_uri().0);
        message.set("CSeq", self.cseq.to_string());
        message.to_bytes()
    }

    /// A message of the camera's.
    pub fn camera(&mut self, mut message: Message) -> Result<Step, Refusal> {
        let Some(status) = message.status() else {
            return Ok(Step::Client(message.to_bytes()));
        };
        let cseq = message.header("CSeq").and_then(|text| text.parse::<u32>().ok());
        // Careless cameras leave it out, but answer in order.
        let at = cseq.and_then(|cseq| self.pending.iter().position(|one| one.cseq == cseq)).unwrap_or(0);
        let pending = if status < 200 { None } else { self.pending.remove(at) };
        let Some(mut pending) = pending else {
            self.unasked += 1;
            return if self.unasked > MOST_UNASKED { Err(Refusal::Unasked) } else { Ok(Step::Nothing) };
        };
        self.unasked = 0;
        match status {
            401 | 407 => {
                let bytes = self.asked_for_login(&message, &mut pending)?;
                self.pending.insert(at, pending);
                return Ok(Step::Camera(bytes));
            }
            300..=399 => {
                let to = self.redirected(&message)?;
                self.pending.insert(at, pending);
                return Ok(Step::Elsewhere(to));
            }
            _ => self.proved |= pending.given.is_some(),
        }
        match pending.request.header("CSeq") {
            Some(cseq) => message.set("CSeq", cseq.to_owned()),
            None => message.remove("CSeq"),
        }
        for name in ["WWW-Authenticate", "Proxy-Authenticate", "Authentication-Info", "Location"] {
            message.remove(name);
        }
        match pending.request.method_and_uri().0 {
            // FFmpeg would take what it asked for, which is ours.
            "DESCRIBE" if message.header("Content-Base").is_none() => {
                message.set("Content-Base", self.camera.request_uri());
            }
            "SETUP" => self.name_source(&mut message),
            _ => {}
        }
        Ok(Step::Client(message.to_bytes()))
    }

    /// Over UDP, FFmpeg would speak to the address that it is connected to.
    fn name_source(&self, message: &mut Message) {
        let Some(transport) = message.header("Transport") else { return };
        let has = |name: &str| {
            transport
                .split(';')
                .any(|part| part.split('=').next().unwrap_or_default().trim().eq_ignore_ascii_case(name))
        };
        if has("server_port") && !has("source") && !has("interleaved") {
            let named = format!("{transport};source={}", self.peer);
            message.set("Transport", named);
        }
    }

    fn asked_for_login(&mut self, message: &Message, pending: &mut Pending) -> Result<Vec<u8>, Refusal> {
        let headers = message.all("WWW-Authenticate").chain(message.all("Proxy-Authenticate"));
        let offer = login::strongest(headers);
        if self.camera.login.is_none() {
            return Err(Refusal::NoLogin);
        }
        let offer = offer.ok_or(if pending.given.is_some() { Refusal::WrongLogin } else { Refusal::UnknownScheme })?;
        match (&pending.given, &offer) {
            (_, Offer::Basic) if !self.allow_basic => return Err(Refusal::Basic),
            (None, _) => {}
            // A nonce that was good for a while; a wrong password is not tried again.
            (Some(Offer::Digest(old)), Offer::Digest(new))
                if pending.tries < MOST_TRIES && !new.same_nonce(old) && (new.is_stale() || self.proved) => {}
            _ => return Err(Refusal::WrongLogin),
        }
        if self.offer.as_ref() != Some(&offer) {
            self.count = 0;
        }
        self.offer = Some(offer);
        Ok(self.send(pending))
    }

    /// Only to the same host: another one would be told the login, or could be
    /// something in the owner's network that an imposter wants to have asked.
    fn redirected(&mut self, message: &Message) -> Result<RtspUrl, Refusal> {
        let location = message.header("Location").ok_or(Refusal::RedirectedNowhere)?;
        let known = ["rtsp://", "rtsps://"]
            .iter()
            .any(|scheme| location.get(..scheme.len()).is_some_and(|start| start.eq_ignore_ascii_case(scheme)));
        let mut to = RtspUrl::parse(location).ok().filter(|_| known).ok_or(Refusal::RedirectedNowhere)?;
        let is_peer = to.host.parse::<IpAddr>().is_ok_and(|address| address == self.peer);
        if !(is_peer || to.host.eq_ignore_ascii_case(&self.host)) || (self.camera.tls && !to.tls) {
            return Err(Refusal::RedirectedElsewhere);
        }
        self.redirects += 1;
        if self.redirects > MOST_REDIRECTS || self.pending.len() > 1 {
            return Err(Refusal::RedirectedTooOften);
        }
        to.login.clone_from(&self.camera.login);
        Ok(to)
    }

    /// The connection goes to `camera` now, at `peer`: what it is to be asked again.
    pub fn moved(&mut self, camera: RtspUrl, peer: IpAddr) -> Vec<u8> {
        (self.camera, self.peer) = (camera, peer);
        (self.offer, self.count, self.proved) = (None, 0, false);
        let mut all = std::mem::take(&mut self.pending);
        let mut bytes = Vec::new();
        for pending in &mut all {
            pending.tries = 0;
            bytes.extend(self.send(pending));
        }
        self.pending = all;
        bytes
    }
}

/// Any bytes as what a camera sends: whatever it asks for, the password is not in
/// what it gets, and nothing of ours grows without bound.
pub(super) fn fuzz(data: &[u8]) {
    use super::message::{Piece, Splitter};

    let Ok(camera) = RtspUrl::parse("rtsp://joe:hunter2@127.0.0.1/s") else { return };
    let local = "rtsp://127.0.0.1:1/t".to_owned();
    let peer = IpAddr::from([127, 0, 0, 1]);
    let mut exchange = Exchange::new(camera, peer, local.clone(), false, "c".to_owned());
    let (mut splitter, mut rest) = (Splitter::default(), data);
    let ask = |exchange: &mut Exchange| {
        let start = format!("DESCRIBE {local} RTSP/1.0");
        let message = Message { start, headers: vec![("CSeq".to_owned(), "1".to_owned())], body: Vec::new() };
        exchange.client(message)
    };
    // base64 of "joe:hunter2".
    let is_clean = |bytes: &[u8]| {
        let holds = |secret: &[u8]| bytes.windows(secret.len()).any(|window| window == secret);
        !holds(b"am9lOmh1bnRlcjI")
    };
    while !rest.is_empty() {
        let _ = ask(&mut exchange);
        let (step, taken) = match splitter.next(rest) {
            Ok(Piece::Message(message, n)) => (exchange.camera(message), n),
            Ok(Piece::Data(n) | Piece::Rubbish(n)) => (Ok(Step::Nothing), n),
            Ok(Piece::Incomplete) | Err(_) => return,
        };
        assert!(taken > 0 && taken <= rest.len() && exchange.pending.len() <= MOST_PENDING);
        rest = rest.get(taken..).unwrap_or_default();
        match step {
            Ok(Step::Camera(bytes)) => assert!(is_clean(&bytes)),
            Ok(Step::Elsewhere(to)) => {
                assert_eq!(to.host, "127.0.0.1");
                assert!(is_clean(&exchange.moved(to, peer)));
            }
            Ok(_) => {}
            Err(_) => return,
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::super::message::{Piece, Splitter};
    use super::*;

    const LOCAL: &str = "rtsp://127.0.0.1:9/t0k3n";

    fn exchange(url: &str, allow_basic: bool) -> Exchange {
        let peer = IpAddr::from([10, 0, 0, 7]);
        Exchange::new(RtspUrl::parse(url).unwrap(), peer, LOCAL.into(), allow_basic, "cn".into())
    }

    fn message(text: &str) -> Message {
        match Splitter::default().next(text.as_bytes()).unwrap() {
            Piece::Message(message, _) => message,
            other => panic!("{other:?}"),
        }
    }

    /// FFmpeg asks, the camera answers; what comes of it.
    fn ask(exchange: &mut Exchange, request: &str, reply: &str) -> (String, Result<Step, Refusal>) {
        let asked = exchange.client(message(&format!("{request} RTSP/1.0\r\nCSeq: 41\r\n\r\n"))).unwrap();
        (String::from_utf8(asked).unwrap(), exchange.camera(message(reply)))
    }

    fn text(step: Result<Step, Refusal>) -> String {
        match step.unwrap() {
            Step::Client(bytes) | Step::Camera(bytes) => String::from_utf8(bytes).unwrap(),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn keep_alives_that_a_camera_never_answers_end_nothing_and_other_requests_do() {
        let mut exchange = exchange("rtsp://cam/live", false);
        let request = |method: &str| message(&format!("{method} {LOCAL} RTSP/1.0\r\nCSeq: 1\r\n\r\n"));
        for _ in 0..20 {
            assert!(exchange.client(request("GET_PARAMETER")).is_ok());
        }
        let asked = (0..20).take_while(|_| exchange.client(request("SETUP")).is_ok()).count();
        assert_eq!(asked, MOST_PENDING);
    }

    const DIGEST: &str = "RTSP/1.0 401 Unauthorized\r\nWWW-Authenticate: Digest realm=\"r\", nonce=\"n1\"\r\n\r\n";

    #[test]
    fn a_demand_for_a_login_is_answered_here_and_only_with_a_digest() {
        let mut exchange = exchange("rtsp://joe:hunter2@cam/live?x=1", false);
        let (asked, step) = ask(&mut exchange, &format!("DESCRIBE {LOCAL}"), DIGEST);
        assert!(asked.starts_with("DESCRIBE rtsp://cam:554/live?x=1 RTSP/1.0\r\nCSeq: 1\r\n"), "{asked}");
        let again = text(step);
        assert!(again.contains("CSeq: 2\r\nAuthorization: Digest username=\"joe\""), "{again}");
        assert!(again.contains("uri=\"rtsp://cam:554/live?x=1\"") && !again.contains("hunter2"), "{again}");
        // A careless answer without CSeq, and what FFmpeg makes of it.
        let answer = text(exchange.camera(message("RTSP/1.0 200 OK\nContent-length: 2\n\nv=")));
        assert!(answer.contains("CSeq: 41\r\n") && answer.ends_with("\r\n\r\nv="), "{answer}");
        assert!(answer.contains("Content-Base: rtsp://cam:554/live?x=1\r\n"), "{answer}");
        // From now on it is given unasked; a nonce that has aged is replaced, a password that has changed is not.
        let (asked, step) = ask(&mut exchange, "SETUP rtsp://cam:554/live/track1", &DIGEST.replace("n1", "n2"));
        assert!(asked.starts_with("SETUP rtsp://cam:554/live/track1 ") && asked.contains("nonce=\"n1\""), "{asked}");
        assert!(text(step).contains("nonce=\"n2\""));
        assert_eq!(exchange.camera(message(&DIGEST.replace("n1", "n2"))), Err(Refusal::WrongLogin));
    }

    #[test]
    fn a_wrong_password_is_tried_once() {
        let mut exchange = exchange("rtsp://joe:hunter2@cam/", false);
        let (_, step) = ask(&mut exchange, &format!("DESCRIBE {LOCAL}"), DIGEST);
        text(step);
        assert_eq!(exchange.camera(message(&DIGEST.replace("n1", "n2"))), Err(Refusal::WrongLogin));
    }

    #[test]
    fn basic_needs_leave_and_no_login_is_told() {
        const BASIC: &str = "RTSP/1.0 401 Unauthorized\r\nWWW-Authenticate: Basic realm=\"r\"\r\n\r\n";
        let request = format!("DESCRIBE {LOCAL}");
        assert_eq!(ask(&mut exchange("rtsp://joe:hunter2@cam/", false), &request, BASIC).1, Err(Refusal::Basic));
        assert_eq!(ask(&mut exchange("rtsps://joe:hunter2@cam/", false), &request, BASIC).1, Err(Refusal::Basic));
        assert_eq!(ask(&mut exchange("rtsp://cam/", true), &request, BASIC).1, Err(Refusal::NoLogin));
        let allowed = text(ask(&mut exchange("rtsp://joe:hunter2@cam/", true), &request, BASIC).1);
        assert!(allowed.contains("Authorization: Basic am9lOmh1bnRlcjI="), "{allowed}");
        let unknown = "RTSP/1.0 401 Unauthorized\r\nWWW-Authenticate: NTLM\r\n\r\n";
        assert_eq!(
            ask(&mut exchange("rtsp://joe:hunter2@cam/", true), &request, unknown).1,
            Err(Refusal::UnknownScheme)
        );
        // With both on offer, the password stays here even if Basic would be allowed.
        let both = BASIC.replace("\r\n\r\n", "\r\nWWW-Authenticate: Digest realm=\"r\", nonce=\"n\"\r\n\r\n");
        assert!(text(ask(&mut exchange("rtsp://joe:hunter2@cam/", true), &request, &both).1).contains("Digest user"));
    }

    #[test]
    fn redirects_are_followed_on_the_same_host_alone() {
        let moved = |to: &str| format!("RTSP/1.0 302 Moved\r\nCSeq: 1\r\nLocation: {to}\r\n\r\n");
        let request = format!("DESCRIBE {LOCAL}");
        for (from, to, refusal) in [
            ("rtsp://joe:hunter2@cam/", "rtsp://evil/", Refusal::RedirectedElsewhere),
            ("rtsp://joe:hunter2@cam/", "rtsp://cam@evil/", Refusal::RedirectedElsewhere),
            ("rtsp://cam/", "rtsp://10.0.0.1/", Refusal::RedirectedElsewhere),
            ("rtsps://joe:hunter2@cam/", "rtsp://cam/", Refusal::RedirectedElsewhere),
            ("rtsp://joe:hunter2@cam/", "http://cam/", Refusal::RedirectedNowhere),
            ("rtsp://joe:hunter2@cam/", "/other", Refusal::RedirectedNowhere),
        ] {
            assert_eq!(ask(&mut exchange(from, false), &request, &moved(to)).1, Err(refusal), "{to}");
        }
        let mut exchange = exchange("rtsp://joe:hunter2@cam/", false);
        exchange.client(message(&format!("{request} RTSP/1.0\r\nCSeq: 4\r\n\r\n"))).unwrap();
        for turn in 0..4 {
            let to = ["rtsp://CAM:8554/a", "rtsp://mallory:x@10.0.0.7/b"][turn % 2];
            match exchange.camera(message(&moved(to).replace("CSeq: 1\r\n", ""))) {
                Ok(Step::Elsewhere(to)) => {
                    let again = String::from_utf8(exchange.moved(to, IpAddr::from([10, 0, 0, 7]))).unwrap();
                    assert!(!again.contains("Authorization") && again.contains(["8554/a", "7:554/b"][turn % 2]));
                }
                other => {
                    assert_eq!((turn, other), (3, Err(Refusal::RedirectedTooOften)));
                    return;
                }
            }
        }
        panic!("it was followed for ever");
    }

    #[test]
    fn over_udp_the_cameras_address_is_named() {
        let mut exchange = exchange("rtsp://cam/", false);
        let reply = |transport: &str| format!("RTSP/1.0 200 OK\r\nTransport: {transport}\r\n\r\n");
        let udp = "RTP/AVP;unicast;client_port=5000-5001;server_port=6000-6001";
        let told = text(ask(&mut exchange, "SETUP rtsp://cam/1", &reply(udp)).1);
        assert!(told.contains("server_port=6000-6001;source=10.0.0.7\r\n"), "{told}");
        for kept in ["RTP/AVP/TCP;unicast;interleaved=0-1", "RTP/AVP;server_port=6-7;Source=10.0.0.9"] {
            let told = text(ask(&mut exchange, "SETUP rtsp://cam/1", &reply(kept)).1);
            assert!(told.contains(&format!("Transport: {kept}\r\n")), "{told}");
        }
    }

    #[test]
    fn replies_to_nothing_are_borne_for_a_while_and_not_for_ever() {
        for unasked in ["RTSP/1.0 100 Continue\r\nCSeq: 1\r\n\r\n", "RTSP/1.0 200 OK\r\nCSeq: 99\r\n\r\n"] {
            let mut exchange = exchange("rtsp://cam/", false);
            let answered = "RTSP/1.0 200 OK\r\n\r\n";
            for _ in 0..3 {
                assert!(matches!(ask(&mut exchange, "OPTIONS *", answered).1, Ok(Step::Client(_))));
                (0..MOST_UNASKED).for_each(|_| assert_eq!(exchange.camera(message(unasked)), Ok(Step::Nothing)));
            }
            assert_eq!(exchange.camera(message(unasked)), Err(Refusal::Unasked));
        }
    }

    #[test]
    fn requests_of_the_camera_and_their_answers_go_through() {
        let mut exchange = exchange("rtsp://cam/", false);
        let asked = text(exchange.camera(message("OPTIONS * RTSP/1.0\r\nCSeq: 7\r\n\r\n")));
        assert_eq!(asked, "OPTIONS * RTSP/1.0\r\nCSeq: 7\r\n\r\n");
        let answer = exchange.client(message("RTSP/1.0 200 OK\r\nCSeq: 7\r\n\r\n")).unwrap();
        assert_eq!(answer, b"RTSP/1.0 200 OK\r\nCSeq: 7\r\n\r\n");
        assert_eq!(exchange.camera(message("RTSP/1.0 200 OK\r\nCSeq: 3\r\n\r\n")), Ok(Step::Nothing));
    }
}
