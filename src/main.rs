//! `metrics-responder`: tells what came of a run, by its exit status and in the log.

use std::io::Write;
use std::process::ExitCode;

use metrics_responder::{Error, Log, Outcome, run};

/// With `--strict`: the report was not accepted.
const EX_NOT_ACCEPTED: u8 = 3;

fn main() -> ExitCode {
    let outcome = run(std::env::args_os().skip(1).collect());
    tell(&outcome);
    ExitCode::from(exit_status(&outcome))
}

fn exit_status(outcome: &Outcome) -> u8 {
    match outcome {
        Outcome::Accepted { .. }
        | Outcome::Disabled { .. }
        | Outcome::Missed { strict: false, .. }
        | Outcome::Printed
        | Outcome::Young { .. } => 0,
        Outcome::Missed { strict: true, .. } => EX_NOT_ACCEPTED,
        Outcome::Failed(error) | Outcome::Refused(error) | Outcome::Unprinted(error) => {
            error.exit_status()
        }
    }
}

/// One line on standard error, or none where something was printed as asked. All at level info: the
/// status tells a failure, and a cluster that is offline or lacks a right does not fill its owner's
/// alerts three times a day.
fn tell(outcome: &Outcome) {
    let log = Log::default();
    let reason = |error: &Error| error.to_string();
    match outcome {
        Outcome::Accepted {
            through,
            without_cni,
            turn_off,
        } => {
            let without_cni = without_cni.as_ref().map(reason);
            let fields = [
                ("without_cni_plugin", without_cni.as_deref()),
                ("through", *through),
                ("turn_off", Some(turn_off)),
            ];
            log.info("the report was accepted", &known(&fields));
        }
        Outcome::Disabled { by } => {
            log.info("reporting is disabled, nothing was sent", &[("by", by)]);
        }
        Outcome::Failed(error) => {
            log.info("stopped, nothing was sent", &[("reason", &reason(error))]);
        }
        Outcome::Missed {
            reason, through, ..
        } => {
            let fields = [("reason", Some(reason.as_str())), ("through", *through)];
            log.info(
                "no report was accepted, the next run tries again",
                &known(&fields),
            );
        }
        Outcome::Printed => {}
        // A person is at the other end; and a closed standard error is no reason to fail.
        Outcome::Refused(error) => {
            let _ = writeln!(std::io::stderr(), "metrics-responder: {error}");
        }
        Outcome::Unprinted(error) => {
            log.info("there is no report to print", &[("reason", &reason(error))]);
        }
        Outcome::Young {
            begins,
            by,
            send_at_once,
            turn_off,
        } => log.info(
            "the cluster is too young to report, nothing was sent",
            &[
                ("begins", begins),
                ("by", by),
                ("send_at_once", send_at_once),
                ("turn_off", turn_off),
            ],
        ),
    }
}

fn known<'a>(fields: &[(&'a str, Option<&'a str>)]) -> Vec<(&'a str, &'a str)> {
    fields
        .iter()
        .filter_map(|(key, value)| value.map(|value| (*key, value)))
        .collect()
}
