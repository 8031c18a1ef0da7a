# shellcheck shell=bash
# How the measuring scripts begin. Sourced, with root set.

# shellcheck source=scripts/lib/packages.sh
source "$root/scripts/lib/packages.sh"
# shellcheck source=scripts/lib/bun.sh
source "$root/scripts/lib/bun.sh"

lab_packages=(iproute2 curl docker-registry skopeo ca-certificates)

# measure NAME PACKAGE... -- ARGUMENT...: packages, Bun, the binary as the tree has it, then scripts/NAME.ts.
measure() {
  local name=$1 packages=()
  shift
  while [[ $1 != -- ]]; do
    packages+=("$1")
    shift
  done
  shift
  need_packages "${packages[@]}" || {
    echo "scripts/$name needs these packages; run it as root and it brings them" >&2
    exit 1
  }
  use_bun "$root"
  "$root/scripts/build"
  exec bun "$root/scripts/$name.ts" "$@"
}
