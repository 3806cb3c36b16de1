//! The built program, started as in a pod: an API server and an endpoint on loopback, a mounted
//! ServiceAccount, a configuration file, and no other environment.

use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use super::api::{self, TOKEN};
use super::pki::Authority;
use super::server::Server;
use super::{Folder, cluster, logfmt};

/// Seconds that a run gets by default for each half, so that a test on a busy machine still means
/// what it says.
const TIMEOUT: &str = "20s";

pub struct Pod {
    pub folder: Folder,
    /// Whom the program trusts as API server and, through `caFile`, as endpoint.
    pub authority: Authority,
    env: Vec<(String, String)>,
    args: Vec<String>,
    config: Vec<u8>,
    config_at: Option<PathBuf>,
}

/// A run whose report was printed, and which waits before sending it.
pub struct Waiting {
    pub child: Child,
    pub report: String,
}

/// What a run left behind.
#[derive(Debug)]
pub struct Run {
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
    pub took: Duration,
}

impl Run {
    /// The lines of standard error.
    pub fn lines(&self) -> Vec<&str> {
        self.stderr.lines().collect()
    }

    /// The value of a key on the last line of the log.
    pub fn logged(&self, key: &str) -> Option<String> {
        let line = logfmt::parse(self.lines().last()?).ok()?;
        line.into_iter()
            .find(|(k, _)| k == key)
            .map(|(_, value)| value)
    }

    /// The answer to a command that a person typed, if that is all it says.
    pub fn answer(&self) -> Option<&str> {
        self.stderr.strip_prefix(logfmt::ANSWER)?.strip_suffix('\n')
    }

    /// All that anybody could see of it.
    pub fn text(&self) -> String {
        format!("{}{}", self.stdout, self.stderr)
    }
}

impl Pod {
    /// With a mounted ServiceAccount, and nowhere to go yet.
    pub fn new() -> Self {
        let (folder, authority) = (Folder::new(), Authority::new());
        folder.write("sa/token", format!("{TOKEN}\n"));
        // In a cluster that renews its CA there are two, the new one last.
        let old = Authority::named("acme-canary authority of old");
        let bundle = [old.pem(), authority.pem()].concat();
        folder.write("sa/ca.crt", &bundle);
        folder.write("ca.pem", bundle);
        let config = format!(
            "timeout: {TIMEOUT}\ncaFile: {}\n",
            folder.path().join("ca.pem").display()
        );
        Self {
            folder,
            authority,
            env: Vec::new(),
            args: Vec::new(),
            config: config.into_bytes(),
            config_at: None,
        }
    }

    /// The API server is on this port.
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

    /// Instead of the configuration file's usual text.
    pub fn config(self, text: &str) -> Self {
        self.config_bytes(text.as_bytes())
    }

    /// The text of the configuration file.
    pub fn config_text(&self) -> &[u8] {
        &self.config
    }

    pub fn config_bytes(mut self, bytes: &[u8]) -> Self {
        bytes.clone_into(&mut self.config);
        self
    }

    /// Instead of a configuration file of this pod's.
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

/// Waits for the end. Whatever a test is about, every line of the log has to be logfmt.
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

/// A pod in a recorded cluster, its API server, and an endpoint that accepts.
pub fn scene(name: &str) -> (Pod, Server, Server) {
    let pod = Pod::new();
    let api = api::serve(pod.authority.server(), &cluster(name));
    let endpoint = Server::accepting(Some(pod.authority.server()));
    let pod = pod.api(api.port).endpoint(&endpoint.https());
    (pod, api, endpoint)
}

/// The program, without a pod around it.
pub fn bare(args: &[&str]) -> Run {
    bare_with(args, &[])
}

pub fn bare_with(args: &[&str], env: &[(&str, &str)]) -> Run {
    run(env!("CARGO_BIN_EXE_metrics-responder"), args, env)
}

/// The program for a server's host.
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
