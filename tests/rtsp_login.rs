//! Who gets a network camera's password, and who does not: real video over the relay
//! to cameras that ask in every way, and cameras that ask for too much.
#![allow(missing_docs, clippy::unwrap_used)]

mod common;

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use common::camera::{Guard, RtspCamera, Scheme, Whims};
use common::daemon::clip;
use tawny::capture::{CaptureError, Frame, Interrupt, OpenSettings, VideoInput, watch};
use tawny::config::{Source, Transport};

const PASSWORD: &str = "p#ss/w?rd@x%";
const LOGIN: &str = "ad%6Din:p%23ss%2Fw%3Frd%40x%25@";

fn guarded(scheme: Scheme) -> RtspCamera {
    let guard = Some(Guard::new(scheme, "admin", PASSWORD));
    RtspCamera::with(0, &clip("street.mp4"), Whims { guard, ..Whims::default() })
}

fn at(login: &str, port: u16) -> Source {
    Source::Location(format!("rtsp://{login}127.0.0.1:{port}/stream"))
}

const STRICT: OpenSettings = OpenSettings { transport: Transport::Auto, allow_basic: false, fps: None };
const LAX: OpenSettings = OpenSettings { allow_basic: true, ..STRICT };

/// A second of it, decoded; how many packets were damaged.
fn see(source: &Source, settings: OpenSettings) -> Result<u64, CaptureError> {
    let mut each = |frame: &mut Frame| -> Result<(), CaptureError> { frame.picture().map(drop) };
    watch(source, settings, Duration::from_secs(1), &mut each).map(|watched| watched.damaged)
}

fn refused(source: &Source, settings: OpenSettings) -> String {
    see(source, settings).expect_err("this camera must not be usable").to_string()
}

fn given(camera: &RtspCamera) -> Vec<String> {
    camera.whims.guard.as_ref().unwrap().given.lock().unwrap().clone()
}

#[test]
fn a_login_is_proved_by_digest_and_the_password_is_decoded_once() {
    for (scheme, named) in [(Scheme::Md5, "Digest username=\"admin\""), (Scheme::Sha256, "algorithm=SHA-256, qop=auth")]
    {
        let camera = guarded(scheme);
        see(&at(LOGIN, camera.port), STRICT).unwrap();
        let given = given(&camera);
        assert!(!given.is_empty() && given.iter().all(|one| one.contains(named) && !one.contains("p#ss")), "{given:?}");
    }
    let camera = guarded(Scheme::Md5);
    let why = refused(&at("admin:wrong@", camera.port), STRICT);
    assert!(why.contains("401 Unauthorized: wrong user or password"), "{why}");
    assert_eq!(given(&camera).len(), 1, "a wrong password is tried once, lest the camera locks the user out");
    let why = refused(&at("", camera.port), STRICT);
    assert!(why.contains("401 Unauthorized: the camera asks for a login"), "{why}");
}

#[test]
fn basic_is_answered_only_with_leave() {
    let camera = guarded(Scheme::Basic);
    let why = refused(&at(LOGIN, camera.port), STRICT);
    assert!(why.contains("asks for Basic") && why.contains("'allow_basic = true'"), "{why}");
    assert_eq!(given(&camera), [""; 0]);
    see(&at(LOGIN, camera.port), LAX).unwrap();
    assert!(given(&camera).iter().all(|one| one.starts_with("Basic ")));
}

/// Answers each request with what `answer` makes of its first line; what it heard.
struct Script {
    port: u16,
    heard: Arc<Mutex<String>>,
    over: Arc<AtomicBool>,
}

