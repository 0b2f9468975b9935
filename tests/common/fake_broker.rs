//! A broker that says whatever a test wants it to say: it lets everybody in with the
//! CONNACK that it was given, and answers what it gets like any other.

use std::io::{ErrorKind, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// Runs until the test ends.
pub struct FakeBroker {
    pub port: u16,
    seen: Arc<Seen>,
}

#[derive(Default)]
struct Seen {
    client_ids: Mutex<Vec<String>>,
    pings: AtomicUsize,
    hung_up: AtomicUsize,
}

/// What it says.
#[derive(Clone, Default)]
pub struct Script {
    /// Properties of the CONNACK (MQTT 5.0, section 3.2.2.3).
    pub properties: Vec<u8>,
    /// In place of the whole CONNACK, after which it hangs up.
    pub instead: Option<Vec<u8>>,
    /// Behind the CONNACK.
    pub then: Vec<u8>,
    /// That only in the first connection under a name of the unit's own.
    pub once: bool,
    /// To each filter of a subscription.
    pub suback: u8,
    /// What has that in it, it refuses with that reason.
    pub refuses: Option<(&'static str, u8)>,
    /// It hangs up once it has answered that.
    pub hangs_up_after: Option<&'static str>,
    /// When it gets that, a topic or part of a payload, or a subscription (""), it hangs up; what
    /// came shortly before is not answered any more.
    pub hangs_up_on: Option<&'static str>,
}

/// The name that units had before names were random.
const FORMER_ID: &str = "tawny-unit";

/// How long a broker that may hang up takes to answer.
const SLOWNESS: Duration = Duration::from_millis(200);

impl FakeBroker {
    pub fn start(script: Script) -> FakeBroker {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let seen: Arc<Seen> = Arc::default();
        let all = Arc::clone(&seen);
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let (script, seen) = (script.clone(), Arc::clone(&all));
                std::thread::spawn(move || {
                    let _ = serve(stream, &script, &seen);
                    seen.hung_up.fetch_add(1, SeqCst);
                });
            }
        });
        FakeBroker { port, seen }
    }

    pub fn url(&self) -> String {
        format!("mqtt://127.0.0.1:{}", self.port)
    }

    /// Of every login, in order.
    pub fn client_ids(&self) -> Vec<String> {
        self.seen.client_ids.lock().unwrap().clone()
    }

    pub fn pings(&self) -> usize {
        self.seen.pings.load(SeqCst)
    }

    /// Connections that have ended.
    pub fn ended(&self) -> usize {
        self.seen.hung_up.load(SeqCst)
    }
}

fn has(body: &[u8], what: &str) -> bool {
    body.windows(what.len()).any(|part| part == what.as_bytes())
}

impl Script {
    fn hangs_up(&self, kind: u8, body: &[u8]) -> bool {
        let is = |what: &str| match kind >> 4 {
            3 => !what.is_empty() && has(body, what),
            8 => what.is_empty(),
            _ => false,
        };
        self.hangs_up_on.is_some_and(is)
    }
}

/// Whether nothing comes for a moment.
fn is_silent(stream: &TcpStream) -> std::io::Result<bool> {
    stream.set_read_timeout(Some(SLOWNESS))?;
    let silent =
        matches!(stream.peek(&mut [0]), Err(e) if matches!(e.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut));
    stream.set_read_timeout(Some(Duration::from_secs(120)))?;
    Ok(silent)
}

fn packet(stream: &mut TcpStream) -> std::io::Result<(u8, Vec<u8>)> {
    let mut byte = [0];
    stream.read_exact(&mut byte)?;
    let kind = byte[0];
    let (mut length, mut shift) = (0usize, 0);
    loop {
        stream.read_exact(&mut byte)?;
        length |= usize::from(byte[0] & 0x7f) << shift;
        shift += 7;
        if byte[0] & 0x80 == 0 {
            break;
        }
    }
    let mut body = vec![0; length];
    stream.read_exact(&mut body)?;
    Ok((kind, body))
}

fn serve(mut stream: TcpStream, script: &Script, seen: &Seen) -> std::io::Result<()> {
    stream.set_read_timeout(Some(Duration::from_secs(120)))?;
    let (kind, connect) = packet(&mut stream)?;
    if kind != 0x10 {
        return Err(ErrorKind::InvalidData.into());
    }
    // Behind the protocol's name, level, flags, keep-alive: properties of up to 127 bytes
    // in MQTT 5, then the id.
    let at = if connect[6] == 5 { 11 + usize::from(connect[10]) } else { 10 };
    let length = usize::from(u16::from_be_bytes([connect[at], connect[at + 1]]));
    seen.client_ids.lock().unwrap().push(String::from_utf8_lossy(&connect[at + 2..at + 2 + length]).into_owned());
    if let Some(instead) = &script.instead {
        return stream.write_all(instead);
    }
    let mut connack = vec![0x20, 3 + script.properties.len() as u8, 0, 0, script.properties.len() as u8];
    connack.extend(&script.properties);
    let ids = seen.client_ids.lock().unwrap().clone();
    let own = ids.iter().filter(|id| *id != FORMER_ID).count();
    if !script.once || (own == 1 && ids.last().is_some_and(|id| id != FORMER_ID)) {
        connack.extend(&script.then);
    }
    stream.write_all(&connack)?;
    let mut answers = Vec::new();
    loop {
        if script.hangs_up_on.is_none() || is_silent(&stream)? {
            stream.write_all(&std::mem::take(&mut answers))?;
        }
        let (kind, body) = packet(&mut stream)?;
        if script.hangs_up(kind, &body) {
            return Ok(());
        }
        match kind >> 4 {
            3 if kind & 0x06 == 0x02 => {
                let id = 2 + usize::from(u16::from_be_bytes([body[0], body[1]]));
                match script.refuses.filter(|(what, _)| has(&body, what)) {
                    Some((_, reason)) => answers.extend([0x40, 4, body[id], body[id + 1], reason, 0]),
                    None => answers.extend([0x40, 2, body[id], body[id + 1]]),
                }
                if script.hangs_up_after.is_some_and(|what| has(&body, what)) {
                    return stream.write_all(&answers);
                }
            }
            8 => answers.extend([0x90, 4, body[0], body[1], 0, script.suback]),
            10 => answers.extend([0xb0, 4, body[0], body[1], 0, 0]),
            12 => {
                seen.pings.fetch_add(1, SeqCst);
                answers.extend([0xd0, 0]);
            }
            14 => return Ok(()),
            _ => {}
        }
    }
}
