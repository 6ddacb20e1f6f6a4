"""What the documents show can be done: every command is a command, every example runs, every link leads somewhere."""

import importlib
import re
import shlex
import tomllib
from dataclasses import replace
from functools import cache
from pathlib import Path

import pytest
import yaml

from safepursuit.cli import COMMANDS, main
from safepursuit.evaluation import evaluate
from safepursuit.learn import BarrierNetTrainer
from safepursuit.policy import HEADS
from tiny import TINY, aimed, few

pytestmark = pytest.mark.usefixtures("plugins_forgotten")

ROOT = Path(__file__).resolve().parents[1]
DOCUMENTS = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *(ROOT / "benchmarks").glob("*.md")])
KINDS = {"bash", "sh", "python", "text", "json", "yaml", "bibtex"}


def blocks(document, *kinds):
    """The fenced blocks of these languages."""
    found = re.findall(r"^```(\w*)\n(.*?)^```$", document.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    assert all(kind in KINDS for kind, _ in found), f"{document}: name the language of every block"
    return [text for kind, text in found if kind in kinds]


def commands():
    """The words of every line of every shell block, with its document; comments left out."""
    lines = [
        (document, shlex.split(line, comments=True))
        for document in DOCUMENTS
        for block in blocks(document, "bash", "sh")
        for line in block.replace("\\\n", " ").splitlines()
    ]
    return [(document, words) for document, words in lines if words]


EXAMPLES = ["README.md", *(f"docs/{name}.md" for name in ("quick-start", "game", "guarantee", "benchmark"))]
"""Documents whose examples run as they stand, one after the other."""

COMMAND_LINES = [pytest.param(words, id=f"{document.name}: {shlex.join(words)}") for document, words in commands()]


@cache
def targets():
    return set(re.findall(r"^([a-z0-9-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))


@cache
def extras():
    with (ROOT / "pyproject.toml").open("rb") as file:
        return set(tomllib.load(file)["project"]["optional-dependencies"])


def test_the_documents_are_there():
    names = {document.relative_to(ROOT).as_posix() for document in DOCUMENTS}
    assert names >= {"ARCHITECTURE.md", "CONTRIBUTING.md", "CHANGELOG.md", "docs/theory.md", *EXAMPLES}
    shown = [words for _, words in commands()]
    assert len(shown) >= 10
    assert ["make", "demo"] in shown
    assert ["make", "test"] in shown


@pytest.mark.parametrize("words", COMMAND_LINES)
def test_every_command_that_is_shown_can_be_typed(words, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # a command must not depend on what happens to lie about, but on what the project holds
    (tmp_path / "configs").symlink_to(ROOT / "configs")
    (tmp_path / "examples").symlink_to(ROOT / "examples")
    program, *rest = words
    program = program.removeprefix(".venv/bin/")
    if program == "make":
        names = [word for word in rest if "=" not in word]
        assert names
        assert set(names) <= targets()
    elif program == "safepursuit":
        assert rest[0] in COMMANDS
        if rest[0] == "train":
            assert main([*rest, "--dry-run"]) == 0, capsys.readouterr().err
            assert yaml.safe_load(capsys.readouterr().out)["timesteps"] > 0
        else:
            assert main([rest[0], "--help"]) == 0
            usage = capsys.readouterr().out
            for flag in [word.split("=")[0] for word in rest if word.startswith("--")]:
                assert re.search(rf"{flag}[ ,]", usage), flag
    elif program == "pip":
        assert rest[0] == "install"
        assert set(re.findall(r"[a-z]+", rest[1].partition("[")[2])) <= extras()
    elif program == "python":
        assert (ROOT / rest[0]).is_file()
    else:
        assert words in (["source", ".venv/bin/activate"],), f"nobody knows whether {words} works"


COMPILED = "timesteps=512, num_envs=1, rollout_length=128"
SHORTER = {
    "timesteps=200_000, num_envs=64": COMPILED,
    "timesteps=2_048, num_envs=64, rollout_length=16": COMPILED,
    "timesteps=2 * 16 * 16, num_envs=16, rollout_length=16": COMPILED,
    "episodes=200": "episodes=9",
}
"""All trainings and evaluations are those of tests/test_cli.py, whose programs are compiled already."""


def run_examples(document):
    """All examples of a document, as they stand but for the length of their trainings."""
    examples = blocks(ROOT / document, "python")
    assert examples
    for number, example in enumerate(examples):
        for shown, shorter in SHORTER.items():
            example = example.replace(shown, shorter)
        exec(compile(example, f"{document}, python block {number + 1}", "exec"), {"__name__": "example"})


@pytest.mark.parametrize("document", few(EXAMPLES))
def test_the_examples_run(document, capsys, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    run_examples(document)
    printed = capsys.readouterr().out
    assert printed
    if document == "README.md":
        assert all(shown in (ROOT / document).read_text(encoding="utf-8") for shown in SHORTER)
        assert "True" in printed  # the safety layer intervened
        assert len(printed.splitlines()) >= 2
    assert list(tmp_path.iterdir()) == []  # without a run folder nothing is written


@pytest.mark.wide
def test_the_examples_of_the_adapters_run(capsys):
    pytest.importorskip("torch")
    run_examples("docs/interoperability.md")
    assert "torch.Size([64, 3, 2])" in capsys.readouterr().out


@pytest.mark.wide
def test_the_example_head_needs_its_file_and_one_line(monkeypatch, tmp_path):
    """It trains, is judged behind every layer, and never touches anything."""
    example, *_ = blocks(ROOT / "docs" / "methods.md", "python")
    assert len(example.splitlines()) <= 36
    (tmp_path / "ray_mask.py").write_text(example, encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setitem(HEADS, "ray-mask", importlib.import_module("ray_mask").RayMaskHead)

    config = replace(TINY, method="ray-mask")
    trainer = BarrierNetTrainer(config)
    assert not config.rules.collision_terminates
    assert trainer.train()["collisions"] == 0
    # Straight on at full speed in a small arena: without a layer it hits what there is.
    blind, longer = aimed(trainer.policy, (3.0, 0.0)), replace(config, game=replace(config.game, horizon=200))
    found = {one: evaluate(blind, longer, episodes=20, layer=one).result for one in ("as-trained", "off")}
    assert found["off"]["collision"]["count"] > 0
    assert found["as-trained"]["intervention_rate"] > 0
    assert found["as-trained"]["collision"]["count"] == 0


def test_names_in_the_public_api():
    for name in ("collect_rollout", "train", "get_training_summary", "load", "save"):
        assert callable(getattr(BarrierNetTrainer, name))


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_every_link_leads_somewhere(document):
    text = re.sub(r"^```.*?^```$", "", document.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if not re.match(r"[a-z]+:", target):  # within the repository
            assert (document.parent / target.split("#")[0]).exists(), target


def test_every_target_that_make_help_promises_exists():
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    (phony,) = re.findall(r"^\.PHONY: (.*)$", makefile, re.MULTILINE)
    assert set(phony.split()) == targets()
    assert (ROOT / ".ci" / "run").read_text(encoding="utf-8").rstrip().endswith("make test\nmake test-wide")
    test = re.search(r"^test:.*\n((?:\t.*\n)+)", makefile, re.MULTILINE)
    assert re.search(r" docs( |$)", test.group(1), re.MULTILINE)  # the site is built, and a warning is an error


def test_the_site_has_every_document():
    """What is not in mkdocs.yml would be missing from the site's navigation (the build itself checks the links)."""
    navigation = (ROOT / "mkdocs.yml").read_text(encoding="utf-8").split("\nnav:\n")[1]
    listed = set(re.findall(r"[\w/-]+\.md", navigation))
    assert {document.relative_to(ROOT / "docs").as_posix() for document in (ROOT / "docs").rglob("*.md")} <= listed