impl Script {
    fn on(address: &str, answer: impl Fn(&str) -> Vec<u8> + Send + Sync + 'static) -> Script {
        let listener = TcpListener::bind((address, 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        let (heard, over) = (Arc::new(Mutex::new(String::new())), Arc::new(AtomicBool::new(false)));
        let (hears, ends, answer) = (Arc::clone(&heard), Arc::clone(&over), Arc::new(answer));
        std::thread::spawn(move || {
            while let Ok((mut stream, _)) = listener.accept() {
                if ends.load(SeqCst) {
                    return;
                }
                let (hears, answer) = (Arc::clone(&hears), Arc::clone(&answer));
                std::thread::spawn(move || {
                    let (mut text, mut buffer) = (String::new(), [0; 4096]);
                    while let Ok(n @ 1..) = stream.read(&mut buffer) {
                        text.push_str(&String::from_utf8_lossy(&buffer[..n]));
                        while let Some(end) = text.find("\r\n\r\n") {
                            let request: String = text.drain(..end + 4).collect();
                            hears.lock().unwrap().push_str(&request);
                            if stream.write_all(&answer(&request)).is_err() {
                                return;
                            }
                        }
                    }
                });
            }
        });
        Script { port, heard, over }
    }

    fn heard(&self) -> String {
        self.heard.lock().unwrap().clone()
    }
}

impl Drop for Script {
    fn drop(&mut self) {
        self.over.store(true, SeqCst);
    }
}

fn redirect(to: String) -> impl Fn(&str) -> Vec<u8> + Send + Sync + 'static {
    move |request| match request.starts_with("DESCRIBE") {
        true => format!("RTSP/1.0 302 Found\r\nLocation: {to}\r\n\r\n").into_bytes(),
        false => b"RTSP/1.0 200 OK\r\n\r\n".to_vec(),
    }
}

#[test]
fn a_redirect_leads_nobody_else_to_the_password() {
    let basic = |_: &str| b"RTSP/1.0 401 Unauthorized\r\nWWW-Authenticate: Basic realm=\"x\"\r\n\r\n".to_vec();
    let thief = Script::on("127.0.0.2", basic);
    let camera = Script::on("127.0.0.1", redirect(format!("rtsp://127.0.0.2:{}/stream", thief.port)));
    let why = refused(&at(LOGIN, camera.port), LAX);
    assert!(why.contains("redirects to another host"), "{why}");
    assert_eq!(thief.heard(), "");
    assert!(!camera.heard().contains("Authorization"), "{}", camera.heard());
    // On the same host it is followed, with the login; but not for ever.
    let good = guarded(Scheme::Sha256);
    let camera = Script::on("127.0.0.1", redirect(good.url()));
    see(&at(LOGIN, camera.port), STRICT).unwrap();
    assert!(!given(&good).is_empty() && !camera.heard().contains("Authorization"));
    let port = common::broker::free_port();
    let circle = Script::on("127.0.0.1", redirect(format!("rtsp://127.0.0.1:{port}/x")));
    let why = refused(&at(LOGIN, circle.port), STRICT);
    assert!(why.contains("cannot connect"), "{why}");
}

#[test]
fn what_a_camera_sends_without_end_is_given_up() {
    let head = |tail: Vec<u8>| move |_: &str| [b"RTSP/1.0 200 OK\r\n".to_vec(), tail.clone()].concat();
    for (tail, word) in [
        (b"X-Y: z\r\n".repeat(100_000), "more than"),
        (b"a".repeat(1 << 20), "16 KiB"),
        (b"Content-Length: 1000000000\r\n\r\n".to_vec(), "64 KiB"),
        (b"CSeq: 9\r\n\r\nRTSP/1.0 100 Continue\r\n".repeat(100_000), "not asked"),
    ] {
        let camera = Script::on("127.0.0.1", head(tail));
        let why = refused(&at("", camera.port), STRICT);
        assert!(why.contains(word), "{why}");
    }
}

/// Hands on in pieces of odd sizes, bare line feeds for line ends, no CSeq.
fn dribble(camera: u16) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        let (client, _) = listener.accept().unwrap();
        client.set_nodelay(true).unwrap();
        let camera = TcpStream::connect(("127.0.0.1", camera)).unwrap();
        let (mut from, mut to) = (client.try_clone().unwrap(), camera.try_clone().unwrap());
        std::thread::spawn(move || std::io::copy(&mut from, &mut to));
        let (mut camera, mut client, mut buffer) = (camera, client, [0; 65536]);
        while let Ok(n @ 1..) = camera.read(&mut buffer) {
            let mut bytes = buffer[..n].to_vec();
            if bytes.starts_with(b"RTSP/") && !bytes.contains(&b'$') {
                let text = String::from_utf8(bytes).unwrap();
                let (head, body) = text.split_once("\r\n\r\n").unwrap();
                let lines = head.lines().filter(|line| !line.starts_with("CSeq"));
                let head = lines.map(|line| format!("{}\n", line.replace("Content-Length:", "content-length :")));
                bytes = format!("\r\n{}\n{body}", head.collect::<String>()).into_bytes();
            }
            let mut rest = bytes.as_slice();
            let mut size = 1;
            while !rest.is_empty() {
                let (piece, more) = rest.split_at(size.min(rest.len()));
                if client.write_all(piece).is_err() {
                    return;
                }
                (rest, size) = (more, size % 13 + if rest.len() > 2000 { 200 } else { 1 });
            }
        }
    });
    port
}

