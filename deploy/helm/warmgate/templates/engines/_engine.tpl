{{/* One group of engines: its settings over those of engineDefaults, and the pod that runs one. */}}

{{/* The settings of group .name, as JSON. */}}
{{- define "warmgate.engine" -}}
{{- $engine := mustMergeOverwrite (deepCopy .root.Values.engineDefaults) (deepCopy .group) -}}
{{- $_ := set $engine "name" .name -}}
{{- if not $engine.service -}}{{- $_ := set $engine "service" .name -}}{{- end -}}
{{- if not $engine.namespace -}}{{- $_ := set $engine "namespace" .root.Release.Namespace -}}{{- end -}}
{{- if not $engine.model -}}{{- fail (printf "engines.%s.model: name the model, as meta-llama/Llama-3.1-8B-Instruct" .name) -}}{{- end -}}
{{- toJson $engine -}}
{{- end -}}

{{/* All groups, as a JSON list. */}}
{{- define "warmgate.engines" -}}
{{- $all := list -}}
{{- range $name, $group := .Values.engines -}}
{{- $all = append $all (include "warmgate.engine" (dict "root" $ "name" $name "group" $group) | fromJson) -}}
{{- end -}}
{{- toJson $all -}}
{{- end -}}

{{- define "warmgate.engineSelector" -}}
app.kubernetes.io/name: vllm
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/component: {{ .engine.name }}
{{- end -}}

{{/* What a Service or an InferencePool selects by: groups that share a name share it. */}}
{{- define "warmgate.memberSelector" -}}
app.kubernetes.io/instance: {{ .root.Release.Name }}
warmgate/service: {{ .engine.service }}
{{- end -}}

{{- define "warmgate.engineLabels" -}}
{{ include "warmgate.engineSelector" . }}
{{ include "warmgate.origin" .root }}
{{- with .engine.kueueQueue }}
kueue.x-k8s.io/queue-name: {{ . }}
{{- end }}
{{- end -}}

{{/* Labels of a pod that answers requests. */}}
{{- define "warmgate.enginePodLabels" -}}
{{ include "warmgate.engineSelector" . }}
warmgate/service: {{ .engine.service }}
llm-d.ai/engine-type: vllm
{{- if ne .engine.role "both" }}
llm-d.ai/role: {{ .engine.role }}
{{- end }}
{{- with .engine.modelVersion }}
model-version: {{ . | quote }}
{{- end }}
{{- with .engine.podLabels }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{- define "warmgate.enginePodAnnotations" -}}
{{- if .engine.volcano.podGroup }}
scheduling.k8s.io/group-name: {{ .engine.name }}
{{- end }}
{{- with .engine.volcano.queue }}
scheduling.volcano.sh/queue-name: {{ . }}
{{- end }}
{{- with .engine.podAnnotations }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{/* The flags of `vllm serve`. `nodes` is 1, or the size of a group over several; `worker` is one of
its pods that answer nobody. */}}
{{- define "warmgate.engineArgs" -}}
{{- $engine := .engine -}}
{{- $flags := list $engine.model (printf "--port=%d" (int $engine.port)) -}}
{{- with $engine.servedModelName -}}{{- $flags = append $flags (printf "--served-model-name=%s" .) -}}{{- end -}}
{{- $flags = append $flags "--enable-prefix-caching" -}}
{{- /* What each answer found in the cache: the gateway corrects its beliefs by it. */ -}}
{{- $flags = append $flags "--enable-prompt-tokens-details" -}}
{{- $flags = append $flags (printf "--shutdown-timeout=%d" (int $engine.drain.seconds)) -}}
{{- if $engine.kvEvents.enabled -}}
{{- $events := dict "enable_kv_cache_events" true "publisher" "zmq" "endpoint" (printf "tcp://*:%d" (int $engine.kvEvents.port)) "replay_endpoint" (printf "tcp://*:%d" (int $engine.kvEvents.replayPort)) "topic" (printf "kv@$(POD_IP):%d@%s" (int $engine.port) (default $engine.model $engine.servedModelName)) -}}
{{- $flags = append $flags (printf "--kv-events-config=%s" (toJson $events)) -}}
{{- end -}}
{{- if $engine.kvTransfer.enabled -}}
{{- $flags = append $flags (printf "--kv-transfer-config=%s" (dict "kv_connector" $engine.kvTransfer.connector "kv_role" "kv_both" | toJson)) -}}
{{- end -}}
{{- if gt (int .nodes) 1 -}}
{{- $flags = concat $flags (list (printf "--nnodes=%d" (int .nodes)) "--node-rank=$(LWS_WORKER_INDEX)" "--master-addr=$(LWS_LEADER_ADDRESS)") -}}
{{- if .worker -}}{{- $flags = append $flags "--headless" -}}{{- end -}}
{{- end -}}
{{- toYaml (concat $flags $engine.args) -}}
{{- end -}}

{{- define "warmgate.engineEnv" -}}
- name: POD_IP
  valueFrom: {fieldRef: {fieldPath: status.podIP}}
