"""Checks what the chart renders; `validate.py bless` rewrites the expected renderings.

Each check that fails is one line of output; the last line counts them all.
"""

import difflib
import json
import os
import re
import subprocess
import sys
import tarfile
import tempfile
import tomllib
from concurrent.futures import ThreadPoolExecutor
from functools import cache, partial
from pathlib import Path

import kubernetes_validate
import yaml

ROOT = Path(__file__).resolve().parents[2]
HERE = ROOT / "tests/chart"
CHART = ROOT / "deploy/chart"
MANIFEST = ROOT / "deploy/upgrade-responder.yaml"
CARGO = tomllib.loads((ROOT / "Cargo.toml").read_text())["package"]
NAME = "rke2-metrics-responder"
VERSION = "v" + CARGO["version"]
IMAGE = f"rancher/{NAME}:{VERSION}"
# The oldest and the newest Kubernetes that the objects are validated against.
KUBERNETES = ["1.27", "1.37"]
OPT_OUT = f"create configmap {NAME}-override --from-literal=METRICS_RESPONDER_ENABLED=false"
STOP_JOB = f"delete job -l app.kubernetes.io/name={NAME}"

# The cases whose namespace is not kube-system: one that YAML reads as a number.
NAMESPACES = {"odd-names": "123"}
# The cases whose NOTES.txt is compared too.
NOTES = ["default", "disabled", "odd-names"]

PROMISES = yaml.safe_load((HERE / "promises.yaml").read_text())
DISABLED = ["ConfigMap", "CronJob"]
ENABLED = [*DISABLED, "ClusterRole", "ClusterRoleBinding", "Role", "RoleBinding", "ServiceAccount"]
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
    (["spread=24h", "timeout=24h", "schedule=@weekly"], 259500),
    # No run begins, and so none is too long.
    (["spread=24h", "enabled=false"], 86720),
]

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
        self.check(what, ok, f"{found!r}, expected {expected!r}")

    def refused(self, what, run, *words):
        self.check(what, run.returncode != 0 and all(word in run.stderr for word in words), run.stderr or "accepted")


def helm(*args, stdin=None):
    command = [str(ROOT / "deploy/helm"), *map(str, args)]
    return subprocess.run(command, input=stdin, capture_output=True, text=True, check=False)


def template(*args, values=None, namespace="kube-system"):
    stdin = None if values is None else json.dumps(values)
    given = () if values is None else ("--values", "-")
    return helm("template", NAME, CHART, "--namespace", namespace, *given, *args, stdin=stdin)


def settings(pairs):
    return [arg for pair in pairs for arg in ("--set", pair)]


def parse(text):
    return [o for o in yaml.safe_load_all(text) if o]


def one(objects, kind):
    return next(o for o in objects if o["kind"] == kind)


def images(text):
    """Every image in the text, comments included, as a script that greps would find them."""
    return [image.strip("'") for image in re.findall(r"\bimage:\s*(\S+)", text)]


def table(name):
    return yaml.safe_load((HERE / f"{name}.yaml").read_text())


def verdicts(lists):
    return [(text, True) for text in lists["accepted"]] + [(text, False) for text in lists["refused"]]


def rows():
    """The rows of values-both.yaml: a group, a value of its key, and whether chart and program accept it."""
    return [(group, value, accepted) for group in table("values-both") for value, accepted in verdicts(group)]


def values_of(group, value):
    key, _, inner = group["key"].partition(".")
    nested = {"": value, "name": [{"name": value, "value": "1s"}], "httpsProxy": {"httpsProxy": value}}[inner]
    return {key: nested} | group.get("with", {})


class Rendering:
    """What the chart renders for a file of cases/, or with its defaults."""

    def __init__(self, case):
        self.case = case
        self.namespace = NAMESPACES.get(case, "kube-system")
        self.values = [] if case == "default" else ["--values", HERE / f"cases/{case}.yaml"]
        run = template(*self.values, namespace=self.namespace)
        self.text, self.error = run.stdout, run.stderr

    def difference(self):
        """To the manifest, without the numbers of lines and of the version, which would change in each at once."""
        texts = [MANIFEST.read_text(), self.text]
        bodies = [text.partition("---\n")[2].replace(VERSION, "vX.Y.Z").splitlines() for text in texts]
        lines = difflib.unified_diff(*bodies, MANIFEST.name, self.case, lineterm="")
        return "".join("@@\n" if line.startswith("@@") else f"{line}\n" for line in lines)

    def notes(self):
        run = helm("install", NAME, CHART, "--namespace", self.namespace, "--dry-run=client", *self.values)
        return run.stdout.partition("NOTES:\n")[2]

    def files(self):
        """The files of renderings/ that belong to it, and what they must contain."""
        found = {} if self.case == "default" else {f"{self.case}.diff": self.difference()}
        return found | ({f"{self.case}.NOTES.txt": self.notes()} if self.case in NOTES else {})


