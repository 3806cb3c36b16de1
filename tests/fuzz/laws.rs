//! Checks laws that must hold for any bytes. The fuzzer calls these functions;
//! `tests/properties.rs` calls them with inputs that the fuzzer once found.

use std::io::Read;
use std::path::Path;

use metrics_responder::internals::{
    self, Config, Env, File, MANIFEST, Os, Rke2Config, Switch, Tally,
};

/// A function that panics if the law does not hold for these bytes.
pub type Law = fn(&[u8]);

/// Every law, by the name of its fuzz target.
pub const LAWS: [(&str, Law); 8] = [
    ("config", config),
    ("kubeconfig", kubeconfig),
    ("no_proxy", no_proxy),
    ("node_stream", node_stream),
    ("opt_out", opt_out),
    ("os_image", os_image),
    ("reply", reply),
    ("rke2_config", rke2_config),
];

/// A configuration is valid, or gives an error that names the file. An opt-out variable
/// turns reporting off.
pub fn config(data: &[u8]) {
    let file = || File::of("c.yaml", data);
    let env = Env::of(&[]);
    let loaded =
        Switch::find(&file(), &env).and_then(|switch| Config::load(file(), switch, &env, None));
    if let Err(error) = loaded {
        let text = error.to_string();
        assert!(text.starts_with("c.yaml: "), "{text}");
    }
    let opt_out = Env::of(&[("DO_NOT_TRACK", "1")]);
    assert!(matches!(Switch::find(&file(), &opt_out), Ok(Switch::Off { .. })));
}

/// The line `enabled: false` is an opt-out, whatever lines follow.
pub fn opt_out(data: &[u8]) {
    let text = [b"enabled: false\n", data].concat();
    let found = Switch::find(&File::of("c.yaml", &text), &Env::of(&[]));
    assert!(matches!(found, Ok(Switch::Off { .. })), "{found:?}");
}

/// A kubeconfig gives access or an error. The folder `/nowhere` keeps it from reading files of
/// this machine by relative paths.
pub fn kubeconfig(data: &[u8]) {
    if let Err(reason) = internals::kubeconfig(data, Path::new("/nowhere"), None) {
        assert!(!reason.is_empty());
    }
}

/// An exception stays an exception if the list gets longer. The first line is `NO_PROXY`, and the
/// rest is the host.
pub fn no_proxy(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let (list, host) = text.split_once('\n').unwrap_or((&text, "a.example"));
    let alone = internals::is_excepted(list, host, 443);
    assert!(!alone || internals::is_excepted(&format!("x.invalid, {list}"), host, 443));
    assert!(internals::is_excepted(&format!("{list},*"), host, 443));
    assert!(!internals::is_excepted("", host, 443));
}

/// A node list gives the same result in pieces of any size, and with the end of the buffer at any
/// place. The first byte is the size of the pieces, and also of the part of the list that fits into
/// the buffer after leading blanks.
pub fn node_stream(data: &[u8]) {
    let Some((size, json)) = data.split_first() else {
        return;
    };
    let whole: Option<Tally> = internals::nodes(json);
    let size = usize::from(*size).max(1);
    let mut text = vec![b' '; (16 << 10) - size];
    text.extend_from_slice(json);
    let pieces = Pieces { rest: &text, size };
    assert_eq!(internals::nodes(pieces), whole);
    if let Some(tally) = whole {
        assert_eq!(tally.servers + tally.agents, tally.nodes());
        assert_eq!(tally.os().is_none(), tally.nodes() == 0);
    }
}

/// Any osImage gives a word of the table.
pub fn os_image(data: &[u8]) {
    let os = Os::of(&String::from_utf8_lossy(data));
    assert!(Os::all().any(|known| known == os));
}

/// A reply is accepted only if it is JSON with the key.
pub fn reply(data: &[u8]) {
    if internals::read_reply(data).is_ok() {
        let text = String::from_utf8_lossy(data);
        assert!(text.contains("ersions") || text.contains("\\u"), "{text}");
    }
}

/// Patching a manifest twice gives the same as patching it once. A zero byte separates the
/// configuration from the manifest; without one, the built-in manifest is used.
pub fn rke2_config(data: &[u8]) {
    let mut parts = data.splitn(2, |byte| *byte == 0);
    let mut config = Rke2Config::default();
    config.add("c.yaml", parts.next().unwrap_or_default());
    let Ok((config, _)) = config.validate() else {
        return;
    };
    let own = parts.next().map(String::from_utf8_lossy);
    let manifest = own.as_deref().unwrap_or(MANIFEST);
    if let Ok(once) = internals::patch(manifest, &config, None) {
        let twice = internals::patch(&once, &config, None).expect("a patched manifest");
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
