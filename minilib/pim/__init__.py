"""A simulator of processing in memory: a GPT whose vector–matrix products happen inside the banks of its DRAM (PIM-GPT, arXiv 2310.09385).

Read in this order: ``dram`` (organisation, timing, one channel), ``commands`` (the instruction set), ``mapping`` (where numbers lie),
``engine`` (when commands happen), ``system`` (a whole token), then ``asic``, ``energy``, ``audit``, ``report``, and ``functional``, which
executes the same instructions on numbers. Try it: ``python -m minilib.pim table``.

What it promises: legal command streams (an independent audit), exact counts, right numbers. What it does not: silicon. Every preset says
where its figures come from; those marked (unverified) are recalled and may be wrong.
"""

from minilib.pim import asic as asic_math
from minilib.pim.asic import Asic
from minilib.pim.audit import audit, read_trace, write_trace
from minilib.pim.dram import AIM, PAPER, PRESETS, Channel, DramConfig, delays
from minilib.pim.energy import AIM_ENERGY, IDD_ENERGY, EnergyModel
from minilib.pim.engine import Engine, EventQueue, Record, schedule, tick_schedule
from minilib.pim.functional import TINY, PimGPT
from minilib.pim.mapping import Mapping
from minilib.pim.models import GPT, MODELS, ModelShape, find_model
from minilib.pim.report import figures, table
from minilib.pim.system import PimSystem, Stats

__all__ = [
    "AIM", "AIM_ENERGY", "GPT", "IDD_ENERGY", "MODELS", "PAPER", "PRESETS", "TINY", "Asic", "Channel", "DramConfig", "EnergyModel",
    "Engine", "EventQueue", "Mapping", "ModelShape", "PimGPT", "PimSystem", "Record", "Stats", "asic_math", "audit", "delays", "figures",
    "find_model", "read_trace", "schedule", "table", "tick_schedule", "write_trace",
]  # fmt: skip
