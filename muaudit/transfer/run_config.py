"""What a run was, or will be, configured with: sizes and hyperparameters in a YAML or JSON file of anybody's."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import UserError
from ..pairs import pairs
from ..reading import Malformed, parse_json, parse_yaml, read_text
from ..suggest import nearest
from .run_size import RunSize, of_numbers, suffixed

NAMES: Mapping[str, tuple[str, ...]] = {
    "width": ("width", "hidden_size", "n_embd", "d_model", "hidden_dim", "embed_dim", "dim"),
    "depth": ("depth", "num_hidden_layers", "n_layer", "n_layers", "num_layers"),
    "batch": ("batch", "global_batch_size", "train_batch_size", "total_batch_size", "batch_size"),
    "tokens": ("tokens", "train_tokens", "total_tokens", "max_tokens", "data", "examples"),
    "steps": ("steps", "max_steps", "total_steps", "train_iters", "max_iters", "num_steps"),
    "lr": ("lr", "learning_rate", "max_lr", "peak_lr"),
    "weight_decay": ("weight_decay", "wd"),
    "beta1": ("beta1", "adam_beta1"),
    "beta2": ("beta2", "adam_beta2"),
    "eps": ("eps", "adam_epsilon", "epsilon", "adam_eps"),
    "momentum": ("momentum", "sgd_momentum"),
    "clip": ("clip", "max_grad_norm", "grad_clip", "gradient_clip_val", "clip_grad"),
    "warmup": ("warmup", "warmup_steps", "warmup_iters", "lr_warmup_iters"),
    "init_std": ("init_std", "initializer_range", "init_method_std"),
}
"""What each is called, our own name first; the others as Hugging Face, nanoGPT and Megatron have them."""
_PER_DEVICE = ("per_device_train_batch_size", "micro_batch_size")
_TIMES = ("gradient_accumulation_steps", "world_size", "num_gpus", "n_gpu", "data_parallel_size")


@dataclass(frozen=True)
class RunConfig:
    """Sizes, and hyperparameters by their names for `--set`."""

    path: str
    size: RunSize
    values: Mapping[str, float]


def parse_names(texts: Iterable[str]) -> dict[str, str]:
    """`lr=optimizer.peak,batch=data.tokens_per_step` to what each is called. Raises UserError."""
    return check_names({ours: theirs for _, ours, theirs in pairs(texts)})


def check_names(names: Mapping[str, str]) -> dict[str, str]:
    """What each setting is called, unchanged. Raises UserError where one is not known."""
    for ours in names:
        if ours not in NAMES:
            raise UserError(f"--names: {ours!r} is no known setting", nearest(ours, NAMES, "settings"))
    return dict(names)


def read_config(path: Path, names: Mapping[str, str]) -> RunConfig:
    """The configuration in a file. Raises UserError where it is none, or names a setting twice with other values."""
    text = read_text(path, "--audit takes two files of runs, YAML or JSON")
    try:
        data = parse_json(text) if path.suffix == ".json" else parse_yaml(text)
    except Malformed as error:
        raise UserError(f"{path}: {error}", "--audit takes YAML or JSON") from None
    if not isinstance(data, dict):
        raise UserError(f"{path} holds a {type(data).__name__}, expected names with values")
    leaves = dict(_leaves(data, ""))
    found: dict[str, float] = {}
    for ours, theirs in NAMES.items():
        value = _value(leaves, (names[ours],) if ours in names else theirs, path)
        if value is None and ours in names:
            raise UserError(f"{path} has no {names[ours]}", nearest(names[ours], leaves, "it has"))
        if value is not None:
            found[ours] = value
    if (betas := next((leaves[name] for name in leaves if name.rpartition(".")[2] == "betas"), None)) is not None:
        found |= _betas(betas, path)
    if "batch" not in found and (per_device := _value(leaves, _PER_DEVICE, path)) is not None:
        found["batch"] = per_device * math.prod(_value(leaves, (name,), path) or 1.0 for name in _TIMES)
    _warmup_share(leaves, found, path)
    sizes: dict[str, float] = {
        name: found.pop(name) for name in ("width", "depth", "batch", "tokens", "steps") if name in found
    }
    if "steps" in sizes and "batch" not in sizes and "tokens" not in sizes:
        del sizes["steps"]
    return RunConfig(str(path), of_numbers(sizes, str(path)), found)


def _leaves(data: Mapping[Any, Any], prefix: str) -> Iterator[tuple[str, Any]]:
    """Every value with the dotted name of where it stands; in a list of mappings their number is a part of it, other
    lists count as values."""
    for name, value in data.items():
        if isinstance(value, Mapping):
            yield from _leaves(value, f"{prefix}{name}.")
        elif isinstance(value, list) and value and all(isinstance(each, Mapping) for each in value):
            yield from _leaves(dict(enumerate(value)), f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value


def _value(leaves: Mapping[str, Any], names: Iterable[str], path: Path) -> float | None:
    """By the likeliest name that is there: in full, or as the last part of it."""
    for name in names:
        found = {leaf: value for leaf, value in leaves.items() if leaf == name or leaf.endswith(f".{name}")}
        numbers = {leaf: _number(value, leaf, path) for leaf, value in found.items() if value is not None}
        if len(set(numbers.values())) > 1:
            listed = ", ".join(f"{leaf} {value:g}" for leaf, value in numbers.items())
            raise UserError(f"{path} has several values: {listed}", "--names says which is meant, in full")
        if numbers:
            value = next(iter(numbers.values()))
            return None if value < 0 else value  # max_steps: -1 stands for none
    return None


def _number(value: Any, name: str, path: Path) -> float:
    try:
        if isinstance(value, bool):
            raise ValueError
        short = suffixed(value) if isinstance(value, str) else None  # 512K
        found = float(value) if short is None else short  # YAML 1.1 reads 1e-3 as a text
    except (TypeError, ValueError):
        raise UserError(f"{path}: {name} is {value!r}, expected a number") from None
    if not math.isfinite(found):
        raise UserError(f"{path}: {name} is {value!r}, expected a finite number")
    return found


def _betas(betas: Any, path: Path) -> dict[str, float]:
    if not isinstance(betas, list) or len(betas) < 2:
        raise UserError(f"{path}: betas is {betas!r}, expected two numbers")
    return {"beta1": _number(betas[0], "betas", path), "beta2": _number(betas[1], "betas", path)}


def _warmup_share(leaves: Mapping[str, Any], found: dict[str, float], path: Path) -> None:
    """Hugging Face's `warmup_ratio` as steps, where `warmup_steps` is not given (0 there)."""
    ratio = _value(leaves, ("warmup_ratio",), path)
    steps = found.get("steps")
    if ratio and steps and not found.get("warmup"):
        found["warmup"] = ratio * steps
