"""The JSON schema of job files, for editors."""

from __future__ import annotations

from typing import Any

from app.jobs.spec import NOT_IN_FILES, SCHEMA_VERSION
from app.options import json_schema


def schema() -> dict[str, Any]:
    """JSON schema of job files."""
    options = json_schema()
    for name in NOT_IN_FILES:
        options["properties"].pop(name, None)
    texts = {"anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}}]}
    shared: dict[str, Any] = {
        "name": {"type": "string", "description": "Name of the set, for {name} in the output's name."},
        "source": {**texts, "description": "Source files; names or glob patterns, relative to the job file."},
        "sources": {**texts, "description": "The same as source."},
        "driving": {**texts, "description": "Driving files; names or glob patterns, relative to the job file."},
        "drivings": {**texts, "description": "The same as driving."},
        "combine": {"enum": ["product", "pairs"], "default": "product", "description": "Each with each, or in step."},
        "pairs": {
            "type": "array",
            "items": {"type": "array", "items": {"type": "string"}, "minItems": 2, "maxItems": 2},
            "description": "Pairs of source and driving file.",
        },
        "csv": {"type": "string", "description": "CSV file with the columns source and driving, and any options."},
        "output": {"type": "string", "description": "Template of the output's name."},
        "preset": {"type": "string", "description": "Preset that the options start from."},
        "options": {"$ref": "#/$defs/Options"},
    }
    one = {"type": "object", "properties": shared, "additionalProperties": False}
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Job file",
        "type": "object",
        "properties": {
            "schema_version": {"const": SCHEMA_VERSION},
            "description": {"type": "string"},
            **shared,
            "jobs": {
                "type": "array",
                "items": one,
                "description": "Sets of jobs; the file's own entries hold for all.",
            },
        },
        "additionalProperties": False,
        "$defs": {"Options": options},
    }
