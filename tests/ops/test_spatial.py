"""Resize, Upsample, DepthToSpace, SpaceToDepth against ONNX's reference and ONNX Runtime; int8 against integers."""
# SPDX-License-Identifier: Apache-2.0
import numpy as np
import pytest

import wisp
from support import check_close, check_int8_layer, check_model, make_model, onnxruntime_outputs, reference
from support_graph import run_node
from wisp_converter import UnsupportedError, convert

rng = np.random.default_rng(12)

COORDINATES = ["half_pixel", "asymmetric", "align_corners", "pytorch_half_pixel", "half_pixel_symmetric"]


def resize_model(shape, *, scales=None, sizes=None, roi=None, opset=19, **attrs):
    constants = {"roi": np.float32([] if roi is None else roi)}
    constants.update({"scales": np.float32(scales)} if scales is not None else {"sizes": np.array(sizes, np.int64)})
    operands = ["x", "roi", "scales" if scales is not None else "", "sizes" if sizes is not None else ""]
    return make_model([("Resize", operands[:3 if sizes is None else 4], ["y"], attrs)], {"x": list(shape)}, ["y"],
                      constants, opset=opset)


def images(*shape):
    return rng.standard_normal(shape).astype(np.float32)


@pytest.mark.parametrize("coordinate", COORDINATES)
@pytest.mark.parametrize("rounding", ["round_prefer_floor", "round_prefer_ceil", "floor", "ceil"])
def test_nearest(coordinate, rounding):
    x = images(1, 3, 5, 6)
    attrs = dict(mode="nearest", coordinate_transformation_mode=coordinate, nearest_mode=rounding)
    for sizes in ((10, 12), (5, 3), (7, 11)):
        check_model(resize_model(x.shape, sizes=(1, 3, *sizes), **attrs), {"x": x})
    check_model(resize_model(x.shape, scales=(1, 1, 2, 3), **attrs), {"x": x})


@pytest.mark.parametrize("coordinate", COORDINATES)
@pytest.mark.parametrize("mode", ["linear", "cubic"])
@pytest.mark.parametrize("channels", [1, 3, 20])
def test_smooth(coordinate, mode, channels):
    x = images(2, channels, 5, 6)
    attrs = dict(mode=mode, coordinate_transformation_mode=coordinate)
    for sizes in ((10, 12), (4, 3), (7, 11), (5, 6), (1, 1)):
        # Of pytorch_half_pixel to one pixel the reference has another idea than the operator's text.
        trusted = coordinate != "pytorch_half_pixel" or min(sizes) > 1
        check_model(resize_model(x.shape, sizes=(2, channels, *sizes), **attrs), {"x": x}, trust_reference=trusted)
    check_model(resize_model(x.shape, scales=(1, 1, 2, 1.5), **attrs), {"x": x})


@pytest.mark.parametrize("mode", ["linear", "cubic"])
def test_antialias_and_exclude_outside(mode):
    x = images(1, 2, 13, 17)
    for sizes in ((4, 5), (20, 6)):
        check_model(resize_model(x.shape, sizes=(1, 2, *sizes), mode=mode, antialias=1), {"x": x}, rtol=1e-4)
    check_model(resize_model(x.shape, sizes=(1, 2, 20, 30), mode="cubic", exclude_outside=1, cubic_coeff_a=-0.5),
                {"x": x})


@pytest.mark.parametrize("policy", ["not_larger", "not_smaller"])
def test_policies(policy):
    x = images(1, 2, 5, 6)
    check_model(resize_model(x.shape, sizes=(7, 8), axes=[2, 3], keep_aspect_ratio_policy=policy, mode="linear"),
                {"x": x})


def test_axes_and_crop():
    x = images(1, 2, 5, 6)
    check_model(resize_model(x.shape, scales=(2, 3), axes=[3, 2], mode="nearest"), {"x": x})
    check_model(resize_model(x.shape, sizes=(9,), axes=[-1], mode="linear"), {"x": x}, trust_reference=False)
    crop = dict(coordinate_transformation_mode="tf_crop_and_resize", extrapolation_value=9.0)
    roi = (0, 0, 0.4, 0.6, 1, 1, 0.6, 1.7)
    for mode in ("linear", "nearest"):
        check_model(resize_model(x.shape, sizes=(1, 2, 4, 5), roi=roi, mode=mode, **crop), {"x": x})


