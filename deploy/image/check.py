"""check.py ARCH BINARY ARCHIVE: checks that the docker-archive is the image it should be.

It must hold one layer with one file, which is BINARY: static, made for the image's architecture, reporting the recorded
clusters as expected, and accepted by a TLS server. With FIPS=1 the binary must also have AWS-LC's FIPS module.
"""

import hashlib
import http.server
import io
import json
import os
import platform
import ssl
import struct
import subprocess
import sys
import tarfile
import tempfile
import threading
import tomllib
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
FIPS = bool(os.environ.get("FIPS"))
VERSION = tomllib.loads((ROOT / "Cargo.toml").read_text())["package"]["version"]
TAG = f"v{VERSION}-fips" if FIPS else f"v{VERSION}"
NAME = f"docker.io/rancher/rke2-metrics-responder:{TAG}"
RELEASES = "https://github.com/rancher/rke2-metrics-responder/releases"
NOTICES = "metrics-responder-fips.licenses.txt" if FIPS else "metrics-responder.licenses.txt"
LABELS = {
    "org.opencontainers.image.title": "rke2-metrics-responder",
    "org.opencontainers.image.description": "Reports version, size, CNI and OS family of an RKE2 or K3s cluster",
    "org.opencontainers.image.source": "https://github.com/rancher/rke2-metrics-responder",
    "org.opencontainers.image.licenses": "Apache-2.0",
    "org.opencontainers.image.version": TAG,
    "io.github.rancher.rke2-metrics-responder.notices": f"{RELEASES}/download/v{VERSION}/{NOTICES}",
}
# ELF's e_machine, and uname -m.
MACHINES = {"amd64": (62, "x86_64"), "arm64": (183, "aarch64")}
PT_DYNAMIC, PT_INTERP, DT_NULL, DT_NEEDED = 2, 3, 0, 1
# A text inside the FIPS module, which only an error prints.
IN_MODULE = b"ML-KEM keygen PCT failed"


def must(what, found, expected):
    if found != expected:
        sys.exit(f"FAILED {what}: found {found!r}, expected {expected!r}")


def read(archive):
    """The image's configuration and its only layer."""
    with tarfile.open(archive) as tar:
        manifest = json.load(tar.extractfile("manifest.json"))
        must("images in the archive", len(manifest), 1)
        must("name", manifest[0]["RepoTags"], [NAME])
        must("layers", len(manifest[0]["Layers"]), 1)
        config = json.load(tar.extractfile(manifest[0]["Config"]))
        layer = tar.extractfile(manifest[0]["Layers"][0]).read()
    must("diff_ids", config["rootfs"]["diff_ids"], ["sha256:" + hashlib.sha256(layer).hexdigest()])
    return config, layer


def check_config(config, arch):
    must("os", config["os"], "linux")
    must("architecture", config["architecture"], arch)
    must("created", config["created"], "1970-01-01T00:00:00Z")
    run = config["config"]
    must("User", run.get("User"), "65532:65532")
    must("Entrypoint", run.get("Entrypoint"), ["/metrics-responder"])
    must("Cmd", run.get("Cmd"), None)
    must("WorkingDir", run.get("WorkingDir") or "/", "/")
    must("Labels", run.get("Labels"), LABELS)


def only_file(layer):
    with tarfile.open(fileobj=io.BytesIO(layer)) as tar:
        members = tar.getmembers()
        must("files", [m.name.lstrip("./") for m in members], ["metrics-responder"])
        file = members[0]
        must("type", file.isreg(), True)
        must("owner and mode", (file.uid, file.gid, oct(file.mode & 0o7777)), (0, 0, "0o755"))
        return tar.extractfile(file).read()


def check_elf(data, arch):
    """The machine of a 64-bit little-endian ELF file, and that it loads nothing at run time."""
    must("ELF", data[:6], b"\x7fELF\x02\x01")
    must("ELF machine", struct.unpack_from("<H", data, 18)[0], MACHINES[arch][0])
    table = struct.unpack_from("<Q", data, 32)[0]
    size, count = struct.unpack_from("<HH", data, 54)
    for i in range(count):
        kind, _, offset, _, _, length = struct.unpack_from("<IIQQQQ", data, table + i * size)
        must("interpreter", kind == PT_INTERP, False)
        if kind == PT_DYNAMIC:
            # A static-pie has a dynamic section for its own relocations, but needs no library.
            must("shared libraries", needed(data[offset : offset + length]), 0)


def needed(dynamic):
    count = 0
    for tag, _ in struct.iter_unpack("<qQ", dynamic):
        if tag == DT_NULL:
            break
        count += tag == DT_NEEDED
    return count


@contextmanager
def program(data, arch):
    """The command that runs these bytes, under qemu if they are for another machine."""
    machine = MACHINES[arch][1]
    emulator = [] if machine == platform.machine() else [qemu(machine)]
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "metrics-responder"
        file.write_bytes(data)
        file.chmod(0o755)
        yield [*emulator, str(file)]


