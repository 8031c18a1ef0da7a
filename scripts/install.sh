#!/bin/sh
# Installs shoal on this host: brings the binary, verifies it, and has it install itself. Run again, it upgrades. It needs
# a shell, curl or wget, and sha256sum. All of it is inside functions, so that a script that arrived in part does nothing.
set -eu

usage() {
  cat <<'END'
usage: install.sh [--uninstall [--keep-data]] [FLAG...]

Brings the shoal binary for this platform, verifies its SHA-256, and runs "shoal install FLAG...": each flag of
"shoal up" is a setting that is written to /etc/shoal/shoal.yaml, among them

  --mode MODES             peer, seed, scheduler (comma list) or all
  --join ADDR              a node of the cluster to be joined; repeatable
  --cluster-key-file FILE  key that admits nodes to the cluster
  --no-start               install, and start nothing
  --dry-run                say what would be done, and do nothing

Run again it upgrades, and changes only the settings that are given. --uninstall stops the node and removes all of it;
--keep-data leaves its settings and what it has stored.

Variables:
  SHOAL_RELEASES     where release files are: a URL or a folder with shoal-linux-x64 (and so on) and SHA256SUMS in it
  SHOAL_RELEASE_KEY  a PEM file with a public key: SHA256SUMS must be signed by it, in SHA256SUMS.sig (needs openssl 3.0)
  SHOAL_ALLOW_DOWNGRADE
                     1: install also what is older than what is installed

A running node offers this script with its own binary, for which no release address is needed:

  curl -H "Authorization: Bearer $(cat TOKEN_FILE)" http://HOST:4883/install.sh | sh
END
}

bin=/usr/local/bin
settings=/etc/shoal/shoal.yaml
workplace=

# A node that offers this script writes what it offers in place of this line:
offer_url='' offer_sha256='' offer_platform='' offer_version='' offer_flags='' offer_keyed=''

say() {
  printf '%s\n' "$*"
}

fail() {
  printf 'install.sh: %s\n' "$*" >&2
  exit 1
}

clean_up() {
  [ -z "$workplace" ] || rm -rf "$workplace"
}

# linux-x64, linux-arm64, with -musl behind it where the C library is musl.
platform_here() {
  case $(uname -s) in
    Linux) ;;
    *) fail "shoal runs on Linux, and this is $(uname -s)" ;;
  esac
  case $(uname -m) in
    x86_64 | amd64) machine=x64 ;;
    aarch64 | arm64) machine=arm64 ;;
    *) fail "there is no shoal for $(uname -m): only for x86_64 and aarch64" ;;
  esac
  libc=
  for loader in /lib/ld-musl-*; do
    [ ! -e "$loader" ] || libc=-musl
  done
  printf 'linux-%s%s\n' "$machine" "$libc"
}

# fetch ADDRESS FILE: an http(s) address, or a path.
fetch() {
  case $1 in
    http://* | https://*) ;;
    *)
      cp "$1" "$2"
      return
      ;;
  esac
  if command -v curl >/dev/null; then
    curl --fail --silent --show-error --location --retry 3 --connect-timeout 20 --output "$2" "$1"
  elif command -v wget >/dev/null; then
    wget -q -O "$2" "$1"
  else
    fail "neither curl nor wget is here; install one of them"
  fi
}

# verify FILE SHA256
verify() {
  command -v sha256sum >/dev/null || fail "sha256sum is not here; install coreutils"
  actual=$(sha256sum "$1")
  actual=${actual%% *}
  [ "$actual" = "$2" ] || fail "the binary that came is not the one it should be: SHA-256 $actual, expected $2; nothing was installed"
}

# verify_signature SUMS ADDRESS: only where the operator named a key.
verify_signature() {
  [ -n "${SHOAL_RELEASE_KEY:-}" ] || return 0
  command -v openssl >/dev/null || fail "SHOAL_RELEASE_KEY is given, and openssl, which checks signatures, is not here"
  # Ed25519 signs a message and not its hash, which the one of before 3.0 cannot check.
  openssl pkeyutl -help 2>&1 | grep -q -e -rawin ||
    fail "this openssl ($(openssl version)) cannot check Ed25519 signatures: 3.0 or newer is needed; nothing was installed"
  openssl pkey -pubin -in "$SHOAL_RELEASE_KEY" -noout >/dev/null 2>&1 ||
    fail "SHOAL_RELEASE_KEY names $SHOAL_RELEASE_KEY, which cannot be read as a public key in PEM; nothing was installed"
  fetch "$2.sig" "$1.sig" || fail "$2 has no signature beside it"
  openssl pkeyutl -verify -rawin -pubin -inkey "$SHOAL_RELEASE_KEY" -in "$1" -sigfile "$1.sig" >/dev/null 2>&1 ||
    fail "$2 is not signed by the key in $SHOAL_RELEASE_KEY; nothing was installed"
  say "SHA256SUMS is signed by the key in $SHOAL_RELEASE_KEY"
}

