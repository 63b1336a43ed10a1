"""Exempt paths: the rule, what is below it, and no trick."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from licet.core.errors import ConfigError
from licet.core.request.paths import ExemptPaths, exempt_path

RULES = ("/health", "/static/*", "/", "/a/b/*", "/é")
EXEMPT = ExemptPaths(RULES)


@pytest.mark.parametrize(
    "path", ["/health", "/", "/static/", "/static/a/b.css", "/static/...", "/a/b/c", "/é"]
)
def test_the_rule_and_what_is_below_it_is_exempt(path: str) -> None:
    """`/health` is that path, `/static/*` all below it."""
    assert path in EXEMPT


@pytest.mark.parametrize(
    "path",
    [
        "",
        "/health/",
        "/healthz",
        "/health/x",
        "/HEALTH",
        " /health",
        "/health ",
        "/static",
        "/staticx/a",
        "/health/../admin",
        "/static/../admin",
        "/static/..",
        "/static/.",
        "/static/./a",
        "//health",
        "//admin",
        "/static//a",
        "/static/..%2fadmin",
        "/static/%2e%2e/admin",
        "/static/..;/admin",
        "/static/a;b",
        "/static/..\\admin",
        "/static/\\admin",
        "/health\x00",
        "/static/a\x00",
        "/static/a\n",
        "/static/a\r\nb",
        "/static/\x7f",
        "/static/\x85",
        "/static/..\n",
        "/a/bc",
    ],
)
def test_another_path_is_not(path: str) -> None:
    """K11: neighbours, other cases and whatever another component could read differently."""
    assert path not in EXEMPT


@given(
    path=st.one_of(
        st.text(max_size=30),
        st.lists(
            st.sampled_from(
                [
                    "/health",
                    "/static",
                    "/a/b",
                    "/",
                    "..",
                    ".",
                    "%2e",
                    ";",
                    "\\",
                    "\0",
                    "x",
                    "é",
                    "\x9f",
                ]
            ),
            max_size=7,
        ).map("".join),
    )
)
@settings(max_examples=200, deadline=None)
def test_whatever_is_exempt_is_literally_a_rule_or_below_one(path: str) -> None:
    """K10, K11: an exempt path is a rule or starts with one, and no second reading of it exists."""
    if path not in EXEMPT:
        return
    below = tuple(rule.removesuffix("*") for rule in RULES if rule.endswith("/*"))
    assert path in RULES or path.startswith(below)
    assert not {"..", "."} & set(path.split("/"))
    assert "//" not in path
    assert not any(each in "\\;%" or ord(each) < 32 or 127 <= ord(each) < 160 for each in path)


@pytest.mark.parametrize(
    "rule",
    [
        "/*",
        "//*",
        "*",
        "health",
        "health/*",
        "/static*",
        "/*/x",
        "/a/*/*",
        "/static/**",
        "/a//*",
        "/a//b",
        "/a/../b",
        "/a/./*",
        "/a;b",
        "/a%20b",
        "/a\\b",
        "/a\n",
        "/a\x85",
        "/health?full=1",
        "/health#top",
        "https://host/health",
        "",
    ],
)
def test_a_rule_that_cannot_be_meant_is_refused(rule: str) -> None:
    """A rule that would exempt everything, or could never match a path, is a ConfigError."""
    with pytest.raises(ConfigError) as refused:
        exempt_path("exempt_paths", rule)
    assert refused.value.setting == "exempt_paths"


@pytest.mark.parametrize("rule", RULES)
def test_a_rule_is_kept_as_it_is_written(rule: str) -> None:
    """What passes the check is not changed by it."""
    assert exempt_path("exempt_paths", rule) == rule


def test_without_rules_nothing_is_exempt() -> None:
    """No rules are false and contain nothing; one rule of either kind is true."""
    assert not ExemptPaths(())
    assert "/" not in ExemptPaths(())
    assert ExemptPaths(["/health"])
    assert ExemptPaths(iter(["/static/*"]))


@pytest.mark.row("R10")
def test_rules_are_no_patterns() -> None:
    """What looks like an expression stands for itself, and costs no more than its length.

    Nothing is timed: as an expression, the first would not end before the suite's own alarm.
    """
    rules = ("/(a+)+$/*", "/a|b", "/[a-z]{1,99999}", "/a+b/*")
    paths = ExemptPaths(exempt_path("exempt_paths", rule) for rule in rules)
    assert all(rule.removesuffix("*") in paths for rule in rules)
    assert not any(path in paths for path in ("/aaaa/", "/a", "/b", "/z", "/aaab/"))
    hostile = [f"/{'a' * 65_536}!", f"/(a+)+$/{'a/' * 32_768}..", "/" * 65_536, "/." * 32_768]
    assert not any(path in paths for path in hostile)
