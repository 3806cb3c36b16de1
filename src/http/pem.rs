//! Reads certificates and keys in PEM. The parser silently skips a certificate that does not begin
//! on a line of its own, so this module repairs the lines first and counts the certificates
//! afterwards.

use rustls::RootCertStore;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use ureq::tls::PrivateKey;

/// Reads every certificate of a bundle. Fails if one is lost, or if rustls does not understand one,
/// since that would otherwise be noticed only when a connection fails.
pub(super) fn certificates(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, String> {
    let pem = repaired(pem);
    let certificates = CertificateDer::pem_slice_iter(pem.as_bytes());
    let mut store = RootCertStore::empty();
    let mut is_understood = |der: &CertificateDer<'static>| store.add(der.clone()).is_ok();
    let certificates: Vec<_> =
        certificates.filter_map(Result::ok).filter(|der| is_understood(der)).collect();
    match count(&pem, "-BEGIN").max(count(&pem, "-END")) {
        0 => Err("contains no certificate".to_owned()),
        all if all > certificates.len() => Err(format!(
            "not PEM certificates: {} of {all} could not be read",
            all - certificates.len()
        )),
        _ => Ok(certificates),
    }
}

/// Reads an unencrypted private key, in the forms that rustls and ureq need.
pub(super) fn key(
    pem: &[u8],
) -> Result<(PrivateKeyDer<'static>, PrivateKey<'static>), &'static str> {
    let pem = repaired(pem);
    let der = PrivateKeyDer::from_pem_slice(pem.as_bytes());
    match (der, PrivateKey::from_pem(pem.as_bytes())) {
        (Ok(der), Ok(key)) => Ok((der, key)),
        _ if pem.contains("ENCRYPTED") => {
            Err("the client key is encrypted; decrypt it with openssl pkey -in KEY -out FILE")
        }
        _ => Err("the client key is not PEM"),
    }
}

/// Puts a line break between an end marker and a begin marker that were joined, trims blanks and
/// byte order marks from each line, and renames OpenSSL's old label for a certificate.
fn repaired(pem: &[u8]) -> String {
    let text = String::from_utf8_lossy(pem)
        .replace("----------", "-----\n-----")
        .replace(" X509 CERTIFICATE-----", " CERTIFICATE-----");
    let blank = |c: char| c.is_whitespace() || c == '\u{feff}';
    let lines: Vec<_> = text.split(['\n', '\r']).map(|l| l.trim_matches(blank)).collect();
    lines.join("\n")
}

