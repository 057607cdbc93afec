"""A run with a plan, verified before its first step and watched during it: over ways of training and schedulers.

`pip install -c constraints.txt -e '.[recipes]'` brings the libraries of some ways; they are skipped without.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from muaudit.convert.planner import make_plan
from muaudit.errors import UserError
from muaudit.plan.plan import Plan
from muaudit.plan.plan_watch import PlanWarning
from muaudit.targets import from_functions

S = torch.optim.lr_scheduler
BASE, WIDTH, LR, DECAY, STEPS = 64, 128, 3e-3, 0.1, 100
# By hand, TP5 Table 3 under Adam at m = 2: hidden and output weights have half the rate, and the decay that makes up
# for it; what the gradient of an entry is divided by is 1 for the readout and m elsewhere.
SCALES = {
    "stem.weight": (1.0, 1.0, 0.5), "hidden.weight": (0.5, 2.0, 0.5), "head.weight": (0.5, 2.0, 1.0),
}  # fmt: skip


class Net(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.stem = nn.Linear(16, width, bias=False)
        self.hidden = nn.Linear(width, width, bias=False)
        self.head = nn.Linear(width, 8, bias=False)

    def forward(self, x: torch.Tensor, labels: torch.Tensor | None = None) -> Any:
        logits = self.head(self.hidden(self.stem(x).relu()).relu())
        return logits if labels is None else {"loss": F.cross_entropy(logits, labels), "logits": logits}


X = torch.randn(8, 16, generator=torch.Generator().manual_seed(0))
LABELS = X[:, :8].argmax(-1)


@cache
def plan() -> Plan:
    target = from_functions(
        Net, batch=lambda width: X, loss=lambda out, batch: F.cross_entropy(out, LABELS), optimizer="adamw",
        widths=(64, 128),
    )  # fmt: skip
    return make_plan(target, BASE, WIDTH)


def fresh() -> Net:
    torch.manual_seed(0)
    model = Net(WIDTH)
    plan().apply_(model)
    return model


def adamw(model: nn.Module) -> torch.optim.AdamW:
    return torch.optim.AdamW(plan().param_groups(model, lr=LR, weight_decay=DECAY), lr=LR)


# -- schedulers, and whether they keep the plan ------------------------------------------------------------------------
class WarmupLR:
    """As DeepSpeed's: from `min` to `max` learning rates of its own settings, one number for all groups."""

    def __init__(self, optimizer: Any, warmup_min_lr: float, warmup_max_lr: float, warmup_num_steps: int) -> None:
        self.optimizer, self.last_batch_iteration, self.warmup_num_steps = optimizer, -1, warmup_num_steps
        self.min_lrs = [warmup_min_lr] * len(optimizer.param_groups)
        self.delta_lrs = [warmup_max_lr - warmup_min_lr] * len(optimizer.param_groups)

    def step(self, last_batch_iteration: int | None = None) -> None:
        self.last_batch_iteration = self.last_batch_iteration + 1 if last_batch_iteration is None else 0
        share = min(1.0, self.last_batch_iteration / self.warmup_num_steps)
        for group, low, delta in zip(self.optimizer.param_groups, self.min_lrs, self.delta_lrs, strict=True):
            group["lr"] = low + delta * share


def of_transformers(name: str, **settings: float) -> Callable[[Any], Any]:
    def make(optimizer: Any) -> Any:
        transformers = pytest.importorskip("transformers")
        return transformers.get_scheduler(name, optimizer, 10, STEPS, settings or None)

    return make


def warmed_cosine(optimizer: Any) -> Any:
    parts = [S.LinearLR(optimizer, 0.1, total_iters=10), S.CosineAnnealingLR(optimizer, STEPS)]
    return S.SequentialLR(optimizer, parts, milestones=[10])


