# What the cortex-m*.cmake files share: clang and lld, no operating system, picolibc. They set WISP_CPU and WISP_TRIPLE.
# SPDX-License-Identifier: Apache-2.0
# Debian: clang-19 lld-19 picolibc-arm-none-eabi; the programs run under qemu-system-arm. gcc and newlib serve too: give CMAKE_C_COMPILER.
set(CMAKE_SYSTEM_NAME Generic)
set(CMAKE_SYSTEM_PROCESSOR arm)
set(CMAKE_TRY_COMPILE_TARGET_TYPE STATIC_LIBRARY) # there is nothing to link with
if(NOT CMAKE_C_COMPILER)
  find_program(CMAKE_C_COMPILER NAMES clang-19 clang REQUIRED)
endif()
set(CMAKE_C_COMPILER_TARGET ${WISP_TRIPLE})
set(CMAKE_C_FLAGS_INIT "-mthumb -mcpu=${WISP_CPU} -mfloat-abi=hard -ffunction-sections -fdata-sections")
if(CMAKE_C_COMPILER MATCHES clang)
  string(APPEND CMAKE_C_FLAGS_INIT " -isystem /usr/lib/picolibc/arm-none-eabi/include")
endif()
set(WISP_THREADS OFF CACHE BOOL "")
set(WISP_CORE_OPTIMIZE -Os CACHE STRING "")   # flash is what is short: operators are small beside their kernels
set(WISP_SCALAR_OPTIMIZE -Os CACHE STRING "") # what these processors run often has kernels of its own
