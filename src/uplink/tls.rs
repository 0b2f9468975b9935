//! TLS: whom to trust, who we are, and what time it is.
//!
//! Certificates are judged by the unit's own estimate of the time, or, while it
//! has none, by the latest of the kernel's clock, the last time known to the
//! journal and the day the program was made: a unit that wakes in 1970 still
//! connects.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, UnixTime};
use rustls::time_provider::TimeProvider;
use rustls::{ClientConfig, RootCertStore};

use super::settings::UplinkError;
use crate::clock::SystemClock;
use crate::config::UplinkConfig;

/// The unit's clock, for rustls.
#[derive(Debug)]
struct CertificateTime(SystemClock);

impl TimeProvider for CertificateTime {
    fn current_time(&self) -> Option<UnixTime> {
        let ms = u64::try_from(self.0.utc_for_certificates().0).ok()?;
        Some(UnixTime::since_unix_epoch(Duration::from_millis(ms)))
    }
}

/// The client's side of TLS, always verifying the broker.
pub(super) fn client_config(config: &UplinkConfig, clock: SystemClock) -> Result<Arc<ClientConfig>, UplinkError> {
    let roots = match &config.ca_file {
        Some(file) => roots_from(file)?,
        None => system_roots()?,
    };
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_details(provider, Arc::new(CertificateTime(clock)))
        .with_safe_default_protocol_versions()
        .map_err(|e| UplinkError::Tls(e.to_string()))?
        .with_root_certificates(roots);
    let tls = match (&config.client_cert_file, &config.client_key_file) {
        (None, None) => builder.with_no_client_auth(),
        (Some(cert), Some(key)) => {
            let chain = certificates(cert, "uplink.client_cert_file")?;
            let key_der = PrivateKeyDer::from_pem_file(key)
                .map_err(|e| unusable("uplink.client_key_file", key, &pem_words(&e, "private key")))?;
            builder
                .with_client_auth_cert(chain, key_der)
                .map_err(|e| unusable("uplink.client_key_file", key, &e.to_string()))?
        }
        _ => return Err(UplinkError::HalfClientCertificate),
    };
    Ok(Arc::new(tls))
}

fn unusable(key: &'static str, path: &Path, why: &str) -> UplinkError {
    UplinkError::File { key, path: path.to_owned(), why: why.to_owned() }
}

fn pem_words(e: &rustls::pki_types::pem::Error, what: &str) -> String {
    use rustls::pki_types::pem::Error;
    match e {
        Error::Io(e) => e.to_string(),
        Error::NoItemsFound => format!("holds no {what} in PEM form"),
        // The library's words quote the file, which may hold a key.
        _ => format!("is damaged: its {what} is no PEM"),
    }
}

fn certificates(path: &Path, key: &'static str) -> Result<Vec<CertificateDer<'static>>, UplinkError> {
    let wrong = |e| unusable(key, path, &pem_words(&e, "certificate"));
    let all: Vec<_> = CertificateDer::pem_file_iter(path).map_err(wrong)?.collect::<Result<_, _>>().map_err(wrong)?;
    if all.is_empty() {
        return Err(unusable(key, path, "holds no certificate in PEM form"));
    }
    Ok(all)
}

fn roots_from(path: &Path) -> Result<RootCertStore, UplinkError> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates(path, "uplink.ca_file")? {
        roots.add(certificate).map_err(|e| unusable("uplink.ca_file", path, &e.to_string()))?;
    }
    Ok(roots)
}

fn system_roots() -> Result<RootCertStore, UplinkError> {
    let found = rustls_native_certs::load_native_certs();
    let mut roots = RootCertStore::empty();
    let (added, _) = roots.add_parsable_certificates(found.certs);
    if added == 0 {
        let why = found.errors.first().map_or_else(|| "none found".to_owned(), ToString::to_string);
        return Err(UplinkError::Tls(format!(
            "no trusted authorities on this system ({why}); install ca-certificates or set uplink.ca_file"
        )));
    }
    Ok(roots)
}
