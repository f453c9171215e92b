"""The rules of `mutants.yml`."""

from dataclasses import dataclass
from pathlib import Path

import yaml  # type: ignore[import-untyped]
from traps.sql_project import PROJECT


@dataclass(frozen=True)
class Mutant:
    """One rule, broken.

    Attributes:
        name: what the broken SQL does.
        rule: where the specification states the rule.
        file: below `dbt_project`.
        old, new: the text replaced and what stands in its place.
    """

    name: str
    rule: str
    file: str
    old: str
    new: str

    def check(self) -> None:
        """Refuse a text that does not stand there exactly once."""
        count = (PROJECT / self.file).read_text(encoding="utf-8").count(self.old)
        assert count == 1, f"{self.file} holds {self.old!r} {count} times: state the mutant {self.name!r} anew"


MUTANTS = [Mutant(**one) for one in yaml.safe_load(Path(__file__).with_name("mutants.yml").read_text("utf-8"))]
