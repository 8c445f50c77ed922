"""GridSample, AffineGrid, DeformConv, RoiAlign and Col2Im against ONNX's reference, ONNX Runtime, and sums in numpy."""
# SPDX-License-Identifier: Apache-2.0
from itertools import product

import numpy as np
import pytest

import wisp
from support import check_close, check_model, make_model, onnxruntime_outputs, reference
from support_graph import run_node
from wisp_converter import UnsupportedError, convert

rng = np.random.default_rng(31)


def f32(*shape):
    return rng.standard_normal(shape).astype(np.float32)


def run(model, feeds, **options):
    return wisp.load(convert(model, verify=False), **options).run(feeds)["y"]


# ---- GridSample


def sample_model(x, grid, attrs, opset=20):
    return make_model([("GridSample", ["x", "g"], ["y"], attrs)], {"x": x, "g": grid}, {"y": [None] * len(x)},
                      opset=opset)


@pytest.mark.parametrize("mode,padding,align", list(product(("nearest", "linear", "cubic"),
                                                       ("zeros", "border", "reflection"), (0, 1))))
@pytest.mark.parametrize("shape,positions", [
    ((2, 3, 4, 5), (3, 4)), ((1, 17, 3, 1), (2, 5)), ((1, 2, 3, 4, 2), (2, 3, 2))], ids=str)
def test_grid_sample(mode, padding, align, shape, positions):
    grid = rng.uniform(-1.7, 1.7, (shape[0], *positions, len(positions))).astype(np.float32)
    x, attrs = f32(*shape), dict(mode=mode, padding_mode=padding, align_corners=align)
    model = sample_model(shape, grid.shape, attrs)
    other = onnxruntime_outputs(model, {"x": x, "g": grid})
    # the reference moves the position of cubic to the border, not the taps, and divides by an extent - 1
    if mode == "cubic" and padding == "border" or align and 1 in shape[2:]:
        if other is None:
            pytest.skip("no oracle")
        want = other["y"]
    else:
        want = reference(model, {"x": x, "g": grid})["y"]
    letters = "abcdef"[:len(positions)]
    for spec in ((shape, grid.shape), (["n", shape[1], *letters], ["n", *letters.upper(), len(positions)])):
        got = run(sample_model(*map(list, spec), attrs), {"x": x, "g": grid}, threads=2)
        check_close(got, want, str(attrs), rtol=1e-5, atol=1e-5)
    if other is not None:
        check_close(other["y"], want, "oracles", rtol=1e-4, atol=1e-4)


