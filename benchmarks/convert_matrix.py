"""Convert every standard model in every formulation and audit it as converted: what `check --plan` then says.

    python benchmarks/convert_matrix.py                       # all subjects; finished rows are kept and not run again
    python benchmarks/convert_matrix.py --only gpt llama_hf   # some, anew

Subjects are the SP fixtures, the published shapes of fixtures/hf, and further transformers families from their default
configs made small. Each is planned for AdamW and for SGD in all formulations, every plan goes through its file, and the
model is audited with it: "ok" means exit 0, else the rules of the errors, or "unanalysed" for findings that could not
be judged, which do not change the exit code. A plan must also fit the whole model where a smaller one of its kind was
audited: names, shapes, modules with multipliers. Prints a table and the misses.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
OPTIMIZERS = ("adamw", "sgd")
FAMILIES = (
    "GPTNeoXForCausalLM", "OPTForCausalLM", "PhiForCausalLM", "CohereForCausalLM", "BertForMaskedLM",
    "T5ForConditionalGeneration", "ViTForImageClassification", "StableLmForCausalLM", "BloomForCausalLM",
)  # fmt: skip


def subjects() -> dict[str, Callable[[str], Any]]:
    """Name to a function from an optimizer's name to the target."""
    from muaudit.targets import TargetOptions, resolve
    from muaudit.targets.huggingface import target_from_object

    def at(path: Path) -> Callable[[str], Any]:
        return lambda optimizer: resolve(str(path), TargetOptions(optimizer=optimizer))

    def of(name: str) -> Callable[[str], Any]:
        import transformers

        return lambda optimizer: target_from_object(
            getattr(transformers, name), TargetOptions(optimizer=optimizer), None
        )

    found = {path.parent.name: at(path) for path in sorted((ROOT / "fixtures").glob("*/sp.py"))}
    found |= {
        f"{path.parent.name}_hf": at(path.parent) for path in sorted((ROOT / "fixtures/hf").glob("*/config.json"))
    }
    return found | {name: of(name) for name in FAMILIES}


def row(make: Callable[[str], Any], optimizer: str) -> dict[str, str]:
    """By formulation: how the model as converted is judged."""
    from muaudit.audit import audit
    from muaudit.convert.planner import make_plans
    from muaudit.errors import UserError
    from muaudit.plan.file import load_plan, write_plan
    from muaudit.plan.planned import planned
    from muaudit.plan.scales import FORMULATIONS

    try:
        target = make(optimizer)
        width = 4 * target.axes[0].probes[0]
        before = ", ".join(sorted({v.rule for v in audit(target).violations if v.severity == "error"}))
        out = {"before": before or "clean"}
    except UserError as error:
        return {"before": f"no audit: {error}"}
    for formulation in FORMULATIONS:
        try:
            (plan,) = make_plans(target, target.axes[0].probes[0], width, [formulation])
            with tempfile.TemporaryDirectory() as folder:
                write_plan(plan, Path(folder) / "plan.yaml")
                plan = load_plan(Path(folder) / "plan.yaml")
            fits(target, plan)
            report = audit(planned(target, plan))
            errors = sorted({f"{v.rule} {v.pattern or v.module}" for v in report.violations if v.severity == "error"})
            out[formulation] = ", ".join(errors) or ("ok" if not report.unanalysed else "ok, unanalysed "
                                                     + report.unanalysed[0].name)  # fmt: skip
        except UserError as error:
            out[formulation] = f"no plan: {error}"
        except Exception as error:
            out[formulation] = f"CRASH {type(error).__name__}: {error}"
    return out


def fits(target: Any, plan: Any) -> None:
    """Hold the plan against the whole model, without its weights. Raises UserError where it does not fit."""
    from muaudit.plan.apply import match, modules_of
    from muaudit.targets import TargetOptions
    from muaudit.targets.skeleton import skeleton
    from muaudit.targets.whole import whole

    if target.own is not None and target.axes[0].default:
        full, _ = whole(target, TargetOptions(), lambda changed: target)
        model = skeleton(full, target.axes[0].default).model
        own = plan.at(target.axes[0].default)
        match(own, model)
        modules_of(own, model)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--only", nargs="*", default=[], metavar="SUBJECT")
    parser.add_argument("--results", type=Path, default=Path(tempfile.gettempdir()) / "muaudit-convert-matrix.json")
    parser.add_argument("--seconds", type=float, default=1e9, help="stop after so long; run again to go on")
    given = parser.parse_args()
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    warnings.simplefilter("ignore")
    rows: dict[str, dict[str, str]] = json.loads(given.results.read_text()) if given.results.exists() else {}
    known, start = subjects(), time.perf_counter()
    for name in given.only or known:
        for optimizer in OPTIMIZERS:
            key = f"{name} {optimizer}"
            if (key in rows and not given.only) or time.perf_counter() - start > given.seconds:
                continue
            rows[key] = row(known[name], optimizer)
            given.results.write_text(json.dumps(rows, indent=1))
            print(f"{key:40}", " | ".join(f"{k}: {v}"[:160] for k, v in rows[key].items()), flush=True)
    cells = [(key, kind, text) for key, each in rows.items() for kind, text in each.items() if kind != "before"]
    good = sum(text.startswith("ok") for _, _, text in cells)
    print(f"\n{len(rows)} subjects and optimizers, {good} of {len(cells)} conversions audit with exit 0")
    for key, kind, text in cells:
        if text != "ok":
            print(f"  {key} {kind}: {text}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
