"""Extraction on Ray: Ray Data streams recordings through actors that hold a model each.

Actors hold nothing that matters, as the local workers: what they find comes back to this process,
which alone writes. A lost actor is replaced by Ray, and the recording that it held is tried again
there; one that was lost with two actors has failed. Ray moves what is its own between processes of
the cluster with pickle, and so does this module.
"""

import pickle
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, Final

import numpy as np

from flexi_score.errors import FlexiScoreError, PrerequisiteError
from flexi_score.extraction.extractor import Setup, load_extractor
from flexi_score.extraction.ledger import Outcome, Task, attempt, died
from flexi_score.extraction.recordings import Known, read_known
from flexi_score.version import install_command

#: Ray keeps track of blocks; a recording each as long as that is cheap.
_MOST_BLOCKS: Final = 20_000
_MOST_ATTEMPTS: Final = 2


class _Attempts:
    """Counts how often each recording was begun: Ray itself would try for ever."""

    def __init__(self) -> None:
        self._begun: Counter[int] = Counter()

    def begin(self, number: int) -> int:
        self._begun[number] += 1
        return self._begun[number]


class _Actor:
    """Loads its models once and attempts recordings."""

    def __init__(self, setup: Setup, known: Any, attempts: Any) -> None:
        import ray

        self._attempts = attempts

        self._extractor = load_extractor(replace(setup, threads=setup.threads or 1))
        held: Known = ray.get(known)
        self._known = Known({k: set(v) for k, v in held.keys.items()}, dict(held.durations), {})

    def __call__(self, batch: dict[str, Any]) -> dict[str, Any]:
        outcomes = [
            pickle.dumps(self._attempt(int(number), pickle.loads(task)))
            for number, task in zip(batch["number"], batch["task"], strict=True)
        ]
        return {"number": batch["number"], "outcome": np.array(outcomes, dtype=object)}

    def _attempt(self, number: int, task: Task) -> Outcome:
        import ray

        if ray.get(self._attempts.begin.remote(number)) > _MOST_ATTEMPTS:
            return died(task, "its Ray actor was lost")
        return attempt(task, self._extractor, self._known)


def attempt_on_ray(
    tasks: Sequence[Task], setup: Setup, n_workers: int, take: Callable[[Outcome], None]
) -> None:
    """Attempt all tasks as Ray actors, on the cluster of ``RAY_ADDRESS`` or on this machine.

    ``n_workers``: actors; 0: as many as the cluster has room for.
    """
    try:
        import ray
        import ray.data
    except ImportError as error:
        raise PrerequisiteError(
            f"--executor ray needs the package {error.name}: {install_command('ray')}"
        ) from error
    if not tasks:
        return
    # What is missing here is missing there: say so at once, not in every actor.
    load_extractor(setup)
    if not ray.is_initialized():
        ray.init(include_dashboard=False, log_to_driver=False)
    context = ray.data.DataContext.get_current()
    context.max_errored_blocks = -1  # a lost recording is recognised by its absence
    context.enable_progress_bars = False
    context.execution_options.preserve_order = False
    gpus = 1 if setup.settings.device == "cuda" else 0
    most = n_workers or max(1, int(ray.cluster_resources().get("CPU", 1)) // max(setup.threads, 1))
    most = min(most, len(tasks))
    items = [{"number": n, "task": pickle.dumps(task)} for n, task in enumerate(tasks)]
    dataset = ray.data.from_items(
        items, override_num_blocks=min(len(items), _MOST_BLOCKS)
    ).map_batches(
        _Actor,
        fn_constructor_kwargs={
            "setup": setup,
            "known": ray.put(read_known(setup.archive)),
            "attempts": ray.remote(num_cpus=0, max_restarts=-1)(_Attempts).remote(),
        },
        batch_size=1,
        compute=ray.data.ActorPoolStrategy(size=most),
        num_cpus=max(setup.threads, 1),
        num_gpus=gpus,
    )
    left = dict(enumerate(tasks))
    try:
        for row in dataset.iter_rows():
            if left.pop(int(row["number"]), None) is not None:
                take(pickle.loads(row["outcome"]))
    except ray.exceptions.RayError as error:
        cause = getattr(error, "cause", None)
        if isinstance(cause, FlexiScoreError):
            raise cause from error
        raise PrerequisiteError(f"Ray has given up: {str(error).splitlines()[0]}") from error
    for task in left.values():
        take(died(task, "its Ray actor was lost"))
