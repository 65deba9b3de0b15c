//! The certificates of what stands in for AWS: of RSA, with one between the root's and the server's, as AWS's are.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context as _, Result};
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, KeyUsagePurpose,
    PKCS_RSA_SHA256, RsaKeySize,
};
use rustls::ServerConfig;
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};

/// Where distributions keep the certificates of the roots that they trust; the first is that of Amazon Linux.
const ROOTS: [&str; 3] = [
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/ssl/cert.pem",
];

/// A root of its own, and what it vouches for: `127.0.0.1`.
pub(crate) struct Authority {
    pub(crate) server: Arc<ServerConfig>,
    /// For `SSL_CERT_FILE`: the root among all that this computer trusts, as Lambda's are as many.
    pub(crate) roots: PathBuf,
}

impl Authority {
    pub(crate) fn new(directory: &Path) -> Result<Self> {
        let root = CertifiedIssuer::self_signed(issuer("exuvia-bench root"), key()?)?;
        let middle = CertifiedIssuer::signed_by(issuer("exuvia-bench"), key()?, &root)?;
        let key = key()?;
        let leaf = CertificateParams::new(["127.0.0.1".to_owned()])?.signed_by(&key, &middle)?;

        let roots = directory.join("roots.pem");
        let known = ROOTS
            .iter()
            .find_map(|file| std::fs::read_to_string(file).ok());
        let known = known.with_context(|| {
            format!(
                "the certificates of roots are in none of {}",
                ROOTS.join(", ")
            )
        })?;
        std::fs::write(&roots, format!("{known}\n{}", root.pem()))?;

        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
        let mut server = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_single_cert(vec![leaf.der().clone(), middle.der().clone()], key)?;
        server.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Self {
            server: Arc::new(server),
            roots,
        })
    }
}

fn key() -> Result<KeyPair> {
    Ok(KeyPair::generate_rsa_for(
        &PKCS_RSA_SHA256,
        RsaKeySize::_2048,
    )?)
}

fn issuer(name: &str) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    params
}
