"""The command line: one file per sub-command, each with `HELP`, `add_arguments(parser)` and `run(args) -> int`."""
