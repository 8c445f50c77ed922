/* Pictures as model inputs, by the preprocessing in the model's metadata: the same pixels as engine/wisp/image.py makes. */
/* SPDX-License-Identifier: Apache-2.0 */

const DEFAULTS = { crop: 1, channel_order: "RGB", mean: [0, 0, 0], std: [1, 1, 1], layout: "NCHW" };

/**
 * @param {Blob} blob a picture in a format the browser knows
 * @param {object} preprocessing {"size": [height, width], "crop", "channel_order", "mean", "std", "layout"}
 * @returns {Promise<{data: Float32Array, shape: number[]}>}
 */
export async function loadPicture(blob, preprocessing) {
  const options = { ...DEFAULTS, ...preprocessing };
  const bitmap = await createImageBitmap(blob, { colorSpaceConversion: "none", premultiplyAlpha: "none" });
  const context = new OffscreenCanvas(bitmap.width, bitmap.height).getContext("2d", { willReadFrequently: true });
  context.drawImage(bitmap, 0, 0);
  const rgba = context.getImageData(0, 0, bitmap.width, bitmap.height).data;
  return normalize(cropCentre({ width: bitmap.width, height: bitmap.height, data: dropAlpha(rgba) }, options), options);
}

function dropAlpha(rgba) {
  const rgb = new Uint8Array((rgba.length / 4) * 3);
  for (let i = 0, j = 0; i < rgba.length; i += 4) (rgb[j++] = rgba[i]), (rgb[j++] = rgba[i + 1]), (rgb[j++] = rgba[i + 2]);
  return rgb;
}

/** To the nearest, halves to even, as Python's round. */
function round(x) {
  const floor = Math.floor(x), rest = x - floor;
  return rest > 0.5 || (rest === 0.5 && floor % 2 !== 0) ? floor + 1 : floor;
}

/** Scaled so that the short side is the model's divided by `crop`, then the centre. */
function cropCentre(picture, { size: [height, width], crop }) {
  const scale = Math.max(round(height / crop) / picture.height, round(width / crop) / picture.width);
  const scaled = resize(picture, Math.max(width, round(picture.width * scale)), Math.max(height, round(picture.height * scale)));
  const left = Math.floor((scaled.width - width) / 2), top = Math.floor((scaled.height - height) / 2);
  const data = new Uint8Array(width * height * 3);
  for (let y = 0; y < height; y++) {
    const from = ((top + y) * scaled.width + left) * 3;
    data.set(scaled.data.subarray(from, from + width * 3), y * width * 3);
  }
  return { width, height, data };
}

/** Bicubic with a = -0.5, widened when shrinking; weights have 22 bits: Pillow's Image.resize, bit for bit. */
function resize(picture, width, height) {
  const wide = width === picture.width ? picture : scaleAxis(picture, weights(picture.width, width), width, picture.height, 3, picture.width * 3);
  return height === picture.height ? wide : scaleAxis(wide, weights(picture.height, height), width, height, width * 3, 3);
}

/** For each output position: the first input position and the weights from there on. */
function weights(from, to) {
  const scale = from / to, widened = Math.max(scale, 1), support = 2 * widened;
  return Array.from({ length: to }, (_, i) => {
    const centre = (i + 0.5) * scale;
    const first = Math.max(0, Math.trunc(centre - support + 0.5)), end = Math.min(from, Math.trunc(centre + support + 0.5));
    const values = Array.from({ length: end - first }, (_, x) => cubic((x + first - centre + 0.5) / widened));
    const sum = values.reduce((a, b) => a + b, 0);
    return { first, values: values.map((w) => Math.trunc((w / sum) * 4194304 + (w < 0 ? -0.5 : 0.5))) };
  });
}

function cubic(x) {
  x = Math.abs(x);
  if (x < 1) return (1.5 * x - 2.5) * x * x + 1;
  return x < 2 ? (((x - 5) * x + 8) * x - 4) * -0.5 : 0;
}

/** One axis of the resize. `step`: bytes between the inputs that one output sums up. Rows, then columns, in either case. */
function scaleAxis(picture, table, width, height, step, across) {
  const data = new Uint8ClampedArray(width * height * 3), horizontal = step === 3;
  for (let y = 0, at = 0; y < height; y++) {
    for (let x = 0; x < width; x++) {
      const { first, values } = table[horizontal ? x : y];
      const start = (horizontal ? y : x) * across + first * step;
      for (let channel = 0; channel < 3; channel++) {
        let sum = 2097152; // half
        for (let k = 0, from = start + channel; k < values.length; k++, from += step) sum += picture.data[from] * values[k];
        data[at++] = Math.floor(sum / 4194304);
      }
    }
  }
  return { width, height, data: new Uint8Array(data.buffer) };
}

/** (pixel - mean) / std in float32, in the order of the model. */
function normalize({ width, height, data }, { channel_order: order, mean, std, layout }) {
  const out = new Float32Array(width * height * 3), plane = width * height;
  for (let i = 0; i < plane; i++) {
    for (let c = 0; c < 3; c++) {
      const pixel = data[3 * i + (order === "BGR" ? 2 - c : c)];
      out[layout === "NCHW" ? c * plane + i : 3 * i + c] = Math.fround(pixel - Math.fround(mean[c])) / Math.fround(std[c]);
    }
  }
  return { data: out, shape: layout === "NCHW" ? [1, 3, height, width] : [1, height, width, 3] };
}
