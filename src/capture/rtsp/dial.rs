//! A connection to a camera, plain or encrypted, that nothing can hold up: every
//! wait ends when the interrupt says so.

use std::io::{self, Read, Write};
use std::net::{IpAddr, SocketAddr, TcpStream, ToSocketAddrs};
use std::os::fd::{AsFd, BorrowedFd};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustls::{ClientConnection, StreamOwned};

use super::tls;
use crate::capture::interrupt::Interrupt;
use crate::config::RtspUrl;

/// How often a wait looks whether it is to end.
const SLICE: Duration = Duration::from_millis(100);
/// How long one address may take to answer.
const CONNECT_LIMIT: Duration = Duration::from_secs(5);
/// Addresses of a name that are tried at most.
const MOST_ADDRESSES: usize = 4;
/// How long a request, a few hundred bytes, may take to leave.
const WRITE_LIMIT: Duration = Duration::from_secs(5);

/// A connection that never blocks.
pub(super) struct Link {
    stream: Stream,
    /// The camera's address.
    pub peer: SocketAddr,
}

enum Stream {
    Plain(TcpStream),
    Tls(Box<StreamOwned<ClientConnection, TcpStream>>),
}

impl Link {
    /// Connects to the camera of `url`.
    ///
    /// # Errors
    /// Why it cannot be reached, without naming it.
    pub fn dial(url: &RtspUrl, interrupt: &Interrupt) -> Result<Link, String> {
        let mut why = "its name has no address".to_owned();
        for address in resolve(&url.host, url.port, interrupt)?.into_iter().take(MOST_ADDRESSES) {
            match connect(address, interrupt) {
                Ok(stream) => {
                    return Ok(Link { stream: encrypted(stream, url, interrupt)?, peer: address });
                }
                Err(_) if interrupt.is_due() => return Err("gave up".into()),
                Err(e) => why = format!("cannot connect: {}", words(&e)),
            }
        }
        Err(why)
    }

    /// What has arrived; `WouldBlock` if nothing has, 0 at the end.
    pub fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match &mut self.stream {
            Stream::Plain(stream) => stream.read(buffer),
            // Cameras hang up without TLS's goodbye.
            Stream::Tls(stream) => match stream.read(buffer) {
                Err(e) if e.kind() == io::ErrorKind::UnexpectedEof => Ok(0),
                other => other,
            },
        }
    }

    /// Whether something may have arrived of which the socket does not tell.
    pub fn may_hold_more(&self) -> bool {
        matches!(self.stream, Stream::Tls(_))
    }

    /// All of `bytes`, within a time.
    pub fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        let began = Instant::now();
        let mut left = bytes;
        loop {
            let written = match &mut self.stream {
                Stream::Plain(stream) => stream.write(left),
                Stream::Tls(stream) if left.is_empty() => stream.flush().map(|()| 0),
                Stream::Tls(stream) => stream.write(left),
            };
            match written {
                Ok(n) => left = left.get(n..).unwrap_or_default(),
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => {
                    if began.elapsed() > WRITE_LIMIT {
                        return Err(io::ErrorKind::TimedOut.into());
                    }
                    wait(self.as_fd(), PollFlags::OUT)?;
                }
                Err(e) => return Err(e),
            }
            let flushed = match &self.stream {
                Stream::Plain(_) => true,
                Stream::Tls(stream) => !stream.conn.wants_write(),
            };
            if left.is_empty() && flushed {
                return Ok(());
            }
        }
    }
}

impl AsFd for Link {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match &self.stream {
            Stream::Plain(stream) => stream.as_fd(),
            Stream::Tls(stream) => stream.sock.as_fd(),
        }
    }
}

/// Waits a slice of time for `fd`.
fn wait(fd: BorrowedFd<'_>, for_what: PollFlags) -> io::Result<bool> {
    let slice = Timespec { tv_sec: 0, tv_nsec: i64::from(SLICE.subsec_nanos()) };
    match poll(&mut [PollFd::from_borrowed_fd(fd, for_what)], Some(&slice)) {
        Ok(n) => Ok(n > 0),
        Err(rustix::io::Errno::INTR) => Ok(false),
        Err(e) => Err(e.into()),
    }
}

/// The system's resolver knows no time limit, so it is asked on a thread that may be
/// left behind.
fn resolve(host: &str, port: u16, interrupt: &Interrupt) -> Result<Vec<SocketAddr>, String> {
    if let Ok(address) = host.parse::<IpAddr>() {
        return Ok(vec![(address, port).into()]);
    }
    let (sender, answer) = crossbeam_channel::bounded(1);
    let host = host.to_owned();
    let ask = move || {
        let found = (host.as_str(), port).to_socket_addrs().map(Iterator::collect::<Vec<_>>);
        // Nobody waits any more.
        let _ = sender.send(found);
    };
    std::thread::Builder::new().name("resolve".into()).spawn(ask).map_err(|e| e.to_string())?;
    while !interrupt.is_due() {
        match answer.recv_timeout(SLICE) {
            Ok(Ok(found)) => return Ok(found),
            // The system's words may repeat the name.
            Ok(Err(_)) => return Err("its name is not known in this network".into()),
            Err(crossbeam_channel::RecvTimeoutError::Timeout) => {}
            Err(crossbeam_channel::RecvTimeoutError::Disconnected) => break,
        }
    }
    Err("its name is not resolved in time".into())
}

fn connect(address: SocketAddr, interrupt: &Interrupt) -> io::Result<TcpStream> {
    use rustix::net::{AddressFamily, SocketFlags, SocketType, socket_with};
    let family = if address.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
    let socket = socket_with(family, SocketType::STREAM, SocketFlags::CLOEXEC | SocketFlags::NONBLOCK, None)?;
    let began = Instant::now();
    match rustix::net::connect(&socket, &address) {
        Ok(()) | Err(rustix::io::Errno::INPROGRESS) => {}
        Err(e) => return Err(e.into()),
    }
    while !wait(socket.as_fd(), PollFlags::OUT)? {
        if interrupt.is_due() || began.elapsed() > CONNECT_LIMIT {
            return Err(io::ErrorKind::TimedOut.into());
        }
    }
    let stream = TcpStream::from(socket);
    match stream.take_error()? {
        Some(e) => Err(e),
        None => {
            stream.set_nodelay(true)?;
            Ok(stream)
        }
    }
}

fn encrypted(stream: TcpStream, url: &RtspUrl, interrupt: &Interrupt) -> Result<Stream, String> {
    if !url.tls {
        return Ok(Stream::Plain(stream));
    }
    let why = |e: &dyn std::fmt::Display| format!("no encrypted connection: {e}");
    let mut stream = StreamOwned::new(tls::client(&url.host).map_err(|e| why(&e))?, stream);
    while stream.conn.is_handshaking() {
        match stream.conn.complete_io(&mut stream.sock) {
            Ok((0, 0)) => return Err(why(&"the camera hung up")),
            Ok(_) => {}
            Err(e) if e.kind() == io::ErrorKind::WouldBlock => {
                let flags = if stream.conn.wants_write() { PollFlags::OUT } else { PollFlags::IN };
                wait(stream.sock.as_fd(), flags).map_err(|e| why(&words(&e)))?;
                if interrupt.is_due() {
                    return Err(why(&"no answer in time"));
                }
            }
            Err(e) => return Err(why(&e)),
        }
    }
    Ok(Stream::Tls(Box::new(stream)))
}

/// The system's words, without the number.
fn words(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::TimedOut => "no answer".to_owned(),
        io::ErrorKind::ConnectionRefused => "Connection refused".to_owned(),
        _ => error.to_string(),
    }
}
