# shellcheck shell=bash
# Brings the Bun that package.json names ("packageManager"), the only place where its version is written. Sourced,
# after packages.sh.

# user_cache: the folder for what is brought once. Services and containers may have no HOME.
user_cache() {
  echo "${XDG_CACHE_HOME:-${HOME:-$(getent passwd "$EUID" | cut -d: -f6)}/.cache}/shoal"
}

# use_bun ROOT: puts that Bun first in PATH; downloads it into the user's cache when the host has none or another one.
use_bun() {
  local version home
  version=$(sed -nE 's/^ *"packageManager": *"bun@([^"+]+).*/\1/p' "$1/package.json")
  if [[ -z $version ]]; then
    echo "$1/package.json has no \"packageManager\": \"bun@...\": no telling which Bun to use" >&2
    return 1
  fi
  [[ $(bun --version 2>/dev/null) == "$version" ]] && return 0
  home=$(user_cache)/bun-$version
  if [[ $("$home/bin/bun" --version 2>/dev/null) != "$version" ]]; then
    download_bun "$version" "$home" || return 1
  fi
  export PATH=$home/bin:$PATH
}

# The npm package "bun" needs its postinstall script, which npm may refuse to run; the package that holds the binary for
# this machine needs none.
download_bun() {
  local version=$1 home=$2 package part
  package=$(bun_package) || return 1
  if ! command -v npm >/dev/null; then
    need_packages npm ca-certificates || return 1
  fi
  echo "downloading Bun $version ($package) to $home" >&2
  part=$home.part.$$
  rm -rf "$part" && mkdir -p "$part/bin" || return 1
  if ! npm_config_update_notifier=false npm install --prefix "$part" --no-save --no-package-lock --no-audit --no-fund --loglevel=error \
    "$package@$version" >&2; then
    rm -rf "$part"
    echo "npm could not bring $package@$version: is its registry reachable from here? Or put bun $version into PATH" >&2
    return 1
  fi
  mv "$part/node_modules/$package/bin/bun" "$part/bin/bun" && chmod 755 "$part/bin/bun" &&
    ln -s bun "$part/bin/bunx" && rm -rf "$part/node_modules" || return 1
  # A run beside this one may have been faster; one of the two is enough.
  rm -rf "$home" && mv "$part" "$home"
}

bun_package() {
  local machine libc=
  case $(uname -s)-$(uname -m) in
    Linux-x86_64) machine=x64 ;;
    Linux-aarch64) machine=aarch64 ;;
    *)
      echo "no Bun for $(uname -s) on $(uname -m): shoal is built on Linux, x86_64 or aarch64" >&2
      return 1
      ;;
  esac
  compgen -G '/lib/ld-musl-*' >/dev/null && libc=-musl
  echo "@oven/bun-linux-$machine$libc"
}

# install_dependencies ROOT: node_modules as bun.lock says.
install_dependencies() {
  (cd "$1" && bun install --frozen-lockfile --silent) || {
    echo "bun install failed: see above" >&2
    return 1
  }
}