def test_grid_sample_before_opset_20():
    x, grid = f32(1, 2, 5, 4), rng.uniform(-1.2, 1.2, (1, 3, 3, 2)).astype(np.float32)
    for mode in ("bilinear", "bicubic", "nearest"):
        model = sample_model(x.shape, grid.shape, dict(mode=mode), opset=16)
        want = onnxruntime_outputs(model, {"x": x, "g": grid})["y"]
        check_close(run(model, {"x": x, "g": grid}), want, mode, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("padding", ["zeros", "border", "reflection"])
@pytest.mark.parametrize("mode", ["nearest", "linear", "cubic"])
@pytest.mark.parametrize("align", [0, 1])
def test_positions_far_outside_and_no_numbers(padding, mode, align):
    """Nothing is read outside the image; with zeros nothing is found there. The centres of an image of one pixel are
    one: every position."""
    far = np.float32([np.inf, -np.inf, np.nan, 1e30, -1e30, 3e9, -40, 17])
    grid = np.stack(np.meshgrid(far, far), -1)[None].astype(np.float32)
    x = f32(1, 3, 4, 5)
    for shape in ((1, 3, 4, 5), (1, 3, 1, 1)):
        y = run(sample_model(shape, grid.shape, dict(mode=mode, padding_mode=padding, align_corners=align)),
                {"x": x[..., :shape[2], :shape[3]], "g": grid})
        assert np.isfinite(y).all() and (padding != "zeros" or (align and shape[2] == 1) or not y.any())


def test_hostile_grids():
    x, grid = f32(1, 4, 5, 2), f32(1, 3, 3, 2)
    for operands, attrs, message in (([x, grid], dict(mode=3), "mode"), ([x, grid], dict(padding=-1), "mode"),
                                     ([x, grid], dict(align=3), "mode"), ([x, f32(2, 3, 3, 2)], {}, "do not fit"),
                                     ([x, f32(1, 3, 3, 3)], {}, "do not fit"), ([x, f32(1, 3, 2)], {}, "do not fit"),
                                     ([f32(1, 0, 5, 2), grid], {}, "empty"), ([f32(1, 5), grid], {}, "do not fit")):
        with pytest.raises(wisp.WispError, match=message):
            run_node("GridSample", operands, (1, 3, 3, 2), **attrs)


# ---- AffineGrid


@pytest.mark.parametrize("axes", [2, 3])
@pytest.mark.parametrize("align", [0, 1])
@pytest.mark.parametrize("computed", [False, True])
def test_affine_grid(axes, align, computed):
    theta, size = f32(2, axes, axes + 1), np.array([2, 3, 4, 5, 6][:axes + 2])
    inputs = {"t": theta} | ({"s": size} if computed else {})
    model = make_model([("AffineGrid", ["t", "s"], ["y"], {"align_corners": align})], inputs,
                       {"y": [None] * (axes + 2)}, {} if computed else {"s": size}, opset=20)
    check_model(model, inputs, atol=1e-5)


# ---- DeformConv


def deform(x, w, offset, bias, mask, a):
    """Every tap of every window at its own place, as torchvision's text has it; in double precision."""
    (n, c, ih, iw), (m, _, kh, kw), (oh, ow) = x.shape, w.shape, offset.shape[2:]
    groups, parts = a.get("group", 1), a.get("offset_group", 1)
    pads, strides, dilations = a.get("pads", [0] * 4), a.get("strides", [1, 1]), a.get("dilations", [1, 1])
    offset = offset.reshape(n, parts, kh, kw, 2, oh, ow)
    mask = np.ones((n, parts, kh, kw, oh, ow)) if mask is None else mask.reshape(n, parts, kh, kw, oh, ow)
    y = np.zeros((n, m, oh, ow)) + (0 if bias is None else bias.reshape(-1, 1, 1))

    def at(image, py, px):
        if not (0 <= py < ih and 0 <= px < iw):
            return np.zeros(c // parts)
        return image[:, py, px]

    for b, p, i, j, ky, kx in product(*map(range, (n, parts, oh, ow, kh, kw))):
        channels = slice(p * c // parts, (p + 1) * c // parts)
        py = i * strides[0] - pads[0] + ky * dilations[0] + offset[b, p, ky, kx, 0, i, j]
        px = j * strides[1] - pads[1] + kx * dilations[1] + offset[b, p, ky, kx, 1, i, j]
        y0, x0 = int(np.floor(py)), int(np.floor(px))
        value = sum((1 - abs(py - yy)) * (1 - abs(px - xx)) * at(x[b, channels].astype(float), yy, xx)
                    for yy in (y0, y0 + 1) for xx in (x0, x0 + 1)) * mask[b, p, ky, kx, i, j]
        for k, channel in enumerate(range(*channels.indices(c))):
            g = channel // (c // groups)
            outputs = slice(g * m // groups, (g + 1) * m // groups)
            y[b, outputs, i, j] += w[outputs, channel % (c // groups), ky, kx] * value[k]
    return y.astype(np.float32)


@pytest.mark.parametrize("x,w,out,attrs", [
    ((1, 1, 3, 3), (1, 1, 2, 2), (2, 2), {}),
    ((2, 4, 5, 6), (6, 4, 3, 3), (5, 6), dict(pads=[1, 1, 1, 1])),
    ((1, 4, 6, 5), (4, 2, 3, 2), (2, 3), dict(group=2, offset_group=2, strides=[2, 2], pads=[0, 1, 0, 0])),
    ((1, 6, 7, 7), (3, 6, 2, 2), (5, 4), dict(offset_group=3, dilations=[2, 3])),
], ids=str)
@pytest.mark.parametrize("more", ["", "b", "m", "bm"])
def test_deform_conv(x, w, out, attrs, more):
    taps = w[2] * w[3] * attrs.get("offset_group", 1)
    feeds = {"x": f32(*x), "w": f32(*w), "o": f32(x[0], 2 * taps, *out)}
    optional = {"b": f32(w[0]), "m": rng.random((x[0], taps, *out)).astype(np.float32)}
    feeds |= {n: optional[n] for n in more}
    names = [*"xwo", "b" if "b" in more else "", "m" if "m" in more else ""]
    model = make_model([("DeformConv", names, ["y"], attrs)], feeds, {"y": [None] * 4}, opset=19)
    want = deform(feeds["x"], feeds["w"], feeds["o"], feeds.get("b"), feeds.get("m"), attrs)
    check_close(run(model, feeds), want, str(attrs), rtol=1e-4, atol=1e-5)
    check_close(reference(model, feeds)["y"], want, "oracles", rtol=1e-3, atol=1e-3)


def test_deform_conv_needs_extents():
    model = make_model([("DeformConv", ["x", "w", "o"], ["y"], {})],
                       {"x": [1, 1, "h", 3], "w": [1, 1, 2, 2], "o": [1, 8, 2, 2]}, {"y": [None] * 4}, opset=19)
    with pytest.raises(UnsupportedError, match="DeformConv.*shapes="):
        convert(model, verify=False)


# ---- RoiAlign


def roi_model(x, count, attrs, opset=16):
    return make_model([("RoiAlign", ["x", "r", "b"], ["y"], attrs)],
                      {"x": list(x), "r": [count, 4], "b": (np.int64, [count])}, {"y": [None] * 4}, opset=opset)


@pytest.mark.parametrize("attrs", [
    dict(output_height=3, output_width=2), dict(output_height=2, output_width=5, sampling_ratio=3, spatial_scale=0.5),
    dict(sampling_ratio=2), dict(output_height=4, output_width=4, coordinate_transformation_mode="output_half_pixel"),
    dict(output_height=7, output_width=7, spatial_scale=0.25, sampling_ratio=1),
], ids=str)
@pytest.mark.parametrize("mode", ["avg", "max"])
def test_roi_align(attrs, mode):
    attrs = dict(attrs, mode=mode)
    x, batch = f32(3, 18, 9, 11), np.array([2, 0, 1, 1, 0])
    rois = np.sort(rng.uniform(-2, 24, (5, 2, 2)), axis=1).reshape(5, 4).astype(np.float32)
    rois[4] = [3, 3, 3, 3]
    feeds = {"x": x, "r": rois, "b": batch}
    model = roi_model(x.shape, 5, attrs)
    want = reference(model, feeds)["y"]
    check_close(run(model, feeds, threads=2), want, str(attrs), rtol=1e-5, atol=1e-5)
    open_model = roi_model(["n", 18, "h", "w"], "r", attrs)
    assert np.array_equal(run(open_model, feeds), run(model, feeds))
    other = onnxruntime_outputs(model, feeds)["y"]
    if mode == "avg":  # of no samples ONNX Runtime's maximum is not the reference's
        check_close(other, want, "oracles", rtol=1e-4, atol=1e-4)
    if "coordinate_transformation_mode" not in attrs:
        return
    old = roi_model(x.shape, 5, {k: v for k, v in attrs.items() if k != "coordinate_transformation_mode"}, opset=10)
    assert np.array_equal(run(old, feeds), run(model, feeds))


@pytest.mark.parametrize("rois,batch,message", [
    ([0, 0, 2, 2], 1, "batch index 1"), ([0, 0, 2, 2], -1, "batch index -1"), ([0, 0, np.nan, 2], 0, "region 0"),
    ([0, 0, 2, np.inf], 0, "region 0"), ([0, 0, 1e8, 2], 0, "region 0"), ([1e20, 0, 1e20, 2], 0, "region 0")])
def test_regions_that_make_no_sense(rois, batch, message):
    loaded = wisp.load(convert(roi_model((1, 2, 4, 4), 1, {}), verify=False))
    good = {"x": f32(1, 2, 4, 4), "r": np.float32([[0, 0, 2, 2]]), "b": np.array([0])}
    with pytest.raises(wisp.WispError, match=f"RoiAlign.*{message}"):
        loaded.run({**good, "r": np.float32([rois]), "b": np.array([batch])})
    assert np.isfinite(loaded.run(good)["y"]).all()


@pytest.mark.parametrize("shape,scale", [((3, 2), 1.0), ((2, 5), 0.5), ((7, 7), 0.25)])
def test_roi_pool(shape, scale):
    """Against ONNX Runtime, whose text ONNX's reference lacks."""
    x = f32(3, 5, 9, 11)
    corners = np.sort(rng.uniform(-4, 30, (6, 2, 2)), axis=1).reshape(6, 4)
    rois = np.c_[[0, 2, 1, 1, 0, 2], corners].astype(np.float32)
    rois[4, 1:], rois[5, 1:] = [3, 3, 3, 3], [60, 60, 70, 70]  # one pixel, and nothing of the image
    model = make_model([("MaxRoiPool", ["x", "r"], ["y"], dict(pooled_shape=shape, spatial_scale=scale))],
                       {"x": x, "r": rois}, {"y": [None] * 4})
    want = onnxruntime_outputs(model, {"x": x, "r": rois})["y"]
    assert np.array_equal(run(model, {"x": x, "r": rois}, threads=2), want)
    for bad, message in ((np.nan, "region 5"), (1e12, "region 5")):
        with pytest.raises(wisp.WispError, match=f"MaxRoiPool.*{message}"):
            run(model, {"x": x, "r": np.r_[rois[:5], np.float32([[0, 0, bad, 2, 2]])]})
    with pytest.raises(wisp.WispError, match="no such image: region 0"):
        run(model, {"x": x, "r": np.r_[np.float32([[3, 0, 0, 2, 2]]), rois[1:]]})


# ---- Col2Im


@pytest.mark.parametrize("image,block,attrs", [
    ([5, 5], [1, 5], {}), ([6, 7], [2, 3], dict(strides=[2, 2])), ([6, 6], [2, 2], dict(dilations=[1, 5])),
    ([5, 4], [3, 2], dict(pads=[0, 1, 0, 2])), ([9], [4], dict(strides=[3], pads=[1, 2])),
    ([3, 4, 5], [1, 2, 3], dict(pads=[0, 1, 1, 0, 0, 1], strides=[1, 2, 1])), ([2, 3, 2, 3], [2, 2, 1, 2], {}),
], ids=str)
@pytest.mark.parametrize("computed", [False, True])
def test_col2im(image, block, attrs, computed):
    n = len(image)
    pads, strides = attrs.get("pads", [0] * 2 * n), attrs.get("strides", [1] * n)
    dilations = attrs.get("dilations", [1] * n)
    blocks = [(e + pads[i] + pads[n + i] - dilations[i] * (b - 1) - 1) // strides[i] + 1
              for i, (e, b) in enumerate(zip(image, block))]
    x = f32(2, 3 * int(np.prod(block)), int(np.prod(blocks)))
    shapes = {"i": np.array(image), "b": np.array(block)}
    model = make_model([("Col2Im", ["x", "i", "b"], ["y"], attrs)], {"x": x} | (shapes if computed else {}),
                       {"y": [None] * (n + 2)}, {} if computed else shapes, opset=18)
    feeds = {"x": x} | (shapes if computed else {})
    check_close(run(model, feeds, threads=2), reference(model, feeds)["y"], "sums", rtol=1e-5, atol=1e-5)


def test_hostile_blocks():
    x = f32(1, 4, 9)
    plain = dict(strides=(1, 1), dilations=(1, 1), pads=(0, 0, 0, 0))
    for image, block, change, message in (
            ([4, 4], [2, 2], dict(strides=(0, 1)), "out of range"), ([4, 4], [2, 2], dict(pads=(0, 0)), "each axis"),
            ([4, 4], [2, 3], {}, "do not fit"), ([4, 5], [2, 2], {}, "do not fit"), ([4], [2, 2], {}, "extents"),
            ([4, -1], [2, 2], {}, "out of range"), ([2 ** 40, 4], [2, 2], {}, "out of range"),
            ([2 ** 31 - 1] * 2, [1, 4], {}, "do not fit"), ([4, 4], [2 ** 20, 2 ** 20], {}, "too large"),
            ([4, 4], [2, 2], dict(pads=(-1, 0, 0, 0)), "out of range")):
        with pytest.raises(wisp.WispError, match=message):
            run_node("Col2Im", [x, np.array(image), np.array(block)], (1, 1, 4, 4), **{**plain, **change})
