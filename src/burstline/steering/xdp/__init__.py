"""Steering rules as an XDP program: LLVM makes it for BPF, the kernel verifies it and runs it before its own stack."""
