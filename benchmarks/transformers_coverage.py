"""Audit every family that the installed transformers can build, and print the coverage table.

    python benchmarks/transformers_coverage.py                          # all families, a summary at the end
    python benchmarks/transformers_coverage.py --only llama vit t5      # some
    python benchmarks/transformers_coverage.py --write docs/coverage.md # also write the table kept in docs
    ... --part 2/2 --results b.json                                     # every second family, in a second terminal
    ... --results a.json b.json --write docs/coverage.md                # several results files as one

A family is a model type in one of the mappings below, audited once, as the first class it appears with, from the
default config of that class made small (`muaudit check` on a config does the same). Covered means: a verdict, and no
operation or tensor that the audit could not analyse. Finished families are kept in `--results` and not run again;
delete that file, or name families with --only, to run them anew. Every family runs in a process of its own. Where
transformers cannot build the default config itself, as it leaves out what the model reads, `SUPPLIED` fills that in.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import queue
import sys
import tempfile
import textwrap
import time
import warnings
from collections import Counter
from pathlib import Path
from typing import Any

from pointing.tables import BEGIN

MAPPINGS = {
    "encoder-decoder": "MODEL_FOR_SEQ_TO_SEQ_CAUSAL_LM_MAPPING_NAMES",
    "speech to text": "MODEL_FOR_SPEECH_SEQ_2_SEQ_MAPPING_NAMES",
    "masked LM": "MODEL_FOR_MASKED_LM_MAPPING_NAMES",
    "causal LM": "MODEL_FOR_CAUSAL_LM_MAPPING_NAMES",
    "vision": "MODEL_FOR_IMAGE_CLASSIFICATION_MAPPING_NAMES",
    "CTC": "MODEL_FOR_CTC_MAPPING_NAMES",
    "audio": "MODEL_FOR_AUDIO_CLASSIFICATION_MAPPING_NAMES",
}
SUPPLIED: dict[str, dict[str, Any]] = {
    "cohere_compass_text": {"rope_parameters": {"full_attention": {"rope_type": "default", "rope_theta": 10000.0}}},
    "dbrx": {"attn_config": {"kv_n_heads": 8, "rope_theta": 10000.0, "clip_qkv": 8.0}},
    "dots1": {"n_shared_experts": 1, "n_routed_experts": 8, "num_experts_per_tok": 2},
    "esm": {"vocab_size": 33, "pad_token_id": 1, "mask_token_id": 32},
    "lfm2_moe": {"layer_types": ["conv", "full_attention"] * 16},
    "moonshine_streaming": {"num_key_value_heads": 8},
    "qwen4_exp_text": {"indexer_n_heads": 4, "indexer_kv_heads": 1, "indexer_head_dim": 256, "indexer_budget": 8,
                       "indexer_compress_ratio": 4},
}  # fmt: skip
SUPPLIED["qwen4_exp"] = SUPPLIED["qwen4_exp_text"]
"""Fields without which transformers cannot build a family's default config, with values of the family's checkpoints."""
SECONDS = 240
REASONS = Path(__file__).with_suffix(".reasons.json")


def families() -> dict[str, tuple[str, str]]:
    """Model type to (kind of model, class name), in the order of the mappings."""
    from transformers.models.auto import modeling_auto

    found: dict[str, tuple[str, str]] = {}
    for kind, mapping in MAPPINGS.items():
        for model_type, name in getattr(modeling_auto, mapping).items():
            found.setdefault(model_type, (kind, name if isinstance(name, str) else name[0]))
    return found


def target_of(family: str, model: str) -> Any:
    """The audit's target: the class as it is, else its config with what the defaults leave out."""
    import transformers

    from muaudit.targets.huggingface import target_from_object
    from muaudit.targets.options import TargetOptions

    cls = getattr(transformers, model)
    if family not in SUPPLIED:
        return target_from_object(cls, TargetOptions(), None)
    return target_from_object(cls.config_class(**SUPPLIED[family], architectures=[model]), TargetOptions(), None)


def audit_family(family: str, model: str, answer: Any) -> None:
    """In a process of its own: put the row of one family into `answer`."""
    import torch

    from muaudit.audit import audit
    from muaudit.errors import UserError

    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    start = time.perf_counter()
    try:
        target = target_of(family, model)
        report = audit(target)
        counts = Counter(violation.severity for violation in report.violations)
        row = {"verdict": report.verdict, "unanalysed": [f"{each.name}: {each.reason}" for each in report.unanalysed],
               "errors": counts["error"], "warnings": counts["warning"],
               "rules": Counter(v.rule for v in report.violations if v.severity == "error"),
               "audited": target.label.partition("(")[0]}  # fmt: skip
    except UserError as error:
        row = {"verdict": "", "reason": str(error)}
    except Exception as error:
        row = {"verdict": "", "reason": f"CRASH {type(error).__name__}: {error}"}
    answer.put(row | {"seconds": round(time.perf_counter() - start, 1)})


def run(family: str, model: str, context: Any) -> dict[str, Any]:
    answer = context.Queue()
    process = context.Process(target=audit_family, args=(family, model, answer))
    process.start()
    start = time.perf_counter()
    while True:
        try:
            row: dict[str, Any] = answer.get(timeout=1)
            break
        except queue.Empty:
            if not process.is_alive():
                row = {"verdict": "", "reason": f"the process ended with {process.exitcode}"}
                break
            if time.perf_counter() - start > SECONDS:
                process.kill()
                row = {"verdict": "", "reason": f"took more than {SECONDS} s"}
                break
    process.join()
    return row


