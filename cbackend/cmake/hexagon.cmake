# Hexagon with HVX, without the vendor's SDK: clang and lld, no C library; the programs run under qemu-hexagon.
# SPDX-License-Identifier: Apache-2.0
# Debian: clang-19 lld-19 qemu-user. cbackend/freestanding supplies what is missing: memory functions, division, maths.
# With the SDK's toolchain file instead of this one, its C library serves and those files are left out.
# Debian's qemu 7.2 runs code for v67 and older; for a newer device, -DWISP_HEXAGON_ARCH=v73.
set(CMAKE_SYSTEM_NAME Generic)
set(CMAKE_SYSTEM_PROCESSOR hexagon)
set(CMAKE_TRY_COMPILE_TARGET_TYPE STATIC_LIBRARY) # there is nothing to link with
set(CMAKE_TRY_COMPILE_PLATFORM_VARIABLES WISP_HEXAGON_ARCH)
set(WISP_HEXAGON_ARCH v67 CACHE STRING "Hexagon architecture to build for")
set(WISP_FREESTANDING ON)
if(NOT CMAKE_C_COMPILER)
  find_program(CMAKE_C_COMPILER NAMES clang-19 clang REQUIRED)
endif()
set(CMAKE_C_COMPILER_TARGET hexagon-unknown-linux-musl)
set(CMAKE_C_FLAGS_INIT "-m${WISP_HEXAGON_ARCH} -G0 -nostdlibinc -isystem ${CMAKE_CURRENT_LIST_DIR}/../freestanding/include -ffunction-sections -fdata-sections")
# The plain name of lld: clang 19 hands -fuse-ld=lld-19 an emulation it does not know.
get_filename_component(compiler "${CMAKE_C_COMPILER}" REALPATH)
get_filename_component(compiler_folder "${compiler}" DIRECTORY)
set(CMAKE_EXE_LINKER_FLAGS_INIT "-B${compiler_folder} -fuse-ld=lld -nostdlib -static -Wl,--gc-sections")
set(CMAKE_CROSSCOMPILING_EMULATOR qemu-hexagon)
set(WISP_THREADS OFF CACHE BOOL "")
