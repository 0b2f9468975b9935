//! A network camera: a clip over RTSP (RFC 2326), RTP interleaved in the TCP
//! connection (section 10.12). ffmpeg makes the RTP packets, this hands them on.

use std::io::{BufRead, BufReader, Write};
use std::net::{Shutdown, TcpListener, TcpStream, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

/// How a camera asks for a login.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scheme {
    /// RFC 7617: hands over the password.
    Basic,
    /// RFC 2617 with MD5, as nearly all cameras have it: no `qop`.
    Md5,
    /// RFC 7616 with SHA-256 and `qop=auth`.
    Sha256,
}

/// Who may see a camera's pictures, and what was said to it.
#[derive(Debug)]
pub struct Guard {
    scheme: Scheme,
    user: String,
    password: String,
    /// Each `Authorization` that it was given.
    pub given: std::sync::Mutex<Vec<String>>,
}

impl Guard {
    pub fn new(scheme: Scheme, user: &str, password: &str) -> Guard {
        Guard { scheme, user: user.to_owned(), password: password.to_owned(), given: std::sync::Mutex::default() }
    }

    pub fn md5(user: &str, password: &str) -> Guard {
        Guard::new(Scheme::Md5, user, password)
    }

    fn challenge(&self) -> &'static str {
        match self.scheme {
            Scheme::Basic => "WWW-Authenticate: Basic realm=\"camera\"\r\n",
            Scheme::Md5 => "WWW-Authenticate: Digest realm=\"camera\", nonce=\"5ca1ab1e\"\r\n",
            Scheme::Sha256 => {
                "WWW-Authenticate: Digest realm=\"camera\", nonce=\"5ca1ab1e\", algorithm=SHA-256, qop=\"auth\"\r\n"
            }
        }
    }

    fn accepts(&self, method: &str, authorization: &str) -> bool {
        use base64::Engine;
        if authorization.is_empty() {
            return false;
        }
        self.given.lock().unwrap().push(authorization.to_owned());
        if let Some(text) = authorization.strip_prefix("Basic ") {
            let login = format!("{}:{}", self.user, self.password);
            return self.scheme == Scheme::Basic && text == base64::engine::general_purpose::STANDARD.encode(login);
        }
        let fields: std::collections::HashMap<&str, &str> = authorization
            .trim_start_matches("Digest ")
            .split(", ")
            .filter_map(|field| field.split_once('='))
            .map(|(name, value)| (name, value.trim_matches('"')))
            .collect();
        let field = |name: &str| fields.get(name).copied().unwrap_or_default();
        let hash = |text: String| match self.scheme {
            Scheme::Sha256 => hex(&<sha2::Sha256 as sha2::Digest>::digest(text)),
            _ => hex(&<md5::Md5 as md5::Digest>::digest(text)),
        };
        let (who, what) =
            (hash(format!("{}:camera:{}", self.user, self.password)), hash(format!("{method}:{}", field("uri"))));
        let expected = match self.scheme {
            Scheme::Basic => return false,
            Scheme::Md5 => hash(format!("{who}:5ca1ab1e:{what}")),
            Scheme::Sha256 => hash(format!("{who}:5ca1ab1e:{}:{}:auth:{what}", field("nc"), field("cnonce"))),
        };
        field("username") == self.user && field("response") == expected
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// What is wrong with a camera.
#[derive(Debug, Default)]
pub struct Whims {
    /// It wants a password and likes none.
    pub denies: bool,
    /// It asks for this login.
    pub guard: Option<Guard>,
    /// It stays connected and sends nothing while this is set.
    pub silent: AtomicBool,
    /// It hangs up after so many RTP packets.
    pub hangs_up_after: Option<u64>,
    /// One bit of so many is wrong.
    pub wrong_bit_in: Option<u64>,
    /// Each picture's time stamp is any number.
    pub stamps_are_garbage: bool,
    /// What it makes of the time since its first picture, in ticks of 90 kHz.
    pub stamps: Option<fn(u32) -> u32>,
    /// What is taken for so many ticks from the first on, in each round of so many, is
    /// held back on its way and handed over at once.
    pub held_back: Option<(u32, u32, u32)>,
    /// The time of each packet's picture since the first, in ticks, and when it was sent,
    /// or would have been.
    pub sent: Mutex<Vec<(u32, SystemTime)>>,
    /// Connections so far.
    pub connections: AtomicU64,
}

/// Plays one clip, from its beginning for each client, again and again.
pub struct RtspCamera {
    pub port: u16,
    pub whims: Arc<Whims>,
    running: Arc<AtomicBool>,
    accepting: Option<std::thread::JoinHandle<()>>,
}

impl RtspCamera {
    pub fn start(clip: &Path) -> RtspCamera {
        RtspCamera::on(0, clip)
    }

    /// Port 0: any that is free.
    pub fn on(port: u16, clip: &Path) -> RtspCamera {
        RtspCamera::with(port, clip, Whims::default())
    }

    pub fn with(port: u16, clip: &Path, whims: Whims) -> RtspCamera {
        let whims = Arc::new(whims);
        let listener = TcpListener::bind(("127.0.0.1", port)).unwrap();
        let port = listener.local_addr().unwrap().port();
        listener.set_nonblocking(true).unwrap();
        let running = Arc::new(AtomicBool::new(true));
        let on = Arc::clone(&running);
        let (folder, clip) = as_stream(clip);
        let of_clients = Arc::clone(&whims);
        let accepting = std::thread::spawn(move || {
            let _folder = folder;
            let (mut clients, mut serving): (Vec<TcpStream>, Vec<_>) = Default::default();
            while on.load(Ordering::SeqCst) {
                let Ok((client, _)) = listener.accept() else {
                    std::thread::sleep(Duration::from_millis(10));
                    continue;
                };
                client.set_nonblocking(false).unwrap();
                clients.push(client.try_clone().unwrap());
                let (on, clip, whims) = (Arc::clone(&on), clip.clone(), Arc::clone(&of_clients));
                whims.connections.fetch_add(1, Ordering::SeqCst);
                serving.push(std::thread::spawn(move || serve(client, &clip, &on, &whims)));
            }
            // Until each has ended its ffmpeg, which would outlive the test.
            clients.iter().for_each(|client| drop(client.shutdown(Shutdown::Both)));
            serving.into_iter().for_each(|thread| drop(thread.join()));
        });
        RtspCamera { port, whims, running, accepting: Some(accepting) }
    }

    pub fn url(&self) -> String {
        format!("rtsp://127.0.0.1:{}/stream", self.port)
    }
}

/// The clip as an MPEG transport stream, which ffmpeg can play in a loop (with MP4
/// it ends after the first round: a filter does not survive the rewinding).
fn as_stream(clip: &Path) -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("clip.ts");
    let made = Command::new("ffmpeg")
        .args(["-v", "error", "-nostdin", "-i"])
        .arg(clip)
        .args(["-map", "0:v", "-c", "copy", "-f", "mpegts"])
        .arg(&path)
        .status();
    assert!(made.expect("ffmpeg is installed").success());
    (folder, path)
}

