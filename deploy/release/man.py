#!/usr/bin/env python3
"""man.py VERSION DATE  <the program's --help  >its man page

A line of a form that is not known here is an error, so that nothing of the help is lost on the way.
"""

import re
import sys

PROGRAM = "metrics-responder"
HOME = "https://github.com/rancher/rke2-metrics-responder"
# "Options of record: as above", "Environment (over the file):"
HEADING = re.compile(r"(?P<name>[A-Z][a-z ]+?)(?: \((?P<aside>.*)\))?:(?: (?P<text>.+))?")
USAGE = re.compile(rf"  (?P<term>{PROGRAM} .*\]) +(?P<text>\S.*)")
ENTRY = re.compile(r"  (?P<term>\S.*?)  +(?P<text>\S.*)")
MORE = re.compile(r" {8,}(?P<text>\S.*)")


def escape(text):
    """A hyphen that is typed is not one that is set; a line must not begin like a request."""
    text = text.replace("\\", r"\e").replace("-", r"\-")
    return rf"\&{text}" if text.startswith((".", "'")) else text


def page(text, version, date):
    lines = text.splitlines()
    first = lines.pop(0)
    yield f'.TH {PROGRAM.upper()} 1 "{date}" "{PROGRAM} {version}" "User Commands"'
    # No hyphenation, no justification: paths and options would suffer.
    yield from (".nh", ".ad l")
    yield ".SH NAME"
    yield f"{escape(PROGRAM)} \\- {escape(first[0].lower() + first[1:].rstrip('.'))}"
    for line in filter(None, lines):
        if heading := HEADING.fullmatch(line):
            name = heading["name"]
            yield f".SH {'SYNOPSIS' if name == 'Usage' else escape(name.upper())}"
            if heading["aside"]:
                yield escape(heading["aside"][0].upper() + heading["aside"][1:] + ".")
            if heading["text"]:
                yield escape(heading["text"] + ".")
        elif entry := USAGE.fullmatch(line) or ENTRY.fullmatch(line):
            yield from (".TP", rf"\fB{escape(entry['term'])}\fR", escape(entry["text"]))
        elif more := MORE.fullmatch(line):
            yield from (".br", escape(more["text"]))
        else:
            sys.exit(f"the help has a line of an unknown form: {line!r}")
    yield from (".SH SEE ALSO", escape(HOME))


if __name__ == "__main__":
    print(*page(sys.stdin.read(), *sys.argv[1:]), sep="\n")
