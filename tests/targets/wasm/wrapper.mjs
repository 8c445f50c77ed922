// What wisp.js promises, tried in node: node wrapper.mjs WISP.JS FOLDER. FOLDER has float.wisp, dynamic.wisp, x.bin and y.bin.
// SPDX-License-Identifier: Apache-2.0
import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { join, resolve } from "node:path";
import { pathToFileURL } from "node:url";

const [wrapper, folder] = process.argv.slice(2);
const { Wisp, WispError } = await import(pathToFileURL(resolve(wrapper)));
const floats = async (name) => new Float32Array(new Uint8Array(await readFile(join(folder, name))).buffer);
const x = await floats("x.bin"), y = await floats("y.bin");

function near(a, b) {
  assert.equal(a.length, b.length);
  a.forEach((v, i) => assert.ok(Math.abs(v - b[i]) <= 1e-5 * (1 + Math.abs(b[i])), `element ${i}: ${v}, expected ${b[i]}`));
}

function refuses(action, status, words) {
  assert.throws(action, (error) => error instanceof WispError && error instanceof Error && error.status === status && words.test(error.message));
}

// a path, a URL and bytes all open
const model = await Wisp.load(join(folder, "float.wisp"));
await Wisp.load(pathToFileURL(join(folder, "float.wisp")));
const bytes = await readFile(join(folder, "float.wisp"));
await Wisp.load(bytes);
await Wisp.load(new Uint8Array(bytes).buffer);

assert.deepEqual(model.inputs, [{ name: "x", dtype: "float32", shape: [1, 3, 8, 8], scale: 0, zeroPoint: 0 }]);
assert.deepEqual(model.outputs[0].shape, [1, 4]);
assert.deepEqual(model.metadata.labels, ["ant", "bee", "cat", "dog"]);
assert.match(model.version, /^\d+\.\d+\.\d+/);
const first = model.run({ x });
assert.deepEqual(first.y.shape, [1, 4]);
near(first.y.data, y);
model.run({ x: x.map((v) => v + 1) });
near(first.y.data, y); // outputs are the caller's: a later run leaves them alone
near(model.run({ x: { data: x, shape: [1, 3, 8, 8] } }).y.data, y);
assert.ok(model.nodes().length > 0 && model.nodes().every((node) => node.operator && node.kernel));
const portable = await Wisp.load(bytes, { simd: false });
near(portable.run({ x }).y.data, y);
assert.ok(portable.nodes().every((node) => !node.kernel.endsWith("simd128")));

// errors
refuses(() => model.run({}), "BAD_ARGUMENT", /missing input "x"/);
refuses(() => model.run({ x, z: x }), "BAD_ARGUMENT", /unknown input "z"/);
refuses(() => model.run({ x: new Float64Array(192) }), "BAD_ARGUMENT", /expected Float32Array, not Float64Array/);
refuses(() => model.run({ x: [1, 2, 3] }), "BAD_ARGUMENT", /expected Float32Array/);
refuses(() => model.run({ x: x.subarray(1) }), "BAD_SHAPE", /191 elements/);
refuses(() => model.run({ x: { data: x, shape: [1, 3, 4, 16] } }), "BAD_SHAPE", /shape \[1,3,4,16\], expected \[1,3,8,8\]/);
const broken = new Uint8Array(bytes);
broken[200] ^= 1;
await assert.rejects(Wisp.load(broken), (error) => error instanceof WispError && error.status === "BAD_FILE" && error.message.length > 10);
await assert.rejects(Wisp.load(new Uint8Array(0)), WispError);
await assert.rejects(Wisp.load(new Uint8Array(bytes).subarray(0, 1000)), WispError);
await assert.rejects(Wisp.load(join(folder, "none.wisp")), { code: "ENOENT" });

// a symbolic axis, small, large and small again
const dynamic = await Wisp.load(join(folder, "dynamic.wisp"));
assert.deepEqual(dynamic.inputs[0].shape, ["N", 3, 8, 8]);
assert.deepEqual(dynamic.nodes(), []);
refuses(() => dynamic.run({ x }), "BAD_SHAPE", /symbolic axes/);
for (const n of [1, 5, 300, 2, 0]) {
  const data = new Float32Array(n * x.length);
  for (let i = 0; i < n; i++) data.set(x, i * x.length);
  const out = dynamic.run({ x: { data, shape: [n, 3, 8, 8] } }).y;
  assert.deepEqual(out.shape, [n, 4]);
  for (let i = 0; i < n; i++) near(out.data.subarray(4 * i, 4 * i + 4), y);
}
refuses(() => dynamic.run({ x: { data: x, shape: [-1, 3, 8, 8] } }), "BAD_SHAPE", /./);
console.log("ok");
