"""A small language for the shapes of requests, checked with messages in the words of the real service.

The pattern of the messages is the one observed in API §5.7: 输入源“/body/…”映射到…字段“…”规则校验失败. The first field
that fails is reported, as the service does.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, assert_never

from reconciler.sandbox import clock
from reconciler.sandbox.api_error import ApiErrorResponse, param_error


@dataclass(frozen=True, slots=True)
class Text:
    """Length in characters, not bytes (API §1.1). ``charset`` must match the whole text."""

    label: str
    least: int = 1
    most: int = 32
    charset: str = ""
    choices: tuple[str, ...] = ()
    required: bool = True


@dataclass(frozen=True, slots=True)
class Time:
    """RFC 3339, at most 32 characters."""

    label: str
    required: bool = True


@dataclass(frozen=True, slots=True)
class Number:
    """A whole number within bounds."""

    label: str
    least: int
    most: int
    required: bool = True


@dataclass(frozen=True, slots=True)
class Flag:
    """True or false."""

    label: str
    required: bool = False


@dataclass(frozen=True, slots=True)
class List:
    """``least`` to ``most`` of ``item``."""

    label: str
    item: Field
    least: int = 1
    most: int = 500
    required: bool = True


@dataclass(frozen=True, slots=True)
class Object:
    """``open`` objects may hold fields that are not named here."""

    label: str
    fields: Mapping[str, Field] = field(default_factory=dict)
    open: bool = False
    required: bool = True


Field = Text | Time | Number | Flag | List | Object

_NOT_A: Final = "无法将 JSON 输入源“{}”映射到目标字段“{}”中,此字段需要一个合法的{}"
_FAILS: Final = "输入源“{}”映射到{}字段“{}”规则校验失败,{}"


def check(value: Any, shape: Field, pointer: str, *, closed: bool = True) -> None:
    """Raise a PARAM_ERROR naming ``pointer`` if ``value`` is not of ``shape``.

    ``closed`` refuses unknown fields, except in open objects.
    """
    match shape:
        case Text():
            _check_text(value, shape, pointer)
        case Time():
            _check_time(value, shape, pointer)
        case Number():
            _check_number(value, shape, pointer)
        case Flag():
            if not isinstance(value, bool):
                raise _not_a("布尔值", shape, pointer, value)
        case List():
            _check_list(value, shape, pointer, closed)
        case Object():
            _check_object(value, shape, pointer, closed)
        case _:
            assert_never(shape)


def fails(kind: str, label: str, pointer: str, reason: str, value: Any = None) -> ApiErrorResponse:
    """The PARAM_ERROR of a field that has its type and breaks a rule."""
    return param_error(_FAILS.format(pointer, kind, label, reason), pointer, value)


def missing(label: str, pointer: str) -> ApiErrorResponse:
    """The PARAM_ERROR of a required field that is not there."""
    return param_error(_FAILS.format(pointer, "", label, "此字段为必填项"), pointer)


def _not_a(wanted: str, shape: Field, pointer: str, value: Any) -> ApiErrorResponse:
    return param_error(_NOT_A.format(pointer, shape.label, wanted), pointer, value)


def _outside(count: int, least: int, most: int) -> str:
    if count < least:
        return f"{count}，小于最小值 {least}"
    return f"{count}，大于最大值 {most}" if count > most else ""


def _check_text(value: Any, shape: Text, pointer: str) -> None:
    if not isinstance(value, str):
        raise _not_a("字符串", shape, pointer, value)
    if reason := _outside(len(value), shape.least, shape.most):
        raise fails("字符串", shape.label, pointer, f"字符数 {reason}", value)
    if shape.choices and value not in shape.choices:
        raise fails("枚举", shape.label, pointer, f"应为 {' '.join(shape.choices)} 之一", value)
    if shape.charset and re.fullmatch(shape.charset, value) is None:
        raise fails("字符串", shape.label, pointer, "含有不合法的字符或格式不正确", value)


def _check_time(value: Any, shape: Time, pointer: str) -> None:
    _check_text(value, Text(shape.label, most=32), pointer)
    try:
        clock.parse(value)
    except ValueError:
        raise fails("时间", shape.label, pointer, "不符合 RFC 3339 格式", value) from None


def _check_number(value: Any, shape: Number, pointer: str) -> None:
    if not isinstance(value, int) or isinstance(value, bool):
        raise _not_a(" 64 位有符号整数", shape, pointer, value)
    if value < shape.least:
        raise fails("数值", shape.label, pointer, f"值低于最小值 {shape.least}", value)
    if value > shape.most:
        raise fails("数值", shape.label, pointer, f"值高于最大值 {shape.most}", value)


def _check_list(value: Any, shape: List, pointer: str, closed: bool) -> None:
    if not isinstance(value, list):
        raise _not_a("数组", shape, pointer, value)
    if reason := _outside(len(value), shape.least, shape.most):
        raise fails("数组", shape.label, pointer, f"元素个数 {reason}")
    for index, item in enumerate(value):
        check(item, shape.item, f"{pointer}/{index}", closed=closed)


def _check_object(value: Any, shape: Object, pointer: str, closed: bool) -> None:
    if not isinstance(value, dict):
        raise _not_a("对象", shape, pointer, value)
    for name, inner in shape.fields.items():
        if name in value:
            check(value[name], inner, f"{pointer}/{name}", closed=closed)
        elif inner.required:
            raise missing(inner.label, f"{pointer}/{name}")
    if closed and not shape.open and (unknown := sorted(value.keys() - shape.fields.keys())):
        raise param_error("请求中含有未在API文档中定义的参数", f"{pointer}/{unknown[0]}")
