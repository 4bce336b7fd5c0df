{{/*
What a pool is scaled by, as JSON [{metric, target}]: sums over its endpoints, divided by their
number by the autoscaler, so that a target is what one endpoint should carry.
*/}}
{{- define "warmgate.signals" -}}
{{- $signals := list -}}
{{- $metrics := dict "queuedPrefillTokens" "warmgate_queued_prefill_tokens" "inflightPromptTokens" "warmgate_inflight_prompt_tokens" "inflightRequests" "warmgate_inflight_requests" -}}
{{- range $key := list "queuedPrefillTokens" "inflightPromptTokens" "inflightRequests" -}}
{{- with index $ $key -}}
{{- $signals = append $signals (dict "metric" (index $metrics $key) "target" .) -}}
{{- end -}}
{{- end -}}
{{- if not $signals -}}
{{- fail (printf "poolAutoscaling of %s: set queuedPrefillTokens, inflightPromptTokens or inflightRequests" .pool) -}}
{{- end -}}
{{- toJson $signals -}}
{{- end -}}

{{/* Up at once; down one endpoint at a time, for each that goes takes a warm cache with it. */}}
{{- define "warmgate.poolBehavior" -}}
{{- with .behavior -}}
{{- toYaml . -}}
{{- else -}}
scaleUp:
  stabilizationWindowSeconds: 0
scaleDown:
  stabilizationWindowSeconds: 600
  policies:
    - {type: Pods, value: 1, periodSeconds: 120}
{{- end -}}
{{- end -}}
