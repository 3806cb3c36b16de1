{{- /* No chart or managed-by label: the same objects are also installed with kubectl and by RKE2 itself. */ -}}
{{- define "metrics-responder.metadata" -}}
labels:
  app.kubernetes.io/name: rke2-metrics-responder
  app.kubernetes.io/version: {{ .Chart.AppVersion }}
annotations:
  kubernetes.io/description: |-
    Part of rke2-metrics-responder, which reports the version, size, CNI and OS of this cluster. Turn it off:
    kubectl -n {{ .Release.Namespace }} create configmap rke2-metrics-responder-override --from-literal=METRICS_RESPONDER_ENABLED=false
    https://github.com/rancher/rke2-metrics-responder
{{- end }}

{{- /*
A registry that is set for this chart takes precedence over the one of the whole cluster. Blanks and a slash at the end
are removed, as RKE2 does with its system-default-registry.
*/ -}}
{{- define "metrics-responder.image" -}}
{{- $global := .Values.global -}}
{{- $cattle := $global.cattle | default dict -}}
{{- $registry := "docker.io" -}}
{{- range list $cattle.systemDefaultRegistry $global.systemDefaultRegistry .Values.image.registry -}}
{{- $registry = . | default "" | trim | trimSuffix "/" | default $registry -}}
{{- end -}}
{{ $registry }}/{{ .Values.image.repository }}:{{ .Values.image.tag | default .Chart.AppVersion }}
{{- end }}

{{- /*
A duration such as 10m, 1h30m or 250ms in milliseconds. Uses atoi, because int reads 010 as octal. Limits each number
and the sum to 100,000,000,000, which is three years and more than any setting allows, so that none overflows.
*/ -}}
{{- define "metrics-responder.milliseconds" -}}
{{- $units := dict "ms" 1 "s" 1000 "m" 60000 "h" 3600000 -}}
{{- $most := 100000000000 -}}
{{- $sum := 0 -}}
{{- range regexFindAll "[0-9]+(ms|s|m|h)" . -1 -}}
{{- $unit := regexFind "[a-z]+$" . -}}
{{- $number := trimSuffix $unit . | atoi | min $most -}}
{{- $sum = mul $number (get $units $unit) | add $sum | min $most -}}
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
{{- $ports := list -}}
{{- range .Values.networkPolicy.apiServerPorts }}{{ $ports = append $ports (int .) }}{{ end -}}
{{- $proxy := trim .Values.proxy.httpsProxy -}}
{{- range $url := compact (list .Values.endpoint $proxy) -}}
{{- $secure := regexMatch "^(?i)https://" $url -}}
{{- $port := include "metrics-responder.address" $url | regexFind ":[0-9]+$" | trimPrefix ":" -}}
{{- $ports = append $ports (atoi ($port | default (ternary "443" "80" $secure))) -}}
{{- end -}}
{{ $ports | uniq | toJson }}
{{- end }}

{{- /* host[:port] of a URL, or of a proxy that is written without a scheme. */ -}}
{{- define "metrics-responder.address" -}}
{{- regexReplaceAll "^((?i)https?://)?([^/?#]*@)?([^/?#]*)(?s).*$" . "${3}" -}}
{{- end }}

{{- /*
"true" for host[:port] as the program reads it, else "false": a host in brackets is an IPv6 address, a port is
between 1 and 65535.
*/ -}}
{{- define "metrics-responder.isAddress" -}}
{{- $host := regexFind "^(\\[.*\\]|[!$&'()*+,;=._~A-Za-z0-9-]+)" . -}}
{{- $port := trimPrefix $host . -}}
{{- $number := trimPrefix ":" $port | atoi -}}
{{- $hasPort := and (regexMatch "^:[0-9]+$" $port) (ge $number 1) (le $number 65535) -}}
{{- $isIPv6 := include "metrics-responder.isIPv6" (trimAll "[]" $host) | eq "true" -}}
{{- and (ne $host "") (or $isIPv6 (not (hasPrefix "[" $host))) (or $hasPort (eq $port "")) -}}
{{- end }}

{{- /* "true" for an IPv6 address: eight groups, or fewer around "::". An IPv4 address at its end counts as two. */ -}}
{{- define "metrics-responder.isIPv6" -}}
{{- $text := regexReplaceAll (printf ":%s$" (include "metrics-responder.ipv4" .)) . ":0:0" -}}
{{- $count := regexFindAll "[^:]+" $text -1 | len -}}
{{- $groups := "[0-9A-Fa-f]{1,4}(:[0-9A-Fa-f]{1,4})*" -}}
{{- $whole := and (eq $count 8) (regexMatch (printf "^%s$" $groups) $text) -}}
{{- $short := and (lt $count 8) (regexMatch (printf "^(%s)?::(%s)?$" $groups $groups) $text) -}}
{{- or $whole $short -}}
{{- end }}

{{- /* A regular expression. */ -}}
{{- define "metrics-responder.ipv4" -}}
{{- $octet := "(25[0-5]|2[0-4][0-9]|1[0-9][0-9]|[1-9]?[0-9])" -}}
(({{ $octet }}\.){3}{{ $octet }})
{{- end }}

{{- /*
"true" for the name or address of a server: an IPv6 address in brackets, an IPv4 address, or a DNS name, whose last
label is no number.
*/ -}}
{{- define "metrics-responder.isServer" -}}
{{- $label := "[A-Za-z0-9_]([A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?" -}}
{{- $isName := and (regexMatch (printf "^(%s\\.)*%s\\.?$" $label $label) .) (le (len .) 253) -}}
{{- $isNumber := regexMatch "(^|\\.)([0-9]+|0[xX][0-9A-Fa-f]*)\\.?$" . -}}
{{- $isIPv4 := regexMatch (printf "^%s$" (include "metrics-responder.ipv4" .)) . -}}
{{- or (hasPrefix "[" .) $isIPv4 (and $isName (not $isNumber)) -}}
{{- end }}

{{- /*
"true" for a name that is nearly one of ours, of a value or of a variable: in it, an opt-out would be ignored.
rke2-security-responder is another program.
*/ -}}
{{- define "metrics-responder.isNearMiss" -}}
{{- $letters := regexReplaceAll "[^a-z0-9]" (lower .) "" -}}
{{- $ours := $letters | replace "securityresponder" "" | contains "responder" -}}
{{- or $ours (regexMatch "^(rke2|k3s)?(metric.*(enable|disable)|donottrack$)" $letters) -}}
{{- end }}
