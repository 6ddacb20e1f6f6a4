"""Settings of a whole process: devices, threads, compilation cache, memory, imports.

Only commands and the processes that they start change them: a library leaves them to the program that uses it.
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
_uses_jax: set[int] = set()  # of this process and of those that it was forked from
_ALL, _MOST = 2**31 - 1, 32 * 2**20  # the largest threshold for mapped blocks that glibc accepts


def usable_cores() -> int:
    """The number of CPU cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def use_all_cores(at_least: int = 1) -> None:
    """Make every CPU core a device of JAX, and at least `at_least` devices, for a run begun on a larger machine.

    On JAX's default of one device, most of a rollout runs in one thread. Without effect once JAX is in use.
    """
    with suppress(RuntimeError):
        jax.config.update("jax_num_cpu_devices", max(usable_cores(), at_least))


def missing_platform() -> str:
    """A sentence if JAX has no device because JAX_PLATFORMS names what is not there; else empty. Starts JAX."""
    wanted = jax.config.values["jax_platforms"]
    try:
        jax.devices()
    except (RuntimeError, AssertionError):
        return f"JAX has no device of the platform {wanted!r} (JAX_PLATFORMS): leave it unset, or install JAX for it."
    return ""


def use_one_thread() -> None:
    """Restrict JAX to one thread, so that parallel processes do not compete; call before JAX is in use.

    Pinning to a core would make a process wait for other programs on that core.
    """
    os.environ["PJRT_NPROC"] = "1"


def keep_compiled_programs() -> None:
    """Keep JAX's compiled programs in the user's cache, so that the next process starts sooner.

    The folder may be removed at any time. There is one per kind of processor, because programs use its instruction set
    and JAX's cache keys do not include it. JAX_COMPILATION_CACHE_DIR and JAX's own settings have precedence; where the
    cache cannot be written, nothing is kept.
    """
    folder = user_cache_path("safepursuit") / f"programs-{_processor()}"
    with suppress(OSError):
        if jax.config.values["jax_compilation_cache_dir"] is None:
            folder.mkdir(parents=True, exist_ok=True)
            jax.config.update("jax_compilation_cache_dir", str(folder))
            jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)


def _processor() -> str:
    """A hash of the processor's instruction set."""
    info = Path("/proc/cpuinfo")
    text = info.read_text(encoding="utf-8") if info.is_file() else platform.processor()
    abilities = re.search(r"^(?:flags|Features)\s*:.*$", text, re.MULTILINE)
    return sha256((platform.machine() + (abilities[0] if abilities else text)).encode()).hexdigest()[:12]


def keep_freed_memory() -> bool:
    """Keep freed memory in the process, for the next rollout or update; True where glibc accepts that.

    By default glibc often returns it to the system, and each iteration allocates thousands of pages anew. Without
    effect on other C libraries. To be called after compilation, whose memory would be kept as well.
    """
    with suppress(OSError, AttributeError):
        mallopt = ctypes.CDLL(None).mallopt
        return bool(mallopt(_M_TRIM_THRESHOLD, _ALL) and mallopt(_M_MMAP_THRESHOLD, _MOST))
    return False


def note_use_of_jax() -> None:
    """Remember that JAX starts in this process, for `check_not_forked`."""
    _uses_jax.add(os.getpid())


def check_not_forked() -> None:
    """Raise RuntimeError in a process forked after JAX started, in which JAX would wait forever for its threads."""
    if _uses_jax - {os.getpid()}:
        raise RuntimeError(
            "JAX cannot work in a process forked from one in which it has started: start the process by spawn, such as "
            'with make_vec(…, vectorization_mode="async", vector_kwargs={"context": "spawn"}), or leave '
            "vectorization_mode out, which is faster."
        )


@contextmanager
def without(package: str) -> Iterator[None]:
    """Hide `package` from imports within the block, unless it is imported already.

    For libraries that import a large package only because it is installed.
    """
    absent = package not in sys.modules
    if absent:
        sys.modules[package] = None  # type: ignore[assignment]
    try:
        yield
    finally:
        if absent:
            del sys.modules[package]
