// Runs a WASI program (checkasm, digest) with the machine's files: node --no-warnings wasi.mjs PROGRAM [ARGUMENT...]
// SPDX-License-Identifier: Apache-2.0
import { readFile } from "node:fs/promises";
import { WASI } from "node:wasi";

const wasi = new WASI({ version: "preview1", args: process.argv.slice(2), preopens: { "/": "/" } });
const module = await WebAssembly.compile(await readFile(process.argv[2]));
process.exitCode = wasi.start(await WebAssembly.instantiate(module, wasi.getImportObject()));
