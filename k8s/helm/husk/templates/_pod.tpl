{{- /* The name of the Secret of an entry of credentials. Takes (list . NAME). */}}
{{- define "husk.credentialsSecret" -}}
{{- $ := index . 0 }}
{{- $name := index . 1 }}
{{- $entry := get $.Values.credentials $name }}
{{- if $entry.secretName }}
{{- $entry.secretName }}
{{- else if hasKey $.Values.certManager.certificates $entry.certificate }}
{{- include "husk.certificateSecret" (list $ $entry.certificate) }}
{{- else }}
{{- fail (printf "credentials.%s.certificate: certManager.certificates has no entry %q" $name $entry.certificate) }}
{{- end }}
{{- end }}

{{- define "husk.volumes" -}}
- name: config
  configMap:
    name: {{ include "husk.fullname" . }}
{{- range $name, $entry := .Values.credentials }}
{{ include "husk.credentialsVolume" (merge (dict "name" (printf "tls-%s" $name) "secretName" (include "husk.credentialsSecret" (list $ $name))) $entry) }}
{{- end }}
{{- with .Values.extraVolumes }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{- define "husk.volumeMounts" -}}
- name: config
  mountPath: /etc/husk/config
  readOnly: true
{{- range $name, $entry := .Values.credentials }}
- name: tls-{{ $name }}
  mountPath: /etc/husk/tls/{{ $name }}
  readOnly: true
{{- end }}
{{- with .Values.extraVolumeMounts }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{- /* Also of the Pod of `helm test`. */}}
{{- define "husk.podCommon" -}}
serviceAccountName: {{ include "husk.serviceAccountName" . }}
automountServiceAccountToken: false
enableServiceLinks: false
{{- with .Values.imagePullSecrets }}
imagePullSecrets:
  {{- range . }}
  - name: {{ . }}
  {{- end }}
{{- end }}
securityContext:
  {{- include "husk.podSecurityContext" .Values.securityContext | nindent 2 }}
volumes:
  {{- include "husk.volumes" . | nindent 2 }}
{{- end }}

{{- define "husk.containerCommon" -}}
image: {{ include "husk.image" .Values.image }}
imagePullPolicy: {{ .Values.image.pullPolicy }}
{{- with .Values.env }}
env:
  {{- toYaml . | nindent 2 }}
{{- end }}
resources:
  {{- toYaml .Values.resources | nindent 2 }}
securityContext:
  {{- include "husk.securityContext" .Values.securityContext | nindent 2 }}
volumeMounts:
  {{- include "husk.volumeMounts" . | nindent 2 }}
{{- end }}