def qemu(machine):
    command = f"qemu-{machine}-static"
    packages(f"qemu-user-static:{command}")
    return command


def packages(*names):
    if subprocess.run([ROOT / "deploy/tools/packages", *names], check=False).returncode:
        sys.exit(1)  # The script said on one line what is missing.


def run(command, **environment):
    return subprocess.run(command, capture_output=True, text=True, errors="replace", check=False, env=environment)


def output(command):
    done = run(command)
    must(" ".join(command) + f" ({done.stderr.strip()}): exit code", done.returncode, 0)
    return done.stdout


def clusters():
    return sorted((ROOT / "testdata/clusters").iterdir())


def check_runs(command):
    commit = subprocess.run(ROOT / "deploy/image/commit", check=True, capture_output=True, text=True).stdout.strip()
    built = ", ".join(filter(None, ["aws-lc-fips" if FIPS else "ring", commit]))
    must("--version", output([*command, "--version"]), f"metrics-responder {VERSION} ({built})\n")
    for cluster in clusters():
        report = output([*command, "--recorded", str(cluster), "--dry-run"])
        expected = json.loads((cluster / "expected-payload.json").read_text())
        must(f"report of {cluster.name}", json.loads(report), expected)


class Receiver(http.server.BaseHTTPRequestHandler):
    """Accepts every report."""

    def do_POST(self):
        self.rfile.read(int(self.headers["Content-Length"]))
        reply = b'{"versions":[]}'
        self.send_response(200)
        self.send_header("Content-Length", str(len(reply)))
        self.end_headers()
        self.wfile.write(reply)

    def log_message(self, *_):
        pass


@contextmanager
def receiver(cipher):
    """The URL of a TLS 1.2 server that knows this cipher alone, and the file with its certificate."""
    packages("openssl:openssl")
    with tempfile.TemporaryDirectory() as folder:
        key, certificate = (str(Path(folder) / name) for name in ("key.pem", "certificate.pem"))
        options = "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 1 -subj /CN=receiver"
        extensions = "-addext subjectAltName=IP:127.0.0.1 -addext basicConstraints=critical,CA:FALSE"
        make = ["openssl", *options.split(), *extensions.split(), "-keyout", key, "-out", certificate]
        subprocess.run(make, check=True, capture_output=True)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate, key)
        context.maximum_version = ssl.TLSVersion.TLSv1_2
        context.set_ciphers(cipher)
        with http.server.HTTPServer(("127.0.0.1", 0), Receiver) as server:
            server.socket = context.wrap_socket(server.socket, server_side=True)
            threading.Thread(target=server.serve_forever, daemon=True).start()
            yield f"https://127.0.0.1:{server.server_port}/", certificate
            server.shutdown()


def check_tls(command):
    """Only the provider without FIPS offers ChaCha20, which is no approved algorithm."""
    for cipher, status in (
        ("ECDHE-ECDSA-AES256-GCM-SHA384", 0),
        ("ECDHE-ECDSA-CHACHA20-POLY1305", 3 if FIPS else 0),
    ):
        with receiver(cipher) as (url, certificate):
            arguments = ["--strict", "--recorded", str(clusters()[0]), "--endpoint", url]
            done = run([*command, *arguments], METRICS_RESPONDER_CA_FILE=certificate)
        must(f"{cipher} ({done.stderr.strip()}): exit code", done.returncode, status)


def check_module(data, arch):
    """At each start the FIPS module compares itself with the checksum in it: with one bit changed, nothing may run."""
    must("times that the FIPS module is there", data.count(IN_MODULE), 1 if FIPS else 0)
    if FIPS:
        at = data.index(IN_MODULE)
        changed = data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]
        with program(changed, arch) as command:
            done = run([*command, "--version"])
        must("output with a changed FIPS module", done.stdout, "")
        failure = done.stderr.splitlines()[:2]
        expected = ["AWS-LC FIPS failure caused by:", "FIPS integrity test failed."]
        must("failure with a changed FIPS module", failure, expected)


def main():
    arch, binary, archive = sys.argv[1:]
    config, layer = read(archive)
    check_config(config, arch)
    data = only_file(layer)
    must("file is the given binary", hashlib.sha256(data).digest(), hashlib.sha256(Path(binary).read_bytes()).digest())
    check_elf(data, arch)
    with program(data, arch) as command:
        check_runs(command)
        check_tls(command)
    check_module(data, arch)
    variant = "with the FIPS module " if FIPS else ""
    image = hashlib.sha256(layer).hexdigest()[:12]
    print(f"{arch}: one static file {variant}of {len(data)} bytes, which runs; image {image}")


if __name__ == "__main__":
    main()
