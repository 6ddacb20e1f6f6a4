"""Recordings as MCAP, read back by a reader of our own from the format's specification (mcap.dev/spec)."""

import json
import struct
import sys
from dataclasses import replace

import numpy as np
import pytest

from replays import crowded
from safepursuit import adapters
from safepursuit.cli import evaluate, main
from safepursuit.evaluation.metrics import verdict
from safepursuit.play.recording import save
from safepursuit.runs import configuration
from safepursuit.runs.folder import RunFolder
from tiny import TINY

pytest.importorskip("mcap")
zstandard = pytest.importorskip("zstandard")

from safepursuit.adapters import mcap  # noqa: E402

MAGIC = b"\x89MCAP0\r\n"
SCHEMA, CHANNEL, MESSAGE, CHUNK = 3, 4, 5, 6


def records(data):
    """Opcode and content of every whole record."""
    at = 0
    while at + 9 <= len(data):
        opcode, size = struct.unpack_from("<BQ", data, at)
        at += 9
        if at + size > len(data):
            return
        yield opcode, data[at : at + size]
        at += size


def text(data, at):
    (size,) = struct.unpack_from("<I", data, at)
    return data[at + 4 : at + 4 + size].decode(), at + 4 + size


def read(data):
    """Messages (topic, time, content) of a file, whole or cut, and the schemas by topic."""
    assert data[:8] == MAGIC[: len(data)]
    channels, schemas, messages = {}, {}, []

    def take(stream):
        for opcode, content in records(stream):
            if opcode == CHUNK:
                compression, at = text(content, 28)
                (size,) = struct.unpack_from("<Q", content, at)
                assert compression == "zstd"
                take(zstandard.ZstdDecompressor().decompress(content[at + 8 : at + 8 + size]))
            elif opcode == SCHEMA:
                schemas[struct.unpack_from("<H", content)[0]] = text(content, 2)[0]
            elif opcode == CHANNEL:
                number, schema = struct.unpack_from("<HH", content)
                channels[number] = text(content, 4)[0], schemas[schema]
            elif opcode == MESSAGE:
                number, _, time, _ = struct.unpack_from("<HIQQ", content)
                messages.append((channels[number][0], time, json.loads(content[22:])))

    take(data[8:])
    return messages, dict(channels.values())


@pytest.fixture(scope="module")
def recording():
    found = crowded(2, steps=60)
    found.pursuer[1, found.length[1]] = np.nan  # an invalid end
    edges = np.array([[[0.0, 1.0, 2.0, 3.0], [np.nan] * 4]] * 2)
    return replace(found, outcome=np.array(["timeout", "invalid"]), edges=edges)


@pytest.fixture(scope="module")
def data(recording, tmp_path_factory):
    file = tmp_path_factory.mktemp("mcap") / "episodes.mcap"
    mcap.save(recording, file, [7, 3])
    return file.read_bytes()


def test_the_same_numbers_come_back(recording, data):
    messages, schemas = read(data)
    assert schemas == mcap.TOPICS
    assert [time for _, time, _ in messages] == sorted(time for _, time, _ in messages)
    topics = {topic: [one for name, _, one in messages if name == topic] for topic in schemas}
    stood = np.arange(61) <= recording.length[:, None]
    played = stood[:, 1:]
    for robot in ("pursuer", "evader"):
        poses = [one["pose"] for one in topics[f"/{robot}/pose"]]
        found = [(one["position"]["x"], one["position"]["y"]) for one in poses]
        np.testing.assert_array_equal(np.array(found, float), getattr(recording, robot)[stood][:, :2])
        turns = np.array([(one["orientation"]["z"], one["orientation"]["w"]) for one in poses], float)
        headings = np.angle(np.exp(1j * getattr(recording, robot)[stood][:, 2]))
        np.testing.assert_allclose(2 * np.arctan2(*turns.T), headings, atol=1e-12)
        twists = [(one["speed"], one["turn_rate"]) for one in topics[f"/{robot}/twist"]]
        np.testing.assert_array_equal(twists, getattr(recording, f"{robot}_control")[played])
    safety = topics["/safety"]
    np.testing.assert_array_equal([one["correction"] for one in safety], recording.correction[played])
    clearance = np.array([one["clearance"] for one in safety], float)
    np.testing.assert_array_equal(clearance, verdict(recording).clearance[played])
    active = np.zeros((len(safety), recording.active.shape[-1]), bool)
    for row, one in zip(active, safety, strict=True):
        row[one["active"]] = True
    np.testing.assert_array_equal(active, recording.active[played])
    assert [one["episode"] for one in topics["/episode"]] == [7, 3]
    arena = topics["/scene"][0]["entities"][0]
    discs, (_, edges) = arena["cylinders"], arena["lines"]
    assert [(one["x"], one["y"]) for one in edges["points"]] == [(0, 1), (2, 3)]
    np.testing.assert_allclose([one["size"]["x"] / 2 for one in discs], recording.discs[0, :, 2])


def test_the_library_reads_it_too(data, tmp_path):
    import io

    from mcap.reader import make_reader

    ours, _ = read(data)
    theirs = [
        (channel.topic, message.log_time, json.loads(message.data))
        for _, channel, message in make_reader(io.BytesIO(data)).iter_messages(log_time_order=False)
    ]
    assert theirs == ours


def test_what_lies_before_a_cut_is_readable(data):
    whole, _ = read(data)
    ends = []
    for cut in range(8, len(data), 997):
        found, _ = read(data[:cut])
        assert found == whole[: len(found)]
        ends.append(len(found))
    assert ends == sorted(ends)
    # No more than one chunk is lost: so many bytes of messages as it may hold, and one more message.
    sizes = np.cumsum([len(json.dumps(one)) for _, _, one in whole])
    chunks = sorted(set(ends))
    held = np.diff([0, *(sizes[end - 1] for end in chunks if end)])
    assert len(chunks) > 3
    assert held.max() < 2 * 64 * 1024


def test_evaluate_writes_what_the_name_says(tmp_path, monkeypatch, capsys):
    assert evaluate._saver(tmp_path / "a.MCAP") is mcap.save
    assert evaluate._saver(tmp_path / "a.npz") is evaluate._saver(None) is save
    run = RunFolder.create(tmp_path / "run", configuration.dump(TINY), ["safepursuit"])
    monkeypatch.setitem(sys.modules, "mcap.writer", None)
    monkeypatch.delitem(sys.modules, "safepursuit.adapters.mcap")
    monkeypatch.delattr(adapters, "mcap")
    assert main(["evaluate", str(run.path), "--record", str(tmp_path / "a.mcap")]) == 1
    assert "safepursuit[mcap]" in capsys.readouterr().err  # told before anything is played
