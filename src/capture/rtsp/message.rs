//! RTSP on the wire (RFC 2326): messages, and interleaved packets between them
//! (section 10.12). Cameras are careless: bare line feeds, headers in any case,
//! empty lines and even rubbish between messages are read.

/// Bytes of a message's start line and headers at most.
pub(super) const MAX_HEAD: usize = 16 << 10;
/// Headers at most.
const MAX_HEADERS: usize = 64;
/// Bytes of a body (a description of streams) at most.
pub(super) const MAX_BODY: usize = 64 << 10;
/// Bytes at most between messages that are neither message nor packet.
const MAX_RUBBISH: usize = 64 << 10;
/// A `$`, the channel and two bytes of length.
const PACKET_HEAD: usize = 4;

/// Why what a peer sends is no RTSP that can be worked with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum Malformed {
    #[error("headers of more than 16 KiB")]
    LongHead,
    #[error("more than 64 headers")]
    ManyHeaders,
    #[error("a description of more than 64 KiB")]
    LongBody,
    #[error("something that is no RTSP")]
    Rubbish,
}

/// A request or a reply.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Message {
    /// `METHOD uri RTSP/1.0` or `RTSP/1.0 code reason`.
    pub start: String,
    /// In their order.
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl Message {
    /// The reply's status; `None` for a request.
    pub fn status(&self) -> Option<u16> {
        let mut words = self.start.split_ascii_whitespace();
        words.next().filter(|word| word.starts_with("RTSP/"))?;
        words.next()?.parse().ok()
    }

    pub fn is_reply(&self) -> bool {
        self.start.starts_with("RTSP/")
    }

    /// The request's method, and its URI.
    pub fn method_and_uri(&self) -> (&str, &str) {
        let (method, rest) = self.start.split_once(' ').unwrap_or((&self.start, ""));
        // Paths of careless cameras hold spaces.
        (method, rest.rsplit_once(" RTSP/").map_or(rest, |(uri, _)| uri))
    }

    /// All values of a header.
    pub fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        let named = move |header: &&(String, String)| header.0.eq_ignore_ascii_case(name);
        self.headers.iter().filter(named).map(|(_, value)| value.as_str())
    }

    /// The first value of a header.
    pub fn header<'a>(&'a self, name: &'a str) -> Option<&'a str> {
        self.all(name).next()
    }

    pub fn remove(&mut self, name: &str) {
        self.headers.retain(|header| !header.0.eq_ignore_ascii_case(name));
    }

    /// Replaces the header, or adds it.
    pub fn set(&mut self, name: &str, value: String) {
        match self.headers.iter_mut().find(|header| header.0.eq_ignore_ascii_case(name)) {
            Some(header) => header.1 = value,
            None => self.headers.push((name.to_owned(), value)),
        }
    }

    /// As it goes over the wire.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut text = format!("{}\r\n", self.start);
        for (name, value) in &self.headers {
            text.push_str(name);
            text.push_str(": ");
            text.push_str(value);
            text.push_str("\r\n");
        }
        text.push_str("\r\n");
        let mut bytes = text.into_bytes();
        bytes.extend_from_slice(&self.body);
        bytes
    }

    /// From the lines before the empty one; `None` if they are no message.
    fn read(head: &[u8]) -> Result<Option<Message>, Malformed> {
        let text = String::from_utf8_lossy(head);
        let mut lines = text.split('\n').map(|line| line.strip_suffix('\r').unwrap_or(line));
        let start = lines.next().unwrap_or_default().trim().to_owned();
        if !is_start(&start) {
            return Ok(None);
        }
        let mut headers: Vec<(String, String)> = Vec::new();
        for line in lines.filter(|line| !line.is_empty()) {
            // A line that goes on, as RFC 822 had it.
            if line.starts_with([' ', '\t']) {
                if let Some((_, value)) = headers.last_mut() {
                    value.push(' ');
                    value.push_str(line.trim());
                }
                continue;
            }
            let Some((name, value)) = line.split_once(':') else { continue };
            if headers.len() == MAX_HEADERS {
                return Err(Malformed::ManyHeaders);
            }
            let clean = |text: &str| text.trim().replace(|c: char| c.is_control() && c != '\t', " ");
            headers.push((clean(name), clean(value)));
        }
        Ok(Some(Message { start: start.replace(char::is_control, " "), headers, body: Vec::new() }))
    }
}

