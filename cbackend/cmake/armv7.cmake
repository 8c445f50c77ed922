# 32-bit ARM Linux (armv7-a with VFP, as Debian's armhf; NEON kernels are chosen at run time) with clang, lld and Debian's cross libc.
# SPDX-License-Identifier: Apache-2.0
# Debian: clang-19 lld-19 libc6-dev-armhf-cross libgcc-12-dev-armhf-cross. The programs run under qemu-arm (qemu-user).
set(CMAKE_SYSTEM_NAME Linux)
set(CMAKE_SYSTEM_PROCESSOR armv7l)
set(WISP_TRIPLE arm-linux-gnueabihf)
if(NOT CMAKE_C_COMPILER)
  find_program(CMAKE_C_COMPILER NAMES clang-19 clang REQUIRED)
endif()
set(CMAKE_C_COMPILER_TARGET ${WISP_TRIPLE})
set(CMAKE_C_FLAGS_INIT "-march=armv7-a -mfpu=vfpv3-d16 -isystem /usr/${WISP_TRIPLE}/include")
# The folders of the cross libc, which clang does not search by itself.
set(CMAKE_SHARED_LINKER_FLAGS_INIT "-fuse-ld=lld -B/usr/${WISP_TRIPLE}/lib -L/usr/${WISP_TRIPLE}/lib")
set(CMAKE_EXE_LINKER_FLAGS_INIT "${CMAKE_SHARED_LINKER_FLAGS_INIT} -static")
set(CMAKE_CROSSCOMPILING_EMULATOR qemu-arm)
set(CMAKE_FIND_ROOT_PATH_MODE_PROGRAM NEVER)
