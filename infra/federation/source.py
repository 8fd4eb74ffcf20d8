"""YAML text with the line of every value, so that a problem can say where it stands."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import yaml

Path = tuple[str | int, ...]

#: A federation of 125 sites has some 3,000 values; aliases can make far more out of a few lines.
_MOST_VALUES = 100_000
_MERGE = "tag:yaml.org,2002:merge"


@dataclass(frozen=True, slots=True)
class Fault:
    """Text that is not one clean YAML document.

    Args:
        line: counted from 1.
        path: the value, or empty where the text cannot be read at all.
    """

    line: int
    path: Path
    found: str
    allowed: str


@dataclass(frozen=True, slots=True)
class Document:
    """What the text says.

    Args:
        data: plain values.
        lines: the line of each value, from 1.
        texts: each single value as it is written, without its quotes.
        plain: the single values that stand without quotes.
    """

    data: Any
    lines: dict[Path, int] = field(default_factory=dict)
    texts: dict[Path, str] = field(default_factory=dict)
    plain: frozenset[Path] = frozenset()
    faults: tuple[Fault, ...] = ()

    def line(self, path: Path) -> int:
        """Return the line of a value, or of what encloses it where the file does not mention it."""
        while path not in self.lines and path:
            path = path[:-1]
        return self.lines.get(path, 1)


def read(text: str) -> Document:
    """Read one YAML document; what is wrong with it is in ``faults``, and then ``data`` is None or incomplete."""
    loader = yaml.SafeLoader("")
    try:
        loader = yaml.SafeLoader(text)
        root = loader.get_single_node()
        if root is None:
            return Document(None)
        walk = _Walk(loader)
        walk.visit(root, (), frozenset())
        data = loader.construct_document(root)
        return Document(data, walk.lines, walk.texts, frozenset(walk.plain), tuple(walk.faults))
    except _Unreadable as unreadable:
        return Document(None, faults=(unreadable.fault,))
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        reason = " ".join(part for part in (error.problem, f"({error.context})" if error.context else "") if part)
        return Document(None, faults=(Fault((mark.line + 1) if mark else 1, (), f"{reason}.", "One YAML document."),))
    except yaml.reader.ReaderError as error:
        line = text[: error.position].count("\n") + 1
        return Document(None, faults=(Fault(line, (), f"{error.reason}.", "Printable characters in UTF-8."),))
    except RecursionError:
        return Document(None, faults=(Fault(1, (), "values are nested too deeply.", "A handful of levels."),))
    finally:
        loader.dispose()


class _Unreadable(Exception):
    def __init__(self, fault: Fault) -> None:
        super().__init__(fault.found)
        self.fault = fault


class _Walk:
    """Collects lines, texts and doubled keys from the tree of YAML nodes."""

    def __init__(self, loader: yaml.SafeLoader) -> None:
        self._loader = loader
        self.lines: dict[Path, int] = {}
        self.texts: dict[Path, str] = {}
        self.plain: set[Path] = set()
        self.faults: list[Fault] = []

    def visit(self, node: yaml.Node, path: Path, above: frozenset[int], line: int | None = None) -> None:
        line = node.start_mark.line + 1 if line is None else line
        if id(node) in above:
            raise _Unreadable(Fault(line, path, "contains itself.", "Values without a circle of aliases."))
        if len(self.lines) > _MOST_VALUES:
            raise _Unreadable(Fault(line, path, f"more than {_MOST_VALUES} values.", "Fewer aliases."))
        self.lines[path] = line
        above = above | {id(node)}
        if isinstance(node, yaml.ScalarNode):
            self._check_scalar(node, path, line)
            self.texts[path] = node.value
            if node.style is None:
                self.plain.add(path)
        elif isinstance(node, yaml.SequenceNode):
            for index, item in enumerate(node.value):
                self.visit(item, (*path, index), above)
        elif isinstance(node, yaml.MappingNode):
            for key, value, key_line in self._items(node, path, above):
                self.visit(value, (*path, key), above, key_line)

    def _check_scalar(self, node: yaml.ScalarNode, path: Path, line: int) -> None:
        try:
            self._loader.construct_object(node)
        except yaml.MarkedYAMLError:
            raise
        except Exception as error:
            # What looks like a date or a number and is none, such as 2026-13-45: PyYAML lets anything through here.
            raise _Unreadable(
                Fault(line, path, f"{node.value} cannot be read: {error}.", "Put it in quotes.")
            ) from None

    def _items(self, node: yaml.MappingNode, path: Path, above: frozenset[int]) -> Iterator[tuple[str, yaml.Node, int]]:
        seen: dict[str, int] = {}
        own_line = self.lines[path]
        # Merged values first: what the mapping says itself counts more, wherever in it the merge stands.
        for key_node, value in sorted(node.value, key=lambda item: item[0].tag != _MERGE):
            line = key_node.start_mark.line + 1
            if not isinstance(key_node, yaml.ScalarNode):
                raise _Unreadable(Fault(line, path, "a key that is a list or a mapping.", "Keys are plain words."))
            if key_node.tag == _MERGE:
                for source in value.value if isinstance(value, yaml.SequenceNode) else [value]:
                    self.visit(source, path, above, line)
                self.lines[path] = own_line
                continue
            key = key_node.value
            self._check_scalar(key_node, (*path, key), line)
            if key in seen:
                self.faults.append(
                    Fault(line, (*path, key), f"stands here a second time, after line {seen[key]}.", "Once.")
                )
            seen[key] = line
            yield key, value, line
