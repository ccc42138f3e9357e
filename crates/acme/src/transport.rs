//! The way to the authority: HTTPS with bounds, and with eyes for what the protocol's crate does not look at.
//!
//! It does not tell when to come again after an error, takes what a directory says on trust, and gives way to a panic where
//! an address is none or a time lies beyond the calendar. What passes here is bounded and well-formed.

use std::future::Future;
use std::path::Path;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use http_body_util::{BodyExt as _, Limited};
use hyper::header::{HeaderMap, HeaderValue, RETRY_AFTER};
use hyper::{Method, Request, Response, StatusCode, Uri};
use hyper_rustls::HttpsConnector;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use instant_acme::{BodyWrapper, BytesResponse, Error as Protocol, HttpClient};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use rustls::{ClientConfig, RootCertStore};
use serde_json::Value;
use vestibule_config::Acme;

use crate::Error;
use crate::attempts::{DAY, HOUR, LONGEST_WAIT, Seconds};
use crate::problem::{printable, with_causes};

/// For one request and its answer.
const PATIENCE: Duration = Duration::from_secs(30);
/// No answer of an authority is larger: a long chain has 20 KiB.
const LARGEST: usize = 1 << 20;
/// When an authority does not say when to ask about a renewal again.
const ASK_AGAIN: Seconds = 6 * HOUR;

/// The way to one directory. Cloned, it is the same.
#[derive(Clone)]
pub(crate) struct Transport(Arc<Inner>);

struct Inner {
    client: Client<HttpsConnector<HttpConnector>, BodyWrapper<Bytes>>,
    directory: Uri,
    /// When to come again, as the last error said it.
    told: Mutex<Option<Seconds>>,
}

impl Transport {
    /// The way to the directory of `settings`. Blocks: reads the roots.
    pub(crate) fn new(settings: &Acme) -> Result<Self, Error> {
        let directory = parse_https(&settings.directory)
            .ok_or_else(|| Error::Directory { directory: settings.directory.clone() })?;
        let tls = match &settings.authorities {
            Some(path) => {
                let roots = roots(path)?;
                let builder = ClientConfig::builder_with_provider(vestibule_tls::provider())
                    .with_safe_default_protocol_versions()
                    .map_err(|why| Error::Roots { why: why.to_string() })?;
                hyper_rustls::HttpsConnectorBuilder::new()
                    .with_tls_config(builder.with_root_certificates(roots).with_no_client_auth())
            }
            None => hyper_rustls::HttpsConnectorBuilder::new()
                .with_provider_and_platform_verifier(vestibule_tls::provider())
                .map_err(|why| Error::Roots { why: why.to_string() })?,
        };
        let connector = tls.https_only().enable_http1().build();
        let client = Client::builder(TokioExecutor::new())
            // Between two attempts lie minutes or months: nothing is kept for that.
            .pool_idle_timeout(Duration::from_secs(20))
            .pool_max_idle_per_host(1)
            .build(connector);
        Ok(Transport(Arc::new(Inner { client, directory, told: Mutex::new(None) })))
    }

    /// Whether there is a directory: asked before anything is counted that only a directory can be asked for.
    pub(crate) async fn find_directory(&self) -> Result<(), Error> {
        let mut request = Request::new(BodyWrapper::default());
        *request.uri_mut() = self.0.directory.clone();
        self.0.request(request).await.map(drop)
    }

