"""compare.py PROGRAM: `PROGRAM manifest` prints what the chart renders for the same configuration.

The chart is the one source; the program adapts a rendered copy of it, and both must agree.
"""

import subprocess
import sys
import tempfile
from pathlib import Path

import yaml

ROOT = Path(__file__).resolve().parents[2]
ENDPOINT = "https://receiver.example:8443/v1/checkupgrade"
# RKE2's configuration, and the chart's values that mean the same. All keys of the ConfigMap's file but caFile: a plain
# manifest has no file to name, and the chart has caBundle instead.
CASES = {
    "nothing set": ({}, {}),
    "disabled": ({"metrics-responder-enabled": False}, {"enabled": False}),
    "disabled in the configuration's file": ({"metrics-responder-config": {"enabled": False}}, {"enabled": False}),
    "endpoint and schedule": (
        {"metrics-responder-config": {"endpoint": ENDPOINT, "schedule": "17 */8 * * *"}},
        {"endpoint": ENDPOINT, "schedule": "17 */8 * * *"},
    ),
    "http": (
        {"metrics-responder-config": {"endpoint": "http://receiver.example/v1/checkupgrade", "allowHttp": True}},
        {"endpoint": "http://receiver.example/v1/checkupgrade", "allowHttp": True},
    ),
    "durations within the default deadline": (
        {"metrics-responder-config": {"spread": "1h30m", "gracePeriod": "0s", "timeout": "500ms"}},
        {"spread": "1h30m", "gracePeriod": "0s", "timeout": "500ms"},
    ),
    "a longer spread": ({"metrics-responder-config": {"spread": "2h"}}, {"spread": "2h"}),
    "a longer timeout": ({"metrics-responder-config": {"timeout": "1h"}}, {"timeout": "1h"}),
    "the longest spread": ({"metrics-responder-config": {"spread": "7h54m39s"}}, {"spread": "7h54m39s"}),
    "a deadline rounded up": (
        {"metrics-responder-config": {"spread": "0200m", "timeout": "1ms"}},
        {"spread": "0200m", "timeout": "1ms"},
    ),
    "disabled, with a longer spread": (
        {"metrics-responder-enabled": False, "metrics-responder-config": {"spread": "2h", "schedule": "@every 8h"}},
        {"enabled": False, "spread": "2h", "schedule": "@every 8h"},
    ),
    "private registry": (
        {"system-default-registry": "registry.example.com:5000"},
        {"global": {"systemDefaultRegistry": "registry.example.com:5000"}},
    ),
    "private registry with a path": (
        {"system-default-registry": "harbor.example.com:5000/a/b-c_d"},
        {"global": {"systemDefaultRegistry": "harbor.example.com:5000/a/b-c_d"}},
    ),
    "disabled in a private registry": (
        {"system-default-registry": "registry.example.com:5000", "metrics-responder-enabled": False},
        {"global": {"systemDefaultRegistry": "registry.example.com:5000"}, "enabled": False},
    ),
}
# What both must refuse, and a word that both messages must contain.
REFUSED = {
    "a run longer than the default schedule's period": (
        {"metrics-responder-config": {"spread": "7h54m40s"}},
        {"spread": "7h54m40s"},
        "spread",
    ),
    "a grace period longer than a year": (
        {"metrics-responder-config": {"gracePeriod": "8760h1ms"}},
        {"gracePeriod": "8760h1ms"},
        "gracePeriod",
    ),
    "http that is not allowed": (
        {"metrics-responder-config": {"endpoint": "http://receiver.example/"}},
        {"endpoint": "http://receiver.example/"},
        "allowHttp",
    ),
    "a misspelt opt-out": (
        {"metrics-responder-enable": False},
        {"metrics-responder-enable": False},
        "metrics-responder-enable",
    ),
}


def objects(text):
    """By kind, with the file inside the ConfigMap parsed as well: only its meaning has to agree."""
    found = {}
    for item in yaml.safe_load_all(text):
        if item is None:
            continue
        if item["kind"] == "ConfigMap":
            item["data"]["config.yaml"] = yaml.safe_load(item["data"]["config.yaml"])
        found[item["kind"]] = item
    return found


def run(*command):
    return subprocess.run(command, cwd=ROOT, check=False, capture_output=True, text=True)


def both(program, config, values):
    """What program and chart make of the same configuration."""
    with tempfile.TemporaryDirectory() as folder:
        config_file, values_file = Path(folder, "config.yaml"), Path(folder, "values.yaml")
        config_file.write_text(yaml.safe_dump(config))
        values_file.write_text(yaml.safe_dump(values))
        chart = ["deploy/helm", "template", "rke2-metrics-responder", "deploy/chart", "--namespace", "kube-system"]
        return run(program, "manifest", "--rke2-config", config_file), run(*chart, "--values", values_file)


def difference(program, config, values):
    printed, rendered = both(program, config, values)
    for name, result in [("manifest", printed), ("chart", rendered)]:
        if result.returncode != 0:
            return f"  {name}: {result.stderr}"
    ours, theirs = objects(printed.stdout), objects(rendered.stdout)
    return "".join(
        f"  {kind}:\n    manifest: {ours.get(kind)}\n    chart:    {theirs.get(kind)}\n"
        for kind in sorted(ours.keys() | theirs.keys())
        if ours.get(kind) != theirs.get(kind)
    )


def acceptance(program, config, values, word):
    faults = ""
    for name, result in zip(["manifest", "chart"], both(program, config, values), strict=True):
        if result.returncode == 0:
            faults += f"  {name}: accepted\n"
        elif word not in result.stderr:
            faults += f"  {name}: does not say {word}: {result.stderr}"
    return faults


def main(program):
    failed = 0
    for cases, judge in [(CASES, difference), (REFUSED, acceptance)]:
        for name, case in cases.items():
            fault = judge(program, *case)
            if fault:
                failed += 1
                print(f"FAILED {name}:\n{fault}", end="")
    print(f"{len(CASES) + len(REFUSED) - failed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