/// As if its plug were pulled.
impl Drop for RtspCamera {
    fn drop(&mut self) {
        self.running.store(false, Ordering::SeqCst);
        let _ = self.accepting.take().unwrap().join();
    }
}

/// ffmpeg as the source of the RTP packets, ended with this value.
struct Source {
    ffmpeg: Child,
    rtp: UdpSocket,
    sdp: String,
}

impl Source {
    fn start(clip: &Path) -> Source {
        let rtp = UdpSocket::bind("127.0.0.1:0").unwrap();
        rtp.set_read_timeout(Some(Duration::from_millis(200))).unwrap();
        let target = format!("rtp://127.0.0.1:{}?pkt_size=1200", rtp.local_addr().unwrap().port());
        let mut ffmpeg = Command::new("ffmpeg")
            .args(["-v", "error", "-nostdin", "-re", "-stream_loop", "-1", "-i"])
            .arg(clip)
            .args(["-map", "0:v", "-c", "copy", "-sdp_file", "pipe:1", "-f", "rtp"])
            .arg(target)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .expect("ffmpeg is installed");
        let mut sdp = String::new();
        let mut lines = BufReader::new(ffmpeg.stdout.take().unwrap());
        // The format parameters are the last line.
        while !sdp.contains("a=fmtp") && lines.read_line(&mut sdp).unwrap() > 0 {}
        let sdp: String = sdp.lines().filter(|l| !l.starts_with("SDP:")).map(|l| format!("{l}\r\n")).collect();
        Source { ffmpeg, rtp, sdp: format!("{sdp}a=control:track\r\n") }
    }
}

impl Drop for Source {
    fn drop(&mut self) {
        let _ = self.ffmpeg.kill();
        let _ = self.ffmpeg.wait();
    }
}

