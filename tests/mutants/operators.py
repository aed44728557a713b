"""Find the mutants of a module: small changes of its code that a test should notice.

Comparisons, boolean and arithmetic operators, numbers and booleans, returned values, conditions and
filters change; statements vanish. Text, annotations, decorators, assertions, class arguments and
the patterns of `match` stay as they are.
"""

from __future__ import annotations

import ast
import copy
import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

_COMPARED: Final[dict[type[ast.cmpop], type[ast.cmpop]]] = {
    ast.Lt: ast.LtE,
    ast.LtE: ast.Lt,
    ast.Gt: ast.GtE,
    ast.GtE: ast.Gt,
    ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq,
    ast.Is: ast.IsNot,
    ast.IsNot: ast.Is,
    ast.In: ast.NotIn,
    ast.NotIn: ast.In,
}
_NEGATED: Final = (ast.Eq, ast.NotEq, ast.Is, ast.IsNot, ast.In, ast.NotIn)  # by the swap above
_COMPUTED: Final[dict[type[ast.operator], type[ast.operator]]] = {
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.Div,
    ast.Div: ast.Mult,
    ast.FloorDiv: ast.Mult,
    ast.Mod: ast.Mult,
    ast.Pow: ast.Mult,
    ast.BitOr: ast.BitAnd,
    ast.BitAnd: ast.BitOr,
}
_CALLED: Final = {"min": "max", "max": "min", "any": "all", "all": "any", "sorted": "list"}


@dataclass(frozen=True)
class Mutant:
    """A change of one place in a file: bytes `start` to `end` of it become `becomes`."""

    path: str
    line: int
    lines: range  # of the statement, or of its head
    start: int
    end: int
    was: str
    becomes: str
    within: str  # the functions and classes around it
    function: tuple[str, ...]  # the outermost function, by its classes; (): it runs at import
    number: int  # among the equal ones within

    def apply(self, source: bytes) -> bytes:
        return source[: self.start] + self.becomes.encode() + source[self.end :]

    def rank(self, seed: int) -> str:
        """The order of a sample. An edit elsewhere in the file does not change it."""
        key = (seed, self.path, self.within, self.was, self.becomes, self.number)
        return hashlib.sha256(repr(key).encode()).hexdigest()

    def __str__(self) -> str:
        was, becomes = (" ".join(text.split()) for text in (self.was, self.becomes))
        return f"{self.path}:{self.line}: {was}  ->  {becomes}"


def mutants_of(path: str, source: bytes) -> list[Mutant]:
    """All mutants of a module, in the order of its lines."""
    finder = _Finder(path, source)
    finder.visit(ast.parse(source))
    return sorted(finder.found, key=lambda found: (found.start, found.end, found.becomes))


class _Finder(ast.NodeVisitor):
    def __init__(self, path: str, source: bytes) -> None:
        self.found: list[Mutant] = []
        self._path, self._source = path, source
        self._starts = [0]
        for line in source.splitlines(keepends=True):
            self._starts.append(self._starts[-1] + len(line))
        self._within: list[str] = []
        self._function: tuple[str, ...] = ()
        self._lines = range(0)
        self._seen: dict[tuple[str, str, str], int] = {}

    def visit(self, node: ast.AST) -> None:
        if isinstance(node, ast.stmt):
            body = getattr(node, "body", None)
            last = body[0].lineno - 1 if body else node.end_lineno
            self._lines = range(node.lineno, max(node.lineno, last or node.lineno) + 1)
        if isinstance(node, ast.expr | ast.stmt):
            for old, new in _changes(node):
                self._add(old, new)
        super().visit(node)

    def generic_visit(self, node: ast.AST) -> None:
        for name, value in ast.iter_fields(node):
            if name in ("annotation", "returns", "decorator_list", "bases", "keywords") and (
                name == "annotation" or isinstance(node, ast.ClassDef | ast.FunctionDef)
            ):
                continue
            for child in value if isinstance(value, list) else [value]:
                if isinstance(child, ast.AST):
                    lines = self._lines
                    self.visit(child)
                    if not isinstance(child, ast.stmt):
                        self._lines = lines

    def visit_FunctionDef(self, node: ast.FunctionDef) -> None:
        self._within.append(node.name)
        for default in (*node.args.defaults, *node.args.kw_defaults):
            if default is not None:
                self.visit(default)
        outer, self._function = self._function, self._function or tuple(self._within)
        for statement in node.body:
            self.visit(statement)
        self._function = outer
        self._within.pop()

    def visit_ClassDef(self, node: ast.ClassDef) -> None:
        self._within.append(node.name)
        self.generic_visit(node)
        self._within.pop()

    def visit_If(self, node: ast.If) -> None:
        if ast.unparse(node.test) != "TYPE_CHECKING":
            self.generic_visit(node)

    def _leave(self, node: ast.AST) -> None:
        """Nothing in it is changed. Places inside an f-string are not known before Python 3.12."""

    visit_JoinedStr = visit_Assert = visit_MatchValue = visit_MatchClass = _leave

    def _add(self, old: ast.expr | ast.stmt, new: ast.AST | None) -> None:
        start = self._starts[old.lineno - 1] + old.col_offset
        end = self._starts[(old.end_lineno or 0) - 1] + (old.end_col_offset or 0)
        was = self._source[start:end].decode()
        becomes = "pass" if new is None else ast.unparse(new)
        if isinstance(new, ast.expr) and not isinstance(new, ast.Constant | ast.Name):
            becomes = f"({becomes})"
        within = ".".join(self._within)
        number = self._seen.get((within, was, becomes), 0)
        self._seen[within, was, becomes] = number + 1
        mutant = Mutant(
            self._path,
            old.lineno,
            self._lines,
            start,
            end,
            was,
            becomes,
            within,
            self._function,
            number,
        )
        self.found.append(mutant)


