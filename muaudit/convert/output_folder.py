"""The output folder of a conversion: plan, state dict and what else was asked for, complete or not there at all."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..checkpoints.folder import replaced
from ..checkpoints.moved import TransferRequest, prepare
from ..checkpoints.verify import verify
from ..errors import UserError
from ..plan.file import load_plan, write_plan
from ..plan.plan import Plan
from ..plan.plan_data import DEEPER, SCHEMA
from ..reading import Malformed, parse_yaml, read_text
from ..targets.base_shapes import bsh_text
from ..targets.probe import Target
from ..targets.skeleton import skeleton
from .frameworks.emitted import check_framework, emitted
from .initial_weights import nbytes, write_fresh
from .known_model import MOST_PARAMETERS
from .python_module import module_text
from .ways import check_way

if TYPE_CHECKING:
    from ..checkpoints.moved import CheckpointTransfer
    from ..checkpoints.verify import Verified
    from ..targets.skeleton import Skeleton

PLAN, STATE_DICT, MODULE, BASE_SHAPES = "plan.yaml", "state_dict.safetensors", "mup_plan.py", "model.bsh"
_IGNORE = ".gitignore"
_KEPT = (PLAN, MODULE, BASE_SHAPES)
"""What is worth a commit; all else that is written holds weights."""

_MEANINGS = """\
--fresh: it is an initialization, before any training; its tensors are scaled to the µP init
--function-preserving --from PLAN: it is trained, by the plan PLAN; it is moved to this formulation, its outputs stay"""


@dataclass(frozen=True)
class Wanted:
    """What is to be written, as the command line says it; see `muaudit convert --help`."""

    out: Path
    seed: int = 0
    state_dict: Path | None = None
    no_state_dict: bool = False
    fresh: bool = False
    function_preserving: bool = False
    old_plan: Path | None = None
    optimizer_state: Path | None = None
    keep: tuple[str, ...] = ()
    verify: bool = False
    emit_python: bool = False
    emit_bsh: bool = False
    way: str = "plain"
    emit: tuple[str, ...] = ()
    zeros: tuple[str, ...] = ()

    def check(self) -> None:
        """Raise UserError where the meaning of a checkpoint is left open, or options contradict each other."""
        check_way(self.way)
        for name in self.emit:
            check_framework(name)
        if self.zeros and self.function_preserving:
            raise UserError("a trained checkpoint keeps its function, and nothing of it can start at zero",
                            "leave --zero-readout and --zero-query out")  # fmt: skip
        if self.fresh and self.function_preserving:
            raise UserError("--fresh and --function-preserving are two different things", _MEANINGS)
        if self.no_state_dict and self.state_dict is not None:
            raise UserError(
                "--state-dict names a checkpoint to convert, and --no-state-dict writes none", "give one of them"
            )
        if self.state_dict is None:
            needing = {
                "--function-preserving": self.function_preserving, "--from": self.old_plan, "--keep": self.keep,
                "--optimizer-state": self.optimizer_state, "--verify": self.verify,
            }  # fmt: skip
            for option, given in needing.items():
                if given:
                    raise UserError(f"{option} needs a checkpoint", "--state-dict FILE names it")
        elif not (self.fresh or self.function_preserving):
            raise UserError(f"--state-dict {self.state_dict}: is it fresh or trained?", _MEANINGS)
        if self.old_plan is not None and not self.function_preserving:
            raise UserError(
                "--from names the plan that trained weights come from, and none are given as such", _MEANINGS
            )

    def source_plan(self) -> Plan | None:
        """The plan that a trained checkpoint comes from: given, or beside it.

        Raises:
            UserError: there is none, or it cannot be read.
        """
        if self.state_dict is None or not self.function_preserving:
            return None
        folder = self.state_dict if self.state_dict.is_dir() else self.state_dict.parent
        if self.old_plan is None and not (folder / PLAN).is_file():
            raise UserError(
                "--function-preserving needs the plan that the checkpoint was trained by",
                "--from mup/plan.yaml names it, or put it beside the checkpoint",
            )
        return load_plan(self.old_plan or folder / PLAN)


@dataclass(frozen=True)
class Conversion:
    """What is about to be written; every input was read and found right.

    target: as it was audited. full: at its own size, None where that cannot be built. why_not: why no initialization of
    it is written, where none is. total: of the weights, in bytes.
    """

    target: Target
    full: Target | None
    why_not: str
    plan: Plan
    wanted: Wanted
    transfer: CheckpointTransfer | None = None
    model: Skeleton | None = None
    total: int = field(default=0)
    rules: Mapping[str, str] = field(default_factory=dict)

    def write(self, advance: Callable[[int], None]) -> Verified | None:
        """Write the folder in one step; with `--verify`, only if the outputs agree.

        Raises:
            UserError: a file cannot be read or written, or the outputs do not agree. The folder is as it was then.
        """
        verified = None
        with replaced(self.wanted.out, _own) as staging:
            if self.transfer is not None:
                self.transfer.write(staging, advance)
                if self.wanted.verify and self.full is not None and self.model is not None:
                    verified = verify(self.transfer, self.full, staging, self.model)
            elif self.full is not None and self.starts:
                write_fresh(self.full, self.plan, staging / STATE_DICT, self.wanted.seed, self.wanted.out)
            self._emit(staging)
            self._ignore(staging)
            written = sorted([*(path.name for path in staging.iterdir()), PLAN])
            write_plan(self.plan, staging / PLAN, self._record(written))
        return verified

    @property
    def starts(self) -> bool:
        """Whether an initialization is written."""
        chosen = self.transfer is None and not self.wanted.no_state_dict
        return chosen and self.full is not None and not self.why_not

    def _emit(self, folder: Path) -> None:
        for name, text in self.rules.items():
            (folder / name).write_text(text, encoding="utf-8")
        if self.wanted.emit_python:
            (folder / MODULE).write_text(module_text(self.plan, Path(MODULE).stem), encoding="utf-8")
        if self.wanted.emit_bsh:
            text = bsh_text(self.full or self.target, self.plan.base_width, BASE_SHAPES)
            (folder / BASE_SHAPES).write_text(text, encoding="utf-8")

    def _ignore(self, folder: Path) -> None:
        """Keep weights out of a repository; a file of the user's own that does so is left alone."""
        weights = sorted(path.name for path in folder.iterdir() if path.name not in _KEPT)
        own = self.wanted.out / _IGNORE
        if weights and (_IGNORE in _own(self.wanted.out) or not own.exists()):
            (folder / _IGNORE).write_text("".join(f"/{name}\n" for name in weights), encoding="utf-8")

    def _record(self, written: list[str]) -> dict[str, Any]:
        """What plan.yaml says about the files beside it."""
        if self.transfer is None:
            source = f"an initialization with seed {self.wanted.seed}" if self.starts else "nothing"
            return {"meaning": "fresh", "to": source, "written": written}
        request = self.transfer.request
        record: dict[str, Any] = {"meaning": request.meaning, "to": request.state_dict.name}
        if request.old is not None:
            record["from"] = request.old.formulation
        return {**record, "written": written}


