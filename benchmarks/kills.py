"""Killing commands at random moments: nothing is lost, nothing is half written, and no process is left.

    python benchmarks/kills.py                     # 100 kills, SIGKILL and SIGTERM in turn
    python benchmarks/kills.py --kills 500 --seed 7

Every command that writes runs in a folder of its own, in the way that people run it, and is killed after a random part
of the time that it takes. Then each file must hold what it held before, or what the command writes when it is left
alone; the results of a sweep, whole lines of that. All processes that it started must be gone within seconds, and the
command, left alone in what is there now, must do its work. Prints a row for every command.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import uuid
from collections import Counter
from collections.abc import Mapping
from functools import cache
from pathlib import Path

FIXTURES = Path(__file__).resolve().parent.parent / "fixtures"
MARK = "MUAUDIT_KILLS"
COMMANDS = {
    "check": ("check", "model.py", "--format", "json", "--output", "report.json"),
    "check --fix": ("check", "gpt.py", "--select", "MUP201", "--fix", "--no-cache"),
    "baseline": ("baseline", "model.py", "--baseline", "baseline.json"),
    "convert": ("convert", "model.py", "--base-width", "64", "--width", "128", "--out", "mup", "--fresh"),
    "coord-check": ("coord-check", "model.py", "--widths", "16,32", "--seeds", "1", "--steps", "2",
                    "--output", "coord.json", "--format", "json"),
    "sweep": ("sweep", "model.py", "--widths", "8,16", "--lr", "2^-8..2^-5", "--steps", "12", "--data", "teacher",
              "--results", "r.jsonl"),
    "init": ("init",),
    "check of two": ("check", "--config", "two.yaml", "--format", "json", "--output", "two.json", "--no-cache"),
    "convert again": ("convert", "model.py", "--base-width", "64", "--width", "128", "--out", "mup", "--state-dict",
                      "weights.pt", "--fresh"),
    "transfer": ("transfer", "model.py", "--from", "64", "--to", "1024", "--set", "lr=0.001", "--output", "t.txt"),
}  # fmt: skip
_TEMPORARY = (".tmp", ".lock")
_COUNTED = (
    "kills", "before the end", "half written", "processes left", "failed afterwards", "temporary files left",
)  # fmt: skip


def prepared(folder: Path) -> Path:
    """A folder as a command finds it."""
    (folder / ".git").mkdir(parents=True)
    shutil.copy(FIXTURES / "mlp" / "sp.py", folder / "model.py")
    shutil.copy(FIXTURES / "gpt" / "sp.py", folder / "gpt.py")
    (folder / "two.yaml").write_text("targets:\n  a: {target: model.py}\n  b: {target: gpt.py}\n")
    (folder / "weights.pt").write_bytes(_weights_of_the_model())
    return folder


@cache
def _weights_of_the_model() -> bytes:
    """A checkpoint of the perceptron in fixtures/mlp/sp.py at width 128."""
    code = "import io, sys, torch; from model import MLP; b = io.BytesIO(); torch.save(MLP(128).state_dict(), b); "
    code += "sys.stdout.buffer.write(b.getvalue())"
    with tempfile.TemporaryDirectory() as folder:
        shutil.copy(FIXTURES / "mlp" / "sp.py", Path(folder) / "model.py")
        return subprocess.run([sys.executable, "-c", code], cwd=folder, capture_output=True, check=True).stdout


def started(command: tuple[str, ...], folder: Path, token: str) -> subprocess.Popen[bytes]:
    """The command, in this folder; all that it starts has the token in its environment."""
    environment = {**os.environ, MARK: token, "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(
        [sys.executable, "-m", "muaudit", *command], cwd=folder, env=environment, stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip


def contents(folder: Path) -> dict[str, bytes]:
    """The files of a folder, but for the cache's and temporary ones."""
    files = [file for file in folder.rglob("*") if file.is_file() and ".muaudit_cache" not in file.parts]
    kept = [file for file in files if "__pycache__" not in file.parts and not is_temporary(file.relative_to(folder))]
    here = str(folder).encode()  # reports say where they are from
    return {str(file.relative_to(folder)): file.read_bytes().replace(here, b"FOLDER") for file in kept}


def is_temporary(path: Path) -> bool:
    """Whether a path is one that a command writes to before it puts a file in its place."""
    return any(part.startswith(".") and part.endswith(_TEMPORARY) for part in path.parts)


