"""Build the sdist, from it the wheel, install that into an empty environment, and train, judge and export there.

`make smoke-wheel`. Nothing of the source tree is on the path of what runs, and nothing is left behind. Exit status 1
and the last words of whatever failed.
"""

import os
import shlex
import shutil
import subprocess
import sys
import tarfile
import tempfile
import venv
import zipfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
EXTRA = "export"
SESSION = (
    "safepursuit --version",
    "safepursuit train --method barriernet --timesteps 4096 --num-envs 32 --rollout-length 32 --run-dir run",
    "safepursuit evaluate run --episodes 20 --json evaluation.json",
    "safepursuit export run --out pursuer.onnx",
    "safepursuit check-export pursuer.onnx run --json comparison.json",
)
SHORT = "--timesteps 2048 --num-envs 32 --rollout-length 32"
EXPECTED = (
    "run/checkpoints/latest",
    "run/figures/learning_curves.png",
    "evaluation.json",
    "pursuer.onnx",
    "comparison.json",
)


def main() -> int:
    with tempfile.TemporaryDirectory(prefix="safepursuit-wheel-") as folder:
        try:
            wheel = built(Path(folder))
            checked(wheel)
            used(wheel, Path(folder))
        except subprocess.CalledProcessError as error:
            print(f"{shlex.join(map(str, error.cmd))}\n{error.stdout[-3000:]}", file=sys.stderr)
            return 1
        except AssertionError as error:
            print(error, file=sys.stderr)
            return 1
    print("the wheel trains, evaluates and exports in an empty environment.")
    return 0


def built(folder: Path) -> Path:
    """The wheel, made from what the sdist holds and nothing else."""
    python = environment(folder / "builder")
    run([python, "-m", "pip", "install", "--quiet", "hatchling>=1.25"], folder)
    run([python, "-m", "hatchling", "build", "--target", "sdist", "--directory", folder / "dist"], ROOT)
    (sdist,) = (folder / "dist").glob("*.tar.gz")
    with tarfile.open(sdist) as archive:
        archive.extractall(folder / "unpacked", filter="data")
    (source,) = (folder / "unpacked").iterdir()
    run([python, "-m", "hatchling", "build", "--target", "wheel", "--directory", folder / "dist"], source)
    (wheel,) = (folder / "dist").glob("*.whl")
    return wheel


def checked(wheel: Path) -> None:
    """What must be in the wheel is there, and what must not is not."""
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
        (metadata,) = (archive.read(one).decode() for one in names if one.endswith(".dist-info/METADATA"))
    for needed in ("safepursuit/py.typed", "safepursuit/report/comparison/templates/report.html"):
        assert needed in names, f"{needed} is not in the wheel."
    assert any(one.endswith("licenses/LICENSE") for one in names), "the licence is not in the wheel."
    strangers = [one for one in names if not one.startswith(("safepursuit/", "safepursuit-"))]
    assert not strangers, f"the wheel holds {strangers[0]}, which is not the package's."
    for line in ("Requires-Python: >=3.11", f"Provides-Extra: {EXTRA}", "License-Expression: Apache-2.0"):
        assert line in metadata, f"the wheel's metadata does not say {line!r}."
    for version in ("3.11", "3.12", "3.13"):
        assert f"Python :: {version}" in metadata, f"the wheel does not name Python {version}."


def used(wheel: Path, folder: Path) -> None:
    """A session of commands in an environment with the wheel, its requirements, and nothing else."""
    python = environment(folder / "empty")
    constraints = ROOT / "constraints.txt"
    run([python, "-m", "pip", "install", "--quiet", "--constraint", constraints, f"{wheel}[{EXTRA}]"], folder)
    work = folder / "work"
    work.mkdir()
    where = run([python, "-c", "import safepursuit; print(safepursuit.__file__)"], work)
    assert "site-packages" in where, f"safepursuit comes from {where}, not from the wheel."
    shutil.copytree(ROOT / "examples", work / "examples")
    plugins = [command for file in sorted((ROOT / "examples" / "plugins").glob("*.py")) for command in tried(file)]
    for command in (*SESSION, *plugins):
        program, *rest = shlex.split(command)
        print(f"$ {command}", flush=True)
        run([python.parent / program, *rest], work)
    for file in EXPECTED:
        assert (work / file).exists(), f"{file} was not written."


def tried(plugin: Path) -> list[str]:
    """The commands in a plugin's first lines, and what is done with its run; few steps each."""
    lines = plugin.read_text(encoding="utf-8").split('"""')[1].splitlines()
    train, *others = [line for line in lines if line.startswith("safepursuit ")]
    kept = f"runs/{plugin.stem}/plugins/{plugin.name}"
    return [
        f"{train} {SHORT} --run-dir runs/{plugin.stem}",
        f"safepursuit evaluate runs/{plugin.stem} --plugin {kept} --episodes 10",
        f"safepursuit render runs/{plugin.stem} --plugin {kept} --fps 2 --speed 10",
        f"safepursuit compare runs/{plugin.stem} --plugin {kept} --evaders run --episodes 4 --out with-{plugin.stem}",
        *(f"{line} --steps 20000" for line in others),
    ]


def environment(folder: Path) -> Path:
    """The interpreter of a new, empty environment."""
    venv.create(folder, with_pip=True)
    return folder / ("Scripts" if os.name == "nt" else "bin") / "python"


def run(command: list, folder: Path) -> str:
    """What the command prints; it knows nothing of this environment's packages."""
    outside = {
        name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV")
    }
    outside["PIP_DISABLE_PIP_VERSION_CHECK"] = "1"
    words = list(map(str, command))
    done = subprocess.run(
        words, cwd=folder, env=outside, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False
    )
    if done.returncode:
        raise subprocess.CalledProcessError(done.returncode, words, done.stdout)
    return done.stdout


if __name__ == "__main__":
    sys.exit(main())