@pytest.mark.parametrize("dtype", [np.int8, np.uint8, np.int32, np.float16])
def test_nearest_moves_any_dtype(dtype):
    x = rng.integers(0, 100, (1, 3, 4, 5)).astype(dtype)
    model = make_model([("Resize", ["x", "", "s"], ["y"], {"mode": "nearest"})], {"x": x}, ["y"],
                       {"s": np.float32([1, 1, 2, 2])}, opset=19)
    check_model(model, {"x": x})


def test_other_ranks():
    for shape, sizes in (((1, 3, 7), (1, 3, 12)), ((5, 6), (8, 4)), ((6,), (9,))):
        x = images(*shape)
        check_model(resize_model(shape, sizes=sizes, mode="linear"), {"x": x})


def test_dynamic_image():
    x = images(1, 3, 5, 7)
    check_model(resize_model([1, 3, "H", "W"], scales=(1, 1, 2, 2), mode="linear"), {"x": x})
    check_model(resize_model(["N", 3, "H", "W"], scales=(1, 1, 2, 2), mode="nearest"), {"x": x})
    nodes = [("Shape", ["like"], ["s"], {"start": 2}), ("Concat", ["nc", "s"], ["sizes"], {"axis": 0}),
             ("Resize", ["x", "", "", "sizes"], ["y"],
              {"mode": "nearest", "coordinate_transformation_mode": "asymmetric"})]
    model = make_model(nodes, {"x": [1, 3, "H", "W"], "like": [1, 1, "A", "B"]}, ["y"],
                       {"nc": np.array([1, 3])}, opset=19)
    check_model(model, {"x": x, "like": images(1, 1, 9, 8)})


@pytest.mark.parametrize("opset", [7, 9, 10])
def test_before_resize_had_modes(opset):
    x = images(1, 2, 3, 4)
    for mode in ("nearest", "linear"):
        op, scales = "Resize" if opset == 10 else "Upsample", np.float32([1, 1, 2, 3])
        if opset == 7:
            model = make_model([(op, ["x"], ["y"], {"mode": mode, "scales": scales.tolist()})], {"x": x},
                               ["y"], opset=opset)
        else:
            model = make_model([(op, ["x", "s"], ["y"], {"mode": mode})], {"x": x}, ["y"], {"s": scales}, opset=opset)
        want = onnxruntime_outputs(model, {"x": x})
        if want is None:  # neither oracle runs every old operator
            model = resize_model(x.shape, scales=scales, mode=mode, coordinate_transformation_mode="asymmetric",
                                 nearest_mode="floor")
            check_model(model, {"x": x})
        else:
            check_model(model, {"x": x}, trust_reference=False)


def test_shrinking_too_much_at_once():
    """More taps than the runtime has room for are refused, with the node's name."""
    x = images(1, 1, 1, 20_000)
    check_model(resize_model(x.shape, sizes=(1, 1, 1, 2), mode="linear", antialias=1), {"x": x})
    with pytest.raises(UnsupportedError, match="Resize_y.*shrinks too much at once"):
        convert(resize_model((1, 1, 1, 400_000), sizes=(1, 1, 1, 2), mode="linear", antialias=1), verify=False)


@pytest.mark.parametrize("seed", range(30))
def test_any_axes_of_any_rank(seed):
    """With fixed and open axes; scales, sizes and roi constant or known in the run only."""
    draw = np.random.default_rng(seed)
    rank = int(draw.integers(1, 6))
    x = images(*draw.integers(1, 6, rank))
    axes = [int(a) for a in draw.permutation(rank)[:draw.integers(1, rank + 1)]]
    scales = draw.choice(np.float32([1, 0.6, 2, 1.5, 2.3, 3]), len(axes))
    sizes = np.maximum(np.int64(scales * np.array(x.shape)[axes]), 1)
    by_size = bool(draw.integers(2))
    attrs = dict(mode=str(draw.choice(["nearest", "linear", "cubic"])), axes=axes,
                 coordinate_transformation_mode=str(draw.choice(COORDINATES)),
                 nearest_mode=str(draw.choice(["round_prefer_floor", "floor"])))
    if attrs["mode"] != "nearest":
        attrs.update(antialias=int(draw.integers(2)), exclude_outside=int(draw.integers(2)))
    if by_size and draw.integers(2):
        attrs["keep_aspect_ratio_policy"] = str(draw.choice(["not_larger", "not_smaller"]))
    if attrs["coordinate_transformation_mode"] == "pytorch_half_pixel":
        attrs["coordinate_transformation_mode"] = "half_pixel"  # of single pixels the reference has another idea
    operand = {"s": sizes if by_size else np.maximum(scales, 1 / np.float32(x.shape)[axes] + 1e-6).astype(np.float32)}
    node = ("Resize", ["x", "", "", "s"] if by_size else ["x", "", "s"], ["y"], attrs)
    open_shape = [f"d{i}" for i in range(rank)]
    for spec, constants in (({"x": x}, operand), ({"x": open_shape}, operand), ({"x": x, **operand}, {})):
        model = make_model([node], spec, {"y": [None] * rank}, constants, opset=19)
        feeds = {"x": x} if constants else {"x": x, **operand}
        got = wisp.load(convert(model, verify=False)).run(feeds)["y"]
        check_close(got, reference(model, feeds)["y"], str(attrs), rtol=1e-5, atol=1e-5)


