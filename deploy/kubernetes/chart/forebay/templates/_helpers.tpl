{{/*
Most helpers take the dict of one component:
  context    the root context, $
  component  "web", "engine-qwen" ...: the label, and the name after the release's
  resources  of its containers
*/}}

{{/* Labels of an object, and the selector of its pods. Without a component: all pods. */}}
{{- define "forebay.labels" -}}
app.kubernetes.io/name: forebay
app.kubernetes.io/instance: {{ .context.Release.Name | quote }}
{{- with .component }}
app.kubernetes.io/component: {{ . }}
{{- end }}
{{- end }}

{{- define "forebay.metadata" -}}
name: {{ .context.Release.Name }}-{{ .component }}
labels:
  {{- include "forebay.labels" . | nindent 2 }}
{{- end }}

{{- define "forebay.image" -}}
{{- with .Values.image -}}
{{ .repository }}{{ if .digest }}@{{ .digest }}{{ else }}:{{ .tag | default $.Chart.AppVersion }}{{ end }}
{{- end }}
{{- end }}

{{/* FOREBAY_ENGINES. Joined text by text: toJson sorts keys, and pools are tried in their order. */}}
{{- define "forebay.engines" -}}
{{- $names := list }}
{{- range .Values.engines }}{{- $names = append $names .model }}{{- end }}
{{- $models := list }}
{{- range $name := uniq $names }}
  {{- $pools := list }}
  {{- range $engine := $.Values.engines }}
    {{- if eq $engine.model $name }}
      {{- $pool := dict "kind" $engine.kind "slots" $engine.slots }}
      {{- if $engine.gpu }}
        {{- $host := printf "%s-engine-%s" $.Release.Name $engine.name }}
        {{- $servers := list }}
        {{- range $n := untilStep 1 (int (add1 (int $engine.gpu.most))) 1 }}
          {{- $servers = append $servers (dict "url" (printf "http://%s-%d.%s:8000/v1" $host $n $host)) }}
        {{- end }}
        {{- $pool = merge $pool (dict "elastic" true "engines" $servers) }}
      {{- else }}
        {{- $pool = merge $pool (dict "url" $engine.url) }}
      {{- end }}
      {{- $pool = merge $pool (deepCopy (default (dict) $engine.options)) }}
      {{- $pools = append $pools (printf "%s:%s" (toJson $engine.name) (toJson $pool)) }}
    {{- end }}
  {{- end }}
  {{- $models = append $models (printf "%s:{\"pools\":{%s}}" (toJson $name) (join "," $pools)) }}
{{- end }}
{{- printf "{%s}" (join "," $models) }}
{{- end }}

{{/* Pods are rolled when what they read has changed. */}}
{{- define "forebay.configuration" -}}
{{- $values := omit .Values "engines" "web" "grpc" "jobs" "beat" "worker" "ingress" "database" }}
{{- printf "%s %s" (toJson $values) (include "forebay.engines" .) | sha256sum }}
{{- end }}

{{/* What a Deployment says beside its pods: a roll-out never has fewer of them. */}}
{{- define "forebay.deployment" -}}
revisionHistoryLimit: 3
strategy:
  type: RollingUpdate
  rollingUpdate:
    maxUnavailable: 0
    maxSurge: 1
selector:
  matchLabels:
    {{- include "forebay.labels" . | nindent 4 }}
{{- end }}

{{- define "forebay.podMetadata" -}}
annotations:
  kubectl.kubernetes.io/default-container: forebay
  forebay/configuration: {{ include "forebay.configuration" .context }}
labels:
  {{- include "forebay.labels" . | nindent 2 }}
{{- end }}

{{- define "forebay.podSecurityContext" -}}
runAsNonRoot: true
runAsUser: 10001  # of the image
runAsGroup: 10001
fsGroup: 10001
fsGroupChangePolicy: OnRootMismatch
seccompProfile:
  type: RuntimeDefault
{{- end }}

