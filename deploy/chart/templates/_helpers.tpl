{{- /* No chart or managed-by label: the same objects are also installed with kubectl and by RKE2 itself. */ -}}
{{- define "metrics-responder.labels" -}}
app.kubernetes.io/name: rke2-metrics-responder
app.kubernetes.io/version: {{ .Chart.AppVersion }}
{{- end }}

{{- /* A registry that somebody chose for this chart goes before the one of the whole cluster. */ -}}
{{- define "metrics-responder.image" -}}
{{- $global := .Values.global | default dict -}}
{{- $cattle := $global.cattle | default dict -}}
{{- $registry := coalesce .Values.image.registry $global.systemDefaultRegistry $cattle.systemDefaultRegistry "docker.io" -}}
{{ $registry }}/{{ .Values.image.repository }}:{{ .Values.image.tag | default .Chart.AppVersion }}
{{- end }}

{{- /* 10m and 90s in seconds. */ -}}
{{- define "metrics-responder.seconds" -}}
{{- if hasSuffix "m" . -}}
{{ mul 60 (trimSuffix "m" . | int) }}
{{- else -}}
{{ trimSuffix "s" . | int }}
{{- end -}}
{{- end }}

{{- /* "inline", "configMap" or "secret"; empty without a bundle. */ -}}
{{- define "metrics-responder.caSource" -}}
{{- $sources := list -}}
{{- with .Values.caBundle.inline }}{{ $sources = append $sources "inline" }}{{ end -}}
{{- with .Values.caBundle.existingConfigMap }}{{ $sources = append $sources "configMap" }}{{ end -}}
{{- with .Values.caBundle.existingSecret }}{{ $sources = append $sources "secret" }}{{ end -}}
{{- if gt (len $sources) 1 }}{{ fail "caBundle: set only one of inline, existingConfigMap and existingSecret" }}{{ end -}}
{{ join "" $sources }}
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
