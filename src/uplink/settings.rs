//! From the configuration to what the client library wants.

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use rumqttc::v5::MqttOptions;
use rumqttc::v5::mqttbytes::v5::ConnectProperties;
use rumqttc::{TlsConfiguration, Transport};
use rustls::ClientConfig;

use super::alerts;
use super::announce::Wanted;
use super::client_id;
use super::connect::ConnectPolicy;
use super::messages::Topics;
use super::tls;
use crate::clock::SystemClock;
use crate::config::{
    BrokerUrl, CameraConfig, Config, Connect, EventFormat, LinkCommand, OperatorKey, UnitConfig, UplinkConfig,
};
use crate::control::Orders;

/// How long a broker keeps the session of a unit that is away. Longer gains
/// nothing: the journal sends again what was not acknowledged.
pub(super) const SESSION_EXPIRY_S: u32 = 6 * 3600;

/// For name resolution, TCP, TLS and CONNACK together. With two seconds of latency
/// each way TCP, TLS 1.2 and MQTT take sixteen, and a certificate chain over
/// 2 kB/s some more.
pub(crate) const CONNECT_TIMEOUT_S: u64 = 40;

/// MQTT 5.0, section 2.1.4: the largest packet there can be.
const LARGEST_PACKET: u32 = 268_435_460;

