"""What a run means: the figures of a model side by side with the baselines that a speed-up is measured against.

``figures``   one model at one context as a dict        ``table``  all models; a model that does not fit says so

Baselines: a *bandwidth roofline* is the time in which a processor could fetch weights and KV cache once, at the full rate of its memory.
NVIDIA T4: 320 GB/s, 70 W (data sheet). Xeon Gold 6154: six channels of DDR4-2666, 128 GB/s. The same DRAM as plain GDDR6: what crosses the
pins. The paper's speed-ups over measured baselines are 41–137× (T4) and 631–1074× (Xeon); which bar belongs to which model is not known
here, so the T4's implied efficiency, roofline ratio ÷ speed-up, is a range.
"""

from minilib.pim.energy import AIM_ENERGY, EnergyModel
from minilib.pim.models import MODELS, ModelShape
from minilib.pim.system import PimSystem, Stats

__all__ = ["PAPER_GPU", "T4_GBPS", "T4_WATTS", "XEON_GBPS", "figures", "table"]

T4_GBPS, T4_WATTS, XEON_GBPS = 320.0, 70.0, 128.0
PAPER_GPU, PAPER_CPU = (41.0, 137.0), (631.0, 1074.0)  # speed-ups of the abstract [P]


def figures(stats: Stats, energy: EnergyModel = AIM_ENERGY) -> dict:
    """All figures of a run; times in µs and energies in mJ are those of one token."""
    fetch = stats.bytes_read / stats.tokens / 1000  # kB; divided by GB/s: µs
    ratio = fetch / T4_GBPS / stats.us_per_token
    plain = stats.dram.channels * stats.dram.pins * stats.dram.gbps / 8
    return {
        "model": stats.shape.name,
        "tokens": stats.tokens,
        "context": stats.contexts[-1],
        "us_per_token": stats.us_per_token,
        "hit_rate": stats.hit_rate,
        "pin_bytes": stats.pin_bytes // stats.tokens,
        "pin_reduction": stats.bytes_read / stats.pin_bytes,
        "mj_per_token": energy.total(stats) / stats.tokens,
        "watts": energy.watts(stats),
        "utilisation": stats.utilisation,
        "asic_share": stats.asic_share,
        "t4_roofline_us": fetch / T4_GBPS,
        "t4_ratio": ratio,
        "same_dram_ratio": fetch / plain / stats.us_per_token,
        "xeon_ratio": fetch / XEON_GBPS / stats.us_per_token,
        "t4_efficiency_implied": [ratio / PAPER_GPU[1], ratio / PAPER_GPU[0]],
        "breakdown_us": {name: cycles * stats.dram.tCK / 1000 / stats.tokens for name, cycles in stats.breakdown.items()},
        "commands": stats.counts,
        "energy_mj": {name: value / stats.tokens for name, value in energy.energy(stats).items()},
    }


def table(
    system: PimSystem, context: int, *, energy: EnergyModel = AIM_ENERGY, shapes: dict[str, ModelShape] = MODELS, reserve: int | None = None
) -> list[dict]:
    """``figures`` of one token of every model at this context; a model that does not fit has ``{"model", "does_not_fit"}`` instead."""
    rows = []
    for shape in shapes.values():
        try:
            rows.append(figures(system.run(shape, context, reserve=reserve), energy))
        except ValueError as problem:
            rows.append({"model": shape.name, "does_not_fit": str(problem)})
    return rows
