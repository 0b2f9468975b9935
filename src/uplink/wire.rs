//! The client library's connection, held to what a broker may say.
//!
//! The library believes everything: it keeps every topic alias it is told, of 64 kB
//! each and never forgotten; it pings as often as a CONNACK says, with 0 without a
//! pause; it takes a second CONNACK for a new connection. So everything that comes passes
//! one rule here: it has to be the answer to something that was sent, or a message
//! such as was asked for. What is neither ends the connection, and what the library
//! remembers of it is thrown away.

use std::io;
use std::ops::{Deref, DerefMut};
use std::time::Duration;

use rumqttc::Outgoing;
use rumqttc::v5::mqttbytes::QoS;
use rumqttc::v5::mqttbytes::v5::ConnAck;
use rumqttc::v5::{AsyncClient, ConnectionError, Event, EventLoop, Incoming, MqttState, StateError};

use super::settings::{LinkSettings, SESSION_EXPIRY_S};
use super::terms;

/// Why a connection was ended from this side: the broker does not keep to the
/// protocol, or cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub(super) struct Unfit(pub String);

impl Unfit {
    /// As an error of the library, so that it goes the way of all others.
    fn into_error(self) -> ConnectionError {
        ConnectionError::Io(io::Error::new(io::ErrorKind::InvalidData, self))
    }

    /// The one in `e`, if there is one.
    pub fn of(e: &ConnectionError) -> Option<&Unfit> {
        match e {
            ConnectionError::Io(e) => e.get_ref()?.downcast_ref(),
            _ => None,
        }
    }
}

const NOT_FOR_A_BROKER: &str = "sends what a broker may not send here";

/// What was sent and is not answered. Pure.
#[derive(Debug, Default)]
struct Owed {
    connected: bool,
    pings: u32,
    subscriptions: u32,
    unsubscriptions: u32,
}

impl Owed {
    /// Takes note of `event`; says what is wrong with it.
    fn look(&mut self, event: &Event) -> Result<(), &'static str> {
        match event {
            Event::Outgoing(Outgoing::PingReq) => self.pings += 1,
            Event::Outgoing(Outgoing::Subscribe(_)) => self.subscriptions += 1,
            Event::Outgoing(Outgoing::Unsubscribe(_)) => self.unsubscriptions += 1,
            Event::Outgoing(_) => {}
            Event::Incoming(packet) => return self.came(packet),
        }
        Ok(())
    }

    fn came(&mut self, packet: &Incoming) -> Result<(), &'static str> {
        let answers = |owed: &mut u32| {
            let was_owed = *owed > 0;
            *owed = owed.saturating_sub(1);
            if was_owed { Ok(()) } else { Err("answers what it was not asked") }
        };
        match packet {
            Incoming::ConnAck(_) if std::mem::replace(&mut self.connected, true) => Err("answers the login twice"),
            // The library looks itself whether an acknowledgement is for something.
            Incoming::ConnAck(_) | Incoming::PubAck(_) | Incoming::Disconnect(_) => Ok(()),
            Incoming::PingResp(_) => answers(&mut self.pings),
            Incoming::SubAck(_) => answers(&mut self.subscriptions),
            Incoming::UnsubAck(_) => answers(&mut self.unsubscriptions),
            Incoming::Publish(publish) => {
                if publish.properties.as_ref().is_some_and(|p| p.topic_alias.is_some()) {
                    return Err("uses topic aliases, which it was not allowed");
                }
                if publish.topic.is_empty() {
                    return Err("sends a message without a topic");
                }
                // Nothing here subscribes to more than that.
                if publish.qos == QoS::ExactlyOnce {
                    return Err("sends with QoS 2, which was not asked for");
                }
                Ok(())
            }
            // Of QoS 2, which nothing here sends; and what only clients send.
            _ => Err(NOT_FOR_A_BROKER),
        }
    }
}

/// A connection that is made anew whenever it is polled after its end.
pub(super) struct Wire {
    events: EventLoop,
    owed: Owed,
    keep_alive: Duration,
    /// Of the library's own state.
    inflight: u16,
    manual_acks: bool,
    keeps_session: bool,
    /// Answers to subscriptions that came right before the connection ended.
    late: usize,
    /// What is wrong with a broker that says this.
    judge: fn(&ConnAck) -> Option<String>,
}

impl Wire {
    /// What `client` is given is sent by polling the wire.
    pub fn new(settings: &LinkSettings, options: rumqttc::v5::MqttOptions, places: usize) -> (AsyncClient, Wire) {
        let (manual_acks, keeps_session) = (options.manual_acks(), !options.clean_start());
        let (client, events) = AsyncClient::new(options, places);
        let (keep_alive, inflight) = (settings.keep_alive, settings.inflight_limit());
        let (owed, judge) = (Owed::default(), terms::broken);
        (client, Wire { events, owed, keep_alive, inflight, manual_acks, keeps_session, late: 0, judge })
    }

    /// For a unit, which needs more of a broker than others.
    #[must_use]
    pub fn of_unit((client, wire): (AsyncClient, Wire)) -> (AsyncClient, Wire) {
        (client, Wire { judge: terms::unusable, ..wire })
    }

