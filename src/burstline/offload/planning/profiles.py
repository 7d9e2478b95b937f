"""The profiles of drivers: what makes them fast, or quick to answer, and where that is written.

Files are DPDK 22.11's; `nics/` are its guides, https://doc.dpdk.org/guides-22.11/nics/. Settings that a driver has by
itself are not repeated unless others of the profile rest on them.
"""

from __future__ import annotations

from typing import Literal

from burstline.offload.planning.setting import Kind, Setting

_Profile = tuple[Setting, ...]


def _set(
    kind: Kind, name: str, value: int | str, why: str, source: str, cpu: str = "", skip: tuple[str, ...] = ()
) -> Setting:
    return Setting(kind, name, value, why, source, cpu, skip)


def _rings(rx: int, tx: int, why: str, source: str) -> _Profile:
    return (
        _set("descriptors", "rx_descriptors", rx, why, source),
        _set("descriptors", "tx_descriptors", tx, why, source),
    )


def _wide(source: str) -> Setting:
    why = "EAL keeps to 256 bits by itself, and the driver has functions for 512"
    return _set("eal", "--force-max-simd-bitwidth", 512, why, source, cpu="avx512")


_SMALL = "a short ring bounds how many packets wait before one"

MLX5_THROUGHPUT = (
    *_rings(2048, 2048, "the driver's own choice for most packets a second", "net/mlx5/mlx5_ethdev.c:245-254"),
    _set("burst", "burst", 64, "the driver's own", "net/mlx5/mlx5_defs.h:84-85"),
    _set(
        "devarg", "mprq_en", 1, "one large buffer is posted for many packets: less on PCIe for small ones",
        "nics/mlx5.rst:705-718", skip=("buffer_split", "fast_free"),
    ),
    _set("devarg", "rxqs_min_mprq", 1, "mprq_en needs 12 queues otherwise", "nics/mlx5.rst:759-763",
         skip=("buffer_split", "fast_free")),
    _set("devarg", "rxq_cqe_comp_en", 4, "completions are compressed, in the form for mixed TCP and UDP traffic",
         "nics/mlx5.rst:640-656"),
)  # fmt: skip
MLX5_LATENCY = (
    *_rings(256, 256, "the driver's own choice for little work: " + _SMALL, "net/mlx5/mlx5_ethdev.c:240-242"),
    _set("devarg", "rxq_cqe_comp_en", 0, "no completion waits to be compressed with others", "nics/mlx5.rst:640-646"),
    _set("devarg", "mprq_en", 0, "each packet has a buffer of its own", "nics/mlx5.rst:705-718"),
    _set("devarg", "txqs_min_inline", 0, "short packets go within the descriptor: one read of the NIC less",
         "nics/mlx5.rst:841-854, common/mlx5/mlx5_prm.h:102-108"),
)  # fmt: skip

ICE_THROUGHPUT = (
    *_rings(1024, 1024, "the driver's own; vectors need a power of two", "net/ice/ice_ethdev.c:3887-3888, "
            "net/ice/ice_rxtx_vec_common.h:279"),
    _set("burst", "burst", 32, "the driver's own", "net/ice/ice_ethdev.c:3883-3884"),
    _set("threshold", "rx_free_thresh", 32, "vectors need 32 at least", "net/ice/ice_rxtx_vec_common.h:282-286"),
    _set("threshold", "tx_rs_thresh", 32, "vectors need 32 to 64", "net/ice/ice_rxtx_vec_common.h:307-309"),
    _wide("nics/ice.rst:271-278"),
)  # fmt: skip
ICE_LATENCY = (
    *_rings(256, 256, _SMALL, "net/ice/ice_rxtx.h:10-12"),
    _set("devarg", "rx_low_latency", 1, "each descriptor is written to memory as soon as it is done, for more on PCIe",
         "nics/ice.rst:248-258"),
    _set("threshold", "tx_rs_thresh", 32, "vectors need 32 to 64", "net/ice/ice_rxtx_vec_common.h:307-309"),
)  # fmt: skip

I40E_THROUGHPUT = (
    *_rings(2048, 1024, "the driver's own for 40 Gbit/s; vectors need a power of two",
            "net/i40e/i40e_ethdev.c:3769-3782, nics/i40e.rst:263-269"),
    _set("burst", "burst", 32, "the driver's own", "net/i40e/i40e_ethdev.c:3803-3804"),
    _set("threshold", "rx_free_thresh", 32, "bulk allocation, and so vectors, need it", "net/i40e/i40e_rxtx.h:8"),
    _set("threshold", "tx_rs_thresh", 32, "vectors need 32 to 64", "net/i40e/i40e_rxtx.c:3414-3420"),
    _wide("net/i40e/i40e_rxtx.c:3202-3209"),
)  # fmt: skip
I40E_LATENCY = (
    *_rings(256, 256, "the driver's own for 10 and 25 Gbit/s: " + _SMALL, "net/i40e/i40e_ethdev.c:3783-3801"),
    _set("burst", "burst", 32, "the driver's own", "net/i40e/i40e_ethdev.c:3803-3804"),
)  # fmt: skip

IXGBE_THROUGHPUT = (
    *_rings(512, 512, "a multiple of rx_free_thresh, as bulk allocation and so vectors need", "nics/ixgbe.rst:36-42"),
    _set("burst", "burst", 32, "vector receive gives nothing to bursts below 32", "nics/ixgbe.rst:141-145"),
    _set("threshold", "rx_free_thresh", 32, "bulk allocation needs 32 at least", "nics/ixgbe.rst:36"),
    _set("threshold", "tx_rs_thresh", 32, "vector transmit needs 32 to 64", "nics/ixgbe.rst:153-156"),
)  # fmt: skip
IXGBE_LATENCY = (
    *_rings(256, 256, "the driver's own: " + _SMALL, "net/ixgbe/ixgbe_ethdev.c:3961-3962"),
    _set("burst", "burst", 32, "vector receive gives nothing to bursts below 32", "nics/ixgbe.rst:141-145"),
)  # fmt: skip

