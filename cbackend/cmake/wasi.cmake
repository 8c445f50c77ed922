# WebAssembly with the system interface (WASI), for programs that run under node or wasmtime: checkasm, digest, the examples.
# SPDX-License-Identifier: Apache-2.0
# Debian: clang-19 lld-19 wasi-libc libclang-rt-19-dev-wasm32.
include(${CMAKE_CURRENT_LIST_DIR}/wasm.cmake)
set(CMAKE_C_COMPILER_TARGET wasm32-wasi)
string(REPLACE "-isystem ${CMAKE_CURRENT_LIST_DIR}/freestanding" "" CMAKE_C_FLAGS_INIT "${CMAKE_C_FLAGS_INIT}")
set(WISP_WASM_MODULE OFF)
