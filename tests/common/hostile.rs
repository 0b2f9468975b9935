//! Cameras that mean harm: RTSP with whatever session description and whatever RTP
//! packets a test wants, and H.264 made bit by bit.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

/// What a camera does after PLAY, until it fails.
pub type Play = dyn Fn(&mut Rtp) -> std::io::Result<()> + Send + Sync;

/// A camera whose answers are made up.
#[derive(Clone)]
pub struct Script {
    pub sdp: String,
    /// Headers of its answer to DESCRIBE, without end.
    pub endless_headers: bool,
    /// It takes SETUP over UDP alone, and answers the rest with this.
    pub refuses_tcp: Option<&'static str>,
    /// The same the other way round.
    pub refuses_udp: bool,
    pub play: Arc<Play>,
}

impl Script {
    pub fn new(
        sdp: impl Into<String>,
        play: impl Fn(&mut Rtp) -> std::io::Result<()> + Send + Sync + 'static,
    ) -> Script {
        Script { sdp: sdp.into(), endless_headers: false, refuses_tcp: None, refuses_udp: false, play: Arc::new(play) }
    }
}

/// Where a camera's RTP packets go.
pub struct Rtp {
    way: Way,
    sequence: u16,
    pub stamp: u32,
    running: Arc<AtomicBool>,
    sent: Arc<AtomicU64>,
}

enum Way {
    Tcp(TcpStream),
    Udp(UdpSocket),
}

impl Rtp {
    /// One packet.
    pub fn packet(&mut self, payload: &[u8], marker: bool) -> std::io::Result<()> {
        if !self.running.load(Ordering::SeqCst) {
            return Err(std::io::ErrorKind::Interrupted.into());
        }
        let mut packet = vec![0x80, 96 | if marker { 0x80 } else { 0 }];
        packet.extend(self.sequence.to_be_bytes());
        packet.extend(self.stamp.to_be_bytes());
        packet.extend(0x1234_u32.to_be_bytes());
        packet.extend(payload);
        self.sequence = self.sequence.wrapping_add(1);
        self.sent.fetch_add(packet.len() as u64, Ordering::SeqCst);
        match &mut self.way {
            Way::Tcp(stream) => {
                let length = u16::try_from(packet.len()).unwrap().to_be_bytes();
                stream.write_all(&[&[b'$', 0, length[0], length[1]], &packet[..]].concat())
            }
            // Nobody may listen any more.
            Way::Udp(socket) => socket.send(&packet).map(drop).or(Ok(())),
        }
    }

    /// One NAL unit, in fragments if it is long (RFC 6184, 5.8).
    pub fn nal(&mut self, nal: &[u8], last: bool) -> std::io::Result<()> {
        const MOST: usize = 1200;
        if nal.len() <= MOST {
            return self.packet(nal, last);
        }
        let (indicator, kind) = (nal[0] & 0xe0 | 28, nal[0] & 0x1f);
        let pieces: Vec<&[u8]> = nal[1..].chunks(MOST).collect();
        for (i, piece) in pieces.iter().enumerate() {
            let (start, end) = (i == 0, i + 1 == pieces.len());
            let head = kind | if start { 0x80 } else { 0 } | if end { 0x40 } else { 0 };
            self.packet(&[&[indicator, head], *piece].concat(), last && end)?;
        }
        Ok(())
    }

    /// A picture of these NAL units, and a pause of one at so many a second.
    pub fn picture(&mut self, nals: &[Vec<u8>], rate: u32) -> std::io::Result<()> {
        for (i, nal) in nals.iter().enumerate() {
            self.nal(nal, i + 1 == nals.len())?;
        }
        self.stamp = self.stamp.wrapping_add(90_000 / rate);
        std::thread::sleep(Duration::from_secs(1) / rate);
        Ok(())
    }
}

pub struct HostileCamera {
    pub port: u16,
    pub connections: Arc<AtomicU64>,
    /// Bytes of RTP.
    pub sent: Arc<AtomicU64>,
    running: Arc<AtomicBool>,
    accepting: Option<std::thread::JoinHandle<()>>,
}

