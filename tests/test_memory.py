"""Freed memory stays with the process where the C library can be told so; `make bench-guard` says what that saves."""

import platform
import subprocess
import sys


def test_glibc_agrees_and_others_are_left_alone():
    program = "from safepursuit.process import keep_freed_memory; print(keep_freed_memory())"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == str(platform.libc_ver()[0] == "glibc")
