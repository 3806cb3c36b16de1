//! `metrics-responder`: turns the outcome of a run into a line and an exit status.

use std::process::ExitCode;

use metrics_responder::{Log, Outcome, run};

/// Exit status with `--strict` if the report was not accepted.
const EX_NOT_ACCEPTED: u8 = 3;

fn main() -> ExitCode {
    let outcome = run(std::env::args_os().skip(1).collect());
    write_line(&outcome);
    ExitCode::from(exit_status(&outcome))
}

fn exit_status(outcome: &Outcome) -> u8 {
    match outcome {
        Outcome::Accepted { .. }
        | Outcome::Disabled { .. }
        | Outcome::NotAccepted { strict: false, .. }
        | Outcome::Printed
        | Outcome::TooYoung { .. } => 0,
        Outcome::NotAccepted { strict: true, .. } => EX_NOT_ACCEPTED,
        Outcome::CommandFailed(error) | Outcome::RunFailed(error) => error.exit_status(),
    }
}

/// Writes one line to standard error, or nothing if the requested output was printed. Everything
/// is logged at level info, so that a cluster that is offline or lacks a permission does not raise
/// an alert three times a day. The exit status signals failure.
fn write_line(outcome: &Outcome) {
    match outcome {
        Outcome::Accepted { through, without_cni, turn_off } => Log::info(
            "the report was accepted",
            &[
                ("through", *through),
                ("without_cni_plugin", without_cni.as_deref()),
                ("turn_off", Some(turn_off)),
            ],
        ),
        Outcome::CommandFailed(error) => Log::answer(&error.to_string()),
        Outcome::Disabled { by } => {
            Log::info("reporting is disabled, nothing was sent", &[("by", Some(by))]);
        }
        Outcome::NotAccepted { through, reason, .. } => Log::info(
            "no report was accepted, the next run tries again",
            &[("through", *through), ("reason", Some(reason))],
        ),
        Outcome::Printed => {}
        Outcome::RunFailed(error) => {
            let reason = error.to_string();
            Log::info("stopped, nothing was sent", &[("reason", Some(&reason))]);
        }
        Outcome::TooYoung { begins_in, by, end_grace_period, turn_off } => Log::info(
            "still within the gracePeriod, nothing was sent",
            &[
                ("begins_in", Some(begins_in)),
                ("by", Some(by)),
                ("end_grace_period", Some(end_grace_period)),
                ("turn_off", Some(turn_off)),
            ],
        ),
    }
}
