"""The host that code is made for: its CPU, its LLVM target."""

from __future__ import annotations

import functools

import llvmlite.binding as llvm


@functools.cache
def initialise() -> None:
    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()


@functools.cache
def cpu() -> tuple[str, str]:
    """LLVM's name of this CPU, and the features that this host (maybe a virtual machine) really lets it use."""
    return llvm.get_host_cpu_name(), llvm.get_host_cpu_features().flatten()


def target_machine() -> llvm.TargetMachine:
    """Small code model, position independent: hops become direct jumps, and the object can be cached and moved."""
    initialise()
    name, features = cpu()
    return llvm.Target.from_default_triple().create_target_machine(
        cpu=name, features=features, opt=3, reloc="pic", codemodel="small", jit=True
    )
