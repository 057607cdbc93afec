"""Packages in a folder that packages are installed into."""

from __future__ import annotations

from ambient.case import Case
from ambient.changes import in_turn, remove, rewrite_alike, write

SITE = "lib/site-packages"
HEAD = f"import sys; sys.path.append({SITE!r})\n"
METADATA = "Metadata-Version: 2.1\nName: kit\nVersion: {0}\n"
OPTIONAL = "try:\n    from kit_extras import SIZE\nexcept ImportError:\n    SIZE = 4"


PACKAGES = [
    Case("an installed module", HEAD + "from kit import SIZE", write(f"{SITE}/kit/__init__.py", "SIZE = 8"),
         {f"{SITE}/kit/__init__.py": "SIZE = 4"}),
    Case("an installed module of a package", HEAD + "from kit.deep import SIZE",
         write(f"{SITE}/kit/deep.py", "SIZE = 8 "), {f"{SITE}/kit/__init__.py": "", f"{SITE}/kit/deep.py": "SIZE = 4"}),
    Case("an installed module, equal size and time", HEAD + "sys.dont_write_bytecode = True\nfrom kit import SIZE",
         rewrite_alike(f"{SITE}/kit.py", "SIZE = 8"),
         {f"{SITE}/kit.py": "SIZE = 4"}),
    Case("data beside an installed package", HEAD + "from kit import SIZE", write(f"{SITE}/kit/size.txt", "8"),
         {f"{SITE}/kit/__init__.py": "SIZE = open(__file__[:-11] + 'size.txt').read()", f"{SITE}/kit/size.txt": "4"}),
    Case("an optional dependency is installed", HEAD + OPTIONAL, write(f"{SITE}/kit_extras.py", "SIZE = 8"),
         {f"{SITE}/kit/__init__.py": ""}),
    Case("an optional dependency of an installed package is installed", HEAD + "from kit import SIZE",
         write(f"{SITE}/kit_extras/__init__.py", "SIZE = 8"), {f"{SITE}/kit/__init__.py": OPTIONAL}),
    Case("an optional module of an installed package appears", HEAD + "from kit import SIZE",
         write(f"{SITE}/kit/more.py", "SIZE = 8"),
         {f"{SITE}/kit/__init__.py": OPTIONAL.replace("kit_extras", "kit.more")}),
    Case("the version of an installed package", HEAD + "from importlib.metadata import version\nSIZE = version('kit')",
         in_turn(remove(f"{SITE}/kit-1.dist-info"), write(f"{SITE}/kit-2.dist-info/METADATA", METADATA.format(2))),
         {f"{SITE}/kit-1.dist-info/METADATA": METADATA.format(1)}),
    Case("an installed package's record, in place",
         HEAD + "from importlib.metadata import version\nSIZE = version('kit')",
         write(f"{SITE}/kit-1.dist-info/METADATA", METADATA.format(2)),
         {f"{SITE}/kit-1.dist-info/METADATA": METADATA.format(1)}),
    Case("a file in an installed package that the model lists", HEAD + f"import os\nSIZE = os.listdir('{SITE}/kit')",
         write(f"{SITE}/kit/new", ""), {f"{SITE}/kit/old": ""}),
    Case("an installed package shadows the next", HEAD + "sys.path.append('other/site-packages')\nfrom kit import SIZE",
         write(f"{SITE}/kit.py", "SIZE = 8"), {"other/site-packages/kit.py": "SIZE = 4", f"{SITE}/a": ""}),
]  # fmt: skip
