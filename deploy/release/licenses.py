#!/usr/bin/env python3
"""licenses.py BINARY...  prints the licence texts of the crates in the binaries

Most of these licences require that their text accompanies a binary; so does OpenSSL's, which covers parts of AWS-LC. A
crate without such a file is an error.
"""

import json
import re
import subprocess
import sys
from collections import defaultdict
from pathlib import Path

from sbom import linked

FILE = re.compile(r"(licen[cs]e|copying|copyright|notice|unlicense)\b.*", re.IGNORECASE)
RULE = "=" * 80


def sources():
    """The folder of each crate's sources, by name and version."""
    command = ["cargo", "metadata", "--locked", "--all-features", "--format-version", "1"]
    metadata = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    return {(p["name"], p["version"]): Path(p["manifest_path"]).parent for p in metadata["packages"]}


def texts(crates):
    """The crates of each text: many share one."""
    folders = sources()
    users = defaultdict(list)
    for name, version in sorted(crates):
        files = sorted(f for f in folders[name, version].iterdir() if FILE.fullmatch(f.name))
        if not files:
            sys.exit(f"{name} {version}: no licence file")
        for file in files:
            text = file.read_text().strip()
            if f"{name} {version}" not in users[text]:
                users[text].append(f"{name} {version}")
    return users


def main():
    crates = set().union(*map(linked, sys.argv[1:]))
    for text, users in texts(crates).items():
        print(RULE, *users, RULE, "", text, "", sep="\n")


if __name__ == "__main__":
    main()
