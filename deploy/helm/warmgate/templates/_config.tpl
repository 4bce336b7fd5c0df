{{/* The gateway's configuration file, made of pools, routes, drain, tls and config. */}}

{{- define "warmgate.pool" -}}
{{- $pool := deepCopy (default dict .settings) -}}
{{- $_ := set $pool "name" .name -}}
{{- with pick . "service" "services" "selector" "inferencePool" "namespace" "namespaces" "port" -}}
{{- $_ := set $pool "kubernetes" . -}}
{{- end -}}
{{- toYaml $pool -}}
{{- end -}}

{{- define "warmgate.config" -}}
{{- range $key := list "listen" "admin" "tls" "shutdown" "pools" "routes" -}}
{{- if hasKey $.Values.config $key -}}
{{- fail (printf "config.%s is made by the chart: set bindAddress, tls, drain, pools or routes instead" $key) -}}
{{- end -}}
{{- end -}}
{{- $config := deepCopy .Values.config -}}
{{- $_ := set $config "listen" (printf "%s:8080" .Values.bindAddress) -}}
{{- $_ := set $config "admin" (printf "%s:9090" .Values.bindAddress) -}}
{{- $_ := set $config "shutdown" (dict "drain_s" (int .Values.drain.seconds)) -}}
{{- if .Values.tls.enabled -}}
{{- $_ := set $config "tls" (dict "listen" (printf "%s:8443" .Values.bindAddress) "certificate" "/etc/warmgate-tls/tls.crt" "key" "/etc/warmgate-tls/tls.key") -}}
{{- end -}}
{{- if contains "inferencePool" (include "warmgate.scopes" .) -}}
{{- $own := dict "kind" "Service" "namespace" .Release.Namespace "name" (include "warmgate.fullname" .) -}}
{{- $kubernetes := default dict $config.kubernetes -}}
{{- $_ := set $kubernetes "parent" (default $own .Values.parent) -}}
{{- $_ := set $config "kubernetes" $kubernetes -}}
{{- end -}}
{{- $pools := list -}}
{{- range .Values.pools -}}
{{- $pools = append $pools (include "warmgate.pool" . | fromYaml) -}}
{{- end -}}
{{- $_ := set $config "pools" $pools -}}
{{- include "warmgate.assertPools" . -}}
{{- with .Values.routes -}}{{- $_ := set $config "routes" . -}}{{- end -}}
{{- toYaml $config -}}
{{- end -}}

{{/* Fails where something goes to a pool that there is not: better here than in a pod's log. */}}
{{- define "warmgate.assertPools" -}}
{{- $names := list -}}
{{- range .Values.pools -}}
{{- if has .name $names -}}{{- fail (printf "pools: %s is there twice" .name) -}}{{- end -}}
{{- $names = append $names .name -}}
{{- end -}}
{{- range .Values.routes -}}
{{- $model := .model -}}
{{- range .targets -}}
{{- if not (has .pool $names) -}}{{- fail (printf "routes: %v goes to pool %v, which is not among pools" $model .pool) -}}{{- end -}}
{{- end -}}
{{- end -}}
{{- range .Values.poolAutoscaling -}}
{{- if not (has .pool $names) -}}{{- fail (printf "poolAutoscaling: pool %s is not among pools" .pool) -}}{{- end -}}
{{- end -}}
{{- end -}}

{{/* A hash of what takes effect at a start only; the rest is read again while running. */}}
{{- define "warmgate.startKeys" -}}
{{- $config := include "warmgate.config" . | fromYaml -}}
{{- $keys := pick $config "listen" "admin" "threads" "tls" "access_log" -}}
{{- with pick (default dict $config.forward) "keepalive_connections" -}}{{- $_ := set $keys "forward" . -}}{{- end -}}
{{- $keys | toJson | sha256sum -}}
{{- end -}}

{{/*
What is watched where, as JSON {namespace: {service, inferencePool}}: for Roles and egress.
Pools found by DNS, file or URL are watched nowhere.
*/}}
{{- define "warmgate.scopes" -}}
{{- $scopes := dict -}}
{{- range .Values.rbac.namespaces -}}
{{- $_ := set $scopes . (dict "service" true "inferencePool" true) -}}
{{- end -}}
{{- range $pool := .Values.pools -}}
{{- $kind := ternary "inferencePool" "service" (hasKey $pool "inferencePool") -}}
{{- if or .service .services .selector .inferencePool -}}
{{- range $namespace := default (list (default $.Release.Namespace .namespace)) .namespaces -}}
{{- $scope := default dict (index $scopes $namespace) -}}
{{- $_ := set $scope $kind true -}}
{{- $_ := set $scopes $namespace $scope -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- toJson $scopes -}}
{{- end -}}

{{- define "warmgate.watches" -}}
{{- if ne (include "warmgate.scopes" . | trim) "{}" -}}true{{- end -}}
{{- end -}}
