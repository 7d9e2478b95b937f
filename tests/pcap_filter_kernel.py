"""The filters of test_pcap_filter_libpcap.py, compiled together."""

from __future__ import annotations

from burstline.filter.native import native_functions
from burstline.filter.program import FilterProgram
from burstline.packet.parser import LINK_ETHERNET
from test_pcap_filter_libpcap import COMPILED

f0, f1, f2, f3, f4, f5, f6 = (native_functions(FilterProgram(e), [LINK_ETHERNET])[LINK_ETHERNET] for e in COMPILED)


def all_filters(data: int, captured: int, length: int) -> int:
    low = f0(data, captured, length) | f1(data, captured, length) << 1 | f2(data, captured, length) << 2
    high = f3(data, captured, length) | f4(data, captured, length) << 1 | f5(data, captured, length) << 2
    return low | high << 3 | f6(data, captured, length) << 6
