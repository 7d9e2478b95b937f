"""The host that code is made for: its CPU, or one with fewer vector instructions, as LLVM's target."""

from __future__ import annotations

import functools

import llvmlite.binding as llvm

from burstline.simd import level


@functools.cache
def initialise() -> None:
    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()


def cpu() -> tuple[str, str]:
    """LLVM's name of the CPU that code is made for, and the features that it may use."""
    fewer = level.cpu()
    return (fewer, "") if fewer else _host()


@functools.cache
def _host() -> tuple[str, str]:
    """This CPU, and the features that it (maybe a virtual machine) really lets us use."""
    return llvm.get_host_cpu_name(), llvm.get_host_cpu_features().flatten()


def target_machine() -> llvm.TargetMachine:
    """Small code model, position independent: hops become direct jumps, and the object can be cached and moved."""
    initialise()
    name, features = cpu()
    return llvm.Target.from_default_triple().create_target_machine(
        cpu=name, features=features, opt=3, reloc="pic", codemodel="small", jit=True
    )
