"""Flow records to an IPFIX collector over UDP or TCP (RFC 7011; both directions of a flow by RFC 5103)."""

from __future__ import annotations

import errno
import socket
import time
from typing import TYPE_CHECKING, Any

from burstline.errors import UsageError
from burstline.export.connection import Connection
from burstline.export.exporter import Exporter
from burstline.export.fault import Unreachable
from burstline.export.ipfix.elements import DOCUMENTATION
from burstline.export.ipfix.message import MOST, Buffers, Messages
from burstline.export.ipfix.template import Template, templates_of
from burstline.export.outlet_options import OF_ALL
from burstline.export.spelling import Target, count, one_of, seconds

if TYPE_CHECKING:
    from burstline.export.shape import Shape

REFRESH = 60.0  # seconds after which templates are sent again over UDP (RFC 7011, 8.4)
ETHERNET, IP_MTU, LEAST = 1500, 14, 512  # the option of ip(7), which `socket` does not name; RFC 7011, 10.3.3


class IpfixExporter(Exporter):
    """`domain` is the observation domain. Over TCP a message that was being sent when the connection broke counts as
    refused, over UDP what the kernel refuses to send."""

    def __init__(self, target: Target) -> None:
        super().__init__(target)
        target.only("domain", "mtu", "time", "enterprise", "refresh", *OF_ALL)
        self._domain = target.option("domain", _u32, 1)
        self._unit = target.option("time", one_of("ms", "us", "ns"), "ms")
        self._enterprise = target.option("enterprise", _u32, DOCUMENTATION)
        self._refresh = target.option("refresh", seconds, REFRESH)
        self._mtu = target.option("mtu", count, ETHERNET)
        if not LEAST <= self._mtu <= MOST:
            raise UsageError(f"{target.spelled}: an MTU of {self._mtu} is out of range", f"give {LEAST} to {MOST}")
        self._is_tcp = target.kind == "ipfix+tcp"
        self._connection = Connection(target.host, target.port)
        self._socket: socket.socket | None = None
        self._templates: list[Template] = []
        self._messages: Messages | None = None
        self._sent_templates = 0.0
        self.messages = self._last = 0

    @property
    def detail(self) -> dict[str, Any]:
        return {"messages": self.messages, "connections": self._connection.made} if self._is_tcp else {
            "messages": self.messages}  # fmt: skip

    def prepare(self) -> None:
        self.messages = self._connection.made = self._last = 0

    def open(self, shape: Shape) -> None:
        self._templates = templates_of(shape, self._unit, self._enterprise)

    def write(self, rows: Any) -> None:
        """Rows of one IP version after the other, so that each is one template's."""
        messages = self._session()
        left = self._by_template(rows)
        while left:
            template, chosen = left.pop(0)
            done = 0
            for buffers, records in messages.data(template, chosen):
                try:
                    self._send(buffers, records)
                except Unreachable as error:
                    if self._is_tcp:
                        self.refused += records
                        done += records
                    self.abort()  # a collector that comes back has forgotten the templates
                    raise Unreachable(error.why, _together([chosen[done:], *(more for _, more in left)])) from None
                done += records

    def _by_template(self, rows: Any) -> list[tuple[Template, Any]]:
        if len(self._templates) == 1:
            return [(self._templates[0], rows)]
        versions = rows["version"]
        return [(t, chosen) for t in self._templates if len(chosen := rows[versions == t.version])]

    def due(self) -> float | None:
        if self._is_tcp or self._messages is None:
            return None
        return max(0.0, self._sent_templates + self._refresh - time.monotonic())

    def tick(self) -> None:
        if self.due() == 0.0:
            assert self._messages is not None
            try:
                self._announce(self._messages)
            except Unreachable:  # the next rows begin a session
                self.abort()
                raise

    def close(self) -> None:
        """A run without a flow leaves templates."""
        self._session()
        self.abort()

    def abort(self) -> None:
        self._connection.close()
        if self._socket is not None:
            self._socket.close()
        self._socket = self._messages = None

    def _session(self) -> Messages:
        """The transport session, begun if there is none: templates go before all else (RFC 7011, 8)."""
        if self._messages is not None and (not self._is_tcp or self._connection.is_open):
            return self._messages
        most = MOST
        if self._is_tcp:
            self._connection.open()
        else:
            self._socket, most = self._connected()
        messages = Messages(self._templates, self._domain, most)
        try:
            self._announce(messages)
        except Unreachable:
            self.abort()
            raise
        self._messages = messages
        return messages

    def _connected(self) -> tuple[socket.socket, int]:
        """A UDP socket, and how large a message can be that is no fragment."""
        host, port = self.target.host, self.target.port
        try:
            family, kind, proto, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_DGRAM)[0]
            found = socket.socket(family, kind, proto)
            found.connect(address)
        except OSError as error:
            raise Unreachable(f"{host} port {port}: {error.strerror or error}") from None
        headers, mtu = (28, self._mtu) if family == socket.AF_INET else (48, self._mtu)
        if family == socket.AF_INET:
            mtu = min(mtu, found.getsockopt(socket.IPPROTO_IP, IP_MTU))
        return found, min(mtu - headers, MOST - headers)

    def _announce(self, messages: Messages) -> None:
        for buffers in messages.preamble():
            self._send(buffers, 0)
        self._sent_templates = time.monotonic()

    def _send(self, buffers: Buffers, records: int) -> None:
        if self._is_tcp:
            self._connection.send(buffers)
        else:
            assert self._socket is not None
            try:
                self._socket.sendmsg(buffers)
            except OSError as error:  # there may be a route again later; a message that is too large stays so
                if error.errno == errno.EMSGSIZE:
                    raise
                refused = isinstance(error, ConnectionRefusedError)
                if refused:  # an ICMP message to the last one: there is no collector (RFC 1122, 4.1.3)
                    self.exported -= self._last
                    self.refused += self._last
                self._last = 0
                why = "nobody receives there" if refused else error.strerror
                raise Unreachable(f"{self.target.host} port {self.target.port}: {why}") from None
        self.messages += 1
        self.exported += records
        self._last = records


def _u32(text: str) -> int:
    number = count(text)
    if number >> 32:
        raise ValueError("that is no number of 32 bits")
    return number


def _together(parts: list[Any]) -> Any:
    import numpy as np

    return np.concatenate(parts)