#[test]
fn a_careless_camera_in_small_pieces_is_seen_without_damage() {
    let camera = RtspCamera::start(&clip("street.mp4"));
    assert_eq!(see(&at(LOGIN, dribble(camera.port)), STRICT).unwrap(), 0);
}

#[test]
fn a_stop_ends_every_wait() {
    let mute = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = mute.local_addr().unwrap().port();
    for scheme in ["rtsp", "rtsps"] {
        let source = Source::Location(format!("{scheme}://127.0.0.1:{port}/"));
        let interrupt = Interrupt::default();
        let stopping = interrupt.clone();
        let opening = std::thread::spawn(move || VideoInput::open(&source, STRICT, &interrupt).map(drop));
        // Until it is under way; a stop before that is as good.
        let connected = mute.accept().unwrap();
        let began = Instant::now();
        stopping.stop();
        assert!(matches!(opening.join().unwrap(), Err(CaptureError::Stopped)));
        assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
        drop(connected);
    }
}

/// TLS before a camera, with a certificate of its own that has expired.
fn encrypted(camera: u16) -> u16 {
    use rustls::pki_types::pem::PemObject;
    use rustls::pki_types::{CertificateDer, PrivateKeyDer};
    let folder = tempfile::tempdir().unwrap();
    let (key, cert) = (folder.path().join("key"), folder.path().join("cert"));
    let mut make = std::process::Command::new("openssl");
    make.args(["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=camera", "-days", "1", "-keyout"]);
    assert!(make.arg(&key).arg("-out").arg(&cert).output().unwrap().status.success());
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(
            vec![CertificateDer::from_pem_file(&cert).unwrap()],
            PrivateKeyDer::from_pem_file(&key).unwrap(),
        )
        .unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        let (client, _) = listener.accept().unwrap();
        let mut camera = TcpStream::connect(("127.0.0.1", camera)).unwrap();
        let mut tls = rustls::StreamOwned::new(rustls::ServerConnection::new(Arc::new(config)).unwrap(), client);
        while tls.conn.is_handshaking() {
            tls.conn.complete_io(&mut tls.sock).unwrap();
        }
        // One thread serves both ways: a little of each in turn.
        tls.sock.set_read_timeout(Some(Duration::from_millis(5))).unwrap();
        camera.set_read_timeout(Some(Duration::from_millis(5))).unwrap();
        let (mut up, mut down) = ([0; 4096], [0; 40_000]);
        let waits =
            |e: &std::io::Error| matches!(e.kind(), std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut);
        loop {
            match tls.read(&mut up) {
                Ok(0) => return,
                Ok(n) => camera.write_all(&up[..n]).unwrap(),
                Err(e) if waits(&e) => {}
                Err(_) => return,
            }
            match camera.read(&mut down) {
                Ok(0) => return,
                Ok(n) => drop(tls.write_all(&down[..n])),
                Err(e) if waits(&e) => {}
                Err(_) => return,
            }
        }
    });
    port
}

#[test]
fn an_encrypted_camera_is_seen_and_gets_no_password_either() {
    let source = |port: u16| Source::Location(format!("rtsps://{LOGIN}127.0.0.1:{port}/stream"));
    let camera = guarded(Scheme::Md5);
    see(&source(encrypted(camera.port)), STRICT).unwrap();
    let camera = guarded(Scheme::Basic);
    let why = refused(&source(encrypted(camera.port)), STRICT);
    assert!(why.contains("'allow_basic = true'"), "{why}");
    assert_eq!(given(&camera), [""; 0]);
}
