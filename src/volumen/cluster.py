"""Cluster: processes that share work, on this machine or behind a dask scheduler; the one user of distributed."""

from __future__ import annotations

import importlib
import logging
import multiprocessing
import os
import sys
import uuid
from contextlib import contextmanager
from dataclasses import dataclass, replace
from importlib.metadata import PackageNotFoundError, version
from itertools import chain, count, islice
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from volumen.allocator import tune_allocator
from volumen.errors import ClusterError, MissingExtraError
from volumen.events import Warned

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable, Iterator, Sequence

Item = TypeVar("Item")
Made = TypeVar("Made")

_AHEAD = 2  # items a thread of a worker that are handed out: one being worked on, one waiting
_CONNECT_SECONDS = 30
_SILENT_SECONDS = 10  # after which a person is told that no worker has come yet
_DEATHS = 3  # workers that may die of one item, beyond the first, whenever it is handed out: the usual bound
_IN_VAIN = 3  # times that an item is handed out and dies while no other is finished, once any was


@dataclass(frozen=True, eq=False)
class Cluster:
    """Workers that are ready to be given work, or will be.

    Parameters
    ----------
    client
        Of dask.distributed, connected.
    address
        Of the scheduler.
    """

    client: Any
    address: str

    @property
    def threads(self) -> int:
        """How many items are worked on at a time by the workers that are there now; 1 before the first has come.

        Raises
        ------
        ClusterError
            The scheduler is lost.
        """
        try:
            threads: int = sum(self.client.nthreads().values())
        except OSError as error:
            raise self._lost() from error
        return max(1, threads)

    def arrive(self) -> Iterator[Warned]:
        """Wait for the first worker, and see that it has this version of volumen.

        Raises
        ------
        ClusterError
            It has another, or none.
        """
        future = self.client.submit(version, "volumen", pure=False)
        try:
            try:
                theirs = self._result(future, "asking for its version", timeout=_SILENT_SECONDS)
            except TimeoutError:
                yield Warned(message=f"No worker has come to the scheduler at {self.address} yet; waiting for one.")
                theirs = self._result(future, "asking for its version")
        except PackageNotFoundError as error:
            raise ClusterError(
                f"The workers of {self.address} have no volumen; install the same version where they run."
            ) from error
        if theirs != version("volumen"):
            raise ClusterError(
                f"The workers of {self.address} have volumen {theirs}, this is {version('volumen')}; install the same."
            )

    def ask(self, function: Callable[..., Made], *arguments: Any) -> Made:
        """Return what a function says on one of the workers."""
        answer: Made = self._result(self.client.submit(function, *arguments, pure=False), function.__name__)
        return answer

    def spread(
        self, work: Callable[[Item], Made], items: Iterable[Item], *, name: Callable[[Item], str] = str
    ) -> Generator[tuple[Item, Made]]:
        """Have every item worked on by some worker; yield each with what was made of it, in the order of completion.

        A few items a worker are under way at a time, the first first. One whose worker died is given to another by the
        scheduler, a few times; and again by us, after all others, as long as anything else gets finished meanwhile:
        workers that are killed from outside are not the item's fault, nor is it that of those that waited behind it.
        Closing the generator takes back what no worker has begun; on a cluster of others, what is begun is ended.

        Parameters
        ----------
        work
            From a module that workers can import, or an instance of a class that is; not from a script.
        items
            Such as can be pickled.
        name
            What an item is called in errors.

        Raises
        ------
        ClusterError
            The scheduler is lost, or an item cost more workers than it may.
        """
        ready = _distributed().as_completed(loop=self.client.loop)
        fresh, again = map(_Handed, items), list[_Handed[Item]]()
        under_way: dict[Any, _Handed[Item]] = {}
        job, numbers, finished = uuid.uuid4().hex, count(), 0
        try:
            while True:
                room = max(0, _AHEAD * self.threads - len(under_way))
                for handed, index in zip(islice(chain(fresh, _drained(again)), room), numbers, strict=False):
                    future = self.client.submit(
                        work, handed.item, key=f"volumen-{job}-{index}", pure=False, priority=-index
                    )
                    under_way[future] = replace(handed, finished=finished)
                    ready.add(future)
                if not under_way:
                    return
                for future in ready.next_batch():  # what died together comes together
                    handed = under_way.pop(future).came_back(finished)
                    if _killed(future) and finished and handed.in_vain < _IN_VAIN:
                        again.append(handed)
                    else:
                        yield handed.item, self._result(future, name(handed.item), times=max(1, handed.in_vain))
                        finished += 1
        finally:
            if self.client.status == "running":
                self.client.cancel(list(under_way))

    def _lost(self) -> ClusterError:
        return ClusterError(
            f"The scheduler at {self.address} was lost. What was finished is kept; run the same command again "
            "with --resume."
        )

    def _result(self, future: Any, what: str, timeout: float | None = None, times: int = 1) -> Any:
        try:
            return future.result(timeout=timeout)
        except _distributed().KilledWorker as error:
            raise ClusterError(
                f"{times * (error.allowed_failures + 1)} workers died, one after the other, of the same work: {what}. "
                "Most often they had too little memory: give each more, or take smaller tiles or --memory-gb. What was "
                "finished is kept; run the same command again with --resume."
            ) from error
        except _distributed().CancelledError as error:
            raise self._lost() from error


