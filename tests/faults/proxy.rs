//! A wire to the broker that does what links and brokers do: it is slow, it dies
//! with or without a word, and it may tamper with the broker's answers.

use std::collections::VecDeque;
use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// What becomes of the broker's PUBACKs (MQTT 5.0, section 3.4).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answers {
    /// As they are.
    Plain,
    /// Each one, and everything behind it, so much later.
    Late(Duration),
    /// Every n-th one twice.
    Twice(u64),
    /// With this reason instead of success.
    Reason(u8),
    /// Not at all.
    Swallowed,
}

/// Runs until the test ends.
pub struct Proxy {
    pub port: u16,
    shared: Arc<Shared>,
}

struct Shared {
    target: u16,
    /// It understands MQTT, and may tamper with it.
    reading: bool,
    /// New connections are closed at once.
    refusing: AtomicBool,
    /// One way.
    latency_ms: AtomicU64,
    /// Each way; 0: as fast as it goes.
    bytes_per_s: AtomicU64,
    answers: Mutex<Answers>,
    /// What a CONNACK says in place of the broker's own properties.
    limits: Mutex<Option<Vec<u8>>>,
    acks: AtomicU64,
    /// CONNACKs that came by so far.
    connacks: AtomicU64,
    connections: Mutex<Vec<Arc<Connection>>>,
}

struct Connection {
    near: TcpStream,
    far: TcpStream,
    /// Half open: nothing moves any more, and nobody is told.
    dead: AtomicBool,
}

impl Connection {
    fn close(&self) {
        let _ = (self.near.shutdown(Shutdown::Both), self.far.shutdown(Shutdown::Both));
    }
}

impl Proxy {
    pub fn to(target: u16) -> Proxy {
        Proxy::start(target, true)
    }

    /// One that does not read along: for TLS.
    pub fn blind(target: u16) -> Proxy {
        Proxy::start(target, false)
    }

    fn start(target: u16, reading: bool) -> Proxy {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let shared = Arc::new(Shared {
            target,
            reading,
            refusing: AtomicBool::new(false),
            latency_ms: AtomicU64::new(0),
            bytes_per_s: AtomicU64::new(0),
            answers: Mutex::new(Answers::Plain),
            limits: Mutex::new(None),
            acks: AtomicU64::new(0),
            connacks: AtomicU64::new(0),
            connections: Mutex::default(),
        });
        let all = Arc::clone(&shared);
        std::thread::spawn(move || {
            for near in listener.incoming().map_while(Result::ok) {
                all.join(near);
            }
        });
        Proxy { port, shared }
    }

    pub fn url(&self) -> String {
        format!("mqtt://127.0.0.1:{}", self.port)
    }

    /// PUBACKs that came by so far.
    pub fn acks(&self) -> u64 {
        self.shared.acks.load(SeqCst)
    }

    /// Whether new connections are closed at once.
    pub fn refuse(&self, refusing: bool) {
        self.shared.refusing.store(refusing, SeqCst);
    }

    /// Each byte takes so long, one way, and no more than so many come in a
    /// second (0: any number).
    pub fn slow(&self, latency: Duration, bytes_per_s: u64) {
        self.shared.latency_ms.store(latency.as_millis() as u64, SeqCst);
        self.shared.bytes_per_s.store(bytes_per_s, SeqCst);
    }

    pub fn answer(&self, answers: Answers) {
        *self.shared.answers.lock().unwrap() = answers;
    }

    /// The properties of every CONNACK from now on (MQTT 5.0, section 3.2.2.3); `None`:
    /// the broker's own.
    pub fn announce(&self, properties: Option<&[u8]>) {
        *self.shared.limits.lock().unwrap() = properties.map(<[u8]>::to_vec);
    }

    /// Times that somebody was let in.
    pub fn connacks(&self) -> u64 {
        self.shared.connacks.load(SeqCst)
    }

    /// Both ends are told.
    pub fn cut(&self) {
        for connection in self.shared.connections.lock().unwrap().drain(..) {
            connection.close();
        }
    }

    /// As if a NAT forgot the connections: the unit hears nothing more of them,
    /// the broker is told. New ones work.
    pub fn go_silent(&self) {
        for connection in self.shared.connections.lock().unwrap().iter() {
            connection.dead.store(true, SeqCst);
            let _ = connection.far.shutdown(Shutdown::Both);
        }
    }
}

