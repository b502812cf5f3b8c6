"""Sources of variables: the environment, FOREBAY_CONFIG's file, files that hold a secret.

variables     their names, and those that hold a secret
lines         the configuration file
secret_files  DATABASE_URL_FILE and its like
addresses     URLs with a password in them
"""

from collections.abc import MutableMapping

from config.configuration import addresses, lines, secret_files
from config.configuration.variables import SECRETS

FILE = "FOREBAY_CONFIG"


def apply(variables: MutableMapping[str, str]) -> None:
    """Add the variables of the configuration file and of files that hold a secret.

    The environment takes precedence over the configuration file. Child processes get values, not
    the files. Raises ValueError: one line for a person.
    """
    if file := variables.get(FILE):
        for name, value in lines.read(file).items():
            if not _is_set(name, variables):
                variables[name] = value
    for name in SECRETS:
        if path := variables.pop(f"{name}_FILE", ""):
            variables[name] = secret_files.read(name, path, variables.get(name, ""))
        if name.endswith("_URL"):
            addresses.check(name, variables.get(name, ""))


def _is_set(name: str, variables: MutableMapping[str, str]) -> bool:
    plain = name.removesuffix("_FILE")
    return bool({name, plain} & variables.keys()) or (
        plain in SECRETS and f"{plain}_FILE" in variables
    )
