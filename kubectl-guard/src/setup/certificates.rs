//! The exporters' serving certificate and the authority that signed it, made by `install`: a scraper can then tell to
//! whom it hands its token. Making and judging are pure but for the keys' random numbers; one read asks what is there.
//!
//! The authority's key signs once and is forgotten: nobody can sign with it later.

use std::collections::BTreeMap;

use jiff::{Timestamp, ToSpan as _, tz::TimeZone};
use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::{ConfigMap, Secret};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::{Api, Client, ResourceExt as _};
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa,
    KeyPair, KeyUsagePurpose,
};
use serde::Serialize;

use super::manifests::Object;
use super::{EXPORTER, NAMESPACE};
use crate::error::Error;
use crate::request::Request;

/// The Secret with the serving certificate and its key.
pub const SECRET: &str = "guard-exporter-tls";
/// The ConfigMap with the authority, for those who verify.
pub const AUTHORITY: &str = "guard-exporter-ca";

/// The name by which the exporters are called.
const SERVER_NAME: &str = "guard-exporter.guard-system.svc";
/// When a certificate made here ends; a Secret without it is somebody else's.
const NOT_AFTER: &str = "guard.kubectl.io/not-after";
/// How long a certificate is valid.
const YEARS: i16 = 2;
/// A certificate with less than this left is made anew by `install`, and told by `doctor`.
pub const RENEWAL_HOURS: i64 = 30 * 24;
/// The file of the authority, in both objects.
const CA_FILE: &str = "ca.crt";

/// What has to be applied so that there is a certificate with a month left: nothing but the authority if there is.
///
/// # Errors
/// If the user may not read the Secret, the API server does not answer, or no key can be made.
pub async fn objects(client: &Client, now: Timestamp) -> Result<Vec<Object>, Error> {
    let request = Request { verb: "get", resource: "secrets", group: "", namespace: Some(NAMESPACE) };
    let there = Api::<Secret>::namespaced(client.clone(), NAMESPACE).get_opt(SECRET).await;
    let there = there.map_err(|error| request.failed(&error))?;
    wanted(there.as_ref(), now)
}

/// What `uninstall` takes away.
pub fn traces() -> Vec<Object> {
    let secret = Secret { metadata: metadata(SECRET, None), ..Secret::default() };
    [authority(""), object(&secret)].into_iter().flatten().collect()
}

fn wanted(there: Option<&Secret>, now: Timestamp) -> Result<Vec<Object>, Error> {
    let known = there.and_then(ca);
    if there.is_some_and(|secret| lasts(secret, now)) {
        return Ok(known.and_then(|ca| authority(&ca)).into_iter().collect());
    }
    let made = make(now).map_err(|error| Error::Io {
        doing: "make the exporters' certificate".into(),
        source: std::io::Error::other(error),
    })?;
    // Exporters and scrapers learn of a new certificate at different times: for both the newest of the old ones counts.
    let before = known.as_deref().and_then(first_certificate).unwrap_or_default();
    let authorities = format!("{}{before}", made.authority);
    let secret = Secret {
        metadata: metadata(SECRET, Some(made.not_after)),
        type_: Some("kubernetes.io/tls".to_owned()),
        data: Some(BTreeMap::from(
            [("tls.crt", made.certificate), ("tls.key", made.key), (CA_FILE, authorities.clone())]
                .map(|(name, text)| (name.to_owned(), ByteString(text.into_bytes()))),
        )),
        ..Secret::default()
    };
    Ok([object(&secret), authority(&authorities)].into_iter().flatten().collect())
}

/// True if the certificate is valid for long enough, or somebody else's care.
fn lasts(secret: &Secret, now: Timestamp) -> bool {
    let Some(not_after) = secret.annotations().get(NOT_AFTER) else { return true };
    let not_after: Option<Timestamp> = not_after.parse().ok();
    not_after.is_some_and(|end| end.duration_since(now).as_hours() >= RENEWAL_HOURS)
}

fn ca(secret: &Secret) -> Option<String> {
    let bytes = secret.data.as_ref()?.get(CA_FILE)?;
    String::from_utf8(bytes.0.clone()).ok()
}

fn first_certificate(pem: &str) -> Option<&str> {
    const END: &str = "-----END CERTIFICATE-----\n";
    pem.find(END).map(|at| &pem[..at + END.len()])
}

/// A certificate, its key, who signed it (PEM), and when it ends.
struct Made {
    certificate: String,
    key: String,
    authority: String,
    not_after: Timestamp,
}

