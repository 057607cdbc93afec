"""Many names of tensors written as one."""

from __future__ import annotations

import pytest

from muaudit.findings.names import named


@pytest.mark.parametrize(
    ("names", "written"),
    [
        (["head.weight"], "head.weight"),
        (["net.0.weight", "net.2.weight", "net.4.weight"], "net.{0,2,4}.weight"),
        (["a.0.b.1.w", "a.0.b.4.w", "a.1.b.1.w", "a.1.b.4.w"], "a.{0,1}.b.{1,4}.w"),
        (["a.0.b.1.w", "a.1.b.4.w"], "a.{0.b.1,1.b.4}.w"),  # not all combinations of the numbers
        (["h.*.up.weight", "h.*.down.weight", "head.weight"], "{h.*.{up,down},head}.weight"),
        (["norm.bias", "blocks.*.norm.bias"], "{norm,blocks.*.norm}.bias"),
        (["h.*.qkv.weight", "h.*.qkv.bias"], "h.*.qkv.{weight,bias}"),
    ],
)
def test_names_share_what_they_have_in_common(names: list[str], written: str) -> None:
    assert named(names) == written


def test_what_does_not_fit_is_counted() -> None:
    names = [f"a_layer_of_its_own_{letter}.weight" for letter in "abcdefgh"]
    assert named(names) == "a_layer_of_its_own_a.weight, a_layer_of_its_own_b.weight and 6 more"
