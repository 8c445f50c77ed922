# WebAssembly without an operating system: cmake -S cbackend -B BUILD -DCMAKE_TOOLCHAIN_FILE=... makes BUILD/wisp.wasm for wasm/wisp.js.
# SPDX-License-Identifier: Apache-2.0
# Debian: clang-19 lld-19. -DWISP_WASM_SIMD=OFF: for engines without SIMD, which refuse a module that has any.
set(CMAKE_SYSTEM_NAME Generic)
set(CMAKE_SYSTEM_PROCESSOR wasm32)
set(CMAKE_TRY_COMPILE_TARGET_TYPE STATIC_LIBRARY) # there is nothing to link with
if(NOT CMAKE_C_COMPILER)
  find_program(CMAKE_C_COMPILER NAMES clang-19 clang REQUIRED)
endif()
set(CMAKE_C_COMPILER_TARGET wasm32)
option(WISP_WASM_SIMD "Use 128-bit SIMD" ON)
set(CMAKE_C_FLAGS_INIT "-isystem ${CMAKE_CURRENT_LIST_DIR}/freestanding")
if(WISP_WASM_SIMD)
  string(APPEND CMAKE_C_FLAGS_INIT " -msimd128 -mbulk-memory") # every engine with SIMD has both
endif()
set(WISP_WASM_MODULE ON)
set(WISP_THREADS OFF CACHE BOOL "")
