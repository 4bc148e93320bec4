"""Energy of a run from its counts: energy = Σ (count × energy of one) + power × time.

Two parameter sets. ``AIM_ENERGY`` (the default) takes the figures of the public CENT/AiM calculator [S]; ``IDD_ENERGY`` follows the usual
current formulas with the currents recalled from the paper (unverified):

    E_ACT+PRE = V (IDD0 tRC − IDD3N tRAS − IDD2N (tRC − tRAS))      E_column = V (IDD4 − IDD3N) t      E_REF = V (IDD5B − IDD3N) tRFC

With those currents E_ACT+PRE comes out *negative* (IDD0 < IDD3N), so at least one of them is wrong; it is taken as 0, and that set gives a
lower bound. What an all-bank MAC costs is the decisive assumption: ``mac_reads`` times the energy of one read ([S]: 3).
"""

from dataclasses import dataclass, replace

from minilib.pim.asic import Asic
from minilib.pim.dram import PAPER, DramConfig
from minilib.pim.system import Stats

__all__ = ["AIM_ENERGY", "IDD_ENERGY", "EnergyModel"]

VOLT = 1.25  # of the AiM prototype (title of its ISSCC 2022 paper)


@dataclass(frozen=True)
class EnergyModel:
    """Energies in nJ, powers in mW, both of one channel where nothing else is said."""

    name: str
    activate: float  # nJ a bank: one ACT and its PRE
    read: float  # nJ a column through the array's periphery
    write: float
    refresh: float  # nJ a channel
    standby: float  # mW, some row open
    pins: float  # pJ a bit
    mac_reads: float = 3.0  # reads that an all-bank MAC costs
    mac_units: float = 0.0  # mW of the 16 MAC units while they compute
    asic: float = 1000 * Asic().watts  # mW (unverified)

    def with_(self, **changes) -> "EnergyModel":
        """A copy with other entries; ``mac_reads`` must not be negative."""
        made = replace(self, **changes)
        if not made.mac_reads >= 0:
            raise ValueError(f"mac_reads must be a number of at least 0, got {made.mac_reads}")
        return made

    def energy(self, stats: Stats) -> dict[str, float]:
        """mJ by cause. Linear in the counts and in the time."""
        n, channels = stats.counts, stats.dram.channels
        mac = n["MAC"] * channels * (self.mac_reads * self.read + self.mac_units * stats.dram.tCCD / 1000)
        columns = self.write * (n["WR"] * channels + n["WR1"]) + self.read * n["RD"] * channels
        return {
            "MAC": mac / 1e6,
            "activation": self.activate * stats.misses / 1e6,
            "standby": self.standby * channels * stats.ns / 1e9,
            "pins": self.pins * 8 * stats.pin_bytes / 1e9,
            "columns": columns / 1e6,
            "refresh": self.refresh * n["REF"] * channels / 1e6,
            "ASIC": self.asic * stats.ns / 1e9,
        }

    def total(self, stats: Stats) -> float:
        """mJ of the run."""
        return sum(self.energy(stats).values())

    def watts(self, stats: Stats) -> float:
        """Mean power."""
        return self.total(stats) / stats.ns * 1e6


def from_currents(
    dram: DramConfig = PAPER, *, idd0=122.0, idd2n=92.0, idd3n=142.0, idd4r=530.0, idd4w=470.0, idd5b=277.0, volt: float = VOLT
) -> EnergyModel:
    """The set from currents in mA, all (unverified)."""
    activate = volt * (idd0 * dram.tRC - idd3n * dram.tRAS - idd2n * (dram.tRC - dram.tRAS)) / 1000
    return EnergyModel(
        "currents",
        activate=max(0.0, activate),
        read=volt * (idd4r - idd3n) / 1000,  # over a burst of 1 ns
        write=volt * (idd4w - idd3n) / 1000,
        refresh=volt * (idd5b - idd3n) * dram.tRFC / 1000,
        standby=volt * idd3n,
        pins=0.0,  # IDD4 holds the output drivers in part; no figure of its own
        mac_units=149.29,  # (unverified)
    )


IDD_ENERGY = from_currents()
AIM_ENERGY = EnergyModel(
    "aim",
    activate=66.3 * 44.5 / 1000,  # mW over tRC [S]
    read=438.15 / 1000,  # mW over 1 ns [S]
    write=553.15 * 1.25 / 1000,  # mW over 1.25 ns [S]
    refresh=IDD_ENERGY.refresh,  # the calculator has none: from the currents (unverified)
    standby=263.75,  # [S]
    pins=5.5,  # [S]
)
