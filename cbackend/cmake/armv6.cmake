# ARMv6 Linux (Raspberry Pi Zero and 1, ARM1176) with clang, lld and Debian's armel libc; its kernels are those of arch/dsp.
# SPDX-License-Identifier: Apache-2.0
# Debian: clang-19 lld-19 libc6-dev-armel-cross libgcc-12-dev-armel-cross. The programs run under qemu-arm -cpu arm1176 (qemu-user).
# Debian's armhf libc is ARMv7, so programs are linked statically with armel's: floats are passed in integer registers.
set(CMAKE_SYSTEM_NAME Linux)
set(CMAKE_SYSTEM_PROCESSOR armv6l)
set(WISP_TRIPLE arm-linux-gnueabi)
if(NOT CMAKE_C_COMPILER)
  find_program(CMAKE_C_COMPILER NAMES clang-19 clang REQUIRED)
endif()
set(CMAKE_C_COMPILER_TARGET ${WISP_TRIPLE})
set(CMAKE_C_FLAGS_INIT "-mcpu=arm1176jzf-s -mfloat-abi=softfp -marm -isystem /usr/${WISP_TRIPLE}/include")
# The folders of the cross libc, which clang does not search by itself.
set(CMAKE_SHARED_LINKER_FLAGS_INIT "-fuse-ld=lld -B/usr/${WISP_TRIPLE}/lib -L/usr/${WISP_TRIPLE}/lib")
set(CMAKE_EXE_LINKER_FLAGS_INIT "${CMAKE_SHARED_LINKER_FLAGS_INIT} -static")
set(CMAKE_CROSSCOMPILING_EMULATOR qemu-arm)
set(CMAKE_FIND_ROOT_PATH_MODE_PROGRAM NEVER)
