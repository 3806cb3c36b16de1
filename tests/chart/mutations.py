"""mutations.py [WORDS]: breaks a copy of the chart in each way of MUTATIONS; validate.py must notice, and say why.

With WORDS, only the mutations whose file or texts contain them. A mutation runs only the units of validate.py that its
check belongs to; the unbroken copy has to pass them all.
"""

import os
import shutil
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from validate import ROOT, VERSIONED, Chart

# By file of the chart, or of VERSIONED: a text that stands in it once, what it becomes, and how the name of the check
# that must fail begins.
MUTATIONS = {
    "templates/cronjob.yaml": [
        (
            "  {{- if not .Values.enabled }}\n  suspend: true\n  {{- end }}\n",
            "  suspend: {{ not .Values.enabled }}\n",
            "default: CronJob: suspend",
        ),
        ("{{- if not .Values.enabled }}", "{{- if false }}", "disabled: CronJob: suspend"),
        (
            "automountServiceAccountToken: false",
            "automountServiceAccountToken: true",
            "disabled: pod: automountServiceAccountToken",
        ),
        (
            "          {{- if .Values.enabled }}\n          serviceAccountName: rke2-metrics-responder\n",
            "          serviceAccountName: rke2-metrics-responder\n          {{- if .Values.enabled }}\n",
            "disabled: pod: serviceAccountName",
        ),
        ("configMapRef:", "secretRef:", "default: container: envFrom"),
        (
            "                    optional: true\n              {{- with .Values.resources }}",
            "                    optional: false\n              {{- with .Values.resources }}",
            "default: container: envFrom",
        ),
        (
            "configMapRef:\n                    name: rke2-metrics-responder-override",
            "configMapRef:\n                    name: rke2-metrics-responder",
            "disabled: container: envFrom",
        ),
        ("- name: https_proxy", "- name: HTTPS_PROXY", "proxy-ca: container: env"),
        ("- name: no_proxy", "- name: NO_PROXY", "proxy-ca: container: env"),
        ("timeZone: Etc/UTC", "timeZone: Local", "default: CronJob: timeZone"),
        ("  timeZone: Etc/UTC\n", "", "default: CronJob: timeZone"),
        ("concurrencyPolicy: Forbid", "concurrencyPolicy: Replace", "default: CronJob: concurrencyPolicy"),
        ("startingDeadlineSeconds: 3600", "startingDeadlineSeconds: 5", "default: CronJob: startingDeadlineSeconds"),
        (
            "successfulJobsHistoryLimit: 1",
            "successfulJobsHistoryLimit: 0",
            "default: CronJob: successfulJobsHistoryLimit",
        ),
        ("failedJobsHistoryLimit: 1", "failedJobsHistoryLimit: 0", "default: CronJob: failedJobsHistoryLimit"),
        ("schedule: {{ quote .Values.schedule }}", "schedule: '@daily'", "default: CronJob: schedule"),
        ("backoffLimit: 0", "backoffLimit: 1", "default: Job: backoffLimit"),
        ("type: DisruptionTarget", "type: Ready", "default: Job: podFailurePolicy"),
        ("action: Ignore", "action: Count", "default: Job: podFailurePolicy"),
        ("          - action: Ignore", "          - actions: Ignore", "default: CronJob: valid for Kubernetes 1.27"),
        ("ttlSecondsAfterFinished: 28800", "ttlSecondsAfterFinished: 0", "default: Job: ttlSecondsAfterFinished"),
        (
            "      labels:\n        app.kubernetes.io/name: rke2-metrics-responder\n    spec:",
            "      labels: {}\n    spec:",
            "default: Job: metadata",
        ),
        ("restartPolicy: Never", "restartPolicy: OnFailure", "default: pod: restartPolicy"),
        ("runAsNonRoot: true", "runAsNonRoot: false", "default: pod: securityContext"),
        ("type: RuntimeDefault", "type: Unconfined", "default: pod: securityContext"),
        ("allowPrivilegeEscalation: false", "allowPrivilegeEscalation: true", "default: container: securityContext"),
        ("readOnlyRootFilesystem: true", "readOnlyRootFilesystem: false", "default: container: securityContext"),
        ("drop: [ALL]", "drop: [NET_RAW]", "default: container: securityContext"),
        ("enableServiceLinks: false", "hostNetwork: true", "default: pod: no hostNetwork"),
        (
            "terminationGracePeriodSeconds: 1",
            "terminationGracePeriodSeconds: 30",
            "default: pod: terminationGracePeriodSeconds",
        ),
        ('value: "1"', 'value: "5"', "default: pod: dnsConfig"),
        ('value: "1"', "value: 1", "default: CronJob: valid for Kubernetes 1.27"),
        ("dnsPolicy: ClusterFirst", "dnsPolicy: Default", "default: pod: dnsPolicy"),
        ("{{- with .Values.imagePullSecrets }}", "{{- with list }}", "private-registry: pod: imagePullSecrets"),
        ("{{- with .Values.podAnnotations }}", "{{- with dict }}", "default: pod: metadata"),
        (
            '{{- include "metrics-responder.affinity" . | nindent 12 }}',
            "{{- toYaml .Values.affinity | nindent 12 }}",
            "scheduling: pod: affinity",
        ),
        ("mountPath: /etc/metrics-responder", "mountPath: /etc/responder", "default: files: mounts"),
        ("volumes:\n            - name: config", "volumes:\n            - name: files", "default: files: volumes"),
        ("key: {{ .Values.caBundle.key }}", "key: ca-bundle.pem", "proxy-existing-ca: files: volumes"),
        (
            "{{ coalesce .Values.caBundle.existingConfigMap .Values.caBundle.existingSecret }}",
            "rke2-metrics-responder",
            "existing-ca-policy: files: volumes",
        ),
        ("- {{ $caSource }}:", "- configMap:", "proxy-existing-ca: files: volumes"),
        (
            "configMap:\n                name: rke2-metrics",
            "configMap:\n                name: metrics",
            "default: files: volumes",
        ),
        ("path: ca-bundle.pem", "path: ca.pem", "proxy-existing-ca: files: volumes"),
        (
            "      - name: metrics-responder\n",
            "      - name: metrics-responder\n              args: [--strict]\n",
            "default: container: no command",
        ),
        (
            "metadata:\n  name: rke2-metrics-responder\n  namespace: {{ .Release.Namespace }}",
            "metadata:\n  name: rke2-metrics-responder\n  namespace: kube-system",
            "another namespace: of the objects",
        ),
        ('"metrics-responder.image" . | toYaml', '"metrics-responder.image" .', "registry '[fd00::1]:5000'"),
        ("schedule: {{ quote .Values.schedule }}", "schedule: {{ .Values.schedule }}", "schedule '@daily'"),
    ],
    "templates/rbac.yaml": [
        ("\nrules:", "\n  namespace: kube-system\nrules:", "default: ClusterRole: namespace"),
        ("{{- if .Values.enabled }}", "{{- if true }}", "disabled: the objects"),
        ("verbs: [list]", "verbs: [list, watch]", "default: access: nodes"),
        ("resources: [nodes]", "resources: [nodes, pods]", "default: access: nodes"),
        ("    resourceNames: [kube-system]\n", "", "default: access: namespaces"),
        ("      - kindnet\n", "      - kindnet\n      - kindnet\n", "default: access: DaemonSets by name, each once"),
        (
            "resources: [daemonsets]\n    resourceNames:",
            "resources: [daemonsets]\n    x:",
            "default: access: DaemonSets by name, each once",
        ),
        (
            "    verbs: [get]\n---",
            "    verbs: [get, list]\n---",
            "default: access: DaemonSets",
        ),
        ("apiGroups: [apps]", "apiGroups: ['*']", "default: access: DaemonSets"),
        (
            "  kind: ClusterRole\n  name: rke2-metrics-responder",
            "  kind: ClusterRole\n  name: cluster-admin",
            "default: access: role",
        ),
        (
            "  - kind: ServiceAccount\n    name: rke2-metrics-responder",
            "  - kind: ServiceAccount\n    name: default",
            "default: access: subjects",
        ),
        (
            "    namespace: {{ .Release.Namespace }}\n{{- end }}",
            "    namespace: kube-system\n{{- end }}",
            "another namespace: access: subjects",
        ),
    ],
    "templates/serviceaccount.yaml": [
        ("{{- if .Values.enabled }}", "{{- if true }}", "disabled: the objects"),
        ("automountServiceAccountToken: false", "automountServiceAccountToken: true", "default: access: automount"),
        ("kind: ServiceAccount", "kind: ServiceAcount", "default: the objects"),
    ],
    "templates/networkpolicy.yaml": [
        ("and .Values.enabled .Values", "and true .Values", "disabled: the objects"),
        ("policyTypes: [Ingress, Egress]", "policyTypes: [Egress]", "network-policy: NetworkPolicy: types"),
        ("  ingress: []", "  ingress: [{}]", "network-policy: NetworkPolicy: ingress"),
        (
            "      app.kubernetes.io/name: rke2-metrics-responder\n  policyTypes",
            "      app.kubernetes.io/name: responder\n  policyTypes",
            "network-policy: NetworkPolicy: selects the pod",
        ),
        (
            "{{- with .cidr }}",
            '{{- with .cidr | default "10.0.0.0/8" }}',
            "network-policy: NetworkPolicy: egress",
        ),
    ],
    "templates/configmap.yaml": [
        ("metadata:", "metadata:\n  annotations: {helm.sh/hook: pre-install}", "default: ConfigMap: annotations"),
        ("| trim | nindent", "| trunc 100 | nindent", "proxy-ca: files: a PEM"),
        ("enabled: {{ .Values.enabled }}", "enabled: true", "disabled: ConfigMap: config.yaml"),
        ("gracePeriod: {{ .Values.gracePeriod }}", "gracePeriod: 24h", "scheduling: ConfigMap: config.yaml"),
        ("    gracePeriod: {{ .Values.gracePeriod }}\n", "", "default: ConfigMap: config.yaml"),
        ("timeout: {{ .Values.timeout }}", "timeout: 10s", "proxy-ca: ConfigMap: config.yaml"),
        ("  name: rke2-metrics-responder\n", "  name: {{ .Release.Name }}-config\n", "default: ConfigMap: name"),
    ],
    "values.yaml": [
        ("\nenabled: true", "\nenabled: false", "default: the objects"),
        ("gracePeriod: 24h", "gracePeriod: 0s", "default: ConfigMap: config.yaml"),
        ("spread: 10m", "spread: 0s", "default: ConfigMap: config.yaml"),
        ("  - key: CriticalAddonsOnly\n    operator: Exists\n", "", "default: pod: tolerations"),
        ("  kubernetes.io/os: linux", "  kubernetes.io/os: windows", "default: pod: nodeSelector"),
        ('priorityClassName: ""', "priorityClassName: a", "default: pod: priorityClassName"),
        ('safe-to-evict: "true"', 'safe-to-evict: "false"', "default: pod: metadata"),
        ("    memory: 32Mi", "    memory: 128Mi", "default: container: resources"),
        ("pullPolicy: IfNotPresent", "pullPolicy: Always", "default: container: imagePullPolicy"),
    ],
    "templates/checks.yaml": [
        ('"DO_NOT_TRACK" "METRICS', '"METRICS', "refused extraEnv[0].name=DO_NOT_TRACK"),
        ('"METRICS_RESPONDER_ENABLED"', '""', "refused extraEnv[0].name=METRICS_RESPONDER_ENABLED"),
        ("ge $deadline 28800", "gt $deadline 28800", "refused spread=7h54m40s"),
        ("mul 8760 3600000", "mul 8761 3600000", "refused gracePeriod=8760h1ms"),
        ("^(enab|disab|", "^(disab|", "opt-out enableTelemetry"),
        ("enab|disab|", "enab|", "opt-out disabled"),
        ("(rke2)?metricsresponder", "metricsresponder", "opt-out rke2-metrics-responder"),
        ('regexReplaceAll "[^a-z0-9]" (lower $key)', 'regexReplaceAll "[^a-zA-Z0-9]" $key', "opt-out ENABLED"),
        ("{{- $similar := eq $sorted", "{{- $similar := and false $sorted", "opt-out eanbled"),
        ("%s.{0,2}%s", "%s.{2}%s", "opt-out nabled"),
        ('"schedule" "spread"', '"spread"', "misspelt scheduel"),
        ("{{- if not (has $key $ours) -}}", "{{- if false -}}", "misspelt endpoitn"),
        ("{{- if $similar -}}", "{{- if true -}}", "foreign vCenter"),
        ('and (hasPrefix "http://" .Values.endpoint)', "and false", "refused endpoint=http://example.com/"),
        ("(len $bundles) 1", "(len $bundles) 2", "refused caBundle.existingSecret=a, caBundle.existingConfigMap=b"),
    ],
    "templates/_helpers.tpl": [
        ("max 7200", "max 920", "default: Job: activeDeadlineSeconds"),
        ("$spread $timeout $timeout 999", "$spread $timeout 999", "deadline spread=0s, timeout=1h"),
        ("$timeout $timeout 999", "$timeout $timeout 0", "deadline spread=2h, timeout=1ms"),
        ("add 300 (div", "add 0 (div", "deadline spread=2h, timeout=1ms"),
        ("$unit . | atoi", "$unit . | int", "deadline spread=0200m"),
        ('"[0-9]+(ms|s|m|h)"', '"[0-9]+(s|m|h)"', "deadline spread=2h, timeout=1ms"),
        ('(list "amd64" "arm64")', '(list "amd64")', "default: pod: affinity"),
        ("range $required.nodeSelectorTerms | default (list dict)", "range list dict", "scheduling: pod: affinity"),
        (
            "(prepend (.matchExpressions | default list) $architecture)",
            "(list $architecture)",
            "scheduling: pod: affinity",
        ),
        ("$node := $affinity.nodeAffinity | default dict", "$node := dict", "scheduling: pod: affinity"),
        ("deepCopy (.Values.affinity | default dict)", "dict", "scheduling: pod: affinity"),
        (
            "app.kubernetes.io/name: rke2-metrics-responder",
            "app.kubernetes.io/name: {{ .Release.Name }}\nhelm.sh/chart: {{ .Chart.Name }}",
            "default: ConfigMap: labels",
        ),
        ("compact (list .Values.endpoint .Values.proxy.httpsProxy)", "list", "network-policy: NetworkPolicy: egress"),
        (".Values.endpoint .Values.proxy.httpsProxy", ".Values.endpoint", "network-policy: NetworkPolicy: egress"),
        ('ternary "80" "443"', 'ternary "443" "443"', "network-policy: NetworkPolicy: egress"),
        ("$distinct | uniq |", "$distinct |", "existing-ca-policy: NetworkPolicy: egress"),
        (".existingConfigMap }}configMap", ".existingConfigMap }}secret", "existing-ca-policy: files: volumes"),
        (
            "coalesce .Values.image.registry $global.systemDefaultRegistry $cattle",
            "coalesce $global.systemDefaultRegistry .Values.image.registry $cattle",
            "image image.registry=a, global.systemDefaultRegistry=b",
        ),
        (
            "$global.systemDefaultRegistry $cattle.systemDefaultRegistry",
            "$cattle.systemDefaultRegistry",
            "image global.systemDefaultRegistry=b, global.cattle.systemDefaultRegistry=c",
        ),
        ("$cattle := $global.cattle | default dict", "$cattle := dict", "image global.cattle.systemDefaultRegistry=c"),
    ],
    "values.schema.json": [
        ("(ms|s|m|h))+$", "(s|m|h))+$", "deadline spread=2h, timeout=1ms"),
        ("([0-9]{1,9}(ms", "([0-9.]{1,9}(ms", "refused spread=1.5h"),
        ('{ "pattern": "[1-9]" }', "{}", "refused timeout=0h0ms"),
        ('"enabled",\n    "endpoint"', '"endpoint"', "refused enabled=null"),
        (r"(/[a-z0-9]+((\\.|__?|-+)[a-z0-9]+)*)*)?$", ")?$", "registry 'harbor.example.com/docker.io'"),
        ("(/[a-z0-9]+(", "(/[a-z0-9]*(", "registry 'registry.example.com/'"),
        (r"(\\.|__?|-+)", "[._-]+", "registry 'registry.example.com/a..b'"),
        ("|6553[0-5])", "|6553[0-6])", "registry 'registry.example.com:65536'"),
        ("(:0*([1-9]", "(:0*([0-9]", "registry 'registry.example.com:0'"),
        (
            '"image": {\n      "type": "object",\n      "additionalProperties": false,',
            '"image": {\n      "type": "object",',
            "refused image.tagg=v1",
        ),
        (
            '"cattle": {\n          "type": "object",\n          "properties": {',
            '"cattle": {\n          "type": "object",\n          "ignored": {',
            "registry 'https://registry.example.com': /global/cattle",
        ),
        ("){4}|@", "){4,5}|@", "schedule '0 0 */8 * * *'"),
        ("){4}|@", "){3,4}|@", "schedule '0 */8 * *'"),
        ("|@every[", "|@everyday[", "schedule '@every 8h'"),
        ("{4}|@[^\\\\s\\\\v\\u0085\\\\p{Z}]+|", "{4}|@[^\\\\s\\\\v\\u0085\\\\p{Z}]*|", "schedule '@'"),
        ('"pattern": "^[\\\\s\\\\v\\u0085\\\\p{Z}]*(', '"pattern": "^(', "schedule ' @daily '"),
        (
            '"type": "object",\n  "required"',
            '"type": "object",\n  "additionalProperties": false,\n  "required"',
            "package: image in RKE2's gate with my-registry",
        ),
        (
            '"type": "object",\n  "required"',
            '"type": "object",\n  "additionalProperties": false,\n  "required"',
            "package: image in RKE2's gate with docker.io",
        ),
    ],
    "Chart.yaml": [
        ("\nversion: ", "\nversion: 9", "versions: version of Chart.yaml"),
        ("appVersion: v", "appVersion: ", "versions: appVersion of Chart.yaml"),
        (">=1.27.0-0", ">=1.27.0", "Chart.yaml: kubeVersion"),
        (">=1.27.0-0", ">=1.25.0-0", "Kubernetes v1.26.15+rke2r1"),
        ("home: https://github.com/rancher/rke2-metrics-responder", "home: https://example.com", "Chart.yaml: home"),
        ("  - https://github.com/rancher", "  - https://github.com/somebody", "Chart.yaml: sources"),
        ("keywords: [rke2, ", "keywords: [", "Chart.yaml: keywords"),
        ("maintainers:", "annotations: {}\nmaintainer:", "Chart.yaml: maintainers"),
        (">=1.27.0-0", ">=1.33.0-0", "Kubernetes v1.32.2-rc1+rke2r1"),
    ],
    "Cargo.toml": [
        ('\nversion = "', '\nversion = "9', "versions: image of the manifest"),
    ],
    ".github/CHANGELOG.md": [
        ("## [Unreleased]", "## [99.0.0]", "versions: last release of CHANGELOG.md"),
    ],
    "deploy/upgrade-responder.yaml": [
        ("rke2-metrics-responder:v", "rke2-metrics-responder:v9", "versions: image of the manifest"),
        (
            "# kubectl -n kube-system create configmap",
            "# kubectl -n kube-system patch configmap",
            "manifest: commands of the header",
        ),
        ("# Turn it off,", "# Turn it off (or suspend the CronJob),", "manifest: no other opt-out"),
    ],
    ".helmignore": [
        ("*.tgz", "*.json", "package: files"),
    ],
    "templates/NOTES.txt": [
        (
            "create configmap rke2-metrics-responder-override",
            "create configmap rke2-metrics-responder",
            "notes, enabled: a line create configmap",
        ),
        (
            "kubectl -n {{ .Release.Namespace }} create",
            "kubectl -n kube-system create",
            "notes, enabled: a line create configmap",
        ),
        (
            "once the cluster is {{ .Values.gracePeriod }} old",
            "soon",
            "notes, enabled: says once the cluster is 24h old",
        ),
        (
            '{{- if include "metrics-responder.milliseconds" .Values.gracePeriod | int64 }}',
            "{{- if true }}",
            "notes, without a grace period",
        ),
        ("{{- if .Values.enabled -}}", "{{- if true -}}", "notes, disabled: says Telemetry is OFF"),
        ("the sender's address and ", "", "notes, enabled: says sender's address"),
        (
            "--reset-then-reuse-values --set enabled=false",
            "--reuse-values --set enabled=false",
            "notes, enabled: says --reset",
        ),
        ("add --force-conflicts", "retry", "notes, enabled: says --force-conflicts"),
    ],
}


