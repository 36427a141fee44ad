//! When a certificate ends: the one thing in it that rustls keeps to itself.
//!
//! A certificate is a tree of elements, each a tag, a length and its content (DER, X.690); the way to its end is short
//! (RFC 5280, section 4.1), so no library for all of X.509 is needed.

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject as _;

const SEQUENCE: u8 = 0x30;
/// The version, which the oldest certificates leave out.
const VERSION: u8 = 0xa0;
const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;

/// The earliest end of the certificates in a PEM file; `None` if there is none that can be read.
pub(super) fn earliest(pem: &[u8]) -> Option<Timestamp> {
    CertificateDer::pem_slice_iter(pem).filter_map(|der| not_after(&der.ok()?)).min()
}

fn not_after(certificate: &[u8]) -> Option<Timestamp> {
    let (certificate, _) = sequence(certificate)?;
    let (mut fields, _) = sequence(certificate)?;
    if let Some((VERSION, _, rest)) = element(fields) {
        fields = rest;
    }
    // Serial number, algorithm, issuer; then from when to when it is valid.
    for _ in 0..3 {
        fields = element(fields)?.2;
    }
    let (validity, _) = sequence(fields)?;
    let (_, _, end) = element(validity)?;
    let (tag, end, _) = element(end)?;
    time(tag, std::str::from_utf8(end).ok()?)
}

fn sequence(input: &[u8]) -> Option<(&[u8], &[u8])> {
    element(input).and_then(|(tag, content, rest)| (tag == SEQUENCE).then_some((content, rest)))
}

/// The tag and the content of the first element, and what follows it.
fn element(input: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (&tag, input) = input.split_first()?;
    let (&first, input) = input.split_first()?;
    let (length, input) = if first < 0x80 {
        (usize::from(first), input)
    } else {
        // The low bits tell how many bytes the length has; four are more than any certificate needs.
        let (bytes, input) = input.split_at_checked(usize::from(first & 0x7f)).filter(|(bytes, _)| bytes.len() <= 4)?;
        (bytes.iter().fold(0, |length, &byte| length << 8 | usize::from(byte)), input)
    };
    let (content, rest) = input.split_at_checked(length)?;
    Some((tag, content, rest))
}

/// `YYMMDDhhmmssZ`, of the years 1950 to 2049, or `YYYYMMDDhhmmssZ`.
fn time(tag: u8, text: &str) -> Option<Timestamp> {
    let digits = text.strip_suffix('Z').filter(|digits| digits.bytes().all(|b| b.is_ascii_digit()))?;
    let (year, rest) = match (tag, digits.len()) {
        (UTC_TIME, 12) => {
            let year: i16 = digits[..2].parse().ok()?;
            (if year < 50 { 2000 + year } else { 1900 + year }, &digits[2..])
        }
        (GENERALIZED_TIME, 14) => (digits[..4].parse().ok()?, &digits[4..]),
        _ => return None,
    };
    let part = |i: usize| rest[2 * i..2 * i + 2].parse::<i8>().ok();
    let civil = DateTime::new(year, part(0)?, part(1)?, part(2)?, part(3)?, part(4)?, 0).ok()?;
    civil.to_zoned(TimeZone::UTC).ok().map(|zoned| zoned.timestamp())
}

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, KeyPair, date_time_ymd};

    use super::*;

    fn pem(year: i32) -> String {
        let mut params = CertificateParams::new(["a.svc".to_owned()]).unwrap();
        params.not_after = date_time_ymd(year, 2, 28);
        params.self_signed(&KeyPair::generate().unwrap()).unwrap().pem()
    }

    fn day(year: i16) -> Option<Timestamp> {
        format!("{year}-02-28T00:00:00Z").parse().ok()
    }

    #[test]
    fn the_end_is_read_in_both_notations() {
        for year in [1975, 2028, 2049, 2050, 2174] {
            assert_eq!(earliest(pem(year.into()).as_bytes()), day(year), "{year}");
        }
    }

    #[test]
    fn of_a_chain_the_first_to_end_counts() {
        assert_eq!(earliest((pem(2031) + &pem(2029) + &pem(2030)).as_bytes()), day(2029));
    }

    #[test]
    fn what_is_no_certificate_has_no_end_wherever_it_breaks_off() {
        assert_eq!(earliest(b""), None);
        let der = CertificateDer::from_pem_slice(pem(2028).as_bytes()).unwrap();
        assert_eq!(not_after(&der), day(2028));
        for length in 0..der.len() {
            assert_eq!(not_after(&der[..length]), None, "{length} bytes");
        }
        // A length that is longer than memory, and a time that does not exist.
        assert_eq!(not_after(&[SEQUENCE, 0x84, 255, 255, 255, 255, 0]), None);
        assert_eq!(not_after(&[SEQUENCE, 0xff]), None);
        for (tag, text) in
            [(UTC_TIME, "280231000000Z"), (UTC_TIME, "28é228000000Z"), (GENERALIZED_TIME, "280228000000Z")]
        {
            assert_eq!(time(tag, text), None, "{text}");
        }
    }
}
