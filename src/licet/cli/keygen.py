"""`licet keygen`: an issuer's keys, from the first to the last.

The private keys stay in their file, which only its owner may use; all that is shown or written
elsewhere is their public half.
"""

from __future__ import annotations

import argparse
import json
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

from licet.cli import keyfile
from licet.cli.command import add_json, command
from licet.cli.output import DONE, Failed, print_json, print_members, tell, why

if TYPE_CHECKING:
    from licet.issuer import Issuer

_DESCRIPTION = """\
Makes the file with the private keys that licenses are signed with, and
publishes their public half:

  licet keygen issuer.json --issuer https://licenses.acme.example
                                                     a new file
  licet keygen issuer.json --jwks jwks.json          its public key set
  licet keygen issuer.json --rotate --jwks jwks.json
                                                     sign with a new key
  licet keygen issuer.json --retire KID --jwks jwks.json
                                                     publish an old one no longer

Whoever has the file can issue licenses. Serve the key set at the issuer's
address with /.well-known/jwks.json behind it, or give it to your application
as LICET_JWKS."""
_EPILOG = "Exit status: 0 done, 2 that cannot be done as given."


def add_to(commands: Any) -> None:
    """Add the command to those of the parser."""
    parser = command(
        commands,
        "keygen",
        run,
        help="make, publish, rotate and retire the keys that sign licenses",
        description=_DESCRIPTION,
        epilog=_EPILOG,
    )
    parser.add_argument("keyfile", metavar="KEYFILE", help="the file with the private keys (0600)")
    step = parser.add_mutually_exclusive_group()
    step.add_argument(
        "--issuer",
        metavar="URL",
        help='make a new file for this issuer: the "iss" of its licenses, compared exactly',
    )
    step.add_argument(
        "--rotate",
        action="store_true",
        help="add a new key, which signs from now on; licenses signed with the old ones hold",
    )
    step.add_argument(
        "--retire",
        metavar="KID",
        help="remove the key with this id; licenses signed with it end as applications learn of it",
    )
    parser.add_argument(
        "--algorithm",
        metavar="NAME",
        help="of a new key: EdDSA, Ed25519, or ES, PS or RS with 256, 384 or 512 behind it; EdDSA, "
        "or that of the present one, where not given",
    )
    parser.add_argument(
        "--jwks", metavar="FILE", help="write the public key set to this file; - prints it alone"
    )
    add_json(parser)


def run(arguments: argparse.Namespace) -> int:
    """Make or change the keys, print what is public of them, and return the exit status."""
    if arguments.json and arguments.jwks == "-":
        raise Failed("--json and --jwks - both print", "give one of them; --json has the set, too")
    if arguments.algorithm and not (arguments.issuer or arguments.rotate):
        raise Failed("--algorithm makes no key", "add --issuer URL or --rotate")
    changes = arguments.rotate or arguments.retire is not None
    # Published under the lock, too: of two, the one whose keys are older must not come last.
    with keyfile.alone(arguments.keyfile) if changes else nullcontext():
        issuer = _issuer(arguments)
        jwks = issuer.jwks()
        if arguments.jwks not in (None, "-"):
            _publish(jwks, Path(arguments.jwks), Path(arguments.keyfile))
    if arguments.json:
        told = {"issuer": issuer.name, "kid": issuer.kid, "kids": list(issuer.kids), "jwks": jwks}
        print_json({**told, "key_file": arguments.keyfile})
    elif arguments.jwks == "-":
        print(json.dumps(jwks, indent=1))
    else:
        print_members(_told(issuer, arguments))
    if arguments.rotate:
        tell(
            "serve the new key set, then issue: applications know a new key once they can fetch it"
        )
    return DONE


def _issuer(arguments: argparse.Namespace) -> Issuer:
    path = arguments.keyfile
    if arguments.issuer is not None:
        return keyfile.make(path, arguments.issuer, arguments.algorithm or "EdDSA")
    issuer = keyfile.load(path)
    try:
        if arguments.rotate:
            issuer.rotate(algorithm=arguments.algorithm)
        elif arguments.retire is not None:
            issuer.retire(arguments.retire)
        else:
            return issuer
    except ValueError as error:
        raise Failed("the keys stay as they are", str(error)) from None
    except KeyError:
        ids = ", ".join(issuer.kids)
        raise Failed("no key has that id", f"name one of {ids}") from None
    keyfile.save(issuer, path)
    return issuer


def _publish(jwks: dict[str, Any], path: Path, keyfile: Path) -> None:
    """Write the public key set, whole or not at all, and over nothing but another one."""
    remedy = "name another file for --jwks"
    from licet.core import files

    try:
        if path.exists() and (path.samefile(keyfile) or not _is_key_set(path)):
            raise Failed(f"{path} is no public key set and is not overwritten", remedy)
        # Anybody may read it, but for what the umask takes.
        files.replace(path, f"{json.dumps(jwks, indent=1)}\n".encode(), 0o666)
    except (OSError, ValueError) as error:
        raise Failed(f"{path} cannot be written ({why(error)})", remedy) from None


def _is_key_set(path: Path) -> bool:
    try:
        document = json.loads(path.read_bytes())
    except (ValueError, RecursionError):
        return False
    return isinstance(document, dict) and document.keys() == {"keys"}


def _told(issuer: Issuer, arguments: argparse.Namespace) -> dict[str, object]:
    served = arguments.jwks or "jwks.json"
    where = "where LICET_JWKS_URL of your applications points"
    if issuer.name.startswith(("https://", "http://")):
        where = issuer.name.removesuffix("/") + "/.well-known/jwks.json"
    publish = f"serve {served} at {where}"
    if arguments.jwks is None:
        publish = f"licet keygen {arguments.keyfile} --jwks {served}, and {publish}"
    older = list(issuer.kids[:-1])
    return {
        "issuer": issuer.name,
        "kid": issuer.kid,
        **({"older kids": older} if older else {}),
        "private": f"{arguments.keyfile} (0600); keep it secret, and a copy in a safe place",
        "publish": publish,
        "applications": f"LICET_ISSUER={issuer.name}",
    }