KEEP: dict[str, Callable[[Any], Any]] = {
    "lambda": lambda o: S.LambdaLR(o, lambda step: min((step + 1) / 10, 1.0)),
    "cosine": lambda o: S.CosineAnnealingLR(o, STEPS),
    "in sequence": warmed_cosine,
    "one cycle, a list": lambda o: S.OneCycleLR(o, [g["lr"] for g in o.param_groups], total_steps=STEPS + 1),
    "plateau": lambda o: S.ReduceLROnPlateau(o, factor=0.5, patience=20),
    "transformers cosine": of_transformers("cosine"),
    "transformers cosine, floor": of_transformers("cosine_with_min_lr", min_lr=1e-4),
}
UNDO: dict[str, Callable[[Any], Any]] = {
    "one cycle": lambda o: S.OneCycleLR(o, LR, total_steps=STEPS + 1),
    "cosine, eta_min": lambda o: S.CosineAnnealingLR(o, STEPS, eta_min=1e-4),
    "plateau, min_lr": lambda o: S.ReduceLROnPlateau(o, min_lr=1e-5),
    "cyclic": lambda o: S.CyclicLR(o, 1e-4, LR, cycle_momentum=False),
    "deepspeed warm-up": lambda o: WarmupLR(o, 0.0, LR, 10),
}


# -- ways of training: each verifies, trains, and gives the settings of every parameter after some steps ---------------
Seen = dict[int, dict[str, tuple[float, float, float]]]
NOTED = (1, 10, 100)


class Run:
    """The settings of the parameters of one run, by step. verify: as a script calls it, once all is wrapped."""

    def __init__(self, model: nn.Module) -> None:
        self.model, self.seen, self.steps = model, Seen(), 0

    def verify(self, optimizer: Any, scheduler: Any) -> None:
        self.model_seen = plan().verify(self.model, optimizer, scheduler)
        assert self.model_seen.parameters == 3
        inner = getattr(optimizer, "optimizer", optimizer)
        self.optimizer = inner
        inner.register_step_pre_hook(lambda *_: self._note())

    def _note(self) -> None:
        """Before every step: what it is taken with."""
        self.steps += 1
        if self.steps in NOTED:
            settings = {
                id(p): (float(g["lr"]), g["weight_decay"], g["eps"])
                for g in self.optimizer.param_groups
                for p in g["params"]
            }
            self.seen[self.steps] = {
                name.removeprefix("module.").removeprefix("_orig_mod."): settings[id(p)]
                for name, p in self.model.named_parameters()
            }


def looped(model: nn.Module, make: Callable[[Any], Any]) -> Seen:
    optimizer = adamw(model)
    scheduler, run = make(optimizer), Run(model)
    run.verify(optimizer, scheduler)
    loop(model, optimizer, scheduler, lambda loss: loss.backward())
    return run.seen


def loop(model: nn.Module, optimizer: Any, scheduler: Any, backward: Callable[[Any], Any]) -> None:
    for _ in range(STEPS):
        optimizer.zero_grad()
        loss = model(X, LABELS)["loss"]
        backward(loss)
        optimizer.step()
        scheduler.step(*([1.0] if isinstance(scheduler, S.ReduceLROnPlateau) else []))


@contextmanager
def process_group(folder: Path) -> Iterator[None]:
    import torch.distributed as dist

    dist.init_process_group("gloo", init_method=f"file://{folder}/store", rank=0, world_size=1)
    try:
        yield
    finally:
        dist.destroy_process_group()


def plain(make: Callable[[Any], Any], folder: Path) -> Seen:
    return looped(fresh(), make)


def compiled(make: Callable[[Any], Any], folder: Path) -> Seen:
    return looped(torch.compile(fresh(), backend="eager"), make)  # type: ignore[arg-type]


def ddp(make: Callable[[Any], Any], folder: Path) -> Seen:
    with process_group(folder):
        return looped(nn.parallel.DistributedDataParallel(fresh()), make)


def fsdp2(make: Callable[[Any], Any], folder: Path) -> Seen:
    from torch.distributed import init_device_mesh
    from torch.distributed.fsdp import fully_shard

    with process_group(folder):
        model, mesh = fresh(), init_device_mesh("cpu", (1,))
        fully_shard(model.hidden, mesh=mesh)
        fully_shard(model, mesh=mesh)
        return looped(model, make)