def copy(folder):
    shutil.copytree(ROOT / "deploy/chart", folder / "deploy/chart")
    for file in VERSIONED:
        target = folder / file
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(ROOT / file, target)
    return folder / "deploy/chart"


def survival(mutation, folder):
    """Why the mutation does not count as noticed, or nothing."""
    file, old, new, fails = mutation
    chart = copy(folder)
    path = folder / file if file in VERSIONED else chart / file
    text = path.read_text()
    if text.count(old) != 1:
        return f"the text to replace stands there {text.count(old)} times"
    path.write_text(text.replace(old, new))
    result = Chart(chart).run(fails)
    if not result.failed:
        return f"{result.passed} checks passed"
    if not any(line.startswith(fails) for line in result.failed):
        return "only others failed: " + "; ".join(line[:200] for line in result.failed)
    return None


def main(words=""):
    rows = [(file, *row) for file, rows in MUTATIONS.items() for row in rows]
    rows = [row for row in rows if any(words in part for part in row)]
    target = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))
    with tempfile.TemporaryDirectory(prefix="mutations.", dir=target) as work:
        unbroken = Chart(copy(Path(work, "unbroken"))).run()
        folders = [Path(work, str(number)) for number in range(len(rows))]
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            reasons = list(pool.map(survival, rows, folders))
    for line in unbroken.failed:
        print(f"FAILED unbroken: {line}")
    survivors = [(row, reason) for row, reason in zip(rows, reasons, strict=True) if reason]
    for (file, old, new, fails), reason in survivors:
        print(f"FAILED {file}: {old!r} -> {new!r} must fail {fails!r}: {reason}")
    print(f"{len(rows) - len(survivors)} of {len(rows)} mutations noticed")
    return 1 if survivors or unbroken.failed else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