def _changes(node: ast.expr | ast.stmt) -> Iterator[tuple[ast.expr | ast.stmt, ast.AST | None]]:
    """What to replace, and by what; None removes a statement."""
    match node:
        case ast.Compare():
            for number, op in enumerate(node.ops):
                made = copy.deepcopy(node)
                made.ops[number] = _COMPARED[type(op)]()
                yield node, made
        case ast.BoolOp():
            made_bool = copy.deepcopy(node)
            made_bool.op = ast.Or() if isinstance(node.op, ast.And) else ast.And()
            yield node, made_bool
            for dropped in node.values:
                left = [value for value in node.values if value is not dropped]
                yield node, left[0] if len(left) == 1 else ast.BoolOp(node.op, left)
        case ast.UnaryOp(op=ast.Not() | ast.USub()):
            yield node, node.operand
        case ast.BinOp() if type(node.op) in _COMPUTED:
            yield node, ast.BinOp(node.left, _COMPUTED[type(node.op)](), node.right)
        case ast.Constant(value=bool() as truth):
            yield node, ast.Constant(not truth)
        case ast.Constant(value=int() | float() as number):
            yield node, ast.Constant(number + 1)
        case ast.Call(func=ast.Name(id=name)) if name in _CALLED:
            yield node.func, ast.Name(_CALLED[name])
        case ast.IfExp(test=test) | ast.If(test=test) | ast.While(test=test):
            if not _negated_already(test):
                yield test, ast.UnaryOp(ast.Not(), test)
        case ast.ListComp() | ast.SetComp() | ast.DictComp() | ast.GeneratorExp():
            for part in node.generators:
                for test in part.ifs:
                    yield test, ast.Constant(True)
        case ast.Return(value=ast.expr() as value) if not isinstance(value, ast.Constant):
            yield value, ast.Constant(None)
        case ast.Expr(value=ast.Call() | ast.Yield() | ast.YieldFrom()):
            yield node, None
        case ast.Assign(targets=[ast.Attribute() | ast.Subscript()]):
            yield node, None
        case ast.AugAssign():
            yield node, None
            if type(node.op) in _COMPUTED:
                swapped = copy.deepcopy(node)
                swapped.op = _COMPUTED[type(node.op)]()
                yield node, swapped
        case ast.Raise() | ast.Delete():
            yield node, None
        case ast.Continue():
            yield node, ast.Break()
        case ast.Break():
            yield node, ast.Continue()


def _negated_already(test: ast.expr) -> bool:
    """Whether another change already makes the opposite of a condition."""
    match test:
        case ast.Constant() | ast.UnaryOp(op=ast.Not()):
            return True
        case ast.Compare(ops=[op]):
            return isinstance(op, _NEGATED)
    return False
