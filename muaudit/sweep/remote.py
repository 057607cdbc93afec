"""Units sent to a Ray cluster: the same results, from as many machines as there are. Needs the extra `ray`.

A worker gets the request, the target's file and the plan, and works out the rest as this machine did. A run whose
worker is lost is started again by Ray; an error of the user's code ends the sweep as it does here.
"""

from __future__ import annotations

import hashlib
import logging
import os
import socket
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from ..errors import UserError
from ..isolation.child import alive
from ..plan.plan import Plan
from .local_runs import LocalRuns
from .out_of_time import OutOfTime
from .sweep_request import SweepRequest
from .swept import variants_of
from .train import train_unit
from .trainings import TrainingOutcome, Unit
from .variant import SweepVariant
from .whole_sweep import Sweep

RETRIES = 8
PATIENCE = 5.0


@dataclass(frozen=True)
class Parcel:
    """What a worker needs besides the unit. files: path as in the request → its text."""

    request: SweepRequest
    plan: Plan | None
    files: tuple[tuple[str, str], ...]
    threads: int


@dataclass
class RayRuns:
    """Sends units to a Ray cluster; each is given back as it is done."""

    ray: Any
    here: LocalRuns
    sweep: Sweep
    remote: Any
    parcel: Any

    def together(self, variant: str, width: int) -> int:
        """As it would be here."""
        return self.here.together(variant, width)

    def train(self, waiting: Sequence[Unit]) -> Iterator[tuple[Unit, list[TrainingOutcome]]]:
        """All units at once. Whatever is left at the end is cancelled."""
        return _train(self.ray, self.sweep, self.remote, self.parcel, list(waiting))

    def rehearse(self, unit: Unit) -> float | None:
        """This machine is none of the cluster's."""
        return None


def on_ray(request: SweepRequest, here: LocalRuns, sweep: Sweep) -> RayRuns:
    """Where `sweep` trains then. Raises UserError where Ray, or the cluster, is not there."""
    ray = _connected(request)
    files = tuple((name, Path(name).read_text(encoding="utf-8")) for name in _file_names(request))
    plan = next((variant.plan for variant in here.variants if variant.plan is not None), None)
    parcel = Parcel(request, plan, files, torch.get_num_threads())
    remote = ray.remote(num_cpus=request.ray_cpus, num_gpus=request.ray_gpus, max_retries=RETRIES)(work)
    return RayRuns(ray, here, sweep, remote, ray.put(parcel))


def work(parcel: Parcel, unit: Unit) -> list[TrainingOutcome]:
    """Train one unit; runs on a worker, which keeps the target it has resolved for the next unit."""
    if parcel not in _KNOWN:
        torch.set_num_threads(parcel.threads)
        _KNOWN.clear()
        _KNOWN[parcel] = _unpacked(parcel)
    variants, settings = _KNOWN[parcel]
    return train_unit(variants[unit.jobs[0].variant], unit, settings)


_KNOWN: dict[Parcel, Any] = {}


def _unpacked(parcel: Parcel) -> tuple[dict[str, SweepVariant], Any]:
    places = {name: _placed(name, text) for name, text in parcel.files}

    def here(target: str | None) -> str | None:
        if target is None:
            return None
        return next(
            (target.replace(name, there, 1) for name, there in places.items() if target.startswith(name)), target
        )

    request = replace(parcel.request, target=here(parcel.request.target), compare=here(parcel.request.compare))
    _, variants, settings, _ = variants_of(request, parcel.plan)
    return {variant.name: variant for variant in variants}, settings


def _placed(name: str, text: str) -> str:
    """The file where it was, if it is there and the same, else a copy of it."""
    path = Path(name)
    if path.is_file() and path.read_text(encoding="utf-8") == text:
        return name
    digest = hashlib.sha256(text.encode()).hexdigest()[:16]
    copy = Path(tempfile.gettempdir()) / f"muaudit-{digest}" / path.name
    copy.parent.mkdir(exist_ok=True)
    temporary = copy.with_name(f".{copy.name}.{os.getpid()}")
    temporary.write_text(text, encoding="utf-8")
    temporary.replace(copy)
    return str(copy)


def _file_names(request: SweepRequest) -> list[str]:
    """The files among the targets, by absolute path where they are given so."""
    found = []
    for target in (request.target, request.compare):
        if target is not None:
            name = target if Path(target).is_file() else target.rpartition(":")[0]
            found += [name] if name and Path(name).is_file() else []
    return found


def _train(
    ray: Any, sweep: Sweep, remote: Any, parcel: Any, waiting: list[Unit]
) -> Iterator[tuple[Unit, list[TrainingOutcome]]]:
    running: dict[Any, Unit] = {}
    stopped = False
    try:
        for unit in waiting:
            if not sweep.clock.allows(unit):
                stopped = True
                break
            running[remote.remote(parcel, unit)] = unit
        last = time.monotonic()
        while running:
            done, _ = ray.wait(list(running), timeout=1.0)
            alive()
            if sweep.clock.over:
                raise OutOfTime
            for reference in done:
                outcomes = _result(ray, reference)
                unit, now = running.pop(reference), time.monotonic()
                sweep.clock.took(unit, now - last)
                last = now
                yield unit, outcomes
        if stopped:
            raise OutOfTime
    finally:
        for reference in running:
            ray.cancel(reference, force=True)


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


def _connected(request: SweepRequest) -> Any:
    try:
        import ray
    except ImportError as error:
        raise UserError("--ray needs Ray, which is not installed", "pip install 'muaudit[ray]'") from error
    address = request.ray or "auto"
    _check_reachable(address)
    environment = {
        "py_modules": [str(Path(__file__).resolve().parents[1])],
        "env_vars": {"OMP_NUM_THREADS": str(torch.get_num_threads())},
    }
    try:
        ray.init(address=address, runtime_env=environment, log_to_driver=False, logging_level=logging.ERROR)
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
