#!/usr/bin/env bash
# Becomes one real vLLM server on the CPU, with the tiny model under the name `tiny`.
#
# usage: serve.sh DIR PORT [FLAG...]     DIR as install.sh left it; flags win over those below

set -euo pipefail
dir=${1:?usage: serve.sh DIR PORT [FLAG...]}
port=${2:?usage: serve.sh DIR PORT [FLAG...]}
shift 2
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)

export HF_HUB_OFFLINE=1 TRANSFORMERS_OFFLINE=1 VLLM_NO_USAGE_STATS=1 DO_NOT_TRACK=1
export VLLM_CPU_KVCACHE_SPACE=1              # GiB
export OMP_NUM_THREADS=1 VLLM_CPU_OMP_THREADS_BIND=nobind   # two servers share a small machine
export TORCHDYNAMO_DISABLE=1                 # else the first request for logprobs compiles for half a minute
export VLLM_ENFORCE_STRICT_TOOL_CALLING=0    # forced calls by JSON schema: a random model ends no other kind

export PYTHONPATH=$here PYTHONDONTWRITEBYTECODE=1   # for the test-only host_tier.py, where a flag names it

# A random model likes spaces: whitespace is kept out of structured output.
# Prefix cache: 4096 blocks of 32 tokens (the smallest that CPU attention takes) = 131,072 tokens.
# `vllm serve` does not start: the distribution is called vllm-cpu, and it looks for `vllm`.
exec "$dir/venv/bin/python" -W ignore -m vllm.entrypoints.openai.api_server \
  --host 127.0.0.1 --port "$port" \
  --model "$dir/tiny-model" --served-model-name tiny --load-format dummy --seed 0 \
  --dtype bfloat16 --max-model-len 8192 --max-num-seqs 8 --enforce-eager \
  --enable-prefix-caching --block-size 32 --num-gpu-blocks-override 4096 \
  --enable-prompt-tokens-details \
  --enable-auto-tool-choice --tool-call-parser hermes \
  --structured-outputs-config '{"backend": "xgrammar", "disable_any_whitespace": true}' \
  "$@"
