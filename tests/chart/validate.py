"""Checks what the chart renders, as parsed objects and never as template text.

Each check that fails is one line of output; the last line counts them all.
"""

import json
import os
import re
import subprocess
import sys
import tarfile
import tempfile
import tomllib
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import cache, partial
from pathlib import Path

import kubernetes_validate
import yaml

ROOT = Path(__file__).resolve().parents[2]
HERE = ROOT / "tests/chart"
# Besides the chart, all that states the version of this chart.
VERSIONED = ["Cargo.toml", "deploy/upgrade-responder.yaml", ".github/CHANGELOG.md"]
NAME = "rke2-metrics-responder"
NAMESPACE = "kube-system"
CLUSTER_WIDE = {"ClusterRole", "ClusterRoleBinding"}
# The oldest and the newest Kubernetes that are validated against.
KUBERNETES = ["1.27", "1.37"]
CONFIG_DIR = "/etc/metrics-responder"
ENDPOINT = "https://metrics-responder.rke2.io/v1/checkupgrade"
OPT_OUT = f"create configmap {NAME}-override --from-literal=METRICS_RESPONDER_ENABLED=false"
STOP_JOB = f"delete job -l app.kubernetes.io/name={NAME}"

ENABLED = ["ServiceAccount", "ConfigMap", "ClusterRole", "ClusterRoleBinding", "CronJob"]
TOLERATED = [
    "CriticalAddonsOnly",
    "node-role.kubernetes.io/control-plane",
    "node-role.kubernetes.io/etcd",
    "node-role.kubernetes.io/master",
]
ARCHITECTURE = {"key": "kubernetes.io/arch", "operator": "In", "values": ["amd64", "arm64"]}
# In this order: of two sources with the same key, Kubernetes takes the last.
OVERRIDE = [
    {"secretRef": {"name": f"{NAME}-override", "optional": True}},
    {"configMapRef": {"name": f"{NAME}-override", "optional": True}},
]


