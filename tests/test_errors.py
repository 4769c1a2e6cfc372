"""Every error of ondee says what, where and how to mend it: a walk over all ``raise`` statements."""

import ast
import pickle
from pathlib import Path

import pytest

import ondee
from ondee import errors

SOURCE = Path(ondee.__file__).parent
FAMILY = {name for name in errors.__all__ if issubclass(getattr(errors, name), errors.OndeeError)}
# File and class of the exceptions that never reach a person: they are caught, or Python's own machinery asks for them.
INTERNAL = {
    ("__init__.py", "AttributeError"),  # Python's own, for a name that the package does not have
    ("cli/arguments.py", "ValueError"),  # a converter's refusal, which cyclopts tells as wrong use
    ("config.py", "ValueError"),  # a pydantic validator's refusal, told as ConfigError, as in other settings
    ("retriever/edm.py", "ValueError"),
    ("retriever/flow_fast.py", "ValueError"),
    ("retriever/quantile.py", "ValueError"),
    ("run/retrieval.py", "ValueError"),  # what a configuration tells of its predictors, told as ReadError
    ("run/latent.py", "ValueError"),
    ("topographic/coherence.py", "ValueError"),
    ("topographic/settings.py", "ValueError"),
    ("training/session.py", "KeyboardInterrupt"),  # Lightning ends quietly when it is interrupted
    ("training/settings.py", "ValueError"),
    ("validation/configuration.py", "ValueError"),
    ("world/faults.py", "ValueError"),
    ("world/settings.py", "ValueError"),
    ("source/pickles.py", "_RefusedError"),  # told as ReadError, as are the next two
    ("source/npz.py", "ValueError"),
    ("source/npz.py", "EOFError"),
}


def raises():
    for file in sorted(SOURCE.rglob("*.py")):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Raise):
                yield pytest.param(file, node, id=f"{file.relative_to(SOURCE)}:{node.lineno}")


def caught_names(file):
    """Names that ``except … as name`` binds, or that hold an error which was caught before."""
    tree = ast.parse(file.read_text(encoding="utf-8"))
    return {node.name for node in ast.walk(tree) if isinstance(node, ast.ExceptHandler) and node.name} | {"failure"}


@pytest.mark.parametrize(("file", "node"), list(raises()))
def test_every_raise_has_a_fix(file, node):
    raised = node.exc
    if raised is None or (isinstance(raised, ast.Name) and raised.id in caught_names(file)):
        return
    if isinstance(raised, ast.Call) and caught_nearby(file, node):
        return
    called = raised.func if isinstance(raised, ast.Call) else raised
    if isinstance(raised, ast.Call) and isinstance(called, ast.Name) and called.id.startswith("_"):
        returned = [
            found
            for found in ast.walk(ast.parse(file.read_text(encoding="utf-8")))
            if isinstance(found, ast.FunctionDef) and found.name == called.id
        ]
        if returned:
            makes = [made.value for made in ast.walk(returned[0]) if isinstance(made, ast.Return)]
            assert makes and all(isinstance(made, ast.Call) for made in makes), "an error is made somewhere unseen"
            for made in makes:
                check(file, made, ast.unparse(made.func))
            return
    check(file, raised, ast.unparse(called))


def caught_nearby(file, node):
    """Whether the same ``try`` that holds a plain exception turns it into an error with a fix."""
    name = ast.unparse(node.exc.func)
    for block in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(block, ast.Try) and any(
            block.body[0].lineno <= node.lineno <= end.end_lineno for end in block.body[-1:]
        ):
            for handler in block.handlers:
                caught = [] if handler.type is None else getattr(handler.type, "elts", [handler.type])
                raises_again = any(isinstance(n, ast.Raise) for n in ast.walk(handler))
                if {name, "Exception"} & set(map(ast.unparse, caught)) and raises_again:
                    return name not in FAMILY
    return False


def check(file, raised, name):
    if (file.relative_to(SOURCE).as_posix(), name) in INTERNAL:
        return
    assert name in FAMILY, f"raise one of {sorted(FAMILY)}"
    assert isinstance(raised, ast.Call)
    given = {keyword.arg for keyword in raised.keywords}
    assert {"where", "fix"} <= given
    assert raised.args, "say what is wrong"


def test_walk_finds_errors():
    assert len(list(raises())) > 50


@pytest.mark.parametrize("name", sorted(FAMILY))
def test_survives_a_process_border(name):
    error = getattr(errors, name)("rain is in furlongs", where="a.h5", fix="convert it")
    copy = pickle.loads(pickle.dumps(error))
    assert type(copy) is type(error)
    assert str(copy) == str(error) == "error  rain is in furlongs\nwhere  a.h5\nfix    convert it"
