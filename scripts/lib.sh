# Shared by the scripts beside it; to be sourced, not run. Sets `root`, puts the
# right Rust first on the PATH and names it in CARGO.
# shellcheck shell=bash

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
me=$(basename "$0")

# Debian keeps servers (mosquitto) where ordinary users' PATH does not look.
PATH=$PATH:/usr/sbin:/sbin

# cargo-deny, which scripts/setup --test fetches and scripts/audit runs.
cargo_deny_version=0.20.2

say() { printf '%s: %s\n' "$me" "$*" >&2; }
die() {
  printf '%s: %s\n' "$me" "$*" >&2
  exit 1
}
have() { command -v "$1" >/dev/null 2>&1; }

# at_least 1.92 1.100.3: is the second version the first or later?
at_least() { [ "$(printf '%s\n%s\n' "$1" "$2" | sort -V | head -n 1)" = "$1" ]; }

# The oldest Rust that compiles Tawny, from Cargo.toml.
rust_needed() { sed -n 's/^rust-version *= *"\(.*\)"/\1/p' "$root/Cargo.toml"; }

# Is the cargo and rustc at $1 (a folder, or nothing for the PATH) new enough?
rust_is_new_enough() {
  local tool version
  for tool in cargo rustc; do
    version=$("${1:+$1/}$tool" --version 2>/dev/null | awk '{ print $2 }') || return 1
    [ -n "$version" ] && at_least "$(rust_needed)" "$version" || return 1
  done
}

# Chooses the Rust to build with: the caller's own where it is new enough, else
# Debian's. Returns 1 if there is none; then CARGO is empty.
find_rust() {
  CARGO=
  if [ -d "${CARGO_HOME:-$HOME/.cargo}/bin" ] && ! have cargo; then
    PATH="${CARGO_HOME:-$HOME/.cargo}/bin:$PATH"
  fi
  if ! rust_is_new_enough ''; then
    rust_is_new_enough /usr/bin || return 1
    # First on the PATH, so that cargo's helpers (fmt, clippy) and rustc come
    # from the same place as cargo itself.
    PATH=/usr/bin:$PATH
  fi
  hash -r
  CARGO=$(command -v cargo)
  export PATH CARGO
}

# A Python that reads TOML (3.11 or later), in PYTHON; 1 if there is none.
find_python() {
  for PYTHON in python3 /usr/bin/python3; do
    "$PYTHON" -c 'import tomllib' 2>/dev/null && return 0
  done
  PYTHON=
  return 1
}
