"""What nothing tells of, or what answers differently each time: never kept."""

from __future__ import annotations

import struct
import textwrap
from collections.abc import Mapping

from ambient.case import Case
from ambient.changes import native

TENSOR = b'{"a":{"dtype":"I64","shape":[1],"data_offsets":[0,8]}}'
WEIGHTS = struct.pack("<Q", len(TENSOR)) + TENSOR + struct.pack("<q", 4)


def _case(name: str, model: str, files: Mapping[str, str | bytes] | None = None) -> Case:
    body = textwrap.indent(f"{model}\nreturn 4", "    ")
    return Case(name, f"def size():\n{body}", files=files or {}, kept=False)


UNSEEN = [
    _case("safetensors", "from safetensors.torch import load_file\nload_file('a.safetensors')",
          {"a.safetensors": WEIGHTS}),
    _case("sqlite", "import sqlite3\nsqlite3.connect('a.db').close()"),
    _case("subprocess", "import subprocess\nsubprocess.run(['true'])"),
    _case("os.system", "import os\nos.system('true')"),
    _case("os.fork", "import os\nif not os.fork(): os._exit(0)"),
    _case("multiprocessing", "import multiprocessing as m\np = m.get_context('fork').Process(target=list)\n"
          "p.start(); p.join()"),
    _case("a socket", "import socket\ns = socket.socket()\ntry: s.connect(('127.0.0.1', 9))\nexcept OSError: pass"),
    _case("a host's address", "import socket\nsocket.getaddrinfo('127.0.0.1', 9)"),
    _case("the host's name", "import socket\nsocket.gethostname()"),
    _case("the machine's name", "import platform\nplatform.node()"),
    _case("ctypes", "import ctypes\nctypes.CDLL(None).getpid()"),
    Case("native code of the user's own", "import sys; sys.modules.pop('_csv', None)\nimport _csv as q\n"
         "import importlib.util as u\nspec = u.spec_from_file_location('_csv', './_csv.so')\n"
         "u.module_from_spec(spec)\nSIZE = 4", prepare=native("_csv.so"), kept=False),
    _case("/proc", "open('/proc/self/status').read()"),
    _case("/dev/urandom", "open('/dev/urandom', 'rb').read(1)"),
    _case("a pipe", "import os\nos.mkfifo('fifo')\nos.close(os.open('fifo', os.O_RDONLY | os.O_NONBLOCK))\n"
          "os.remove('fifo')"),
    _case("time.time", "import time\ntime.time()"),
    _case("time.time, held", "from time import time\ntime()"),
    _case("time.strftime", "import time\ntime.strftime('%Y')"),
    _case("datetime.now", "from datetime import datetime\ndatetime.now()"),
    _case("date.today", "import datetime\ndatetime.date.today()"),
    _case("uuid4", "import uuid\nuuid.uuid4()"),
    _case("os.urandom", "import os\nos.urandom(1)"),
    _case("secrets", "import secrets\nsecrets.randbelow(9)"),
    _case("random seeded from the system", "import random\nrandom.seed()"),
    _case("a generator of random's own seed", "import random\nrandom.Random().random()"),
    _case("a generator of numpy's own seed", "import numpy as np\nnp.random.default_rng().random()"),
    _case("torch.seed", "import torch\ntorch.seed()"),
    _case("os.getpid", "import os\nos.getpid()"),
    _case("the users of the system", "import pwd\npwd.getpwuid(0)"),
    _case("limits of the process", "import resource\nresource.getrlimit(resource.RLIMIT_NOFILE)"),
    _case("a file from its folder's descriptor", "import os\nf = os.open('d', os.O_RDONLY)\nos.open('a', 0, dir_fd=f)",
          {"d/a": "4"}),
    *(_case(f"os.{name} from a folder's descriptor",
            f"import os\nf = os.open('d', os.O_RDONLY)\ntry: os.{call}\nexcept OSError: pass", {"d/a": "4"})
      for name, call in (("stat", "stat('a', dir_fd=f)"), ("access", "access('a', 0, dir_fd=f)"),
                         ("readlink", "readlink('a', dir_fd=f)"), ("stat of it", "stat(f)"), ("fstat", "fstat(f)"))),
    _case("datetime.now by another name", "from datetime import datetime as d\nnow = d.now\nnow()"),
    _case("the size of memory", "import os\nos.sysconf('SC_PHYS_PAGES')"),
    _case("the groups of the user", "import os\nos.getgroups()"),
    _case("free space", "import shutil\nshutil.disk_usage('.')"),
]  # fmt: skip
