//! A network camera: a clip over RTSP (RFC 2326), RTP interleaved in the TCP
//! connection (section 10.12). ffmpeg makes the RTP packets, this hands them on.

use std::io::{BufRead, BufReader, Write};
use std::net::{Shutdown, TcpListener, TcpStream, UdpSocket};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::broker::free_port;

/// Plays one clip, from its beginning for each client, again and again.
pub struct RtspCamera {
    pub port: u16,
    running: Arc<AtomicBool>,
    clients: Arc<Mutex<Vec<TcpStream>>>,
    accepting: Option<std::thread::JoinHandle<()>>,
}

impl RtspCamera {
    pub fn start(clip: &Path) -> RtspCamera {
        RtspCamera::on(free_port(), clip)
    }

    pub fn on(port: u16, clip: &Path) -> RtspCamera {
        let listener = TcpListener::bind(("127.0.0.1", port)).unwrap();
        listener.set_nonblocking(true).unwrap();
        let running = Arc::new(AtomicBool::new(true));
        let clients: Arc<Mutex<Vec<TcpStream>>> = Arc::default();
        let (on, all, clip) = (Arc::clone(&running), Arc::clone(&clients), clip.to_owned());
        let accepting = std::thread::spawn(move || {
            while on.load(Ordering::SeqCst) {
                let Ok((client, _)) = listener.accept() else {
                    std::thread::sleep(Duration::from_millis(10));
                    continue;
                };
                client.set_nonblocking(false).unwrap();
                all.lock().unwrap().push(client.try_clone().unwrap());
                let (on, clip) = (Arc::clone(&on), clip.clone());
                std::thread::spawn(move || serve(client, &clip, &on));
            }
        });
        RtspCamera { port, running, clients, accepting: Some(accepting) }
    }

    pub fn url(&self) -> String {
        format!("rtsp://127.0.0.1:{}/stream", self.port)
    }
}

/// As if its plug were pulled.
impl Drop for RtspCamera {
    fn drop(&mut self) {
        self.running.store(false, Ordering::SeqCst);
        let _ = self.accepting.take().unwrap().join();
        for client in self.clients.lock().unwrap().drain(..) {
            let _ = client.shutdown(Shutdown::Both);
        }
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
            .args(["-map", "0:v", "-c", "copy", "-bsf:v", "h264_mp4toannexb", "-sdp_file", "pipe:1", "-f", "rtp"])
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

fn serve(mut client: TcpStream, clip: &Path, running: &AtomicBool) {
    let mut source = None;
    let mut reader = BufReader::new(client.try_clone().unwrap());
    loop {
        let (mut method, mut sequence) = (String::new(), String::new());
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
        let answer = format!("RTSP/1.0 200 OK\r\nCSeq: {sequence}\r\n{headers}\r\n{body}");
        if client.write_all(answer.as_bytes()).is_err() {
            return;
        }
        if method == "PLAY" {
            return play(&mut client, &source.unwrap(), running);
        }
    }
}

/// Until the client or the camera goes.
fn play(client: &mut TcpStream, source: &Source, running: &AtomicBool) {
    let mut packet = vec![0; 65536];
    while running.load(Ordering::SeqCst) {
        let Ok(n) = source.rtp.recv(&mut packet[4..]) else { continue };
        packet[..2].copy_from_slice(&[b'$', 0]);
        packet[2..4].copy_from_slice(&u16::try_from(n).unwrap().to_be_bytes());
        if client.write_all(&packet[..n + 4]).is_err() {
            return;
        }
    }
}
