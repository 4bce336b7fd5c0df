#!/usr/bin/env bash
# Runs a command that must not outlive whoever started it: when standard input ends, which it
# does however the starter dies, the command and all its children are ended.
#
# usage: leash.sh COMMAND...   keep the write end of its standard input open

set -uo pipefail
readonly GRACE_S=15

trap '' INT                      # Ctrl-C reaches the starter, and through it the leash
exec 3<&0
setsid "$@" </dev/null 3<&- & child=$!
cat <&3 >/dev/null & watch=$!
exec 3<&-

wait -n "$child" "$watch"
kill "$watch" 2>/dev/null
kill -TERM -- "-$child" 2>/dev/null
for _ in $(seq $((GRACE_S * 10))); do
  kill -0 -- "-$child" 2>/dev/null || break
  sleep 0.1
done
kill -KILL -- "-$child" 2>/dev/null   # a vLLM that is still starting ignores SIGTERM
wait "$child"
