# Any other system with zig's C compiler (python -m pip install ziglang), which brings the headers and libraries of all:
# -DWISP_ZIG_TARGET=aarch64-linux-gnu.2.17, and -DWISP_ZIG_CPU=arm1176jzf_s+dsp where the target's usual processor is not the one wanted.
# SPDX-License-Identifier: Apache-2.0
set(CMAKE_TRY_COMPILE_PLATFORM_VARIABLES WISP_ZIG WISP_ZIG_TARGET WISP_ZIG_CPU)
if(NOT WISP_ZIG)
  execute_process(COMMAND python3 -c "import ziglang; print(ziglang.__path__[0])" OUTPUT_VARIABLE folder OUTPUT_STRIP_TRAILING_WHITESPACE)
  find_program(WISP_ZIG zig HINTS ${folder} REQUIRED)
endif()
string(REGEX MATCH "^[^-]+" CMAKE_SYSTEM_PROCESSOR ${WISP_ZIG_TARGET})
if(WISP_ZIG_TARGET MATCHES "-linux")
  set(CMAKE_SYSTEM_NAME Linux)
elseif(WISP_ZIG_TARGET MATCHES "-macos")
  set(CMAKE_SYSTEM_NAME Darwin)
elseif(WISP_ZIG_TARGET MATCHES "-windows")
  set(CMAKE_SYSTEM_NAME Windows)
else()
  message(FATAL_ERROR "WISP_ZIG_TARGET is '${WISP_ZIG_TARGET}'; expected a target such as aarch64-linux-gnu.2.17")
endif()
set(CMAKE_C_COMPILER ${WISP_ZIG} cc)
set(CMAKE_C_FLAGS_INIT "-target ${WISP_ZIG_TARGET}")
if(WISP_ZIG_CPU)
  string(APPEND CMAKE_C_FLAGS_INIT " -mcpu=${WISP_ZIG_CPU}")
endif()
set(CMAKE_SHARED_LINKER_FLAGS_INIT -s) # zig leaves debugging information in otherwise

# zig takes processor features in -mcpu only, and there in a spelling of its own.
function(wisp_spell_flags variable)
  string(REGEX REPLACE "-march=armv8\\.([0-9])-a" "-mcpu=generic+v8_\\1a" spelled "${${variable}}")
  string(REPLACE "-mfpu=neon-vfpv4" "-mcpu=generic+v7a+neon+vfp4" spelled "${spelled}")
  set(${variable} "${spelled}" PARENT_SCOPE)
endfunction()
