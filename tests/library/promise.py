"""beartype as PEP 484 means it: a whole number is welcome where a float is promised."""

from beartype import BeartypeConf, beartype

promise = beartype(conf=BeartypeConf(is_pep484_tower=True))
