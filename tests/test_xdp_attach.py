"""The XDP back end comes and goes: what it cannot do it says, and nothing of it stays behind."""

from __future__ import annotations

import gc
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

import burstline as bl
from burstline.errors import BurstlineError
from burstline.steering.back_end import BackEnd, CannotSteer
from burstline.steering.rule import SteeringRule
from burstline.steering.xdp.director import XdpDirector
from burstline.steering.xdp.link import Mode
from namespaces import Namespace, sh, until
from packet_corpus import corpus
from xdp_pair import director, echo, pair, talk


@pytest.mark.parametrize("mode", ["native", "generic"])
def test_tags_in_the_packet_are_seen_and_those_beside_it_are_an_error(mode: Mode) -> None:
    with pair() as (left, right), director(right, mode=mode) as xdp:
        xdp.apply([SteeringRule(vlan=5, to="queue 2")])
        with left.socket(socket.AF_PACKET, socket.SOCK_RAW, 0) as raw:
            left.inside(lambda: raw.bind(("out", 0)))
            for name in ("ipv4 tcp in a vlan", "ipv4 udp", "ipv4 tcp in 802.1ad and 802.1Q"):
                raw.send(corpus()[name])
        assert until(lambda: xdp.queue_counts()[2] == (1, len(corpus()["ipv4 tcp in a vlan"])), 30)
        sh(*right.command("ethtool", "-K", "in", "rxvlan", "on"))
        with pytest.raises(CannotSteer, match="vlan: in takes VLAN tags out of packets") as caught:
            xdp.add(SteeringRule(vlan=6, to="drop"))
        assert caught.value.field == "vlan"
        assert len(xdp.rules()) == 1


def attached(place: Namespace) -> bool:
    words = place.command("ip", "link", "show", "in")
    return "xdp" in subprocess.run(words, capture_output=True, text=True, check=True).stdout


@pytest.mark.parametrize("mode", ["native", "generic"])
def test_a_tag_beside_the_packet_is_not_seen_by_the_program(mode: Mode) -> None:
    """A bridge sends on what it received with its tag beside the packet, as drivers with VLAN offload deliver it."""
    frame = corpus()["ipv4 udp in a vlan"]
    with pair() as (left, right), director(right, mode=mode) as xdp:
        xdp.apply([SteeringRule(vlan=5, to="queue 2"), SteeringRule(proto="udp", src="192.0.2.1", to="queue 1")])
        try:
            left.ip("link add name bridge type bridge")
        except OSError as error:
            pytest.skip(str(error))
        left.ip("link add name feed type veth peer name fed")
        for end in ("bridge", "feed", "fed"):
            left.ip(f"link set {end} up")
        for end in ("out", "fed"):
            left.ip(f"link set {end} master bridge")
        with left.socket(socket.AF_PACKET, socket.SOCK_RAW, 0) as raw:
            left.inside(lambda: raw.bind(("feed", 0)))
            for offload, queue, size in (("off", 2, len(frame)), ("on", 1, len(frame) - 4)):
                sh(*left.command("ethtool", "-K", "out", "txvlan", offload))

                def steered(queue: int = queue, size: int = size) -> bool:
                    packets, total = xdp.queue_counts()[queue]
                    raw.send(frame)
                    assert total == packets * size
                    return packets > 2

                assert until(steered, 60)


def bpf_descriptors() -> int:
    """Of maps, programs and links that this process holds; those of earlier tests may go at any time."""
    held = (Path("/proc/self/fd") / name for name in os.listdir("/proc/self/fd"))
    return sum(each.is_symlink() and "bpf" in str(each.readlink()) for each in held)


def test_nothing_is_left_behind_by_an_exception_or_a_process_that_is_killed() -> None:
    with pair() as (_, right):
        gc.collect()
        before = bpf_descriptors()
        with pytest.raises(ZeroDivisionError), director(right) as xdp:
            back_end: BackEnd = xdp
            assert back_end.name == "xdp" and back_end.limits.reta_size == 1
            assert attached(right)
            assert bpf_descriptors() > before
            raise ZeroDivisionError
        assert not attached(right)
        with pytest.raises(bl.UsageError, match="queues is 0"):
            right.inside(lambda: XdpDirector("in", 0))
        with pytest.raises(bl.UsageError, match="there is no interface 'out'"):
            right.inside(lambda: XdpDirector("out", 1))
        assert bpf_descriptors() <= before
        source = "from burstline.steering.xdp.director import XdpDirector; XdpDirector('in', 2); print(); input()"
        path = os.pathsep.join(p for p in sys.path if p)
        with subprocess.Popen(
            right.command(sys.executable, "-uc", source), env={**os.environ, "PYTHONPATH": path},
            stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        ) as other:  # fmt: skip
            assert other.stdout and other.stdout.readline()
            assert attached(right)
            with pytest.raises(BurstlineError, match="in has an XDP program of somebody else's"):
                right.inside(lambda: XdpDirector("in", 2))
            other.send_signal(signal.SIGKILL)
        assert until(lambda: not attached(right), 30)
        director(right).close()


def test_where_the_driver_refuses_the_program_it_runs_in_generic_mode() -> None:
    """veth takes no program for packets that do not fit a page."""
    with pair() as (left, right):
        for place, end in ((left, "out"), (right, "in")):
            place.ip(f"link set {end} mtu 9000")
        with pytest.raises(BurstlineError, match="no XDP program could be attached to in"):
            director(right, mode="native")
        with director(right) as xdp:
            assert xdp.mode == "generic"
            xdp.apply([SteeringRule(proto="tcp", dport=5001, to="queue 3")])
            echo(right, 5001)
            talk(left, 5001, 100_000)
            packets, size = xdp.queue_counts()[3]
            assert size > 100_000 and size / packets > 2000


def test_who_may_not_is_told_so() -> None:
    with pair() as (_, right):
        source = (
            "import os; from burstline.steering.xdp.director import XdpDirector\n"
            "os.setuid(65534)\n"
            "try:\n    XdpDirector('in', 2)\nexcept Exception as error:\n    print(error)"
        )
        path = os.pathsep.join(p for p in sys.path if p)
        said = subprocess.run(
            right.command(sys.executable, "-c", source), env={**os.environ, "PYTHONPATH": path},
            capture_output=True, text=True, check=True,
        ).stdout  # fmt: skip
        assert "this process may not make a BPF map" in said and "CAP_BPF" in said
