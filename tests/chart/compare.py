"""compare.py RESPONDER MANIFEST-WRITER: the two programs agree with the chart.

The responder takes and refuses the values of values-both.yaml, and the manifest writer prints what the chart renders
for the same configuration. The chart is the one source: the writer adapts a rendered copy of it.
"""

import json
import os
import subprocess
import sys
import tempfile
from functools import partial
from pathlib import Path

import yaml
from validate import ROOT, one, parse, rows, run_all, template, values_of

ENDPOINT = "https://receiver.example:8443/v1/checkupgrade"
RECORDED = ROOT / "testdata/clusters/kind"
# RKE2's configuration, and the chart's values that mean the same. All keys of the ConfigMap's file but caFile: a plain
# manifest has no file to name, and the chart has caBundle instead.
SAME = {
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
    "disabled, with a longer spread": (
        {"metrics-responder-enabled": False, "metrics-responder-config": {"spread": "2h", "schedule": "@every 8h"}},
        {"enabled": False, "spread": "2h", "schedule": "@every 8h"},
    ),
    "disabled in a private registry": (
        {"system-default-registry": "registry.example.com:5000", "metrics-responder-enabled": False},
        {"global": {"systemDefaultRegistry": "registry.example.com:5000"}, "enabled": False},
    ),
    # Within the default deadline; beyond it; rounded up to a whole second; the longest.
    **{f"{values}": ({"metrics-responder-config": values}, values) for values in [
        {"spread": "1h30m", "gracePeriod": "0s", "timeout": "500ms"},
        {"spread": "2h"},
        {"timeout": "1h"},
        {"spread": "0200m", "timeout": "1ms"},
        {"spread": "7h54m39s"},
        {"spread": "24h", "timeout": "24h", "schedule": "@weekly"},
    ]},
    **{name: ({"system-default-registry": name}, {"global": {"systemDefaultRegistry": name}}) for name in [
        "registry.example.com:5000", "harbor.example.com:5000/a/b-c_d", "registry.example.com/docker.io/",
    ]},
}  # fmt: skip
# Both must refuse these, with a message that contains the word.
REFUSED = {
    "a run longer than the default schedule's period": ({"spread": "7h54m40s"}, "spread"),
    "a grace period longer than a year": ({"gracePeriod": "8760h1ms"}, "gracePeriod"),
    "a longer wait than a day": ({"spread": "30h", "schedule": "@weekly"}, "spread"),
    "http that is not allowed": ({"endpoint": "http://receiver.example/"}, "allowHttp"),
}


def objects(text):
    """By kind, with the file inside the ConfigMap parsed as well: only its meaning has to agree."""
    found = {item["kind"]: item for item in parse(text)}
    data = found["ConfigMap"]["data"]
    data["config.yaml"] = yaml.safe_load(data["config.yaml"])
    return found


def written(program, config):
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "config.yaml")
        file.write_text(yaml.safe_dump(config))
        return subprocess.run([program, "--rke2-config", file], check=False, capture_output=True, text=True)


def check_same(program, config, values, name, t):
    run, rendering = written(program, config), template(values=values)
    t.check(f"{name}: written", run.returncode == 0, run.stderr)
    ours, theirs = objects(run.stdout), objects(rendering.stdout)
    for kind in sorted(ours.keys() | theirs.keys()):
        t.equal(f"{name}: {kind}", ours.get(kind), theirs.get(kind))


def check_refused(program, config, values, word, name, t):
    t.refused(f"{name}: writer", written(program, config), word)
    t.refused(f"{name}: chart", template(values=values), word)


def answer(program, config, variables):
    """The responder's exit status with this text as its file, and what it says."""
    with tempfile.NamedTemporaryFile("w", suffix=".yaml") as file:
        file.write(config)
        file.flush()
        command = [program, "--dry-run", "--recorded", RECORDED, "--config", file.name]
        run = subprocess.run(command, env=variables, check=False, capture_output=True, text=True)
    return run.returncode, run.stderr


def check_row(program, group, value, accepted, name, t):
    """A value that is accepted goes through the chart: the program reads what a pod would read."""
    values = values_of(group, value)
    if accepted:
        rendered = parse(template(values=values).stdout)
        config = one(rendered, "ConfigMap")["data"]["config.yaml"]
        pod = one(rendered, "CronJob")["spec"]["jobTemplate"]["spec"]["template"]["spec"]
        variables = {variable["name"]: variable["value"] for variable in pod["containers"][0].get("env", [])}
    else:
        config = json.dumps({key: values[key] for key in values if key not in ("extraEnv", "proxy", "schedule")})
        variables = {variable["name"]: variable["value"] for variable in values.get("extraEnv", [])}
        variables |= {"https_proxy": values["proxy"]["httpsProxy"]} if "proxy" in values else {}
    code, error = answer(program, config, variables)
    t.check(name, code == (0 if accepted else 2), f"status {code} {error}")


def units(responder, writer):
    for name, case in SAME.items():
        yield name, partial(check_same, writer, *case)
    for name, (values, word) in REFUSED.items():
        yield name, partial(check_refused, writer, {"metrics-responder-config": values}, values, word)
    misspelt = {"metrics-responder-enable": False}
    yield "a misspelt opt-out", partial(check_refused, writer, misspelt, misspelt, "metrics-responder-enable")
    for group, value, accepted in rows():
        yield f"{group['key']} {value!r}", partial(check_row, responder, group, value, accepted)


if __name__ == "__main__":
    sys.exit(run_all(units(*map(os.path.abspath, sys.argv[1:]))))