def prepare_output(target: Target, full: Target | None, why_not: str, plan: Plan, wanted: Wanted) -> Conversion:
    """Read what is to be converted, before anything is written.

    target, full, why_not: as in `Conversion`.

    Raises:
        UserError: a file is damaged, is not this model's, or was converted before.
    """
    if wanted.emit_bsh and plan.depth_name:
        raise UserError("base shapes know of width alone, this plan goes over depth", "leave --emit-bsh out")
    rules = {file: text for name in wanted.emit for file, text in emitted(plan, name, _names(full, plan)).items()}
    if wanted.state_dict is None:
        output = Conversion(target, full, why_not or _too_large(full, plan), plan, wanted, rules=rules)
        return replace(output, total=_size(full, plan)) if output.starts and full is not None else output
    if full is None:
        raise UserError(f"cannot compare the checkpoint with the model: {why_not}",
                        "--set NAME=VALUE makes the model that the checkpoint is of")  # fmt: skip

    model = skeleton(full, plan.width)
    request = TransferRequest(wanted.state_dict, plan, wanted.source_plan(), wanted.optimizer_state, wanted.keep)
    transfer = prepare(request, model, wanted.out)
    return Conversion(target, full, why_not, plan, wanted, transfer, model, transfer.nbytes, rules)


def _names(full: Target | None, plan: Plan) -> list[str]:
    """The names of all parameters that the model has at its own size. Raises UserError where that cannot be built."""
    if full is None:
        raise UserError("--emit needs the names of the whole model, which cannot be built here",
                        "hold what makes it too large or too special with --set, or leave --emit out")  # fmt: skip
    return [names[0] for names in skeleton(full, plan.width).parameters]


def _too_large(full: Target | None, plan: Plan) -> str:
    """Why no initialization of a published configuration is written, where none is: it may be of any size."""
    if full is None or full.own is None:
        return ""

    try:
        count = sum(math.prod(shape) for shape in skeleton(full, plan.width).parameters.values())
    except UserError as error:
        return error.message.splitlines()[0]
    return f"the model has {count:,} parameters" if count > MOST_PARAMETERS else ""


def _size(full: Target, plan: Plan) -> int:
    """Bytes of the state dict that is about to be written; 0 where only building the model for real could say."""
    try:
        return nbytes(skeleton(full, plan.width).model)
    except UserError:
        return 0


def _own(folder: Path) -> Collection[str]:
    """What an earlier run wrote into a folder, as its plan.yaml says."""
    try:
        data = parse_yaml(read_text(folder / PLAN))
        if data["schema"] not in (SCHEMA, DEEPER):
            return ()
        return {PLAN, *map(str, (data.get("applied") or {"written": [STATE_DICT]})["written"])}
    except (UserError, Malformed, KeyError, TypeError):
        return ()
