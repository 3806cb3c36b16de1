//! Runs the built program as in a pod: with an API server and an endpoint on loopback, a mounted
//! ServiceAccount, a configuration file, and no other environment.

use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use super::api::{self, TOKEN};
use super::pki::Authority;
use super::server::Server;
use super::{Folder, cluster, logfmt};

/// The default time limit for reading, and for sending: long enough that a busy machine does not
/// fail a test.
const TIMEOUT: &str = "20s";

pub struct Pod {
    pub folder: Folder,
    /// The authority that the program trusts for the API server and, through `caFile`, the
    /// endpoint.
    pub authority: Authority,
    env: Vec<(String, String)>,
    args: Vec<String>,
    config: Vec<u8>,
    config_at: Option<PathBuf>,
}

/// A run that has printed its report, and waits before sending it.
pub struct Waiting {
    pub child: Child,
    pub report: String,
}

/// The result of a run.
#[derive(Debug)]
pub struct Run {
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
    pub took: Duration,
}

impl Run {
    /// Returns the lines of standard error.
    pub fn lines(&self) -> Vec<&str> {
        self.stderr.lines().collect()
    }

    /// Returns the value of a key on the last line of the log.
    pub fn logged(&self, key: &str) -> Option<String> {
        let line = logfmt::parse(self.lines().last()?).ok()?;
        line.into_iter().find(|(k, _)| k == key).map(|(_, value)| value)
    }

    /// Returns the answer to the person who typed the command, if standard error has nothing else.
    pub fn answer(&self) -> Option<&str> {
        self.stderr.strip_prefix(logfmt::ANSWER)?.strip_suffix('\n')
    }

    /// Returns all output of the run.
    pub fn text(&self) -> String {
        format!("{}{}", self.stdout, self.stderr)
    }
}

impl Pod {
    /// Makes a pod with a mounted ServiceAccount, but without an API server and an endpoint.
    pub fn new() -> Self {
        let (folder, authority) = (Folder::new(), Authority::new());
        folder.write("sa/token", format!("{TOKEN}\n"));
        // Add an old CA before it, as in a cluster that renews its CA.
        let old = Authority::named("acme-canary authority of old");
        let bundle = [old.pem(), authority.pem()].concat();
        folder.write("sa/ca.crt", &bundle);
        folder.write("ca.pem", bundle);
        let bundle = folder.path().join("ca.pem");
        let config = format!("timeout: {TIMEOUT}\ncaFile: '{}'\n", bundle.display());
        Self {
            folder,
            authority,
            env: Vec::new(),
            args: Vec::new(),
            config: config.into_bytes(),
            config_at: None,
        }
    }

    /// Sets the port of the API server.
    pub fn api(self, port: u16) -> Self {
        self.env("KUBERNETES_SERVICE_HOST", "127.0.0.1")
            .env("KUBERNETES_SERVICE_PORT", &port.to_string())
    }

    pub fn endpoint(self, url: &str) -> Self {
        self.env("METRICS_RESPONDER_ENDPOINT", url)
    }

    pub fn env(mut self, name: &str, value: &str) -> Self {
        self.env.push((name.to_owned(), value.to_owned()));
        self
    }

    pub fn args<'a>(mut self, args: impl IntoIterator<Item = &'a str>) -> Self {
        self.args.extend(args.into_iter().map(Into::into));
        self
    }

    /// Replaces the text of the configuration file.
    pub fn config(self, text: &str) -> Self {
        self.config_bytes(text.as_bytes())
    }

    /// Returns the text of the configuration file.
    pub fn config_text(&self) -> &[u8] {
        &self.config
    }

    pub fn config_bytes(mut self, bytes: &[u8]) -> Self {
        bytes.clone_into(&mut self.config);
        self
    }

    /// Uses this configuration file instead of the one of this pod.
    pub fn config_at(mut self, path: &str) -> Self {
        self.config_at = Some(path.into());
        self
    }

    pub fn timeout(self, timeout: &str) -> Self {
        self.env("METRICS_RESPONDER_TIMEOUT", timeout)
    }

    pub fn command(&self) -> Command {
        let own = self.folder.write("config.yaml", &self.config);
        let config = self.config_at.as_ref().unwrap_or(&own);
        let mut command = Command::new(env!("CARGO_BIN_EXE_metrics-responder"));
        command
            .env_clear()
            // A name server that does not answer must not use up the time limit.
            .env("RES_OPTIONS", "timeout:1 attempts:1")
            .envs(self.env.iter().cloned())
            .arg("--serviceaccount-dir")
            .arg(self.folder.path().join("sa"))
            .arg("--config")
            .arg(config)
            .args(&self.args)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command
    }

    pub fn start(&self) -> Child {
        self.command().spawn().unwrap()
    }

    pub fn run(&self) -> Run {
        finish(self.start())
    }
}

/// Waits for the end of a run, and checks that every line of its log is logfmt.
pub fn finish(child: Child) -> Run {
    let started = Instant::now();
    let output = child.wait_with_output().unwrap();
    let run = Run {
        code: output.status.code(),
        stdout: String::from_utf8(output.stdout).unwrap(),
        stderr: String::from_utf8(output.stderr).unwrap(),
        took: started.elapsed(),
    };
    for line in run.lines() {
        logfmt::parse(line).unwrap();
    }
    run
}

/// Makes a pod in a recorded cluster, the API server, and an endpoint that accepts reports.
pub fn scene(name: &str) -> (Pod, Server, Server) {
    let pod = Pod::new();
    let api = api::serve(pod.authority.server(), &cluster(name));
    let endpoint = Server::accepting(Some(pod.authority.server()));
    let pod = pod.api(api.port).endpoint(&endpoint.https());
    (pod, api, endpoint)
}

/// Runs the program outside a pod.
pub fn bare(args: &[&str]) -> Run {
    bare_with(args, &[])
}

pub fn bare_with(args: &[&str], env: &[(&str, &str)]) -> Run {
    run(env!("CARGO_BIN_EXE_metrics-responder"), args, env)
}

/// Runs the second program, which is for the host of a server.
pub fn manifest_with(args: &[&str], env: &[(&str, &str)]) -> Run {
    run(env!("CARGO_BIN_EXE_metrics-responder-manifest"), args, env)
}

fn run(program: &str, args: &[&str], env: &[(&str, &str)]) -> Run {
    let mut command = Command::new(program);
    command
        .env_clear()
        .envs(env.iter().copied())
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .args(args)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    finish(command.spawn().unwrap())
}