/// What is wrong with the uplink's settings, or with the broker.
#[derive(Debug, thiserror::Error)]
pub enum UplinkError {
    /// The address cannot be read.
    #[error("uplink.broker {0}")]
    Address(&'static str),
    /// No broker is set.
    #[error("uplink.broker is not set")]
    NoBroker,
    /// A file that the settings name.
    #[error("{key} {}: {why}", path.display())]
    File {
        /// The key of the configuration.
        key: &'static str,
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// Only one of certificate and key.
    #[error("uplink.client_cert_file and uplink.client_key_file belong together: set both or none")]
    HalfClientCertificate,
    /// A password without a user name.
    #[error("uplink.password_file is set, but uplink.username is not")]
    PasswordAlone,
    /// TLS cannot be set up.
    #[error("TLS: {0}")]
    Tls(String),
    /// The broker does not do what it should.
    #[error("{broker}: {why}")]
    Broker {
        /// Its address.
        broker: String,
        /// In plain words.
        why: String,
    },
    /// The thread or its runtime cannot be made.
    #[error("the uplink's thread cannot be started: {0}")]
    Thread(std::io::Error),
}

/// Everything about the link, read and checked; holds secrets, so no `Debug`.
#[derive(Clone)]
pub struct LinkSettings {
    pub(super) address: BrokerUrl,
    /// Without its random part.
    pub(super) client_base: String,
    pub(super) client_id: String,
    /// A version whose names could be guessed may have left something at the broker.
    pub(super) had_former_id: bool,
    pub(super) topics: Topics,
    pub(super) window: u16,
    pub(super) max_packet: u32,
    pub(super) backlog_rate: u32,
    pub(super) format: EventFormat,
    pub(super) connect: ConnectPolicy,
    /// Camera and tripwire of crossings that bring the link up.
    pub(super) alert_wires: HashSet<(String, String)>,
    pub(super) link_up: Option<LinkCommand>,
    pub(super) link_down: Option<LinkCommand>,
    pub(super) link_timeout: Duration,
    pub(super) daily_bytes: Option<u64>,
    /// Whose signatures count.
    pub(super) operators: Vec<OperatorKey>,
    /// Whether commands may be signed that do not say until when they hold.
    pub(super) accept_v1: bool,
    /// Where signed commands go; without it there are none.
    pub(super) orders: Option<Orders>,
    /// What Home Assistant is told.
    pub(super) home_assistant: Wanted,
    login: Option<(String, String)>,
    pub(super) tls: Option<Arc<ClientConfig>>,
    pub(super) clock: SystemClock,
    pub(super) keep_alive: Duration,
}

impl LinkSettings {
    /// Reads everything that `uplink` names.
    ///
    /// # Errors
    /// When no broker is set, its address is no address, or a file cannot be
    /// read or holds something else.
    pub fn load(unit: &UnitConfig, uplink: &UplinkConfig) -> Result<LinkSettings, UplinkError> {
        LinkSettings::load_with(unit, uplink, &SystemClock::new())
    }

    /// The same for a unit whose clock may know better than the kernel's:
    /// certificates are judged by it.
    ///
    /// # Errors
    /// As [`LinkSettings::load`].
    pub fn load_with(
        unit: &UnitConfig,
        uplink: &UplinkConfig,
        clock: &SystemClock,
    ) -> Result<LinkSettings, UplinkError> {
        let address: BrokerUrl =
            uplink.broker.as_deref().ok_or(UplinkError::NoBroker)?.parse().map_err(UplinkError::Address)?;
        let login = match (&uplink.username, &uplink.password_file) {
            (None, None) => None,
            (None, Some(_)) => return Err(UplinkError::PasswordAlone),
            (Some(user), file) => {
                Some((user.clone(), file.as_deref().map(read_password).transpose()?.unwrap_or_default()))
            }
        };
        let client_base = format!("{}-{}", unit.prefix.replace('/', "-"), unit.id);
        Ok(LinkSettings {
            client_id: client_id::passing(&client_base),
            client_base,
            had_former_id: false,
            topics: Topics::new(&unit.prefix, &unit.id),
            window: uplink.window.clamp(1, 1000),
            max_packet: u32::try_from(uplink.max_packet.0).unwrap_or(u32::MAX).min(LARGEST_PACKET),
            backlog_rate: uplink.backlog_rate,
            format: uplink.format,
            connect: policy(uplink),
            alert_wires: HashSet::new(),
            link_up: uplink.link_up.clone(),
            link_down: uplink.link_down.clone(),
            link_timeout: uplink.link_timeout.0,
            daily_bytes: uplink.daily_bytes.map(|size| size.0),
            operators: uplink.operator_keys.clone(),
            accept_v1: uplink.accept_v1_commands,
            orders: None,
            home_assistant: Wanted::default(),
            login,
            tls: if address.tls { Some(tls::client_config(uplink, clock.clone())?) } else { None },
            // What the library and most brokers accept.
            keep_alive: uplink.keep_alive.0.clamp(Duration::from_secs(5), Duration::from_secs(65_535)),
            clock: clock.clone(),
            address,
        })
    }

    /// The broker's address, without any secret.
    pub fn broker(&self) -> &BrokerUrl {
        &self.address
    }

    /// This client id in place of one that is made for the occasion: for whoever wants to
    /// find a session again and is no unit with a journal.
    #[must_use]
    pub fn with_client_id(mut self, id: String) -> LinkSettings {
        self.client_id = id;
        self
    }

    /// Whether the unit's journal is older than this run of the program: then commands may
    /// wait at the broker under the name that it had before names were random.
    #[must_use]
    pub fn with_journal_of_before(mut self, it_is: bool) -> LinkSettings {
        self.had_former_id = it_is;
        self
    }

    /// The user name, if the broker is told one.
    pub fn username(&self) -> Option<&str> {
        self.login.as_ref().map(|(user, _)| user.as_str())
    }

    /// The tripwires of `cameras` that are marked as alerts.
    #[must_use]
    pub fn with_alerts_of(mut self, cameras: &[CameraConfig]) -> LinkSettings {
        self.alert_wires = alerts::marked(cameras);
        self
    }

    /// Signed commands go there when they are found good.
    #[must_use]
    pub fn with_orders(mut self, orders: Orders) -> LinkSettings {
        self.orders = Some(orders);
        self
    }

    /// Home Assistant is told of the unit of `config`, if that is wanted there.
    #[must_use]
    pub fn with_home_assistant(mut self, config: &Config) -> LinkSettings {
        self.home_assistant = Wanted::of(config);
        self
    }

    /// Whatever the configuration says about when to be connected.
    #[must_use]
    pub fn always_connected(mut self) -> LinkSettings {
        self.connect = ConnectPolicy::Always;
        self
    }

    /// The library's upper limit of messages in flight: several times the real
    /// window, because its packet ids go round at this number.
    pub(super) fn inflight_limit(&self) -> u16 {
        self.window * 4 + 64
    }

    /// The library's options, last will apart.
    pub(super) fn options(&self, clean_start: bool) -> MqttOptions {
        let mut options = MqttOptions::new(&self.client_id, &self.address.host, self.address.port);
        let mut properties = ConnectProperties::new();
        if !clean_start {
            properties.session_expiry_interval = Some(SESSION_EXPIRY_S);
        }
        properties.max_packet_size = Some(self.max_packet);
        // A broker that uses some all the same is left (`wire.rs`).
        properties.topic_alias_max = Some(0);
        options
            .set_connect_properties(properties)
            .set_clean_start(clean_start)
            .set_keep_alive(self.keep_alive)
            .set_connection_timeout(CONNECT_TIMEOUT_S)
            .set_outgoing_inflight_upper_limit(self.inflight_limit());
        if let Some((user, password)) = &self.login {
            options.set_credentials(user, password);
        }
        if let Some(tls) = &self.tls {
            options.set_transport(Transport::tls_with_config(TlsConfiguration::Rustls(Arc::clone(tls))));
        }
        options
    }
}

fn policy(uplink: &UplinkConfig) -> ConnectPolicy {
    let stay = uplink.stay.0;
    match uplink.connect {
        Connect::Always => ConnectPolicy::Always,
        Connect::OnEvent => ConnectPolicy::OnEvent { stay },
        Connect::Schedule => ConnectPolicy::Schedule {
            windows: uplink.connect_windows.clone().unwrap_or_default(),
            every: uplink.connect_every.map(|every| every.0),
            stay,
        },
    }
}

/// The first line of `path`.
fn read_password(path: &Path) -> Result<String, UplinkError> {
    let wrong = |why: String| UplinkError::File { key: "uplink.password_file", path: path.to_owned(), why };
    let text = std::fs::read_to_string(path).map_err(|e| wrong(e.to_string()))?;
    match text.lines().next() {
        Some(line) if !line.is_empty() => Ok(line.to_owned()),
        _ => Err(wrong("holds no password on its first line".into())),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn uplink() -> UplinkConfig {
        UplinkConfig { broker: Some("mqtt://localhost".into()), ..UplinkConfig::default() }
    }

    fn message(config: &UplinkConfig) -> String {
        match LinkSettings::load(&UnitConfig::default(), config) {
            Ok(_) => panic!("accepted"),
            Err(e) => e.to_string(),
        }
    }

    #[test]
    fn a_login_that_cannot_work_is_told_before_anything_starts() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("password");
        let mut config = UplinkConfig { password_file: Some(file.clone()), ..uplink() };
        assert!(message(&config).contains("uplink.username"));
        config.username = Some("joe".into());
        assert!(message(&config).contains("password: No such file"));
        std::fs::write(&file, "\n").unwrap();
        assert!(message(&config).contains("no password on its first line"));
        std::fs::write(&file, "secret\r\nnotes\n").unwrap();
        let settings = LinkSettings::load(&UnitConfig::default(), &config).unwrap();
        assert_eq!(settings.login, Some(("joe".into(), "secret".into())));
    }

    #[test]
    fn tls_files_that_cannot_work_are_named() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("ca.pem");
        let mut config =
            UplinkConfig { broker: Some("mqtts://localhost".into()), ca_file: Some(file.clone()), ..uplink() };
        assert!(message(&config).contains("uplink.ca_file") && message(&config).contains("No such file"));
        std::fs::write(&file, "not a certificate").unwrap();
        assert!(message(&config).contains("holds no certificate"), "{}", message(&config));
        config.client_key_file = Some(file);
        config.ca_file = None;
        let told = message(&config);
        assert!(told.contains("belong together") || told.contains("no trusted authorities"), "{told}");
    }
}
