"""Stages over whole columns.

A *program* is made for a part of a script and the kind of column it is given. It has the same state as the row-by-row
functions (it works on their very objects), cannot fail, and gives what they would give, bit for bit: sums are added up
in the order of the datapoints. What is not known here is done row by row; so is a batch for which a program gives
``None``, which it does before it has changed any state.

::

    program     what a program is; constants and operators
    transforms  transforms with one value for each
    expression  whole expressions of these
    groups      what a script gives last for each of several groups of rows
    statistics  standard deviation and quantiles
    stages      `if`, `map`, `while` and what else is a stage of its own
    windows     `resample`; what is wanted for the last datapoint alone
"""

from . import statistics
from .stages import stage_program
from .windows import total_program

__all__ = ["stage_program", "statistics", "total_program"]
