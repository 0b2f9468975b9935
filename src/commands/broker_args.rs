//! The options of commands that speak to a broker without a configuration file.

use std::path::PathBuf;

use clap::Args;

use super::CommandError;
use crate::config::{UnitConfig, UplinkConfig};
use crate::uplink::LinkSettings;

/// Which broker, and as whom.
#[derive(Debug, Clone, Args)]
pub struct BrokerArgs {
    /// The broker: mqtts://host (encrypted) or mqtt://host, with :port for
    /// another port
    #[arg(long, value_name = "URL")]
    pub broker: String,
    /// First part of the units' topics
    #[arg(long, value_name = "TOPIC", default_value = "tawny")]
    pub prefix: String,
    /// Login name
    #[arg(long, value_name = "NAME")]
    pub username: Option<String>,
    /// File that holds the password, alone on its first line
    #[arg(long, value_name = "FILE")]
    pub password_file: Option<PathBuf>,
    /// PEM file with the certificate authorities to trust instead of the system's
    #[arg(long, value_name = "FILE")]
    pub ca_file: Option<PathBuf>,
}

impl BrokerArgs {
    /// For a client that calls itself `name`.
    ///
    /// # Errors
    /// Code 1 when a file that is named cannot be read or the address is none.
    pub fn settings(&self, name: &str) -> Result<LinkSettings, CommandError> {
        let unit = UnitConfig { id: name.to_owned(), prefix: self.prefix.clone(), ..UnitConfig::default() };
        let uplink = UplinkConfig {
            broker: Some(self.broker.clone()),
            username: self.username.clone(),
            password_file: self.password_file.clone(),
            ca_file: self.ca_file.clone(),
            ..UplinkConfig::default()
        };
        let settings = LinkSettings::load(&unit, &uplink);
        // Whoever calls has made the name so that it belongs to nobody else.
        let id = format!("{}-{name}", self.prefix.replace('/', "-"));
        settings
            .map(|settings| settings.with_client_id(id))
            .map_err(|e| CommandError::Failed(e.to_string().replace("uplink.", "--")))
    }
}
