{{/* Names and labels that several manifests share. */}}

{{- define "warmgate.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" -}}
{{- end -}}

{{/* One name for every object of the gateway; a release called warmgate is not warmgate-warmgate. */}}
{{- define "warmgate.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 50 | trimSuffix "-" -}}
{{- else if contains (include "warmgate.name" .) .Release.Name -}}
{{- .Release.Name | trunc 50 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name (include "warmgate.name" .) | trunc 50 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{- define "warmgate.adminService" -}}
{{ include "warmgate.fullname" . }}-admin
{{- end -}}

{{- define "warmgate.serviceAccount" -}}
{{- if .Values.serviceAccount.create -}}
{{- default (include "warmgate.fullname" .) .Values.serviceAccount.name -}}
{{- else -}}
{{- default "default" .Values.serviceAccount.name -}}
{{- end -}}
{{- end -}}

{{/* Labels that never change: selectors of Deployments are immutable. */}}
{{- define "warmgate.selector" -}}
app.kubernetes.io/name: {{ include "warmgate.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/component: gateway
{{- end -}}

{{- define "warmgate.origin" -}}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- end -}}

{{- define "warmgate.labels" -}}
{{ include "warmgate.selector" . }}
{{ include "warmgate.origin" . }}
{{- end -}}

{{- define "warmgate.image" -}}
{{- $tag := default .Chart.AppVersion .Values.image.tag -}}
{{- if .Values.image.digest -}}
{{ .Values.image.repository }}@{{ .Values.image.digest }}
{{- else -}}
{{ .Values.image.repository }}:{{ $tag }}
{{- end -}}
{{- end -}}

{{/* What a pod may take from SIGTERM's first notice to its end: see "Drain" in deploy/README.md. */}}
{{- define "warmgate.gracePeriod" -}}
{{ add .Values.drain.preStopSleepSeconds .Values.drain.seconds .Values.drain.marginSeconds }}
{{- end -}}

{{/* Series of this release only: the labels that a ServiceMonitor of the admin Service gives. */}}
{{- define "warmgate.series" -}}
{{- with .Values.prometheus.selector -}}
{{ . }}
{{- else -}}
namespace={{ .Release.Namespace | quote }},job={{ include "warmgate.adminService" . | quote }}
{{- end -}}
{{- end -}}
