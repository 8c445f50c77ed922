"""`wisp compare`: over a folder of pictures, and the limits that set its exit status."""
# SPDX-License-Identifier: Apache-2.0
import json

import numpy as np
import onnx
import pytest
from support import make_model, reference
from wisp.cli import main
from wisp_converter import InputError, Progress, convert
from wisp_converter.agreement import compare_pictures, read_labels
from wisp_converter.sources.onnx.load import load

PIL = pytest.importorskip("PIL.Image", reason="pictures need Pillow")
N = 20


def classifier(bias=(0, 0, 0)) -> onnx.ModelProto:
    """The mean of each channel, and a bias."""
    return make_model([("ReduceMean", ["x"], ["m"], dict(axes=[2, 3], keepdims=0)), ("Add", ["m", "b"], ["y"])],
                      {"x": [1, 3, 4, 4]}, {"y": [1, 3]}, {"b": np.float32(bias)})


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Pictures, half of which are changed in their best class by a bias of 30 on the first; labels of the true one."""
    folder, rng = tmp_path_factory.mktemp("agreement"), np.random.default_rng(0)
    (folder / "pictures").mkdir()
    lines = []
    for i in range(N):
        color = rng.permutation([100, 120 if i % 2 else 160, 20])
        PIL.fromarray(np.full((6, 8, 3), color, np.uint8)).save(folder / "pictures" / f"{i:02}.png")
        lines.append(f"{i:02}.png,{int(color.argmax())}")
    (folder / "labels.csv").write_text("\n".join(lines))
    (folder / "names.tsv").write_text("\n".join(line.replace(",", "\tclass ") for line in lines[:5]))
    onnx.save(classifier(), folder / "m.onnx")
    labels = {"labels": ["class 0", "class 1", "class 2"]}
    same, other = (convert(m, preprocess={"preset": "bytes"}, metadata=labels)
                   for m in (classifier(), classifier((30, 0, 0))))
    (folder / "same.wisp").write_bytes(same)
    (folder / "other.wisp").write_bytes(other)
    return folder


def pixels(path) -> np.ndarray:
    """The middle of a picture, apart from the code under test: these are of one color."""
    return np.asarray(PIL.open(path), np.float32)[1:5, 2:6].transpose(2, 0, 1)[None]


def test_rates(folder):
    """Against ONNX's reference, picture by picture."""
    best = {}
    for path in sorted((folder / "pictures").iterdir()):
        best[path.name] = [int(reference(classifier(bias), {"x": pixels(path)})["y"].argmax())
                           for bias in ((0, 0, 0), (30, 0, 0))]
    agreement = np.mean([a == b for a, b in best.values()])
    assert 0.2 < agreement < 1
    with open(folder / "other.wisp", "rb") as file:
        report = compare_pictures(load(folder / "m.onnx"), file, folder / "pictures", labels=folder / "labels.csv")
    assert report["pictures"] == report["labelled"] == N and report["agreement"] == agreement
    assert report["source_top1"] == 1 and report["top1"] == agreement
    assert report["outputs"]["y"]["max_abs"] == pytest.approx(30, rel=1e-5)
    assert report["reference"].startswith("ONNX") and (folder / "pictures" / report["worst"]).exists()
    signal = sum((reference(classifier(), {"x": pixels(p)})["y"].astype(float) ** 2).sum()
                 for p in (folder / "pictures").iterdir())
    assert report["outputs"]["y"]["snr_db"] == pytest.approx(10 * np.log10(signal / (N * 900)), abs=1e-3)


def test_labels_by_name(folder):
    with open(folder / "same.wisp", "rb") as file:
        report = compare_pictures(load(folder / "m.onnx"), file, folder / "pictures", labels=folder / "names.tsv",
                                  progress=Progress(False))
    assert report["labelled"] == 5 and report["top1"] == 1 and report["agreement"] == 1


@pytest.mark.parametrize("text, says", [
    ("00.png,7", "line 1 names class 7; the model has 3"), ("00.png,0\n01.png", "line 2 is not a picture's name"),
    ("00.png\tdog", "line 1 is not"), ("zz.png,1", "names none of the pictures"), (b"\xff\xff", "not UTF-8")])
def test_bad_labels(folder, tmp_path, text, says):
    path = tmp_path / "labels"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    with open(folder / "same.wisp", "rb") as file, pytest.raises(InputError, match=says):
        compare_pictures(load(folder / "m.onnx"), file, folder / "pictures", labels=path)
    with pytest.raises(InputError, match="cannot be read"):
        read_labels(tmp_path / "none")


def test_no_classifier(tmp_path, folder):
    """There is SNR, and no agreement."""
    model = make_model([("Relu", ["x"], ["y"])], {"x": [1, 3, 4, 4]}, ["y"])
    data = convert(model, preprocess={"preset": "0..1"})
    report = compare_pictures(load(model), _file(tmp_path, data), folder / "pictures")
    assert "agreement" not in report and report["outputs"]["y"]["max_abs"] == 0
    with pytest.raises(InputError, match="of no use"):
        compare_pictures(load(model), _file(tmp_path, data), folder / "pictures", labels=folder / "labels.csv")
    with pytest.raises(InputError, match="preset"):
        compare_pictures(load(model), _file(tmp_path, convert(model)), folder / "pictures")
    with pytest.raises(InputError, match="no pictures"):
        compare_pictures(load(model), _file(tmp_path, data), tmp_path)
    with pytest.raises(InputError, match="is not the source"):
        compare_pictures(load(make_model([("Relu", ["z"], ["y"])], {"z": [1, 3, 4, 4]}, ["y"])),
                         _file(tmp_path, data), folder / "pictures")


def _file(tmp_path, data: bytes):
    (tmp_path / "m.wisp").write_bytes(data)
    return open(tmp_path / "m.wisp", "rb")


@pytest.mark.parametrize("options, file, status, says", [
    ([], "same", 0, ""), (["--min-snr", "60"], "same", 0, ""),
    (["--min-snr", "60"], "other", 1, "less than --min-snr 60"),
    (["--images", "pictures"], "other", 0, ""), (["--images", "pictures", "--min-agreement", "100"], "same", 0, ""),
    (["--images", "pictures", "--min-agreement", "99"], "other", 1, "less than --min-agreement 99"),
    (["--images", "pictures", "--min-snr", "60"], "other", 1, "output 'y' has a SNR of"),
    (["--labels", "labels.csv"], "same", 2, "need --images"), (["--images", "none"], "same", 1, "none: cannot be read"),
    (["--images", "pictures", "--input", "x.npy"], "same", 2, "give one of them"),
])
def test_exit_status(folder, monkeypatch, capsys, options, file, status, says):
    monkeypatch.chdir(folder)
    assert main(["compare", "m.onnx", f"{file}.wisp", *options]) == status
    printed = capsys.readouterr()
    assert says in printed.err and printed.err.count("\n") == (status != 0)


def test_what_is_printed(folder, monkeypatch, capsys):
    monkeypatch.chdir(folder)
    command = ["compare", "m.onnx", "other.wisp", "--images", "pictures", "--labels", "labels.csv"]
    assert main(command) == 0
    text = capsys.readouterr().out
    assert "have the same best class" in text and "100 % source" in text and "20 have a label" in text
    assert main([*command, "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["pictures"] == N and f"{100 * report['agreement']:.4g} % have" in text
