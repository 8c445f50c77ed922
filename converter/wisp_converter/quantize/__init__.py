"""Quantization, in this order: observe, equalize, choose, assign, lower. Each step reads what the one before it wrote.

  observe     runs the float graph on the user's data and writes Value.range; equalize rescales channels before that
  choose      which nodes get an integer form
  assign      writes Value.quant: the scale of everything those nodes read and write
  lower       writes the integer graph, by the rules of ops/; round.py rounds weights and measures what that cost

Value.range and Value.quant live between observe and lower only, and no pass runs in between. A node whose numbers do
not fit when it is lowered stays float between a DequantizeLinear and a QuantizeLinear; nothing is redone. arithmetic.py
has the integers that all of it serves. Nothing is imported here: the rules of ops/ use arithmetic.py.
"""
# SPDX-License-Identifier: Apache-2.0