ENA_THROUGHPUT = (
    *_rings(1024, 1024, "the driver's own", "net/ena/ena_ethdev.h:30"),
    _set("devarg", "enable_llq", 1, "headers are pushed into the device's memory: without, much slower since the 6th "
         "generation", "nics/ena.rst:99-106"),
    _set("devarg", "large_llq_hdr", 0, "large ones halve the transmit ring", "nics/ena.rst:84-88, "
         "net/ena/ena_ethdev.c:1051-1056"),
)  # fmt: skip
ENA_LATENCY = (
    *_rings(256, 256, _SMALL, "net/ena/ena_ethdev.c:37"),
    _set("devarg", "enable_llq", 1, "headers are pushed into the device's memory", "nics/ena.rst:99-106"),
)  # fmt: skip

BNXT_THROUGHPUT = (
    *_rings(1024, 1024, "room for some bursts", "net/bnxt/bnxt.h:90-92"),
    _set("burst", "burst", 64, "the most that the driver gives at once", "net/bnxt/bnxt_rxq.h:10"),
    _set("threshold", "tx_free_thresh", 64, "a whole burst is given back at once", "net/bnxt/bnxt_txq.h:10"),
)  # fmt: skip
BNXT_LATENCY = _rings(256, 256, _SMALL, "net/bnxt/bnxt.h:90-92")

_VIRTIO_SOURCE = "nics/virtio.rst (Virtio paths Selection)"
VIRTIO_USER_THROUGHPUT = (
    _set("devarg", "packed_vq", 1, "a packed ring touches fewer cache lines", "nics/virtio.rst (Packed virtqueue)"),
    _set("devarg", "in_order", 1, "descriptors are used in order, which the vector functions rest on", _VIRTIO_SOURCE),
    _set("devarg", "vectorized", 1, "the vector functions, where mrg_rxbuf=0 and LRO is off", _VIRTIO_SOURCE,
         cpu="avx512"),
    _set("devarg", "queue_size", 1024, "room for some bursts", "nics/virtio.rst (queue_size)"),
    _wide("net/virtio/virtio_ethdev.c:2677-2686"),
)  # fmt: skip
VIRTIO_USER_LATENCY = (
    _set("devarg", "in_order", 1, "descriptors are used in order", _VIRTIO_SOURCE),
    _set("devarg", "queue_size", 256, _SMALL, "nics/virtio.rst (queue_size)"),
)
VIRTIO_THROUGHPUT = (
    _set("devarg", "vectorized", 1, "the vector functions, where the host has no mergeable buffers", _VIRTIO_SOURCE),
)

AF_XDP_THROUGHPUT = (
    _set("devarg", "busy_budget", 64, "the kernel works on as many packets as a burst has",
         "nics/af_xdp.rst (busy_budget), net/af_xdp/rte_eth_af_xdp.c:74"),
    _set("devarg", "force_copy", 0, "packets are not copied where the kernel's driver can do without",
         "nics/af_xdp.rst (force_copy)"),
    _set("advice", "napi_defer_hard_irqs", "echo 2 > /sys/class/net/IFACE/napi_defer_hard_irqs",
         "busy polling needs it", "nics/af_xdp.rst (busy_budget)"),
    _set("advice", "gro_flush_timeout", "echo 200000 > /sys/class/net/IFACE/gro_flush_timeout",
         "busy polling needs it", "nics/af_xdp.rst (busy_budget)"),
)  # fmt: skip
AF_XDP_LATENCY = (
    _set("devarg", "busy_budget", 16, "the kernel comes back after fewer packets", "nics/af_xdp.rst (busy_budget)"),
    _set("devarg", "force_copy", 0, "packets are not copied where the kernel's driver can do without",
         "nics/af_xdp.rst (force_copy)"),
)  # fmt: skip

AF_PACKET = (
    _set("devarg", "qdisc_bypass", 1, "what is sent goes around the interface's queueing discipline",
         "nics/af_packet.rst:26-27"),
)  # fmt: skip

PROFILES: dict[tuple[str, Literal["throughput", "latency", "off"]], _Profile] = {
    ("net_mlx5", "throughput"): MLX5_THROUGHPUT,
    ("net_mlx5", "latency"): MLX5_LATENCY,
    ("net_ice", "throughput"): ICE_THROUGHPUT,
    ("net_ice", "latency"): ICE_LATENCY,
    ("net_i40e", "throughput"): I40E_THROUGHPUT,
    ("net_i40e", "latency"): I40E_LATENCY,
    ("net_ixgbe", "throughput"): IXGBE_THROUGHPUT,
    ("net_ixgbe", "latency"): IXGBE_LATENCY,
    ("net_ena", "throughput"): ENA_THROUGHPUT,
    ("net_ena", "latency"): ENA_LATENCY,
    ("net_bnxt", "throughput"): BNXT_THROUGHPUT,
    ("net_bnxt", "latency"): BNXT_LATENCY,
    ("net_virtio_user", "throughput"): VIRTIO_USER_THROUGHPUT,
    ("net_virtio_user", "latency"): VIRTIO_USER_LATENCY,
    ("net_virtio", "throughput"): VIRTIO_THROUGHPUT,
    ("net_af_xdp", "throughput"): AF_XDP_THROUGHPUT,
    ("net_af_xdp", "latency"): AF_XDP_LATENCY,
    ("net_af_packet", "throughput"): AF_PACKET,
    ("net_af_packet", "latency"): AF_PACKET,
}
