#!/usr/bin/env bash
# What `make demo` shows: the top talkers of a capture file, then a firewall between two network namespaces.
set -euo pipefail
cd "$(dirname "$0")"
python=${PYTHON:-$PWD/../.venv/bin/python}
packets=${PACKETS:-1000000} flows=10000 sample=${SAMPLE:-20000} megabytes=${MEGABYTES:-100}
read -ra drivers <<<"${DRIVERS:-net_af_xdp net_af_packet}"
work=$(mktemp -d)
left=demo-$$-left middle=demo-$$-middle right=demo-$$-right
firewall=

say() { printf '\n\033[1m%s\033[0m\n' "$*"; }
burstline() { "$python" -m burstline "$@"; }
within() { local namespace=$1; shift; ip netns exec "$namespace" "$@"; }

clean_up() {
    local started
    started=$(jobs -p)
    [ -z "$started" ] || kill $started 2>/dev/null || true
    wait
    for namespace in "$left" "$middle" "$right"; do ip netns delete "$namespace" 2>/dev/null || true; done
    rm -rf "$work"
}
trap clean_up EXIT
trap 'exit 130' INT TERM HUP

top_talkers() {
    say "A capture of $packets packets in $flows flows"
    burstline gen "$work/capture.pcap" --packets "$packets" --flows "$flows" --seed 1
    say "Its top talkers: examples/top_talkers.py"
    (cd "$work" && burstline run "$OLDPWD/../examples/top_talkers.py" capture.pcap)
    say "The same flows by scapy, over the first $sample packets"
    (cd "$work" && burstline run "$OLDPWD/../examples/top_talkers.py" capture.pcap --json >report 2>/dev/null)
    "$python" compare.py "$work/report" "$work/capture.pcap" "$sample"
}

# left: 10.7.0.1 and, blocked, 203.0.113.5 -- firewall in the middle -- right: 10.7.0.2
build_network() {
    local end
    for namespace in "$left" "$middle" "$right"; do
        ip netns add "$namespace"
    done
    ip link add outside netns "$left" type veth peer name fw-left netns "$middle"
    ip link add inside netns "$right" type veth peer name fw-right netns "$middle"
    for end in "$left outside" "$middle fw-left" "$middle fw-right" "$right inside"; do
        set -- $end
        # No offloads: a frame that leaves a veth must be one that a wire could carry, its checksum filled in.
        within "$1" ethtool -K "$2" tx off tso off gso off gro off >/dev/null
        ip -n "$1" link set "$2" up
    done
    ip -n "$left" address add 10.7.0.1/24 dev outside
    ip -n "$left" address add 203.0.113.5/32 dev outside
    ip -n "$right" address add 10.7.0.2/24 dev inside
    ip -n "$right" route add 203.0.113.0/24 dev inside
}

start_firewall() {
    ip netns exec "$middle" "$python" -m burstline run ../examples/firewall.py \
        "dpdk:$1,iface=fw-left" "dpdk:$1,iface=fw-right" >"$work/report" 2>"$work/errors" &
    firewall=$!
    for _ in {1..60}; do  # until it lets a connection through
        if within "$left" timeout 1 bash -c ': </dev/tcp/10.7.0.2/5001' 2>/dev/null; then return 0; fi
        kill -0 "$firewall" 2>/dev/null || break
        sleep 0.1
    done
    kill "$firewall" 2>/dev/null || true
    wait "$firewall" || true
    return 1
}

between_namespaces() {
    local driver receiver sums
    say "Two network namespaces, and examples/firewall.py on the veth pairs between them"
    build_network
    ip netns exec "$right" "$python" transfer.py receive 10.7.0.2 5001 >"$work/received" &
    receiver=$!
    for driver in "${drivers[@]}"; do
        if start_firewall "$driver"; then break; fi
        echo "$driver does not work here: $(head -1 "$work/errors")"
    done
    kill -0 "$firewall" 2>/dev/null || return 1
    echo "the firewall runs on $driver"

    say "$megabytes MB by TCP through it"
    within "$left" "$python" transfer.py send 10.7.0.2 5001 "$megabytes" | tee "$work/sent"
    wait "$receiver"
    cat "$work/received"
    sums=$(grep -oh 'SHA-256 .*' "$work/sent" "$work/received" | sort -u | wc -l)
    [ "$sums" = 1 ] || { echo "the two ends differ"; return 1; }
    echo "the same at both ends"

    say "1,000 datagrams from 10.7.0.1, 1,000 from 203.0.113.5, which examples/blocked.txt has"
    ip netns exec "$right" "$python" transfer.py count 10.7.0.2 5002 2 >"$work/counted" &
    receiver=$!
    until within "$right" grep -qi ":$(printf %04x 5002) " /proc/net/udp; do  # until it listens
        kill -0 "$receiver" 2>/dev/null || break
        sleep 0.1
    done
    within "$left" "$python" transfer.py datagrams 10.7.0.1 10.7.0.2 5002 1000
    within "$left" "$python" transfer.py datagrams 203.0.113.5 10.7.0.2 5002 1000
    wait "$receiver"
    echo "received: $(cat "$work/counted")"
    kill "$firewall"
    wait "$firewall" || { cat "$work/errors"; return 1; }
    say "What the firewall says"
    cat "$work/report"
}

top_talkers
if [ "$(id -u)" != 0 ]; then
    say "The second half builds network namespaces and needs root"
elif ! "$python" -c 'import sys; from burstline import dpdk; sys.exit(not dpdk.available())'; then
    say "The second half needs DPDK; burstline doctor tells what is missing"
else
    between_namespaces
fi
