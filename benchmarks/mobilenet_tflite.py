"""MobileNet-v1 and v2 as int8 TFLite files with seeded weights, for LiteRT's side of a comparison.

usage: mobilenet_tflite.py FOLDER

Needs a Python with tensorflow, which nothing else of Wisp does. The operators are those of mobilenet_v1.py and
mobilenet.py at 224x224; the weights recognise nothing.
"""
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import tensorflow as tf

NETWORKS = {"mobilenet_v1": tf.keras.applications.MobileNet, "mobilenet_v2": tf.keras.applications.MobileNetV2}
SHAPE = (224, 224, 3)


def int8(model, rng: np.random.Generator) -> bytes:
    """The quantized file; ranges from random pictures."""
    converter = tf.lite.TFLiteConverter.from_keras_model(model)
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    converter.representative_dataset = lambda: ([rng.uniform(-1, 1, (1, *SHAPE)).astype(np.float32)] for _ in range(4))
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
    converter.inference_input_type = converter.inference_output_type = tf.int8
    return converter.convert()


def main() -> None:
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    for name, network in NETWORKS.items():
        tf.keras.utils.set_random_seed(1)
        model = int8(network(weights=None, input_shape=SHAPE), np.random.default_rng(0))
        (folder / f"{name}_int8.tflite").write_bytes(model)


if __name__ == "__main__":
    main()
