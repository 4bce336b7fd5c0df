#!/usr/bin/env bash
# Runs a command in a network of its own, in which pods' addresses are this machine's: an API server
# takes no loopback addresses for endpoints, and no other address is ours. Needs no root.
#
# usage: namespace.sh COMMAND...       10.244.0.0/16 and fd00:244::1 to fd00:244::10 can be listened
#                                      on and dialled, as can the loopback, and nothing else

set -euo pipefail

if [ "${1:-}" != --inside ]; then
  missing=
  for tool in unshare:util-linux ip:iproute2; do
    command -v "${tool%%:*}" >/dev/null || missing="$missing ${tool%%:*} (${tool##*:})"
  done
  if [ -n "$missing" ]; then
    echo "cluster tests cannot run, this machine has no:$missing" >&2
    exit 1
  fi
  if ! said=$(unshare --user --map-root-user --net true 2>&1); then
    echo "cluster tests cannot run, this machine does not let its users make a network of their own:" >&2
    echo "  $said" >&2
    echo "  look at the settings user.max_user_namespaces, kernel.unprivileged_userns_clone and" >&2
    echo "  kernel.apparmor_restrict_unprivileged_userns; in a container, at its seccomp profile" >&2
    exit 1
  fi
  exec unshare --user --map-root-user --net -- "$0" --inside "$@"
fi

shift
ip link set lo up
ip route add local 10.244.0.0/16 dev lo
for last in $(seq 1 16); do
  ip -6 addr add "fd00:244::$(printf %x "$last")/128" dev lo nodad
done
exec "$@"