/// Counts the lines with this marker of a certificate, even if the parser would miss it. Ignores
/// comments.
fn count(pem: &str, marker: &str) -> usize {
    let lines = pem.lines().filter(|line| !line.starts_with('#')).map(|line| line.replace(' ', ""));
    lines.filter(|line| line.contains(marker) && line.contains("CERTIFICATE-")).count()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn make() -> rcgen::CertifiedKey<rcgen::KeyPair> {
        rcgen::generate_simple_self_signed(["a".to_owned()]).unwrap()
    }

    /// Makes a bundle of two certificates and reads it.
    fn read(join: impl Fn(&str, &str) -> String) -> Result<(), String> {
        let (one, other) = (make().cert, make().cert);
        let pem = join(one.pem().trim_end(), other.pem().trim_end());
        let read = certificates(pem.as_bytes())?;
        assert_eq!(read, [one.der().clone(), other.der().clone()], "{pem}");
        Ok(())
    }

    #[test]
    fn every_certificate_of_a_bundle_is_read() {
        for (before, between, after) in [
            ("", "\n", "\n"),
            ("", "\n", ""),
            ("", "", ""),
            ("", "\r\n", "\r\n"),
            ("", "\r", "\r"),
            ("\u{feff}", "\n\u{feff}", "\n\u{feff}"),
            (" ", "\n\t", " \n"),
            ("", " \n  ", "\t"),
            ("", "\n\u{a0}", ""),
            ("subject=x\n", "\n\nBag Attributes\n    x: y\n", "\n# end\n"),
            ("# ---------- one ----------\n", "\n----------\n", "\n"),
            ("", "\n# -----BEGIN CERTIFICATE-----\n# AAAA\n# -----END CERTIFICATE-----\n", ""),
            ("", "\n-----BEGIN X509 CRL-----\nAAAA\n-----END X509 CRL-----\n", ""),
            ("", "-----BEGIN X-----\nAAAA\n-----END X-----", ""),
            ("-----BEGIN X-----\n-----END X-----", "\n", ""),
        ] {
            let whole = |one: &str, other: &str| [before, one, between, other, after].concat();
            assert_eq!(read(whole), Ok(()), "{before:?} {between:?} {after:?}");
        }
    }

    #[test]
    fn lines_and_labels_that_openssl_and_go_accept_are_accepted() {
        type Change = fn(&str) -> String;
        let changes: [Change; 5] = [
            |pem| pem.replace('\n', "\r\n"),
            |pem| pem.replace('\n', " \t\n   "),
            |pem| pem.replace('\n', "\n\n"),
            |pem| pem.replace(" CERTIFICATE", " X509 CERTIFICATE"),
            |pem| {
                let body = pem.replace('\n', "");
                body.replace("BEGIN CERTIFICATE-----", "BEGIN CERTIFICATE-----\n")
                    .replace("-----END", "\n-----END")
            },
        ];
        for change in changes {
            assert_eq!(read(|a, b| [change(a), change(b)].concat()), Ok(()));
        }
        let mut latin = make().cert.pem().into_bytes();
        latin.splice(0..0, *b"M\xfcller\n");
        assert_eq!(certificates(&latin).map(|all| all.len()), Ok(1));
    }

    #[test]
    fn a_certificate_that_would_be_lost_is_an_error() {
        type Change = fn(&str) -> String;
        let changes: [Change; 11] = [
            |pem| format!("x {pem}"),
            |pem| pem.replace("-----BEGIN", "----BEGIN"),
            |pem| pem.replace("-----END", "----END"),
            |pem| pem.replace("-----END CERTIFICATE-----", ""),
            |pem| pem.replace("\n-----END", "-----END"),
            |pem| pem.replace("BEGIN CERTIFICATE-----\n", "BEGIN CERTIFICATE-----"),
            |pem| pem.replace("CERTIFICATE", "TRUSTED CERTIFICATE"),
            |pem| pem.replacen('M', "!", 1),
            |pem| pem.replace("BEGIN CERTIFICATE-----\n", "BEGIN CERTIFICATE-----\nA: b\n\n"),
            // Base64, but not of a certificate.
            |_| "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----".to_owned(),
            |pem| {
                pem.lines()
                    .enumerate()
                    .filter(|(i, _)| *i != 2)
                    .map(|(_, l)| l)
                    .collect::<Vec<_>>()
                    .join("\n")
            },
        ];
        for (i, change) in changes.into_iter().enumerate() {
            for last in [false, true] {
                let join = |a: &str, b: &str| {
                    if last {
                        format!("{a}\n{}\n", change(b))
                    } else {
                        format!("{}\n{b}\n", change(a))
                    }
                };
                let error = read(join).unwrap_err();
                assert!(error.starts_with("not PEM certificates: "), "{i}: {error}");
            }
        }
        let lost = |pem: &str| pem.replace("-----END", "----END");
        let error = read(|a, b| [a, "\n", &lost(b)].concat()).unwrap_err();
        assert_eq!(error, "not PEM certificates: 1 of 2 could not be read");
        for nothing in ["", "x", "# -----BEGIN CERTIFICATE-----\n"] {
            let error = certificates(nothing.as_bytes()).unwrap_err();
            assert_eq!(error, "contains no certificate");
        }
        let request =
            "-----BEGIN CERTIFICATE REQUEST-----\nAAAA\n-----END CERTIFICATE REQUEST-----\n";
        assert_eq!(certificates(request.as_bytes()).unwrap_err(), "contains no certificate");
    }

    #[test]
    fn a_certificate_whose_marker_is_damaged_is_not_lost() {
        for (between, marker) in [
            ("\n# end-----BEGIN CERTIFICATE-----", "-----BEGIN CERTIFICATE-----"),
            ("\n", "-----BEGIN CERTIFICATE-----"),
            ("\n----- BEGIN CERTIFICATE -----", "-----BEGIN CERTIFICATE-----"),
        ] {
            let error = read(|one, other| [one, &other.replace(marker, between)].concat());
            assert_eq!(error, Err("not PEM certificates: 1 of 2 could not be read".to_owned()));
        }
    }

    #[test]
    fn a_key_may_follow_its_certificate() {
        let made = make();
        let (certificate, pem) = (made.cert.pem(), made.signing_key.serialize_pem());
        let joined = [certificate.trim_end(), &pem].concat();
        for text in [&pem, &joined, &format!("\u{feff}{pem}"), &format!("{joined}{certificate}")] {
            assert!(key(text.as_bytes()).is_ok(), "{text}");
        }
        assert_eq!(certificates(joined.as_bytes()).map(|all| all.len()), Ok(1));
        let joined = [pem.trim_end(), &certificate].concat();
        assert_eq!(certificates(joined.as_bytes()).map(|all| all.len()), Ok(1));
        assert_eq!(key(certificate.as_bytes()).unwrap_err(), "the client key is not PEM");
    }

    #[test]
    fn an_encrypted_key_is_reported_as_such() {
        let headers = "Proc-Type: 4,ENCRYPTED\nDEK-Info: AES-256-CBC,00\n\n";
        for (label, headers) in [
            ("ENCRYPTED PRIVATE KEY", ""),
            ("RSA PRIVATE KEY", headers),
            ("EC PRIVATE KEY", headers),
        ] {
            let pem = format!("-----BEGIN {label}-----\n{headers}AAAA\n-----END {label}-----\n");
            let error = key(pem.as_bytes()).unwrap_err();
            assert!(error.starts_with("the client key is encrypted; "), "{error}");
        }
    }
}
