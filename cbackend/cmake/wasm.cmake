# WebAssembly: cmake -S cbackend -B BUILD -DCMAKE_TOOLCHAIN_FILE=... makes BUILD/wisp.wasm for wasm/wisp.js, which needs no system interface.
# SPDX-License-Identifier: Apache-2.0
# Debian: clang-19 lld-19 wasi-libc libclang-rt-19-dev-wasm32. -DWISP_WASM_SIMD=OFF: for engines without SIMD, which refuse a module that has any.
set(CMAKE_SYSTEM_NAME Generic)
set(CMAKE_SYSTEM_PROCESSOR wasm32)
set(CMAKE_TRY_COMPILE_TARGET_TYPE STATIC_LIBRARY) # there is nothing to link with
if(NOT CMAKE_C_COMPILER)
  find_program(CMAKE_C_COMPILER NAMES clang-19 clang REQUIRED)
endif()
set(CMAKE_C_COMPILER_TARGET wasm32-wasi)
option(WISP_WASM_SIMD "Use 128-bit SIMD" ON)
if(WISP_WASM_SIMD)
  set(CMAKE_C_FLAGS_INIT "-msimd128 -mbulk-memory") # every engine with SIMD has both
endif()
set(WISP_WASM_MODULE ON)
set(WISP_THREADS OFF CACHE BOOL "")
