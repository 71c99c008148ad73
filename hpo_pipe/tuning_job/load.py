"""A request as JSON text: what boto3 takes as keyword arguments, and the AWS CLI as ``--cli-input-json``."""

from __future__ import annotations

import json
from typing import NoReturn

from hpo_pipe.study_file.load import MAX_BYTES, check_bounds
from storage_schema.codec import Json
from storage_schema.errors import StudyFileError


def load_request(data: bytes, where: str) -> dict[str, Json]:
    """Return what the JSON in `data` holds.

    Args:
        data: the file's bytes.
        where: the file, for errors.

    Raises:
        StudyFileError: too large, not UTF-8, not JSON, a name that is there twice, or no object.
    """
    if len(data) > MAX_BYTES:
        raise StudyFileError(f"{where}: larger than {MAX_BYTES} bytes")
    try:
        found = json.loads(data.decode("utf-8-sig"), object_pairs_hook=_once, parse_constant=_no_constant)
        check_bounds(found)
    except UnicodeDecodeError as error:
        raise StudyFileError(f"{where}: not UTF-8 at byte {error.start}") from None
    except json.JSONDecodeError as error:
        raise StudyFileError(
            f"{where}: line {error.lineno}, column {error.colno}: not JSON: {error.msg}"
        ) from None
    except RecursionError:
        raise StudyFileError(f"{where}: nested too deeply") from None
    except ValueError as error:
        raise StudyFileError(f"{where}: {error}") from None
    if not isinstance(found, dict):
        raise StudyFileError(f"{where}: holds {type(found).__name__}, expected a request: an object")
    return found


def _once(pairs: list[tuple[str, Json]]) -> dict[str, Json]:
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        raise ValueError(f"{next(n for n in names if names.count(n) > 1)!r} is there twice in one object")
    return found


def _no_constant(text: str) -> NoReturn:
    raise ValueError(f"{text} is not JSON")