def accelerate(make: Callable[[Any], Any], folder: Path) -> Seen:
    pytest.importorskip("accelerate")
    from accelerate import Accelerator

    accelerator, model = Accelerator(cpu=True), fresh()
    optimizer = adamw(model)
    prepared, wrapped, scheduler = accelerator.prepare(model, optimizer, make(optimizer))
    run = Run(prepared)
    run.verify(wrapped, scheduler)
    for _ in range(STEPS):
        wrapped.zero_grad()
        accelerator.backward(prepared(X, LABELS)["loss"])
        wrapped.step()
        scheduler.step()
    return run.seen


def lightning(make: Callable[[Any], Any], folder: Path) -> Seen:
    pytest.importorskip("pytorch_lightning")
    import pytorch_lightning as pl

    class Lit(pl.LightningModule):
        def __init__(self) -> None:
            super().__init__()
            self.model = fresh()
            self.run = Run(self.model)

        def training_step(self, batch: Any, index: int) -> Any:
            return self.model(X, LABELS)["loss"]

        def configure_optimizers(self) -> Any:
            optimizer = adamw(self.model)
            return [optimizer], [{"scheduler": make(optimizer), "interval": "step"}]

        def on_train_start(self) -> None:
            self.run.verify(self.optimizers(), self.lr_schedulers())

    lit = Lit()
    trainer = pl.Trainer(
        max_steps=STEPS, accelerator="cpu", logger=False, enable_checkpointing=False, enable_progress_bar=False,
        enable_model_summary=False,
    )  # fmt: skip
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        trainer.fit(lit, torch.utils.data.DataLoader([0] * STEPS))  # type: ignore[arg-type]
    return lit.run.seen


