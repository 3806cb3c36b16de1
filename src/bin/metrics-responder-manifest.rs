//! `metrics-responder-manifest`: runs on a server's host, never in the pod.

use std::process::ExitCode;

use metrics_responder::{Log, manifest};

fn main() -> ExitCode {
    match manifest::run(std::env::args_os().skip(1).collect()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            Log::answer(&error.to_string());
            ExitCode::from(error.exit_status())
        }
    }
}
