"""Benchmarks of whole processes: a real server on a fresh folder, clients in processes of their own.

``make bench`` (or ``python -m bench --help``) measures, reads everything back, compares it with what was sent, and
prints each figure with its ratio to a floor: the same work done by the bare libraries, on the same disk, in the same
round. Nothing here is a part of the package.
"""