def deepspeed(make: Callable[[Any], Any], folder: Path) -> Seen:
    """Its engine on the CPU, which steps the scheduler itself; CI does not install it."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in {"DS_ACCELERATOR": "cpu", "RANK": "0", "LOCAL_RANK": "0", "WORLD_SIZE": "1"}.items():
            patch.setenv(name, value)
        pytest.importorskip("deepspeed", reason="pip install --no-deps deepspeed, and what it imports")
        import deepspeed as library

        # what it keeps of an earlier run's processes
        patch.setattr(library.comm.comm, "cdb", None)
        patch.setattr(library.utils.groups, "_WORLD_GROUP", None)
        with process_group(folder):
            model = fresh()
            optimizer = adamw(model)
            engine, built, _, scheduler = library.initialize(
                model=model, optimizer=optimizer, lr_scheduler=make(optimizer), dist_init_required=False,
                config={"train_micro_batch_size_per_gpu": 8, "zero_allow_untested_optimizer": True},
            )  # fmt: skip
            run = Run(model)
            run.verify(built, scheduler)
            for _ in range(STEPS):
                engine.backward(engine(X, LABELS)["loss"])
                engine.step()
            return run.seen


def of_deepspeed(name: str, **settings: Any) -> Callable[[Any], Any]:
    def make(optimizer: Any) -> Any:
        schedules = pytest.importorskip("deepspeed.runtime.lr_schedules")
        return getattr(schedules, name)(optimizer, **settings)

    return make


KEEP["deepspeed's WarmupLR"] = of_deepspeed("WarmupLR", warmup_num_steps=10)
KEEP["deepspeed's WarmupCosineLR"] = of_deepspeed("WarmupCosineLR", total_num_steps=200, warmup_num_steps=10)
UNDO["deepspeed's WarmupDecayLR"] = of_deepspeed("WarmupDecayLR", total_num_steps=STEPS)


def trainer(make: Callable[[Any], Any], folder: Path) -> Seen:
    pytest.importorskip("accelerate")
    from transformers import Trainer, TrainerCallback, TrainingArguments

    model = fresh()
    run = Run(model)

    class Verify(TrainerCallback):
        def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
            run.verify(kwargs["optimizer"], kwargs["lr_scheduler"])

    arguments = TrainingArguments(
        str(folder), per_device_train_batch_size=8, max_steps=STEPS, report_to=[], use_cpu=True, logging_steps=1000,
        save_strategy="no", max_grad_norm=0.0, disable_tqdm=True,
    )  # fmt: skip
    optimizer = adamw(model)
    data = [{"x": x, "labels": label} for x, label in zip(X, LABELS, strict=True)]
    Trainer(model, arguments, train_dataset=data, optimizers=(optimizer, make(optimizer)), callbacks=[Verify()]).train()  # type: ignore[arg-type]
    return run.seen


WAYS = [plain, compiled, ddp, fsdp2, accelerate, lightning, deepspeed, trainer]
NEEDS_A_METRIC = {"plateau", "plateau, min_lr"}


@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.__name__)
@pytest.mark.parametrize("name", KEEP)
def test_what_verify_lets_through_trains_by_the_plan(way: Any, name: str, tmp_path: Path) -> None:
    if name in NEEDS_A_METRIC and way not in (plain, compiled, ddp, fsdp2):
        pytest.skip("its trainer steps it with a metric, once an epoch")
    if name.startswith("deepspeed") and way not in (plain, deepspeed):
        pytest.skip("Lightning takes torch's schedulers alone, and one of each is enough")
    seen = way(KEEP[name], tmp_path)
    assert set(seen) == set(NOTED)
    for settings in seen.values():
        rate, _, _ = settings["stem.weight"]
        assert rate > 0 or name.startswith(("transformers", "deepspeed"))  # whose warm-up begins at 0
        for parameter, (lr, decay, eps) in SCALES.items():
            assert settings[parameter] == pytest.approx((rate * lr, DECAY * decay, 1e-8 * eps), rel=1e-6)


@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.__name__)
@pytest.mark.parametrize("name", UNDO)
def test_what_undoes_the_plan_is_refused_before_the_first_step(way: Any, name: str, tmp_path: Path) -> None:
    if way is lightning and name.startswith("deepspeed"):
        pytest.skip("Lightning takes torch's schedulers alone")
    if name in NEEDS_A_METRIC and way is lightning:
        pytest.skip("Lightning steps it with a metric")
    with pytest.raises(UserError, match=r"hidden\.weight: lr .*× 0\.5") as raised:
        way(UNDO[name], tmp_path)
    assert "stem.weight" not in str(raised.value)


# -- what else verify finds ---------------------------------------------------------------------------------------
def refused(model: nn.Module, optimizer: Any, scheduler: Any = None, **kwargs: Any) -> str:
    with pytest.raises(UserError) as raised:
        plan().verify(model, optimizer, scheduler, **kwargs)
    return str(raised.value)


def test_settings_by_name() -> None:
    model = fresh()
    optimizer = adamw(model)
    named = {id(p): name for name, p in model.named_parameters()}
    groups = {named[id(p)]: group for group in optimizer.param_groups for p in group["params"]}
    groups["hidden.weight"]["lr"] *= 2
    groups["head.weight"]["weight_decay"] /= 2
    groups["stem.weight"]["eps"] *= 2
    found = refused(model, optimizer).splitlines()
    assert found[1:4] == [
        "  hidden.weight: lr 0.003, expected 0.0015 (× 0.5)",
        "  head.weight: weight_decay 0.1, expected 0.2 (× 2)",
        "  stem.weight: eps 1e-08, expected 5e-09 (× 0.5)",
    ]


def test_parameters_and_groups() -> None:
    model = fresh()
    groups = plan().param_groups(model, lr=LR)
    assert "hidden.weight is in no param group" in refused(
        model, torch.optim.AdamW([g for g in groups if g["name"] != "hidden lr×0.5"])
    )
    assert "is in several param groups" in refused(model, [adamw(model), adamw(model)])
    assert "3 parameters of the optimizer are not the model's" in refused(fresh(), adamw(model))
    assert "trained by SGD, the plan is for adamw" in refused(model, torch.optim.SGD(groups, lr=LR))
    # L2 in the gradient is another thing than decoupled decay
    assert "trained by Adam, the plan is for adamw" in refused(model, torch.optim.Adam(groups, lr=LR))


def test_no_decay_is_the_users_to_say_and_other_rates_need_their_groups() -> None:
    model = fresh()
    own = [
        {"params": [model.stem.weight], "lr": LR, "weight_decay": 0.0, "eps": 1e-8},
        {"params": [model.hidden.weight, model.head.weight], "lr": LR / 3, "weight_decay": DECAY, "eps": 1e-8},
    ]
    optimizer = torch.optim.AdamW(plan().refine(model, own), lr=LR)
    assert "groups=" in refused(model, optimizer)
    scheduler = S.CosineAnnealingLR(optimizer, 50)
    assert plan().verify(model, optimizer, scheduler, groups=own).steps == 51
    flat = S.CosineAnnealingLR(optimizer, 50, eta_min=1e-4)
    assert "expected" in refused(model, optimizer, flat, groups=own)


def test_what_groups_of_ones_own_leave_to_the_optimizer_is_not_scaled() -> None:
    model = fresh()
    own = [{"params": list(model.parameters()), "lr": LR, "weight_decay": DECAY}]
    found = refused(model, torch.optim.AdamW(plan().refine(model, own), lr=LR))
    assert "stem.weight: eps 1e-08, expected 5e-09" in found
    assert "give plan.refine groups that say it" in found


def test_nothing_changes_and_the_scheduler_may_be_on_its_way() -> None:
    model = fresh()
    optimizer = adamw(model)
    scheduler = S.OneCycleLR(optimizer, [g["lr"] for g in optimizer.param_groups], total_steps=40)
    for _ in range(7):
        optimizer.step()
        scheduler.step()
    before = ([dict(g) for g in optimizer.param_groups], {**scheduler.__dict__, "optimizer": None})
    assert plan().verify(model, optimizer, scheduler).steps
    assert ([dict(g) for g in optimizer.param_groups], {**scheduler.__dict__, "optimizer": None}) == before

    def writes(step: int) -> None:
        for group in optimizer.param_groups:
            group["lr"] = LR / (1 + step)

    assert "hidden.weight: lr 0.0015, expected 0.00075 (× 0.5) from step 1 of writes on" in refused(
        model, optimizer, writes
    )
    assert [dict(g) for g in optimizer.param_groups] == before[0]


def test_a_function_that_writes_into_rates_that_are_tensors_changes_nothing() -> None:
    model, rate = fresh(), torch.tensor(LR)
    optimizer = torch.optim.AdamW(plan().param_groups(model, lr=rate), lr=rate, foreach=False)  # type: ignore[arg-type]
    before = [(group["lr"], float(group["lr"])) for group in optimizer.param_groups]

    def flat(step: int) -> None:
        for group in optimizer.param_groups:
            group["lr"].fill_(LR / (1 + step))

    assert "hidden.weight: lr 0.0015, expected 0.00075" in refused(model, optimizer, flat)
    assert all(group["lr"] is held for group, (held, _) in zip(optimizer.param_groups, before, strict=True))
    assert [float(group["lr"]) for group in optimizer.param_groups] == [value for _, value in before]


class Halved:
    """A scheduler of one's own, which calls its optimizer what it likes."""

    def __init__(self, optimizer: Any) -> None:
        self.held = [optimizer]

    def step(self) -> None:
        for group in self.held[0].param_groups:
            group["lr"] /= 2


