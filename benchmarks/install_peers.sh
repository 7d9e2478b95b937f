#!/bin/sh
# Installs the peers of `burstline bench` on Debian or Ubuntu: clang, tshark, testpmd, DPDK and Hyperscan from the system, Python peers in an
# environment of their own. Needs root for the system's packages; without it, only the Python peers are installed.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
cache=${XDG_CACHE_HOME:-$HOME/.cache}/burstline/bench

need=
command -v clang >/dev/null || need="$need clang"
command -v tshark >/dev/null || need="$need tshark"
command -v dpdk-testpmd >/dev/null || need="$need dpdk-dev"
command -v pkg-config >/dev/null || need="$need pkg-config"
pkg-config --exists libdpdk 2>/dev/null || need="$need libdpdk-dev"
pkg-config --exists libhs 2>/dev/null || need="$need libhyperscan-dev"
if [ -n "$need" ]; then
    if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
        apt-get update -qq
        # shellcheck disable=SC2086  # a list of words
        DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $need
    else
        echo "not installed (run as root: apt-get install$need)" >&2
    fi
fi

mkdir -p "$cache"
[ -x "$cache/venv/bin/python" ] || "${PYTHON:-python3}" -m venv "$cache/venv"
"$cache/venv/bin/python" - "$here/../pyproject.toml" >"$cache/requirements.txt" <<'END'
import sys, tomllib
with open(sys.argv[1], "rb") as file:
    print(*tomllib.load(file)["project"]["optional-dependencies"]["bench"], sep="\n")
END
"$cache/venv/bin/python" -m pip install --quiet --disable-pip-version-check -r "$cache/requirements.txt"
echo "Python peers in $cache/venv"
