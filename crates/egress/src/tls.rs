//! TLS for outgoing connections: ring for the cryptography, the system's certificate authorities for trust.

use std::sync::Arc;

use rustls::{ClientConfig, RootCertStore};

/// Builds the TLS configuration that all clients share.
///
/// Trust is what the system says (also through `SSL_CERT_FILE` and `SSL_CERT_DIR`), so that a company's own authority
/// works. A system that has no store at all, such as a bare container, gets Mozilla's list, which is built in.
pub(crate) fn config() -> Result<ClientConfig, rustls::Error> {
    let mut config = tls_config()?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(config)
}

/// Builds the TLS configuration of a connection that is not HTTP, such as the one to the database.
pub fn tls_config() -> Result<ClientConfig, rustls::Error> {
    let config = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots())
        .with_no_client_auth();
    Ok(config)
}

fn roots() -> RootCertStore {
    let mut roots = RootCertStore::empty();
    let system = rustls_native_certs::load_native_certs();
    for error in &system.errors {
        tracing::warn!(%error, "a certificate of the system's trust store could not be read");
    }
    roots.add_parsable_certificates(system.certs);
    if roots.is_empty() {
        tracing::info!("the system has no trust store; outgoing TLS trusts the built-in list of authorities");
        roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
    }
    roots
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn some_authorities_are_always_trusted_and_both_http_versions_are_offered() {
        assert!(!roots().is_empty());
        assert_eq!(config().unwrap().alpn_protocols, [b"h2".to_vec(), b"http/1.1".to_vec()]);
    }
}