    /// The library's `poll`; not to be cancelled where that may not be.
    ///
    /// # Errors
    /// Those of the library, and [`Unfit`] in the clothes of one.
    pub async fn poll(&mut self) -> Result<Event, ConnectionError> {
        let polled = self.events.poll().await;
        let event = match &polled {
            Ok(event) => event,
            Err(e) => {
                self.owed = Owed::default();
                self.keep_what_counts();
                if !matches!(e, ConnectionError::MqttState(StateError::WrongPacket)) {
                    return polled;
                }
                self.hang_up();
                return Err(Unfit(NOT_FOR_A_BROKER.to_owned()).into_error());
            }
        };
        let verdict = self.owed.look(event).map_err(|why| Unfit(why.to_owned()));
        let verdict = verdict.and_then(|()| match event {
            Event::Incoming(Incoming::ConnAck(ack)) => {
                self.keep_own_terms(ack.properties.as_ref().and_then(|p| p.server_keep_alive));
                (self.judge)(ack).map_or(Ok(()), |why| Err(Unfit(why)))
            }
            _ => Ok(()),
        });
        match verdict {
            Ok(()) => polled,
            Err(unfit) => {
                self.hang_up();
                Err(unfit.into_error())
            }
        }
    }

    /// What was read before the connection ended is told in the next one. Of that only messages
    /// and acknowledgements are still wanted; the packet that ended it is none of them.
    fn keep_what_counts(&mut self) {
        let late = &mut self.late;
        self.events.state.events.retain(|event| {
            let Event::Incoming(packet) = event else { return true };
            *late += usize::from(matches!(packet, Incoming::SubAck(_) | Incoming::UnsubAck(_)));
            matches!(packet, Incoming::PubAck(_) | Incoming::Publish(_))
        });
    }

    /// How many subscriptions were answered right before the connection ended.
    pub fn take_late(&mut self) -> usize {
        std::mem::take(&mut self.late)
    }

    /// The library writes into its options what a CONNACK says, and sends that the next
    /// time.
    fn keep_own_terms(&mut self, server_keep_alive: Option<u16>) {
        self.events.options.set_keep_alive(terms::keep_alive(self.keep_alive, server_keep_alive));
        if self.keeps_session {
            self.events.options.set_session_expiry_interval(Some(SESSION_EXPIRY_S));
        }
    }

    /// What the broker made the library remember goes with the connection.
    fn hang_up(&mut self) {
        self.owed = Owed::default();
        self.events.clean();
        self.events.state = MqttState::new(self.inflight, self.manual_acks);
    }
}

impl Deref for Wire {
    type Target = EventLoop;

    fn deref(&self) -> &EventLoop {
        &self.events
    }
}

impl DerefMut for Wire {
    fn deref_mut(&mut self) -> &mut EventLoop {
        &mut self.events
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rumqttc::v5::mqttbytes::v5::{
        ConnectReturnCode, PingResp, PubRec, Publish, PublishProperties, SubAck, SubscribeReasonCode,
    };

    fn connack() -> Event {
        let code = ConnectReturnCode::Success;
        Event::Incoming(Incoming::ConnAck(ConnAck { session_present: false, code, properties: None }))
    }

    fn publish(topic: &str, qos: QoS, alias: Option<u16>) -> Event {
        let properties = alias.map(|_| PublishProperties { topic_alias: alias, ..Default::default() });
        Event::Incoming(Incoming::Publish(Publish::new(topic, qos, "x", properties)))
    }

    #[test]
    fn what_answers_nothing_is_no_answer() {
        let pong = || Event::Incoming(Incoming::PingResp(PingResp));
        let suback = || {
            let return_codes = vec![SubscribeReasonCode::Success(QoS::AtLeastOnce)];
            Event::Incoming(Incoming::SubAck(SubAck { pkid: 1, return_codes, properties: None }))
        };
        for (ask, answer) in [(Outgoing::PingReq, pong()), (Outgoing::Subscribe(1), suback())] {
            let mut owed = Owed::default();
            assert_eq!(owed.look(&connack()), Ok(()));
            assert!(owed.look(&answer).is_err(), "{answer:?}");
            assert_eq!(owed.look(&Event::Outgoing(ask)), Ok(()));
            assert_eq!(owed.look(&answer), Ok(()));
            assert!(owed.look(&answer).is_err(), "{answer:?} again");
        }
        let mut owed = Owed::default();
        assert_eq!((owed.look(&connack()), owed.look(&connack()).is_err()), (Ok(()), true));
    }

    #[test]
    fn messages_come_as_they_were_asked_for() {
        let look = |event: &Event| Owed::default().look(event);
        assert_eq!(look(&publish("a", QoS::AtLeastOnce, None)), Ok(()));
        assert_eq!(look(&publish("a", QoS::AtMostOnce, None)), Ok(()));
        for (event, why) in [
            (publish("a", QoS::AtMostOnce, Some(1)), "topic aliases"),
            (publish("", QoS::AtMostOnce, None), "without a topic"),
            (publish("a", QoS::ExactlyOnce, None), "QoS 2"),
            (Event::Incoming(Incoming::PubRec(PubRec::new(1, None))), "may not send"),
        ] {
            assert!(look(&event).is_err_and(|said| said.contains(why)), "{event:?}");
        }
    }
}