@dataclass(frozen=True)
class _Handed(Generic[Item]):
    """An item, how many others were finished when it was handed out, and how often it came back in vain."""

    item: Item
    finished: int = 0
    in_vain: int = 0

    def came_back(self, finished: int) -> _Handed[Item]:
        """Return what is known when it came back, and so many are finished."""
        return replace(self, in_vain=self.in_vain + 1 if finished == self.finished else 0)


def _drained(items: list[Item]) -> Iterator[Item]:
    """Take the last first: of what died together, what only waited behind the culprit comes before it then."""
    while items:
        yield items.pop()


def _killed(future: Any) -> bool:
    return future.status == "error" and isinstance(future.exception(), _distributed().KilledWorker)


@contextmanager
def open_cluster(
    scheduler: str | None, workers: int | None, *, gpus: int = 0, needs: Sequence[str] = ()
) -> Iterator[Cluster | None]:
    """Connect to a scheduler, or start processes of one thread each on this machine; None where neither is asked for.

    Parameters
    ----------
    scheduler
        Address such as ``tcp://10.0.0.4:8786``.
    workers
        Number of processes to start; they end with this.
    gpus
        CUDA devices of this machine: each process sees one of them, in turn.
    needs
        Modules that the work of these processes imports.

    Raises
    ------
    ClusterError
        Nobody answers at the address.
    MissingExtraError
        The package distributed is not installed.
    """
    if scheduler is None and workers is None:
        yield None
        return
    distributed = _distributed()
    if workers is None:
        try:
            client = distributed.Client(scheduler, timeout=_CONNECT_SECONDS, set_as_default=False)
        except (OSError, ValueError, TypeError) as error:  # in vain, no address, and an address with no port
            raise ClusterError(
                f"No scheduler answers at {scheduler} ({type(error).__name__}); see that it runs, and give the address "
                "that it printed, such as tcp://10.0.0.4:8786."
            ) from error
        with client:
            yield Cluster(client, str(scheduler))
        return
    with (
        _silent(),
        _environment_kept(),
        _lasting(needs),
        distributed.SpecCluster(
            scheduler={
                "cls": distributed.Scheduler,
                "options": {
                    "host": "127.0.0.1",
                    "port": 0,
                    "dashboard_address": "127.0.0.1:0",
                    "allowed_failures": _DEATHS,
                },
            },
            workers={index: _process(distributed, index, gpus) for index in range(workers)},
            silence_logs=logging.CRITICAL,
        ) as local,
        distributed.Client(local, set_as_default=False) as client,
    ):
        yield Cluster(client, local.scheduler_address)


def dask_setup(worker: object) -> None:
    """Make a dask worker's process fit for networks on a CPU: ``dask worker ADDRESS --preload volumen.cluster``."""
    tune_allocator()


def _process(distributed: Any, index: int, gpus: int) -> dict[str, Any]:
    """Return how to start a worker, and again if it dies."""
    seen = os.environ.get("CUDA_VISIBLE_DEVICES", ",".join(map(str, range(gpus)))).split(",")
    threads = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")
    options = {
        "nthreads": 1,
        "memory_limit": 0,
        "dashboard": False,
        "preload": ["volumen.cluster"],
        "env": {**threads, **({"CUDA_VISIBLE_DEVICES": seen[index % gpus]} if gpus else {})},
        "silence_logs": logging.CRITICAL,
    }
    return {"cls": distributed.Nanny, "options": options}


@contextmanager
def _silent() -> Iterator[None]:
    """Keep the logs of a cluster of our own to errors of its own: what matters of them is raised here."""
    logger = logging.getLogger("distributed")
    before = logger.level
    logger.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        logger.setLevel(before)


@contextmanager
def _environment_kept() -> Iterator[None]:
    """Take back what distributed puts into our own environment for its workers, such as one thread for each library."""
    before = dict(os.environ)
    try:
        yield
    finally:
        for name in set(os.environ) - set(before):
            del os.environ[name]
        os.environ.update(before)


@contextmanager
def _lasting(needs: Sequence[str]) -> Iterator[None]:
    """Have workers that die started again quickly, and for as long as they die.

    On Linux they are forked from a process that has imported what they need, so that only the first start takes long.
    And none is given up for good because it is just being started when distributed looks for it.
    """
    chosen, forked = {"distributed.deploy.lost-worker-timeout": "100 days"}, sys.platform == "linux"
    if forked:
        chosen["distributed.worker.multiprocessing-method"] = "forkserver"
    with importlib.import_module("dask.config").set(chosen):
        if forked:
            importlib.import_module("distributed.utils").get_mp_context()  # once, it chooses what to import itself
            multiprocessing.get_context("forkserver").set_forkserver_preload(["distributed", __name__, *needs])
        yield


def _distributed() -> Any:
    try:
        return importlib.import_module("distributed")
    except ImportError as error:
        raise MissingExtraError(
            "Sharing work among processes needs the package distributed: pip install 'volumen[distributed]'."
        ) from error
