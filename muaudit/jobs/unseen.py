"""What an audit may have read although nothing tells of it: native code that opens files by itself, some modules of
the standard library, the date. Told from what the user's sources import and call, and from what was loaded.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Collection, Iterable, Iterator

from muaudit.targets.userfiles import is_installed

_READS_BY_ITSELF = {"safetensors", "tokenizers"}
"""Libraries that others load anyway: what counts is that the user's code uses them."""

_LISTED = """
    PIL aiohttp annotated_doc charset_normalizer contourpy einops frozendict frozenlist functorch google hf_xet
    jaxtyping joblib kiwisolver markupsafe matplotlib mpmath msgpack multidict mup networkx numexpr numpy orjson pandas
    propcache pydantic_core regex rpds scipy setuptools simplejson sklearn sympy threadpoolctl torch torchgen tqdm
    transformers triton ujson wrapt xxhash yaml _yaml yarl zstandard
"""
_SEEN = frozenset(_LISTED.split())
"""Packages with native code that reads files through Python, or none at all."""

_BLIND = {
    "_posixsubprocess", "curses", "dbm", "grp", "nis", "posix", "pwd", "readline", "resource", "spwd", "syslog",
    "termios",
}  # fmt: skip
"""Modules of the standard library whose reads raise no event."""

_IMPORT = re.compile(rb"^[ \t]*(?:import|from)[ \t]+([\w., \t]+)", re.MULTILINE)
_DATE = re.compile(rb"\b(?:datetime|Timestamp|pandas|pendulum|arrow)\b")
_NOW = re.compile(rb"\b(?:now|utcnow|today)\b")
"""Both words together: the function may be held by another name, and its class imported by one."""


def unseen(
    sources: Collection[bytes], loaded_on_behalf: Collection[str], modules: Iterable[tuple[str, str]]
) -> Iterator[str]:
    """The reasons. sources: the user's Python files. loaded_on_behalf: packages whose native code they loaded.

    modules: name and file of what is imported.
    """
    imported = {top for source in sources for top in _imports(source)}
    native = _native_packages(modules)
    for top in sorted((imported & native | set(loaded_on_behalf)) - _SEEN - _READS_BY_ITSELF):
        yield f"{top} has native code, whose reads are not seen"
    for top in sorted(imported & (_BLIND | _READS_BY_ITSELF)):
        yield f"what {top} reads is not seen"
    if any(_DATE.search(source) and _NOW.search(source) for source in sources):
        yield "it asks for the date"
    if "multiprocessing.popen_spawn_posix" in sys.modules or "multiprocessing.popen_forkserver" in sys.modules:
        yield "another process is started (multiprocessing)"


def _imports(source: bytes) -> Iterator[str]:
    """The top-level names that a source imports, whether it comes to that or not."""
    for found in _IMPORT.findall(source):
        for part in found.decode("ascii", "ignore").partition(" import ")[0].split(","):
            words = part.split()
            if words and not words[0].startswith("."):
                yield words[0].partition(".")[0]


def _native_packages(imported: Iterable[tuple[str, str]]) -> set[str]:
    """The installed packages of which native code is loaded."""
    native = ((name, file) for name, file in imported if file.endswith((".so", ".pyd")))
    return {name.partition(".")[0] for name, file in native if is_installed(file)}
