"""What may become of a schema within its major version. The command is `compatibility`.

Two things must survive every change: old messages, which new code reads for ever, and old readers, which see new
messages while a new version is rolled out. Readers ignore fields they do not know, and that is all they forgive. So a
new field that need not be there is fine, and any other difference is a break. Keywords that this module has never
heard of count as breaks when they change, so that nothing passes by not being understood.

Rules that a schema cannot say (a model's validators) are not seen here; the examples, which decode for ever, guard
them.
Which committed schemas are compared is said in `committed`.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from clew.contracts.schemas import Schema

Hurt = Literal["old messages", "old readers", "old messages and old readers"]
MESSAGES: Hurt = "old messages"
READERS: Hurt = "old readers"
BOTH: Hurt = "old messages and old readers"

ANNOTATIONS = {"$schema", "$id", "$defs", "$comment", "title", "description", "examples", "discriminator", "deprecated"}
LOWER = {"minimum", "exclusiveMinimum", "minLength", "minItems", "minProperties"}
UPPER = {"maximum", "exclusiveMaximum", "maxLength", "maxItems", "maxProperties"}
HANDLED = {"$ref", "anyOf", "oneOf", "type", "format", "const", "enum", "properties", "required", "default"}
NESTED = {"items", "additionalProperties", "prefixItems"}
ABSENT = object()


@dataclass(frozen=True, slots=True)
class Break:
    """One difference that somebody would not survive. `path` as in `plan.steps[].kind`."""

    path: str
    what: str
    hurt: Hurt


def breaks(old: Schema, new: Schema) -> list[Break]:
    """What in `new` old messages or old readers would not survive, in the order of the fields of `old`."""
    return list(_Comparison(old, new).schemas(old, new, ""))


class _Comparison:
    """Walks two schemas side by side, through references: names of definitions never travel."""

    def __init__(self, old: Schema, new: Schema) -> None:
        self._old_definitions: Mapping[str, Schema] = old.get("$defs", {})
        self._new_definitions: Mapping[str, Schema] = new.get("$defs", {})
        self._seen: set[tuple[str, str]] = set()

    def schemas(self, old: Schema, new: Schema, path: str) -> Iterator[Break]:
        references = old.get("$ref"), new.get("$ref")
        if references[0] and references[1]:
            if references in self._seen:
                return
            self._seen.add((references[0], references[1]))
        before = _alternatives(old, self._old_definitions)
        after = _alternatives(new, self._new_definitions)
        gone, added = sorted(before.keys() - after.keys()), sorted(after.keys() - before.keys())
        if len(before) == len(after) == len(gone) == 1:
            yield Break(path, f"the type changed from {gone[0]} to {added[0]}", BOTH)
            return
        for label in gone:
            yield Break(path, f"{label} is no longer allowed", MESSAGES)
        for label in added:
            yield Break(path, f"{label} is newly allowed", READERS)
        for label in before:
            if label in after:
                yield from self._alternative(before[label], after[label], path)

    def _alternative(self, old: Schema, new: Schema, path: str) -> Iterator[Break]:
        yield from _values(old, new, path)
        for keyword in sorted((old.keys() | new.keys()) - ANNOTATIONS - HANDLED - NESTED):
            yield from _keyword(keyword, old.get(keyword, ABSENT), new.get(keyword, ABSENT), path)
        yield from self._nested(old, new, path)
        yield from self._properties(old, new, path)

    def _nested(self, old: Schema, new: Schema, path: str) -> Iterator[Break]:
        for keyword, suffix in (("items", "[]"), ("additionalProperties", "{}")):
            before, after = old.get(keyword, True), new.get(keyword, True)
            if isinstance(before, dict) and isinstance(after, dict):
                yield from self.schemas(before, after, path + suffix)  # type: ignore[arg-type]  # JSON objects
            elif _anything(before) != _anything(after):
                yield Break(path + suffix, f"{keyword} changed from {_text(before)} to {_text(after)}", BOTH)
        before, after = old.get("prefixItems", []), new.get("prefixItems", [])
        if len(before) != len(after):
            yield Break(path, f"the tuple's length changed from {len(before)} to {len(after)}", BOTH)
            return
        for index, pair in enumerate(zip(before, after, strict=True)):
            yield from self.schemas(*pair, f"{path}[{index}]")

    def _properties(self, old: Schema, new: Schema, path: str) -> Iterator[Break]:
        before, after = old.get("properties", {}), new.get("properties", {})
        needed, needs = set(old.get("required", [])), set(new.get("required", []))
        for name, field in before.items():
            here = f"{path}.{name}".lstrip(".")
            if name not in after:
                yield Break(here, _removal(field, {n: f for n, f in after.items() if n not in before}), BOTH)
                continue
            yield from self.schemas(field, after[name], here)
            yield from _presence(field, after[name], name in needed, name in needs, here)
        for name in sorted(needs - before.keys()):
            yield Break(f"{path}.{name}".lstrip("."), "a new field is required; give it a default", MESSAGES)


def _alternatives(schema: Schema, definitions: Mapping[str, Schema]) -> dict[str, Schema]:
    """The members of a union, each under a label that tells it from the others. No union is a union of one."""
    found: dict[str, Schema] = {}
    for member, tag in _members(schema, definitions, None):
        label = plain = _label(member, tag)
        while label in found:
            label += f" (another {plain})"
        found[label] = member
    return found


def _members(schema: Schema, definitions: Mapping[str, Schema], tag: str | None) -> Iterator[tuple[Schema, str | None]]:
    """The plain schemas that a schema stands for, each with the name of the field that tells it from the others."""
    if "$ref" in schema:
        yield from _members(definitions[schema["$ref"].removeprefix("#/$defs/")], definitions, tag)
        return
    union: list[Schema] | None = schema.get("anyOf") or schema.get("oneOf")
    if union is None:
        yield schema, tag
        return
    for member in union:
        yield from _members(member, definitions, schema.get("discriminator", {}).get("propertyName", tag))


def _label(schema: Schema, tag: str | None) -> str:
    kind = str(schema.get("type", "anything"))
    if tag is not None and tag in schema.get("properties", {}):
        return f"{kind} with {tag}={_text(schema['properties'][tag].get('const'))}"
    return f"{kind} ({schema['format']})" if "format" in schema else kind


def _values(old: Schema, new: Schema, path: str) -> Iterator[Break]:
    before, after = _enumerated(old), _enumerated(new)
    if before is None and after is None:
        return
    if before is None:
        yield Break(path, f"only {', '.join(sorted(after or ()))} are allowed now, and anything was", MESSAGES)
    elif after is None:
        yield Break(path, f"anything is allowed now, and only {', '.join(sorted(before))} were", READERS)
    else:
        for value in sorted(before - after):
            yield Break(path, f"the value {value} was removed", MESSAGES)
        for value in sorted(after - before):
            yield Break(path, f"the value {value} was added", READERS)


def _enumerated(schema: Schema) -> set[str] | None:
    """The values that are allowed, as JSON (1 and true differ there), or None where they are not listed."""
    listed = [schema["const"]] if "const" in schema else schema.get("enum")
    return None if listed is None else {_text(value) for value in listed}


def _keyword(keyword: str, old: Any, new: Any, path: str) -> Iterator[Break]:
    if _text(old) == _text(new):
        return
    what = f"{keyword} changed from {_text(old)} to {_text(new)}"
    if keyword in LOWER | UPPER:
        tighter = old is ABSENT or (new is not ABSENT and (new > old if keyword in LOWER else new < old))
        yield Break(path, what, MESSAGES if tighter else READERS)
    else:
        yield Break(path, what, BOTH)


def _removal(field: Schema, candidates: Mapping[str, Schema]) -> str:
    """How to say that a field is gone: a new one just like it was probably meant as its new name."""
    bare = {k: v for k, v in field.items() if k not in ANNOTATIONS}
    for name, candidate in candidates.items():
        if bare == {k: v for k, v in candidate.items() if k not in ANNOTATIONS}:
            return f"the field was removed, or renamed to {name!r}"
    return "the field was removed"


def _presence(old: Schema, new: Schema, needed: bool, needs: bool, path: str) -> Iterator[Break]:
    if needed and not needs:
        yield Break(path, "the field may be missing now, and old readers require it", READERS)
    elif needs and not needed:
        yield Break(path, "the field is required now, and old messages may lack it", MESSAGES)
    elif not _agrees(old.get("default", ABSENT), new.get("default", ABSENT)):
        what = f"the default changed from {_text(old.get('default', ABSENT))} to {_text(new.get('default', ABSENT))}"
        yield Break(path, what, BOTH)


def _agrees(old: Any, new: Any) -> bool:
    """Whether a default still says what it said. An object's default may say more: its new fields."""
    if isinstance(old, dict) and isinstance(new, dict):
        return all(_agrees(value, new.get(key, ABSENT)) for key, value in old.items())  # type: ignore[misc]  # JSON
    return _text(old) == _text(new)


def _anything(schema: Any) -> Any:
    """`{}` and `true` say the same."""
    return True if schema == {} else schema


def _text(value: Any) -> str:
    return "nothing" if value is ABSENT else json.dumps(value, sort_keys=True, ensure_ascii=False)
