"""Processes on this machine that do the jobs of a comparison, one per core.

Every worker is a process of its own behind a pipe of its own, so that with a process only its job is lost. (A pool of
`concurrent.futures` or loky breaks as a whole and does not say which job it was.) A worker gets jobs of one shape as
long as there are any, because their programs are compiled already.
"""

import contextlib
import multiprocessing
import multiprocessing.connection
import os
import signal
import sys
import threading
import traceback
from collections.abc import Hashable, Sequence
from multiprocessing.connection import Connection
from pathlib import Path

import jax

from safepursuit import plugins
from safepursuit.compare.jobs import Job, TrainingJob, perform, settle_in
from safepursuit.compare.work import Event
from safepursuit.process import usable_cores

_SPAWN = multiprocessing.get_context("spawn")
_PATIENCE = 5.0
"""Seconds that a worker is given to stop."""


class _Worker:
    """One process, started when it is first needed, and again after it ended."""

    def __init__(self, log: Path) -> None:
        self.log = log
        self.job: Job | None = None
        self.shape: Hashable = None
        """Of its latest job."""
        self.process: multiprocessing.process.BaseProcess | None = None
        self.connection: Connection

    def give(self, job: Job) -> None:
        if self.process is None or not self.process.is_alive():
            self.connection, theirs = _SPAWN.Pipe()
            self.process = _SPAWN.Process(target=_serve, args=(theirs, self.log, plugins.loaded()), daemon=True)
            self.process.start()
            theirs.close()
        self.connection.send(job)
        self.job, self.shape = job, job.shape

    def event(self) -> Event:
        """The next event of its job."""
        assert self.job is not None
        assert self.process is not None
        job = self.job
        try:
            kind, value = self.connection.recv()
        except (EOFError, OSError):
            self.process.join(_PATIENCE)
            kind, value = "failed", _cause(self.process.exitcode, self.log)
            self.shape = None
        if kind != "progress":
            self.job = None
        return Event(job, kind, value)


class LocalCrew:
    """Workers on this machine."""

    def __init__(self, workers: int | None, logs: Path) -> None:
        """By default one worker per core that this process may use. What they print goes to files in `logs`."""
        self._logs = logs
        self._workers = [_Worker(logs / f"worker-{number}.log") for number in range(workers or usable_cores())]

    def choose(self, waiting: Sequence[Job]) -> Job | None:
        """Trainings first; of those, or of the cells, one that a free worker has compiled, else one that none has."""
        free = {worker.shape for worker in self._workers if worker.job is None}
        if not free:
            return None
        candidates = [job for job in waiting if isinstance(job, TrainingJob)] or waiting
        running = {worker.shape for worker in self._workers if worker.job is not None}
        ranked = ((job.shape not in free, job.shape in running, place) for place, job in enumerate(candidates))
        return candidates[min(ranked)[-1]]

    def give(self, job: Job) -> None:
        free = [worker for worker in self._workers if worker.job is None]
        # A worker that has compiled nothing is taken before one that has compiled another shape.
        min(free, key=lambda worker: (worker.shape != job.shape, worker.shape is not None)).give(job)

    def events(self) -> list[Event]:
        running = [worker for worker in self._workers if worker.job is not None]
        ready = multiprocessing.connection.wait([worker.connection for worker in running]) if running else []
        return [worker.event() for worker in running if worker.connection in ready]

    def close(self) -> None:
        processes = [worker.process for worker in self._workers if worker.process is not None]
        for process in processes:
            process.terminate()
        for process in processes:
            process.join(_PATIENCE)
            if process.is_alive():
                process.kill()
                process.join()
        for worker in self._workers:
            with contextlib.suppress(OSError):
                if worker.log.stat().st_size == 0:
                    worker.log.unlink()
        with contextlib.suppress(OSError):
            self._logs.rmdir()


def _cause(status: int | None, log: Path) -> str:
    """Why a worker ended."""
    if status is not None and status < 0:
        name = signal.Signals(-status).name
        hint = " (out of memory?)" if name == "SIGKILL" else ""
        return f"its process was ended by {name}{hint}; what it printed is in {log}."
    return f"its process stopped with exit status {status}; what it printed is in {log}."


def _serve(connection: Connection, log: Path, needed: Sequence[plugins.Plugin]) -> None:
    """What a worker runs: jobs in, messages out, until the other side is gone."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the process that hands out the jobs
    threading.Thread(target=_end_with_parent, daemon=True).start()
    _print_to(log)
    settle_in()
    plugins.install(needed)  # before a job that is made of their classes is unpacked
    shape: Hashable = None
    while True:
        try:
            job = connection.recv()
        except EOFError:
            return
        if job.shape != shape:
            shape = job.shape
            jax.clear_caches()  # programs of another shape, tens of megabytes each, are not needed again soon
        try:
            value = perform(job, lambda metrics: connection.send(("progress", dict(metrics))))
        except Exception as error:
            traceback.print_exc()
            connection.send(("failed", str(error) or type(error).__name__))
        else:
            connection.send(("finished", value))


def _end_with_parent() -> None:
    """End when the process that writes the results ends."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _print_to(log: Path) -> None:
    """Send everything that is printed, also by compiled code, to a file."""
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("a", encoding="utf-8") as file:
        for stream in (sys.stdout, sys.stderr):
            stream.flush()
            os.dup2(file.fileno(), stream.fileno())
