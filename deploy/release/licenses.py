#!/usr/bin/env python3
"""licenses.py BINARY...  prints the licence texts of all that is linked into the static binaries

These are the crates, Rust's standard library with its own crates, and musl. Most of their licences require that the
text accompanies a binary; so does OpenSSL's, which covers parts of AWS-LC. A missing text is an error. The start-up
objects that come from GCC are free of conditions, by its runtime library exception.
"""

import html
import json
import re
import subprocess
import sys
from collections import defaultdict
from pathlib import Path

from sbom import linked

FILE = re.compile(r"(licen[cs]e|copying|copyright|notice|unlicense)\b.*", re.IGNORECASE)
RULE = "=" * 80
# In Debian's package musl-dev.
MUSL = Path("/usr/share/doc/musl-dev/copyright")


def sources():
    """The folder of each crate's sources, by name and version."""
    command = ["cargo", "metadata", "--locked", "--all-features", "--format-version", "1"]
    metadata = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    return {(p["name"], p["version"]): Path(p["manifest_path"]).parent for p in metadata["packages"]}


def of_crates(crates):
    folders = sources()
    for name, version in sorted(crates):
        files = sorted(f for f in folders[name, version].iterdir() if FILE.fullmatch(f.name))
        if not files:
            sys.exit(f"{name} {version}: no licence file")
        for file in files:
            yield file.read_text(), f"{name} {version}"


def of_rust():
    """Rust's own notices, the texts that they name, and those of the crates that its library is made of."""
    sysroot = subprocess.run(["rustc", "--print", "sysroot"], check=True, capture_output=True, text=True).stdout.strip()
    folder = Path(sysroot, "share/doc/rust")
    # A heading for each crate, each of its notices in a <pre>.
    own, *crates = re.split(r"<h3>\W*", (folder / "COPYRIGHT-library.html").read_text())
    if not crates:
        sys.exit(f"{folder}: Rust's notices have another form than expected")
    yield plain(own), "Rust's standard library"
    # LLVM's exception is for libunwind and compiler-rt; the others are in the notices of the crates.
    for name in ("Apache-2.0", "BSD-2-Clause", "LLVM-exception", "MIT", "Unicode-3.0"):
        yield (folder / "licenses" / f"{name}.txt").read_text(), "Rust's standard library"
    for crate in crates:
        for notice in re.findall(r"<pre>(.*?)</pre>", crate, re.DOTALL):
            yield html.unescape(notice), f"Rust's standard library: {crate.split('<')[0]}"


def plain(page):
    """The text of an HTML page."""
    body = page.split("<body>")[-1]
    return re.sub(r"\n\s*\n+", "\n\n", html.unescape(re.sub(r"<[^>]+>", "", body)))


def texts(crates):
    """The users of each text: many share one."""
    users = defaultdict(list)
    musl = (MUSL.read_text(), "musl") if MUSL.exists() else sys.exit(f"{MUSL}: musl's licences are not there")
    for text, user in [*of_crates(crates), *of_rust(), musl]:
        named = users[text.strip()]
        if user not in named:
            named.append(user)
    return users


def main():
    crates = set().union(*map(linked, sys.argv[1:]))
    for text, users in texts(crates).items():
        print(RULE, *users, RULE, "", text, "", sep="\n")


if __name__ == "__main__":
    main()
