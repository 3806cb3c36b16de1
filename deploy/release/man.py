#!/usr/bin/env python3
"""man.py PROGRAM VERSION DATE  <the program's --help  >its man page

A line of an unknown form is an error, so that the page omits nothing.
"""

import re
import sys

HOME = "https://github.com/rancher/rke2-metrics-responder"
# "Options of manifest:", "Environment (over the file):"
HEADING = re.compile(r"(?P<name>[A-Z][a-z ]+?)(?: \((?P<aside>.*)\))?:")
USAGE = re.compile(r"  (?P<term>metrics-responder\S* .*\])(?: +(?P<text>\S.*))?")
ENTRY = re.compile(r"  (?P<term>\S.*?)  +(?P<text>\S.*)")
MORE = re.compile(r" {8,}(?P<text>\S.*)")


def escape(text):
    """Hyphens stay ASCII, so that options can be copied; a dot or quote at the start is text and not a macro."""
    text = text.replace("\\", r"\e").replace("-", r"\-")
    return rf"\&{text}" if text.startswith((".", "'")) else text


def page(text, program, version, date):
    lines = text.splitlines()
    first = lines.pop(0)
    yield f'.TH {program.upper()} 1 "{date}" "{program} {version}" "User Commands"'
    # Neither hyphenation nor justification, which would break paths and options.
    yield from (".nh", ".ad l")
    yield ".SH NAME"
    yield f"{escape(program)} \\- {escape(first[0].lower() + first[1:].rstrip('.'))}"
    for line in filter(None, lines):
        if heading := HEADING.fullmatch(line):
            name = heading["name"]
            yield f".SH {'SYNOPSIS' if name == 'Usage' else escape(name.upper())}"
            if heading["aside"]:
                yield escape(heading["aside"][0].upper() + heading["aside"][1:] + ".")
        elif entry := USAGE.fullmatch(line) or ENTRY.fullmatch(line):
            # The only usage of a program needs no explanation.
            if entry["text"]:
                yield ".TP"
            yield rf"\fB{escape(entry['term'])}\fR"
            if entry["text"]:
                yield escape(entry["text"])
        elif more := MORE.fullmatch(line):
            yield from (".br", escape(more["text"]))
        else:
            sys.exit(f"the help has a line of an unknown form: {line!r}")
    yield from (".SH SEE ALSO", escape(HOME))


if __name__ == "__main__":
    print(*page(sys.stdin.read(), *sys.argv[1:]), sep="\n")
