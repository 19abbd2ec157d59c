# SPDX-License-Identifier: Apache-2.0
"""The formats that this package owns: JSON Schemas, Parquet schemas and the metric vocabulary."""

from __future__ import annotations

import functools
import json
from importlib import resources
from pathlib import Path
from typing import Any

import jsonschema

from rca_engine.errors import CaseError


@functools.cache
def load(name: str) -> dict[str, Any]:
    """Return a JSON document of this folder, for example ``load("case.schema")``."""
    text = resources.files(__name__).joinpath(f"{name}.json").read_text(encoding="utf-8")
    document: dict[str, Any] = json.loads(text)
    return document


def validate(document: Any, schema: str, where: Path | str) -> None:
    """Check a document against ``<schema>.schema.json``.

    Raises
    ------
    CaseError
        Naming the file, the place in it and what is wrong there.
    """
    validator = jsonschema.Draft202012Validator(load(f"{schema}.schema"))
    error = jsonschema.exceptions.best_match(validator.iter_errors(document))
    if error is not None:
        raise CaseError(f"{where}: {error.json_path}: {error.message}")


def read_json(path: Path, schema: str | None = None) -> dict[str, Any]:
    """Read a JSON object, checked against ``schema`` if one is given.

    Raises
    ------
    CaseError
        If the file is absent, not UTF-8 JSON, no object, or does not fit the schema.
    """
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise CaseError(f"{path}: no such file") from None
    except (OSError, UnicodeDecodeError, json.JSONDecodeError) as error:
        raise CaseError(f"{path}: not readable as JSON: {error}") from None
    if not isinstance(document, dict):
        raise CaseError(f"{path}: expected a JSON object, found {type(document).__name__}")
    if schema is not None:
        validate(document, schema, path)
    return document
