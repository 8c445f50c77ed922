// The fingerprint of a model in WebAssembly, as tests/targets/digest.c makes it: node digest.mjs WISP.JS WISP.WASM MODEL [gain] [scalar]
// SPDX-License-Identifier: Apache-2.0
import { createHash } from "node:crypto";
import { resolve } from "node:path";
import { pathToFileURL } from "node:url";

const [wrapper, wasm, file, gain = "1", sets = "all"] = process.argv.slice(2);
const { Wisp } = await import(pathToFileURL(resolve(wrapper)));

const model = await Wisp.load(file, { wasm, simd: sets !== "scalar" });
let seed = 1;
const inputs = {};
for (const { name, dtype, shape } of model.inputs) {
  const extents = shape.map((extent) => (typeof extent === "number" ? extent : 1));
  const count = extents.reduce((a, b) => a * b, 1);
  const values = Int8Array.from({ length: count }, () => {
    seed = (Math.imul(seed, 1664525) + 1013904223) >>> 0;
    return (seed >>> 24) - 128;
  });
  if (dtype !== "float32" && dtype !== "int8" && dtype !== "uint8") throw new Error(`no test data for ${dtype}`);
  // gain * k is rounded to float32, then multiplied by a power of two: exact
  const data = dtype === "float32" ? Float32Array.from(values, (k) => Math.fround(Math.fround(gain) * k) * 0.015625)
             : dtype === "uint8" ? new Uint8Array(values.buffer) : values;
  inputs[name] = { data, shape: extents };
}
let start = performance.now();
const outputs = model.run(inputs);
const hash = createHash("sha256");
for (const { name } of model.outputs) {
  const { data } = outputs[name];
  hash.update(new Uint8Array(data.buffer, data.byteOffset, data.byteLength));
}
console.log(hash.digest("hex"));
if (process.env.WISP_TIME) {
  let best = Infinity;
  for (let i = 0; i < 30; i++) {
    start = performance.now();
    model.run(inputs);
    best = Math.min(best, performance.now() - start);
  }
  console.error(`best of 30 runs: ${best.toFixed(2)} ms; ${new Set(model.nodes().map((node) => node.kernel)).size} kernels`);
}
