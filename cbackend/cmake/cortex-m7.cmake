# Cortex-M7; its kernels are those of arch/dsp.
# SPDX-License-Identifier: Apache-2.0
set(WISP_CPU cortex-m7)
set(WISP_TRIPLE thumbv7em-none-eabihf)
include(${CMAKE_CURRENT_LIST_DIR}/cortex-m.cmake)
