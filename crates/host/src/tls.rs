//! TLS to PostgreSQL servers. As in Spin, a server's certificate is verified wherever TLS is used, `sslmode=prefer`
//! included.

use std::sync::Arc;

use rustls::crypto::ring;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use rustls::{ClientConfig, RootCertStore};
use tokio_postgres_rustls::MakeRustlsConnect;

use crate::bindings::spin::postgres::postgres::Error;

/// A connector that trusts the authorities of the web, and those whose certificates `authority` holds as PEM text.
pub(super) fn connector(authority: Option<&str>) -> Result<MakeRustlsConnect, Error> {
    let mut roots = RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() };
    if let Some(text) = authority {
        let invalid = |why: &dyn std::fmt::Display| Error::Other(format!("invalid root certificate: {why}"));
        let mut certificates = 0;
        for certificate in CertificateDer::pem_slice_iter(text.as_bytes()) {
            roots.add(certificate.map_err(|error| invalid(&error))?).map_err(|error| invalid(&error))?;
            certificates += 1;
        }
        if certificates == 0 {
            return Err(invalid(&"there is none in the text"));
        }
    }
    let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|error| Error::Other(error.to_string()))?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(MakeRustlsConnect::new(config))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_without_a_certificate_is_refused() {
        assert!(connector(None).is_ok());
        for text in ["", "no certificate", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"] {
            assert!(matches!(connector(Some(text)), Err(Error::Other(_))), "{text}");
        }
    }
}