def required(*terms):
    return {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": list(terms)}}


@dataclass
class Case:
    """What a values file of cases/ must render to, where it differs from the defaults."""

    kinds: list = field(default_factory=lambda: ENABLED)
    registry: str = "docker.io"
    config: dict = field(default_factory=dict)
    deadline: int = 7200
    env: list = field(default_factory=list)
    pull_secrets: list = field(default_factory=list)
    # The keys of the ConfigMap, and the volume that the program finds its files in.
    keys: set = field(default_factory=lambda: {"config.yaml"})
    volume: dict = field(default_factory=lambda: {"configMap": {"name": NAME}})
    egress: list = field(default_factory=list)
    affinity: dict = field(
        default_factory=lambda: {"nodeAffinity": required({"matchExpressions": [ARCHITECTURE]})},
    )
    annotations: dict = field(default_factory=dict)
    node_selector: dict = field(default_factory=dict)
    priority_class: str | None = None

    @property
    def enabled(self):
        return self.config.get("enabled", True)

    @property
    def full_config(self):
        defaults = {"enabled": True, "endpoint": ENDPOINT, "spread": "10m", "gracePeriod": "24h", "timeout": "10s"}
        return defaults | self.config


CA_FILE = f"{CONFIG_DIR}/ca-bundle.pem"


def with_ca(kind, key):
    """The volume with a bundle of the admin's own, from a ConfigMap or a Secret."""
    bundle = {"name": "corporate-ca", "items": [{"key": key, "path": "ca-bundle.pem"}]}
    return {"projected": {"sources": [{"configMap": {"name": NAME}}, {kind: bundle}]}}


DNS = [("UDP", 53), ("TCP", 53)]
CASES = {
    "default": Case(),
    "disabled": Case(kinds=["ConfigMap", "CronJob"], config={"enabled": False}),
    "private-registry": Case(registry="registry.example.com:5000", pull_secrets=[{"name": "registry-credentials"}]),
    "proxy-ca": Case(
        config={"caFile": CA_FILE, "spread": "2h", "timeout": "5m"},
        deadline=2 * 3600 + 2 * 300 + 300,
        env=[
            {"name": "https_proxy", "value": "http://proxy.example.com:3128"},
            {
                "name": "no_proxy",
                "value": "127.0.0.0/8,10.0.0.0/8,172.16.0.0/12,192.168.0.0/16,.svc,.cluster.local",
            },
        ],
        keys={"config.yaml", "ca-bundle.pem"},
    ),
    "proxy-existing-ca": Case(
        config={"caFile": CA_FILE},
        env=[
            {"name": "https_proxy", "value": "https://proxy.example.com"},
            {"name": "METRICS_RESPONDER_TIMEOUT", "value": "20s"},
        ],
        volume=with_ca("secret", "ca.crt"),
    ),
    "existing-ca-policy": Case(
        kinds=["NetworkPolicy", *ENABLED],
        config={"caFile": CA_FILE},
        volume=with_ca("configMap", "ca-bundle.pem"),
        # The endpoint's port is one of the API server's: once is enough.
        egress=[{"ports": DNS, "to": None}, {"ports": [("TCP", 443), ("TCP", 6443)], "to": None}],
    ),
    "network-policy": Case(
        kinds=["NetworkPolicy", *ENABLED],
        config={
            "endpoint": "http://receiver.telemetry.svc.cluster.local/v1/checkupgrade",
            "allowHttp": True,
            "spread": "0s",
        },
        env=[{"name": "https_proxy", "value": "https://proxy.example.com:3128"}],
        egress=[
            {"ports": DNS, "to": None},
            {"ports": [("TCP", 443), ("TCP", 6443), ("TCP", 80), ("TCP", 3128)], "to": None},
            {"ports": [("TCP", 8080)], "to": "10.42.0.0/16"},
            {"ports": [("TCP", 9090)], "to": None},
        ],
    ),
    "scheduling": Case(
        config={"gracePeriod": "0s"},
        affinity={
            "nodeAffinity": {
                **required(
                    {
                        "matchExpressions": [
                            ARCHITECTURE,
                            {"key": "topology.kubernetes.io/zone", "operator": "In", "values": ["a"]},
                        ]
                    },
                    {
                        "matchExpressions": [ARCHITECTURE],
                        "matchFields": [{"key": "metadata.name", "operator": "In", "values": ["node-1"]}],
                    },
                ),
                "preferredDuringSchedulingIgnoredDuringExecution": [
                    {
                        "weight": 1,
                        "preference": {"matchExpressions": [{"key": "example.com/spare", "operator": "Exists"}]},
                    }
                ],
            },
            "podAntiAffinity": {
                "preferredDuringSchedulingIgnoredDuringExecution": [
                    {"weight": 1, "podAffinityTerm": {"topologyKey": "kubernetes.io/hostname"}}
                ]
            },
        },
        annotations={"example.com/team": "platform", "cluster-autoscaler.kubernetes.io/safe-to-evict": "false"},
        node_selector={"example.com/pool": "infra"},
        priority_class="low",
    ),
}

# Settings, and a part of the message that names the culprit.
REFUSED = [
    (["image.tagg=v1"], "tagg"),
    (["proxy.httpProxy=http://proxy:3128"], "httpProxy"),
    (["caBundle.configMap=ca"], "configMap"),
    (["resources.limit.memory=1Mi"], "limit"),
    (["networkPolicy.enable=true"], "enable"),
    (["tolerations[0].keys=x"], "keys"),
    (["extraEnv[0].name=A", "extraEnv[0].vaule=x"], "vaule"),
    (["affinity.nodeAfinity.x=1"], "nodeAfinity"),
    (["enabled=no-thanks"], "/enabled"),
    (["endpoint=metrics-responder.rke2.io"], "/endpoint"),
    (["endpoint=ftp://metrics-responder.rke2.io/"], "/endpoint"),
    (["endpoint=https://user:password@example.com/"], "/endpoint"),
    (["endpoint="], "/endpoint"),
    (["endpoint=http://example.com/"], "allowHttp"),
    (["image.pullPolicy=Sometimes"], "pullPolicy"),
    (["image.tag=v1:2"], "tag"),
    (["image.repository=null"], "repository"),
    (["proxy.httpsProxy=socks5://proxy:1080"], "httpsProxy"),
    (["caBundle.inline=not a certificate"], "inline"),
    (["caBundle.existingSecret=a", "caBundle.existingConfigMap=b"], "caBundle"),
    (["networkPolicy.apiServerPorts[0]=0"], "apiServerPorts"),
    (["networkPolicy.extraEgress[0].ports[0]=80", "networkPolicy.extraEgress[0].cidr=anywhere"], "cidr"),
    (["podAnnotations.a.b=c"], "podAnnotations"),
    # These two would take precedence over the override, and so over the documented opt-out.
    (["extraEnv[0].name=METRICS_RESPONDER_ENABLED"], "METRICS_RESPONDER_ENABLED"),
    (["extraEnv[0].name=DO_NOT_TRACK"], "DO_NOT_TRACK"),
    # A run would go on when the next one begins.
    (["spread=7h54m40s"], "28800"),
    (["spread=24h"], "spread"),
    (["timeout=4h"], "timeout"),
    (["gracePeriod=8760h1ms"], "gracePeriod"),
    *(([f"{key}={value}"], f"/{key}") for key in ["spread", "gracePeriod", "timeout"] for value in [
        "", "10", "10 minutes", "-10m", "1.5h", "10M", "1d", "m", "10m ", "10m s", "9999999999ms",
    ]),
    (["timeout=0s"], "/timeout"),
    (["timeout=0h0ms"], "/timeout"),
    *(([f"{key}=null"], f"'{key}'") for key in [
        "caBundle", "enabled", "endpoint", "gracePeriod", "image", "networkPolicy", "proxy", "schedule", "spread",
        "timeout",
    ]),
]  # fmt: skip

# Keys at the root that read as an opt-out.
OPT_OUTS = [
    "enable", "Enabled", "ENABLED", "enabledd", "enabed", "enbled", "nabled", "eanbled", "enablde",
    "enableTelemetry", "disable", "disabled", "disableReporting", "suspend", "telemetry", "optOut", "opt-out",
    "doNotTrack", "DO_NOT_TRACK", "metrics-responder-enabled", "metricsResponder", "METRICS_RESPONDER_ENABLED",
    "rke2-metrics-responder",
]  # fmt: skip

# Keys of other charts, which must be accepted.
FOREIGN = ["vCenter", "rke2-whereabouts", "csiController", "blockVolumeSnapshot", "cni", "end", "ipam", "pod", "x"]

# Settings, and the activeDeadlineSeconds they lead to.
DEADLINES = [
    (["spread=0s"], 7200),
    (["spread=1h50m"], 7200),
    (["spread=1h54m40s"], 7200),
    (["spread=1h54m41s"], 7201),
    (["spread=2h", "timeout=1ms"], 7501),
    (["spread=2h0m0s1ms"], 7521),
    (["spread=0200m"], 12320),
    (["spread=7h54m39s"], 28799),
    (["spread=0s", "timeout=1h"], 7500),
]
GRACE_PERIODS = ["0s", "500ms", "1h30m", "8760h", "00000024h"]

# Which registry takes precedence over which.
IMAGES = [
    (["image.registry=a", "global.systemDefaultRegistry=b"], "a/rancher/{}"),
    (["global.systemDefaultRegistry=b", "global.cattle.systemDefaultRegistry=c"], "b/rancher/{}"),
    (["global.cattle.systemDefaultRegistry=c"], "c/rancher/{}"),
    (["global=null"], "docker.io/rancher/{}"),
    (["image.repository=mirror/responder", "image.tag=v9"], "docker.io/mirror/responder:v9"),
]

# The two renderings of RKE2's scripts/validate-charts, and the registry that each must show.
GATE = {
    "my-registry": "global.systemDefaultRegistry=my-registry,global.cattle.systemDefaultRegistry=my-registry,"
    r"vCenter.clusterId=test-id,global.clusterDNS=10.43.0.10\,2001:cafe:43::a,rke2-whereabouts.enabled=true",
    "docker.io": r"vCenter.clusterId=test-id,global.clusterDNS=10.43.0.10\,2001:cafe:43::a,"
    "rke2-whereabouts.enabled=true,csiController.csiResizer.enabled=true,global.prime.enabled=true,"
    "blockVolumeSnapshot.enabled=true",
}

KUBE_VERSIONS = {
    "v1.27.0": True,
    "v1.32.2-rc1+rke2r1": True,
    "v1.31.4-eks-2d5f260": True,
    "v1.36.2+rke2r1": True,
    "v1.37.0+k3s1": True,
    "v1.26.15+rke2r1": False,
}


class Checks:
    """How many checks held, and a line for each that did not."""

    def __init__(self):
        self.passed = 0
        self.failed = []

    def check(self, what, ok, found=None):
        if ok:
            self.passed += 1
        else:
            self.failed.append(what + ("" if found is None else f": found {found}"))

    def equal(self, what, found, expected):
        ok = found == expected and type(found) is type(expected)
        self.check(what, ok, None if ok else f"{found!r}, expected {expected!r}")


@cache
def schema_error(text, version):
    """Why Kubernetes would refuse this object; cached, because cases and mutations share most objects."""
    try:
        kubernetes_validate.validate(json.loads(text), version, strict=True)
    except Exception as e:  # the library raises several unrelated types
        return str(e)
    return None


def helm(*args, stdin=None):
    command = [str(ROOT / "deploy/helm"), *map(str, args)]
    return subprocess.run(command, input=stdin, capture_output=True, text=True, check=False)


def settings(pairs):
    return [arg for pair in pairs for arg in ("--set", pair)]


def parse(text):
    return [o for o in yaml.safe_load_all(text) if o]


def images(text):
    """Of the text, comments included, as a script that greps would find them."""
    return [image.strip("'") for image in re.findall(r"\bimage:\s*(\S+)", text)]


def one(objects, kind):
    found = [o for o in objects if o["kind"] == kind]
    return found[0] if len(found) == 1 else {}


def pod_template(objects):
    return one(objects, "CronJob")["spec"]["jobTemplate"]["spec"]["template"]


def rows(name):
    lists = yaml.safe_load((HERE / f"{name}.yaml").read_text())
    return [(text, True) for text in lists["accepted"]] + [(text, False) for text in lists["refused"]]


class Chart:
    """A chart, and everything that must hold of it: units with a name, which are run one by one."""

    def __init__(self, folder):
        self.folder = folder
        self.root = folder.parents[1]
        self.cargo = tomllib.loads((self.root / "Cargo.toml").read_text())["package"]
        self.version = "v" + self.cargo["version"]
        self.image = f"rancher/{NAME}:{self.version}"

    def units(self):
        yield "versions", self.check_versions
        yield "Chart.yaml", self.check_metadata
        yield "manifest", self.check_manifest
        yield "the cases", self.check_case_files
        for name, case in CASES.items():
            yield name, partial(self.check_case, name, case)
        yield "another namespace", self.check_namespace
        for pairs, reason in REFUSED:
            yield f"refused {', '.join(pairs)}", partial(self.check_refused, pairs, reason)
        for key in OPT_OUTS:
            yield f"opt-out {key}", partial(self.check_misspelt, key, "enabled")
        for key in self.keys():
            typo = key[:-2] + key[-1] + key[-2]
            yield f"misspelt {typo}", partial(self.check_misspelt, typo, key)
        for key in FOREIGN:
            yield f"foreign {key}", partial(self.check_foreign, key)
        for pairs, deadline in DEADLINES:
            yield f"deadline {', '.join(pairs)}", partial(self.check_deadline, pairs, deadline)
        for text in GRACE_PERIODS:
            yield f"gracePeriod {text}", partial(self.check_grace_period, text)
        for text, accepted in rows("schedules"):
            yield f"schedule {text!r}", partial(self.check_schedule, text, accepted)
        for text, accepted in rows("registries"):
            yield f"registry {text!r}", partial(self.check_registry, text, accepted)
        for pairs, image in IMAGES:
            yield f"image {', '.join(pairs)}", partial(self.check_image, pairs, image)
        yield "package", self.check_package
        for version, accepted in KUBE_VERSIONS.items():
            yield f"Kubernetes {version}", partial(self.check_kube_version, version, accepted)
        yield "notes, enabled", self.check_notes_enabled
        yield "notes, without a grace period", self.check_notes_without_grace_period
        yield "notes, disabled", self.check_notes_disabled

    def run(self, wanted=""):
        """Runs the units whose name `wanted` begins with; all of them by default."""
        units = [(name, unit) for name, unit in self.units() if not wanted or wanted.startswith(name)]
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            results = list(pool.map(lambda pair: run_unit(*pair), units))
        total = Checks()
        total.passed = sum(checks.passed for checks in results)
        total.failed = [line for checks in results for line in checks.failed]
        return total

    def template(self, *args, values=None):
        stdin = None if values is None else json.dumps(values)
        given = () if values is None else ("--values", "-")
        return helm("template", NAME, self.folder, "--namespace", NAMESPACE, *given, *args, stdin=stdin)

    def keys(self):
        return json.loads((self.folder / "values.schema.json").read_text())["properties"]

    def check_versions(self, name, t):
        chart = yaml.safe_load((self.folder / "Chart.yaml").read_text())
        t.equal(f"{name}: version of Chart.yaml", "v" + chart["version"], self.version)
        t.equal(f"{name}: appVersion of Chart.yaml", chart["appVersion"], self.version)
        manifest = (self.root / "deploy/upgrade-responder.yaml").read_text()
        t.equal(f"{name}: image of the manifest", images(manifest), [f"docker.io/{self.image}"])
        changelog = (self.root / ".github/CHANGELOG.md").read_text()
        released = re.findall(r"^## \[(\d.*?)\]", changelog, re.MULTILINE)
        t.equal(f"{name}: last release of CHANGELOG.md", f"v{released[0]}", self.version)

    def check_metadata(self, name, t):
        chart = yaml.safe_load((self.folder / "Chart.yaml").read_text())
        repository = self.cargo["repository"]
        t.equal(f"{name}: home", chart.get("home"), repository)
        t.equal(f"{name}: sources", chart.get("sources"), [repository])
        t.check(f"{name}: keywords", {"rke2", "k3s", "telemetry"} <= set(chart.get("keywords", [])))
        # Helm 3 takes v1.32.2-rc1+rke2r1 for older than 1.27.0 without the -0.
        t.equal(f"{name}: kubeVersion", chart.get("kubeVersion"), ">=1.27.0-0")
        maintainers = chart.get("maintainers", [])
        t.check(f"{name}: maintainers", maintainers and all(m.get("name") and m.get("url") for m in maintainers))

    def check_manifest(self, name, t):
        """Only the header: that the rest is the chart's rendering is what `deploy/render --check` is for."""
        header = (self.root / "deploy/upgrade-responder.yaml").read_text().partition("---\n")[0].splitlines()
        commands = [line for line in header if line.startswith("# kubectl ")]
        expected = [f"# kubectl -n {NAMESPACE} {OPT_OUT}", f"# kubectl -n {NAMESPACE} {STOP_JOB}"]
        t.equal(f"{name}: commands of the header", commands, expected)
        others = [line for line in header if re.search("suspend|patch|enabled: |set env", line)]
        t.equal(f"{name}: no other opt-out", others, [])

    def check_case_files(self, name, t):
        files = sorted(p.stem for p in (HERE / "cases").glob("*.yaml"))
        t.equal(f"{name}: with expectations", files, sorted(CASES))

    def check_case(self, name, case, _, t):
        run = self.template("--values", HERE / f"cases/{name}.yaml")
        t.check(f"{name}: renders", run.returncode == 0, run.stderr)
        if run.returncode == 0:
            self.check_objects(name, case, parse(run.stdout), t)

    def check_objects(self, name, case, objects, t):
        t.equal(f"{name}: the objects", sorted(o["kind"] for o in objects), sorted(case.kinds))
        for o in objects:
            self.check_object(f"{name}: {o['kind']}", o, t)
        config_map, cron_job = one(objects, "ConfigMap"), one(objects, "CronJob")
        check_config(f"{name}: ConfigMap", case, config_map, t)
        check_cron_job(f"{name}: CronJob", case, cron_job, t)
        check_job(f"{name}: Job", case, cron_job["spec"]["jobTemplate"], t)
        pod = pod_template(objects)
        check_pod(f"{name}: pod", case, pod, t)
        check_container(f"{name}: container", case, pod["spec"], f"{case.registry}/{self.image}", t)
        check_files(f"{name}: files", case, pod["spec"], config_map, t)
        if case.enabled:
            check_access(f"{name}: access", objects, NAMESPACE, t)
        if case.egress:
            check_network_policy(f"{name}: NetworkPolicy", case, one(objects, "NetworkPolicy"), pod, t)

    def check_object(self, what, o, t):
        for version in KUBERNETES:
            error = schema_error(json.dumps(o, sort_keys=True), version)
            t.check(f"{what}: valid for Kubernetes {version}", error is None, error)
        meta = o["metadata"]
        t.equal(f"{what}: name", meta["name"], NAME)
        t.equal(f"{what}: namespace", meta.get("namespace"), None if o["kind"] in CLUSTER_WIDE else NAMESPACE)
        # True for kubectl, RKE2 and Helm alike, hence neither managed-by nor helm.sh/chart.
        labels = {"app.kubernetes.io/name": NAME, "app.kubernetes.io/version": self.version}
        t.equal(f"{what}: labels", meta.get("labels"), labels)
        t.equal(f"{what}: annotations", meta.get("annotations"), None)

    def check_namespace(self, name, t):
        run = helm("template", NAME, self.folder, "--namespace", "telemetry")
        objects = parse(run.stdout)
        found = {o["metadata"].get("namespace") for o in objects if o["kind"] not in CLUSTER_WIDE}
        t.equal(f"{name}: of the objects", found, {"telemetry"})
        check_access(f"{name}: access", objects, "telemetry", t)

    def check_refused(self, pairs, reason, name, t):
        run = self.template(*settings(pairs))
        t.check(name, run.returncode != 0 and reason in run.stderr, run.stderr or "accepted")

    def check_misspelt(self, written, meant, name, t):
        run = self.template("--set", f"{written}.x=false")
        reason = f"{written} is not a key of this chart"
        t.check(name, run.returncode != 0 and reason in run.stderr and meant in run.stderr, run.stderr or "accepted")

    def check_foreign(self, key, name, t):
        run = self.template("--set", f"{key}.enabled=true")
        t.equal(name, run.stdout, self.template().stdout)

    def check_deadline(self, pairs, deadline, name, t):
        run = self.template(*settings(pairs))
        objects = parse(run.stdout)
        found = one(objects, "CronJob")["spec"]["jobTemplate"]["spec"]["activeDeadlineSeconds"]
        t.equal(name, found, deadline)
        config = yaml.safe_load(one(objects, "ConfigMap")["data"]["config.yaml"])
        for key, value in (pair.split("=") for pair in pairs):
            t.equal(f"{name}: {key} in the ConfigMap", config[key], value)

    def check_grace_period(self, text, name, t):
        objects = parse(self.template("--set", f"gracePeriod={text}").stdout)
        config = yaml.safe_load(one(objects, "ConfigMap")["data"]["config.yaml"])
        t.equal(name, config["gracePeriod"], text)

    def check_schedule(self, text, accepted, name, t):
        run = self.template(values={"schedule": text})
        if accepted:
            t.equal(name, run.stdout and one(parse(run.stdout), "CronJob")["spec"]["schedule"], text)
        else:
            t.check(name, run.returncode != 0 and "at '/schedule'" in run.stderr, run.stderr or "accepted")

    def check_registry(self, text, accepted, name, t):
        places = {"systemDefaultRegistry": text, "cattle": {"systemDefaultRegistry": text}}
        run = self.template(values={"image": {"registry": text}, "global": places})
        if accepted:
            t.equal(name, images(run.stdout), [f"{text or 'docker.io'}/{self.image}"])
        else:
            for place in ["/image/registry", "/global/systemDefaultRegistry", "/global/cattle/systemDefaultRegistry"]:
                refused = run.returncode != 0 and f"at '{place}'" in run.stderr
                t.check(f"{name}: {place}", refused, run.stderr or "accepted")

    def check_image(self, pairs, image, name, t):
        found = images(self.template(*settings(pairs)).stdout)
        t.equal(name, found, [image.format(f"{NAME}:{self.version}")])

    def check_package(self, name, t):
        """What RKE2 gets is the packaged chart, and its gate renders that."""
        with tempfile.TemporaryDirectory() as folder:
            helm("package", self.folder, "--destination", folder)
            package = Path(folder, f"{NAME}-{self.version[1:]}.tgz")
            with tarfile.open(package) as archive:
                packed = {member.name.partition("/")[2] for member in archive.getmembers()}
            files = {str(p.relative_to(self.folder)) for p in self.folder.rglob("*") if p.is_file()}
            t.equal(f"{name}: files", packed, files - {".helmignore"})
            for registry, values in GATE.items():
                run = helm("template", "test-chart", "--kube-version", "v1.36.2", "--set", values, package)
                t.equal(
                    f"{name}: image in RKE2's gate with {registry}", images(run.stdout), [f"{registry}/{self.image}"]
                )

    def check_kube_version(self, version, accepted, name, t):
        run = self.template("--kube-version", version)
        refused = "kubeVersion" in run.stderr
        t.equal(name, (run.returncode == 0, refused), (accepted, not accepted))

    def notes(self, *args, namespace=NAMESPACE):
        run = helm("install", NAME, self.folder, "--namespace", namespace, "--dry-run=client", *args)
        return run.stdout.partition("NOTES:\n")[2]

    def check_notes_enabled(self, name, t):
        notes = self.notes(namespace="telemetry")
        lines = [line.strip() for line in notes.splitlines()]
        for command in (OPT_OUT, STOP_JOB):
            t.equal(f"{name}: a line {command}", lines.count(f"kubectl -n telemetry {command}"), 1)
        for words in [
            "Telemetry is ON",
            '"0 */8 * * *" (UTC)',
            ENDPOINT,
            "once the cluster is 24h old",
            "sender's address",
            f"User-Agent {NAME}/VERSION",
            *["appVersion ", "kubernetesVersion ", "clusteruuid ", "nodeCount ", "serverNodeCount ", "agentNodeCount "],
            *["cni-plugin ", "os  "],
            "--reset-then-reuse-values --set enabled=false",
            "--force-conflicts",
        ]:
            t.check(f"{name}: says {words}", words in notes, notes)
        for words in [" --reuse-values", "patch cronjob", "nothing else"]:
            t.check(f"{name}: does not say {words}", words not in notes, notes)

    def check_notes_without_grace_period(self, name, t):
        notes = self.notes("--set", "gracePeriod=0s")
        t.check(name, "Telemetry is ON" in notes and "first report" not in notes, notes)

    def check_notes_disabled(self, name, t):
        notes = self.notes("--set", "enabled=false")
        for words in [
            "Telemetry is OFF",
            f"kubectl -n {NAMESPACE} {STOP_JOB}",
            "--set enabled=true",
            f"{NAME}-override",
        ]:
            t.check(f"{name}: says {words}", words in notes, notes)


def run_unit(name, unit):
    checks = Checks()
    try:
        unit(name, checks)
    except Exception as e:  # of a broken chart anything may be missing
        checks.check(f"{name}: can be read", False, repr(e))
    return checks


def check_config(what, case, config_map, t):
    t.equal(f"{what}: config.yaml", yaml.safe_load(config_map["data"]["config.yaml"]), case.full_config)


def check_cron_job(what, case, cron_job, t):
    spec = cron_job["spec"]
    t.equal(f"{what}: schedule", spec.get("schedule"), "0 */8 * * *")
    t.equal(f"{what}: timeZone", spec.get("timeZone"), "Etc/UTC")
    t.equal(f"{what}: concurrencyPolicy", spec.get("concurrencyPolicy"), "Forbid")
    # Below ten seconds the controller may miss every run.
    t.equal(f"{what}: startingDeadlineSeconds", spec.get("startingDeadlineSeconds"), 3600)
    t.equal(f"{what}: successfulJobsHistoryLimit", spec.get("successfulJobsHistoryLimit"), 1)
    t.equal(f"{what}: failedJobsHistoryLimit", spec.get("failedJobsHistoryLimit"), 1)
    # Absent while enabled: an admin's own suspension must outlive the next apply.
    t.equal(f"{what}: suspend", spec.get("suspend", "absent"), "absent" if case.enabled else True)


def check_job(what, case, template, t):
    # Selects a Job in flight for deletion.
    t.equal(f"{what}: metadata", template.get("metadata"), {"labels": {"app.kubernetes.io/name": NAME}})
    job = template["spec"]
    t.equal(f"{what}: backoffLimit", job.get("backoffLimit"), 0)
    t.equal(
        f"{what}: podFailurePolicy",
        job.get("podFailurePolicy"),
        {"rules": [{"action": "Ignore", "onPodConditions": [{"type": "DisruptionTarget", "status": "True"}]}]},
    )
    t.equal(f"{what}: ttlSecondsAfterFinished", job.get("ttlSecondsAfterFinished"), 28800)
    t.equal(f"{what}: activeDeadlineSeconds", job.get("activeDeadlineSeconds"), case.deadline)


def check_pod(what, case, template, t):
    annotations = {"cluster-autoscaler.kubernetes.io/safe-to-evict": "true"} | case.annotations
    t.equal(
        f"{what}: metadata",
        template["metadata"],
        {"labels": {"app.kubernetes.io/name": NAME}, "annotations": annotations},
    )
    pod = template["spec"]
    t.equal(f"{what}: restartPolicy", pod.get("restartPolicy"), "Never")
    t.equal(f"{what}: serviceAccountName", pod.get("serviceAccountName"), NAME if case.enabled else None)
    t.equal(f"{what}: automountServiceAccountToken", pod.get("automountServiceAccountToken"), case.enabled)
    t.equal(f"{what}: terminationGracePeriodSeconds", pod.get("terminationGracePeriodSeconds"), 1)
    t.equal(f"{what}: enableServiceLinks", pod.get("enableServiceLinks"), False)
    t.equal(f"{what}: dnsPolicy", pod.get("dnsPolicy"), "ClusterFirst")
    t.equal(f"{what}: dnsConfig", pod.get("dnsConfig"), {"options": [{"name": "ndots", "value": "1"}]})
    t.equal(f"{what}: nodeSelector", pod.get("nodeSelector"), {"kubernetes.io/os": "linux"} | case.node_selector)
    t.equal(f"{what}: affinity", pod.get("affinity"), case.affinity)
    t.equal(f"{what}: tolerations", pod.get("tolerations"), [{"key": k, "operator": "Exists"} for k in TOLERATED])
    t.equal(f"{what}: priorityClassName", pod.get("priorityClassName"), case.priority_class)
    t.equal(f"{what}: imagePullSecrets", pod.get("imagePullSecrets", []), case.pull_secrets)
    t.equal(
        f"{what}: securityContext",
        pod.get("securityContext"),
        {
            "runAsNonRoot": True,
            "runAsUser": 65532,
            "runAsGroup": 65532,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
    )
    for key in ("hostNetwork", "hostPID", "hostIPC", "initContainers", "ephemeralContainers"):
        t.check(f"{what}: no {key}", key not in pod)


def check_container(what, case, pod, image, t):
    t.equal(f"{what}: one", len(pod["containers"]), 1)
    container = pod["containers"][0]
    t.equal(f"{what}: image", container.get("image"), image)
    t.equal(f"{what}: imagePullPolicy", container.get("imagePullPolicy"), "IfNotPresent")
    t.equal(f"{what}: env", container.get("env", []), case.env)
    t.equal(f"{what}: envFrom", container.get("envFrom"), OVERRIDE)
    # Image and configuration decide what it does; a flag here would take precedence over both.
    t.check(f"{what}: no command, args or ports", not {"command", "args", "ports"} & set(container))
    t.equal(
        f"{what}: securityContext",
        container.get("securityContext"),
        {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        },
    )
    t.equal(
        f"{what}: resources",
        container.get("resources"),
        {"requests": {"cpu": "5m", "memory": "8Mi"}, "limits": {"memory": "32Mi"}},
    )


def check_files(what, case, pod, config_map, t):
    """The volume contains the files that the program opens."""
    t.equal(
        f"{what}: mounts",
        pod["containers"][0].get("volumeMounts"),
        [{"name": "config", "mountPath": CONFIG_DIR, "readOnly": True}],
    )
    t.equal(f"{what}: volumes", pod["volumes"], [{"name": "config"} | case.volume])
    t.equal(f"{what}: keys of the ConfigMap", set(config_map["data"]), case.keys)
    if "ca-bundle.pem" in config_map["data"]:
        pem = config_map["data"]["ca-bundle.pem"].strip().splitlines()
        t.check(f"{what}: a PEM", pem[0].startswith("-----BEGIN") and pem[-1].startswith("-----END"), pem)


def check_access(what, objects, namespace, t):
    account = one(objects, "ServiceAccount")
    t.equal(f"{what}: automount of the account", account.get("automountServiceAccountToken"), False)
    namespaces, nodes, daemonsets = one(objects, "ClusterRole")["rules"]
    t.equal(
        f"{what}: namespaces",
        namespaces,
        {"apiGroups": [""], "resources": ["namespaces"], "resourceNames": ["kube-system"], "verbs": ["get"]},
    )
    t.equal(f"{what}: nodes", nodes, {"apiGroups": [""], "resources": ["nodes"], "verbs": ["list"]})
    # A rule without names allows all. tests/docs.rs compares the names with the table of the program.
    names = daemonsets.pop("resourceNames", [])
    t.check(f"{what}: DaemonSets by name, each once", names and len(names) == len(set(names)), names)
    t.equal(f"{what}: DaemonSets", daemonsets, {"apiGroups": ["apps"], "resources": ["daemonsets"], "verbs": ["get"]})
    binding = one(objects, "ClusterRoleBinding")
    t.equal(
        f"{what}: role",
        binding["roleRef"],
        {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": NAME},
    )
    t.equal(
        f"{what}: subjects",
        binding["subjects"],
        [{"kind": "ServiceAccount", "name": NAME, "namespace": namespace}],
    )


def check_network_policy(what, case, policy, pod, t):
    spec = policy["spec"]
    selected = spec["podSelector"]["matchLabels"].items() <= pod["metadata"]["labels"].items()
    t.check(f"{what}: selects the pod", selected)
    t.equal(f"{what}: types", spec["policyTypes"], ["Ingress", "Egress"])
    t.equal(f"{what}: ingress", spec["ingress"], [])
    egress = [
        {
            "ports": [(p["protocol"], p["port"]) for p in rule["ports"]],
            "to": rule["to"][0]["ipBlock"]["cidr"] if "to" in rule else None,
        }
        for rule in spec["egress"]
    ]
    t.equal(f"{what}: egress", egress, case.egress)


def main():
    result = Chart(ROOT / "deploy/chart").run()
    for line in result.failed:
        print(f"FAILED {line}")
    print(f"{result.passed} passed, {len(result.failed)} failed")
    return 1 if result.failed else 0


if __name__ == "__main__":
    sys.exit(main())
