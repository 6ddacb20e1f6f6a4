"""What a program sets for its whole process: devices, threads, compiled programs, memory, imports, log levels.

Only commands and the processes that they start decide about devices, threads, cache and memory: a library leaves them
to the program that uses it.
"""

import ctypes
import os
import platform
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from hashlib import sha256
from pathlib import Path

import jax
from platformdirs import user_cache_path

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3  # glibc's malloc.h
_ALL, _MOST = 2**31 - 1, 32 * 2**20  # glibc takes no larger threshold for mapped blocks


def usable_cores() -> int:
    """The number of CPU cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def use_all_cores(at_least: int = 1) -> None:
    """Let JAX treat every CPU core as a device, and make at least so many, for a run begun on a machine with more.

    JAX otherwise has one CPU device, on which most of a rollout runs in one thread. Without effect once JAX is in use.
    """
    with suppress(RuntimeError):
        jax.config.update("jax_num_cpu_devices", max(usable_cores(), at_least))


def use_one_thread() -> None:
    """Let JAX compute in one thread, so that processes side by side do not compete; call before JAX is in use.

    A thread, not a core: a process pinned to a core that is in use by another program would wait for it.
    """
    os.environ["PJRT_NPROC"] = "1"


def keep_compiled_programs() -> None:
    """Keep what JAX compiles in the user's cache, so that the next process starts sooner.

    The folder may be removed at any time. It is apart for each kind of processor: programs use whatever the processor
    offers, and JAX's keys do not say what that is. Where JAX_COMPILATION_CACHE_DIR is set, it and JAX's own settings
    hold; where the cache cannot be written, nothing is kept.
    """
    folder = user_cache_path("safepursuit") / f"programs-{_processor()}"
    with suppress(OSError):
        if jax.config.values["jax_compilation_cache_dir"] is None:
            folder.mkdir(parents=True, exist_ok=True)
            jax.config.update("jax_compilation_cache_dir", str(folder))
            jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)


def _processor() -> str:
    """A word for what this machine's processor can do."""
    info = Path("/proc/cpuinfo")
    text = info.read_text(encoding="utf-8") if info.is_file() else platform.processor()
    abilities = re.search(r"^(?:flags|Features)\s*:.*$", text, re.MULTILINE)
    return sha256((platform.machine() + (abilities[0] if abilities else text)).encode()).hexdigest()[:12]


def keep_freed_memory() -> bool:
    """Keep the memory that a rollout or an update frees for the next one; True where glibc agreed.

    By default glibc often returns it to the system, and each iteration then fetches thousands of pages anew. Other C
    libraries are left alone. `train` calls this when all is compiled, because the process would also keep what the
    compiler frees.
    """
    with suppress(OSError, AttributeError):
        tell = ctypes.CDLL(None).mallopt
        return bool(tell(_M_TRIM_THRESHOLD, _ALL) and tell(_M_MMAP_THRESHOLD, _MOST))
    return False


@contextmanager
def without(package: str) -> Iterator[None]:
    """Let imports within the block find `package` missing, unless it is imported already.

    For a library that imports a large package only because it is installed.
    """
    absent = package not in sys.modules
    if absent:
        sys.modules[package] = None  # type: ignore[assignment]
    try:
        yield
    finally:
        if absent:
            del sys.modules[package]
