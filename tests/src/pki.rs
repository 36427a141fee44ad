//! The cluster's certificates: one authority, and what it signs for components, nodes and people.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Result;
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair,
    KeyUsagePurpose,
};
use time::{Duration, OffsetDateTime};

/// A certificate authority with the folder that its certificates are written to.
#[derive(Debug)]
pub struct Authority {
    folder: PathBuf,
    issuer: CertifiedIssuer<'static, KeyPair>,
}

impl Authority {
    /// Makes an authority: `ca.crt` and `ca.key` in `folder`.
    ///
    /// # Errors
    /// If a file cannot be written.
    pub fn new(folder: &Path) -> Result<Self> {
        fs::create_dir_all(folder)?;
        let mut params = params("guard-e2e", None, &[])?;
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::DigitalSignature];
        let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate()?)?;
        fs::write(folder.join("ca.crt"), issuer.pem())?;
        fs::write(folder.join("ca.key"), issuer.key().serialize_pem())?;
        Ok(Self { folder: folder.to_path_buf(), issuer })
    }

    /// Signs `NAME.crt` with `NAME.key` for a user of a group, or for a server with the names it is called by.
    ///
    /// # Errors
    /// If a file cannot be written.
    pub fn sign(&self, file: &str, user: &str, group: Option<&str>, server: &[&str]) -> Result<()> {
        let key = KeyPair::generate()?;
        let mut params = params(user, group, server)?;
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth, ExtendedKeyUsagePurpose::ServerAuth];
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        fs::write(self.folder.join(format!("{file}.crt")), params.signed_by(&key, &self.issuer)?.pem())?;
        fs::write(self.folder.join(format!("{file}.key")), key.serialize_pem())?;
        Ok(())
    }

    /// A key pair without a certificate, for service account tokens: `NAME.key` and `NAME.pub`.
    ///
    /// # Errors
    /// If a file cannot be written.
    pub fn key(&self, file: &str) -> Result<()> {
        let key = KeyPair::generate()?;
        fs::write(self.folder.join(format!("{file}.key")), key.serialize_pem())?;
        fs::write(self.folder.join(format!("{file}.pub")), key.public_key_pem())?;
        Ok(())
    }
}

fn params(user: &str, group: Option<&str>, server: &[&str]) -> Result<CertificateParams> {
    let names: Vec<String> = server.iter().map(ToString::to_string).collect();
    let mut params = CertificateParams::new(names)?;
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, user);
    if let Some(group) = group {
        params.distinguished_name.push(DnType::OrganizationName, group);
    }
    let now = OffsetDateTime::now_utc();
    params.not_before = now - Duration::hours(1);
    params.not_after = now + Duration::days(2);
    Ok(params)
}
