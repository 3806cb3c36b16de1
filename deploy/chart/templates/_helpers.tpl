{{- /* No chart or managed-by label: the same objects are also installed with kubectl and by RKE2 itself. */ -}}
{{- define "metrics-responder.labels" -}}
app.kubernetes.io/name: rke2-metrics-responder
app.kubernetes.io/version: {{ .Chart.AppVersion }}
{{- end }}

{{- /* A registry that is set for this chart takes precedence over the one of the whole cluster. */ -}}
{{- define "metrics-responder.image" -}}
{{- $global := .Values.global -}}
{{- $cattle := $global.cattle | default dict -}}
{{- $registry := coalesce .Values.image.registry $global.systemDefaultRegistry $cattle.systemDefaultRegistry "docker.io" -}}
{{ $registry }}/{{ .Values.image.repository }}:{{ .Values.image.tag | default .Chart.AppVersion }}
{{- end }}

{{- /* A duration such as 10m, 1h30m or 250ms in milliseconds. atoi, because int reads 010 as octal. */ -}}
{{- define "metrics-responder.milliseconds" -}}
{{- $units := dict "ms" 1 "s" 1000 "m" 60000 "h" 3600000 -}}
{{- $sum := 0 -}}
{{- range regexFindAll "[0-9]+(ms|s|m|h)" . -1 -}}
{{- $unit := regexFind "[a-z]+$" . -}}
{{- $sum = add $sum (mul (trimSuffix $unit . | atoi) (get $units $unit)) -}}
{{- end -}}
{{ $sum }}
{{- end }}

{{- /*
activeDeadlineSeconds: spread + 2 * timeout, and 300 seconds to schedule the pod and to pull its image. At least 7200,
because the override can lengthen spread and timeout, and this template does not see it.
*/ -}}
{{- define "metrics-responder.deadline" -}}
{{- $spread := include "metrics-responder.milliseconds" .Values.spread | int64 -}}
{{- $timeout := include "metrics-responder.milliseconds" .Values.timeout | int64 -}}
{{ max 7200 (add 300 (div (add $spread $timeout $timeout 999) 1000)) }}
{{- end }}

{{- /*
The affinity of the values with the architectures that have an image. A node has to meet one of the required terms,
and all of that term; so the architecture is added to each.
*/ -}}
{{- define "metrics-responder.affinity" -}}
{{- $architecture := dict "key" "kubernetes.io/arch" "operator" "In" "values" (list "amd64" "arm64") -}}
{{- $affinity := deepCopy (.Values.affinity | default dict) -}}
{{- $node := $affinity.nodeAffinity | default dict -}}
{{- $required := $node.requiredDuringSchedulingIgnoredDuringExecution | default dict -}}
{{- $terms := list -}}
{{- range $required.nodeSelectorTerms | default (list dict) -}}
{{- $terms = append $terms (set . "matchExpressions" (prepend (.matchExpressions | default list) $architecture)) -}}
{{- end -}}
{{- $_ := set $node "requiredDuringSchedulingIgnoredDuringExecution" (dict "nodeSelectorTerms" $terms) -}}
{{ set $affinity "nodeAffinity" $node | toYaml }}
{{- end }}

{{- /* "inline", "configMap" or "secret"; empty without a bundle. */ -}}
{{- define "metrics-responder.caSource" -}}
{{- with .Values.caBundle -}}
{{- if .inline }}inline{{ else if .existingConfigMap }}configMap{{ else if .existingSecret }}secret{{ end -}}
{{- end -}}
{{- end }}

{{- /* The TCP ports that the pod must reach anywhere, as a JSON list: API server, endpoint, proxy. */ -}}
{{- define "metrics-responder.egressPorts" -}}
{{- $ports := .Values.networkPolicy.apiServerPorts -}}
{{- range $url := compact (list .Values.endpoint .Values.proxy.httpsProxy) -}}
{{- $port := regexFind "[0-9]+$" (regexFind ":[0-9]+$" (urlParse $url).host) -}}
{{- $default := ternary "80" "443" (hasPrefix "http://" $url) -}}
{{- $ports = append $ports ($port | default $default | int) -}}
{{- end -}}
{{- $distinct := list -}}
{{- range $ports }}{{ $distinct = append $distinct (int .) }}{{ end -}}
{{ $distinct | uniq | toJson }}
{{- end }}
