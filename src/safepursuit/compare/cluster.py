"""The jobs of a comparison on many machines, by Ray.

Everything is sent by value: a cell goes out with its policy and returns finished; a training goes out as its run
folder, returns after each of several parts and is stored here. No file system is shared, and with a machine one cell or
one part is lost, which Ray does again elsewhere. Every machine needs the same versions of this package and of JAX; a
processor of another make may round in another way.
"""

import logging
import pickle
import socket
from collections.abc import Sequence
from importlib.metadata import version
from typing import Any

from safepursuit import plugins
from safepursuit.compare import trainings
from safepursuit.compare.jobs import Job, TrainingJob, perform, settle_in
from safepursuit.compare.work import Event

RETRIES = 10
"""Times that a job is done again because its machine was lost."""

_AHEAD = 2
"""Jobs handed to Ray per core, so that no core waits for this process."""

_PATIENCE = 10.0
"""Seconds within which a cluster must answer."""


class RayCrew:
    """The cores of a Ray cluster, one job per core."""

    def __init__(self, address: str) -> None:
        """`address` as `ray.init` takes it; "local" starts Ray on this machine.

        Raises RuntimeError where Ray is not installed or no cluster answers.
        """
        try:
            import ray
        except ModuleNotFoundError:
            raise RuntimeError("--ray needs Ray: pip install 'safepursuit[cluster]'.") from None
        self._ray = ray
        self._started = not ray.is_initialized()
        if self._started:
            try:
                _knock(address)
                ray.init(address=address, log_to_driver=False, logging_level=logging.ERROR, include_dashboard=False)
            except (OSError, ValueError) as error:
                raise RuntimeError(f"no Ray cluster at {address}: {error}.") from None
        self._do = ray.remote(_do).options(num_cpus=1, max_retries=RETRIES)
        self._tasks: dict[Any, Job] = {}

    def choose(self, waiting: Sequence[Job]) -> Job | None:
        """Trainings first; Ray chooses where a job runs."""
        if len(self._tasks) >= max(1, _AHEAD * int(self._ray.cluster_resources().get("CPU", 0))):
            return None
        return next((job for job in waiting if isinstance(job, TrainingJob)), waiting[0])

    def give(self, job: Job) -> None:
        content = trainings.pack(job.folder) if isinstance(job, TrainingJob) else None
        self._tasks[self._do.remote(pickle.dumps(job), content, _versions(), plugins.loaded())] = job

    def events(self) -> list[Event]:
        if not self._tasks:
            return []
        ready, _ = self._ray.wait(list(self._tasks))
        return [self._concluded(self._tasks.pop(task), task) for task in ready]

    def _concluded(self, job: Job, task: Any) -> Event:
        try:
            kind, value = self._ray.get(task)
        except self._ray.exceptions.RayError as error:
            return Event(job, "failed", f"lost {RETRIES + 1} times: {str(error).splitlines()[0]}")
        if kind == "finished" and isinstance(job, TrainingJob):
            content, done, metrics = value
            trainings.replace(job.folder, content)
            if not done:
                self.give(job)
                return Event(job, "progress", metrics)
            value = None
        return Event(job, kind, value)

    def close(self) -> None:
        for task in self._tasks:
            self._ray.cancel(task, force=True)
        if self._started:
            self._ray.shutdown()


def _knock(address: str) -> None:
    """Raise OSError where nothing answers at host:port; Ray itself would try for minutes."""
    host, colon, port = address.rpartition("://")[2].rpartition(":")
    if colon:
        socket.create_connection((host, int(port)), timeout=_PATIENCE).close()


def _do(
    packed: bytes, content: bytes | None, expected: dict[str, str], needed: Sequence[plugins.Plugin]
) -> tuple[str, Any]:
    """Runs on the other machine. Errors of a job are returned; only the loss of a machine is tried again.

    The job is unpacked after the plugins are run of whose classes it is made.
    """
    if (found := _versions()) != expected:
        return "failed", f"a machine of the cluster has {found}, but this one {expected}: install the same there."
    settle_in()
    try:
        plugins.install(needed)
        return "finished", perform(pickle.loads(packed), lambda _: None) if content is None else trainings.train_part(
            content
        )
    except Exception as error:
        return "failed", str(error) or type(error).__name__


def _versions() -> dict[str, str]:
    return {name: version(name) for name in ("safepursuit", "jax", "jaxlib")}