impl Shared {
    fn join(self: &Arc<Self>, near: TcpStream) {
        if self.refusing.load(SeqCst) {
            return;
        }
        let Ok(far) = TcpStream::connect(("127.0.0.1", self.target)) else { return };
        for stream in [&near, &far] {
            stream.set_read_timeout(Some(Duration::from_millis(20))).unwrap();
            let _ = stream.set_nodelay(true);
        }
        let (a, b) = ((near.try_clone(), far.try_clone()), (near.try_clone(), far.try_clone()));
        let connection = Arc::new(Connection { near, far, dead: AtomicBool::new(false) });
        self.connections.lock().unwrap().push(Arc::clone(&connection));
        for (from, to, tampering) in [(a.0, a.1, false), (b.1, b.0, self.reading)] {
            let (from, to) = (from.unwrap(), to.unwrap());
            let (shared, connection) = (Arc::clone(self), Arc::clone(&connection));
            std::thread::spawn(move || {
                shared.pump(from, to, &connection, tampering);
                if !connection.dead.load(SeqCst) {
                    connection.close();
                }
            });
        }
    }

    /// From one end to the other, late and slowly where told so.
    fn pump(&self, mut from: TcpStream, mut to: TcpStream, connection: &Connection, tampering: bool) {
        let mut waiting: VecDeque<(Instant, Vec<u8>)> = VecDeque::new();
        let mut packets = Packets::default();
        let mut buffer = [0; 2048];
        while !connection.dead.load(SeqCst) {
            match from.read(&mut buffer) {
                Ok(0) => return,
                Ok(n) => {
                    let (mut bytes, mut late) = (buffer[..n].to_vec(), Duration::ZERO);
                    if tampering {
                        (bytes, late) = self.tampered(packets.whole(&bytes));
                    }
                    let due = Instant::now() + Duration::from_millis(self.latency_ms.load(SeqCst)) + late;
                    waiting.push_back((due, bytes));
                }
                Err(e) if matches!(e.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {}
                Err(_) => return,
            }
            while waiting.front().is_some_and(|(due, _)| *due <= Instant::now()) {
                let (_, bytes) = waiting.pop_front().unwrap();
                if to.write_all(&bytes).is_err() {
                    return;
                }
                let rate = self.bytes_per_s.load(SeqCst);
                if rate > 0 {
                    std::thread::sleep(Duration::from_secs_f64(bytes.len() as f64 / rate as f64));
                }
            }
        }
    }

    /// The broker's packets as the unit gets them, and how much later.
    fn tampered(&self, packets: Vec<Vec<u8>>) -> (Vec<u8>, Duration) {
        const CONNACK: u8 = 0x20;
        const PUBACK: u8 = 0x40;
        let answers = *self.answers.lock().unwrap();
        let (mut out, mut late) = (Vec::new(), Duration::ZERO);
        for packet in packets {
            if packet[0] & 0xf0 == CONNACK {
                self.connacks.fetch_add(1, SeqCst);
                match &*self.limits.lock().unwrap() {
                    // Flags, reason, length of the properties.
                    Some(limits) => {
                        out.extend([CONNACK, limits.len() as u8 + 3, packet[2], packet[3], limits.len() as u8]);
                        out.extend(limits);
                    }
                    None => out.extend(packet),
                }
                continue;
            }
            if packet[0] & 0xf0 != PUBACK {
                out.extend(packet);
                continue;
            }
            let n = self.acks.fetch_add(1, SeqCst) + 1;
            match answers {
                Answers::Plain => out.extend(packet),
                Answers::Late(by) => {
                    late = by;
                    out.extend(packet);
                }
                Answers::Twice(nth) => {
                    out.extend(&packet);
                    if n.is_multiple_of(nth) {
                        out.extend(packet);
                    }
                }
                // Packet id and reason, no properties.
                Answers::Reason(reason) => out.extend([PUBACK, 3, packet[2], packet[3], reason]),
                Answers::Swallowed => {}
            }
        }
        (out, late)
    }
}

/// Bytes into MQTT packets (MQTT 5.0, section 2.1).
#[derive(Default)]
struct Packets(Vec<u8>);

impl Packets {
    /// The packets that are whole now.
    fn whole(&mut self, bytes: &[u8]) -> Vec<Vec<u8>> {
        self.0.extend(bytes);
        let mut packets = Vec::new();
        while let Some(length) = self.first().filter(|length| *length <= self.0.len()) {
            packets.push(self.0.drain(..length).collect());
        }
        packets
    }

    /// The length of the first packet, its header included.
    fn first(&self) -> Option<usize> {
        let (mut length, mut header) = (0, 1);
        for byte in self.0.get(1..)?.iter().take(4) {
            length |= usize::from(byte & 0x7f) << (7 * (header - 1));
            header += 1;
            if byte & 0x80 == 0 {
                return Some(header + length);
            }
        }
        None
    }
}