def covered(row: dict[str, Any]) -> bool:
    return bool(row["verdict"]) and row["verdict"] != "unknown" and not row["unanalysed"]


def table(rows: dict[str, dict[str, Any]], version: str) -> str:
    """The page kept in docs: the figures by kind, then every family that is not covered, then those that are."""
    kinds = {kind: [row for row in rows.values() if row["kind"] == kind] for kind in MAPPINGS}
    share = sum(map(covered, rows.values())) / len(rows)
    parts = sum(row.get("audited", row["model"]) != row["model"] for row in rows.values() if covered(row))
    reasons = json.loads(REASONS.read_text()) if REASONS.exists() else {}
    lines = [
        "# Coverage of transformers", "",
        "Every family that transformers can build, audited from its default config made small as `muaudit check` makes",
        "a published `config.json` small. A family is a model type in one of the mappings below, as the first class it",
        "appears with. A model of text, images and sound is audited as its language model where transformers has one:",
        f"{parts} of those covered. Covered means: a verdict, and no operation and no parameter that could not be",
        "analysed.", "",
        f"**{sum(map(covered, rows.values()))} of {len(rows)} families are covered, {share:.1%}**"
        f" (transformers {version}). The page is written by", "",
        "<!-- docs: not run: takes half an hour -->",
        "```bash", "python benchmarks/transformers_coverage.py --write docs/coverage.md", "```", "",
        "| kind | families | covered |", "|---|---|---|",
        *(f"| {kind} | {len(of)} | {sum(map(covered, of))} |" for kind, of in kinds.items()), "",
        "## Not covered", "", "| family | model | why |", "|---|---|---|",
        *(f"| {name} | {row['model']} | {reasons.get(name) or why(row)} |"
          for name, row in rows.items() if not covered(row)), "",
        "## Filled in", "",
        "transformers cannot build these from their defaults, which leave out what the model reads:", "",
        *(f"- {name}: `{textwrap.shorten(json.dumps(fields), 150, placeholder=' …')}`"
          for name, fields in SUPPLIED.items() if name in rows), "",
        "## Covered", "",
        "The rules are those of severity error; what each means is said by `muaudit explain` and in the",
        "[list of rules](rules/index.md). Nearly all of transformers is in the standard parametrization: one learning",
        "rate, inits of one size, readouts without a multiplier.", "",
        "| family | audited as | verdict | rules | warnings |", "|---|---|---|---|---|",
        *(f"| {name} | {row.get('audited') or row['model']} | {row['verdict']} | {', '.join(sorted(row['rules']))} |"
          f" {row['warnings']} |" for name, row in rows.items() if covered(row)), "",
    ]  # fmt: skip
    return "\n".join(lines)


def section(page: str) -> str:
    """What follows on the same page: what benchmarks/pointing.py keeps there, and what is written by hand."""
    return f"\n{BEGIN}{page.partition(BEGIN)[2]}" if BEGIN in page else ""


def why(row: dict[str, Any]) -> str:
    text = row.get("reason") or "not analysed: " + ", ".join(sorted(set(row["unanalysed"]))[:4] or [row["verdict"]])
    return " ".join(text.replace("|", "/").split())[:300]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--only", nargs="*", default=[], metavar="FAMILY")
    parser.add_argument(
        "--results",
        type=Path,
        nargs="+",
        metavar="FILE",
        default=[Path(tempfile.gettempdir()) / "muaudit-coverage.json"],
    )
    parser.add_argument("--part", default="1/1", metavar="I/N", help="families I, I + N, I + 2 N, ... only")
    parser.add_argument("--write", type=Path, metavar="FILE")
    parser.add_argument("--minutes", type=float, default=float("inf"), help="stop after so long; run again to go on")
    options = parser.parse_args()

    import torch  # noqa: F401 -- once, before the processes are forked
    import transformers

    known = families()
    rows: dict[str, dict[str, Any]] = {}
    for file in options.results:
        rows |= json.loads(file.read_text()) if file.exists() else {}
    context = multiprocessing.get_context("fork")
    first, step = map(int, options.part.split("/"))
    end = time.monotonic() + 60 * options.minutes
    for family in options.only or [each for each in list(known)[first - 1 :: step] if each not in rows]:
        if time.monotonic() > end:
            break
        kind, model = known[family]
        rows[family] = run(family, model, context) | {"kind": kind, "model": model}
        options.results[0].write_text(json.dumps(rows, indent=1))
        row = rows[family]
        print(f"{family:28} {row.get('seconds', ''):>6} {row['verdict'] or '-':9}"
              f" {'' if covered(row) else why(row)}", flush=True)  # fmt: skip
    rows = {family: rows[family] for family in known if family in rows}
    done = sum(map(covered, rows.values()))
    print(f"{done} of {len(rows)} families covered, {done / max(1, len(rows)):.1%}")
    if options.write:
        before = options.write.read_text() if options.write.exists() else ""
        options.write.write_text(table(rows, transformers.__version__) + section(before))
    return 0


if __name__ == "__main__":
    sys.exit(main())
