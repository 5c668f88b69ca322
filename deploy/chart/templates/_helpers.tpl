{{- define "lth.fullname" -}}
{{- $name := default "lth" .Values.nameOverride -}}
{{- if contains $name .Release.Name -}}
{{- .Release.Name | trunc 40 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name $name | trunc 40 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{- define "lth.selector" -}}
app.kubernetes.io/name: lottery-ticket-search
app.kubernetes.io/instance: {{ .root.Release.Name }}
{{- with .component }}
app.kubernetes.io/component: {{ . }}
{{- end }}
{{- end -}}

{{- define "lth.labels" -}}
{{ include "lth.selector" . }}
app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .root.Chart.Name .root.Chart.Version }}
{{- end -}}

{{- define "lth.image" -}}
{{- $image := index .root.Values.images .name -}}
{{- printf "%s:%s" $image.repository (default .root.Chart.AppVersion $image.tag) -}}
{{- with $image.digest }}@{{ . }}{{ end -}}
{{- end -}}

{{- define "lth.podSecurity" -}}
runAsNonRoot: true
runAsUser: 10001
runAsGroup: 10001
fsGroup: 10001
fsGroupChangePolicy: OnRootMismatch
seccompProfile: {type: RuntimeDefault}
{{- end -}}

{{- define "lth.containerSecurity" -}}
runAsNonRoot: true
allowPrivilegeEscalation: false
privileged: false
readOnlyRootFilesystem: true
capabilities: {drop: [ALL]}
seccompProfile: {type: RuntimeDefault}
{{- end -}}

{{- define "lth.rayName" -}}
{{ include "lth.fullname" . }}-ray
{{- end -}}

{{- define "lth.rayHead" -}}
{{- printf "%s-head-svc.%s.svc" (include "lth.rayName" .) .Release.Namespace -}}
{{- end -}}

{{- define "lth.rayTokenSecret" -}}
{{- default (include "lth.rayName" .) .Values.ray.auth.secret -}}
{{- end -}}

{{/* Whether some group has GPUs: what `resources.device: auto` then means. */}}
{{- define "lth.device" -}}
{{- $device := "cpu" -}}
{{- range .Values.ray.groups }}{{ if and .enabled .gpus }}{{ $device = "cuda" }}{{ end }}{{ end -}}
{{- $device -}}
{{- end -}}

{{/* What all groups together may grow to, of "cpus" or "gpus": engines are asked for up to it. */}}
{{- define "lth.reach" -}}
{{- $sum := 0 -}}
{{- $of := .of -}}
{{- range .root.Values.ray.groups }}{{ if .enabled }}{{ $sum = add $sum (mul .maxReplicas (index . $of)) }}{{ end }}{{ end -}}
{{- $sum -}}
{{- end -}}

{{/* What API, dispatcher and engines agree on: where the record lies and which device is meant. */}}
{{- define "lth.recordEnv" -}}
- name: LTH_HOME
  value: /var/lib/lth
- name: LTH_STORE_URL
  value: {{ .Values.store.url | quote }}
- name: LTH_REDIS_URL
  valueFrom:
    secretKeyRef: {name: {{ .Values.redis.secret }}, key: url}
- name: LTH_RAY_ADDRESS
  value: {{ printf "%s:6379" (include "lth.rayHead" .) | quote }}
- name: LTH_AUTO_DEVICE
  value: {{ include "lth.device" . }}
{{- range $name, $value := .Values.store.env }}
- name: {{ $name }}
  value: {{ $value | quote }}
{{- end }}
{{- range $name, $value := .Values.settings }}
- name: {{ $name }}
  value: {{ $value | quote }}
{{- end }}
{{- end -}}

{{- define "lth.storeEnvFrom" -}}
{{- with .Values.store.secret }}
envFrom:
  - secretRef: {name: {{ . }}}
{{- end }}
{{- end -}}

{{- define "lth.storeMount" -}}
{{- if .Values.store.volume.enabled }}
- {name: objects, mountPath: {{ .Values.store.volume.mountPath }}}
{{- end }}
{{- end -}}

{{- define "lth.storeVolume" -}}
{{- if .Values.store.volume.enabled }}
- name: objects
  persistentVolumeClaim:
    claimName: {{ default (printf "%s-objects" (include "lth.fullname" .)) .Values.store.volume.existingClaim }}
{{- end }}
{{- end -}}

{{- define "lth.rayTokenVolume" -}}
- name: ray-token
  secret:
    secretName: {{ include "lth.rayTokenSecret" . }}
    defaultMode: 0440
    items: [{key: auth_token, path: token}]
{{- end -}}

{{- define "lth.spread" -}}
topologySpreadConstraints:
  - maxSkew: 1
    topologyKey: kubernetes.io/hostname
    whenUnsatisfiable: ScheduleAnyway
    labelSelector:
      matchLabels:
        {{- include "lth.selector" . | nindent 8 }}
{{- end -}}

{{- define "lth.placement" -}}
{{- with .nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}

{{- define "lth.pullSecrets" -}}
{{- with .Values.images.pullSecrets }}
imagePullSecrets:
  {{- range . }}
  - name: {{ . }}
  {{- end }}
{{- end }}
{{- end -}}