fn is_start(line: &str) -> bool {
    let Some((first, rest)) = line.split_once(' ') else { return false };
    if first.starts_with("RTSP/") {
        return rest.split_ascii_whitespace().next().is_some_and(|code| code.parse::<u16>().is_ok());
    }
    rest.contains(" RTSP/")
}

/// What is at the beginning of what has arrived.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Piece {
    /// So many bytes belong to interleaved packets: they are handed on as they are.
    Data(usize),
    /// A message, and how many bytes it takes.
    Message(Message, usize),
    /// So many bytes belong to nothing.
    Rubbish(usize),
    /// More has to arrive first.
    Incomplete,
}

/// Takes one direction of a connection apart, wherever it is cut.
#[derive(Debug, Default)]
pub(super) struct Splitter {
    /// Bytes of the packet under way that have not arrived.
    packet_left: usize,
    /// Bytes that belonged to nothing since the last message or packet.
    rubbish: usize,
}

impl Splitter {
    /// What `bytes` begins with. The caller takes it away before asking again; a
    /// buffer of [`MAX_HEAD`] and [`MAX_BODY`] together is large enough for any.
    pub fn next(&mut self, bytes: &[u8]) -> Result<Piece, Malformed> {
        let data = self.packets(bytes);
        if data > 0 {
            self.rubbish = 0;
            return Ok(Piece::Data(data));
        }
        let Some(first) = bytes.first() else { return Ok(Piece::Incomplete) };
        if *first == b'$' {
            return Ok(Piece::Incomplete);
        }
        if !first.is_ascii_uppercase() {
            let end = bytes.iter().position(|byte| *byte == b'$' || byte.is_ascii_uppercase());
            return self.skip(end.unwrap_or(bytes.len()));
        }
        let searched = bytes.get(..MAX_HEAD).unwrap_or(bytes);
        let Some(head) = head_length(searched) else {
            return if searched.len() == MAX_HEAD { Err(Malformed::LongHead) } else { Ok(Piece::Incomplete) };
        };
        let Some(mut message) = Message::read(bytes.get(..head).unwrap_or_default())? else {
            let line = bytes.iter().position(|byte| *byte == b'\n').map_or(head, |at| at + 1);
            return self.skip(line);
        };
        let length = message.header("Content-Length").and_then(|text| text.parse::<u64>().ok()).unwrap_or(0);
        let length = usize::try_from(length).ok().filter(|n| *n <= MAX_BODY).ok_or(Malformed::LongBody)?;
        let Some(body) = bytes.get(head..head + length) else { return Ok(Piece::Incomplete) };
        message.body = body.to_vec();
        self.rubbish = 0;
        Ok(Piece::Message(message, head + length))
    }

    fn skip(&mut self, n: usize) -> Result<Piece, Malformed> {
        self.rubbish += n;
        if self.rubbish > MAX_RUBBISH { Err(Malformed::Rubbish) } else { Ok(Piece::Rubbish(n)) }
    }

    /// How many of the first bytes belong to packets.
    fn packets(&mut self, bytes: &[u8]) -> usize {
        let mut at = self.packet_left.min(bytes.len());
        self.packet_left -= at;
        while let Some([b'$', _, high, low]) = bytes.get(at..at + PACKET_HEAD) {
            let whole = PACKET_HEAD + usize::from(u16::from_be_bytes([*high, *low]));
            let here = whole.min(bytes.len() - at);
            at += here;
            self.packet_left = whole - here;
        }
        at
    }
}

