# shellcheck shell=bash
# Debian packages that a script needs. Sourced.

# need_packages NAME...: returns 0 once all of them are installed. Root gets the missing ones from apt; anybody else,
# and a host without apt, gets their names on stderr and a nonzero status, so that the caller can skip what needs them.
need_packages() {
  local missing=() name
  for name in "$@"; do
    package_installed "$name" || missing+=("$name")
  done
  ((${#missing[@]} == 0)) && return 0
  if ! command -v apt-get >/dev/null; then
    echo "missing: ${missing[*]} (this is not a Debian host: install their counterparts)" >&2
    return 1
  fi
  if ((EUID != 0)); then
    echo "missing: ${missing[*]} (as root: apt-get install ${missing[*]})" >&2
    return 1
  fi
  install_packages "${missing[@]}"
}

package_installed() {
  [[ $(dpkg-query --show --showformat='${db:Status-Status}' "$1" 2>/dev/null) == installed ]]
}

install_packages() {
  local log before
  log=$(mktemp)
  before=$(installed_packages)
  echo "installing $*" >&2
  # Fetches the package lists once per run of a script, and only when something is missing.
  if [[ -z ${package_lists_fresh:-} ]]; then
    if ! apt_quietly update >"$log" 2>&1; then
      echo "apt-get update failed; trying with the lists that are here. It said:" >&2
      tail -n 3 "$log" >&2
    fi
    package_lists_fresh=yes
  fi
  if ! apt_quietly install --yes --no-install-recommends "$@" >"$log" 2>&1; then
    echo "apt-get install $* failed. It said:" >&2
    tail -n 20 "$log" >&2
    rm -f "$log"
    return 1
  fi
  rm -f "$log"
  stop_new_services "$before"
}

apt_quietly() {
  DEBIAN_FRONTEND=noninteractive apt-get -o DPkg::Lock::Timeout=300 -o Acquire::Retries=3 --quiet=2 "$@" </dev/null
}

installed_packages() {
  dpkg-query --show --showformat='${db:Status-Status} ${Package}\n' | awk '$1 == "installed" { print $2 }' | sort
}

# Debian starts a service the moment its package is installed. The tests bring up engines and registries of their own,
# so what came with this installation is stopped again; services that were here before are not touched.
stop_new_services() {
  [[ -d /run/systemd/system ]] || return 0
  local units
  units=$(comm -13 <(echo "$1") <(installed_packages) | xargs --no-run-if-empty dpkg-query --listfiles 2>/dev/null |
    sed -nE 's#^(/usr)?/lib/systemd/system/([^/@]+\.(service|socket))$#\2#p' | sort --unique)
  [[ -z $units ]] && return 0
  # shellcheck disable=SC2086 # one unit per word
  systemctl disable --now --quiet $units 2>/dev/null || true
}
