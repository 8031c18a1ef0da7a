# shellcheck shell=bash
# Debian's C library for any architecture, for container images. Sourced. The host's own apt is asked for where packages
# are and whose signatures count, and nothing of it is changed.

# bring_c_library ARCHITECTURE DIR: downloads libc6 into DIR.
bring_c_library() {
  local state=$2/apt-$1 log
  command -v apt-get >/dev/null || {
    echo "the C library of the container image comes by apt, which is not here" >&2
    return 1
  }
  mkdir -p "$state/lists/partial" "$state/cache/archives/partial"
  log=$2/apt-$1.log
  # The host's own lists are quicker, as long as what they name is still there.
  if [[ $1 == $(dpkg --print-architecture) ]] && (cd "$2" && apt-get --quiet=2 download libc6) >"$log" 2>&1; then
    rm -rf "$state" "$log"
    return 0
  fi
  local options=(
    -o "APT::Architecture=$1" -o "APT::Architectures=$1" -o "Dir::State=$state" -o "Dir::State::Lists=$state/lists"
    -o "Dir::State::status=/dev/null" -o "Dir::Cache=$state/cache" -o "Acquire::Languages=none" -o "Acquire::Retries=3"
    --quiet=2
  )
  if ! (cd "$2" && apt-get "${options[@]}" update && apt-get "${options[@]}" download libc6) >"$log" 2>&1; then
    echo "apt could not bring libc6 for $1. It said:" >&2
    tail -n 5 "$log" >&2
    return 1
  fi
  rm -rf "$state" "$log"
}