impl HostileCamera {
    pub fn start(script: Script) -> HostileCamera {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        listener.set_nonblocking(true).unwrap();
        let running = Arc::new(AtomicBool::new(true));
        let (connections, sent) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
        let (on, made, bytes) = (Arc::clone(&running), Arc::clone(&connections), Arc::clone(&sent));
        let accepting = std::thread::spawn(move || {
            let (mut clients, mut serving): (Vec<TcpStream>, Vec<_>) = Default::default();
            while on.load(Ordering::SeqCst) {
                let Ok((client, _)) = listener.accept() else {
                    std::thread::sleep(Duration::from_millis(10));
                    continue;
                };
                client.set_nonblocking(false).unwrap();
                clients.push(client.try_clone().unwrap());
                made.fetch_add(1, Ordering::SeqCst);
                let (script, on, bytes) = (script.clone(), Arc::clone(&on), Arc::clone(&bytes));
                serving.push(std::thread::spawn(move || drop(serve(client, &script, &on, &bytes))));
            }
            clients.iter().for_each(|client| drop(client.shutdown(Shutdown::Both)));
            serving.into_iter().for_each(|thread| drop(thread.join()));
        });
        HostileCamera { port, connections, sent, running, accepting: Some(accepting) }
    }

    pub fn url(&self) -> String {
        format!("rtsp://127.0.0.1:{}/stream", self.port)
    }
}

impl Drop for HostileCamera {
    fn drop(&mut self) {
        self.running.store(false, Ordering::SeqCst);
        let _ = self.accepting.take().unwrap().join();
    }
}

fn serve(mut client: TcpStream, script: &Script, on: &Arc<AtomicBool>, sent: &Arc<AtomicU64>) -> std::io::Result<()> {
    let mut reader = BufReader::new(client.try_clone()?);
    let mut udp = None;
    loop {
        let (mut method, mut sequence, mut transport) = (String::new(), String::new(), String::new());
        loop {
            let mut line = String::new();
            if reader.read_line(&mut line)? == 0 {
                return Ok(());
            }
            match line.trim() {
                "" => break,
                line if method.is_empty() => line.split(' ').next().unwrap().clone_into(&mut method),
                line => match line.split_once(": ") {
                    Some(("CSeq", value)) => value.clone_into(&mut sequence),
                    Some(("Transport", value)) => value.clone_into(&mut transport),
                    _ => {}
                },
            }
        }
        let (mut status, mut headers, mut body) = ("200 OK", "Session: 1\r\n".to_owned(), "");
        match method.as_str() {
            "OPTIONS" => headers = "Public: OPTIONS, DESCRIBE, SETUP, PLAY, TEARDOWN\r\n".to_owned(),
            "DESCRIBE" => {
                body = &script.sdp;
                headers = format!("Content-Type: application/sdp\r\nContent-Length: {}\r\n", body.len());
            }
            "SETUP" if transport.contains("TCP") => match script.refuses_tcp {
                Some(answer) => status = answer,
                None => headers += &format!("Transport: {transport}\r\n"),
            },
            "SETUP" if script.refuses_udp => status = "461 Unsupported Transport",
            "SETUP" => {
                let ports = transport.split("client_port=").nth(1).unwrap();
                let port: u16 = ports.split(['-', ';']).next().unwrap().parse().unwrap();
                let socket = UdpSocket::bind("127.0.0.1:0")?;
                socket.connect(("127.0.0.1", port))?;
                let own = socket.local_addr()?.port();
                headers += &format!("Transport: {transport};server_port={own}-{}\r\n", own.wrapping_add(1));
                udp = Some(socket);
            }
            _ => {}
        }
        client.write_all(format!("RTSP/1.0 {status}\r\nCSeq: {sequence}\r\n").as_bytes())?;
        if method == "DESCRIBE" && script.endless_headers {
            loop {
                client.write_all("X-More: and more\r\n".repeat(500).as_bytes())?;
            }
        }
        client.write_all(format!("{headers}\r\n{body}").as_bytes())?;
        if method == "PLAY" {
            // What the client still says is read, so that it never waits.
            let gone = Arc::clone(on);
            let mut rest = client.try_clone()?;
            std::thread::spawn(
                move || while gone.load(Ordering::SeqCst) && rest.read(&mut [0; 512]).unwrap_or(0) > 0 {},
            );
            let way = match udp {
                Some(socket) => Way::Udp(socket),
                None => Way::Tcp(client),
            };
            let (running, sent) = (Arc::clone(on), Arc::clone(sent));
            return (script.play)(&mut Rtp { way, sequence: 0, stamp: 0, running, sent });
        }
    }
}