def running(token: str) -> list[int]:
    """The processes that have the token in their environment."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and int(entry.name) != os.getpid():
            try:
                environment = (entry / "environ").read_bytes()
                state = (entry / "stat").read_text().rpartition(")")[2].split()[0]
            except OSError:
                continue
            if f"{MARK}={token}".encode() in environment and state != "Z":
                found.append(int(entry.name))
    return found


def left_running(token: str, patience: float = 10.0) -> list[int]:
    """The processes that are still there after some seconds."""
    end = time.monotonic() + patience
    while (found := running(token)) and time.monotonic() < end:
        time.sleep(0.05)
    return found


def half_written(now: Mapping[str, bytes], before: Mapping[str, bytes], after: Mapping[str, bytes]) -> list[str]:
    """Files that are neither what they were nor what they are to be."""
    bad = [name for name in before if name not in now]
    for name, data in now.items():
        if data in (before.get(name), after.get(name)) or (name in after and alike(data, after[name])):
            continue
        if name.endswith(".jsonl") and whole_lines(data, after.get(name, b"")):
            continue
        bad.append(name)
    return bad


def alike(data: bytes, other: bytes) -> bool:
    """Whether two files are the same but for numbers, such as times, and for the order of what a header has."""
    weights = _weights(data)
    return _shape(data) == _shape(other) or (weights is not None and weights == _weights(other))


def _weights(data: bytes) -> tuple[object, bytes] | None:
    """The header and the body of safetensors; its library writes the metadata in any order."""
    length = int.from_bytes(data[:8], "little")
    try:
        return json.loads(data[8 : 8 + length]), data[8 + length :]
    except ValueError:
        return None


def _shape(data: bytes) -> bytes:
    return bytes(byte for byte in data if byte not in b"0123456789.-+e")


def whole_lines(data: bytes, other: bytes) -> bool:
    """Whether results are some of the lines of the others, the last one maybe cut off."""
    *lines, cut = data.split(b"\n")
    known = other.split(b"\n")
    return all(line in known for line in lines) and any(line.startswith(cut) for line in known)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--seconds", type=float, default=3600, help="begin no kill after so many")
    args = parser.parse_args()
    chance, end = random.Random(args.seed), time.monotonic() + args.seconds
    undisturbed = {name: undisturbed_run(command) for name, command in COMMANDS.items()}
    found: dict[str, Counter[str]] = {name: Counter() for name in COMMANDS}
    for number in range(args.kills):
        name = list(COMMANDS)[number % len(COMMANDS)]
        if time.monotonic() > end:
            break
        how = signal.SIGKILL if number // len(COMMANDS) % 2 else signal.SIGTERM
        kill(COMMANDS[name], how, chance, undisturbed[name], found[name])
    total = sum(found.values(), Counter())
    for name, counts in {**found, "all": total}.items():
        print(f"{name:12} " + ", ".join(f"{counts[what]} {what}" for what in _COUNTED))
    sys.exit(1 if total["half written"] or total["processes left"] or total["failed afterwards"] else 0)


def undisturbed_run(command: tuple[str, ...]) -> tuple[float, dict[str, bytes], dict[str, bytes], int]:
    """Seconds, the files before and after, and the exit status, of a command that is left alone."""
    with tempfile.TemporaryDirectory() as base:
        folder = prepared(Path(base) / "work")
        before, begun = contents(folder), time.monotonic()
        status = started(command, folder, uuid.uuid4().hex).wait()
        assert status in (0, 1), f"{command} ends with {status}"
        return time.monotonic() - begun, before, contents(folder), status


def kill(
    command: tuple[str, ...], how: signal.Signals, chance: random.Random,
    alone: tuple[float, dict[str, bytes], dict[str, bytes], int], counts: Counter[str],
) -> None:  # fmt: skip
    """One kill, and what was found after it."""
    length, before, after, status = alone
    with tempfile.TemporaryDirectory() as base:
        folder, token = prepared(Path(base) / "work"), uuid.uuid4().hex
        process = started(command, folder, token)
        time.sleep(chance.uniform(0, length))
        process.send_signal(how)
        ended = process.wait()
        counts["kills"] += 1
        counts["before the end"] += ended < 0
        left = left_running(token)
        counts["processes left"] += len(left)
        for pid in left:
            os.kill(pid, signal.SIGKILL)
        bad = half_written(contents(folder), before, after)
        counts["half written"] += len(bad)
        counts["temporary files left"] += sum(is_temporary(path.relative_to(folder)) for path in folder.rglob("*"))
        again = started(command, folder, uuid.uuid4().hex).wait()
        repeated = command[0] == "init" or "--fix" in command  # done already, there is nothing more to do
        ok = again == status or (repeated and contents(folder).keys() == after.keys())
        counts["failed afterwards"] += not ok
        if bad or left or not ok:
            print(f"{' '.join(command)}: {how.name}: {bad} {left} {again}", flush=True)


if __name__ == "__main__":
    main()
