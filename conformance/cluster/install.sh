#!/usr/bin/env bash
# Builds a Kubernetes control plane from Go modules, and gathers the definitions of third-party
# objects that manifests are checked against; nothing is built again that is there already.
#
# usage: install.sh DIR       leaves DIR/bin/{etcd,kube-apiserver,kube-controller-manager,kubectl,helm}
#                             and DIR/crds/NAME/*.yaml
#
# Needs Go (1.26 or newer) and a proxy of Go modules. No root, no containers. The first time takes
# about 15 CPU minutes; ionice and nice are left to whoever calls.

set -euo pipefail
dir=${1:?usage: install.sh DIR}
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
readonly GO_MINOR_MIN=26

fail() {
  printf '%s\n' "$@" >&2
  exit 1
}

go_version=$(go version 2>/dev/null) || fail \
  "the control plane cannot be built, this machine has no Go (1.$GO_MINOR_MIN or newer) in PATH" \
  "  Kubernetes and etcd are built from their Go modules: https://go.dev/dl"
minor=$(sed -n 's/.* go1\.\([0-9]*\).*/\1/p' <<<"$go_version")
[ "${minor:-$GO_MINOR_MIN}" -ge $GO_MINOR_MIN ] || fail \
  "the control plane cannot be built, Go 1.$GO_MINOR_MIN or newer is needed: $go_version"

mkdir -p "$dir/bin" "$dir/crds" "$dir/stamp"
dir=$(cd "$dir" && pwd)
export CGO_ENABLED=0 GOFLAGS="-trimpath -mod=readonly -buildvcs=false" GOWORK=off

# One at a time: two that build the same would both take twice as long.
exec 9>"$dir/lock"
flock -n 9 || { echo "waiting for another installation into $dir" >&2; flock 9; }

# What the API server says of itself, and what clients make of its version, is set by the linker.
kubernetes=$(sed -n 's/.*k8s.io\/kubernetes \(v[^ ]*\).*/\1/p' "$here/kubernetes/go.mod")
minor=${kubernetes#v1.}
versions="-s -w"
for package in k8s.io/component-base/version k8s.io/client-go/pkg/version; do
  for setting in gitVersion="$kubernetes" gitMajor=1 gitMinor="${minor%%.*}" gitTreeState=archive \
      gitCommit=unknown buildDate=1970-01-01T00:00:00Z; do
    versions+=" -X $package.$setting"
  done
done

# usage: build MODULE NAME PACKAGE LDFLAGS        MODULE is a folder here, with versions locked
build() {
  local module=$1 name=$2 package=$3 flags=$4 stamp begin=$SECONDS
  stamp=$( { echo "$go_version"; echo "$package $flags build"
             cat "$here/$module"/go.mod "$here/$module"/go.sum
             cat "$here/$module"/*.go 2>/dev/null || true; } | sha256sum | cut -c1-32)
  if [ -x "$dir/bin/$name" ] && [ "$(cat "$dir/stamp/$name" 2>/dev/null)" = "$stamp" ]; then
    return
  fi
  echo "building $name into $dir/bin" >&2
  (cd "$here/$module" && go build -ldflags "$flags" -o "$dir/bin/$name.new" "$package")
  mv "$dir/bin/$name.new" "$dir/bin/$name"
  echo "$stamp" > "$dir/stamp/$name"
  echo "built $name in $((SECONDS - begin)) s" >&2
}

# Where Go keeps a module, which it downloads if it must.
# usage: module PATH VERSION
module() {
  (cd "$dir" && go mod download -json "$1@$2") | sed -n 's/^\t"Dir": "\(.*\)",*$/\1/p'
}

# usage: gather NAME MODULE VERSION GLOB
gather() {
  local name=$1 source
  source=$(module "$2" "$3") || true
  [ -n "$source" ] || fail "the definitions of $name cannot be had: $2@$3"
  rm -rf "$dir/crds/$name"
  mkdir "$dir/crds/$name"
  # The glob is expanded where the files are, braces first.
  (cd "$source" && eval "cp $4 '$dir/crds/$name/'")
  chmod -R u+w "$dir/crds/$name"
  rm -f "$dir/crds/$name/kustomization.yaml"
}

# llm-d's kinds began in the inference extension 1.5 and have moved to a group of their own since,
# otherwise unchanged but for the width of a number.
derive_llm_d() {
  local kind
  rm -rf "$dir/crds/llm-d"
  mkdir "$dir/crds/llm-d"
  for kind in inferenceobjectives inferencemodelrewrites; do
    sed -e 's/inference\.networking\.x-k8s\.io/llm-d.ai/g' \
      -e 's/^    inference\.networking\.k8s\.io\/bundle-version: .*/    llm-d.ai\/bundle-version: derived/' \
      "$dir/crds/gie-x/inference.networking.x-k8s.io_$kind.yaml" > "$dir/crds/llm-d/llm-d.ai_$kind.yaml"
  done
  sed -i '/^ \{16\}type: integer$/i\                format: int32' \
    "$dir/crds/llm-d/llm-d.ai_inferenceobjectives.yaml"
}

# Volcano publishes its types as a Go module, but not what is generated from them.
generate_volcano() {
  local group paths=()
  for group in scheduling/v1beta1 batch/v1alpha1 bus/v1alpha1 flow/v1alpha1 topology/v1alpha1; do
    paths+=("paths=volcano.sh/apis/pkg/apis/$group")
  done
  rm -rf "$dir/crds/volcano"
  mkdir "$dir/crds/volcano"
  (cd "$here/volcano" && "$dir/bin/controller-gen" crd "${paths[@]}" "output:crd:dir=$dir/crds/volcano")
}

build kubernetes etcd go.etcd.io/etcd/server/v3 "-s -w"
build kubernetes kubectl k8s.io/kubernetes/cmd/kubectl "$versions"
build kubernetes kube-apiserver k8s.io/kubernetes/cmd/kube-apiserver "$versions"
build kubernetes kube-controller-manager k8s.io/kubernetes/cmd/kube-controller-manager "$versions"
build helm helm helm.sh/helm/v4/cmd/helm "-s -w"

stamp=$( { echo "$go_version"; cat "$here"/{crds.list,install.sh} "$here"/volcano/{go.mod,go.sum,deps.go}; } \
  | sha256sum | cut -c1-32)
if [ "$(cat "$dir/stamp/crds" 2>/dev/null)" != "$stamp" ]; then
  build volcano controller-gen sigs.k8s.io/controller-tools/cmd/controller-gen "-s -w"
  while read -r name path version glob; do
    case $name in '' | '#'*) continue ;; esac
    gather "$name" "$path" "$version" "$glob"
  done < "$here/crds.list"
  derive_llm_d
  generate_volcano
  echo "$stamp" > "$dir/stamp/crds"
  echo "gathered $(find "$dir/crds" -name '*.yaml' | wc -l) definitions of objects" >&2
fi
