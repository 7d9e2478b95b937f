"""A place in the tokens of a filter, and messages that point at it."""

from __future__ import annotations

from collections.abc import Callable
from typing import NoReturn, TypeVar

from burstline.filter import lexer
from burstline.filter.lexer import END, Token
from burstline.filter.problem import FilterError, Refused

T = TypeVar("T")


class Cursor:
    def __init__(self, expression: str) -> None:
        self.expression = expression
        self.tokens = lexer.tokens(expression)
        self.at = 0

    @property
    def token(self) -> Token:
        return self.tokens[self.at]

    def take(self) -> Token:
        self.at += 1
        return self.tokens[self.at - 1]

    def accept(self, *kinds: str) -> Token | None:
        return self.take() if self.token.kind in kinds else None

    def expect(self, kind: str, what: str) -> Token:
        return self.take() if self.token.kind == kind else self.unexpected(what)

    def unexpected(self, what: str) -> NoReturn:
        found = f"{self.token.text!r}" if self.token.kind != END else "the end"
        raise FilterError(self.expression, self.token.column, f"expected {what}, found {found}")

    def meant(self, token: Token, make: Callable[[], T]) -> T:
        """What `make` gives; where it refuses, the message points at the token."""
        try:
            return make()
        except Refused as refused:
            raise FilterError(self.expression, token.column, refused.problem, refused.hint) from None