- {name: HF_HOME, value: /models}
{{- with .engine.huggingFaceToken.secretName }}
- name: HF_TOKEN
  valueFrom:
    secretKeyRef:
      name: {{ . }}
      key: {{ $.engine.huggingFaceToken.key }}
{{- end }}
{{- if .engine.kvTransfer.enabled }}
- {name: VLLM_NIXL_SIDE_CHANNEL_HOST, value: $(POD_IP)}
- {name: VLLM_NIXL_SIDE_CHANNEL_PORT, value: {{ .engine.kvTransfer.sidePort | quote }}}
{{- end }}
{{- with .engine.env }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{/* Arguments: root, engine, nodes, worker. */}}
{{- define "warmgate.enginePodSpec" -}}
{{- $engine := .engine -}}
automountServiceAccountToken: false
enableServiceLinks: false
terminationGracePeriodSeconds: {{ add $engine.drain.preStopSleepSeconds $engine.drain.seconds $engine.drain.marginSeconds }}
{{- with .root.Values.imagePullSecrets }}
imagePullSecrets:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- $scheduler := $engine.schedulerName | default (ternary "volcano" "" (or $engine.volcano.podGroup (ne $engine.volcano.queue ""))) -}}
{{- with $scheduler }}
schedulerName: {{ . }}
{{- end }}
{{- with $engine.priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
{{- with $engine.runtimeClassName }}
runtimeClassName: {{ . }}
{{- end }}
{{- if $engine.resourceClaim.create }}
resourceClaims:
  - name: devices
    resourceClaimTemplateName: {{ $engine.name }}-devices
{{- end }}
securityContext:
  {{- toYaml $engine.podSecurityContext | nindent 2 }}
containers:
  - name: vllm
    image: {{ $engine.image.repository }}:{{ $engine.image.tag }}
    imagePullPolicy: {{ $engine.image.pullPolicy }}
    command: [vllm, serve]
    args:
      {{- include "warmgate.engineArgs" . | nindent 6 }}
    env:
      {{- include "warmgate.engineEnv" . | nindent 6 }}
    ports:
      - {name: http, containerPort: {{ $engine.port }}, protocol: TCP}
      {{- if $engine.kvEvents.enabled }}
      - {name: kv-events, containerPort: {{ $engine.kvEvents.port }}, protocol: TCP}
      - {name: kv-replay, containerPort: {{ $engine.kvEvents.replayPort }}, protocol: TCP}
      {{- end }}
      {{- if $engine.kvTransfer.enabled }}
      - {name: kv-side, containerPort: {{ $engine.kvTransfer.sidePort }}, protocol: TCP}
      {{- end }}
    {{- if not .worker }}
    # Weights are loaded before the first answer; nothing else is asked until then.
    startupProbe:
      httpGet: {path: /health, port: http}
      periodSeconds: 5
      timeoutSeconds: 2
      failureThreshold: {{ div (add $engine.startupSeconds 4) 5 }}
    readinessProbe:
      httpGet: {path: /health, port: http}
      periodSeconds: 3
      timeoutSeconds: 2
      failureThreshold: 2
    # A busy engine answers late; one that is restarted loses its cache.
    livenessProbe:
      httpGet: {path: /health, port: http}
      periodSeconds: 10
      timeoutSeconds: 10
      failureThreshold: 6
    {{- end }}
    {{- if $engine.drain.preStopSleepSeconds }}
    # Terminating and still answering, until every gateway has heard of it.
    lifecycle:
      preStop:
        sleep: {seconds: {{ $engine.drain.preStopSleepSeconds }}}
    {{- end }}
    resources:
      {{- $resources := deepCopy $engine.resources -}}
      {{- if $engine.resourceClaim.create -}}{{- $_ := set $resources "claims" (list (dict "name" "devices")) -}}{{- end -}}
      {{- toYaml $resources | nindent 6 }}
    securityContext:
      {{- toYaml $engine.securityContext | nindent 6 }}
    volumeMounts:
      - {name: models, mountPath: /models}
      - {name: shared-memory, mountPath: /dev/shm}
volumes:
  - name: models
    {{- if eq $engine.modelCache.type "PersistentVolumeClaim" }}
    persistentVolumeClaim:
      claimName: {{ default (printf "%s-models" $engine.name) $engine.modelCache.existingClaim }}
    {{- else }}
    emptyDir:
      sizeLimit: {{ $engine.modelCache.size }}
    {{- end }}
  # Between the processes of one engine.
  - name: shared-memory
    emptyDir:
      medium: Memory
      sizeLimit: {{ $engine.sharedMemory }}
{{- with $engine.nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with $engine.tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with $engine.affinity }}
affinity:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with $engine.topologySpread }}
topologySpreadConstraints:
  {{- range . }}
  - topologyKey: {{ .topologyKey }}
    maxSkew: {{ default 1 .maxSkew }}
    whenUnsatisfiable: {{ default "ScheduleAnyway" .whenUnsatisfiable }}
    labelSelector:
      matchLabels:
        {{- include "warmgate.engineSelector" (dict "root" $.root "engine" $engine) | nindent 8 }}
  {{- end }}
{{- end }}
{{- end -}}
