"""Comparisons on a Ray cluster of several nodes on this machine: `make test-cluster`."""

import numpy as np
import pytest

from safepursuit.cli import main
from safepursuit.compare import Settings, carry_out, from_methods, from_pursuers, named, prepare, undone
from safepursuit.compare.cluster import RayCrew
from test_compare import COMMAND, CONFIG, Bomb, Here, figures, job, state_of

pytestmark = [pytest.mark.cluster, pytest.mark.filterwarnings("ignore")]

STORE = 100_000_000
"""Bytes of the object store of each node."""

SETTINGS = Settings(evaders=("random", "run"), episodes=3)


def compare(out, crew, observers=()):
    runs = from_methods(["ppo"], [CONFIG.seed, CONFIG.seed + 1], CONFIG, out)
    contenders = named(runs, out) + from_pursuers(["pure-pursuit"])
    left = undone(prepare(contenders, SETTINGS, out, ""), out)
    return carry_out(*left, crew, out, COMMAND, observers)


@pytest.fixture(scope="module")
def local(tmp_path_factory):
    """The same comparison in this process."""
    out = tmp_path_factory.mktemp("local")
    assert compare(out, Here()) == []
    return out


def patiently(start, tries=5):
    """Ray gives a node 30 s to start, which may be too short on a machine with other load."""
    try:
        return start()
    except Exception as error:
        if tries == 1 or "timed out during startup" not in str(error):
            raise
        return patiently(start, tries - 1)


def join(cluster):
    """One more node of one core."""
    patiently(lambda: cluster.add_node(num_cpus=1, object_store_memory=STORE))


@pytest.fixture
def cluster():
    """A head that does no work, and two nodes of one core each."""
    ray = pytest.importorskip("ray", reason="install the extra safepursuit[cluster]")
    from ray.cluster_utils import Cluster

    head = {"num_cpus": 0, "object_store_memory": STORE, "include_dashboard": False}
    made = patiently(lambda: Cluster(initialize_head=True, head_node_args=head))
    for _ in range(2):
        join(made)
    yield made
    ray.shutdown()
    made.shutdown()


class Sabotage:
    """Takes the first node away after the first message, and the second one, with a new one in its place, later."""

    def __init__(self, cluster, graceful):
        self.cluster, self.graceful, self.heard = cluster, graceful, 0
        self.victims = list(cluster.worker_nodes)

    def __call__(self, event):
        if event.kind == "started":
            return
        self.heard += 1
        if self.heard == 1:
            self.cluster.remove_node(self.victims[0], allow_graceful=self.graceful)
        if self.heard == 3:
            join(self.cluster)
            self.cluster.remove_node(self.victims[1], allow_graceful=self.graceful)


@pytest.mark.parametrize("graceful", [True, False], ids=["leaves", "dies"])
def test_a_comparison_outlives_its_nodes_and_equals_the_local_one(local, cluster, tmp_path, graceful):
    sabotage = Sabotage(cluster, graceful)
    assert compare(tmp_path, RayCrew(cluster.address), [sabotage]) == []
    assert not set(sabotage.victims) & set(cluster.worker_nodes)
    assert sabotage.heard >= 4
    assert figures(tmp_path) == figures(local)
    assert len(figures(tmp_path)) == 6
    for seed in (CONFIG.seed, CONFIG.seed + 1):
        once, again = state_of(local, seed), state_of(tmp_path, seed)
        for name, value in once.items():
            np.testing.assert_array_equal(again[name], value, err_msg=name)


def test_failures_come_back_as_sentences(cluster, tmp_path):
    crew = RayCrew(cluster.address)
    try:
        for one in (job("cat", "voronoi"), job("flee", Bomb(3))):
            assert crew.choose([one]) is one
            crew.give(one)
        told = [*crew.events()]
        while len(told) < 2:
            told += crew.events()
    finally:
        crew.close()
    found = {event.job.cell.evader: event for event in told}
    assert {event.kind for event in told} == {"failed"}
    assert found["cat"].value.startswith("unknown evader 'cat'")
    assert "lost" in found["flee"].value


def test_no_cluster_is_one_sentence(capsys, tmp_path):
    pytest.importorskip("ray", reason="install the extra safepursuit[cluster]")
    words = ["compare", "--pursuers", "voronoi", "--evaders", "random", "--out", str(tmp_path / "out")]
    assert main([*words, "--ray", "127.0.0.1:1"]) == 1
    told = capsys.readouterr().err
    assert told.startswith("safepursuit: no Ray cluster at 127.0.0.1:1")
    assert told.count("\n") == 1
