"""A tiny programming language: arithmetic on a, b, c, d with tests that can be run (lessons 32 and 30).

A program is one or more statements, each an expression with at most one operator outside brackets; a statement ends with ``;`` or with the
program, and ``#`` behind either is a comment. Arithmetic is modulo 97. Programs that a model wrote are read by the parser and the
interpreter below and by nothing else: no text is ever handed to Python.

``expressions``  trees as prompts and the programs of an imperfect corpus          ``run_tests``  does it parse, and what share passes?
``prefix`` ``infix`` ``parse`` ``evaluate``  a tree, its texts, its value          ``make_tests`` expected values in environments

Made here, nothing to licence. ``n`` programs, ``V`` = 14 tokens (12 without statements).
"""

import random
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Int
from torch import Tensor

__all__ = [
    "MODULUS",
    "VOCABULARY",
    "Expressions",
    "Test",
    "Tree",
    "encode",
    "environments",
    "evaluate",
    "expressions",
    "infix",
    "make_tests",
    "parse",
    "prefix",
    "random_tree",
    "run_tests",
    "variant",
]

MODULUS = 97
LETTERS, OPERATORS = "abcd", "+-*"
VOCABULARY = ("<end>", "<sep>", "<mask>", *LETTERS, *OPERATORS, "(", ")", ";", "#")
IDS = {token: i for i, token in enumerate(VOCABULARY)}

Tree = str | tuple[str, Any, Any]  # a letter, or (operator, left tree, right tree)
Environment = dict[str, int]


def encode(tokens: list[str]) -> list[int]:
    """Ids of tokens."""
    return [IDS[token] for token in tokens]


# -------------------------------------------------------------------------------------------------------------------------- trees


def random_tree(rng: random.Random, leaves: int) -> Tree:
    """A tree of a random shape; operators * with probability ½, + and − with ¼ each."""
    if leaves == 1:
        return rng.choice(LETTERS)
    left = rng.randint(1, leaves - 1)
    return rng.choice("+-**"), random_tree(rng, left), random_tree(rng, leaves - left)


def variant(tree: Tree, rng: random.Random, bug: float) -> Tree:
    """The tree as a corpus has it: operands of + and * in either order, both right; those of − swapped with probability ``bug``, wrong."""
    if isinstance(tree, str):
        return tree
    operator, left, right = tree[0], variant(tree[1], rng, bug), variant(tree[2], rng, bug)
    swap = rng.random() < (bug if operator == "-" else 0.5)
    return (operator, right, left) if swap else (operator, left, right)


def prefix(tree: Tree) -> list[str]:
    """Operator first: ``- a b``; needs no brackets."""
    return [tree] if isinstance(tree, str) else [tree[0], *prefix(tree[1]), *prefix(tree[2])]


def infix(tree: Tree, *, outer: bool = True) -> list[str]:
    """Operator between, brackets round every operation; the outermost only with ``outer``."""
    if isinstance(tree, str):
        return [tree]
    inside = [*infix(tree[1]), tree[0], *infix(tree[2])]
    return ["(", *inside, ")"] if outer else inside


def evaluate(tree: Tree, environment: Environment) -> int:
    """The value modulo 97."""
    if isinstance(tree, str):
        return environment[tree] % MODULUS
    a, b = evaluate(tree[1], environment), evaluate(tree[2], environment)
    return {"+": a + b, "-": a - b, "*": a * b}[tree[0]] % MODULUS


# ------------------------------------------------------------------------------------------------------------------------- parser


def parse(tokens: list[str]) -> list[Tree]:
    """The statements of a program, ``statement (; statement)* ;?`` with ``statement = operand (operator operand)?``; # may follow both.

    Raises:
        ValueError: it is not a program; the sentence says what stands where something else was expected.
    """
    return _Parser(tokens).program()


