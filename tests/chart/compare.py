"""compare.py PROGRAM: `metrics-responder manifest` prints what the chart renders for the same wish.

The chart is the one source; the program adapts a copy of it, and the two ways must not part.
"""

import subprocess
import sys
import tempfile
from pathlib import Path

import yaml

ROOT = Path(__file__).resolve().parents[2]
# RKE2's configuration, and the chart's values that mean the same.
CASES = {
    "nothing set": ("", {}),
    "disabled": ("metrics-responder-enabled: false\n", {"enabled": False}),
    "endpoint and schedule": (
        'metrics-responder-config:\n  endpoint: "https://receiver.example:8443/v1/checkupgrade"\n  schedule: "17 */8 * * *"\n',
        {"endpoint": "https://receiver.example:8443/v1/checkupgrade", "schedule": "17 */8 * * *"},
    ),
    "private registry": (
        "system-default-registry: registry.example.com:5000\n",
        {"global": {"systemDefaultRegistry": "registry.example.com:5000"}},
    ),
    "disabled in a private registry": (
        "system-default-registry: registry.example.com:5000\nmetrics-responder-enabled: false\n",
        {"global": {"systemDefaultRegistry": "registry.example.com:5000"}, "enabled": False},
    ),
}


def objects(text):
    """By kind, with the configuration inside the ConfigMap read too: how it is written does not matter."""
    found = {}
    for item in yaml.safe_load_all(text):
        if item is None:
            continue
        if item["kind"] == "ConfigMap":
            item["data"]["config.yaml"] = yaml.safe_load(item["data"]["config.yaml"])
        found[item["kind"]] = item
    return found


def run(*command):
    return subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout


def main(program):
    failed = 0
    for name, (config, values) in CASES.items():
        with tempfile.TemporaryDirectory() as folder:
            config_file, values_file = Path(folder, "config.yaml"), Path(folder, "values.yaml")
            config_file.write_text(config)
            values_file.write_text(yaml.safe_dump(values))
            printed = objects(run(program, "manifest", "--rke2-config", config_file))
            rendered = objects(
                run("deploy/helm", "template", "rke2-metrics-responder", "deploy/chart",
                    "--namespace", "kube-system", "--values", values_file)
            )
        if printed != rendered:
            failed += 1
            for kind in sorted(printed.keys() | rendered.keys()):
                if printed.get(kind) != rendered.get(kind):
                    print(f"{name}: {kind}:\n  manifest: {printed.get(kind)}\n  chart:    {rendered.get(kind)}")
    print(f"{len(CASES) - failed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
