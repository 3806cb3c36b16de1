//! `metrics-responder`: tells what came of a run, by its exit status and in the log.

use std::process::ExitCode;

use metrics_responder::{Log, Outcome, run};

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

/// One line on standard error, or none where something was printed as asked. Events are all of level
/// info: the status tells a failure, and a cluster that is offline or lacks a right does not fill
/// its owner's alerts three times a day.
fn tell(outcome: &Outcome) {
    match outcome {
        Outcome::Accepted {
            through,
            without_cni,
            turn_off,
        } => say(
            "the report was accepted",
            &[
                ("without_cni_plugin", without_cni.as_deref()),
                ("through", *through),
                ("turn_off", Some(turn_off)),
            ],
        ),
        Outcome::Disabled { by } => say_one("reporting is disabled, nothing was sent", "by", by),
        Outcome::Failed(error) => say_one("stopped, nothing was sent", "reason", error),
        Outcome::Missed {
            reason, through, ..
        } => say(
            "no report was accepted, the next run tries again",
            &[("reason", Some(reason)), ("through", *through)],
        ),
        Outcome::Printed => {}
        Outcome::Refused(error) => Log::answer(&error.to_string()),
        Outcome::Unprinted(error) => say_one("there is no report to print", "reason", error),
        Outcome::Young {
            begins,
            by,
            send_at_once,
            turn_off,
        } => say(
            "the cluster is too young to report, nothing was sent",
            &[
                ("begins", Some(begins)),
                ("by", Some(by)),
                ("send_at_once", Some(send_at_once)),
                ("turn_off", Some(turn_off)),
            ],
        ),
    }
}

fn say_one(message: &str, key: &str, value: &dyn ToString) {
    say(message, &[(key, Some(&value.to_string()))]);
}

fn say(message: &str, fields: &[(&str, Option<&str>)]) {
    Log::info(message, fields);
}
