{{- define "forebay.engines" -}}
{{- $names := list }}
{{- range $engine := $.Values.engines }}{{- $names = append $names $engine.model }}{{- end }}
{{- $models := list }}
{{- range $name := uniq $names }}
{{- $pools := list }}
{{- range $engine := $.Values.engines }}{{- if eq $engine.model $name }}
{{- $fields := dict "kind" $engine.kind "slots" $engine.slots }}
{{- if $engine.gpu }}
{{- $host := printf "%s-engine-%s" $.Release.Name $engine.name }}
{{- $servers := list }}
{{- range $n := untilStep 1 (int (add1 (int $engine.gpu.most))) 1 }}
{{- $servers = append $servers (dict "url" (printf "http://%s-%d.%s:8000/v1" $host $n $host)) }}
{{- end }}
{{- $fields = merge $fields (dict "elastic" true "engines" $servers) }}
{{- else }}
{{- $fields = merge $fields (dict "url" $engine.url) }}
{{- end }}
{{- $fields = merge $fields (deepCopy (default (dict) $engine.options)) }}
{{- $pools = append $pools (printf "%s:%s" (toJson $engine.name) (toJson $fields)) }}
{{- end }}{{- end }}
{{- $models = append $models (printf "%s:{\"pools\":{%s}}" (toJson $name) (join "," $pools)) }}
{{- end }}
{{- printf "{%s}" (join "," $models) }}
{{- end }}
{{- define "forebay.configuration" -}}
{{- $told := omit $.Values "engines" "web" "grpc" "jobs" "beat" "worker" "ingress" }}
{{- printf "%s %s" (toJson $told) (include "forebay.engines" $) | sha256sum }}
{{- end }}
