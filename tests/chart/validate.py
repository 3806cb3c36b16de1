"""Checks the rendered chart: parsed objects, never template text.

Each check that fails is one line of output; the last line counts them all.
"""

import re
import subprocess
import sys
import tomllib
from dataclasses import dataclass, field
from pathlib import Path

import kubernetes_validate
import yaml

ROOT = Path(__file__).resolve().parents[2]
CHART = ROOT / "deploy/chart"
CASES = ROOT / "tests/chart/cases"
NAME = "rke2-metrics-responder"
NAMESPACE = "kube-system"
CLUSTER_WIDE = {"ClusterRole", "ClusterRoleBinding"}
# The oldest and the newest Kubernetes that are validated against.
KUBERNETES = ["1.28", "1.37"]
# A CronJob's name gets "-" and ten digits from the controller, and a pod's name five characters more.
LONGEST_NAME = 52
CONFIG_KEYS = {"enabled", "endpoint", "allowHttp", "caFile", "spread", "timeout"}
CONFIG_DIR = "/etc/metrics-responder"
ENDPOINT = "https://metrics-responder.rke2.io/v1/checkupgrade"

VERSION = "v" + tomllib.loads((ROOT / "Cargo.toml").read_text())["package"]["version"]
IMAGE = f"rancher/{NAME}:{VERSION}"
ENABLED = ["ServiceAccount", "ConfigMap", "ClusterRole", "ClusterRoleBinding", "CronJob"]
TOLERATED = [
    "CriticalAddonsOnly",
    "node-role.kubernetes.io/control-plane",
    "node-role.kubernetes.io/etcd",
    "node-role.kubernetes.io/master",
]


@dataclass
class Case:
    """What a values file of tests/chart/cases must lead to, where it differs from the defaults."""

    kinds: list = field(default_factory=lambda: ENABLED)
    image: str = f"docker.io/{IMAGE}"
    config: dict = field(default_factory=dict)
    env: list = field(default_factory=list)
    pull_secrets: list = field(default_factory=list)
    files: set = field(default_factory=lambda: {"config.yaml"})
    egress: list = field(default_factory=list)

    @property
    def enabled(self):
        return self.config.get("enabled", True)

    @property
    def full_config(self):
        defaults = {"enabled": True, "endpoint": ENDPOINT, "spread": "10m", "timeout": "10s"}
        return defaults | self.config


CA_FILE = f"{CONFIG_DIR}/ca-bundle.pem"
WITH_CA = {"config.yaml", "ca-bundle.pem"}
DNS = [("UDP", 53), ("TCP", 53)]
EXPECTED = {
    "default": Case(),
    "disabled": Case(kinds=["ConfigMap", "CronJob"], config={"enabled": False}),
    "private-registry": Case(
        image=f"registry.example.com:5000/{IMAGE}", pull_secrets=[{"name": "registry-credentials"}]
    ),
    "proxy-ca": Case(
        config={"caFile": CA_FILE, "spread": "45m", "timeout": "90s"},
        env=[
            {"name": "HTTPS_PROXY", "value": "http://proxy.example.com:3128"},
            {
                "name": "NO_PROXY",
                "value": "127.0.0.0/8,10.0.0.0/8,172.16.0.0/12,192.168.0.0/16,.svc,.cluster.local",
            },
        ],
        files=WITH_CA,
    ),
    "proxy-existing-ca": Case(
        config={"caFile": CA_FILE},
        env=[
            {"name": "HTTPS_PROXY", "value": "https://proxy.example.com"},
            {"name": "METRICS_RESPONDER_TIMEOUT", "value": "20s"},
        ],
        files=WITH_CA,
    ),
    "network-policy": Case(
        kinds=["NetworkPolicy", *ENABLED],
        config={
            "endpoint": "http://receiver.telemetry.svc.cluster.local:8314/v1/checkupgrade",
            "allowHttp": True,
            "spread": "0s",
        },
        egress=[
            {"ports": DNS, "to": None},
            {"ports": [("TCP", 443), ("TCP", 6443), ("TCP", 8314)], "to": None},
            {"ports": [("TCP", 8080)], "to": "10.42.0.0/16"},
        ],
    ),
}

