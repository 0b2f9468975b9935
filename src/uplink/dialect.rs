//! Whether a broker that hangs up on MQTT 5 speaks MQTT 3.1.1.
//!
//! Such a broker answers an MQTT 5 login with a CONNACK that only 3.1.1 knows, or with
//! nothing; the client library reads neither. So it is asked once in its own
//! language, without a login and under a name that nobody else has: no session is
//! taken from anybody by that.

use std::io::{self, Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::sync::Arc;
use std::time::Duration;

use rumqttc::v5::{ConnectionError, StateError};
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, StreamOwned};
use tokio::time::timeout;

use super::settings::LinkSettings;

/// For each step of the question.
const STEP: Duration = Duration::from_secs(4);

/// For all of it; a name resolution may hang.
const PATIENCE: Duration = Duration::from_secs(10);

/// Whether `e`, before a CONNACK, may come of another dialect.
pub(super) fn may_be_the_reason(e: &ConnectionError) -> bool {
    match e {
        ConnectionError::Timeout(_) | ConnectionError::MqttState(StateError::ConnectionAborted) => true,
        ConnectionError::Io(e) | ConnectionError::MqttState(StateError::Io(e)) => hung_up(e),
        _ => false,
    }
}

pub(super) fn hung_up(e: &io::Error) -> bool {
    matches!(e.kind(), io::ErrorKind::UnexpectedEof | io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe)
}

/// Asks; takes ten seconds at most.
pub(super) async fn is_old(settings: &LinkSettings) -> bool {
    let (host, port) = (settings.address.host.clone(), settings.address.port);
    let tls = settings.tls.clone();
    let asked = tokio::task::spawn_blocking(move || ask(&host, port, tls));
    matches!(timeout(PATIENCE, asked).await, Ok(Ok(Ok(answer))) if is_old_connack(&answer))
}

/// A CONNACK of two bytes: MQTT 3.1.1, section 3.2; in MQTT 5 it has three at least.
fn is_old_connack(answer: &[u8]) -> bool {
    matches!(answer, [0x20, 2, ..])
}

/// Connects, up to TLS, and says nothing.
///
/// # Errors
/// What failed.
pub(super) async fn reach(settings: &LinkSettings) -> io::Result<()> {
    let (host, port) = (settings.address.host.clone(), settings.address.port);
    let tls = settings.tls.clone();
    let reached = tokio::task::spawn_blocking(move || {
        let mut stream = connect(&host, port)?;
        match tls {
            None => Ok(()),
            Some(tls) => session(&host, tls)?.complete_io(&mut stream).map(|_| ()),
        }
    });
    reached.await.map_err(io::Error::other)?
}

fn ask(host: &str, port: u16, tls: Option<Arc<ClientConfig>>) -> io::Result<[u8; 2]> {
    let stream = connect(host, port)?;
    match tls {
        None => greet(stream),
        Some(tls) => greet(StreamOwned::new(session(host, tls)?, stream)),
    }
}

fn connect(host: &str, port: u16) -> io::Result<TcpStream> {
    let mut failed = io::Error::from(io::ErrorKind::NotFound);
    for address in (host, port).to_socket_addrs()? {
        match TcpStream::connect_timeout(&address, STEP) {
            Ok(stream) => {
                stream.set_read_timeout(Some(STEP))?;
                stream.set_write_timeout(Some(STEP))?;
                return Ok(stream);
            }
            Err(e) => failed = e,
        }
    }
    Err(failed)
}

fn session(host: &str, tls: Arc<ClientConfig>) -> io::Result<ClientConnection> {
    let name = ServerName::try_from(host.to_owned()).map_err(io::Error::other)?;
    ClientConnection::new(tls, name).map_err(io::Error::other)
}

fn greet(mut stream: impl Read + Write) -> io::Result<[u8; 2]> {
    stream.write_all(&login(&format!("tawny-{}", std::process::id())))?;
    stream.flush()?;
    let mut answer = [0; 2];
    stream.read_exact(&mut answer)?;
    Ok(answer)
}

/// CONNECT of MQTT 3.1.1, section 3.1: clean session, no will, no login, a keep-alive of a minute.
fn login(id: &str) -> Vec<u8> {
    let mut body = b"\x00\x04MQTT\x04\x02\x00\x3c".to_vec();
    let id: &[u8] = id.as_bytes();
    // A few characters.
    let length = u8::try_from(id.len()).unwrap_or(0);
    body.extend([0, length]);
    body.extend(id.iter().take(length.into()));
    let mut packet = vec![0x10, u8::try_from(body.len()).unwrap_or(0)];
    packet.extend(body);
    packet
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_question_is_an_mqtt_3_1_1_connect_and_the_answer_is_known_by_its_length() {
        assert_eq!(login("ab"), b"\x10\x0e\x00\x04MQTT\x04\x02\x00\x3c\x00\x02ab");
        assert!(is_old_connack(&[0x20, 2]) && !is_old_connack(&[0x20, 3]) && !is_old_connack(b"HT"));
    }
}
