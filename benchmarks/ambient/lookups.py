"""Look-ups that found nothing, or something else, and folders that were listed."""

from __future__ import annotations

import os
from pathlib import Path

from ambient.case import Case
from ambient.changes import in_turn, native, remove, replace_link, touch, write

OPTIONAL = """
try:
    from {0} import SIZE
except ImportError:
    SIZE = 4
"""
SHADOWED = """
import sys
sys.path[:0] = ['first', 'second']
from helper import SIZE
"""


def _mode(root: Path) -> None:
    os.chmod(root / "a", 0o700)


def _link(root: Path) -> None:
    os.link(root / "a", root / "b")


LOOKUPS = [
    Case("an optional module appears", OPTIONAL.format("local_settings"), write("local_settings.py", "SIZE = 8")),
    Case("an optional package appears", OPTIONAL.format("extras"), write("extras/__init__.py", "SIZE = 8")),
    Case("an optional module of a package appears", OPTIONAL.format("parts.local"), write("parts/local.py", "SIZE = 8"),
         {"parts/__init__.py": ""}),
    Case("an optional module disappears", OPTIONAL.format("local_settings"), remove("local_settings.py"),
         {"local_settings.py": "SIZE = 8"}),
    Case("importlib.util.find_spec finds something", "from importlib.util import find_spec\n"
         "SIZE = 8 if find_spec('local_settings') else 4", write("local_settings.py", "")),
    Case("a package shadows a module", "from helper import SIZE", write("helper/__init__.py", "SIZE = 8"),
         {"helper.py": "SIZE = 4"}),
    Case("a module appears earlier on the path", SHADOWED, write("first/helper.py", "SIZE = 8"),
         {"second/helper.py": "SIZE = 4"}),
    Case("a module that an installed one was used for", "import tabulate\nSIZE = getattr(tabulate, 'SIZE', 4)",
         write("tabulate.py", "SIZE = 8")),
    Case("a namespace package becomes one", "import parts\nSIZE = getattr(parts, 'SIZE', 4)",
         write("parts/__init__.py", "SIZE = 8"), {"parts/deep.py": ""}),
    Case("a file that could not be opened appears", "try: SIZE = open('size.txt').read()\nexcept OSError: SIZE = 4",
         write("size.txt", "8")),
    Case("os.path.exists: appears", "import os\nSIZE = os.path.exists('flag')", write("flag", "")),
    Case("os.path.exists: disappears", "import os\nSIZE = os.path.exists('flag')", remove("flag"), {"flag": ""}),
    Case("os.path.isdir", "import os\nSIZE = os.path.isdir('data')", write("data/a", "")),
    Case("os.path.islink", "import os\nSIZE = os.path.islink('a')", replace_link("a", "b"), {"a": "", "b": ""}),
    Case("os.path.getsize", "import os\nSIZE = os.path.getsize('a')", write("a", "more"), {"a": "4"}),
    Case("os.path.getmtime", "import os\nSIZE = os.path.getmtime('a')", touch("a"), {"a": "4"}),
    Case("os.stat: the mode", "import os\nSIZE = os.stat('a').st_mode", _mode, {"a": "4"}),
    Case("os.stat: the number of names", "import os\nSIZE = os.stat('a').st_nlink", _link, {"a": "4"}),
    Case("os.stat: the times of a folder", "import os\nSIZE = os.stat('d').st_mtime", touch("d"), {"d/a": "4"}),
    Case("os.lstat: the size", "import os\nSIZE = os.lstat('a').st_size", write("a", "12345"), {"a": "4"}),
    Case("os.access", "import os\nSIZE = os.access('a', os.R_OK)", write("a", "4")),
    Case("os.readlink", "import os\nSIZE = os.readlink('link')", replace_link("link", "b"),
         prepare=replace_link("link", "a")),
    Case("os.path.realpath", "import os\nSIZE = os.path.basename(os.path.realpath('link'))", replace_link("link", "b"),
         {"a": "", "b": ""}, prepare=replace_link("link", "a")),
    Case("Path.exists", "from pathlib import Path\nSIZE = Path('flag').exists()", write("flag", "")),
    Case("a held function of os.path", "from os.path import isfile\nSIZE = isfile('flag')", write("flag", "")),
    Case("Path.stat", "from pathlib import Path\nSIZE = Path('a').stat().st_mtime", touch("a"), {"a": "4"}),
    Case("os.listdir", "import os\nSIZE = sorted(set(os.listdir('.')) - {'__pycache__'})", write("new", "")),
    Case("os.scandir: sizes", "import os\nSIZE = sum(e.stat().st_size for e in os.scandir('data'))",
         write("data/a", "more"), {"data/a": "4"}),
    Case("os.scandir: kinds", "import os\nSIZE = [e.is_dir() for e in os.scandir('data')]",
         in_turn(remove("data/a"), write("data/a/b", "")), {"data/a": "4"}),
    Case("os.walk", "import os\nSIZE = sum(len(files) for _, _, files in os.walk('data'))", write("data/deep/b", ""),
         {"data/deep/a": ""}),
    Case("glob.glob", "import glob\nSIZE = glob.glob('data/*.txt')", write("data/b.txt", ""), {"data/a.txt": ""}),
    Case("Path.rglob", "from pathlib import Path\nSIZE = len(list(Path('data').rglob('*.txt')))",
         write("data/deep/b.txt", ""), {"data/deep/a.txt": ""}),
    Case("Path.iterdir", "from pathlib import Path\nSIZE = len(list(Path('data').iterdir()))", write("data/b", ""),
         {"data/a": ""}),
    Case("pkgutil.iter_modules", "import pkgutil, parts\nSIZE = [m.name for m in pkgutil.iter_modules(parts.__path__)]",
         write("parts/b.py", ""), {"parts/__init__.py": "", "parts/a.py": ""}),
    Case("native code beside a module of its name", "from importlib.util import find_spec\n"
         "SIZE = find_spec('_csv_helper').origin[-3:]",
         native("_csv_helper.so"), {"_csv_helper.py": "SIZE = 4"}),
]  # fmt: skip
