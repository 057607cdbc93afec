"""Environment variables, asked for in every way that Python has."""

from __future__ import annotations

from ambient.case import Case


def _case(name: str, size: str, **given: str) -> Case:
    return Case(
        name, f"import os\nfrom os import environ\nSIZE = {size}", set={**({} if given else {"SIZE": "8"}), **given}
    )


VARIABLES = [
    _case("os.environ[...]", "os.environ['SIZE'] if 'SIZE' in os.environ else 4"),
    _case("os.environ.get", "os.environ.get('SIZE')"),
    _case("os.getenv", "os.getenv('SIZE')"),
    _case("os.environb", "os.environb.get(b'SIZE')"),
    _case("in os.environ", "'SIZE' in os.environ"),
    _case("an environ that is held", "environ.get('SIZE')"),
    _case("os.environ.pop", "os.environ.pop('SIZE', None)"),
    _case("os.environ.setdefault", "os.environ.setdefault('SIZE', '4')"),
    _case("a walk", "sum(name.startswith('SIZ') for name in os.environ)"),
    _case("items", "[value for name, value in os.environ.items() if name == 'SIZE']"),
    _case("a copy", "os.environ.copy().get('SIZE')"),
    _case("dict(os.environ)", "dict(os.environ).get('SIZE')"),
    _case("os.path.expandvars", "os.path.expandvars('$SIZE')"),
    _case("os.path.expanduser", "os.path.expanduser('~')", HOME="/nowhere"),
    _case("tempfile.gettempdir", "__import__('tempfile')._candidate_tempdir_list()[0]", TMPDIR="/var/tmp"),
    _case("the time zone", "__import__('time').tzset() or __import__('time').localtime(0).tm_hour", TZ="Asia/Tokyo"),
    _case("shutil.which", "__import__('shutil').which('sh')", PATH="/nowhere"),
    _case("PYTHONHASHSEED", "os.environ.get('PYTHONHASHSEED')", PYTHONHASHSEED="7"),
    Case("in a module beside the model", "from helper import SIZE",
         files={"helper.py": "import os\nSIZE = os.getenv('SIZE')"}, set={"SIZE": "8"}),
    Case("when the model is built", "import os\ndef size(): return os.getenv('SIZE')", set={"SIZE": "8"}),
]  # fmt: skip
