//! TLS to other servers. As in Spin, a server's certificate is verified wherever TLS is used, a PostgreSQL server's by
//! `sslmode=prefer` included.

use std::sync::Arc;

use anyhow::{Context as _, Result, bail};
use rustls::crypto::ring;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use rustls::{ClientConfig, RootCertStore};

/// Configuration that trusts the authorities of the web, and those whose certificates `authority` holds as PEM text.
pub(crate) fn client(authority: Option<&str>) -> Result<ClientConfig> {
    let mut roots = RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() };
    if let Some(text) = authority {
        const INVALID: &str = "invalid root certificate";
        let mut certificates = 0;
        for certificate in CertificateDer::pem_slice_iter(text.as_bytes()) {
            roots.add(certificate.context(INVALID)?).context(INVALID)?;
            certificates += 1;
        }
        if certificates == 0 {
            bail!("{INVALID}: there is none in the text");
        }
    }
    let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(config)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_without_a_certificate_is_refused() {
        assert!(client(None).is_ok());
        for text in ["", "no certificate", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"] {
            assert!(client(Some(text)).is_err(), "{text}");
        }
    }
}
