"""Shapes are enforced while tests run: every annotated function of the package checks its arrays."""

from collections.abc import Iterator

import jax
import pytest
from jaxtyping import install_import_hook

install_import_hook("safepursuit", "beartype.beartype")


@pytest.fixture(scope="module")
def float64() -> Iterator[None]:
    """Double precision for a module of numerical proofs: `pytestmark = pytest.mark.usefixtures("float64")`."""
    with jax.enable_x64(True):
        yield
