# RISC-V Linux (rv64gc; vector kernels are chosen at run time) with clang, lld and Debian's cross libc.
# SPDX-License-Identifier: Apache-2.0
# Debian: clang-19 lld-19 libc6-dev-riscv64-cross libgcc-12-dev-riscv64-cross. The programs run under qemu-riscv64 (qemu-user).
set(CMAKE_SYSTEM_NAME Linux)
set(CMAKE_SYSTEM_PROCESSOR riscv64)
set(WISP_TRIPLE riscv64-linux-gnu)
if(NOT CMAKE_C_COMPILER)
  find_program(CMAKE_C_COMPILER NAMES clang-19 clang REQUIRED)
endif()
set(CMAKE_C_COMPILER_TARGET ${WISP_TRIPLE})
set(CMAKE_C_FLAGS_INIT "-isystem /usr/${WISP_TRIPLE}/include")
# The folders of the cross libc, which clang does not search by itself.
set(CMAKE_SHARED_LINKER_FLAGS_INIT "-fuse-ld=lld -B/usr/${WISP_TRIPLE}/lib -L/usr/${WISP_TRIPLE}/lib")
set(CMAKE_EXE_LINKER_FLAGS_INIT "${CMAKE_SHARED_LINKER_FLAGS_INIT} -static")
set(CMAKE_CROSSCOMPILING_EMULATOR qemu-riscv64)
set(CMAKE_FIND_ROOT_PATH_MODE_PROGRAM NEVER)
