# shellcheck shell=bash
# How the measuring scripts begin: what they need, the binary as the tree has it, then scripts/NAME.ts. Sourced, with
# root set.

# shellcheck source=scripts/lib/packages.sh
source "$root/scripts/lib/packages.sh"
# shellcheck source=scripts/lib/bun.sh
source "$root/scripts/lib/bun.sh"

# measure NAME ARGUMENT...
measure() {
  local name=$1
  shift
  need_packages iproute2 curl docker-registry skopeo ca-certificates || {
    echo "scripts/$name needs these packages; run it as root and it brings them" >&2
    exit 1
  }
  use_bun "$root"
  "$root/scripts/build"
  exec bun "$root/scripts/$name.ts" "$@"
}