def cases():
    return ["default", *sorted(path.stem for path in (HERE / "cases").glob("*.yaml"))]


def check_case(case, name, t):
    rendering = Rendering(case)
    t.check(f"{name}: renders", rendering.text, rendering.error)
    for file, text in rendering.files().items():
        path = HERE / "renderings" / file
        expected = path.read_text() if path.exists() else ""
        lines = difflib.unified_diff(expected.splitlines(), text.splitlines(), file, "rendered", lineterm="")
        t.check(f"{name}: {file} is as committed; see `just bless-chart`", text == expected, "\n".join(lines))
    objects = parse(rendering.text)
    for o in objects:
        for version in KUBERNETES:
            error = schema_error(json.dumps(o, sort_keys=True), version)
            t.check(f"{name}: {o['kind']}: valid for Kubernetes {version}", error is None, error)
        description = o["metadata"]["annotations"]["kubernetes.io/description"]
        lines = [f"kubectl -n {rendering.namespace} {OPT_OUT}", CARGO["repository"]]
        t.equal(f"{name}: {o['kind']}: description", description.splitlines()[1:], lines)
    t.check(f"{name}: no time zone", "timeZone" not in rendering.text)
    check_job(name, objects, t)
    if one(objects, "CronJob")["spec"].get("suspend"):
        t.equal(f"{name}: objects", sorted(o["kind"] for o in objects), DISABLED)
    else:
        check_access(name, objects, rendering.namespace, t)


def check_job(name, objects, t):
    config = yaml.safe_load(one(objects, "ConfigMap")["data"]["config.yaml"])
    cron_job = one(objects, "CronJob")["spec"]
    enabled = config["enabled"]
    # Absent while enabled: an admin's own suspension must outlive the next apply.
    t.equal(f"{name}: suspend", cron_job.get("suspend", "absent"), "absent" if enabled else True)
    job = cron_job["jobTemplate"]["spec"]
    t.equal(f"{name}: backoffLimit", job["backoffLimit"], 0)
    t.equal(f"{name}: label", job["template"]["metadata"]["labels"]["app.kubernetes.io/name"], NAME)
    pod = job["template"]["spec"]
    t.equal(f"{name}: securityContext", pod["securityContext"], PROMISES["pod security"])
    for key in ("hostNetwork", "hostPID", "hostIPC", "initContainers", "ephemeralContainers"):
        t.check(f"{name}: no {key}", key not in pod)
    t.equal(f"{name}: automountServiceAccountToken", pod["automountServiceAccountToken"], False)
    t.equal(f"{name}: serviceAccountName", pod.get("serviceAccountName"), NAME if enabled else None)
    t.equal(f"{name}: volumes after the first", pod["volumes"][1:], PROMISES["token"] if enabled else [])
    t.equal(f"{name}: containers", len(pod["containers"]), 1)
    container = pod["containers"][0]
    mounts = PROMISES["mounts"] if enabled else PROMISES["mounts"][:1]
    t.equal(f"{name}: mounts", container["volumeMounts"], mounts)
    t.equal(f"{name}: container's securityContext", container["securityContext"], PROMISES["container security"])
    t.equal(f"{name}: envFrom", container["envFrom"], PROMISES["envFrom"])
    # Image and configuration decide; an argument would take precedence over both.
    t.check(f"{name}: no command, args or ports", not {"command", "args", "ports"} & set(container))


def check_access(name, objects, namespace, t):
    kinds = sorted(o["kind"] for o in objects if o["kind"] != "NetworkPolicy")
    t.equal(f"{name}: objects", kinds, sorted(ENABLED))
    t.equal(f"{name}: account", one(objects, "ServiceAccount")["automountServiceAccountToken"], False)
    # A rule without names would allow all.
    names = one(objects, "ClusterRole")["rules"][2].pop("resourceNames", [])
    t.check(f"{name}: DaemonSets by name, each once", names and len(names) == len(set(names)), names)
    for kind in ("Role", "ClusterRole"):
        rules = one(objects, kind)["rules"]
        t.equal(f"{name}: rules of the {kind}", rules, PROMISES[f"rules of the {kind}"])
        binding = one(objects, f"{kind}Binding")
        role = {"apiGroup": "rbac.authorization.k8s.io", "kind": kind, "name": NAME}
        t.equal(f"{name}: role of the {kind}Binding", binding["roleRef"], role)
        subjects = [{"kind": "ServiceAccount", "name": NAME, "namespace": namespace}]
        t.equal(f"{name}: subjects of the {kind}Binding", binding["subjects"], subjects)


