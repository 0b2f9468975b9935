//! TLS: whom to trust, who we are, and what time it is.
//!
//! Certificates are judged by what the unit's clocks say now, and never by less than what
//! is proven: the day the program was made, the day the broker's last certificate was
//! made, and the time that the unit has run since. No time server can move that, in
//! either direction. While nothing vouches for the time, a certificate that is not valid
//! yet may be so by the last time known to the journal: a unit that wakes in 1970 still
//! connects.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::time_provider::TimeProvider;
use rustls::{CertificateError, ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};

use super::certificate::valid_from;
use super::settings::UplinkError;
use crate::clock::SystemClock;
use crate::config::UplinkConfig;
use crate::domain::UtcMillis;

/// The unit's clock, for rustls.
#[derive(Debug)]
struct CertificateTime(SystemClock);

impl TimeProvider for CertificateTime {
    fn current_time(&self) -> Option<UnixTime> {
        unix(self.0.utc_for_certificates())
    }
}

fn unix(t: UtcMillis) -> Option<UnixTime> {
    u64::try_from(t.0).ok().map(|ms| UnixTime::since_unix_epoch(Duration::from_millis(ms)))
}

/// The usual verification, and what it proves about the time.
#[derive(Debug)]
struct Verifier {
    usual: Arc<WebPkiServerVerifier>,
    clock: SystemClock,
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let verify = |at| self.usual.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, at);
        let from = valid_from(end_entity);
        let verified = match (verify(now), from) {
            (Err(e), Some(from)) if is_too_early(&e) && self.clock.may_be_over(from) => {
                unix(from).map_or(Err(e), verify)
            }
            (judged, _) => judged,
        };
        if let (Ok(_), Some(from)) = (&verified, from) {
            // Whether the broker has the key to it does not matter for that.
            self.clock.certificate_from(from);
        }
        verified
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.usual.verify_tls12_signature(message, cert, dss)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.usual.verify_tls13_signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.usual.supported_verify_schemes()
    }
}

fn is_too_early(e: &rustls::Error) -> bool {
    use CertificateError::{NotValidYet, NotValidYetContext};
    matches!(e, rustls::Error::InvalidCertificate(NotValidYet | NotValidYetContext { .. }))
}

/// The client's side of TLS, always verifying the broker.
pub(super) fn client_config(config: &UplinkConfig, clock: SystemClock) -> Result<Arc<ClientConfig>, UplinkError> {
    let roots = match &config.ca_file {
        Some(file) => roots_from(file)?,
        None => system_roots()?,
    };
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let usual = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider))
        .build()
        .map_err(|e| UplinkError::Tls(e.to_string()))?;
    let verifier = Arc::new(Verifier { usual, clock: clock.clone() });
    let builder = ClientConfig::builder_with_details(provider, Arc::new(CertificateTime(clock)))
        .with_safe_default_protocol_versions()
        .map_err(|e| UplinkError::Tls(e.to_string()))?
        .dangerous()
        .with_custom_certificate_verifier(verifier);
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
