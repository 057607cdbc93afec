"""The model of a published configuration with nothing made smaller, which a checkpoint is compared with."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from muaudit.errors import UserError
from muaudit.targets.bare import without_values
from muaudit.targets.inputs import Form
from muaudit.targets.layers_of_config import relayered
from muaudit.targets.options import TargetOptions
from muaudit.targets.probe import Inputs, Own, Target
from muaudit.targets.shrink import Shrunk
from muaudit.targets.trial import Draft, Sizes, Variant, builder


def own(
    target: Target,
    draft: Draft,
    fields: Mapping[str, Any],
    shrunk: Shrunk,
    make: Callable[[Mapping[str, Any]], Any],
    options: TargetOptions,
) -> Own:
    """The configuration's own model: at its published width as it is, at another with all that grows in proportion.

    fields: of the configuration. make: from the fields that differ to the model.
    """

    def sized(sizes: Sizes) -> Any:
        layers = {name: size for name, size in sizes.items() if name in {axis.name for axis in target.depths}}
        more = {name: size for name, size in sizes.items() if name != shrunk.width and name not in layers}
        width = sizes[shrunk.width]
        if width != shrunk.published and more:
            raise UserError(f"with several widths the whole model is known at {shrunk.width} {shrunk.published} alone",
                            f"--width {shrunk.published}, or leave it out")  # fmt: skip
        changed = {**grown(fields, shrunk, width), **options.set, **more}
        own_layers = all(fields.get(name) == count for name, count in layers.items())
        return make(changed if own_layers else {**changed, **relayered(fields, {**fields, **changed}, layers)})

    build = builder(draft, Variant(target.axes, sized))

    def inputs(sizes: Sizes) -> Inputs:
        audited = target.inputs(target.sizes(0))
        if options.inputs or draft.forms is None:
            return audited
        with without_values():
            forms = list(draft.forms(build(sizes, 0)))
        return next(
            (_alone(form).make(sizes) for form in forms if form.kwargs.keys() == audited.kwargs.keys()), audited
        )

    return Own(build, inputs)


def _alone(form: Form) -> Form:
    """A call without its targets: outputs do not need them."""
    kwargs = {name: slot for name, slot in form.kwargs.items() if name not in form.targets}
    return replace(form, kwargs=kwargs, targets=frozenset())


def grown(fields: Mapping[str, Any], shrunk: Shrunk, width: int) -> dict[str, Any]:
    """The fields that grow, from their published sizes in proportion to the width; none at the published width.

    Raises:
        UserError: a size would not be whole.
    """
    if width == shrunk.published:
        return {}
    first, second = shrunk.overrides(shrunk.published), shrunk.overrides(2 * shrunk.published)
    growing = [name for name in first if first[name] != second[name] and fields.get(name) is not None]
    return {name: _at(name, fields[name], first[name], second[name], shrunk, width) for name in growing}


def _at(name: str, value: Any, first: Any, second: Any, shrunk: Shrunk, width: int) -> Any:
    if isinstance(value, (list, tuple)):
        sizes = zip(value, first, second, strict=True)
        return type(value)(_at(name, n, a, b, shrunk, width) if a != b else n for n, a, b in sizes)
    if isinstance(value, float):
        return value * width / shrunk.published
    if isinstance(value, int) and value * width % shrunk.published == 0:
        return value * width // shrunk.published
    raise UserError(
        f"the whole model is not known at {shrunk.width} {width}: {name}, {_shown(value)} at the published "
        f"{shrunk.width} of {shrunk.published}, does not grow to a whole number",
        f"choose another width, or change the configuration's sizes to those of the model at {width}",
    )


def _shown(value: Any) -> str:
    return str(value) if isinstance(value, int) else "a part of its own"
