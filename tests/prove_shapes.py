"""Distances, normals and first hits of edges against shapely: python tests/prove_shapes.py CASES."""

import sys

import jax

import test_rooms

EACH = {
    test_rooms.test_distances_and_normals_are_those_of_shapely: 4_000,
    test_rooms.test_first_hits_are_those_of_shapely: 2_000,
}
"""Proofs, and their cases as tests."""


def main() -> None:
    cases = int(sys.argv[1])
    with jax.enable_x64(True):
        for proof, own in EACH.items():
            times = -(-cases // own)
            proof(times)
            said = proof.__name__.removeprefix("test_").replace("_", " ")
            print(f"{said}, within 1e-9: {times * own:,} random cases, degenerate ones among them", flush=True)


if __name__ == "__main__":
    main()