    /// When to come again, if an error said so since this was asked last: in seconds from then.
    pub(crate) fn told(&self) -> Option<Seconds> {
        self.0.told.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

impl HttpClient for Transport {
    fn request(
        &self,
        request: Request<BodyWrapper<Bytes>>,
    ) -> Pin<Box<dyn Future<Output = Result<BytesResponse, Protocol>> + Send>> {
        let inner = Arc::clone(&self.0);
        Box::pin(
            async move { inner.request(request).await.map_err(|error| Protocol::Other(Box::new(error))) },
        )
    }
}

impl Inner {
    async fn request(&self, request: Request<BodyWrapper<Bytes>>) -> Result<BytesResponse, Error> {
        let to = request.uri().clone();
        let is_get = request.method() == Method::GET;
        let exchange = async {
            let answer = self.client.request(request).await.map_err(|why| with_causes(&why))?;
            let (head, body) = answer.into_parts();
            let body = Limited::new(body, LARGEST).collect().await.map_err(|why| why.to_string())?;
            Ok::<_, String>((head, body.to_bytes()))
        };
        let failed = |why: String| {
            let host = to.authority().map_or("the authority", |host| host.as_str());
            Error::Unreachable(format!("{host}: {}", printable(&why)))
        };
        let (mut head, body) = match tokio::time::timeout(PATIENCE, exchange).await {
            Ok(done) => done.map_err(failed)?,
            Err(_) => return Err(failed(format!("no answer within {} s", PATIENCE.as_secs()))),
        };
        let told = sanitise_retry_after(&mut head.headers);
        if head.status.is_client_error() || head.status.is_server_error() {
            *self.told.lock().unwrap_or_else(PoisonError::into_inner) = told;
            // What stands before an authority when it is down answers with pages.
            if !serde_json::from_slice::<Value>(&body).is_ok_and(|value| value.is_object()) {
                return Err(failed(format!("{}, and not a word of what RFC 8555 wants", head.status)));
            }
        }
        if is_get && to == self.directory {
            check_directory(head.status, &body).map_err(failed)?;
        } else if is_get && told.is_none() {
            // About renewals (RFC 9773): what does not say when to ask again is of use all the same.
            head.headers.insert(RETRY_AFTER, HeaderValue::from(ASK_AGAIN));
        }
        Ok(Response::from_parts(head, http_body_util::Full::new(body)).into())
    }
}

/// Puts `Retry-After` (RFC 9110 10.2.3) into seconds that can be counted with, or takes it out. Gives them.
fn sanitise_retry_after(fields: &mut HeaderMap) -> Option<Seconds> {
    let value = fields.remove(RETRY_AFTER)?;
    let text = value.to_str().ok()?.trim();
    let wait = if text.bytes().all(|byte| byte.is_ascii_digit()) && !text.is_empty() {
        // So many digits that they do not fit: long.
        text.parse().unwrap_or(LONGEST_WAIT)
    } else {
        let date = httpdate::parse_http_date(text).ok()?;
        date.duration_since(SystemTime::now()).map_or(0, |left| left.as_secs().saturating_add(1))
    };
    let wait = wait.min(LONGEST_WAIT);
    fields.insert(RETRY_AFTER, HeaderValue::from(wait));
    Some(wait)
}

/// A directory that is one has addresses where RFC 8555 7.1.1 wants them.
fn check_directory(status: StatusCode, body: &[u8]) -> Result<(), String> {
    if !status.is_success() {
        return Err(format!("{status} instead of a directory"));
    }
    let found: Value =
        serde_json::from_slice(body).map_err(|_| "what it answers is no ACME directory".to_owned())?;
    for name in ["newNonce", "newAccount", "newOrder"] {
        let address = found.get(name).and_then(Value::as_str);
        if address.and_then(parse_https).is_none() {
            return Err(format!("its directory has no https address for {name}"));
        }
    }
    match found.get("renewalInfo") {
        Some(address) if address.as_str().and_then(parse_https).is_none() => {
            Err("its directory has no https address for renewalInfo".to_owned())
        }
        _ => Ok(()),
    }
}

/// An address with https, and a host.
pub(crate) fn parse_https(text: &str) -> Option<Uri> {
    let uri: Uri = text.parse().ok()?;
    let has_host = uri.host().is_some_and(|host| !host.is_empty());
    (uri.scheme_str() == Some("https") && has_host).then_some(uri)
}

/// The certificates in a file, as roots. Blocks.
pub(crate) fn roots(path: &Path) -> Result<RootCertStore, Error> {
    let wrong = |why: String| Error::Authorities { path: path.to_owned(), why };
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_file_iter(path).map_err(|why| wrong(why.to_string()))? {
        let certificate = certificate.map_err(|why| wrong(why.to_string()))?;
        roots.add(certificate).map_err(|why| wrong(why.to_string()))?;
    }
    if roots.is_empty() { Err(wrong("there is no certificate in it".to_owned())) } else { Ok(roots) }
}

/// How long to wait before asking about a renewal again (RFC 9773 4.3.2 and 4.3.3): a minute to a day.
pub(crate) fn ask_again_after(told: Duration) -> Seconds {
    told.as_secs().clamp(60, DAY)
}

/// When nothing was said about when to ask again.
pub(crate) fn ask_again_after_failure() -> Seconds {
    ASK_AGAIN
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sanitised(value: &str) -> Option<Seconds> {
        let mut fields = HeaderMap::new();
        fields.insert(RETRY_AFTER, HeaderValue::from_str(value).unwrap());
        let told = sanitise_retry_after(&mut fields);
        let left = fields.get(RETRY_AFTER).map(|value| value.to_str().unwrap().to_owned());
        assert_eq!(left, told.map(|told| told.to_string()), "what goes on is what was told");
        told
    }

    #[test]
    fn a_retry_after_that_no_clock_can_show_becomes_a_long_wait() {
        assert_eq!(sanitised("120"), Some(120));
        assert_eq!(sanitised("18446744073709551615"), Some(LONGEST_WAIT));
        assert_eq!(sanitised("99999999999999999999999999"), Some(LONGEST_WAIT));
        assert_eq!(sanitised("Fri, 31 Dec 9999 23:59:59 GMT"), Some(LONGEST_WAIT));
        assert_eq!(sanitised("Thu, 01 Jan 1970 00:00:00 GMT"), Some(0));
        for nonsense in ["", "-5", "soon", "1e9"] {
            assert_eq!(sanitised(nonsense), None, "{nonsense}");
        }
    }

    #[test]
    fn a_directory_without_addresses_is_none() {
        let check = |body: &str| check_directory(StatusCode::OK, body.as_bytes());
        let whole = r#"{"newNonce":"https://a/n","newAccount":"https://a/c","newOrder":"https://a/o"}"#;
        check(whole).unwrap();
        assert!(check_directory(StatusCode::BAD_GATEWAY, whole.as_bytes()).is_err());
        for wrong in [
            "<html>",
            "[]",
            "{}",
            r#"{"newNonce":"","newAccount":"https://a/c","newOrder":"https://a/o"}"#,
            r#"{"newNonce":"::","newAccount":"https://a/c","newOrder":"https://a/o"}"#,
            r#"{"newNonce":"http://a/n","newAccount":"https://a/c","newOrder":"https://a/o"}"#,
            r#"{"newNonce":"https://a/n","newAccount":"https://a/c","newOrder":"https://a/o","renewalInfo":7}"#,
        ] {
            check(wrong).unwrap_err();
        }
    }

    #[test]
    fn only_https_leads_to_a_directory() {
        assert!(parse_https("https://acme.example/dir").is_some());
        for wrong in
            ["http://acme.example/dir", "acme.example", "https://", "https:///dir", "", "https://a b/"]
        {
            assert!(parse_https(wrong).is_none(), "{wrong}");
        }
    }
}