fn serve(mut client: TcpStream, clip: &Path, running: &AtomicBool, whims: &Whims) {
    let mut source = None;
    let mut reader = BufReader::new(client.try_clone().unwrap());
    loop {
        let (mut method, mut sequence, mut authorization) = (String::new(), String::new(), String::new());
        loop {
            let mut line = String::new();
            if reader.read_line(&mut line).unwrap_or(0) == 0 {
                return;
            }
            let line = line.trim();
            if method.is_empty() {
                line.split(' ').next().unwrap().clone_into(&mut method);
            } else if let Some(number) = line.strip_prefix("CSeq: ") {
                number.clone_into(&mut sequence);
            } else if let Some(given) = line.strip_prefix("Authorization: ") {
                given.clone_into(&mut authorization);
            } else if line.is_empty() {
                break;
            }
        }
        let (headers, body) = match method.as_str() {
            "OPTIONS" => ("Public: OPTIONS, DESCRIBE, SETUP, PLAY, TEARDOWN\r\n".to_owned(), String::new()),
            "DESCRIBE" => {
                let sdp = source.get_or_insert_with(|| Source::start(clip)).sdp.clone();
                (format!("Content-Type: application/sdp\r\nContent-Length: {}\r\n", sdp.len()), sdp)
            }
            "SETUP" => ("Transport: RTP/AVP/TCP;unicast;interleaved=0-1\r\nSession: 1\r\n".to_owned(), String::new()),
            _ => ("Session: 1\r\n".to_owned(), String::new()),
        };
        if whims.denies && method != "OPTIONS" {
            let answer = "RTSP/1.0 401 Unauthorized\r\nWWW-Authenticate: Basic realm=\"camera\"\r\n";
            if client.write_all(format!("{answer}CSeq: {sequence}\r\n\r\n").as_bytes()).is_err() {
                return;
            }
            continue;
        }
        let asks = whims.guard.as_ref().filter(|guard| method != "OPTIONS" && !guard.accepts(&method, &authorization));
        if let Some(guard) = asks {
            let answer = format!("RTSP/1.0 401 Unauthorized\r\nCSeq: {sequence}\r\n{}\r\n", guard.challenge());
            if client.write_all(answer.as_bytes()).is_err() {
                return;
            }
            continue;
        }
        let answer = format!("RTSP/1.0 200 OK\r\nCSeq: {sequence}\r\n{headers}\r\n{body}");
        if client.write_all(answer.as_bytes()).is_err() {
            return;
        }
        if method == "PLAY" {
            return play(&mut client, &source.unwrap(), running, whims);
        }
    }
}

/// Until the client or the camera goes.
fn play(client: &mut TcpStream, source: &Source, running: &AtomicBool, whims: &Whims) {
    const INTERLEAVED: usize = 4;
    let mut packet = vec![0; 65536];
    let mut sent = 0;
    let mut bits = Bits(0);
    let mut first = None;
    let mut held = Vec::new();
    while running.load(Ordering::SeqCst) && whims.hangs_up_after.is_none_or(|n| sent < n) {
        let Ok(n) = source.rtp.recv(&mut packet[INTERLEAVED..]) else { continue };
        if whims.silent.load(Ordering::SeqCst) {
            continue;
        }
        packet[..2].copy_from_slice(&[b'$', 0]);
        packet[2..4].copy_from_slice(&u16::try_from(n).unwrap().to_be_bytes());
        let (header, payload) = packet[INTERLEAVED..INTERLEAVED + n].split_at_mut(RTP_HEADER);
        if let Some(of) = whims.wrong_bit_in {
            bits.spoil(payload, of);
        }
        let stamp = u32::from_be_bytes(header[4..8].try_into().unwrap());
        let ticks = stamp.wrapping_sub(*first.get_or_insert(stamp));
        whims.sent.lock().unwrap().push((ticks, SystemTime::now()));
        if let Some(stamps) = whims.stamps {
            header[4..8].copy_from_slice(&stamps(ticks).to_be_bytes());
        }
        if whims.stamps_are_garbage {
            // One for all packets of a picture.
            let any = (u64::from(stamp).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32) as u32;
            header[4..8].copy_from_slice(&any.to_be_bytes());
        }
        held.extend_from_slice(&packet[..n + INTERLEAVED]);
        sent += 1;
        let is_held = |(round, from, ticks_long): (u32, u32, u32)| (from..from + ticks_long).contains(&(ticks % round));
        if whims.held_back.is_some_and(is_held) {
            continue;
        }
        if client.write_all(&held).is_err() {
            return;
        }
        held.clear();
    }
    let _ = client.shutdown(Shutdown::Both);
}

/// RFC 3550, section 5.1.
const RTP_HEADER: usize = 12;

/// Where the next wrong bits are: the same in every run.
struct Bits(u64);

impl Bits {
    /// Turns one bit of `of` over, on average.
    fn spoil(&mut self, bytes: &mut [u8], of: u64) {
        for byte in bytes {
            self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let random = self.0 >> 32;
            // Eight bits share one draw; two wrong ones in a byte are as good as one.
            if random % of < 8 {
                *byte ^= 1 << (random >> 29 & 7);
            }
        }
    }
}
