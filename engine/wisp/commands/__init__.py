"""The subcommands of `wisp`: a module each, with HELP, EXAMPLES, add_arguments(parser) and run(arguments)."""
# SPDX-License-Identifier: Apache-2.0
