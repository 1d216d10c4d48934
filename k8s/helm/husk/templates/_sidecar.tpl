{{- /*
husk as a sidecar in a Pod of another chart. Each template takes a map:

  mode          client or server (required)
  options       options of `husk client` or `husk server`: name → text, number, true, or a list; null removes a default
  credentials   directory of certificates, mounted at /etc/husk/tls: secretName, and perhaps items, and ca with configMap and
                key. Absent: no volume, no --credentials.
  image         repository, tag, digest, pullPolicy
  native        true (default): a container of initContainers, which starts before the others and stops after them;
                false: a container of containers
  readiness     whether the Pod is ready only while the upstream works; the default is true for a server, and false for a
                client, because a logging outage must not take an application out of its Services
  name          of the container (husk); also the beginning of the name of the volume
  resources     of the container
  securityContext   runAsUser, runAsGroup, fsGroup (65532)
  env, volumeMounts as in a container

husk.sidecar.container            an item of initContainers or containers
husk.sidecar.volumes              items of volumes
husk.sidecar.podSecurityContext   the securityContext of the Pod
*/}}

{{- define "husk.sidecar.defaults" -}}
name: husk
native: true
readiness: {{ eq .mode "server" }}
image:
  repository: husk
  pullPolicy: IfNotPresent
resources:
  requests:
    cpu: 10m
    memory: 16Mi
  limits:
    memory: 64Mi
securityContext:
  runAsUser: 65532
  runAsGroup: 65532
  fsGroup: 65532
env: []
volumeMounts: []
options:
  admin: 0.0.0.0:9901
  workers: 1
  log-format: json
  {{- if .credentials }}
  credentials: /etc/husk/tls
  {{- end }}
  {{- if eq .mode "client" }}
  listen: 127.0.0.1:24224
  {{- else }}
  listen: 0.0.0.0:24224
  upstream: 127.0.0.1:24225
  {{- end }}
{{- end }}

{{- /* The map with its defaults, as JSON. A mistake in it ends with one line. */}}
{{- define "husk.sidecar.settings" -}}
{{- $known := list "mode" "options" "credentials" "image" "native" "readiness" "name" "resources" "securityContext" "env" "volumeMounts" }}
{{- $parts := dict "credentials" (list "secretName" "items" "ca") "image" (list "repository" "tag" "digest" "pullPolicy") "securityContext" (list "runAsUser" "runAsGroup" "fsGroup") }}
{{- range $key, $value := . }}
{{- if not (has $key $known) }}
{{- fail (printf "husk sidecar: %q is no key: the keys are %s" $key (join ", " $known)) }}
{{- end }}
{{- range $part, $ignored := (hasKey $parts $key | ternary $value dict) }}
{{- if not (has $part (get $parts $key)) }}
{{- fail (printf "husk sidecar: %q is no key of %s: the keys are %s" $part $key (get $parts $key | join ", ")) }}
{{- end }}
{{- end }}
{{- end }}
{{- if not (has .mode (list "client" "server")) }}
{{- fail (printf "husk sidecar: mode is %q: it must be client or server" (toString .mode)) }}
{{- end }}
{{- if not (kindIs "bool" (.readiness | default false)) }}
{{- fail (printf "husk sidecar: readiness is %q: it must be true or false" (toString .readiness)) }}
{{- end }}
{{- if and .credentials (not .credentials.secretName) }}
{{- fail "husk sidecar: credentials.secretName: name the Secret with the certificate, the key and the CA" }}
{{- end }}
{{- $settings := mergeOverwrite (include "husk.sidecar.defaults" . | fromYaml) (deepCopy .) }}
{{- if not $settings.options.upstream }}
{{- fail "husk sidecar: options.upstream: name the address of the aggregator, such as logs.example.com:24224" }}
{{- end }}
{{- toJson $settings }}
{{- end }}

{{- /* --name=value for each option, as a JSON list. */}}
{{- define "husk.sidecar.options" -}}
{{- $words := list }}
{{- range $name, $value := . }}
{{- if not (regexMatch "^[a-z][a-z0-9-]*$" $name) }}
{{- fail (printf "husk sidecar: options: %q is no name of an option: write it without dashes in front" $name) }}
{{- end }}
{{- range (kindIs "slice" $value | ternary $value (list $value)) }}
{{- if kindIs "bool" . }}
{{- if . }}
{{- $words = append $words (printf "--%s" $name) }}
{{- end }}
{{- else if kindIs "string" . }}
{{- $words = append $words (printf "--%s=%s" $name .) }}
{{- else if not (kindIs "invalid" .) }}
{{- $words = append $words (printf "--%s=%s" $name (toJson .)) }}
{{- end }}
{{- end }}
{{- end }}
{{- toJson $words }}
{{- end }}

{{- define "husk.sidecar.container" -}}
{{- $settings := include "husk.sidecar.settings" . | fromJson }}
{{- $admin := include "husk.adminPort" (dict "listen" $settings.options.admin "what" "husk sidecar: options.admin") | int }}
- name: {{ $settings.name }}
  image: {{ include "husk.image" $settings.image }}
  imagePullPolicy: {{ $settings.image.pullPolicy }}
  {{- if $settings.native }}
  restartPolicy: Always
  {{- end }}
  args:
    - {{ $settings.mode }}
    {{- include "husk.sidecar.options" $settings.options | fromJsonArray | toYaml | nindent 4 }}
  {{- with $settings.env }}
  env:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  ports:
    {{- range include "husk.ports" (dict "listen" $settings.options.listen "what" "husk sidecar: options.listen") | fromJsonArray }}
    - name: forward-{{ . }}
      containerPort: {{ . }}
      protocol: TCP
    {{- end }}
    - name: husk-admin
      containerPort: {{ $admin }}
      protocol: TCP
  {{- include "husk.probes" $admin | nindent 2 }}
  {{- if $settings.readiness }}
  {{- include "husk.readinessProbe" $admin | nindent 2 }}
  {{- end }}
  resources:
    {{- toYaml $settings.resources | nindent 4 }}
  securityContext:
    {{- include "husk.securityContext" $settings.securityContext | nindent 4 }}
  {{- if or $settings.credentials $settings.volumeMounts }}
  volumeMounts:
    {{- if $settings.credentials }}
    - name: {{ $settings.name }}-tls
      mountPath: /etc/husk/tls
      readOnly: true
    {{- end }}
    {{- with $settings.volumeMounts }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
  {{- end }}
{{- end }}

{{- define "husk.sidecar.volumes" -}}
{{- $settings := include "husk.sidecar.settings" . | fromJson }}
{{- with $settings.credentials }}
{{- include "husk.credentialsVolume" (merge (dict "name" (printf "%s-tls" $settings.name)) .) }}
{{- end }}
{{- end }}

{{- define "husk.sidecar.podSecurityContext" -}}
{{- $settings := include "husk.sidecar.settings" . | fromJson }}
{{- include "husk.podSecurityContext" $settings.securityContext }}
{{- end }}
