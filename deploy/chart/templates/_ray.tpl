{{/* What every process that joins the cluster needs before its Python starts. */}}
{{- define "lth.rayEnv" -}}
- name: RAY_AUTH_MODE
  value: token
- name: RAY_AUTH_TOKEN_PATH
  value: /run/secrets/ray/token
- name: RAY_USAGE_STATS_ENABLED
  value: "0"
{{- end -}}

{{/* Sockets of the Ray node lie in /tmp, its object store in /dev/shm: both are shared by the two containers. */}}
{{- define "lth.dispatcherMounts" -}}
- {name: home, mountPath: /var/lib/lth}
- {name: tmp, mountPath: /tmp}
- {name: shared-memory, mountPath: /dev/shm}
- {name: ray-token, mountPath: /run/secrets/ray, readOnly: true}
{{- include "lth.storeMount" . }}
{{- end -}}

{{- define "lth.rayMounts" -}}
- {name: home, mountPath: /var/lib/lth}
- {name: tmp, mountPath: /tmp}
- {name: shared-memory, mountPath: /dev/shm}
{{- end -}}

{{/* A Ray container listens on its node manager's port for as long as it lives. */}}
{{- define "lth.rayProbes" -}}
startupProbe:
  tcpSocket: {port: {{ . }}}
  periodSeconds: 3
  failureThreshold: 100
livenessProbe:
  tcpSocket: {port: {{ . }}}
  periodSeconds: 10
readinessProbe:
  tcpSocket: {port: {{ . }}}
  periodSeconds: 5
{{- end -}}

{{- define "lth.rayVolumes" -}}
- name: home
  emptyDir: {sizeLimit: 1Gi}
- name: tmp
  emptyDir: {sizeLimit: 4Gi}
- name: shared-memory
  emptyDir: {medium: Memory, sizeLimit: 512Mi}
{{- end -}}

{{/* Weights and masks travel by name through the object store, so Ray's own needs little. */}}
{{- define "lth.objectStoreBytes" -}}134217728{{- end -}}
