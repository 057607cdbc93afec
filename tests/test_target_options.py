"""The flags that choose widths, settings, inputs and learning rates."""

from __future__ import annotations

import shlex
import subprocess
import sys

import pytest

from muaudit.errors import UserError
from muaudit.targets.inputs import Form
from muaudit.targets.options import InputSpec, parse_inputs, parse_lr_groups, parse_set, parse_widths


def test_widths_by_name_and_without() -> None:
    assert parse_widths(["n_embd=128,64", "d_ff=256,512"]) == {"n_embd": (64, 128), "d_ff": (256, 512)}
    assert parse_widths(["64,128,256"]) == {"": (64, 128, 256)}


def test_settings_are_python_values_or_text() -> None:
    found = parse_set(["n_layer=4", "bias=False", "act=relu", "dims=(1, 2)", "path=a=b"])
    assert found == {"n_layer": 4, "bias": False, "act": "relu", "dims": (1, 2), "path": "a=b"}


def test_inputs_by_position_and_by_name() -> None:
    found = parse_inputs(["int64[2,32]<50", "mask=float[2, d_model]", "bool[3]"])
    assert found["0"] == InputSpec("int64", (2, 32), 50)
    assert found["mask"].shape({"d_model": 64}) == (2, 64)
    assert found["1"] == InputSpec("bool", (3,))
    assert str(found["0"]) == "int64[2, 32]"


def test_lr_groups() -> None:
    assert parse_lr_groups(["h.*=-1", "head.weight=-0.5"]) == (("h.*", -1.0), ("head.weight", -0.5))


@pytest.mark.parametrize(
    ("parse", "text", "message"),
    [
        (
            parse_widths,
            "n_embd=64",
            "--width n_embd=64: expects at least two different positive whole numbers, found 64",
        ),
        (parse_widths, "64,x", "--width 64,x: expects at least two different positive whole numbers, found 64, x"),
        (parse_widths, "64,64", "--width 64,64: expects at least two different positive whole numbers, found 64, 64"),
        (parse_widths, "=64,128", "--width expects NAME=SIZE,SIZE, found '=64,128'"),
        (parse_set, "n_layer", "--set expects key=value, found 'n_layer'"),
        (parse_inputs, "int64", "--input expects dtype[sizes], found 'int64'"),
        (parse_inputs, "int63[2]", "--input int63[2]: unknown dtype 'int63'"),
        (
            parse_inputs,
            "int64[2,-1]",
            "--input int64[2,-1]: expected a positive size or the name of a width, found '-1'",
        ),
        (parse_lr_groups, "h.*", "--lr-group expects PATTERN=EXPONENT, found 'h.*'"),
        (parse_lr_groups, "h.*=x", "--lr-group expects PATTERN=EXPONENT, found 'h.*=x'"),
    ],
)
def test_malformed_flags(parse: object, text: str, message: str) -> None:
    assert callable(parse)
    with pytest.raises(UserError) as caught:
        parse([text])
    assert caught.value.message == message
    assert caught.value.hint


def test_importing_the_room_does_not_import_torch() -> None:
    code = "import sys, muaudit.targets; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_the_flags_of_an_input_say_it_again() -> None:
    form = Form(
        (InputSpec("int64", (2, 32), 96), None),
        {"mask": InputSpec("float32", (2, "width")), "targets": InputSpec("int64", (2, 32))},
        frozenset({"targets"}),
    )
    flags = [shlex.split(flag) for flag in form.flags(batch=2)]
    assert [flag for flag, _ in flags] == ["--input", "--input"]
    given = parse_inputs([text for _, text in flags])
    assert {name: str(spec) for name, spec in given.items()} == {"0": "int64[4, 32]", "mask": "float32[4, width]"}
    assert list(Form((InputSpec("float32", (2, ("width", 2.0))),)).flags()) == []