def test_a_scheduler_of_another_optimizer() -> None:
    model = fresh()
    assert "steps another optimizer" in refused(model, adamw(model), S.CosineAnnealingLR(adamw(model), 10))
    assert "Halved steps another optimizer" in refused(model, adamw(model), Halved(adamw(model)))
    optimizer = adamw(model)
    assert plan().verify(model, optimizer, Halved(optimizer)).steps


LONG: dict[str, Callable[[Any, float], Any]] = {
    "in sequence": lambda o, floor: S.SequentialLR(
        o,
        [S.LinearLR(o, 0.1, total_iters=2000), S.ConstantLR(o, 1.0, 90_000), S.CosineAnnealingLR(o, 900, floor)],
        [2000, 92_000],
    ),
    "restarts": lambda o, floor: S.CosineAnnealingWarmRestarts(o, 100_000, eta_min=floor),
}


@pytest.mark.parametrize("name", LONG)
def test_a_floor_that_a_long_schedule_has_at_its_end(name: str) -> None:
    model = fresh()
    optimizer = adamw(model)
    assert "hidden.weight: lr" in refused(model, optimizer, LONG[name](optimizer, 1e-4))
    optimizer = adamw(model)
    found = plan().verify(model, optimizer, LONG[name](optimizer, 0.0))
    assert not found.notes


