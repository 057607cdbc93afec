"""The one comment of muaudit on a pull request: what is new against the base branch, and the report.

    python github_comment.py REPORT.md HEAD.json [BASE.json]

REPORT.md: `check --format markdown`. HEAD.json, BASE.json: `check --format gitlab` of the pull request and of its base;
findings are told apart by their fingerprints. Reads GITHUB_REPOSITORY, PULL_REQUEST, ARTIFACT_URL and, through `gh`,
GH_TOKEN. The comment that is there is replaced; where it may not be written, a notice says so and nothing fails.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

MARK = "<!-- muaudit -->"
MOST = 60_000  # characters; GitHub takes 65,536
SHOWN = 20


def body(report: str, head: list[dict], base: list[dict] | None, artifact: str) -> str:
    """The comment, in Markdown."""
    lines = [MARK, *_headline(head, base)]
    known = {each["fingerprint"] for each in base or []}
    new = [each for each in head if each["fingerprint"] not in known]
    for each in new[:SHOWN]:
        place = each["location"]
        lines.append(f"- `{place['path']}:{place['lines']['begin']}` {_text(each['description'])}")
    if len(new) > SHOWN:
        lines.append(f"- and {len(new) - SHOWN} more")
    if artifact:
        lines.append(f"\n[The report as a page]({artifact})")
    lines.append(f"\n<details><summary>The whole report</summary>\n\n{report}")
    text = "\n".join(lines)[:MOST]
    return f"{text}\n\n</details>\n"


def _headline(head: list[dict], base: list[dict] | None) -> list[str]:
    if base is None:
        return [
            f"### muaudit: {_count(len(head), 'finding')}\n",
            "The base branch could not be audited: all are shown.\n",
        ]
    before, now = ({each["fingerprint"] for each in found} for found in (base, head))
    gone = len(before - now)
    new = len(now - before)
    said = f"{_count(new, 'new finding')}, {len(now & before)} as before, {gone} gone"
    return [f"### muaudit: {'✗ ' if new else '✓ '}{said}\n"]


def _count(number: int, what: str) -> str:
    return f"{number or 'no'} {what}{'' if number == 1 else 's'}"


def _text(words: str) -> str:
    """What Markdown shows as it is."""
    for character in "\\`*_[]<>|@":
        words = words.replace(character, f"\\{character}")
    return " ".join(words.split())


def gh(*arguments: str, text: str = "") -> str:
    done = subprocess.run(["gh", "api", *arguments], input=text, capture_output=True, text=True, check=True)
    return done.stdout


def publish(text: str, repository: str, number: str) -> None:
    """Replace the comment that begins with the mark, or make one."""
    pages = gh("--paginate", "--slurp", f"repos/{repository}/issues/{number}/comments")
    comments = [each for page in json.loads(pages) for each in page]
    ours = next((each["id"] for each in comments if each["body"].startswith(MARK)), None)
    data = json.dumps({"body": text})
    if ours is None:
        gh("--method", "POST", f"repos/{repository}/issues/{number}/comments", "--input", "-", text=data)
    else:
        gh("--method", "PATCH", f"repos/{repository}/issues/comments/{ours}", "--input", "-", text=data)


def read(path: str) -> list[dict] | None:
    try:
        found = json.loads(Path(path).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return found if isinstance(found, list) else None


def main(report: str, head: str, base: str = "") -> None:
    found = read(head)
    words = Path(report).read_text(encoding="utf-8") if Path(report).exists() else "The audit left no report."
    text = body(words, found or [], read(base) if base else None, os.environ.get("ARTIFACT_URL", ""))
    try:
        publish(text, os.environ["GITHUB_REPOSITORY"], os.environ["PULL_REQUEST"])
    except (OSError, ValueError, KeyError, subprocess.CalledProcessError) as error:
        told = getattr(error, "stderr", "") or error
        print(f"::notice::muaudit could not comment: {' '.join(str(told).split())[:300]}")


if __name__ == "__main__":
    main(*sys.argv[1:4])
