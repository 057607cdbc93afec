"""A Ray cluster that is already there, and units of runs sent to it: the same results, from as many machines as there
are. Needs the extra `ray`.

A run whose worker is lost is started again by Ray; an error of the user's code ends the sweep as it does here. Free of
torch.
"""

from __future__ import annotations

import logging
import socket
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from muaudit.errors import UserError
from muaudit.isolation.child import alive
from muaudit.sweep.budget import Clock
from muaudit.sweep.out_of_time import OutOfTime
from muaudit.sweep.sweep_request import SweepRequest
from muaudit.sweep.trainings import TrainingOutcome, Unit

RETRIES = 8
PATIENCE = 5.0

Work = Callable[[Any, Unit], list[TrainingOutcome]]


@dataclass
class RayRuns:
    """Sends units to a Ray cluster; each is given back as it is done.

    members: how many runs are one unit, by variant and width. remote, parcel: the work on Ray, and what it needs
    besides the unit.
    """

    ray: Any
    members: Callable[[str, int], int]
    clock: Clock
    remote: Any
    parcel: Any

    def together(self, variant: str, width: int) -> int:
        """As it would be here."""
        return self.members(variant, width)

    def train(self, waiting: Sequence[Unit]) -> Iterator[tuple[Unit, list[TrainingOutcome]]]:
        """All units at once. Whatever is left at the end is cancelled."""
        running: dict[Any, Unit] = {}
        stopped = False
        try:
            for unit in waiting:
                if not self.clock.allows(unit):
                    stopped = True
                    break
                running[self.remote.remote(self.parcel, unit)] = unit
            last = time.monotonic()
            while running:
                done, _ = self.ray.wait(list(running), timeout=1.0)
                alive()
                if self.clock.over:
                    raise OutOfTime
                for reference in done:
                    outcomes = _result(self.ray, reference)
                    unit, now = running.pop(reference), time.monotonic()
                    self.clock.took(unit, now - last)
                    last = now
                    yield unit, outcomes
            if stopped:
                raise OutOfTime
        finally:
            for reference in running:
                self.ray.cancel(reference, force=True)

    def rehearse(self, unit: Unit) -> float | None:
        """This machine is none of the cluster's."""
        return None


def on_cluster(
    request: SweepRequest, work: Work, parcel: Any, members: Callable[[str, int], int], clock: Clock,
    environment: Mapping[str, str],
) -> RayRuns:  # fmt: skip
    """Where units are worked on. environment: variables of the workers.

    Raises:
        UserError: Ray, or the cluster, is not there, or has less than a run asks for.
    """
    ray = _connected(request, environment)
    remote = ray.remote(num_cpus=request.ray_cpus, num_gpus=request.ray_gpus, max_retries=RETRIES)(work)
    return RayRuns(ray, members, clock, remote, ray.put(parcel))


def _result(ray: Any, reference: Any) -> list[TrainingOutcome]:
    try:
        outcomes: list[TrainingOutcome] = ray.get(reference)
    except ray.exceptions.RayTaskError as error:
        cause = error.cause if isinstance(getattr(error, "cause", None), Exception) else error
        if isinstance(cause, UserError):
            raise UserError(f"on a Ray worker: {cause.message}", cause.hint) from error
        raise UserError(f"a Ray worker failed: {type(cause).__name__}: {str(cause).splitlines()[-1]}") from error
    except ray.exceptions.RayError as error:
        text = " ".join(str(error).split())[:300]
        raise UserError(f"a run was lost {RETRIES + 1} times on Ray: {text}", "the other runs are kept") from error
    return outcomes


def _connected(request: SweepRequest, environment: Mapping[str, str]) -> Any:
    try:
        import ray
    except ImportError as error:
        raise UserError("--ray needs Ray, which is not installed", "pip install 'muaudit[ray]'") from error
    address = request.ray or "auto"
    _check_reachable(address)
    shipped = {"py_modules": [str(Path(__file__).resolve().parents[1])], "env_vars": dict(environment)}
    if ray.is_initialized():  # a search sends two horizons to one cluster
        return ray
    try:
        ray.init(address=address, runtime_env=shipped, log_to_driver=False, logging_level=logging.ERROR)
    except Exception as error:
        text = " ".join(str(error).split())[:300]
        raise UserError(
            f"--ray {address}: no Ray cluster answers there: {text}", "start one: ray start --head"
        ) from error
    _check_resources(ray, request)
    return ray


def _check_reachable(address: str) -> None:
    """A cluster that is not there is said within seconds, where Ray would wait for minutes."""
    host, colon, port = address.removeprefix("ray://").rpartition(":")
    if not colon:
        if address not in ("auto", "local"):
            raise UserError(f"--ray expects host:port, ray://host:port, auto or local, found {address!r}")
        return
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=PATIENCE).close()
    except (OSError, ValueError, OverflowError) as error:
        raise UserError(
            f"--ray {address}: no Ray cluster answers there: {error}", "start one: ray start --head"
        ) from None


def _check_resources(ray: Any, request: SweepRequest) -> None:
    there = ray.cluster_resources()
    for name, asked in (("CPU", request.ray_cpus), ("GPU", request.ray_gpus)):
        if asked > there.get(name, 0.0):
            raise UserError(
                f"a run asks for {asked:g} {name}s, the Ray cluster has {there.get(name, 0.0):g}",
                f"--ray-{name.lower()}s says what a run asks for",
            )
