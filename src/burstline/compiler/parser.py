"""The parser in compiled code: its states' functions, the writers of columns, and the machine that joins them."""

from __future__ import annotations

import ast

from numba.core import types

from burstline.compiler.check import check_stage
from burstline.compiler.errors import Source
from burstline.compiler.parser_ir import INNER, OUTER, Bodies, Lowering, parser_ir
from burstline.compiler.regions import Dispatch
from burstline.compiler.translate import explained
from burstline.compiler.words import described
from burstline.native.build import Build, Compiled, wrapper_ir
from burstline.native.bytes_type import BYTES
from burstline.packet.burst import Burst
from burstline.packet.burst_type import BurstType
from burstline.packet.found_kernel import found_writer, inner_writer
from burstline.packet.machine import Machine
from burstline.packet.protocol import Protocol
from burstline.pipeline.needs import Needs
from burstline.pipeline.pipeline import Pipeline

i64 = types.int64
RETURNS = "return the header's size in bytes, 0 where it is another protocol's, or a pair of the size and a key"


class Parser:
    """The parser of one pipeline."""

    def __init__(self, build: Build, pipeline: Pipeline, machine: Machine, needs: Needs, burst: Burst) -> None:
        self.build, self.pipeline, self.machine, self.needs, self.burst = build, pipeline, machine, needs, burst
        self._bodies = Bodies({}, {})
        if needs.full_parse:
            self._bodies = Bodies(
                {name: build.compile(s.function, [i64] * 3) for name, s in machine.states.items()},  # type: ignore[arg-type]
                {p.name: self._protocol(p) for p in machine.protocols},
            )

    @property
    def bodies(self) -> list[str]:
        """Symbols that are inlined into the states."""
        return [b.symbol for b in (*self._bodies.states.values(), *self._bodies.protocols.values())]

    def ir(self, dispatch: Dispatch) -> str:
        """IR of the whole parser; nothing where nothing is parsed. Its states are fused unless told otherwise."""
        lowering: Lowering = dispatch if dispatch == "tail" or dispatch == "called" else "fused"
        needs = self.needs
        if not needs.full_parse:
            return ""
        columns = tuple({*needs.columns, "present"}) if needs.eth else needs.columns
        parts = [self._writer(OUTER, found_writer(columns, needs.keys))]
        if needs.inner:
            parts.append(self._writer(INNER, inner_writer(columns)))
        parts.append(parser_ir(self.machine, self._bodies, self.burst, columns, needs.inner, lowering))
        return "\n".join(parts)

    def _writer(self, name: str, function: object) -> str:
        arguments = [BurstType(self.burst), *[i64] * 8]
        return wrapper_ir(name, self.build.compile(function, arguments))  # type: ignore[arg-type]

    def _protocol(self, protocol: Protocol) -> Compiled:
        """The function of a protocol of the user's own, checked. Raises `CompileError`."""
        check_stage(protocol)
        with explained(protocol, self.pipeline):
            compiled = self.build.compile(protocol.function, (BYTES,))
        said = compiled.returns
        parts = said.types if isinstance(said, types.BaseTuple) else (said,)  # type: ignore[attr-defined]
        if len(parts) > 2 or any(types.unliteral(t) != i64 for t in parts):  # type: ignore[attr-defined]
            source = Source(protocol.function)
            raise source.error(
                protocol.name,
                source.find(ast.Return, {""}),
                f"a protocol does not return {described(str(said))}",
                RETURNS,
            )
        return compiled
