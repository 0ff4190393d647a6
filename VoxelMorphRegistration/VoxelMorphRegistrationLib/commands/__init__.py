"""The command line: files in, files out.

``main`` is the program. A command is two modules: ``NAME_options``, which is read for every call, help included, and
imports nothing heavy; and ``NAME_command``, which does it.
"""