def test_a_floor_at_the_end_of_a_long_schedule_that_counts_on_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    """A chain of schedulers has no closed form: it is stepped all the way, and looked at every now and then."""
    monkeypatch.setattr("muaudit.targets.schedulers.MOST_STEPS", 100)
    monkeypatch.setattr("muaudit.targets.schedulers.MOST_STEPPED", 3000)
    model = fresh()
    for floor in (0.0, 1e-4):
        optimizer = adamw(model)
        parts = [S.LinearLR(optimizer, total_iters=100), S.CosineAnnealingLR(optimizer, 2000, floor)]
        if floor:
            assert "hidden.weight: lr" in refused(model, optimizer, S.ChainedScheduler(parts))
        else:
            assert not plan().verify(model, optimizer, S.ChainedScheduler(parts)).notes


def test_what_was_not_looked_at_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("muaudit.targets.schedulers.MOST_STEPS", 20)
    monkeypatch.setattr("muaudit.targets.schedulers.MOST_STEPPED", 50)
    model = fresh()
    optimizer = adamw(model)
    both = [S.LinearLR(optimizer, total_iters=10), S.ExponentialLR(optimizer, 0.999), S.StepLR(optimizer, 300)]
    assert not plan().verify(model, optimizer, S.ChainedScheduler(both[:1])).notes
    (note,) = plan().verify(model, optimizer, S.ChainedScheduler(both)).notes
    assert "goes on after step 51" in note


def test_rates_that_are_held_against_nothing_are_told() -> None:
    model = fresh().requires_grad_(False)
    model.head.weight.requires_grad_(True)
    (note,) = plan().verify(model, torch.optim.AdamW([model.head.weight], lr=LR)).notes
    assert "× 0.5: right where 0.006 was tuned" in note


def test_what_schedulers_read_as_the_optimizers_own_rate() -> None:
    model = fresh()
    found = plan().verify(model, torch.optim.AdamW(plan().param_groups(model, lr=LR)))
    assert "is 0.001: AdamW(groups, lr=LR)" in repr(found)
    assert repr(plan().verify(model, adamw(model))) == "as planned: 3 parameters in 3 groups"


def test_nothing_is_said_of_the_optimizers_own_rate_on_the_way_of_a_warm_up() -> None:
    """A loop that writes `group["lr"]` itself: on its way up the groups hold less than the rate that was tuned."""
    model = fresh()
    optimizer = adamw(model)
    for group in optimizer.param_groups:
        group["lr"] *= 0.1
    F.cross_entropy(model(X), LABELS).backward()
    optimizer.step()
    assert plan().verify(model, optimizer).notes == ()
    rising = WarmupLR(optimizer, 0.0, LR, 10)
    rising.min_lrs, rising.delta_lrs = [0.0] * 3, [LR * group["lr_scale"] for group in optimizer.param_groups]
    assert plan().verify(model, optimizer, rising).notes == ()
    told = plan().verify(model, optimizer, S.LambdaLR(optimizer, lambda step: 1.0)).notes
    assert "own lr, which some schedulers read, is 0.003" in told[0]  # here a tenth of it is what was tuned


def test_a_resumed_checkpoint_brings_old_rates_back() -> None:
    model = fresh()
    groups = [{"params": [p], "lr": LR, "weight_decay": DECAY} for p in model.parameters()]
    old = torch.optim.AdamW(groups, lr=LR).state_dict()
    optimizer = adamw(model)
    watched = plan().watch(optimizer)
    optimizer.load_state_dict(old)
    assert "hidden.weight: lr 0.003, expected 0.0015" in refused(model, optimizer)
    for p in model.parameters():
        p.grad = torch.zeros_like(p)
    with pytest.warns(PlanWarning, match=r"step 1 .*\n  hidden lr×0.5: lr 0.003, expected 0.0015"):
        optimizer.step()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        optimizer.step()  # said once
    watched.remove()


