//! Who the client is, by a certificate of its own.

use std::fmt::Write;
use std::sync::atomic::{AtomicBool, Ordering};

use aws_lc_rs::digest;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use rustls::CommonState;
use rustls::pki_types::CertificateDer;
use x509_parser::certificate::X509Certificate;
use x509_parser::prelude::FromDer;

use crate::{Error, distinguished};

/// The fields by which the application learns who the client is. Whatever a client sends under these names is dropped.
pub const FIELD_NAMES: [&str; 6] = [
    "X-SSL-Client-Verify",
    "X-SSL-Client-S-DN",
    "X-SSL-Client-I-DN",
    "X-SSL-Client-Serial",
    "X-SSL-Client-Fingerprint",
    "Client-Cert",
];

/// The most that the fields of one identity take, bytes. They go along with every request, and applications refuse heads
/// that are too large.
const LARGEST: usize = 16 * 1024;

/// Who the client is, as the field lines that the application gets, rendered once per connection: `X-SSL-Client-Verify`
/// (`SUCCESS` or `NONE`), and with a certificate its subject and issuer (`-S-DN`, `-I-DN`: RFC 4514, all that is not
/// printable ASCII escaped), its serial number and SHA-256 fingerprint in hexadecimal, and the whole certificate as
/// `Client-Cert` (RFC 9440 2.2). The names are those that nginx's users give them.
///
/// Together they take at most 16 KiB. A certificate with which they would take more goes without `Client-Cert`, told once
/// in a warning; one whose names alone are that large is refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    fields: Box<[u8]>,
}

impl Identity {
    /// The verified certificate of `connection`, if the client has one. Ask [`crate::Acceptor::identity`] instead where
    /// there is one: it looks at resumed sessions too.
    ///
    /// # Errors
    /// It cannot be rendered.
    pub fn of(connection: &CommonState) -> Result<Option<Self>, Error> {
        let leaf = connection.peer_certificates().and_then(<[_]>::first);
        leaf.map(Self::of_certificate).transpose()
    }

    /// The client has no certificate, and need not have one.
    #[must_use]
    pub fn none() -> Self {
        Self { fields: (*b"X-SSL-Client-Verify: NONE\r\n").into() }
    }

    /// Complete field lines, each with its CR LF: nothing but printable ASCII between.
    #[must_use]
    pub fn fields(&self) -> &[u8] {
        &self.fields
    }

    /// `leaf` is verified.
    pub(crate) fn of_certificate(leaf: &CertificateDer<'_>) -> Result<Self, Error> {
        let refused = |reason: String| Error::Identity { reason };
        let (_, certificate) = X509Certificate::from_der(leaf).map_err(|error| refused(error.to_string()))?;
        let mut lines = format!(
            "X-SSL-Client-Verify: SUCCESS\r\nX-SSL-Client-S-DN: {}\r\nX-SSL-Client-I-DN: {}\r\nX-SSL-Client-Serial: ",
            distinguished::written(certificate.subject()),
            distinguished::written(certificate.issuer()),
        );
        let serial = certificate.raw_serial();
        // The zero before a number whose first bit is set is its sign, not its digit.
        let serial = match serial {
            [0, rest @ ..] if !rest.is_empty() => rest,
            whole => whole,
        };
        for byte in serial {
            let _ = write!(lines, "{byte:02X}");
        }
        lines.push_str("\r\nX-SSL-Client-Fingerprint: ");
        for byte in digest::digest(&digest::SHA256, leaf).as_ref() {
            let _ = write!(lines, "{byte:02x}");
        }
        lines.push_str("\r\n");
        if lines.len() > LARGEST {
            return Err(refused(format!("its names take more than {LARGEST} bytes")));
        }
        let whole = format!("Client-Cert: :{}:\r\n", STANDARD.encode(leaf));
        if lines.len() + whole.len() <= LARGEST {
            lines.push_str(&whole);
        } else {
            warn_once(leaf.len());
        }
        Ok(Self { fields: lines.into_bytes().into() })
    }
}

fn warn_once(size: usize) {
    static WARNED: AtomicBool = AtomicBool::new(false);
    if !WARNED.swap(true, Ordering::Relaxed) {
        tracing::warn!(
            bytes = size,
            "a client's certificate is too large to be handed on whole: the application gets its names, serial number and \
             fingerprint, and no Client-Cert"
        );
    }
}
