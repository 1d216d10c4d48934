{{- /* What the container of a gateway and that of a sidecar have in common. */}}

{{- /* Takes a map as .Values.image. */}}
{{- define "husk.image" -}}
{{- if .digest }}
{{- printf "%s@%s" .repository .digest }}
{{- else }}
{{- printf "%s:%s" .repository (.tag | default (include "husk.version" .)) }}
{{- end }}
{{- end }}

{{- /* /startup: husk listens and has loaded its credentials. /startup and /live do not depend on the upstream; /ready of
the readiness probe does. Takes the admin port. */}}
{{- define "husk.probes" -}}
startupProbe:
  httpGet:
    path: /startup
    port: {{ . }}
  periodSeconds: 1
  failureThreshold: 60
livenessProbe:
  httpGet:
    path: /live
    port: {{ . }}
  periodSeconds: 10
  timeoutSeconds: 2
  failureThreshold: 3
{{- end }}

{{- /* Takes the admin port. */}}
{{- define "husk.readinessProbe" -}}
readinessProbe:
  httpGet:
    path: /ready
    port: {{ . }}
  periodSeconds: 5
  timeoutSeconds: 2
  failureThreshold: 2
{{- end }}

{{- /* The restricted Pod security standard. Takes a map with runAsUser and runAsGroup; null leaves a field out. */}}
{{- define "husk.securityContext" -}}
runAsNonRoot: true
{{- with .runAsUser }}
runAsUser: {{ int64 . }}
{{- end }}
{{- with .runAsGroup }}
runAsGroup: {{ int64 . }}
{{- end }}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities:
  drop:
    - ALL
seccompProfile:
  type: RuntimeDefault
{{- end }}

{{- /* Takes a map with fsGroup. */}}
{{- define "husk.podSecurityContext" -}}
runAsNonRoot: true
{{- with .fsGroup }}
# Makes the files of the Secrets readable for husk: mode 0440.
fsGroup: {{ int64 . }}
fsGroupChangePolicy: OnRootMismatch
{{- end }}
seccompProfile:
  type: RuntimeDefault
{{- end }}

{{- /* The volume of a directory of certificates. Takes a map with name, secretName, and perhaps items and ca. It is a whole
directory: with a subPath, a renewed Secret would not reach husk. */}}
{{- define "husk.credentialsVolume" -}}
- name: {{ .name }}
{{- if .ca }}
  projected:
    defaultMode: 0440
    sources:
      - secret:
          name: {{ .secretName }}
          items:
            {{- .items | default (list (dict "key" "tls.crt" "path" "tls.crt") (dict "key" "tls.key" "path" "tls.key")) | toYaml | nindent 12 }}
      - configMap:
          name: {{ .ca.configMap }}
          items:
            - key: {{ .ca.key | default "ca.crt" }}
              path: ca.crt
{{- else }}
  secret:
    secretName: {{ .secretName }}
    defaultMode: 0440
    {{- with .items }}
    items:
      {{- toYaml . | nindent 6 }}
    {{- end }}
{{- end }}
{{- end }}