@cache
def schema_error(text, version):
    """Why Kubernetes would refuse this object; cached, because the cases share most objects."""
    try:
        kubernetes_validate.validate(json.loads(text), version, strict=True)
    except Exception as e:  # the library raises several unrelated types
        return str(e)
    return None


def check_chart_file(name, t):
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text())
    t.equal(f"{name}: version", "v" + chart["version"], VERSION)
    t.equal(f"{name}: appVersion", chart["appVersion"], VERSION)
    repository = CARGO["repository"]
    t.equal(f"{name}: home", chart["home"], repository)
    t.equal(f"{name}: sources", chart["sources"], [repository])
    t.check(f"{name}: keywords", {"rke2", "k3s", "telemetry"} <= set(chart["keywords"]))
    # Helm 3 takes v1.32.2-rc1+rke2r1 for older than 1.27.0 without the -0.
    t.equal(f"{name}: kubeVersion", chart["kubeVersion"], ">=1.27.0-0")
    t.check(f"{name}: maintainers", all(m["name"] and m["url"] for m in chart["maintainers"]))


def check_changelog(name, t):
    released = re.findall(r"^## \[(\d.*?)\]", (ROOT / ".github/CHANGELOG.md").read_text(), re.MULTILINE)
    t.equal(f"{name}: last release", f"v{released[0]}", VERSION)


def check_manifest(name, t):
    """The rest of the manifest is compared by `deploy/render --check`."""
    header, _, body = MANIFEST.read_text().partition("---\n")
    t.equal(f"{name}: image", images(body), [f"docker.io/{IMAGE}"])
    commands = [line for line in header.splitlines() if line.startswith("# kubectl ")]
    t.equal(f"{name}: commands", commands, [f"# kubectl -n kube-system {command}" for command in (OPT_OUT, STOP_JOB)])
    others = re.findall("suspend|patch|enabled: |set env", header)
    t.equal(f"{name}: no other opt-out in the header", others, [])


def check_refused(pairs, word, name, t):
    t.refused(name, template(*settings(pairs)), word)


def check_row(group, value, accepted, name, t):
    run = template(values=values_of(group, value))
    if accepted:
        t.check(name, run.returncode == 0, run.stderr)
        if group["key"] in ("endpoint", "gracePeriod", "spread", "timeout"):
            config = yaml.safe_load(one(parse(run.stdout), "ConfigMap")["data"]["config.yaml"])
            t.equal(f"{name}: in the ConfigMap", config[group["key"]], value)
    else:
        t.refused(name, run, group["key"].partition(".")[0])
        secret = "password" in str(value) and value in run.stderr
        t.check(f"{name}: not quoted", not secret, run.stderr)


def check_misspelt(written, meant, name, t):
    t.refused(name, template("--set", f"{written}.x=false"), f"{written} is not a key of this chart", meant)


def check_foreign(key, name, t):
    t.equal(name, template("--set", f"{key}.enabled=true").stdout, template().stdout)


def check_deadline(pairs, deadline, name, t):
    objects = parse(template(*settings(pairs)).stdout)
    job = one(objects, "CronJob")["spec"]["jobTemplate"]["spec"]
    t.equal(name, job["activeDeadlineSeconds"], deadline)


def check_schedule(text, accepted, name, t):
    run = template(values={"schedule": text})
    if accepted:
        t.equal(name, one(parse(run.stdout), "CronJob")["spec"]["schedule"], text)
    else:
        t.refused(name, run, "at '/schedule'")


def check_registry(text, registry, name, t):
    cattle = {"systemDefaultRegistry": text}
    run = template(values={"image": {"registry": text}, "global": cattle | {"cattle": cattle}})
    if registry is None:
        t.refused(name, run, "registry", "systemDefaultRegistry")
    else:
        t.equal(name, images(run.stdout), [f"{registry or 'docker.io'}/{IMAGE}"])


def check_registry_place(place, name, t):
    t.refused(name, template("--set", f"{place}=https://registry"), f"at '/{place.replace('.', '/')}'")


