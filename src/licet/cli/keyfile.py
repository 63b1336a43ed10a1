"""The file with the private keys of an issuer, as commands find it and make it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from licet.cli.output import Failed, why

if TYPE_CHECKING:
    from licet.issuer import Issuer


@contextmanager
def alone(path: str) -> Iterator[None]:
    """Keep others from changing the file meanwhile: other commands, and a license server.

    Raises:
        Failed: somebody else is at it for long, or nobody can be kept from it.
    """
    from licet.issuer import lock

    with ExitStack() as held:
        try:
            held.enter_context(lock.alone(path))
        except lock.BusyError:
            remedy = "try again when that has ended"
            raise Failed(f"somebody else is changing {path}", remedy) from None
        except OSError as error:
            raise Failed(f"{path} cannot be written", why(error)) from None
        yield


def load(path: str) -> Issuer:
    """Return the issuer whose keys are in a file.

    Raises:
        Failed: it cannot be read.
    """
    from licet.issuer import Issuer, KeyFileError

    try:
        return Issuer.load(path)
    except FileNotFoundError:
        remedy = f"`licet keygen {path} --issuer https://…` makes one"
        raise Failed(f"there is no key file {path}", remedy) from None
    except KeyFileError as error:
        raise Failed("the key file is not used", str(error)) from None
    except (OSError, ValueError) as error:
        raise Failed(f"the key file {path} cannot be read", why(error)) from None


def make(path: str, name: str, algorithm: str) -> Issuer:
    """Make an issuer with one new key, in a file that is not there yet.

    Raises:
        Failed: it cannot be made, or there is such a file.
    """
    from licet.issuer import Issuer

    try:
        issuer = Issuer.generate(name, algorithm=algorithm)
    except ValueError as error:
        raise Failed("no key was made", str(error)) from None
    try:
        # Claims the name first: of two that are started at once, one must not lose its keys.
        os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
    except FileExistsError:
        raise Failed(
            f"{path} exists and is not overwritten: its licenses would end",
            f"`licet keygen {path} --rotate` adds a key to it; another name makes another issuer",
        ) from None
    except (OSError, ValueError) as error:
        raise Failed(f"{path} cannot be written", why(error)) from None
    try:
        save(issuer, path)
    except BaseException:
        Path(path).unlink(missing_ok=True)
        raise
    return issuer


def save(issuer: Issuer, path: str) -> None:
    """Write the keys of an issuer over those that are in its file.

    Raises:
        Failed: it cannot be written.
    """
    try:
        issuer.save(path)
    except OSError as error:
        raise Failed(f"{path} cannot be written", why(error)) from None
