/* Runs .wisp models in browsers and in node: `const model = await Wisp.load("net.wisp"); model.run({x: pixels})`. */
/* SPDX-License-Identifier: Apache-2.0 */

/** What can go wrong, with the runtime's message. `status` is its name: "BAD_FILE", "UNSUPPORTED", "BAD_SHAPE", ... */
export class WispError extends Error {
  constructor(status, message) {
    super(message);
    this.name = "WispError";
    this.status = status;
  }
}

// wisp_status and wisp_dtype of wisp.h.
const STATUS = ["OK", "BAD_FILE", "BAD_VERSION", "UNSUPPORTED", "BAD_SHAPE", "BAD_ARGUMENT", "NO_MEMORY", "BAD_INDEX"];
const DTYPES = {
  1: ["float32", Float32Array],
  2: ["uint8", Uint8Array],
  3: ["int8", Int8Array],
  4: ["uint16", Uint16Array],
  5: ["int16", Int16Array],
  6: ["int32", Int32Array],
  7: ["int64", BigInt64Array],
  9: ["bool", Uint8Array],
  10: ["float16", Uint16Array], // as bits
  11: ["float64", Float64Array],
  12: ["uint32", Uint32Array],
  13: ["uint64", BigUint64Array],
  16: ["bfloat16", Uint16Array], // these as bits, those below 8 bits with a byte for each element
  17: ["float8_e4m3fn", Uint8Array],
  18: ["float8_e4m3fnuz", Uint8Array],
  19: ["float8_e5m2", Uint8Array],
  20: ["float8_e5m2fnuz", Uint8Array],
  21: ["uint4", Uint8Array],
  22: ["int4", Uint8Array],
  23: ["float4_e2m1fn", Uint8Array],
  24: ["float8_e8m0fnu", Uint8Array],
  25: ["uint2", Uint8Array],
  26: ["int2", Uint8Array],
};

/**
 * @typedef {object} TensorInfo an input or output of a model
 * @property {string} name
 * @property {string} dtype "float32", "int8", ...
 * @property {(number|string|null)[]} shape a number for each axis, or the name of a symbolic axis, or null where only a run can tell
 * @property {number} scale 0 unless quantized; then real = scale * (stored - zeroPoint)
 * @property {number} zeroPoint
 */

/**
 * @typedef {object} Tensor
 * @property {ArrayBufferView} data row-major; the array type that belongs to the dtype
 * @property {number[]} shape
 */

/** The runtime, and one model in it. Make it with `Wisp.load`. Dropping it releases everything. */
export class Wisp {
  #exports;
  #symbols = [];
  #bound = null; // extents of the symbolic axes the session is prepared for, as text

  /**
   * Opens a model.
   *
   * @param {string|URL|ArrayBuffer|Uint8Array} source the file: a URL, in node also a path; or its bytes
   * @param {object} [options]
   * @param {string|URL|ArrayBuffer|Uint8Array|WebAssembly.Module} [options.wasm] the runtime; default: wisp.wasm beside this file
   * @param {boolean} [options.simd] false: portable kernels only, for comparison; the results are the same
   * @returns {Promise<Wisp>}
   * @throws {WispError} if the file is damaged, needs a newer runtime, or has an operator this build lacks
   */
  static async load(source, { wasm = new URL("wisp.wasm", import.meta.url), simd = true } = {}) {
    const [file, runtime] = await Promise.all([bytesOf(source), wasm instanceof WebAssembly.Module ? wasm : bytesOf(wasm)]);
    const module = runtime instanceof WebAssembly.Module ? runtime : await WebAssembly.compile(runtime);
    const instance = await WebAssembly.instantiate(module, {});
    return new Wisp(instance.exports, file, simd);
  }

