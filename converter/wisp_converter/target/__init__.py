"""From an integer graph to the bytes of a .wisp file: packed layouts, the memory plan, the writer."""
# SPDX-License-Identifier: Apache-2.0