def test_roi_of_a_run():
    x, roi = images(1, 2, 5, 6), np.float32([0, 0, 0.4, 0.6, 1, 1, 0.6, 1.7])
    attrs = dict(mode="linear", coordinate_transformation_mode="tf_crop_and_resize", extrapolation_value=9.0)
    sizes = np.array([1, 2, 4, 5])
    model = make_model([("Resize", ["x", "roi", "", "s"], ["y"], attrs)], {"x": x, "roi": roi, "s": sizes},
                       {"y": [None] * 4}, opset=19)
    check_model(model, {"x": x, "roi": roi, "s": sizes})


def test_align_corners_of_fractional_lengths():
    """Positions span the output's extent, as ONNX Runtime and the text until opset 17 have it, or the length before it
    is rounded down, as the reference has it."""
    x = np.arange(5, dtype=np.float32).reshape(1, 1, 5)
    for opset, length in ((11, 7), (17, 7), (18, 7.5), (19, 7.5)):
        model = resize_model(x.shape, scales=(1, 1, 1.5), mode="linear",
                             coordinate_transformation_mode="align_corners", opset=opset)
        want = (np.arange(7) * 4 / (length - 1)).astype(np.float32)
        assert np.allclose(wisp.load(convert(model, verify=False)).run({"x": x})["y"].ravel(), want, atol=1e-6)


def test_scales_a_rounding_off_the_ratio():
    """Extents are products in f32, as ONNX's inference and ONNX Runtime have them: 7 / 3 of 3 is 7."""
    for extent, scale, want in ((3, 7 / 3, 7), (3, 4 / 3, 4), (10, 0.7, 7), (6, 1 / 3, 2)):
        x = images(1, 1, extent)
        for shape in (x.shape, [1, 1, "n"]):
            model = make_model([("Resize", ["x", "", "s"], ["y"], {"mode": "nearest"})], {"x": list(shape)}, ["y"],
                               {"s": np.float32([1, 1, scale])}, opset=17)
            assert wisp.load(convert(model, verify=False)).run({"x": x})["y"].shape == (1, 1, want)
            skip = images(1, 1, want)  # what follows is planned for that extent too
            joined = make_model([("Resize", ["x", "", "s"], ["r"], {"mode": "nearest"}), ("Relu", ["r"], ["p"], {}),
                                 ("Add", ["p", "skip"], ["y"], {})], {"x": list(shape), "skip": list(skip.shape)},
                                {"y": [1, 1, None]}, {"s": np.float32([1, 1, scale])}, opset=17)
            assert wisp.load(convert(joined, verify=False)).run({"x": x, "skip": skip})["y"].shape == (1, 1, want)
            assert onnxruntime_outputs(model, {"x": x})["y"].shape == (1, 1, want)


def test_hostile_resizing():
    x = images(1, 3, 3, 1)
    for attrs, message in ((dict(axes=(1, 1)), "axes"), (dict(axes=(1, 4)), "axes"), (dict(axes=(1,)), "length"),
                           (dict(axes=(1, 2), mode=3), "no such mode"), (dict(axes=(1, 2), coordinate=7), "mode"),
                           (dict(axes=tuple(range(9))), "axes")):
        with pytest.raises(wisp.WispError, match=message):
            run_node("Resize", [x, None, np.array([4, 4])], (1, 4, 4, 1), **attrs)
    for sizes in ([2 ** 40, 4], [-1, 4], [16777216, 4]):
        with pytest.raises(wisp.WispError, match="out of range|shape"):
            run_node("Resize", [x, None, np.array(sizes)], (1, 4, 4, 1), axes=(1, 2))