  /** @private */
  constructor(exports, file, simd) {
    this.#exports = exports;
    const e = exports;
    const address = e.wisp_js_take(file.length) >>> 0;
    if (address === 0) throw new WispError("NO_MEMORY", `no memory for a file of ${file.length} bytes`);
    new Uint8Array(e.memory.buffer, address, file.length).set(file);
    this.#check(e.wisp_js_open(address, file.length));
    for (let i = 0; i < e.wisp_js_symbol_count(); i++) this.#symbols.push(this.#text(e.wisp_js_symbol_name(i)));
    /** Instruction sets in use, for reports. @type {number} */
    this.cpuFlags = simd ? e.wisp_js_cpu_flags() : 1 /* WISP_CPU_SCALAR */;
    /** @type {string} */
    this.version = this.#text(e.wisp_js_version());
    /** @type {TensorInfo[]} */
    this.inputs = list(e.wisp_js_input_count(), (i) => this.#readInfo(e.wisp_js_input_info(i), true));
    /** @type {TensorInfo[]} */
    this.outputs = list(e.wisp_js_output_count(), (i) => this.#readInfo(e.wisp_js_output_info(i), false));
    /** What the converter wrote: labels, preprocessing, source hash, accuracy. @type {object} */
    this.metadata = this.#readMetadata();
    if (this.#symbols.length === 0) this.#prepare([]);
  }

  /**
   * Runs the model. An array alone stands for its data where the shape is known; give {data, shape} where an axis is symbolic.
   * A change of the symbolic axes prepares the model anew, which costs more than a run.
   *
   * @param {Object<string, ArrayBufferView|Tensor>} inputs by name; of exactly the model's dtypes
   * @returns {Object<string, Tensor>} outputs by name; the arrays are the caller's
   * @throws {WispError}
   */
  run(inputs) {
    const e = this.#exports;
    const arrays = this.inputs.map((info) => this.#readInput(info, inputs));
    for (const name of Object.keys(inputs))
      if (!this.inputs.some((info) => info.name === name)) fail("BAD_ARGUMENT", `unknown input "${name}"; the model has: ${this.#inputNames()}`);
    this.#prepare(this.#bind(arrays));
    arrays.forEach(({ data }, i) => {
      if (data.length === 0) return;
      new data.constructor(e.memory.buffer, e.wisp_js_input_data(i), data.length).set(data);
    });
    this.#check(e.wisp_js_run());
    const outputs = {};
    this.outputs.forEach(({ name }, i) => {
      const info = this.#readInfo(e.wisp_js_bound_output_info(i), false);
      const Type = typeOf(info.dtype), length = info.shape.reduce((a, b) => a * b, 1);
      outputs[name] = { data: new Type(length ? e.memory.buffer.slice(e.wisp_js_output_data(i), e.wisp_js_output_data(i) + length * Type.BYTES_PER_ELEMENT) : 0), shape: info.shape };
    });
    return outputs;
  }

  /**
   * Which kernel each operator got; empty until the model is prepared (for symbolic axes: by the first run).
   * @returns {{name: string, operator: string, kernel: string}[]}
   */
  nodes() {
    const nodes = [];
    for (let i = 0; this.#bound !== null; i++) {
      const address = this.#exports.wisp_js_node_info(i) >>> 0;
      if (address === 0) break;
      const [name, operator, kernel] = new Uint32Array(this.#exports.memory.buffer, address, 3);
      nodes.push({ name: this.#text(name), operator: this.#text(operator), kernel: this.#text(kernel) });
    }
    return nodes;
  }

  #prepare(extents) {
    const e = this.#exports, key = extents.join();
    if (this.#bound === key) return;
    this.#bound = null;
    e.wisp_js_reset();
    const address = e.wisp_js_take(4 * extents.length) >>> 0;
    if (address === 0) fail("NO_MEMORY", "the engine refuses more memory");
    new Int32Array(e.memory.buffer, address, extents.length).set(extents);
    this.#check(e.wisp_js_prepare(address, this.cpuFlags));
    this.#bound = key;
  }

  /** The extent of every symbolic axis, from the inputs' shapes. */
  #bind(arrays) {
    const found = new Map();
    this.inputs.forEach((info, i) => {
      const { shape } = arrays[i];
      const wrong = () => fail("BAD_SHAPE", `input "${info.name}" has shape [${shape}], expected [${info.shape}]`);
      if (shape.length !== info.shape.length) wrong();
      info.shape.forEach((want, axis) => {
        if (!Number.isInteger(shape[axis]) || shape[axis] < 0 || shape[axis] > 0x7fffffff) wrong();
        const known = typeof want === "string" ? found.get(want) : want;
        if (known === undefined) found.set(want, shape[axis]);
        else if (known !== shape[axis]) wrong();
      });
    });
    return this.#symbols.map((symbol) => found.get(symbol) ?? fail("BAD_SHAPE", `dynamic axis "${symbol}" is left unbound`));
  }

  /** {data, shape} of one input, its type and length checked. */
  #readInput(info, inputs) {
    const given = inputs[info.name];
    if (given === undefined) fail("BAD_ARGUMENT", `missing input "${info.name}"; the model needs: ${this.#inputNames()}`);
    const alone = ArrayBuffer.isView(given);
    const data = alone ? given : given.data, shape = alone ? info.shape : Array.from(given.shape ?? info.shape);
    const Type = typeOf(info.dtype);
    if (!(data instanceof Type)) fail("BAD_ARGUMENT", `input "${info.name}" is ${info.dtype}: expected ${Type.name}, not ${data?.constructor?.name}`);
    if (shape.some((extent) => typeof extent !== "number"))
      fail("BAD_SHAPE", `input "${info.name}" has symbolic axes [${info.shape}]: give {data, shape}`);
    const length = shape.reduce((a, b) => a * b, 1);
    if (data.length !== length) fail("BAD_SHAPE", `input "${info.name}" has ${data.length} elements, [${shape}] needs ${length}`);
    return { data, shape };
  }

  #inputNames() {
    return this.inputs.map((info) => `"${info.name}"`).join(", ");
  }

  /** wisp_tensor_info; exports.c asserts the offsets. */
  #readInfo(address, isInput) {
    const view = new DataView(this.#exports.memory.buffer, address >>> 0, 64);
    const axis = (d) => (d >= 0 ? d : isInput ? this.#symbols[-1 - d] : null);
    return {
      name: this.#text(view.getUint32(0, true)),
      dtype: DTYPES[view.getInt32(4, true)][0],
      shape: list(view.getInt32(8, true), (i) => axis(view.getInt32(12 + 4 * i, true))),
      scale: view.getFloat32(56, true),
      zeroPoint: view.getInt32(60, true),
    };
  }

  #readMetadata() {
    const bytes = new Uint8Array(this.#exports.memory.buffer, this.#exports.wisp_js_metadata() >>> 0, this.#exports.wisp_js_metadata_size());
    return bytes.length ? JSON.parse(new TextDecoder().decode(bytes)) : {};
  }

  /** The zero-terminated UTF-8 text at an address. */
  #text(address) {
    const bytes = new Uint8Array(this.#exports.memory.buffer);
    return new TextDecoder().decode(bytes.subarray(address >>> 0, bytes.indexOf(0, address >>> 0)));
  }

  #check(status) {
    if (status !== 0) fail(STATUS[status] ?? String(status), this.#text(this.#exports.wisp_js_message()));
  }
}

function fail(status, message) {
  throw new WispError(status, message);
}

function list(count, make) {
  return Array.from({ length: count }, (_, i) => make(i));
}

function typeOf(dtype) {
  return Object.values(DTYPES).find(([name]) => name === dtype)[1];
}

async function bytesOf(source) {
  if (source instanceof ArrayBuffer) return new Uint8Array(source);
  if (ArrayBuffer.isView(source)) return new Uint8Array(source.buffer, source.byteOffset, source.byteLength);
  const isFile = source instanceof URL ? source.protocol === "file:" : typeof window === "undefined" && !/^\w+:\/\//.test(source);
  if (isFile && typeof process !== "undefined") return new Uint8Array(await (await import("node:fs/promises")).readFile(source));
  const response = await fetch(source);
  if (!response.ok) throw new Error(`${source}: ${response.status} ${response.statusText}`);
  return new Uint8Array(await response.arrayBuffer());
}