@pytest.mark.parametrize("known_by", ["groups", "model"])
def test_a_loop_that_writes_one_rate(known_by: str) -> None:
    model = fresh()
    optimizer = adamw(model)
    plan().watch(optimizer, *([model] if known_by == "model" else []))
    for step in range(4):
        for p in model.parameters():
            p.grad = torch.zeros_like(p)
        for group in optimizer.param_groups:
            group["lr"] = group["lr"] * 0.9 if step < 3 else LR
        if step < 3:
            with warnings.catch_warnings():
                warnings.simplefilter("error")
                optimizer.step()
        else:
            with pytest.warns(PlanWarning, match="step 4 "):
                optimizer.step()
    assert "_muaudit" not in " ".join(key for p in model.parameters() for key in p.__dict__)


def stepped(optimizer: Any) -> list[str]:
    """The warnings of one step."""
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        optimizer.step()
    return [str(each.message) for each in told if issubclass(each.category, PlanWarning)]


@pytest.mark.parametrize("known_by", ["groups", "model"])
def test_groups_that_come_and_go_and_change_places(known_by: str) -> None:
    model = fresh()
    *first, last = plan().param_groups(model, lr=LR)
    optimizer = torch.optim.AdamW(first, lr=LR)
    plan().watch(optimizer, *([model] if known_by == "model" else []))
    assert not stepped(optimizer)
    optimizer.add_param_group({**last, "lr": LR * 7})
    (told,) = stepped(optimizer)
    assert ("head.weight" if known_by == "model" else "output") in told
    assert "lr 0.021, expected 0.0015 (× 0.5)" in told
    optimizer.param_groups.pop()
    optimizer.param_groups.reverse()
    assert not stepped(optimizer)
    unsaid = {"params": [nn.Parameter(torch.zeros(2))], "name": "adapter"}
    optimizer.add_param_group(unsaid)
    assert ["adapter: nothing says" in each for each in [*stepped(optimizer), *stepped(optimizer)]] == [True]


def test_flattened_parameters_go_by_what_their_groups_say() -> None:
    """ZeRO puts one flat tensor in place of a group's parameters and keeps its settings."""
    model = fresh()
    optimizer = adamw(model)
    plan().watch(optimizer, model)
    for group in optimizer.param_groups:
        group["params"] = [torch.cat([p.detach().flatten() for p in group["params"]])]
    assert not stepped(optimizer)
    optimizer.param_groups[0]["lr"] *= 3
    assert len(stepped(optimizer)) == 1


def test_groups_of_ones_own_are_watched_with_the_model() -> None:
    model = fresh()
    optimizer = torch.optim.AdamW(model.parameters(), lr=LR)
    with pytest.raises(UserError, match=r"plan\.watch\(optimizer, model\)"):
        plan().watch(optimizer)
    plan().watch(optimizer, model)
    with pytest.warns(PlanWarning, match=r"hidden\.weight: lr"):
        optimizer.step()


def test_watching_again_takes_the_place_of_the_first() -> None:
    """In a cell that is run twice, or after a checkpoint; another model of the same optimizer is watched beside it."""
    model, other = fresh(), fresh()
    optimizer = adamw(model)
    first = plan().watch(optimizer)
    plan().watch(optimizer, model)
    optimizer.param_groups[0]["lr"] *= 3
    assert len(stepped(optimizer)) == 1
    first.remove()  # it is already
    pair = [adamw(model), adamw(other)]
    plan().watch(pair[0])
    plan().watch(pair[1])
    for each in pair:
        each.param_groups[0]["lr"] *= 3
    assert [len(stepped(each)) for each in pair] == [1, 1]


def test_multipliers_that_are_not_there() -> None:
    from test_convert import tied_target

    target = tied_target()
    hooked = make_plan(target, 64, 128)
    model = target.build({target.axes[0].name: 128}, 0)
    optimizer = torch.optim.AdamW(hooked.param_groups(model, lr=LR), lr=LR)
    with pytest.raises(UserError, match=r"the multiplier × 0\.5 on the input of head is not there"):
        hooked.verify(model, optimizer)
    assert hooked.verify(hooked.install_hooks(model), optimizer).parameters
