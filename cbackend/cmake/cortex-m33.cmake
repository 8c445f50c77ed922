# Cortex-M33; its kernels are those of arch/dsp.
# SPDX-License-Identifier: Apache-2.0
set(WISP_CPU cortex-m33)
set(WISP_TRIPLE thumbv8m.main-none-eabihf)
include(${CMAKE_CURRENT_LIST_DIR}/cortex-m.cmake)
