"""`forebay certificates`: an authority of our own, and certificates for servers and clients."""

import argparse
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from cryptography import x509

from config.tls.authority import DAYS, Authority, Files, is_due, names_of
from config.tls.configured_files import FOLDER
from config.tls.key_pair import BadCertificate


def certificates(arguments: Sequence[str]) -> None:
    options = _parser().parse_args(arguments)
    try:
        _run(options)
    except (BadCertificate, OSError) as problem:
        sys.exit(f"forebay certificates: {problem}")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("forebay certificates", description=__doc__)
    parser.add_argument("--folder", type=Path, default=FOLDER, help="default: %(default)s")
    commands = parser.add_subparsers(required=True, metavar="COMMAND", dest="command")
    authority = commands.add_parser("authority", help="make the authority: ca.crt, ca.key")
    authority.add_argument("--force", action="store_true", help="though there is one already")
    server = commands.add_parser("server", help="a certificate for a server's names and addresses")
    server.add_argument("hosts", nargs="*", default=["localhost", "127.0.0.1", "::1"])
    server.add_argument("--name", default="server", help="of the files; default: %(default)s")
    client = commands.add_parser("client", help="one for Prometheus, a program, an engine")
    client.add_argument("name")
    for each in (server, client):
        each.add_argument("--days", type=int, default=DAYS, help="it holds; default: %(default)s")
    renew = commands.add_parser("renew", help="those again whose last third has begun")
    renew.add_argument("--all", action="store_true", help="all of them")
    commands.add_parser("list", help="what is there")
    return parser


def _run(options: argparse.Namespace) -> None:
    """Run the command. Raises BadCertificate, OSError."""
    folder: Path = options.folder
    match options.command:
        case "authority":
            Authority.make(folder, force=options.force)
            _say("made", Files.of(folder, "ca"))
            print(
                "Keep ca.key off machines that do not sign; give ca.crt to whoever shall trust it."
            )
        case "server":
            issued = _open_or_make(folder).server(options.hosts, options.days, options.name)
            _say("made", issued)
        case "client":
            _say("made", _open_or_make(folder).client(options.name, options.days))
        case "renew":
            _renew(folder, everything=options.all)
        case "list":
            _list(folder)


def _open_or_make(folder: Path) -> Authority:
    if not Files.of(folder, "ca").certificate.exists():
        Authority.make(folder)
        _say("made", Files.of(folder, "ca"))
    return Authority.open(folder)


def _renew(folder: Path, *, everything: bool) -> None:
    authority = Authority.open(folder)
    for name, certificate in _signed_certificates(folder, authority):
        if everything or is_due(certificate):
            _say("renewed", authority.reissue(name))
        else:
            print(f"not due   {folder / name}.crt until {_until(certificate)}")
    if is_due(authority.certificate):
        print(f"The authority itself ends {_until(authority.certificate)}: plan for another.")


def _list(folder: Path) -> None:
    authority = Authority.open(folder)
    _say("authority", Files.of(folder, "ca"))
    for name, certificate in _signed_certificates(folder, authority):
        names = ", ".join(str(each.value) for each in names_of(certificate)) or "a client"
        print(f"{folder / name}.crt until {_until(certificate)}: {names}")


def _signed_certificates(
    folder: Path, authority: Authority
) -> Iterator[tuple[str, x509.Certificate]]:
    for path in sorted(folder.glob("*.crt")):
        try:
            certificate = x509.load_pem_x509_certificates(path.read_bytes())[0]
        except ValueError:
            print(f"{path} is no certificate")
            continue
        if path.stem != "ca" and authority.has_signed(certificate):
            yield path.stem, certificate


def _say(how: str, files: Files) -> None:
    print(f"{how:9} {files.certificate} and {files.key.name}, until {_until(files.read().leaf)}")


def _until(certificate: x509.Certificate) -> str:
    return f"{certificate.not_valid_after_utc:%F %R} UTC"
