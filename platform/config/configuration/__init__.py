"""Where variables come from: the environment, FOREBAY_CONFIG's file, files that hold a secret.

variables     what each is called, and which hold a secret
lines         the configuration file
secret_files  DATABASE_URL_FILE and its like
addresses     URLs with a password in them
"""

from collections.abc import MutableMapping

from config.configuration import addresses, lines, secret_files
from config.configuration.variables import SECRETS

FILE = "FOREBAY_CONFIG"


def apply(variables: MutableMapping[str, str]) -> None:
    """What the environment says weighs more than the file.

    Children are told values, not where they came from. Raises ValueError: one line for a person.
    """
    if file := variables.get(FILE):
        for name, value in lines.read(file).items():
            if not _said(name, variables):
                variables[name] = value
    for name in SECRETS:
        if path := variables.pop(f"{name}_FILE", ""):
            variables[name] = secret_files.read(name, path, variables.get(name, ""))
        if name.endswith("_URL"):
            addresses.check(name, variables.get(name, ""))


def _said(name: str, variables: MutableMapping[str, str]) -> bool:
    plain = name.removesuffix("_FILE")
    return bool({name, plain} & variables.keys()) or (
        plain in SECRETS and f"{plain}_FILE" in variables
    )
