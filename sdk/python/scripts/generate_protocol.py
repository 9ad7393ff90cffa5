"""Writes src/polos/protocol.py, the types of what REST and the worker socket say, from the schemas
in docs/reference. `--check` only says whether it is current."""

from __future__ import annotations

import json
import keyword
import subprocess
import sys
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent.parent
REFERENCE = HERE.parent.parent / "docs" / "reference"
TARGET = HERE / "src" / "polos" / "protocol.py"

HEAD = '''"""The types of what REST and the worker socket say. Generated from docs/reference by
scripts/generate_protocol.py: do not edit."""

from __future__ import annotations

from typing import Any, Literal, TypeAlias

from typing_extensions import NotRequired, TypedDict

'''


def main() -> int:
    worker = json.loads((REFERENCE / "worker-protocol.schema.json").read_text())
    rest = json.loads((REFERENCE / "openapi.json").read_text())
    schemas: dict[str, Any] = dict(rest["components"]["schemas"])
    schemas.update(worker["$defs"])
    text = HEAD + "\n\n".join(definition(name, schemas[name]) for name in sorted(schemas)) + "\n"
    text = formatted(text)
    if "--check" in sys.argv:
        if TARGET.read_text() != text:
            print("protocol.py is not current: run scripts/generate_protocol.py", file=sys.stderr)
            return 1
        return 0
    TARGET.write_text(text)
    return 0


def formatted(text: str) -> str:
    command = ["ruff", "format", "--config", str(HERE / "pyproject.toml"), "-"]
    return subprocess.run(command, input=text, capture_output=True, text=True, check=True).stdout


def definition(name: str, schema: dict[str, Any]) -> str:
    """A class for an object, an alias for anything else."""
    fields = properties(schema)
    if fields is None or any(
        not field.isidentifier() or keyword.iskeyword(field) for field in fields
    ):
        return alias(name, schema)
    lines = [f"class {name}(TypedDict):"]
    doc = sentence(schema)
    lines += [f'    """{doc}"""', ""] if doc else []
    required = required_of(schema)
    for field, field_schema in fields.items():
        kind = kind_of(field_schema)
        lines.append(f"    {field}: {kind if field in required else f'NotRequired[{kind}]'}")
    if not fields:
        lines.append("    pass")
    return "\n".join(lines) + "\n"


def alias(name: str, schema: dict[str, Any]) -> str:
    doc = sentence(schema)
    text = f"{name}: TypeAlias = {json.dumps(kind_of(schema))}"
    return f'{text}\n"""{doc}"""\n' if doc else f"{text}\n"


def sentence(schema: dict[str, Any]) -> str:
    text = " ".join(str(schema.get("description", "")).split())
    return text.replace("\\", "\\\\").replace('"""', "'''").rstrip('"')


def properties(schema: dict[str, Any]) -> dict[str, Any] | None:
    if schema.get("type") == "object" and "properties" in schema and "oneOf" not in schema:
        return schema["properties"]
    return None


def required_of(schema: dict[str, Any]) -> set[str]:
    return set(schema.get("required", []))


def kind_of(schema: Any) -> str:
    """The Python type of a schema."""
    if not isinstance(schema, dict) or not schema:
        return "Any"
    if "$ref" in schema:
        return str(schema["$ref"]).rsplit("/", 1)[-1]
    if "const" in schema:
        return f"Literal[{schema['const']!r}]"
    if "enum" in schema:
        return f"Literal[{', '.join(repr(value) for value in schema['enum'])}]"
    for word in ("oneOf", "anyOf"):
        if word in schema:
            return union([kind_of(one) for one in schema[word]])
    if "allOf" in schema:
        return kind_of(schema["allOf"][0])
    kind = schema.get("type")
    if isinstance(kind, list):
        return union([kind_of({**schema, "type": one}) for one in kind])
    return plain(kind, schema)


def union(kinds: list[str]) -> str:
    unique = list(dict.fromkeys(kinds))
    return "Any" if "Any" in unique else " | ".join(unique)


def plain(kind: Any, schema: dict[str, Any]) -> str:
    if kind == "array":
        if "prefixItems" in schema:
            return f"list[{union([kind_of(one) for one in schema['prefixItems']])}]"
        return f"list[{kind_of(schema.get('items'))}]"
    if kind == "object":
        if "properties" in schema:
            return "dict[str, Any]"
        return f"dict[str, {kind_of(schema.get('additionalProperties'))}]"
    names = {
        "string": "str",
        "integer": "int",
        "number": "float",
        "boolean": "bool",
        "null": "None",
    }
    return names.get(str(kind), "Any")


if __name__ == "__main__":
    sys.exit(main())
