# WebAssembly with the system interface (WASI), for programs that run under node or wasmtime: checkasm, digest, the examples.
# SPDX-License-Identifier: Apache-2.0
include(${CMAKE_CURRENT_LIST_DIR}/wasm.cmake)
set(WISP_WASM_MODULE OFF)
