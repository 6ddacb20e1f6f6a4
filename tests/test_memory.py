"""Freed memory stays with the process."""

import subprocess
import sys

import pytest

PAGES = """
import ctypes, resource
from safepursuit.process import keep_freed_memory
kept = keep_freed_memory() if {keep} else True
def use():  # a dozen blocks of a megabyte, written to and freed, as an iteration does
    for block in [bytearray(2**20) for _ in range(12)]:
        block[::4096] = bytes(256)
use()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(10):
    use()
print(int(kept), resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def fetched(keep):
    """Whether the C library agreed, and how many pages ten turns fetched anew."""
    done = subprocess.run([sys.executable, "-c", PAGES.format(keep=keep)], capture_output=True, text=True, check=True)
    return tuple(map(int, done.stdout.split()))


def test_memory_is_fetched_once():
    agreed, pages = fetched(True)
    if not agreed:
        pytest.skip("only glibc can be asked")
    assert pages < 300  # of 30,720 that ten turns touch
    assert fetched(False)[1] > 10 * pages
