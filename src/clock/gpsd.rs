//! What gpsd says about the time: its JSON protocol (gpsd_json(5)), of which
//! only TPV reports with a fix matter.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::time::Duration;

use serde::Deserialize;

use super::keeper::GpsTime;
use super::system::boot_time_now;
use crate::domain::{Mono, UtcMillis};

/// Where gpsd listens unless told otherwise.
pub const GPSD_PORT: u16 = 2947;

/// For connecting to a daemon on this machine or next to it.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// How long a read waits, so that whoever reads can look after other things.
const READ_TIMEOUT: Duration = Duration::from_millis(500);

/// gpsd's own limit for one line is 10 kB.
const LONGEST_LINE: u64 = 16 << 10;

/// What is assumed of a receiver that does not estimate its error.
const UNKNOWN_ERROR_US: i64 = 50_000;

const WATCH: &[u8] = b"?WATCH={\"enable\":true,\"json\":true};\n";

/// A connection to gpsd.
#[derive(Debug)]
pub struct Gpsd {
    lines: BufReader<TcpStream>,
    line: Vec<u8>,
}

/// What came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Heard {
    /// A fix.
    Fix(GpsTime),
    /// Something else.
    Other,
    /// Nothing for half a second.
    Silence,
}

impl Gpsd {
    /// Connects to `address` (host and port) and asks for reports.
    ///
    /// # Errors
    /// When its name cannot be resolved, or nobody answers there.
    pub fn connect(address: &str) -> io::Result<Gpsd> {
        let mut last = io::Error::new(io::ErrorKind::NotFound, "no address");
        for place in address.to_socket_addrs()? {
            match TcpStream::connect_timeout(&place, CONNECT_TIMEOUT) {
                Ok(mut stream) => {
                    stream.set_read_timeout(Some(READ_TIMEOUT))?;
                    stream.set_write_timeout(Some(CONNECT_TIMEOUT))?;
                    stream.write_all(WATCH)?;
                    return Ok(Gpsd { lines: BufReader::new(stream), line: Vec::new() });
                }
                Err(e) => last = e,
            }
        }
        Err(last)
    }

    /// Waits for the next report, half a second at most.
    ///
    /// # Errors
    /// When the connection is over, or a line has no end.
    pub fn hear(&mut self) -> io::Result<Heard> {
        let room = LONGEST_LINE.saturating_sub(self.line.len() as u64);
        match self.lines.by_ref().take(room).read_until(b'\n', &mut self.line) {
            Ok(0) if room == 0 => Err(io::Error::new(io::ErrorKind::InvalidData, "a line without an end")),
            Ok(0) => Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(_) if self.line.last() == Some(&b'\n') => {
                let heard = parse(&self.line, boot_time_now()).map_or(Heard::Other, Heard::Fix);
                self.line.clear();
                Ok(heard)
            }
            Ok(_) => Ok(Heard::Other),
            // What came of a line so far stays in `line`.
            Err(e) if matches!(e.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) => Ok(Heard::Silence),
            Err(e) if e.kind() == io::ErrorKind::Interrupted => Ok(Heard::Other),
            Err(e) => Err(e),
        }
    }
}

#[derive(Deserialize)]
struct Tpv {
    class: String,
    #[serde(default)]
    mode: u8,
    time: Option<String>,
    /// Estimated time stamp error, seconds.
    ept: Option<f64>,
}

/// A fix from one line that arrived at `arrival`. Without a position fix (mode
/// below 2) a receiver only repeats what its own clock says.
fn parse(line: &[u8], arrival: Mono) -> Option<GpsTime> {
    let tpv: Tpv = serde_json::from_slice(line).ok()?;
    if tpv.class != "TPV" || tpv.mode < 2 {
        return None;
    }
    let time = UtcMillis::parse(&tpv.time?)?;
    let error_us =
        tpv.ept.filter(|ept| ept.is_finite() && *ept >= 0.0).map_or(UNKNOWN_ERROR_US, |ept| (ept * 1e6) as i64);
    Some(GpsTime { mono: arrival, utc_us: time.0.checked_mul(1_000)?, error_us })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use std::net::TcpListener;

    const AT: Mono = Mono::from_micros(5);

    #[test]
    fn only_a_fix_counts() {
        // As gpsd 3.22 writes it.
        let line = br#"{"class":"TPV","device":"/dev/ttyAMA0","mode":3,"time":"2026-05-01T20:15:00.000Z","leapseconds":18,"ept":0.005,"lat":46.5,"lon":7.9,"alt":1512.1,"eph":7.1}"#;
        let fix = parse(line, AT).unwrap();
        assert_eq!((fix.mono, fix.utc_us, fix.error_us), (AT, 1_777_666_500_000_000, 5_000));
        for nothing in [
            r#"{"class":"TPV","mode":1,"time":"2026-05-01T20:15:00.000Z"}"#,
            r#"{"class":"TPV","mode":3}"#,
            r#"{"class":"TPV","mode":3,"time":"soon"}"#,
            r#"{"class":"SKY","mode":3,"time":"2026-05-01T20:15:00.000Z"}"#,
            r#"{"class":"VERSION","release":"3.22"}"#,
            "",
            "{",
            "[1]",
            "\u{0}",
        ] {
            assert_eq!(parse(nothing.as_bytes(), AT), None, "{nothing}");
        }
    }

    #[test]
    fn reports_come_in_pieces_and_a_line_without_an_end_is_an_error() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let server = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut asked = vec![0; WATCH.len()];
            stream.read_exact(&mut asked).unwrap();
            assert_eq!(asked, WATCH);
            stream.write_all(b"{\"class\":\"TPV\",\"mode\":3,").unwrap();
            std::thread::sleep(Duration::from_millis(600));
            stream.write_all(b"\"time\":\"2026-05-01T20:15:00.000Z\"}\n").unwrap();
            let _ = stream.write_all(&vec![b'x'; 2 * LONGEST_LINE as usize]);
        });
        let mut gpsd = Gpsd::connect(&address).unwrap();
        let mut fixes = 0;
        let error = loop {
            match gpsd.hear() {
                Ok(Heard::Fix(_)) => fixes += 1,
                Ok(_) => {}
                Err(e) => break e,
            }
        };
        assert_eq!((fixes, error.kind()), (1, io::ErrorKind::InvalidData));
        drop(gpsd);
        server.join().unwrap();
    }
}