{{- define "forebay.containerSecurityContext" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities:
  drop: [ALL]
{{- end }}

{{/* What every pod says beside its containers and volumes. */}}
{{- define "forebay.pod" -}}
serviceAccountName: {{ .context.Release.Name }}-pods
automountServiceAccountToken: false
enableServiceLinks: false
{{- with .context.Values.image.pullSecrets }}
imagePullSecrets:
  {{- toYaml . | nindent 2 }}
{{- end }}
securityContext:
  {{- include "forebay.podSecurityContext" . | nindent 2 }}
# Long enough for the longest request, a minute for its record, and the wait of preStop.
terminationGracePeriodSeconds: {{ add (int .context.Values.requestDeadlineSeconds) 90 }}
# Over zones where there are some, over nodes in any case as far as possible.
topologySpreadConstraints:
{{- range list "topology.kubernetes.io/zone" "kubernetes.io/hostname" }}
  - maxSkew: 1
    topologyKey: {{ . }}
    whenUnsatisfiable: ScheduleAnyway
    labelSelector:
      matchLabels:
        {{- include "forebay.labels" $ | nindent 8 }}
{{- end }}
{{- end }}

{{/* What every container of the image says beside its command. */}}
{{- define "forebay.container" -}}
image: {{ include "forebay.image" .context | quote }}
imagePullPolicy: {{ .context.Values.image.pullPolicy }}
securityContext:
  {{- include "forebay.containerSecurityContext" . | nindent 2 }}
{{- with .resources }}
resources:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}

{{- define "forebay.envFrom" -}}
envFrom:
  - configMapRef:
      name: {{ .context.Release.Name }}-settings
{{- end }}

{{/* Waits until the Job has migrated: the pod shows why it waits, and old pods go on serving. */}}
{{- define "forebay.waitForTables" -}}
- name: tables
  {{- include "forebay.container" . | nindent 2 }}
  command: [sh, -ec]
  args: ["until forebay migrate --check; do sleep 5; done"]
  {{- include "forebay.envFrom" . | nindent 2 }}
  volumeMounts:
    {{- include "forebay.volumeMounts" . | nindent 4 }}
{{- end }}

{{- define "forebay.volumeMounts" -}}
- name: home
  mountPath: /var/lib/forebay
- name: tmp
  mountPath: /tmp
- name: secrets
  mountPath: /run/secrets/forebay
  readOnly: true
- name: engines
  mountPath: /etc/forebay
  readOnly: true
{{- if .context.Values.tls.secret }}
- name: tls
  mountPath: /run/secrets/tls
  readOnly: true
{{- end }}
{{- end }}

{{- define "forebay.volumes" -}}
{{- include "forebay.secretVolumes" . }}
- name: engines
  configMap:
    name: {{ .context.Release.Name }}-engines
{{- with .context.Values.tls.secret }}
- name: tls
  secret:
    secretName: {{ . | quote }}
    defaultMode: 0440
{{- end }}
{{- end }}

{{/* Two Secrets in one folder: whoever reads the metrics' token need not see the master key. */}}
{{- define "forebay.secretVolumes" -}}
- name: home
  emptyDir:
    sizeLimit: 1Gi
- name: tmp
  emptyDir:
    sizeLimit: 1Gi
- name: secrets
  projected:
    defaultMode: 0440
    sources:
      {{- with .context.Values.secrets }}
      - secret:
          name: {{ .name | quote }}
          items:
          {{- range concat .keys .more }}
            - key: {{ . | quote }}
              path: {{ . | quote }}
          {{- end }}
      - secret:
          name: {{ .metrics | quote }}
          items:
            - key: FOREBAY_METRICS_TOKEN
              path: FOREBAY_METRICS_TOKEN
      {{- end }}
{{- end }}

{{/* Files that pods share: exports, witnesses, model versions, checkpoints. */}}
{{- define "forebay.keptVolume" -}}
- name: kept
  persistentVolumeClaim:
    claimName: {{ .context.Values.storage.existingClaim | default (printf "%s-kept" .context.Release.Name) | quote }}
{{- end }}

{{/* FOREBAY_MODEL_STORE and FOREBAY_JOB_STORE, where the settings name no others. */}}
{{- define "forebay.storeMounts" -}}
{{- range list "model-store" "job-store" }}
- name: kept
  mountPath: /var/lib/forebay/{{ . }}
  subPath: {{ . }}
{{- end }}
{{- end }}

{{/* Probes of one component's `port`; `ready` is the path that says that it takes requests. */}}
{{- define "forebay.probes" -}}
startupProbe:
  httpGet:
    path: {{ .ready }}
    {{- include "forebay.probedPort" . | nindent 4 }}
  # 180 s until a process that starts has loaded everything, on a busy node.
  periodSeconds: 2
  timeoutSeconds: 3
  failureThreshold: 90
readinessProbe:
  httpGet:
    path: {{ .ready }}
    {{- include "forebay.probedPort" . | nindent 4 }}
  periodSeconds: 5
  timeoutSeconds: 3
  failureThreshold: 3
livenessProbe:
  httpGet:
    path: /livez
    {{- include "forebay.probedPort" . | nindent 4 }}
  periodSeconds: 10
  timeoutSeconds: 3
  failureThreshold: 6
{{- end }}

{{- define "forebay.probedPort" -}}
port: {{ .port }}
{{- if .context.Values.tls.secret }}
scheme: HTTPS
{{- end }}
{{- end }}

{{/* Serves on until every proxy knows that the pod stops; only then the process is told to end. */}}
{{- define "forebay.lifecycle" -}}
lifecycle:
  preStop:
    sleep:
      seconds: 10
{{- end }}

{{/* A node that is drained takes one pod at once. */}}
{{- define "forebay.podDisruptionBudget" -}}
apiVersion: policy/v1
kind: PodDisruptionBudget
metadata:
  {{- include "forebay.metadata" . | nindent 2 }}
spec:
  maxUnavailable: 1
  unhealthyPodEvictionPolicy: AlwaysAllow
  selector:
    matchLabels:
      {{- include "forebay.labels" . | nindent 6 }}
{{- end }}

{{/* Up at once, by as many as there are; down one by one, once fewer were enough for long. */}}
{{- define "forebay.scalingBehavior" -}}
behavior:
  scaleUp:
    stabilizationWindowSeconds: 0
    selectPolicy: Max
    policies:
      - {type: Percent, value: 100, periodSeconds: 60}
      - {type: Pods, value: 2, periodSeconds: 60}
  scaleDown:
    stabilizationWindowSeconds: {{ int .Values.autoscaling.downAfterSeconds }}
    selectPolicy: Max
    policies:
      - {type: Pods, value: 1, periodSeconds: 300}
{{- end }}
