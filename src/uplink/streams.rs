//! Files that follow a reply: drawn one piece at a time, where new events leave
//! room.
//!
//! One file is sent at a time, in order. When the connection breaks, or nobody
//! listens any more, what is left is given up: who asked, asks again for the rest.

use std::collections::VecDeque;

use rumqttc::v5::AsyncClient;
use rumqttc::v5::mqttbytes::QoS;
use tokio::time::Instant;
use tracing::{debug, warn};

use super::link::{Link, Sent};
use super::messages::publish_packet_size;
use crate::control::OutgoingFile;

/// Pieces of a file that may be under way.
const STREAM_WINDOW: usize = 4;

/// What a topic may add to a payload.
const LONGEST_TOPIC: usize = 256;

#[derive(Debug)]
struct Stream {
    id: String,
    /// `None` when the last piece was drawn, or the rest given up.
    file: Option<OutgoingFile>,
    under_way: usize,
}

/// The files that are being sent.
#[derive(Debug, Default)]
pub(super) struct Streams(VecDeque<Stream>);

impl Streams {
    /// How many there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// One more, behind the others; `id` is the command's.
    pub fn add(&mut self, id: String, file: OutgoingFile) {
        self.0.push_back(Stream { id, file: Some(file), under_way: 0 });
    }

    /// A piece was acknowledged; whether somebody `heard` it.
    pub fn answered(&mut self, heard: bool) {
        if let Some(first) = self.0.front_mut() {
            first.under_way = first.under_way.saturating_sub(1);
            if !heard && first.file.take().is_some() {
                debug!("nobody waits for the answer to {} any more", first.id);
            }
        }
        self.drop_finished();
    }

    /// The session is lost: no piece is under way any more.
    pub fn interrupted(&mut self) {
        self.0.iter_mut().for_each(|stream| stream.under_way = 0);
        self.drop_finished();
    }

    /// The connection is gone: nothing more of any of them.
    pub fn give_up(&mut self) {
        for stream in &mut self.0 {
            if stream.file.take().is_some() {
                warn!("the answer to {} was cut short: the connection was lost", stream.id);
            }
        }
        self.drop_finished();
    }

    fn drop_finished(&mut self) {
        self.0.retain(|stream| stream.file.is_some() || stream.under_way > 0);
    }
}

impl Link {
    /// Hands over some pieces of the first file, where there is room.
    pub(super) fn send_parts(&mut self, client: &AsyncClient) {
        let room = self.unwanted.room(Instant::now());
        let largest = usize::try_from(room).unwrap_or(usize::MAX).saturating_sub(LONGEST_TOPIC);
        let window = self.limits.window;
        while self.has_room() && self.budget.is_left() {
            let Some(first) = self.commands.streams.0.front_mut() else { return };
            if first.under_way >= STREAM_WINDOW.min(window) {
                return;
            }
            let Some(file) = &mut first.file else { return };
            let piece = match file.next(largest) {
                Ok(Some(piece)) => piece,
                ended => {
                    if let Err(e) = ended {
                        warn!("the answer to {} was cut short: {e}", first.id);
                    }
                    first.file = None;
                    self.commands.streams.drop_finished();
                    continue;
                }
            };
            let topic = self.settings.topics.part(&first.id, piece.offset);
            let size = publish_packet_size(&topic, piece.bytes.len());
            if size > room || client.try_publish(topic, QoS::AtLeastOnce, false, piece.bytes).is_err() {
                warn!("the answer to {} was cut short: a part of {size} bytes does not fit", first.id);
                first.file = None;
                self.commands.streams.drop_finished();
                continue;
            }
            first.under_way += 1;
            self.handed_over(Sent::Part, size);
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn two() -> Streams {
        let mut streams = Streams::default();
        for id in ["a", "b"] {
            streams.add(id.into(), OutgoingFile::in_memory(vec![0; 9000], "image/jpeg").unwrap());
        }
        streams.0[0].under_way = 2;
        streams
    }

    #[test]
    fn what_nobody_hears_is_given_up_and_the_next_goes_on() {
        let mut streams = two();
        streams.answered(true);
        assert!(streams.0[0].file.is_some());
        streams.answered(false);
        assert_eq!((streams.len(), streams.0[0].id.as_str()), (1, "b"));
        assert!(streams.0[0].file.is_some());
    }

    #[test]
    fn with_the_connection_everything_is_given_up_once_it_has_come_back() {
        let mut streams = two();
        streams.give_up();
        assert_eq!((streams.len(), streams.0[0].id.as_str()), (1, "a"), "two of its pieces may yet be acknowledged");
        streams.answered(true);
        assert_eq!(streams.len(), 1);
        streams.interrupted();
        assert_eq!(streams.len(), 0);
    }
}
