"""The game, the shield and the scripted players still do what they did (see golden.py)."""

import numpy as np
import pytest

from golden import CASES, FOLDER, STEPS, play


@pytest.mark.parametrize("name", CASES)
def test_trajectories_are_unchanged(name: str) -> None:
    kept = np.load(FOLDER / f"{name}.npz")
    now = play(CASES[name])
    assert len(kept["pursuer"]) == STEPS
    for part, values in now.items():
        # Rounding differs between processors and grows along a trajectory; a changed rule is far larger.
        np.testing.assert_allclose(
            values, kept[part], rtol=0, atol=1e-7, err_msg=f"{part}: make golden, if it is meant"
        )