fn make(now: Timestamp) -> Result<Made, rcgen::Error> {
    let today = now.to_zoned(TimeZone::UTC).date();
    let day = |date: jiff::civil::Date| rcgen::date_time_ymd(date.year().into(), date.month() as u8, date.day() as u8);
    // A day of grace for clocks that are behind.
    let (begin, end) = (today.saturating_sub(1.day()), today.saturating_add(YEARS.years()));
    let valid = |mut params: CertificateParams, name: &str| {
        params.distinguished_name = DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, name);
        (params.not_before, params.not_after) = (day(begin), day(end));
        params
    };
    let mut params = valid(CertificateParams::default(), &format!("kubectl-guard {today}"));
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate()?)?;
    let mut params = valid(CertificateParams::new([SERVER_NAME.to_owned()])?, EXPORTER);
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    let key = KeyPair::generate()?;
    let certificate = params.signed_by(&key, &issuer)?.pem();
    let not_after = end.to_zoned(TimeZone::UTC).map_or(now, |end| end.timestamp());
    Ok(Made { certificate, key: key.serialize_pem(), authority: issuer.pem(), not_after })
}

fn authority(pem: &str) -> Option<Object> {
    let data = BTreeMap::from([(CA_FILE.to_owned(), pem.to_owned())]);
    object(&ConfigMap { metadata: metadata(AUTHORITY, None), data: Some(data), ..ConfigMap::default() })
}

fn metadata(name: &str, not_after: Option<Timestamp>) -> ObjectMeta {
    let labels = [("app.kubernetes.io/name", EXPORTER), ("app.kubernetes.io/part-of", "kubectl-guard")];
    ObjectMeta {
        name: Some(name.to_owned()),
        namespace: Some(NAMESPACE.to_owned()),
        labels: Some(labels.map(|(key, value)| (key.to_owned(), value.to_owned())).into()),
        annotations: not_after.map(|end| BTreeMap::from([(NOT_AFTER.to_owned(), end.to_string())])),
        ..ObjectMeta::default()
    }
}

fn object(typed: &impl Serialize) -> Option<Object> {
    serde_json::to_value(typed).ok().and_then(Object::new)
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: jiff::SignedDuration = jiff::SignedDuration::from_hours(24);

    fn now() -> Timestamp {
        "2026-11-22T13:00:00Z".parse().unwrap()
    }

    fn titles(objects: &[Object]) -> Vec<String> {
        objects.iter().map(Object::title).collect()
    }

    fn secret(objects: &[Object]) -> Secret {
        serde_json::from_value(objects[0].value.clone()).unwrap()
    }

    #[test]
    fn a_certificate_is_made_once_and_again_a_month_before_it_ends() {
        let first = wanted(None, now()).unwrap();
        assert_eq!(titles(&first), ["secret/guard-exporter-tls", "configmap/guard-exporter-ca"]);
        let there = secret(&first);
        for days in [0, 1, 365, 700] {
            let again = wanted(Some(&there), now() + DAY * days).unwrap();
            assert_eq!(again, first[1..], "after {days} days");
        }
        for days in [701, 731, 5 * 365] {
            let renewed = wanted(Some(&there), now() + DAY * days).unwrap();
            assert_eq!(renewed.len(), 2, "after {days} days");
            assert_ne!(secret(&renewed).data.unwrap()["tls.key"], there.data.clone().unwrap()["tls.key"]);
        }
    }

    #[test]
    fn a_renewal_keeps_the_authority_before_it_and_no_older_one() {
        let count = |objects: &[Object]| ca(&secret(objects)).unwrap().matches("BEGIN CERTIFICATE").count();
        let first = wanted(None, now()).unwrap();
        let second = wanted(Some(&secret(&first)), now() + DAY * 720).unwrap();
        let third = wanted(Some(&secret(&second)), now() + DAY * 1440).unwrap();
        assert_eq!([count(&first), count(&second), count(&third)], [1, 2, 2]);
        assert!(ca(&secret(&second)).unwrap().ends_with(&ca(&secret(&first)).unwrap()));
    }

    #[test]
    fn a_secret_of_somebody_else_is_left_alone_and_a_spoilt_one_of_ours_is_not() {
        let mut other = secret(&wanted(None, now()).unwrap());
        other.metadata.annotations = None;
        assert_eq!(titles(&wanted(Some(&other), now() + DAY * 9999).unwrap()), ["configmap/guard-exporter-ca"]);
        other.data = None;
        assert!(wanted(Some(&other), now()).unwrap().is_empty());
        other.metadata.annotations = Some(BTreeMap::from([(NOT_AFTER.to_owned(), "soon".to_owned())]));
        assert_eq!(wanted(Some(&other), now()).unwrap().len(), 2);
    }

    #[test]
    fn the_key_of_the_authority_is_nowhere() {
        let text = serde_json::to_string(&secret(&wanted(None, now()).unwrap())).unwrap();
        let made = make(now()).unwrap();
        assert_eq!(made.key.matches("PRIVATE KEY").count(), 2, "one key, begin and end");
        assert!(!made.certificate.contains("PRIVATE") && !made.authority.contains("PRIVATE"));
        assert!(text.contains("tls.key") && !text.contains("ca.key"));
    }

    #[test]
    fn uninstall_knows_both_objects() {
        assert_eq!(titles(&traces()), ["configmap/guard-exporter-ca", "secret/guard-exporter-tls"]);
    }
}
