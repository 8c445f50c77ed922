"""Where models come from: one package for each source format; whatever the source, the result is the same Graph."""
# SPDX-License-Identifier: Apache-2.0
