//! The thread between FFmpeg and a camera: sockets, a buffer for each direction, and
//! the exchange that says what goes where. Packets go through as they are.

use std::io::{self, Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::dial::Link;
use super::exchange::{Exchange, Refusal, Step};
use super::message::{MAX_BODY, MAX_HEAD, Piece, Splitter};
use crate::capture::appetite::{MOST_UNITS, UNITS_WITHOUT_END};
use crate::capture::interrupt::Interrupt;
use crate::capture::units::Interleaved;
use crate::config::RtspUrl;
use crate::domain::to_hex;

/// How long whoever connects may take to say that it is FFmpeg.
const FIRST_WORDS: Duration = Duration::from_secs(2);
/// Times that the camera is read before FFmpeg is looked at again: it may have hung up.
const IN_TURN: usize = 64;
/// How long FFmpeg's goodbye may take to reach the camera.
const GOODBYE: Duration = Duration::from_secs(1);

/// Stands for a camera on the loopback, for one connection of this process.
pub(in crate::capture) struct Relay {
    url: String,
    outcome: Arc<Mutex<Option<String>>>,
    /// Nobody will connect any more.
    given_up: Arc<AtomicBool>,
    /// What the pictures are is known.
    is_open: Arc<AtomicBool>,
    ended: crossbeam_channel::Receiver<()>,
}

impl Relay {
    /// Connects to the camera and waits for FFmpeg.
    ///
    /// # Errors
    /// Why the camera cannot be reached, for people.
    pub fn start(camera: &str, allow_basic: bool, interrupt: &Interrupt) -> Result<Relay, String> {
        let camera = RtspUrl::parse(camera)?;
        let link = Link::dial(&camera, interrupt)?;
        let failed = |e: io::Error| format!("no connection of its own: {e}");
        // Of the camera's family: FFmpeg opens its ports for UDP in the one it is connected by.
        let loopback = match link.peer.ip() {
            IpAddr::V4(_) => IpAddr::V4(Ipv4Addr::LOCALHOST),
            IpAddr::V6(_) => IpAddr::V6(Ipv6Addr::LOCALHOST),
        };
        let listener = TcpListener::bind((loopback, 0)).map_err(failed)?;
        listener.set_nonblocking(true).map_err(failed)?;
        let mut random = [0; 32];
        getrandom::fill(&mut random).map_err(|e| format!("no random numbers: {e}"))?;
        let (token, cnonce) = random.split_at(16);
        let url = format!("rtsp://{}/{}", listener.local_addr().map_err(failed)?, to_hex(token));
        let exchange = Exchange::new(camera, link.peer.ip(), url.clone(), allow_basic, to_hex(cnonce));
        let outcome = Arc::new(Mutex::new(None));
        let (sender, ended) = crossbeam_channel::bounded::<()>(1);
        let given_up = Arc::new(AtomicBool::new(false));
        let is_over = Arc::clone(&given_up);
        let is_open = Arc::new(AtomicBool::new(false));
        let opened = Arc::clone(&is_open);
        let (told, interrupt, local) = (Arc::clone(&outcome), interrupt.clone(), url.clone());
        let run = move || {
            // Its end tells the other side that the thread has done its last.
            let _sender = sender;
            let waits = || !interrupt.is_due() && !is_over.load(Ordering::Relaxed);
            let Some(client) = accept(&listener, &local, &waits) else { return };
            drop(listener);
            let mut relay = Relaying {
                client,
                camera: Inbound::of(link),
                exchange,
                interrupt,
                opening: Some(Opening { is_open: opened, interleaved: Interleaved::default(), units: 0 }),
                left: false,
            };
            if let Err(refusal) = relay.run() {
                *told.lock().unwrap_or_else(PoisonError::into_inner) = Some(refusal.to_string());
            }
        };
        std::thread::Builder::new().name("rtsp relay".into()).spawn(run).map_err(failed)?;
        Ok(Relay { url, outcome, given_up, is_open, ended })
    }

    /// What FFmpeg is to open: the loopback, and a token that nobody else knows.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// From now on packets are not looked into.
    pub fn is_open(&self) {
        self.is_open.store(true, Ordering::Relaxed);
    }

    /// Why it ended, if it did so by itself: better words than FFmpeg has.
    pub fn why(&self) -> Option<String> {
        self.outcome.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// After FFmpeg has hung up: its last request may be under way.
impl Drop for Relay {
    fn drop(&mut self) {
        self.given_up.store(true, Ordering::Relaxed);
        // Whatever it says, the thread ends by itself.
        let _ = self.ended.recv_timeout(GOODBYE);
    }
}

/// One direction: where it comes from, what has arrived of it, and how to cut it.
struct Inbound<S> {
    from: S,
    buffer: Vec<u8>,
    filled: std::ops::Range<usize>,
    splitter: Splitter,
}

impl<S> Inbound<S> {
    fn of(from: S) -> Inbound<S> {
        // The longest message, and some packets.
        Inbound { from, buffer: vec![0; MAX_HEAD + MAX_BODY + (32 << 10)], filled: 0..0, splitter: Splitter::default() }
    }

    /// Reads once; false at the end.
    fn fill(&mut self, read: impl FnOnce(&mut S, &mut [u8]) -> io::Result<usize>) -> io::Result<bool> {
        if self.filled.is_empty() {
            self.filled = 0..0;
        } else if self.filled.start > 0 {
            self.buffer.copy_within(self.filled.clone(), 0);
            self.filled = 0..self.filled.len();
        }
        let n = read(&mut self.from, self.buffer.get_mut(self.filled.end..).unwrap_or_default())?;
        self.filled.end += n;
        Ok(n > 0)
    }

    fn next(&mut self) -> Result<Piece, Refusal> {
        let arrived = self.buffer.get(self.filled.clone()).unwrap_or_default();
        Ok(self.splitter.next(arrived)?)
    }

    /// The first `n` bytes of what has arrived.
    fn bytes(&self, n: usize) -> &[u8] {
        self.buffer.get(self.filled.start..self.filled.start + n).unwrap_or_default()
    }

    fn take(&mut self, n: usize) {
        self.filled.start += n;
    }
}

/// Waits for who knows `local`; anybody else is turned away.
fn accept(listener: &TcpListener, local: &str, waits: &dyn Fn() -> bool) -> Option<Inbound<TcpStream>> {
    while waits() {
        let slice = Timespec { tv_sec: 0, tv_nsec: 100_000_000 };
        // Whether it failed or nobody came, the next round shows.
        let _ = poll(&mut [PollFd::new(listener, PollFlags::IN)], Some(&slice));
        let Ok((stream, _)) = listener.accept() else { continue };
        if let Some(client) = introduced(stream, local) {
            return Some(client);
        }
    }
    None
}

/// The connection, if its first words name the token.
fn introduced(stream: TcpStream, local: &str) -> Option<Inbound<TcpStream>> {
    stream.set_nonblocking(false).ok()?;
    stream.set_nodelay(true).ok()?;
    let mut client = Inbound::of(stream);
    let began = Instant::now();
    loop {
        let left = FIRST_WORDS.checked_sub(began.elapsed()).filter(|left| !left.is_zero())?;
        client.from.set_read_timeout(Some(left)).ok()?;
        if !client.fill(|from, buffer| from.read(buffer)).ok()? {
            return None;
        }
        match Splitter::default().next(client.bytes(client.filled.len())).ok()? {
            Piece::Message(message, _) => {
                client.from.set_read_timeout(None).ok()?;
                return (message.method_and_uri().1 == local).then_some(client);
            }
            Piece::Incomplete => {}
            Piece::Data(_) | Piece::Rubbish(_) => return None,
        }
    }
}

struct Relaying {
    client: Inbound<TcpStream>,
    camera: Inbound<Link>,
    exchange: Exchange,
    interrupt: Interrupt,
    /// Something may be left in TLS's buffers, of which the socket knows nothing.
    left: bool,
    /// Until FFmpeg knows what the pictures are.
    opening: Option<Opening>,
}

/// Counts NAL units, of which FFmpeg must not get too many at once.
struct Opening {
    is_open: Arc<AtomicBool>,
    interleaved: Interleaved,
    units: usize,
}

impl Opening {
    /// Of these bytes of packets.
    fn look(&mut self, bytes: &[u8]) -> Result<(), Refusal> {
        self.units += self.interleaved.count(bytes);
        if self.units > MOST_UNITS { Err(Refusal::Units(UNITS_WITHOUT_END)) } else { Ok(()) }
    }

    /// A description of streams names their codecs.
    fn describe(&mut self, body: &[u8]) {
        let names = |name: &[u8]| body.windows(name.len()).any(|window| window.eq_ignore_ascii_case(name));
        self.interleaved.is_hevc |= names(b" H265/");
    }
}

impl Relaying {
    /// Until either side hangs up.
    fn run(&mut self) -> Result<(), Refusal> {
        // FFmpeg's first words have been read.
        let mut open = self.pass_on_requests()?;
        while open {
            let mut fds =
                [PollFd::new(&self.client.from, PollFlags::IN), PollFd::new(&self.camera.from, PollFlags::IN)];
            let at_once = Timespec { tv_sec: 0, tv_nsec: 0 };
            match poll(&mut fds, self.left.then_some(&at_once)) {
                Ok(_) | Err(rustix::io::Errno::INTR) => {}
                Err(_) => return Ok(()),
            }
            let ready = fds.map(|fd| !fd.revents().is_empty());
            let [client, camera] = ready;
            if client {
                match self.client.fill(|from, buffer| from.read(buffer)) {
                    Ok(more) => open = more && self.pass_on_requests()?,
                    Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                    Err(_) => return Ok(()),
                }
            }
            if (camera || self.left) && open {
                open = self.read_camera()?;
            }
        }
        Ok(())
    }

    /// False when the camera cannot be reached any more.
    fn pass_on_requests(&mut self) -> Result<bool, Refusal> {
        loop {
            let (sent, taken) = match self.client.next()? {
                Piece::Data(n) => (self.camera.from.send(self.client.bytes(n)), n),
                Piece::Message(message, n) => (self.camera.from.send(&self.exchange.client(message)?), n),
                Piece::Rubbish(n) => (Ok(()), n),
                Piece::Incomplete => return Ok(true),
            };
            self.client.take(taken);
            if sent.is_err() {
                return Ok(false);
            }
        }
    }

    /// Reads until nothing is left, in TLS's own buffers, too, or FFmpeg's turn has come.
    /// False when either side has hung up.
    fn read_camera(&mut self) -> Result<bool, Refusal> {
        self.left = false;
        for _ in 0..IN_TURN {
            match self.camera.fill(Link::read) {
                Ok(true) => {}
                Ok(false) => return Ok(false),
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => return Ok(true),
                Err(e) if e.kind() == io::ErrorKind::Interrupted => continue,
                Err(_) => return Ok(false),
            }
            if !self.pass_on_answers()? {
                return Ok(false);
            }
            if !self.camera.from.may_hold_more() {
                return Ok(true);
            }
        }
        self.left = true;
        Ok(true)
    }

    fn pass_on_answers(&mut self) -> Result<bool, Refusal> {
        loop {
            let (step, taken) = match self.camera.next()? {
                Piece::Data(n) => {
                    self.opening.take_if(|opening| opening.is_open.load(Ordering::Relaxed));
                    if let Some(opening) = &mut self.opening {
                        opening.look(self.camera.bytes(n))?;
                    }
                    let written = self.client.from.write_all(self.camera.bytes(n));
                    self.camera.take(n);
                    if written.is_err() {
                        return Ok(false);
                    }
                    continue;
                }
                Piece::Message(message, n) => {
                    if let Some(opening) = &mut self.opening {
                        opening.describe(&message.body);
                    }
                    (self.exchange.camera(message)?, n)
                }
                Piece::Rubbish(n) => (Step::Nothing, n),
                Piece::Incomplete => return Ok(true),
            };
            self.camera.take(taken);
            let done = match step {
                Step::Client(bytes) => self.client.from.write_all(&bytes),
                Step::Camera(bytes) => self.camera.from.send(&bytes),
                Step::Nothing => Ok(()),
                Step::Elsewhere(camera) => {
                    let link = Link::dial(&camera, &self.interrupt).map_err(Refusal::Connection)?;
                    let peer = link.peer.ip();
                    self.camera = Inbound::of(link);
                    let bytes = self.exchange.moved(camera, peer);
                    self.camera.from.send(&bytes)
                }
            };
            if done.is_err() {
                return Ok(false);
            }
        }
    }
}