# What must be refused, and a part of the reason that names the culprit.
REFUSED = [
    (["scheduel=@daily"], "scheduel"),
    (["image.tagg=v1"], "tagg"),
    (["proxy.httpProxy=http://proxy:3128"], "httpProxy"),
    (["caBundle.configMap=ca"], "configMap"),
    (["resources.limit.memory=1Mi"], "limit"),
    (["networkPolicy.enable=true"], "enable"),
    (["tolerations[0].keys=x"], "keys"),
    (["extraEnv[0].name=A", "extraEnv[0].vaule=x"], "vaule"),
    (["affinity.nodeAfinity.x=1"], "nodeAfinity"),
    (["enabled=no-thanks"], "enabled"),
    (["endpoint=metrics-responder.rke2.io"], "endpoint"),
    (["endpoint=ftp://metrics-responder.rke2.io/"], "endpoint"),
    (["endpoint=https://user:password@example.com/"], "endpoint"),
    (["endpoint="], "endpoint"),
    (["endpoint=http://example.com/"], "allowHttp"),
    (["schedule=0 */8 * *"], "schedule"),
    (["schedule=0 */8 * * * *"], "schedule"),
    (["schedule=@sometimes"], "schedule"),
    (["schedule=TZ=UTC 0 0 * * *"], "schedule"),
    (["spread=10"], "spread"),
    (["spread=10 minutes"], "spread"),
    (["spread=-10m"], "spread"),
    (["timeout=0s"], "timeout"),
    (["timeout=1.5s"], "timeout"),
    (["image.pullPolicy=Sometimes"], "pullPolicy"),
    (["image.registry=https://registry.example.com"], "registry"),
    (["image.tag=v1:2"], "tag"),
    (["global.systemDefaultRegistry=https://registry.example.com"], "systemDefaultRegistry"),
    (["proxy.httpsProxy=socks5://proxy:1080"], "httpsProxy"),
    (["caBundle.inline=not a certificate"], "inline"),
    (["caBundle.existingSecret=a", "caBundle.existingConfigMap=b"], "caBundle"),
    (["networkPolicy.apiServerPorts[0]=0"], "apiServerPorts"),
    (["networkPolicy.extraEgress[0].ports[0]=80", "networkPolicy.extraEgress[0].cidr=anywhere"], "cidr"),
]

# Which registry goes before which.
IMAGES = [
    (["image.registry=a", "global.systemDefaultRegistry=b"], f"a/{IMAGE}"),
    (["global.systemDefaultRegistry=b", "global.cattle.systemDefaultRegistry=c"], f"b/{IMAGE}"),
    (["global.cattle.systemDefaultRegistry=c"], f"c/{IMAGE}"),
    (["global=null"], f"docker.io/{IMAGE}"),
    (["image.repository=mirror/responder", "image.tag=v9"], "docker.io/mirror/responder:v9"),
]

results = []


def check(what, ok, found=None):
    results.append(bool(ok))
    if not ok:
        print(f"FAILED {what}" + ("" if found is None else f": found {found}"))


def equal(what, found, expected):
    ok = found == expected and type(found) is type(expected)
    check(what, ok, None if ok else f"{found!r}, expected {expected!r}")