bring_from_node() {
  [ "$offer_platform" = "$1" ] ||
    fail "that node's binary is for $offer_platform, and this host is $1: set SHOAL_RELEASES to where a release for it is"
  say "shoal $offer_version for $1, from the node at ${offer_url%/shoal*}"
  fetch "$offer_url" "$2" || fail "the node did not give its binary"
  verify "$2" "$offer_sha256"
}

bring_from_release() {
  releases=${SHOAL_RELEASES%/}
  say "shoal for $1, from $releases"
  fetch "$releases/SHA256SUMS" "$workplace/SHA256SUMS" || fail "$releases has no SHA256SUMS"
  verify_signature "$workplace/SHA256SUMS" "$releases/SHA256SUMS"
  expected=$(sed -n "s/^\([0-9a-f]\{64\}\) [ *]shoal-$1\$/\1/p" "$workplace/SHA256SUMS")
  [ -n "$expected" ] || fail "$releases/SHA256SUMS has no line for shoal-$1"
  fetch "$releases/shoal-$1" "$2" || fail "$releases has no shoal-$1"
  verify "$2" "$expected"
}

# version_of BINARY: nothing where it does not say.
version_of() {
  "$1" version 2>/dev/null </dev/null | sed -n 's/^shoal \([0-9][0-9]*\.[0-9][0-9]*\.[0-9][0-9]*[^ ,]*\), .*/\1/p'
}

# older VERSION OTHER: by their numbers; of the same ones, a pre-release comes before the release.
older() {
  a=${1%%[-+]*}
  b=${2%%[-+]*}
  for _ in 1 2 3; do
    [ "${a%%.*}" -eq "${b%%.*}" ] || break
    a=${a#*.}
    b=${b#*.}
  done
  [ "${a%%.*}" -ge "${b%%.*}" ] || return 0
  [ "${a%%.*}" -eq "${b%%.*}" ] || return 1
  case $2 in *-*) return 1 ;; esac
  case $1 in *-*) return 0 ;; *) return 1 ;; esac
}

# What was signed once stays signed: whoever can change what lies at that place could bring back a version with known holes.
refuse_older() {
  [ -x "$bin/shoal" ] || return 0
  installed=$(version_of "$bin/shoal")
  brought=$(version_of "$1")
  if [ -n "$installed" ] && [ -n "$brought" ] && older "$brought" "$installed"; then
    fail "shoal $brought is what came, and shoal $installed is installed; nothing was changed: SHOAL_ALLOW_DOWNGRADE=1 installs the older one"
  fi
}

uninstall() {
  [ -x "$bin/shoal" ] || fail "there is no $bin/shoal: nothing to uninstall"
  exec "$bin/shoal" uninstall "$@"
}

given() {
  wanted=$1
  shift
  for argument in "$@"; do
    case $argument in
      "$wanted" | "$wanted="*) return 0 ;;
    esac
  done
  return 1
}

main() {
  action=install
  count=$#
  while [ "$count" -gt 0 ]; do
    case $1 in
      -h | --help)
        usage
        exit 0
        ;;
      --uninstall) action=uninstall ;;
      *) set -- "$@" "$1" ;;
    esac
    shift
    count=$((count - 1))
  done
  [ "$(id -u)" = 0 ] || fail "this needs root: it writes to $bin and /etc"
  [ "$action" = install ] || uninstall "$@"

  # What the operator says about releases goes before what a node offers.
  if [ -z "$offer_url" ] && [ -z "${SHOAL_RELEASES:-}" ]; then
    fail "set SHOAL_RELEASES to where release files are (there is no public place for them yet), or take this script from a running node: curl http://HOST:4883/install.sh"
  fi
  if [ -z "${SHOAL_RELEASES:-}" ] && [ -n "${SHOAL_RELEASE_KEY:-}" ]; then
    fail "a node's own binary is not signed; set SHOAL_RELEASES, or unset SHOAL_RELEASE_KEY"
  fi
  if [ -n "$offer_url" ] && [ ! -e "$settings" ]; then
    if [ -n "$offer_keyed" ] && ! given --cluster-key-file "$@"; then
      fail "that cluster has a key: copy its file to this host, and name it: curl ... | sh -s -- --cluster-key-file /etc/shoal/cluster.key"
    fi
    # One word each, and made by the node from addresses.
    # shellcheck disable=SC2086
    set -- $offer_flags "$@"
  fi

  platform=$(platform_here)
  # Not in /tmp, from which programs may not be run on some hosts.
  mkdir -p "$bin"
  workplace=$(mktemp -d "$bin/.shoal-XXXXXX")
  trap clean_up EXIT
  trap 'exit 1' HUP INT TERM
  if [ -n "${SHOAL_RELEASES:-}" ]; then
    bring_from_release "$platform" "$workplace/shoal"
  else
    bring_from_node "$platform" "$workplace/shoal"
  fi
  chmod 755 "$workplace/shoal"
  downgrade=${SHOAL_ALLOW_DOWNGRADE:-}
  unset SHOAL_RELEASES SHOAL_RELEASE_KEY SHOAL_ALLOW_DOWNGRADE
  [ "$downgrade" = 1 ] || refuse_older "$workplace/shoal"
  # Not the rest of this script, which may be coming from there.
  "$workplace/shoal" install "$@" </dev/null
}

main "$@"
