# Cortex-M55; its kernels are those of arch/mve.
# SPDX-License-Identifier: Apache-2.0
set(WISP_CPU cortex-m55)
set(WISP_TRIPLE thumbv8.1m.main-none-eabihf)
include(${CMAKE_CURRENT_LIST_DIR}/cortex-m.cmake)