class _Parser:
    """Recursive descent with one token of look-ahead."""

    def __init__(self, tokens: list[str]):
        self.tokens, self.at, self.depth = tokens, 0, 0

    @property
    def next(self) -> str:
        return self.tokens[self.at] if self.at < len(self.tokens) else "<end>"

    def take(self, allowed: str) -> str:
        if self.next not in allowed:  # longer tokens such as <sep> are in no such string
            raise ValueError(f"token {self.at} is {self.next}, expected one of {' '.join(allowed)}")
        self.at += 1
        return self.tokens[self.at - 1]

    def program(self) -> list[Tree]:
        statements = [self.statement()]
        while self.at < len(self.tokens):
            self.take(";")
            self.comments()
            if self.at < len(self.tokens):
                statements.append(self.statement())
        return statements

    def statement(self) -> Tree:
        left = self.operand()
        tree: Tree = left if self.next not in tuple(OPERATORS) else (self.take(OPERATORS), left, self.operand())
        self.comments()
        return tree

    def comments(self) -> None:
        while self.next == "#":
            self.take("#")

    def operand(self) -> Tree:
        if self.take(LETTERS + "(") != "(":
            return self.tokens[self.at - 1]
        self.depth += 1
        if self.depth > 50:
            raise ValueError("brackets stand more than 50 deep")
        left, operator, right = self.operand(), self.take(OPERATORS), self.operand()
        self.take(")")
        self.depth -= 1
        return operator, left, right


# -------------------------------------------------------------------------------------------------------------------------- tests


@dataclass(frozen=True)
class Test:
    """In this environment statement number ``statement`` must have the value ``value``."""

    __test__ = False  # not a test of pytest's

    environment: Environment
    statement: int
    value: int


def environments(generator: torch.Generator, n: int) -> list[Environment]:
    """Values of a, b, c, d, uniform in 0 … 96."""
    drawn = torch.randint(MODULUS, (n, len(LETTERS)), generator=generator).tolist()
    return [dict(zip(LETTERS, values, strict=True)) for values in drawn]


def make_tests(trees: list[Tree], where: list[Environment]) -> list[Test]:
    """A test of every statement in every environment."""
    return [Test(environment, i, evaluate(tree, environment)) for environment in where for i, tree in enumerate(trees)]


def run_tests(code: Int[Tensor, "l"] | list[int], target: list[Test]) -> tuple[bool, float]:
    """``(format, share)``: does the code parse, and which share of the tests does it pass? Never raises on any code.

    The code ends at its first end token. What does not parse passes nothing; a test of a statement that is missing fails.
    """
    tokens = [VOCABULARY[int(i)] for i in code]
    try:
        statements = parse(tokens[: tokens.index("<end>")] if "<end>" in tokens else tokens)
    except ValueError:
        return False, 0.0
    passed = sum(t.statement < len(statements) and evaluate(statements[t.statement], t.environment) == t.value for t in target)
    return True, passed / len(target)


# ------------------------------------------------------------------------------------------------------------------------- corpus


@dataclass(frozen=True)
class Expressions:
    """Prompts (the tree in prefix form, filled with <sep>), the corpus's programs (infix, filled with <end>), and the trees."""

    prompts: Int[Tensor, "n p"]
    programs: Int[Tensor, "n l"]
    trees: list[Tree]


def expressions(generator: torch.Generator, n: int, bug: float = 0.5, *, leaves: tuple[int, int] = (3, 4)) -> Expressions:
    """n random trees and for each one program of the corpus, fully bracketed.

    With the default ``leaves`` a prompt has 8 tokens and a program 13, of a vocabulary of 12.

    Args:
        bug: with this probability the operands of a − are the wrong way round.
    """
    rng = random.Random(int(torch.randint(2**62, (), generator=generator)))
    trees = [random_tree(rng, rng.randint(*leaves)) for _ in range(n)]
    long = 2 * leaves[1]
    prompts = [_filled(prefix(tree), long, "<sep>") for tree in trees]
    programs = [_filled(infix(variant(tree, rng, bug)), 2 * long - 3, "<end>") for tree in trees]
    return Expressions(torch.tensor(prompts), torch.tensor(programs), trees)


def _filled(tokens: list[str], length: int, by: str) -> list[int]:
    return encode(tokens + [by] * (length - len(tokens)))
