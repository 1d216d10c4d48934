{{- /* The ports of addresses that other Pods can reach, as a JSON list. Unix sockets and loopback have none.
Takes a map with `listen` (an address, or a list of them, each a text or a map with `address`) and `what`, the name of the
value for messages. */}}
{{- define "husk.ports" -}}
{{- $ports := list }}
{{- $what := .what }}
{{- range (kindIs "slice" .listen | ternary .listen (list .listen)) }}
{{- $address := kindIs "map" . | ternary . (dict "address" .) | dig "address" "" | toString }}
{{- if not (regexMatch "^(unix:|127\\.|localhost:|\\[::1\\]:)" $address) }}
{{- if not (regexMatch ":[1-9][0-9]{0,4}$" $address) }}
{{- fail (printf "%s: %q has no port that the chart can read: write host:port, such as 0.0.0.0:24224" $what $address) }}
{{- end }}
{{- $ports = append $ports (regexFind "[0-9]+$" $address | int) }}
{{- end }}
{{- end }}
{{- $ports | uniq | toJson }}
{{- end }}

{{- /* The ports of all routes of the gateway, as a JSON list. */}}
{{- define "husk.gatewayPorts" -}}
{{- $ports := list }}
{{- $defaults := .Values.config.defaults | default dict }}
{{- range $i, $route := .Values.config.routes }}
{{- $listen := $route.listen | default $defaults.listen }}
{{- $ports = concat $ports (include "husk.ports" (dict "listen" $listen "what" (printf "config.routes[%d].listen" $i)) | fromJsonArray) }}
{{- end }}
{{- $ports | uniq | toJson }}
{{- end }}

{{- /* The port of the admin address, for probes. Takes (dict "listen" ADDRESS "what" NAME). */}}
{{- define "husk.adminPort" -}}
{{- $ports := list }}
{{- if ne (toString .listen) "off" }}
{{- $ports = include "husk.ports" . | fromJsonArray }}
{{- end }}
{{- if not $ports }}
{{- fail (printf "%s: %q cannot be reached by the kubelet, which probes the IP of the Pod: write 0.0.0.0:9901" .what (toString .listen)) }}
{{- end }}
{{- first $ports | int }}
{{- end }}
