//! The TLS listener's files, read before anything else sees them: Pingora panics on a bad one.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;

/// A listener with TLS. The files exist, parse, and belong together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tls {
    /// Where clients connect.
    pub listen: SocketAddr,
    /// PEM file of the certificate chain.
    pub certificate: PathBuf,
    /// PEM file of the private key.
    pub key: PathBuf,
}

/// The certificates of a PEM file, or what is wrong with it.
pub(super) fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, String> {
    let name = path.display();
    let found = CertificateDer::pem_file_iter(path)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .map_err(|error| format!("{name} cannot be read as PEM: {error}"))?;
    if found.is_empty() {
        return Err(format!(
            "{name} has no `-----BEGIN CERTIFICATE-----`: name a PEM file"
        ));
    }
    Ok(found)
}

/// The private key of a PEM file, or what is wrong with it.
pub(super) fn private_key(path: &Path) -> Result<PrivateKeyDer<'static>, String> {
    PrivateKeyDer::from_pem_file(path).map_err(|error| {
        let name = path.display();
        format!("{name} cannot be read as the PEM file of a private key: {error}")
    })
}

/// Whether a key and a chain belong together, or what is wrong.
pub(super) fn belong_together(
    certificates: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
) -> Result<(), String> {
    let provider = rustls::crypto::ring::default_provider();
    CertifiedKey::from_der(certificates, key, &provider)
        .map(|_| ())
        .map_err(|error| format!("is not the key of the certificate: {error}"))
}
