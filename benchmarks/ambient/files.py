"""Files that are read, in every way that Python and torch have."""

from __future__ import annotations

from pathlib import Path

from ambient.case import Case
from ambient.changes import (
    array,
    bytecode,
    gzipped,
    in_turn,
    pickled,
    raw,
    replace_link,
    rewrite_alike,
    weights,
    write,
    write_scripted,
    zipped,
)  # fmt: skip

LARGE = (64 << 20) + 8


def _large(value: int) -> bytes:
    return raw(value) + bytes(LARGE - 8)


def _overwrite(root: Path) -> None:
    with (root / "large.bin").open("r+b") as file:
        file.write(raw(8))


FILES = [
    Case("the model's own file", "SIZE = 4", write("model.py", "SIZE = 8")),
    Case("the model's own file, equal size and time", "SIZE = 4", rewrite_alike("model.py", "SIZE = 8")),
    Case("a module beside it", "from helper import SIZE", write("helper.py", "SIZE = 8"), {"helper.py": "SIZE = 4"}),
    Case("a module beside it, equal size and time", "from helper import SIZE", rewrite_alike("helper.py", "SIZE = 8"),
         {"helper.py": "SIZE = 4"}),
    Case("a package's __init__.py", "from parts import SIZE", write("parts/__init__.py", "SIZE = 8"),
         {"parts/__init__.py": "SIZE = 4"}),
    Case("a module in a package", "from parts.deep import SIZE", write("parts/deep.py", "SIZE = 8"),
         {"parts/__init__.py": "", "parts/deep.py": "SIZE = 4"}),
    Case("a module in a namespace package", "from parts.deep import SIZE", write("parts/deep.py", "SIZE = 8"),
         {"parts/deep.py": "SIZE = 4"}),
    Case("a module that is imported when the model is built", "def size():\n    import helper\n    return helper.SIZE",
         write("helper.py", "SIZE = 8"), {"helper.py": "SIZE = 4"}),
    Case("a module without its source", "from helper import SIZE", write("helper.pyc", bytecode("SIZE = 8")),
         {"helper.pyc": bytecode("SIZE = 4")}),
    Case("a module in a zip archive", "import sys; sys.path.insert(0, 'lib.zip')\nfrom zipped import SIZE",
         write("lib.zip", zipped("zipped.py", "SIZE = 8")), {"lib.zip": zipped("zipped.py", "SIZE = 4")}),
    Case("a file by open", "SIZE = int(open('size.txt').read())", write("size.txt", "8"), {"size.txt": "4"}),
    Case("a file by open, equal size and time", "SIZE = int(open('size.txt').read())", rewrite_alike("size.txt", "8"),
         {"size.txt": "4"}),
    Case("a file by pathlib", "from pathlib import Path\nSIZE = int((Path(__file__).parent / 'size.txt').read_text())",
         write("size.txt", "8"), {"size.txt": "4"}),
    Case("a file that is read when the model is built", "def size(): return int(open('size.txt').read())",
         write("size.txt", "8"), {"size.txt": "4"}),
    Case("a file by os.open", "import os\nSIZE = os.read(os.open('size.txt', os.O_RDONLY), 9)", write("size.txt", "8"),
         {"size.txt": "4"}),
    Case("a file in a folder below", "SIZE = open('data/deep/size.txt').read()", write("data/deep/size.txt", "8"),
         {"data/deep/size.txt": "4"}),
    Case("a file behind a link that points elsewhere now", "SIZE = open('link').read()", replace_link("link", "b"),
         {"a": "4", "b": "8"}, prepare=replace_link("link", "a")),
    Case("a file by mmap", "import mmap\nf = open('size.txt', 'rb')\nSIZE = mmap.mmap(f.fileno(), 0, access=1)[:]",
         write("size.txt", "8"), {"size.txt": "4"}),
    Case("a source that is executed", "exec(open('size.txt').read())", write("size.txt", "SIZE = 8"),
         {"size.txt": "SIZE = 4"}),
    Case("a script by runpy", "import runpy\nSIZE = runpy.run_path('a.py')['SIZE']", write("a.py", "SIZE = 8"),
         {"a.py": "SIZE = 4"}),
    Case("JSON", "import json\nSIZE = json.load(open('size.json'))", write("size.json", "8"), {"size.json": "4"}),
    Case("YAML", "import yaml\nSIZE = yaml.safe_load(open('size.yaml'))", write("size.yaml", "8"), {"size.yaml": "4"}),
    Case("an INI file", "import configparser\nc = configparser.ConfigParser(); c.read('a.ini')\nSIZE = c['a']['size']",
         write("a.ini", "[a]\nsize=8"), {"a.ini": "[a]\nsize=4"}),
    Case("a pickle", "import pickle\nSIZE = pickle.load(open('a.pickle', 'rb'))", write("a.pickle", pickled(8)),
         {"a.pickle": pickled(4)}),
    Case("a gzip file", "import gzip\nSIZE = gzip.open('a.gz').read()", write("a.gz", gzipped("8")),
         {"a.gz": gzipped("4")}),
    Case("a file in a zip archive", "import zipfile\nSIZE = zipfile.ZipFile('a.zip').read('a')",
         write("a.zip", zipped("a", "8")), {"a.zip": zipped("a", "4")}),
    Case("a resource of a package",
         "from importlib import resources\nSIZE = resources.files('parts').joinpath('a').read_text()",
         write("parts/a", "8"), {"parts/__init__.py": "", "parts/a": "4"}),
    Case("numpy.load", "import numpy as np\nSIZE = int(np.load('a.npy'))", write("a.npy", array(8)),
         {"a.npy": array(4)}),
    Case("numpy.fromfile", "import numpy as np\nSIZE = np.fromfile('a.bin', np.int64).tolist()", write("a.bin", raw(8)),
         {"a.bin": raw(4)}),
    Case("numpy.memmap", "import numpy as np\nSIZE = np.memmap('a.bin', np.int64).tolist()", write("a.bin", raw(8)),
         {"a.bin": raw(4)}),
    Case("torch.load", "import torch\nSIZE = int(torch.load('a.pt')['size'])", write("a.pt", weights(8)),
         {"a.pt": weights(4)}),
    Case("torch.load with mmap", "import torch\nSIZE = int(torch.load('a.pt', mmap=True)['size'])",
         write("a.pt", weights(8)), {"a.pt": weights(4)}),
    Case("torch.from_file", "import torch\nSIZE = torch.from_file('a.bin', size=1, dtype=torch.int64).tolist()",
         write("a.bin", raw(8)), {"a.bin": raw(4)}),
    Case("torch's reader of archives", "import torch\nr = torch._C.PyTorchFileReader('a.pt')\n"
         "SIZE = [r.get_record(n) for n in r.get_all_records() if n.startswith('data/')]", write("a.pt", weights(8)),
         {"a.pt": weights(4)}),
    Case("torch.jit.load", "import torch\nSIZE = int(torch.jit.load('a.pt').state_dict()['size'])",
         write_scripted("a.pt", 8), prepare=write_scripted("a.pt", 4)),
    Case("a CSV file", "import csv\nSIZE = next(csv.reader(open('a')))", write("a", "8,1"), {"a": "4,1"}),
    Case("linecache", "import linecache\nSIZE = linecache.getline('a', 1)", write("a", "8\n"), {"a": "4\n"}),
    Case("numpy.genfromtxt", "import numpy as np\nSIZE = float(np.genfromtxt('a'))", write("a", "8"), {"a": "4"}),
    Case("a file in a folder that it has gone to", "import os\nos.chdir('data')\nSIZE = open('a').read()",
         write("data/a", "8"), {"data/a": "4"}),
    Case("a file that a thread reads", "from concurrent.futures import ThreadPoolExecutor as Pool\n"
         "SIZE = Pool(1).submit(lambda: open('a').read()).result()", write("a", "8"), {"a": "4"}),
    Case("a file of more than 64 MiB", "SIZE = open('large.bin', 'rb').read(8)", _overwrite, {"large.bin": _large(4)}),
    Case("a file that the code adds to and reads",
         "def size():\n    print('x', file=open('log', 'a'))\n    return len(open('log').read())", kept=False),
    Case("a file that is saved while the audit runs", "SIZE = open('size.txt').read()", during=write("size.txt", "8"),
         files={"size.txt": "4"}, kept=False),
    Case("the model's file, saved while the audit runs", "SIZE = 4", during=write("model.py", "SIZE = 8"), kept=False),
    Case("a file that is saved twice while the audit runs", "SIZE = open('size.txt').read()", files={"size.txt": "4"},
         during=in_turn(write("size.txt", "8"), write("size.txt", "9")), kept=False),
]  # fmt: skip