@pytest.mark.parametrize("dtype", [np.float32, np.int8])
@pytest.mark.parametrize("block,channels", [(2, 3), (3, 1), (2, 16)])
def test_depth_and_space(dtype, block, channels):
    x = rng.integers(-100, 100, (2, channels * block * block, 3, 5)).astype(dtype)
    for mode in ("DCR", "CRD"):
        check_model(make_model([("DepthToSpace", ["x"], ["y"], {"blocksize": block, "mode": mode})], {"x": x}, ["y"]),
                    {"x": x})
    x = rng.integers(-100, 100, (2, channels, 3 * block, 2 * block)).astype(dtype)
    check_model(make_model([("SpaceToDepth", ["x"], ["y"], {"blocksize": block})], {"x": x}, ["y"]), {"x": x},
                trust_reference=dtype != np.int8)


# ---- int8


def linear_s8(x, out_h, out_w):
    """The written rule: half_pixel coordinates in f32, weights of whole 1/2048, halves up."""
    def taps(out, extent):
        scale = np.float32(out) / np.float32(extent)
        at = (np.arange(out, dtype=np.float32) + np.float32(0.5)) / scale - np.float32(0.5)
        low = np.floor(at)
        second = np.floor((at - low) * np.float32(2048) + np.float32(0.5)).astype(np.int64)
        near, far = (np.clip(at, 0, extent - 1).astype(int) for at in (low, low + 1))
        return near, far, 2048 - second, second

    (top, bottom, v0, v1), (left, right, h0, h1) = taps(out_h, x.shape[1]), taps(out_w, x.shape[2])
    wide = x.astype(np.int64)
    v0, v1, h0, h1 = v0[None, :, None, None], v1[None, :, None, None], h0[None, None, :, None], h1[None, None, :, None]
    rows = [wide[:, i][:, :, left] * h0 + wide[:, i][:, :, right] * h1 for i in (top, bottom)]
    return ((rows[0] * v0 + rows[1] * v1 + (1 << 21)) >> 22).astype(np.int8)


@pytest.mark.parametrize("sizes", [(10, 12), (3, 4), (7, 11), (5, 6)])
def test_linear_int8_is_exact(sizes):
    x = rng.integers(-128, 128, (2, 5, 6, 19)).astype(np.int8)
    x[0] = 127
    y = run_node("Resize", [x, None, np.array(sizes)], (2, *sizes, 19), scale=0.5, zero_point=3, mode=1, cubic_a=-0.75,
                 axes=(1, 2))
    assert np.array_equal(y, linear_s8(x, *sizes))
    y = run_node("Resize", [x, None, np.array(sizes[1:])], (2, 5, sizes[1], 19), scale=0.5, mode=1, axes=(2,))
    assert np.array_equal(y, linear_s8(x, 5, sizes[1]))


@pytest.mark.parametrize("mode", ["nearest", "linear"])
def test_int8_in_a_network(mode):
    w = rng.standard_normal((5, 4, 1, 1)).astype(np.float32)
    nodes = [("Conv", ["x", "w"], ["c"], {}), ("Resize", ["c", "", "s"], ["y"], {"mode": mode})]
    x = images(1, 4, 6, 7)
    check_int8_layer(make_model(nodes, {"x": x}, ["y"], {"w": w, "s": np.float32([1, 1, 2, 2])}), {"x": x},
                     off_by_one=0.2)


@pytest.mark.parametrize("op,attrs", [
    ("DepthToSpace", {"blocksize": 2, "mode": "CRD"}), ("SpaceToDepth", {"blocksize": 2})])
def test_int8_blocks(op, attrs):
    w = rng.standard_normal((8, 4, 1, 1)).astype(np.float32)
    nodes = [("Conv", ["x", "w"], ["c"], {}), (op, ["c"], ["y"], attrs)]
    x = images(1, 4, 6, 8)
    check_int8_layer(make_model(nodes, {"x": x}, ["y"], {"w": w}), {"x": x})
