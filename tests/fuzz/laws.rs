//! What must hold for any bytes whatever. The fuzzer calls these, and `tests/properties.rs` replays what it
//! once found.

use std::io::Read;
use std::path::Path;

use metrics_responder::config::Config;
use metrics_responder::env::Env;
use metrics_responder::kube::{kubeconfig, nodes};
use metrics_responder::manifest::{self, Settings};
use metrics_responder::os::Os;
use metrics_responder::{proxy, send};

/// Holds for these bytes, or panics.
pub type Law = fn(&[u8]);

/// Every law, by the name of its fuzz target.
pub const LAWS: [(&str, Law); 7] = [
    ("config", config),
    ("kubeconfig", kubeconfig),
    ("no_proxy", no_proxy),
    ("node_stream", node_stream),
    ("os_image", os_image),
    ("reply", reply),
    ("rke2_config", rke2_config),
];

/// A configuration is enabled, disabled, or wrong in one line that names its file.
pub fn config(data: &[u8]) {
    let path = Path::new("c.yaml");
    if let Err(error) = Config::from_text(data, path, None, &Env::of(&[])) {
        let text = error.to_string();
        assert!(text.starts_with("c.yaml: "), "{text}");
    }
}

/// A kubeconfig gives access or a reason. `/nowhere` keeps it from reading this machine's files by relative
/// paths.
pub fn kubeconfig(data: &[u8]) {
    if let Err(reason) = kubeconfig::from_text(data, Path::new("/nowhere")) {
        assert!(!reason.is_empty());
    }
}

/// First line `NO_PROXY`, second the host: an exception stays one whatever is added to the list.
pub fn no_proxy(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let (list, host) = text.split_once('\n').unwrap_or((&text, "a.example"));
    let alone = proxy::is_excepted(list, host, 443);
    assert!(!alone || proxy::is_excepted(&format!("x.invalid, {list}"), host, 443));
    assert!(proxy::is_excepted(&format!("{list},*"), host, 443));
    assert!(!proxy::is_excepted("", host, 443));
}

/// The first byte is the size of the pieces in which the rest arrives, which must not matter.
pub fn node_stream(data: &[u8]) {
    let Some((size, json)) = data.split_first() else {
        return;
    };
    let whole = nodes::tally(json).ok();
    let pieces = Pieces {
        rest: json,
        size: usize::from(*size).max(1),
    };
    assert_eq!(nodes::tally(pieces).ok(), whole);
    if let Some(tally) = whole {
        assert_eq!(tally.servers + tally.agents, tally.nodes());
        assert_eq!(tally.os().is_none(), tally.nodes() == 0);
    }
}

/// Any text gives a word of the table.
pub fn os_image(data: &[u8]) {
    let os = Os::of(&String::from_utf8_lossy(data));
    assert!(Os::all().any(|known| known == os));
}

/// Any reply is judged. Only JSON with the key is accepted.
pub fn reply(data: &[u8]) {
    if send::read_reply(data).is_ok() {
        let text = String::from_utf8_lossy(data);
        assert!(text.contains("ersions") || text.contains("\\u"), "{text}");
    }
}

/// A zero byte divides the configuration from a manifest; without one the manifest is the built-in one.
/// Patching twice is patching once.
pub fn rke2_config(data: &[u8]) {
    let mut parts = data.splitn(2, |byte| *byte == 0);
    let mut settings = Settings::default();
    if settings
        .add("c.yaml", parts.next().unwrap_or_default())
        .is_err()
    {
        return;
    }
    let own = parts.next().map(String::from_utf8_lossy);
    let manifest = own.as_deref().unwrap_or(manifest::MANIFEST);
    if let Ok(once) = manifest::patch(manifest, &settings, None) {
        let twice = manifest::patch(&once, &settings, None).expect("a patched manifest");
        assert_eq!(twice, once);
    }
}

struct Pieces<'a> {
    rest: &'a [u8],
    size: usize,
}

impl Read for Pieces<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let n = self.size.min(buffer.len());
        self.rest.read(&mut buffer[..n])
    }
}
