"""Flags that several commands share, each spelled once."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from muaudit.cli import complete

Target = Annotated[
    str | None,
    typer.Argument(
        metavar="TARGET",
        help="file.py, file.py:Name, package.module:Name, a Hugging Face config.json (folder or file), or the name of "
        "a configured target. Left out: the configured targets, else the one auditable file here.",
        show_default=False,
        autocompletion=complete.targets,
    ),
]
Width = Annotated[
    list[str] | None,
    typer.Option(
        metavar="NAME=N,N", help="The two small widths to compare, e.g. n_embd=64,128. Repeat for independent widths."
    ),
]
GrowingWidth = Annotated[
    list[str] | None, typer.Option(metavar="NAME=N,N", help="Probe widths of the audit, and which width grows.")
]
Depth = Annotated[
    list[str] | None,
    typer.Option(metavar="NAME=N,N", help="Probe numbers of blocks for --axis depth, e.g. n_layer=2,4. Repeatable."),
]
Axis = Annotated[
    str | None,
    typer.Option(
        metavar="NAME",
        help="What grows: width (default), depth, or both as width,depth; NAME=N,N reads along any argument.",
    ),
]
Set = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="Another constructor argument or config field. Repeatable."),
]
Input = Annotated[
    list[str] | None,
    typer.Option(
        "--input", metavar="[NAME=]SPEC", help="What the forward is called with, e.g. 'int64[2,32]'. Repeatable."
    ),
]
Init = Annotated[
    str | None,
    typer.Option(metavar="METHOD", help="Initialize with this method after building (default: found out)."),
]
NoInit = Annotated[bool, typer.Option("--no-init", help="Judge what the constructor leaves; call nothing after it.")]
Optimizer = Annotated[
    str | None, typer.Option(metavar="NAME", help="The optimizer where the target has none (default adamw).")
]
LrGroup = Annotated[
    list[str] | None,
    typer.Option(
        metavar="PATTERN=EXPONENT", help="Learning rate ∝ width^EXPONENT for matching parameters. Repeatable."
    ),
]
OptimizerKind = Annotated[
    list[str] | None,
    typer.Option(
        metavar="PATTERN=KIND",
        help="Parameters that your own optimizer trains as KIND does: 'blocks.*=muon'. Repeatable.",
    ),
]
Data = Annotated[
    str | None,
    typer.Option(metavar="NAME", help="text, teacher or digits (default: the target's own, else as its input)."),
]
BatchSize = Annotated[int, typer.Option(metavar="N", min=1, help="Samples in a batch of built-in data.")]
Schedule = Annotated[
    str | None,
    typer.Option(
        metavar="NAME", help="constant, linear or cosine; several with commas are compared (default: the target's own)."
    ),
]
Widths = Annotated[
    str | None,
    typer.Option(metavar="N,N,N", help="Widths to train at, ascending (default: the first probe ×1, 2, 4, 8)."),
]
Ray = Annotated[
    str | None, typer.Option(metavar="ADDRESS", help="Send the runs to this Ray cluster (needs the extra 'ray').")
]
RayCpus = Annotated[float, typer.Option(metavar="N", min=0, help="CPUs that a run on Ray asks for.")]
RayGpus = Annotated[float, typer.Option(metavar="N", min=0, help="GPUs that a run on Ray asks for.")]
Clip = Annotated[float | None, typer.Option(metavar="NORM", help="Clip gradients whose norm is larger.")]
TrainingLoss = Annotated[
    bool, typer.Option("--training-loss", help="Judge by the last steps of training, also where data are held out.")
]
Warmup = Annotated[int, typer.Option(metavar="N", min=0, help="Steps of linear warmup.")]
Results = Annotated[
    Path | None, typer.Option(metavar="FILE", help="Where finished runs are kept (default: in mup/, by settings).")
]
Device = Annotated[str, typer.Option(metavar="NAME", help="cpu, cuda, mps or xpu.")]
Dtype = Annotated[str, typer.Option(metavar="NAME", help="fp32, bf16 or fp64.")]
Plot = Annotated[Path | None, typer.Option(metavar="FILE", help="Draw it: png, svg or pdf (needs the extra 'plot').")]
Tensorboard = Annotated[
    Path | None,
    typer.Option(metavar="DIR", help="Write TensorBoard event files there (needs the extra 'tensorboard')."),
]
Wandb = Annotated[
    str | None, typer.Option(metavar="PROJECT", help="Log runs of Weights & Biases there (needs the extra 'wandb').")
]
ReportFile = Annotated[Path | None, typer.Option(metavar="FILE", help="Write the report there instead of stdout.")]
Profile = Annotated[
    str | None,
    typer.Option(
        metavar="NAME",
        help="Whose µP to judge by: tp5 (default), tp5-as-written, standard-full-align, lingle, completep (default "
        "over depth), depth-mup, or a YAML file of your own.",
        autocompletion=complete.profiles,
    ),
]
TargetWidth = Annotated[
    int | None, typer.Option(metavar="N", min=1, help="The width you will train at; Adam's eps is judged there.")
]
Bsh = Annotated[Path | None, typer.Option(metavar="FILE", help="The model's base shapes, a file of microsoft/mup's.")]
Plan = Annotated[Path | None, typer.Option(metavar="FILE", help="Judge the model as this plan converts it.")]
Seed = Annotated[int | None, typer.Option(metavar="N", help="Seed of the first initialization (default 0).")]
Config = Annotated[
    Path | None, typer.Option(metavar="FILE", help="Read this configuration rather than the nearest one.")
]
Isolated = Annotated[bool, typer.Option("--isolated", help="Read no configuration.")]
Select = Annotated[
    list[str] | None,
    typer.Option(
        metavar="RULES",
        help="Report these rules only: MUP2,attention-scale. Repeatable.",
        autocompletion=complete.rules,
    ),
]
ExtendSelect = Annotated[
    list[str] | None,
    typer.Option(
        metavar="RULES",
        help="Report these rules besides the selected ones. Repeatable.",
        autocompletion=complete.rules,
    ),
]
Ignore = Annotated[
    list[str] | None,
    typer.Option(metavar="RULES", help="Do not report these rules. Repeatable.", autocompletion=complete.rules),
]
NoCache = Annotated[bool, typer.Option("--no-cache", help="Audit even where nothing has changed, and keep nothing.")]
Jobs = Annotated[int | None, typer.Option(metavar="N", min=1, help="Targets audited at a time (default: one a core).")]
Timeout = Annotated[
    int | None,
    typer.Option(
        metavar="SECONDS", min=1, help="The time a target may take, or from one step of training to the next (1800)."
    ),
]
Verbose = Annotated[
    bool,
    typer.Option(
        "--verbose", help="Say what came from the cache, what is not kept and why, and all that the code prints."
    ),
]
Debug = Annotated[bool, typer.Option("--debug", help="Show the traceback of whatever goes wrong.")]
