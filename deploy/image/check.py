"""check.py ARCH BINARY ARCHIVE: proves that the docker-archive is the image that it should be.

It must hold one layer with one file, which is BINARY: static, made for the machine that the image names, and running.
"""

import hashlib
import io
import json
import platform
import shutil
import struct
import subprocess
import sys
import tarfile
import tempfile
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
VERSION = tomllib.loads((ROOT / "Cargo.toml").read_text())["package"]["version"]
NAME = f"docker.io/rancher/rke2-metrics-responder:v{VERSION}"
LABELS = {
    "org.opencontainers.image.title": "rke2-metrics-responder",
    "org.opencontainers.image.description": "Reports version, size, CNI and OS family of an RKE2 or K3s cluster",
    "org.opencontainers.image.source": "https://github.com/rancher/rke2-metrics-responder",
    "org.opencontainers.image.licenses": "Apache-2.0",
    "org.opencontainers.image.version": f"v{VERSION}",
}
# ELF's e_machine, and uname -m.
MACHINES = {"amd64": (62, "x86_64"), "arm64": (183, "aarch64")}
PT_DYNAMIC, PT_INTERP, DT_NULL, DT_NEEDED = 2, 3, 0, 1


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
    """64-bit little-endian ELF: the machine, and that nothing is loaded at run time."""
    must("ELF", data[:6], b"\x7fELF\x02\x01")
    must("ELF machine", struct.unpack_from("<H", data, 18)[0], MACHINES[arch][0])
    table = struct.unpack_from("<Q", data, 32)[0]
    size, count = struct.unpack_from("<HH", data, 54)
    for i in range(count):
        kind, _, offset, _, _, length = struct.unpack_from("<IIQQQQ", data, table + i * size)
        must("interpreter", kind == PT_INTERP, False)
        if kind == PT_DYNAMIC:
            # A static-pie has a dynamic section for its own relocations, but needs no library.
            must("shared libraries", needed(data[offset:offset + length]), 0)


def needed(dynamic):
    count = 0
    for tag, _ in struct.iter_unpack("<qQ", dynamic):
        if tag == DT_NULL:
            break
        count += tag == DT_NEEDED
    return count


def check_runs(data, arch):
    """The very bytes of the image, under qemu where they are for another machine."""
    machine = MACHINES[arch][1]
    emulator = [] if machine == platform.machine() else [qemu(machine)]
    with tempfile.TemporaryDirectory() as folder:
        program = Path(folder) / "metrics-responder"
        program.write_bytes(data)
        program.chmod(0o755)
        command = [*emulator, str(program)]
        must("--version", output([*command, "--version"]).split()[-1:], [VERSION])
        for cluster in sorted((ROOT / "testdata/clusters").iterdir()):
            report = output([*command, "--recorded", str(cluster), "--dry-run"])
            expected = json.loads((cluster / "expected-payload.json").read_text())
            must(f"report of {cluster.name}", json.loads(report), expected)


def qemu(machine):
    command = f"qemu-{machine}-static"
    if not shutil.which(command):
        subprocess.run(["apt-get", "update", "-qq"], check=True)
        install = ["apt-get", "install", "-qq", "-y", "--no-install-recommends", "qemu-user-static"]
        subprocess.run(install, check=True, stdout=subprocess.DEVNULL)
    return command


def output(command):
    run = subprocess.run(command, capture_output=True, text=True, check=False)
    must(" ".join(command) + f" ({run.stderr.strip()}): exit code", run.returncode, 0)
    return run.stdout


def main():
    arch, binary, archive = sys.argv[1:]
    config, layer = read(archive)
    check_config(config, arch)
    data = only_file(layer)
    must("file is the given binary", hashlib.sha256(data).digest(), hashlib.sha256(Path(binary).read_bytes()).digest())
    check_elf(data, arch)
    check_runs(data, arch)
    print(f"{arch}: one static file of {len(data)} bytes, which runs; image {hashlib.sha256(layer).hexdigest()[:12]}")


if __name__ == "__main__":
    main()