/// Up to and with the empty line.
fn head_length(bytes: &[u8]) -> Option<usize> {
    let mut line_is_empty = false;
    for (at, byte) in bytes.iter().enumerate() {
        match byte {
            b'\n' if line_is_empty => return Some(at + 1),
            b'\n' => line_is_empty = true,
            b'\r' => {}
            _ => line_is_empty = false,
        }
    }
    None
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Everything in `bytes` when it arrives cut at `cuts`: messages, packets' bytes.
    fn split(bytes: &[u8], cuts: &[usize]) -> Result<(Vec<Message>, Vec<u8>), Malformed> {
        let (mut splitter, mut buffer) = (Splitter::default(), Vec::new());
        let (mut messages, mut data) = (Vec::new(), Vec::new());
        let mut from = 0;
        let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut % (bytes.len() + 1)).collect();
        cuts.sort_unstable();
        cuts.push(bytes.len());
        for cut in cuts {
            buffer.extend_from_slice(&bytes[from..cut]);
            from = cut;
            loop {
                let taken = match splitter.next(&buffer)? {
                    Piece::Data(n) => {
                        data.extend_from_slice(&buffer[..n]);
                        n
                    }
                    Piece::Message(message, n) => {
                        messages.push(message);
                        n
                    }
                    Piece::Rubbish(n) => n,
                    Piece::Incomplete => break,
                };
                buffer.drain(..taken);
            }
        }
        Ok((messages, data))
    }

    const STREAM: &[u8] =
        b"RTSP/1.0 200 OK\r\nCSeq: 2\r\nContent-length:3\r\n\r\nabc$\x00\x00\x05$RTSP$\x01\x00\x00\r\n\
        RTSP/1.0 200 OK\ncseq : 3\nX: a\n b\n\n\x00\x01OPTIONS /a b RTSP/1.0\r\n\r\n$\x00\x00\x01\n";

    #[test]
    fn careless_messages_and_packets_are_told_apart() {
        let (messages, data) = split(STREAM, &[]).unwrap();
        assert_eq!(data, b"$\x00\x00\x05$RTSP$\x01\x00\x00$\x00\x00\x01\n");
        let [first, second, third] = messages.as_slice() else { panic!("{messages:?}") };
        assert_eq!((first.status(), first.header("cseq"), first.body.as_slice()), (Some(200), Some("2"), &b"abc"[..]));
        assert_eq!((second.header("CSeq"), second.header("x")), (Some("3"), Some("a b")));
        assert_eq!((third.is_reply(), third.method_and_uri()), (false, ("OPTIONS", "/a b")));
    }

    #[test]
    fn what_never_ends_is_given_up() {
        let endless = [b"RTSP/1.0 200 OK\r\n".to_vec(), b"a: b".repeat(5000)].concat();
        assert_eq!(split(&endless, &[]), Err(Malformed::LongHead));
        let many = [b"RTSP/1.0 200 OK\r\n".to_vec(), b"a: b\r\n".repeat(65), b"\r\n".to_vec()].concat();
        assert_eq!(split(&many, &[]), Err(Malformed::ManyHeaders));
        for length in ["65537", "18446744073709551615"] {
            let long = format!("RTSP/1.0 200 OK\r\nContent-Length: {length}\r\n\r\n");
            assert_eq!(split(long.as_bytes(), &[]), Err(Malformed::LongBody));
        }
        assert_eq!(split(&vec![0; 70_000], &[]), Err(Malformed::Rubbish));
    }

    proptest! {
        #[test]
        fn it_does_not_matter_where_the_stream_is_cut(cuts in proptest::collection::vec(any::<usize>(), 0..20)) {
            prop_assert_eq!(split(STREAM, &cuts), split(STREAM, &[]));
        }

        #[test]
        fn any_bytes_end(bytes in proptest::collection::vec(any::<u8>(), 0..200), cut in any::<usize>()) {
            let _ = split(&bytes, &[cut]);
        }
    }
}