/// A session description of one H.264 stream, with its parameter sets or without.
pub fn sdp(parameter_sets: &[&[u8]], before: &str) -> String {
    use base64::Engine;
    let sets: Vec<String> =
        parameter_sets.iter().map(|set| base64::engine::general_purpose::STANDARD.encode(set)).collect();
    let sets = match sets.is_empty() {
        true => String::new(),
        false => format!(";sprop-parameter-sets={}", sets.join(",")),
    };
    format!(
        "v=0\r\no=- 0 0 IN IP4 127.0.0.1\r\ns=x\r\nc=IN IP4 0.0.0.0\r\nt=0 0\r\n{before}m=video 0 RTP/AVP 96\r\n\
         a=rtpmap:96 H264/90000\r\na=fmtp:96 packetization-mode=1{sets}\r\na=control:track\r\n"
    )
}

/// A grey H.264 stream (ITU-T H.264, 7.3) of any size, of which the decoder has to
/// keep as many pictures as `references` says.
#[derive(Clone, Copy)]
pub struct Grey {
    /// In macroblocks of 16 pixels.
    pub width: u32,
    pub height: u32,
    pub references: u32,
}

impl Grey {
    pub fn sps(&self) -> Vec<u8> {
        let mut bits = Bits::default();
        bits.put(66, 8).put(0, 8).put(51, 8).ue(0).ue(12).ue(2).ue(self.references).put(0, 1);
        bits.ue(self.width - 1).ue(self.height - 1).put(0b1100, 4);
        bits.nal(0x67)
    }

    pub fn pps(&self) -> Vec<u8> {
        let mut bits = Bits::default();
        bits.ue(0).ue(0).put(0, 2).ue(0).ue(0).ue(0).put(0, 3).se0().se0().se0().put(0b100, 3);
        bits.nal(0x68)
    }

    /// A keyframe: each macroblock is predicted from nothing and left so.
    pub fn key(&self) -> Vec<u8> {
        let mut bits = Bits::default();
        bits.ue(0).ue(7).ue(0).put(0, 16).ue(0).put(0, 2).se0().ue(1);
        for _ in 0..self.width * self.height {
            bits.ue(3).ue(0).se0().put(1, 1);
        }
        bits.nal(0x65)
    }

    /// The picture before, once more.
    pub fn same(&self, number: u32) -> Vec<u8> {
        let mut bits = Bits::default();
        bits.ue(0).ue(5).ue(0).put(number & 0xffff, 16).put(0, 3).se0().ue(1).ue(self.width * self.height);
        bits.nal(0x41)
    }

    /// Plays it: a keyframe, then nothing new.
    pub fn play(self, rtp: &mut Rtp, rate: u32) -> std::io::Result<()> {
        self.play_some(rtp, rate, u32::MAX)
    }

    /// So many pictures of it.
    pub fn play_some(self, rtp: &mut Rtp, rate: u32, count: u32) -> std::io::Result<()> {
        let key = self.key();
        for number in 0..count {
            match number % 64 {
                0 => rtp.picture(&[self.sps(), self.pps(), key.clone()], rate)?,
                number => rtp.picture(&[self.same(number)], rate)?,
            }
        }
        Ok(())
    }
}

#[derive(Default)]
struct Bits {
    bytes: Vec<u8>,
    filled: u32,
}

