"""The demo's report: for people in 100 columns, for programs as JSON."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from licet.cli.demo.process import Server
from licet.cli.demo.stage import Answer, Observed, Row

GREEN, RED, PLAIN = "\x1b[32m", "\x1b[31m", "\x1b[0m"


def text(
    rows: Sequence[Row], servers: Sequence[Server], curl: Iterable[str], *, colour: bool = False
) -> str:
    """Return the report as text: one line a scene, one column an application."""
    programs = [each.server.program for each in rows[0].observed] if rows else []
    lines = [
        _line("", "", (f"{program.app:>10}" for program in programs)),
        _line("scene", "expected", (f"{program.server:>10}" for program in programs)),
        *(
            _line(row.scene, str(row.expected), (_cell(row, each, colour) for each in row.observed))
            for row in rows
        ),
        "",
        verdict(rows),
        *disagreements(rows),
        *told(rows),
        "",
        *(f"{server.program!s:<26} pid {server.pid:<8} {server.url}" for server in servers),
        "",
        *curl,
    ]
    return "\n".join(lines)


def document(rows: Sequence[Row], servers: Sequence[Server], curl: Iterable[str]) -> dict[str, Any]:
    """Return the report as JSON has it."""
    return {
        "agree": all(row.agrees for row in rows),
        "scenes": [
            {
                "scene": row.scene,
                "path": row.path,
                "expected": row.expected._asdict(),
                "observed": [
                    {
                        "app": each.server.program.app,
                        "server": each.server.program.server,
                        **each.answer._asdict(),
                        "told": [*each.told],
                        "milliseconds": round(each.milliseconds, 1),
                        "agrees": each.answer == row.expected,
                    }
                    for each in row.observed
                ],
            }
            for row in rows
        ],
        "servers": [
            {
                "app": server.program.app,
                "server": server.program.server,
                "pid": server.pid,
                "port": server.port,
            }
            for server in servers
        ],
        "curl": list(curl),
    }


def verdict(rows: Sequence[Row]) -> str:
    """Return in one sentence whether all applications answered as expected."""
    wrong = sum(each.answer != row.expected for row in rows for each in row.observed)
    total = sum(len(row.observed) for row in rows)
    return f"All {total} agree." if not wrong else f"{wrong} of {total} DISAGREE."


def disagreements(rows: Sequence[Row]) -> list[str]:
    """Return a line for each answer that was not the expected one."""
    return [
        f"  {row.scene}, {each.server.program}: "
        f"expected {_whole(row.expected)}, observed {_whole(each.answer)}"
        for row in rows
        for each in row.observed
        if each.answer != row.expected
    ]


def told(rows: Sequence[Row]) -> list[str]:
    """Return what an application told beside its answer, in the scenes in which that counts."""
    lines = [""]
    for row in rows:
        name = row.scene
        for field in row.observed[0].told:
            lines.append(f"{name:<21}{field}")
            name = ""
    return lines if lines[1:] else []


def _whole(answer: Answer) -> str:
    return f"{answer} with {', '.join(answer.fields)}" if answer.fields else str(answer)


def _line(scene: str, expected: str, cells: Iterable[str]) -> str:
    return f"{scene:<21}{expected:<25}{' '.join(cells)}".rstrip()


def _cell(row: Row, observed: Observed, colour: bool) -> str:
    agrees = observed.answer == row.expected
    status = observed.answer.status or "---"
    cell = f"{status}{' ' if agrees else '!'}{observed.milliseconds:4.0f}ms"
    if not colour:
        return cell
    return f"{GREEN if agrees else RED}{cell}{PLAIN}"
