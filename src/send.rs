//! Posts the report once and checks the reply.

use std::borrow::Cow;
use std::io::Read;
use std::time::Instant;

use serde::Deserialize;
use serde::de::IgnoredAny;
use ureq::tls::RootCerts;

use crate::config::Config;
use crate::http::{Client, Deadline, Failure, Kind, Response};
use crate::json::{self, Counted, JsonError};
use crate::log::Log;

/// The reply of an upgrade-responder lists every version; a few hundred versions exceed 64 KiB.
const MAX_REPLY: u64 = 1 << 20;

/// Posts the report; the error says why it was not accepted. There is no second attempt, since the
/// endpoint would count the report twice; the next run is the retry.
pub(crate) fn post(
    config: &Config,
    roots: &[RootCerts],
    report: &[u8],
    log: Log,
) -> Result<(), Cow<'static, str>> {
    let started = Instant::now();
    let (mut status, mut bytes) = (None, 0);
    let verdict = match connect_and_post(config, roots, report) {
        Ok((client, response)) => {
            status = Some(response.status());
            verdict_on(&client, response, &mut bytes)
        }
        Err(failure) => Err(failure.reason),
    };
    log.request("POST", config.endpoint.path(), status, bytes, started);
    verdict
}

/// Decides whether the reply accepts the report. Sets `bytes` to the number of bytes read.
fn verdict_on(
    client: &Client,
    response: Response,
    bytes: &mut u64,
) -> Result<(), Cow<'static, str>> {
    match response.status() {
        200 => {
            let mut reply = Counted { inner: response.into_reader(Some(MAX_REPLY)), bytes: 0 };
            let verdict = read_reply(&mut reply);
            *bytes = reply.bytes;
            verdict.map_err(|error| match error {
                JsonError::Io(e) => client.body_failure(e).reason,
                JsonError::Syntax(e) | JsonError::Shape(e) => {
                    format!("status 200, but not the reply of an upgrade-responder: {e}").into()
                }
            })
        }
        status @ 300..400 => Err(format!("status {status}, and redirects are not followed").into()),
        status => Err(format!("status {status}").into()),
    }
}

/// Posts the report over the first connection that is trusted; nothing is sent over another one.
/// Tries each set of roots on a connection of its own, since ureq cannot combine the public roots
/// with other ones.
fn connect_and_post(
    config: &Config,
    roots: &[RootCerts],
    report: &[u8],
) -> Result<(Client, Response), Failure> {
    let url = config.endpoint.to_string();
    let deadline = Deadline::after(config.timeout);
    let mut refused = Failure::unknown_issuer();
    for roots in roots {
        let proxy = config.proxy.as_ref().map(|via| via.proxy.clone());
        let client = Client::new(roots.clone(), None, proxy, deadline);
        match client.post(&url, report) {
            Ok(response) => return Ok((client, response)),
            // Keep this reason: it comes from the roots that know the certificate's authority.
            Err(e) if matches!(e.kind, Kind::Algorithm | Kind::Certificate) => refused = e,
            Err(e) if e.kind == Kind::UnknownIssuer => {}
            // Give up: other roots cannot help with any other failure.
            Err(e) => return Err(e),
        }
    }
    Err(refused)
}

/// Tells the reply of an upgrade-responder from that of a captive portal. The versions in it are
/// ignored.
pub fn read_reply(body: impl Read) -> Result<(), JsonError> {
    json::read::<Reply>(body).map(|_| ())
}

/// The part of the reply that every version of upgrade-responder sends.
#[derive(Deserialize)]
struct Reply {
    #[serde(rename = "versions", alias = "Versions")]
    _versions: Vec<IgnoredAny>,
}