def check_image(pairs, image, name, t):
    t.equal(name, images(template(*settings(pairs)).stdout), [image.format(f"{NAME}:{VERSION}")])


def check_package(name, t):
    """RKE2 gets the packaged chart, and renders it in its gate."""
    with tempfile.TemporaryDirectory() as folder:
        helm("package", CHART, "--destination", folder)
        package = Path(folder, f"{NAME}-{VERSION[1:]}.tgz")
        with tarfile.open(package) as archive:
            packed = {member.name.partition("/")[2] for member in archive.getmembers()}
        files = {str(p.relative_to(CHART)) for p in CHART.rglob("*") if p.is_file()}
        t.equal(f"{name}: files", packed, files - {".helmignore"})
        readme = helm("show", "readme", package).stdout
        t.equal(f"{name}: the readme's opt-out", readme.splitlines().count(f"kubectl -n kube-system {OPT_OUT}"), 1)
        for registry, values in GATE.items():
            run = helm("template", "test-chart", "--kube-version", "v1.36.2", "--set", values, package)
            t.equal(f"{name}: image in RKE2's gate with {registry}", images(run.stdout), [f"{registry}/{IMAGE}"])
    t.equal(f"{name}: LICENSE", (CHART / "LICENSE").read_text(), (ROOT / "LICENSE").read_text())


def check_kube_version(version, accepted, name, t):
    run = template("--kube-version", version)
    t.equal(name, (run.returncode == 0, "kubeVersion" in run.stderr), (accepted, not accepted))


def units():
    """Everything that must hold, by name."""
    yield "Chart.yaml", check_chart_file
    yield "CHANGELOG.md", check_changelog
    yield "manifest", check_manifest
    for case in cases():
        yield case, partial(check_case, case)
    for word, lists in table("values-refused").items():
        for pairs in lists:
            yield f"refused {pairs}", partial(check_refused, pairs.split(), word)
    for group, value, accepted in rows():
        yield f"{group['key']} {value!r}", partial(check_row, group, value, accepted)
    keys = table("root-keys")
    for key in keys["refused"]:
        yield f"opt-out {key}", partial(check_misspelt, key, "enabled: false")
    for key in json.loads((CHART / "values.schema.json").read_text())["properties"]:
        for written in (key.upper(), f"{key[:3]}-{key[3:]}"):
            yield f"misspelt {written}", partial(check_misspelt, written, f"did you mean {key}?")
    for key in keys["accepted"]:
        yield f"foreign {key}", partial(check_foreign, key)
    for pairs, deadline in DEADLINES:
        yield f"deadline {', '.join(pairs)}", partial(check_deadline, pairs, deadline)
    for text, accepted in verdicts(table("schedules")):
        yield f"schedule {text!r}", partial(check_schedule, text, accepted)
    lists = table("registries")
    for text, accepted in verdicts(lists):
        yield f"registry {text!r}", partial(check_registry, text, text if accepted else None)
    for text, registry in lists["trimmed"].items():
        yield f"registry {text!r}", partial(check_registry, text, registry)
    for place in ("image.registry", "global.systemDefaultRegistry", "global.cattle.systemDefaultRegistry"):
        yield f"registry in {place}", partial(check_registry_place, place)
    for pairs, image in IMAGES:
        yield f"image {', '.join(pairs)}", partial(check_image, pairs, image)
    yield "package", check_package
    for version, accepted in KUBE_VERSIONS.items():
        yield f"Kubernetes {version}", partial(check_kube_version, version, accepted)


def run_unit(name, unit):
    checks = Checks()
    try:
        unit(name, checks)
    except Exception as e:  # of a broken chart anything may be missing
        checks.check(f"{name}: can be read", False, repr(e))
    return checks


def run_all(named):
    """Runs units on every core, prints what failed, and returns an exit status."""
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        results = list(pool.map(lambda pair: run_unit(*pair), named))
    failed = [line for checks in results for line in checks.failed]
    for line in failed:
        print(f"FAILED {line}")
    print(f"{sum(checks.passed for checks in results)} passed, {len(failed)} failed")
    return 1 if failed else 0


def bless():
    folder = HERE / "renderings"
    folder.mkdir(exist_ok=True)
    for file in folder.iterdir():
        file.unlink()
    for case in cases():
        for file, text in Rendering(case).files().items():
            (folder / file).write_text(text)


if __name__ == "__main__":
    sys.exit(bless() if sys.argv[1:] == ["bless"] else run_all(units()))
