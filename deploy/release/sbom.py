#!/usr/bin/env python3
"""sbom.py BINARY...  <cargo-cyclonedx's SBOM  >the one to publish

The crates that cargo-auditable recorded in the binaries decide: each must be in the SBOM with the same version; the
others were only needed to compile and get the scope "excluded".
"""

import json
import re
import struct
import sys
import zlib
from pathlib import Path


def linked(binary):
    """Name and version of each dependency at run time."""
    audit = json.loads(zlib.decompress(section(binary, b".dep-v0")))
    packages = [p for p in audit["packages"] if p.get("kind", "runtime") == "runtime"]
    return {(p["name"], p["version"]) for p in packages if not p.get("root")}


def section(binary, wanted):
    """The bytes of a section of a 64-bit little-endian ELF file."""
    elf = Path(binary).read_bytes()
    table = struct.unpack_from("<Q", elf, 40)[0]
    size, count, names = struct.unpack_from("<HHH", elf, 58)
    headers = [struct.unpack_from("<IIQQQQ", elf, table + i * size) for i in range(count)]
    strings = headers[names][4]
    for name, _, _, _, offset, length in headers:
        if elf[strings + name :].startswith(wanted + b"\0"):
            return elf[offset : offset + length]
    sys.exit(f"{binary}: no section {wanted.decode()}, so it was built without cargo-auditable")


def main():
    binaries = sys.argv[1:]
    crates = linked(binaries[0])
    for binary in binaries[1:]:
        if other := linked(binary) ^ crates:
            sys.exit(f"{binary}: other crates than in {binaries[0]}: {sorted(other)}")
    # Paths of the machine that built it would be published, and would differ between machines.
    text = re.sub(r"path\+file://[^#\"]*#", "", sys.stdin.read())
    sbom = json.loads(re.sub(r"\?download_url=file:[^\"]*", "", text))
    known = {(c["name"], c["version"]) for c in sbom["components"]}
    if missing := crates - known:
        sys.exit(f"not in the SBOM: {sorted(missing)}")
    for component in sbom["components"]:
        if (component["name"], component["version"]) not in crates:
            component["scope"] = "excluded"
    json.dump(sbom, sys.stdout, indent=2, ensure_ascii=False)
    print()
    print(f"{len(crates)} dependencies at run time, {len(known - crates)} only to compile", file=sys.stderr)


if __name__ == "__main__":
    main()