impl Bits {
    fn put(&mut self, value: u32, count: u32) -> &mut Bits {
        for bit in (0..count).rev() {
            if self.filled.is_multiple_of(8) {
                self.bytes.push(0);
            }
            *self.bytes.last_mut().unwrap() |= ((value >> bit & 1) as u8) << (7 - self.filled % 8);
            self.filled += 1;
        }
        self
    }

    /// Exponential-Golomb.
    fn ue(&mut self, value: u32) -> &mut Bits {
        let length = 32 - (value + 1).leading_zeros();
        self.put(0, length - 1).put(value + 1, length)
    }

    fn se0(&mut self) -> &mut Bits {
        self.put(1, 1)
    }

    /// With its head and stop bit, and without start codes within.
    fn nal(&mut self, head: u8) -> Vec<u8> {
        self.put(1, 1);
        let (mut nal, mut zeros) = (vec![head], 0);
        for byte in &self.bytes {
            if zeros >= 2 && *byte <= 3 {
                nal.push(3);
                zeros = 0;
            }
            nal.push(*byte);
            zeros = if *byte == 0 { zeros + 1 } else { 0 };
        }
        nal
    }
}

/// A recording (ISO 14496-12) of so many tracks, each of which announces `samples` of
/// 16 bytes that lie in the same place, in a table that names their number alone.
pub fn announcing(tracks: u32, samples: u32) -> Vec<u8> {
    let a_box = |kind: &[u8; 4], parts: &[&[u8]]| {
        let body = parts.concat();
        [&u32::try_from(body.len() + 8).unwrap().to_be_bytes()[..], kind, &body].concat()
    };
    let numbers = |numbers: &[u32]| numbers.iter().flat_map(|number| number.to_be_bytes()).collect::<Vec<u8>>();
    let table = |kind: &[u8; 4], values: &[u32]| a_box(kind, &[&[0; 4], &numbers(values)]);
    let grey = Grey { width: 40, height: 22, references: 1 };
    let (sps, pps) = (grey.sps(), grey.pps());
    let sets = |set: &[u8]| [&u16::try_from(set.len()).unwrap().to_be_bytes()[..], set].concat();
    let avcc = a_box(b"avcC", &[&[1, 66, 0, 51, 0xff, 0xe1], &sets(&sps), &[1], &sets(&pps)]);
    let size = [640_u16.to_be_bytes(), 352_u16.to_be_bytes()].concat();
    let entry = a_box(b"avc1", &[&[0; 6], &[0, 1], &[0; 16], &size, &[0; 50], &avcc]);
    let entries = a_box(b"stsd", &[&[0; 4], &numbers(&[1]), &entry]);
    let some = u32::from(samples > 0);
    let stts = table(b"stts", &[&[some][..], &[samples, 3600][..2 * some as usize]].concat());
    let stsc = table(b"stsc", &[&[some][..], &[1, samples, 1][..3 * some as usize]].concat());
    let (stsz, stco) =
        (table(b"stsz", &[16, samples]), table(b"stco", &[&[some][..], &[100][..some as usize]].concat()));
    let stbl = a_box(b"stbl", &[&entries, &stts, &stsc, &stsz, &stco]);
    let media_header = a_box(b"mdhd", &[&numbers(&[0, 0, 0, 90_000, 0, 0])]);
    let handler = a_box(b"hdlr", &[&[0; 8], b"vide", &[0; 13]]);
    let minf = a_box(b"minf", &[&a_box(b"vmhd", &[&[0, 0, 0, 1], &[0; 8]]), &stbl]);
    let mdia = a_box(b"mdia", &[&media_header, &handler, &minf]);
    let track = |number: u32| {
        let header = a_box(b"tkhd", &[&numbers(&[7, 0, 0, number]), &[0; 68]]);
        a_box(b"trak", &[&header, &mdia])
    };
    let header = a_box(b"mvhd", &[&numbers(&[0, 0, 0, 1000, 0]), &[0; 80]]);
    let traks: Vec<u8> = (1..=tracks).flat_map(track).collect();
    let start = a_box(b"ftyp", &[b"isom\0\0\x02\0isom"]);
    [start, a_box(b"moov", &[&header, &traks]), a_box(b"mdat", &[&[0x55; 4000]])].concat()
}
