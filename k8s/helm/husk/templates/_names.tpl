{{- /* The version of husk that these templates are for. Named templates run in the context of other charts, whose
.Chart is not this one. */}}
{{- define "husk.version" -}}
0.1.0
{{- end }}

{{- define "husk.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 50 | trimSuffix "-" }}
{{- end }}

{{- /* At most 50 characters: suffixes such as -headless must fit into 63. */}}
{{- define "husk.fullname" -}}
{{- if .Values.fullnameOverride }}
{{- .Values.fullnameOverride | trunc 50 | trimSuffix "-" }}
{{- else if contains (include "husk.name" .) .Release.Name }}
{{- .Release.Name | trunc 50 | trimSuffix "-" }}
{{- else }}
{{- printf "%s-%s" .Release.Name (include "husk.name" .) | trunc 50 | trimSuffix "-" }}
{{- end }}
{{- end }}

{{- define "husk.serviceAccountName" -}}
{{- if .Values.serviceAccount.create }}
{{- default (include "husk.fullname" .) .Values.serviceAccount.name }}
{{- else }}
{{- default "default" .Values.serviceAccount.name }}
{{- end }}
{{- end }}

{{- define "husk.labels.release" -}}
app.kubernetes.io/name: {{ include "husk.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "husk.labels.gateway" -}}
{{ include "husk.labels.release" . }}
app.kubernetes.io/component: gateway
{{- end }}

{{- define "husk.labels" -}}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
{{- with .Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{- /* The metadata of an object of the gateway. Takes the context and the name: (list . NAME). */}}
{{- define "husk.metadata" -}}
{{- $ := index . 0 -}}
name: {{ index . 1 }}
namespace: {{ $.Release.Namespace }}
labels:
  {{- include "husk.labels.release" $ | nindent 2 }}
  {{- include "husk.labels" $ | nindent 2 }}
{{- end }}

{{- define "husk.bundleName" -}}
{{- default (printf "%s-ca" (include "husk.fullname" .)) .Values.trustManager.bundle.name }}
{{- end }}

{{- /* The Secret of an entry of certManager.certificates. Takes (list . NAME). */}}
{{- define "husk.certificateSecret" -}}
{{- $ := index . 0 }}
{{- $certificate := get $.Values.certManager.certificates (index . 1) }}
{{- default (printf "%s-%s" (include "husk.fullname" $) (index . 1)) $certificate.secretName }}
{{- end }}
