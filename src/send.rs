//! One POST of the report, one verdict on the reply.

use std::borrow::Cow;
use std::io::Read;
use std::time::Instant;

use serde::Deserialize;
use serde::de::IgnoredAny;

use crate::config::Target;
use crate::http::{Client, Failure, Response};
use crate::json;
use crate::log::{Log, Request};

/// An upgrade-responder answers a few kilobytes: one entry a version.
const MAX_REPLY: u64 = 64 << 10;

/// What became of the report.
#[derive(Debug)]
pub enum Verdict {
    /// The endpoint answered as an upgrade-responder does.
    Accepted,
    /// It did not, and why.
    NotAccepted(Cow<'static, str>),
}

/// Posts the report. No second attempt: the endpoint counts reports, and the next run is the retry.
pub fn post(target: &Target, report: &[u8], log: Log) -> Verdict {
    let started = Instant::now();
    let (status, result) = exchange(target, report);
    log.request(&Request {
        method: "POST",
        path: target.endpoint.path(),
        status,
        bytes: *result.as_ref().unwrap_or(&0),
        took: started.elapsed(),
    });
    match result {
        Ok(_) => Verdict::Accepted,
        Err(reason) => Verdict::NotAccepted(reason),
    }
}

/// The status, if there was an answer, and the length of the reply, if it is an acceptance.
fn exchange(target: &Target, report: &[u8]) -> (Option<u16>, Result<u64, Cow<'static, str>>) {
    let (client, response) = match connect_and_post(target, report) {
        Ok(answer) => answer,
        Err(failure) => return (None, Err(failure.reason())),
    };
    let status = response.status();
    let verdict = match status {
        200 => {
            let mut reply = json::Counted::new(response.into_reader(Some(MAX_REPLY)));
            read_reply(&mut reply)
                .map(|()| reply.total())
                .map_err(|error| match error {
                    json::Error::Io(e) => client.body_failure(e).reason(),
                    json::Error::Syntax(e) | json::Error::Shape(e) => {
                        format!("status 200, but not the reply of an upgrade-responder: {e}").into()
                    }
                })
        }
        300..400 => Err(format!("status {status}, and redirects are not followed").into()),
        _ => Err(format!("status {status}").into()),
    };
    (Some(status), verdict)
}

/// ureq takes either the public roots or a list of its own, so that those of `caFile` are tried first
/// and the public ones on a second connection. Nothing is sent on one that is not trusted.
fn connect_and_post(target: &Target, report: &[u8]) -> Result<(Client, Response), Failure> {
    let url = target.endpoint.to_string();
    let mut left = target.timeout;
    let mut result = Err(Failure::UnknownIssuer);
    for roots in &target.roots {
        let started = Instant::now();
        let client = Client::endpoint(roots.clone(), target.proxy.clone(), left);
        result = client.post(&url, report).map(|response| (client, response));
        if !matches!(result, Err(Failure::UnknownIssuer)) {
            break;
        }
        left = left.saturating_sub(started.elapsed());
    }
    result
}

/// Tells an upgrade-responder's reply from that of a captive portal. What versions it names is not looked at.
pub fn read_reply(body: impl Read) -> Result<(), json::Error> {
    json::read::<Reply>(body).map(|_| ())
}

/// The part of the reply that tells an upgrade-responder from a captive portal.
#[derive(Deserialize)]
struct Reply {
    #[serde(rename = "versions", alias = "Versions")]
    _versions: Vec<IgnoredAny>,
}
