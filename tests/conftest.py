"""Shapes are enforced while tests run, but for `make fuzz`; what is compiled once is kept for all processes and for the
next run."""

import gc
import hashlib
import os
import platform
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import jax
import pytest
from hypothesis import HealthCheck, settings
from jaxtyping import install_import_hook

from browser import Browser, browser

if "FUZZ" not in os.environ:  # what is thrown at a surface meets what a user has
    install_import_hook("safepursuit", "beartype.beartype")

COMPILED = Path(os.environ.get("SAFEPURSUIT_TEST_CACHE", Path(__file__).parents[1] / ".jax_cache"))
"""Compiled programs, named by a hash of program, versions and flags: never stale. `make clean` removes them; another
folder, for a run with nothing compiled, is named by the environment."""

QUICKLY = (
    "--xla_backend_optimization_level=0 --xla_cpu_use_fusion_emitters=false --xla_cpu_parallel_codegen_split_count=1"
)
"""Flags of XLA: a test runs nearly every program once, and so compiles it in a sixth of the time. The environment's own
XLA_FLAGS come first: `XLA_FLAGS= pytest` tests with full effort."""

LARGEST = 1_000_000_000
"""Size [bytes] beyond which a new collection is begun."""

# No test depends on the speed of the machine.
settings.register_profile("timeless", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("timeless")

# Tracing leaves many objects that live long; looking through them again and again took a quarter of the time.
gc.set_threshold(100_000, 50, 1000)

MAPPINGS = 20_000
"""Memory mappings beyond which a process forgets its compiled programs."""


def processor() -> str:
    """Machine code is made for one processor, which JAX's hash does not contain: each has a folder of its own."""
    info = Path("/proc/cpuinfo")
    text = info.read_text(encoding="utf-8") if info.exists() else platform.processor()
    abilities = re.search(r"^(flags|Features)\s*:.*$", text, re.MULTILINE)
    known = platform.machine() + (abilities.group() if abilities else text)
    return hashlib.sha256(known.encode()).hexdigest()[:12]


def pytest_configure(config: pytest.Config) -> None:
    """Let JAX keep what it compiles; by the environment, too, for the processes that tests start."""
    is_worker = hasattr(config, "workerinput")
    if not is_worker and sum(file.stat().st_size for file in COMPILED.rglob("*")) > LARGEST:
        shutil.rmtree(COMPILED)
    if config.option.markexpr != "heavy":  # what runs long is worth optimising
        os.environ.setdefault("XLA_FLAGS", QUICKLY)
    for name, value in {
        "jax_compilation_cache_dir": str(COMPILED / processor()),
        "jax_persistent_cache_min_compile_time_secs": 0.0,
        "jax_persistent_cache_min_entry_size_bytes": -1,
        "jax_traceback_in_locations_limit": 0,  # programs that do not say where each operation comes from are smaller
    }.items():
        os.environ[name.upper()] = str(value)
        jax.config.update(name, value)


@pytest.fixture(scope="module")
def float64() -> Iterator[None]:
    """Double precision for a module of numerical proofs: `pytestmark = pytest.mark.usefixtures("float64")`."""
    with jax.enable_x64(True):
        yield


@pytest.fixture(params=[pytest.param(1, id="few"), pytest.param(10, id="many", marks=pytest.mark.heavy)])
def tenfold(request: pytest.FixtureRequest) -> int:
    """What a proof by random cases multiplies their number by: 1, and 10 among the long proofs."""
    return request.param


@pytest.fixture(scope="session")
def chromium(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    """One browser for all tests of a process."""
    with browser(tmp_path_factory.mktemp("profile")) as one:
        yield one


@pytest.fixture(scope="module")
def tab(chromium: Browser) -> Iterator[Browser]:
    """Its tab, which has seen nothing before a module and shows nothing after it."""
    chromium.troubles.clear()
    chromium.requests.clear()
    yield chromium
    chromium.open("about:blank", 1280)


@pytest.fixture
def plugins_forgotten() -> Iterator[None]:
    """Whatever plugins register in a test is gone after it."""
    from safepursuit import plugins

    before = {name: dict(registry) for name, registry in plugins.REGISTRIES.items()}
    known = dict(plugins._LOADED)
    yield
    for name, registry in plugins.REGISTRIES.items():
        registry.clear()
        registry.update(before[name])
    plugins._LOADED.clear()
    plugins._LOADED.update(known)


@pytest.fixture(scope="module", autouse=True)
def room_for_programs() -> Iterator[None]:
    """Forget compiled programs before they are too many.

    Each takes some of the 65,530 memory mappings that Linux gives a process; at the end of them XLA crashes.
    """
    yield
    maps = Path("/proc/self/maps")
    if maps.exists() and len(maps.read_bytes().splitlines()) > MAPPINGS:
        jax.clear_caches()
        gc.collect()
