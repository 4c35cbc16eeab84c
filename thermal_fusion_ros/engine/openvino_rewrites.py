"""The same computation in a form that OpenVINO's CPU plug-in computes faster and more exactly.

In bf16 mode the plug-in computes everything in bf16 but what comes after the last convolution, product or resize on the
way to an output. Maps of very few channels (what heads say per pixel) lose by that twice: 8 bits are too few for a
logarithm of depth that is summed over five scales, and its layout, channels last, leaves vector units all but empty.
So their biases and resizes become elementwise work on flat pictures, which stays f32 and is fused into few loops.
And bytes of a picture, which bf16 holds exactly, go into the first convolutions as they are, not as 255ths, which it
rounds.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import openvino

THIN = 4  # most channels of such a map; of more, elementwise work would be slower


def rewrite(model: openvino.Model) -> int:
    """Rewrite `model` (static shapes, one picture) in place; returns how many places were."""
    steps = ((_scale_inside, "Convolution"), (_bias_outside, "Add"), (_resize_flat, "Interpolate"))
    places = sum(sum(map(step, _nodes(model, kind))) for step, kind in steps)
    model.validate_nodes_and_infer_types()
    return places


def _nodes(model: openvino.Model, kind: str) -> Iterator[Any]:
    return (node for node in model.get_ordered_ops() if node.get_type_name() == kind)


def _scale_inside(convolution: Any) -> bool:
    """Convolution of bytes b as (p b + q) / d -> of p b + q, whole numbers, with weights divided by d."""
    import openvino.opset13 as ov

    weights = convolution.input_value(1).get_node()
    node, moves = convolution.input_value(0).get_node(), []
    factor, offset, divisor = 1.0, 0.0, 1.0  # of what has been passed, from the convolution down
    while (kind := node.get_type_name()) != "Convert":
        if kind in ("Transpose", "Unsqueeze"):
            moves.append(node)
        elif kind not in ("Add", "Subtract", "Multiply", "Divide") or (number := _number(node)) is None:
            return False
        elif kind in ("Add", "Subtract"):
            offset += factor * (number if kind == "Add" else -number)
        else:
            factor *= number if kind == "Multiply" else 1 / number
            divisor *= 1.0 if kind == "Multiply" else number
        node = node.input_value(0).get_node()
    p, q = factor * divisor, offset * divisor
    exact = (
        all(abs(x - round(x)) < 1e-3 for x in (p, q)) and max(abs(round(q)), abs(round(255 * p + q))) <= 256
    )
    if divisor == 1 or not exact or weights.get_type_name() != "Constant":
        return False
    numbers = node
    for move in reversed(moves):
        build = ov.transpose if move.get_type_name() == "Transpose" else ov.unsqueeze
        numbers = build(numbers, move.input_value(1))
    numbers = ov.add(ov.multiply(numbers, np.float32(round(p))), np.float32(round(q)))
    convolution.input(0).replace_source_output(numbers.output(0))
    convolution.input(1).replace_source_output(ov.constant(weights.data / np.float32(divisor)).output(0))
    return True


def _number(node: Any) -> float | None:
    """The one number that elementwise work does its work with."""
    constant = node.input_value(1).get_node()
    single = constant.get_type_name() == "Constant" and constant.data.size == 1
    return float(constant.data.item()) if single else None


def _bias_outside(add: Any) -> bool:
    """Convolution + bias -> convolution, flat, + bias: no longer part of the convolution, which rounds to bf16."""
    image, bias = add.input_value(0), add.input_value(1)
    kinds = image.get_node().get_type_name(), bias.get_node().get_type_name()
    shape = list(add.output(0).get_shape())
    if kinds != ("Convolution", "Constant") or len(shape) != 4 or shape[0] != 1 or shape[1] > THIN:
        return False
    import openvino.opset13 as ov

    channels, height, width = shape[1:]
    flat = ov.add(_reshaped(image, (channels, height * width)), _reshaped(bias, (channels, 1)))
    _replace(add, _reshaped(flat, shape))
    return True


def _resize_flat(resize: Any) -> bool:
    """Bilinear enlargement by a whole factor -> per output phase, a weighted sum of two neighbours."""
    shape, wanted = (list(x.get_shape()) for x in (resize.input_value(0), resize.output(0)))
    if len(shape) != 4 or shape[0] != 1 or shape[1] > THIN or shape[1] != wanted[1]:
        return False
    attributes = resize.get_attributes()
    linear = attributes["mode"] in ("linear", "linear_onnx") and not attributes["antialias"]
    centred = attributes["coordinate_transformation_mode"] in ("half_pixel", "pytorch_half_pixel")
    if not (linear and centred) or min(shape[2:]) < 2 or wanted[2] % shape[2] or wanted[3] % shape[3]:
        return False
    flat = _enlarged(_reshaped(resize.input_value(0), shape[1:]), 1, wanted[2] // shape[2])
    _replace(resize, _reshaped(_enlarged(flat, 2, wanted[3] // shape[3]), wanted))
    return True


def _enlarged(node: Any, axis: int, factor: int) -> Any:
    """CHW -> the same, `factor` times as long along `axis`."""
    import openvino.opset13 as ov

    shape = list(node.output(0).get_shape())
    length = shape[axis]
    before = ov.concat([_cut(node, axis, 0, 1), _cut(node, axis, 0, length - 1)], axis)
    after = ov.concat([_cut(node, axis, 1, length), _cut(node, axis, length - 1, length)], axis)
    offset = (
        np.arange(factor, dtype=np.float32) + 0.5
    ) / factor - 0.5  # of each phase from its pixel's middle
    weights = 1 - np.abs(offset), np.maximum(-offset, 0), np.maximum(offset, 0)
    phases = [1] * 4
    phases[axis + 1] = factor
    parts = [
        ov.multiply(_reshaped(x, (*shape[: axis + 1], 1, *shape[axis + 1 :])), ov.constant(w.reshape(phases)))
        for x, w in zip((node, before, after), weights, strict=True)
    ]
    longer = [n * factor if i == axis else n for i, n in enumerate(shape)]
    return _reshaped(ov.add(ov.add(parts[0], parts[1]), parts[2]), longer)


def _cut(node: Any, axis: int, start: int, stop: int) -> Any:
    import openvino.opset13 as ov

    return ov.slice(node, *(ov.constant(np.array([n], np.int64)) for n in (start, stop, 1, axis)))


def _reshaped(node: Any, shape: Sequence[int]) -> Any:
    import openvino.opset13 as ov

    return ov.reshape(node, ov.constant(np.array(shape, np.int64)), special_zero=False)


def _replace(old: Any, new: Any) -> None:
    """Whoever read `old` reads `new`; what `new` is made of goes on reading what `old` read."""
    for reader in list(old.output(0).get_target_inputs()):
        reader.replace_source_output(new.output(0))
