"""The claim `regions`: strictly read, a country covering its parts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from licet.core.constraints.region import Regions
from licet.core.errors import ConstraintViolated, LicenseInvalid


@dataclass
class In:
    """Circumstances in this region."""

    where: str | None

    def region(self) -> str | None:
        return self.where


BAD: list[Any] = [
    *(None, True, 0, "", "DE", {}, {"DE": 1}, [], [""], [None], [True], [1], [["DE"]]),
    *(["de"], ["De"], ["DEU"], ["D"], ["D1"], ["DE-"], ["-BY"], ["DE-by"], ["DE-ABCD"]),
    *(["DE_BY"], ["DE-BY-1"], ["DE "], [" DE"], ["DE\n"], ["*"], ["DE-*"], ["DE,AT"]),
    *(["ＤＥ"], ["ß"], ["DE-Ü"], ["DE", "at"], ["DE", 1], ["DE"] * 1001),  # noqa: RUF001
]


@pytest.mark.parametrize("value", BAD, ids=[f"{n} {value!r}"[:40] for n, value in enumerate(BAD)])
def test_a_malformed_claim_refuses_the_license(value: Any) -> None:
    """Also beside good entries; the reason names the claim and nothing of it."""
    with pytest.raises(LicenseInvalid) as caught:
        Regions.read(value)
    assert caught.value.reason == "bad_claim:regions"


@pytest.mark.parametrize(
    ("codes", "region", "expected"),
    [
        (["DE"], "DE", True),
        (["DE"], "DE-BY", True),
        (["DE"], "AT", False),
        (["DE"], "D", False),
        (["DE"], "DEU", False),
        (["DE"], "DEBY", False),
        (["DE"], "de", False),
        (["DE"], "", False),
        (["DE"], None, False),
        (["US-CA"], "US-CA", True),
        (["US-CA"], "US", False),
        (["US-CA"], "US-C", False),
        (["US-CA"], "US-CAL", False),
        (["US-CA"], "US-NY", False),
        (["US-CA"], "CA", False),
        (["US-CA", "DE", "FR-75C"], "FR-75C", True),
        (["US-CA", "DE", "FR-75C"], "DE-1", True),
    ],
)
def test_a_country_covers_its_parts_and_a_part_only_itself(
    codes: list[str], region: str | None, expected: bool
) -> None:
    """An unknown region is nowhere, and nothing is compared by how it begins."""
    assert Regions.read(codes).holds(In(region)) is expected


def test_the_claim_names_a_code_that_adapters_know() -> None:
    """The refusal is `license_region`, and a thousand entries are still read."""
    assert Regions.code in ConstraintViolated.codes
    assert Regions.code == "license_region"
    assert Regions.read(["DE"] * 1000).holds(In("DE"))


regions = st.from_regex(r"[A-C]{2}(-[A-C1-2]{1,2})?", fullmatch=True)


@given(st.lists(regions, min_size=1), regions)
def test_what_holds_is_in_a_country_that_is_named(codes: list[str], region: str) -> None:
    """Whoever is let in is in a listed place or its country, and the other way round."""
    listed = region in codes or region[:2] in codes
    assert Regions.read(codes).holds(In(region)) == listed
