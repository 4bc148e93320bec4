"""The instruction set between the ASIC and the channels, and what each instruction becomes in DRAM commands.

==========  ==============================================  ================================  ===========
op          meaning                                         DRAM commands                     AiM's name
==========  ==============================================  ================================  ===========
``WRGB``    n × 32 B into the buffer of every channel       n × WRGB                          WR_GB
``MAC``     n columns of ``row`` in all banks               [PRE] [ACT] n × MAC               MAC_ABK
``RDMAC``   16 accumulators a channel to the ASIC           RDMAC                             RD_MAC
``WRK``     n columns of a K row into one bank              [PRE] ACT n × WR PRE              WR_SBK
``WRV``     one value into each bank of every channel       [PRE] ACT WR PRE                  WR_ABK
``RDV``     n columns of a row out through the pins         [PRE] [ACT] n × RD                RD_SBK
==========  ==============================================  ================================  ===========

``REF`` is inserted by the engine. The ASIC's own operations (PSUM, LN, SOFTMAX, GELU, RES) carry no DRAM command: they are the ``asic``
list of a ``Block`` and the ``job`` of an instruction. The paper does not publish its instruction names; these are [ours], AiM's from the
public AiM simulator.
"""

from dataclasses import dataclass, field
from typing import NamedTuple

__all__ = ["OPS", "Block", "Instruction", "expand"]

OPS = ("WRGB", "MAC", "RDMAC", "WRK", "WRV", "RDV")


class Instruction(NamedTuple):
    """One instruction; a refresh may come before it, never inside it."""

    op: str
    row: int = 0  # relative to the first row of the block's layer
    column: int = 0
    n: int = 1  # bursts of WRGB, columns of the others
    job: int = 0  # cycles of the ASIC for what this instruction delivers
    wait: int = -1  # index of the ASIC's result that must be there first
    buffer: int = 0  # MAC: first column of the buffer
    out: int = 0  # RDMAC: which results these are; WRK: the token


@dataclass
class Block:
    """What the paper calls an instruction: the channels and the ASIC work on it until both are idle."""

    name: str
    instructions: list[Instruction]
    asic: list[int] = field(default_factory=list)  # cycles of the ASIC's operations at the start, one after the other
    depth: int = 0  # cycles from the end of an operation to its result: the ASIC's pipeline
    memo: dict = field(default_factory=dict, repr=False)  # stretches that the engine has already worked out


def expand(op: str, row: int, n: int, opened: int | None, *, closed_page: bool = False) -> tuple[tuple[str, int], ...]:
    """The DRAM commands of an instruction as (command, how often), given the row that is open.

    Raises:
        ValueError: unknown instruction.
    """
    if op == "MAC" or op == "RDV":
        column = "MAC" if op == "MAC" else "RD"
        if closed_page:  # every column access opens and closes its row
            return (("ACT", 1), (column, 1), ("PRE", 1)) * n
        if opened == row:
            return ((column, n),)
        return (("ACT", 1), (column, n)) if opened is None else (("PRE", 1), ("ACT", 1), (column, n))
    if op == "WRGB" or op == "RDMAC":
        return ((op, n),)
    if op == "WRK" or op == "WRV":
        write = (("ACT", 1), ("WR", n), ("PRE", 1))
        return write if opened is None else (("PRE", 1), *write)
    raise ValueError(f"unknown instruction {op!r}; the set is {', '.join(OPS)}")
