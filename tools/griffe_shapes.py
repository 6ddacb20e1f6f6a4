"""Griffe extension: shapes in annotations, such as Float[Array, "2 *batch"], are shown as they stand.

Griffe takes a string in an annotation for an annotation of its own and would show the product of 2 and batch.
"""

import ast
from typing import Any

import griffe


class Shapes(griffe.Extension):
    def on_attribute_instance(self, *, node: Any, attr: griffe.Attribute, **_: Any) -> None:
        if isinstance(node, ast.AnnAssign):
            attr.annotation = _verbatim(node.annotation, attr)
        if isinstance(node, ast.Assign | ast.AnnAssign) and node.value is not None:
            attr.value = _verbatim(node.value, attr)

    def on_function_instance(self, *, node: Any, func: griffe.Function, **_: Any) -> None:
        if not isinstance(node, ast.FunctionDef):
            return
        arguments = node.args
        for argument in (*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs):
            if argument.annotation is not None:
                func.parameters[argument.arg].annotation = _verbatim(argument.annotation, func)
        if node.returns is not None:
            func.returns = _verbatim(node.returns, func)


def _verbatim(node: ast.expr, owner: griffe.Object) -> Any:
    return griffe.get_expression(node, parent=owner.parent, parse_strings=False)
