"""Secrets that this program makes for itself, in files that only their owner may read."""

import os
import secrets
from pathlib import Path

from warehouse.errors import WarehouseError
from warehouse.settings import KEY_LENGTH, Settings


def personal_data_key(settings: Settings) -> bytes:
    """Return the key of the hashes of personal data: the setting's, else that of the file beside the warehouse.

    The file is made at the first time; two processes must not do so at once, so the caller holds the warehouse's lock.
    Its text, put into PERSONAL_DATA_KEY, gives the same hashes.

    Raises:
        WarehouseError: the file cannot be read or made, or holds no key; the message does not quote it.
    """
    if settings.personal_data_key:
        return settings.personal_data_key.get_secret_value().encode()
    path = settings.paths.personal_data_key
    try:
        if path.exists():
            path.chmod(0o600)  # a copy or a restored backup may be open to others
            key = path.read_bytes().strip()
        else:
            path.parent.mkdir(parents=True, exist_ok=True)
            key = secrets.token_hex(32).encode()
            write_private(path, key.decode() + "\n")
    except OSError as error:
        raise WarehouseError(
            f"The key of the hashes of personal data {path} cannot be used by this user ({error.strerror}). "
            "Run this command as the file's owner, or set PERSONAL_DATA_KEY."
        ) from error
    if len(key) < KEY_LENGTH:
        raise WarehouseError(
            f"The key of the hashes of personal data {path} is damaged. Put the file back from a backup; or remove it: "
            "a new key is made, and the hashes of earlier rows do not join until a full sync."
        )
    return key


def write_private(path: Path, text: str) -> None:
    """Write a file that only its owner may read, whole or not at all."""
    unfinished = path.with_name(f"{path.name}.tmp")
    unfinished.unlink(missing_ok=True)
    descriptor = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())  # a key that a power cut empties takes all joins with it
    unfinished.replace(path)