def helm(*args):
    command = [str(ROOT / "deploy/helm"), *map(str, args)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def template(*args):
    return helm("template", NAME, CHART, "--namespace", NAMESPACE, *args)


def settings(pairs):
    return [arg for pair in pairs for arg in ("--set", pair)]


def seconds(duration):
    number, unit = re.fullmatch(r"(\d+)([sm])", duration).groups()
    return int(number) * {"s": 1, "m": 60}[unit]


def one(objects, kind):
    found = [o for o in objects if o["kind"] == kind]
    return found[0] if len(found) == 1 else {}


def check_case(name, case):
    run = template("--values", CASES / f"{name}.yaml")
    check(f"{name}: renders", run.returncode == 0, run.stderr)
    if run.returncode == 0:
        check_objects(name, case, [o for o in yaml.safe_load_all(run.stdout) if o])


def check_objects(name, case, objects):
    equal(f"{name}: the objects", sorted(o["kind"] for o in objects), sorted(case.kinds))
    for o in objects:
        check_object(f"{name}: {o['kind']}", o)
    config_map, cron_job = one(objects, "ConfigMap"), one(objects, "CronJob")
    check_config(f"{name}: ConfigMap", case, config_map)
    check_cron_job(f"{name}: CronJob", case, cron_job)
    check_job(f"{name}: Job", case, cron_job["spec"]["jobTemplate"]["spec"])
    pod = cron_job["spec"]["jobTemplate"]["spec"]["template"]
    check_pod(f"{name}: pod", case, pod["spec"])
    check_container(f"{name}: container", case, pod["spec"])
    check_files(f"{name}: files", case, pod["spec"], config_map)
    if case.enabled:
        check_access(f"{name}: access", objects)
    if case.egress:
        check_network_policy(f"{name}: NetworkPolicy", case, one(objects, "NetworkPolicy"), pod)


def check_object(what, o):
    for version in KUBERNETES:
        try:
            kubernetes_validate.validate(o, version, strict=True)
            error = None
        except Exception as e:  # the library raises several unrelated types
            error = str(e)
        check(f"{what}: valid for Kubernetes {version}", error is None, error)
    meta = o["metadata"]
    equal(f"{what}: name", meta["name"], NAME)
    check(f"{what}: name fits", len(meta["name"]) <= LONGEST_NAME, meta["name"])
    equal(f"{what}: namespace", meta.get("namespace"), None if o["kind"] in CLUSTER_WIDE else NAMESPACE)
    # True for kubectl, RKE2 and Helm alike, hence neither managed-by nor helm.sh/chart.
    equal(
        f"{what}: labels",
        meta.get("labels"),
        {"app.kubernetes.io/name": NAME, "app.kubernetes.io/version": VERSION},
    )
    equal(f"{what}: annotations", meta.get("annotations"), None)


def check_config(what, case, config_map):
    config = yaml.safe_load(config_map["data"]["config.yaml"])
    equal(f"{what}: config.yaml", config, case.full_config)
    check(f"{what}: keys that the program knows", set(config) <= CONFIG_KEYS, sorted(config))


def check_cron_job(what, case, cron_job):
    spec = cron_job["spec"]
    equal(f"{what}: schedule", spec.get("schedule"), "0 */8 * * *")
    equal(f"{what}: concurrencyPolicy", spec.get("concurrencyPolicy"), "Forbid")
    # Below ten seconds the controller may miss every run.
    check(f"{what}: startingDeadlineSeconds", spec.get("startingDeadlineSeconds", 0) >= 10)
    equal(f"{what}: successfulJobsHistoryLimit", spec.get("successfulJobsHistoryLimit"), 1)
    equal(f"{what}: failedJobsHistoryLimit", spec.get("failedJobsHistoryLimit"), 1)
    # Absent while enabled: an admin's own suspension must outlive the next apply.
    equal(f"{what}: suspend", spec.get("suspend"), None if case.enabled else True)


def check_job(what, case, job):
    equal(f"{what}: backoffLimit", job.get("backoffLimit"), 0)
    check(f"{what}: ttlSecondsAfterFinished", job.get("ttlSecondsAfterFinished", 0) > 0)
    config = case.full_config
    needed = seconds(config["spread"]) + 2 * seconds(config["timeout"])
    deadline = job.get("activeDeadlineSeconds", 0)
    check(f"{what}: activeDeadlineSeconds above {needed}", deadline > needed, deadline)
    check(f"{what}: activeDeadlineSeconds below the next run", deadline < 8 * 3600, deadline)


def check_pod(what, case, pod):
    equal(f"{what}: restartPolicy", pod.get("restartPolicy"), "Never")
    equal(f"{what}: serviceAccountName", pod.get("serviceAccountName"), NAME if case.enabled else None)
    equal(f"{what}: automountServiceAccountToken", pod.get("automountServiceAccountToken"), case.enabled)
    equal(f"{what}: terminationGracePeriodSeconds", pod.get("terminationGracePeriodSeconds"), 1)
    equal(f"{what}: enableServiceLinks", pod.get("enableServiceLinks"), False)
    equal(f"{what}: dnsPolicy", pod.get("dnsPolicy"), "ClusterFirst")
    equal(f"{what}: dnsConfig", pod.get("dnsConfig"), {"options": [{"name": "ndots", "value": "1"}]})
    equal(f"{what}: nodeSelector", pod.get("nodeSelector"), {"kubernetes.io/os": "linux"})
    equal(f"{what}: tolerations", pod.get("tolerations"), [{"key": k, "operator": "Exists"} for k in TOLERATED])
    equal(f"{what}: priorityClassName", pod.get("priorityClassName"), None)
    equal(f"{what}: imagePullSecrets", pod.get("imagePullSecrets", []), case.pull_secrets)
    equal(
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
        check(f"{what}: no {key}", key not in pod)


def check_container(what, case, pod):
    equal(f"{what}: one", len(pod["containers"]), 1)
    container = pod["containers"][0]
    equal(f"{what}: image", container.get("image"), case.image)
    equal(f"{what}: imagePullPolicy", container.get("imagePullPolicy"), "IfNotPresent")
    equal(f"{what}: env", container.get("env", []), case.env)
    # Image and configuration decide what it does; a flag here would go before the ConfigMap.
    check(f"{what}: no command, args or ports", not {"command", "args", "ports"} & set(container))
    equal(
        f"{what}: securityContext",
        container.get("securityContext"),
        {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        },
    )
    equal(
        f"{what}: resources",
        container.get("resources"),
        {"requests": {"cpu": "5m", "memory": "8Mi"}, "limits": {"memory": "32Mi"}},
    )


def check_files(what, case, pod, config_map):
    """That the files which the program opens are those that the volume puts there."""
    equal(
        f"{what}: mounts",
        pod["containers"][0].get("volumeMounts"),
        [{"name": "config", "mountPath": CONFIG_DIR, "readOnly": True}],
    )
    equal(f"{what}: volumes", [v["name"] for v in pod["volumes"]], ["config"])
    volume = pod["volumes"][0]
    files = set()
    for source in volume.get("projected", {}).get("sources", [volume]):
        reference = source.get("configMap") or source.get("secret")
        if "items" in reference:
            files |= {item["path"] for item in reference["items"]}
        else:
            equal(f"{what}: the ConfigMap", reference["name"], NAME)
            files |= set(config_map["data"])
    equal(f"{what}: in {CONFIG_DIR}", files, case.files)
    if "ca-bundle.pem" in config_map["data"]:
        pem = config_map["data"]["ca-bundle.pem"].strip().splitlines()
        check(f"{what}: a PEM", pem[0].startswith("-----BEGIN") and pem[-1].startswith("-----END"), pem)


def check_access(what, objects):
    equal(f"{what}: the account gives no token by itself",
          one(objects, "ServiceAccount").get("automountServiceAccountToken"), False)
    namespaces, nodes, daemonsets = one(objects, "ClusterRole")["rules"]
    equal(
        f"{what}: namespaces",
        namespaces,
        {"apiGroups": [""], "resources": ["namespaces"], "resourceNames": ["kube-system"], "verbs": ["get"]},
    )
    equal(f"{what}: nodes", nodes, {"apiGroups": [""], "resources": ["nodes"], "verbs": ["list"]})
    # A rule without names allows all. That these names are the program's is a test of the program.
    names = daemonsets.pop("resourceNames", [])
    check(f"{what}: DaemonSets by name, each once", names and len(names) == len(set(names)), names)
    equal(f"{what}: DaemonSets", daemonsets, {"apiGroups": ["apps"], "resources": ["daemonsets"], "verbs": ["get"]})
    binding = one(objects, "ClusterRoleBinding")
    equal(
        f"{what}: role",
        binding["roleRef"],
        {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": NAME},
    )
    equal(
        f"{what}: subjects",
        binding["subjects"],
        [{"kind": "ServiceAccount", "name": NAME, "namespace": NAMESPACE}],
    )


def check_network_policy(what, case, policy, pod):
    spec = policy["spec"]
    check(f"{what}: selects the pod", spec["podSelector"]["matchLabels"].items() <= pod["metadata"]["labels"].items())
    equal(f"{what}: types", spec["policyTypes"], ["Ingress", "Egress"])
    equal(f"{what}: ingress", spec["ingress"], [])
    egress = [
        {
            "ports": [(p["protocol"], p["port"]) for p in rule["ports"]],
            "to": rule["to"][0]["ipBlock"]["cidr"] if "to" in rule else None,
        }
        for rule in spec["egress"]
    ]
    equal(f"{what}: egress", egress, case.egress)


def check_refused(pairs, reason):
    run = template(*settings(pairs))
    check(f"refused: {', '.join(pairs)}", run.returncode != 0 and reason in run.stderr, run.stderr or "accepted")


def check_image(pairs, image):
    run = template(*settings(pairs))
    found = re.findall(r"^ +image: (\S+)$", run.stdout, re.MULTILINE)
    equal(f"image: {', '.join(pairs)}", found, [image])


def check_notes(name, says):
    run = helm("install", NAME, CHART, "--namespace", NAMESPACE, "--dry-run=client", "--values", CASES / f"{name}.yaml")
    notes = run.stdout.partition("NOTES:\n")[2]
    for words in says:
        check(f"{name}: the notes say {words!r}", words in notes, notes or run.stderr)


def check_versions():
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text())
    equal("Chart.yaml: version", "v" + chart["version"], VERSION)
    equal("Chart.yaml: appVersion", chart["appVersion"], VERSION)


def main():
    check_versions()
    equal("cases with expectations", sorted(p.stem for p in CASES.glob("*.yaml")), sorted(EXPECTED))
    for name, case in EXPECTED.items():
        check_case(name, case)
    for pairs, reason in REFUSED:
        check_refused(pairs, reason)
    for pairs, image in IMAGES:
        check_image(pairs, image)
    report = ["appVersion", "kubernetesVersion", "clusteruuid", "nodeCount", "serverNodeCount", "agentNodeCount",
              "cni-plugin", "os  "]
    check_notes("default", ["Telemetry is ON", ENDPOINT, "--set enabled=false", '"suspend":true', *report])
    check_notes("disabled", ["Telemetry is OFF", "--set enabled=true"])
    failed = results.count(False)
    print(f"{results.count(True)} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
