#!/bin/sh
# What `make build` runs: `install.sh VENV [EXTRAS]` installs what is missing of the system (as root, where there is
# apt-get), then burstline with its extras (dev: what tests and the demo need) into the virtual environment VENV.
set -eu
venv=$1 extras=${2:-dev}
PATH=$PATH:/usr/sbin:/sbin

for python in ${PYTHON:-python3 python3.13 python3.12 python3.11} ''; do
    "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && break
done
[ "$python" ] || { echo "burstline needs Python 3.11 or newer: make build PYTHON=/path/to/python3" >&2; exit 1; }

# Debian's packages for what is not here. Without the last ones everything but some tests and the demo works.
missing() {
    version=$("$python" -c 'import sys; print("python%d.%d" % sys.version_info[:2])')
    header='import os, sysconfig; os.stat(sysconfig.get_path("include") + "/Python.h")'
    "$python" -c 'import ensurepip, venv' 2>/dev/null || echo "$version-venv"
    "$python" -c "$header" 2>/dev/null || echo "$version-dev"
    command -v cc >/dev/null || echo gcc libc6-dev
    command -v pkg-config >/dev/null || echo pkg-config
    pkg-config --exists 'libdpdk >= 22.11' 2>/dev/null || echo libdpdk-dev
    command -v dpdk-devbind.py >/dev/null || echo dpdk
    command -v ip >/dev/null || echo iproute2
    command -v ethtool >/dev/null || echo ethtool
    command -v tshark >/dev/null || echo tshark
    command -v tcpdump >/dev/null || echo tcpdump # and with it libpcap, which filters are compared with
    command -v nfdump >/dev/null || echo nfdump # collectors of IPFIX, which exports are read back by
    command -v ipfixDump >/dev/null || echo libfixbuf-tools
    command -v dot >/dev/null || echo graphviz
    command -v chromium >/dev/null || echo chromium fonts-dejavu-core # looks at the page of `burstline serve`
    command -v promtool >/dev/null || echo prometheus # checks its metrics and alert rules
}
packages=$(missing | tr '\n' ' ')
if [ "$packages" ] && [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
    echo "installing of the system: $packages"
    apt-get update -qq || true # a source of packages may be out of reach that none of them is in
    # shellcheck disable=SC2086  # a list of words
    DEBIAN_FRONTEND=noninteractive apt-get install -yqq --no-install-recommends $packages >/dev/null
    packages=$(missing | tr '\n' ' ')
fi
[ -z "$packages" ] || echo "missing of the system (as root: apt-get install $packages)" >&2

"$venv/bin/python" -m pip --version >/dev/null 2>&1 || "$python" -m venv --clear "$venv"
venv=$(cd "$venv" && pwd)
PATH=$venv/bin:$PATH
echo "installing burstline into $venv"
pip() { python -m pip --quiet --disable-pip-version-check "$@"; }
python -c 'import tomllib; print(*tomllib.load(open("pyproject.toml", "rb"))["build-system"]["requires"], sep="\n")' \
    >"$venv/build-requirements.txt"
pip install ninja -r "$venv/build-requirements.txt"
# Without isolation and with a directory of its own, so that the next build does only what has changed.
pip install --no-build-isolation --config-settings=build-dir="$venv/build" ".[$extras]"

# The stamp that the Makefile looks at: built with this DPDK, or by this user with none.
rm -f "$venv"/.built-*
touch "$venv/.built-$(pkg-config --modversion libdpdk 2>/dev/null || echo none-$(id -u))"
cd / && python -c 'from burstline import dpdk; print("DPDK ports:", "yes" if dpdk.available() else "no")'
