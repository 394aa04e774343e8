"""What the source of each service says it reads and writes, found without running it, held against `topics.yaml`."""

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from clew.contracts.registry import BY_CLASS_NAME
from clew.contracts.topics import Topic, load_topics, topic_of

READS = {"follow", "read"}  # methods of the log reader whose first argument is a topic


@dataclass(frozen=True, slots=True)
class Module:
    """One parsed file of a service."""

    service: str
    path: Path
    tree: ast.Module


def service_modules(root: Path) -> list[Module]:
    """Every module below services/*/src of a checkout, migrations left out."""
    paths = sorted(p for p in root.glob("services/*/src/**/*.py") if "migrations" not in p.parts)
    return [Module(p.relative_to(root).parts[1], p.relative_to(root), ast.parse(p.read_text())) for p in paths]


def violations(root: Path) -> list[str]:
    """One line for each place where a service does what no row of `topics.yaml` names it for."""
    return [line for module in service_modules(root) for line in _module(module)]


def built_in(root: Path) -> dict[str, set[Path]]:
    """The modules that build each event class, by class name."""
    found: dict[str, set[Path]] = {}
    for module in service_modules(root):
        for _, name in _built(module):
            found.setdefault(name, set()).add(module.path)
    return found


def badly_named_handlers(root: Path) -> list[str]:
    """Registrations whose handler is not called `on_` and the event's name."""
    lines: list[str] = []
    for module in service_modules(root):
        for call, event in _registered(module):
            wanted = f"on_{re.sub(r'(?<=[a-z0-9])(?=[A-Z])', '_', event).lower()}"
            if len(call.args) < 2 or wanted not in {_name(node) for node in ast.walk(call.args[1])}:
                lines.append(f"{module.path}:{call.lineno}: the handler of {event} should be called {wanted}")
    return lines


def _module(module: Module) -> Iterator[str]:
    for call, name in _registered(module):
        yield from _consumes(module, call, topic_of(BY_CLASS_NAME[name]), name)
    for call, topic in _read_topics(module):
        yield from _consumes(module, call, topic, "records")
    for call, name in _built(module):
        topic = topic_of(BY_CLASS_NAME[name])
        if module.service not in topic.producers:
            yield f"{module.path}:{call.lineno}: {module.service} builds {name}, but may not write {topic.name}"


def _consumes(module: Module, call: ast.Call, topic: Topic, what: str) -> Iterator[str]:
    if module.service not in topic.consumers:
        yield f"{module.path}:{call.lineno}: {module.service} takes {what}, but may not read {topic.name}"


def _calls(module: Module) -> Iterator[ast.Call]:
    return (node for node in ast.walk(module.tree) if isinstance(node, ast.Call))


def _registered(module: Module) -> Iterator[tuple[ast.Call, str]]:
    """`service.on(EventType, …)`. An event class that is not registered in contracts is none of ours."""
    for call in _calls(module):
        if isinstance(call.func, ast.Attribute) and call.func.attr == "on" and call.args:
            name = _name(call.args[0])
            if name in BY_CLASS_NAME:
                yield call, name


def _built(module: Module) -> Iterator[tuple[ast.Call, str]]:
    """`EventType(…)`; a `case EventType():` is no call."""
    for call in _calls(module):
        name = _name(call.func)
        if name in BY_CLASS_NAME:
            yield call, name


def _read_topics(module: Module) -> Iterator[tuple[ast.Call, Topic]]:
    topics = {topic.name: topic for topic in load_topics().topics}
    for call in _calls(module):
        if not isinstance(call.func, ast.Attribute) or not call.args:
            continue
        if call.func.attr == "on_batch" or call.func.attr in READS:
            for name in sorted(_topic_names(module, call.args[0])):
                if name in topics:
                    yield call, topics[name]
                elif call.func.attr == "on_batch":
                    raise AssertionError(f"{module.path}:{call.lineno}: no topic is called {name!r}")


def _topic_names(module: Module, node: ast.expr) -> set[str]:
    """The topics an expression names: literals, `topic_of(X).name`, `read_by("service")`, and names made of these."""
    names: set[str] = set()
    for part in ast.walk(_resolved(module, node)):
        if isinstance(part, ast.Call) and _name(part.func) == "read_by" and isinstance(part.args[0], ast.Constant):
            names |= {topic.name for topic in load_topics().read_by(str(part.args[0].value))}
        elif isinstance(part, ast.Call) and _name(part.func) == "topic_of":
            names.add(topic_of(BY_CLASS_NAME[_name(part.args[0])]).name)
        elif isinstance(part, ast.Name) and part is not node and _assigned(module, part.id) is not None:
            names |= _topic_names(module, part)
    return names | _literals(_resolved(module, node))


def _literals(node: ast.expr) -> set[str]:
    elements = node.elts if isinstance(node, ast.List | ast.Tuple | ast.Set) else [node]
    return {e.value for e in elements if isinstance(e, ast.Constant) and isinstance(e.value, str)}


def _resolved(module: Module, node: ast.expr) -> ast.expr:
    value = _assigned(module, node.id) if isinstance(node, ast.Name) else None
    return node if value is None else value


def _assigned(module: Module, name: str) -> ast.expr | None:
    """The value of a module's constant."""
    for statement in module.tree.body:
        if isinstance(statement, ast.Assign) and name in {_name(target) for target in statement.targets}:
            return statement.value
        if isinstance(statement, ast.AnnAssign) and _name(statement.target) == name:
            return statement.value
    return None


def _name(node: ast.AST) -> str:
    """The last part of a dotted name; empty for anything else."""
    if isinstance(node, ast.Attribute):
        return node.attr
    return node.id if isinstance(node, ast.Name) else ""
