import json
import os
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from storage_schema.errors import UserError
from workers.command import executable, rendered, value_text

SCALARS = st.one_of(st.booleans(), st.integers(), st.floats(allow_nan=False, allow_infinity=False), st.none())


def test_parameters_are_filled_in_and_braces_escaped() -> None:
    command = ("python", "t.py", "--lr={lr}", "--n", "{n}", "{{x}}", "{model.kind}/{flag}")
    values = {"lr": 1e-05, "n": 3, "model.kind": "a b", "flag": True}
    assert rendered(command, values, {}) == [
        "python", "t.py", "--lr=1e-05", "--n", "3", "{x}", "a b/true",
    ]  # fmt: skip


def test_specials_stand_for_all_parameters() -> None:
    values = {"lr": 0.5, "flag": False}
    assert rendered(("p", "{args}"), values, {}) == ["p", "--lr=0.5", "--flag=false"]
    assert rendered(("p", "{args_no_hyphens}"), values, {}) == ["p", "lr=0.5", "flag=false"]
    assert [json.loads(text) for text in rendered(("{args_json}",), values, {})] == [values]
    assert rendered(("p", "{args}"), {"args": 1}, {}) == ["p", "1"]


@pytest.mark.parametrize(
    ("command", "filled"),
    [
        (("--momentum", "{momentum}", "-x"), ("-x",)),
        (("-m", "{momentum}"), ()),
        (("--momentum={momentum}", "y"), ("y",)),
        (("--pair={lr}/{momentum}",), ()),
        (("-v", "m{momentum}"), ("-v",)),
        (("--", "{momentum}"), ("--",)),
        (("-", "{momentum}"), ("-",)),
        (("--a=1", "{momentum}"), ("--a=1",)),
        (("--{lr}", "{momentum}"), ("--0.5",)),
        (("--momentum", "{momentum}", "{momentum}"), ()),
        (("{args}", "{args_json}"), ("--lr=0.5", '{"lr":0.5}')),
        (("--lr", "{lr}", "{{momentum}}"), ("--lr", "0.5", "{momentum}")),
    ],
)
def test_what_names_an_inactive_parameter_is_left_out(
    command: tuple[str, ...], filled: tuple[str, ...]
) -> None:
    names = ("lr", "momentum")
    assert rendered(("p", *command), {"lr": 0.5}, {}, names) == ["p", *filled]


def test_a_program_is_never_left_out() -> None:
    with pytest.raises(UserError, match="has no value for"):
        rendered(("{momentum}", "x"), {"lr": 0.5}, {}, ("lr", "momentum"))
    assert rendered(("-p", "{momentum}"), {}, {}, ("momentum",)) == ["-p"]


@pytest.mark.parametrize(
    ("template", "message"),
    [
        ("{lrr}", "did you mean 'lr'"),
        ("a{", "lone '{'"),
        ("a}", "lone '}'"),
        ("x{args}", "an argument of its own"),
        ("{}", "names no parameter"),
    ],
)
def test_mistakes_in_a_template_are_named(template: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        rendered(("p", template), {"lr": 1}, {"DATA": "/d"})


def test_variables_of_the_environment_are_filled_in() -> None:
    assert rendered(("p", "--data={envvar:DATA}"), {}, {"DATA": "/d {x}"}) == ["p", "--data=/d {x}"]
    with pytest.raises(UserError, match="DATTA"):
        rendered(("{envvar:DATTA}",), {}, {"DATA": "/d"})


def test_no_argument_holds_a_nul() -> None:
    with pytest.raises(UserError, match="NUL"):
        rendered(("p", "{lr}"), {"lr": "a\0b"}, {})


@settings(deadline=None)
@given(SCALARS)
def test_values_read_back_exactly(value: object) -> None:
    assert json.loads(value_text(value)) == value


@settings(deadline=None)
@given(st.text(st.characters(exclude_characters="\0")))
def test_a_text_is_one_argument_whatever_it_holds(text: str) -> None:
    assert rendered(("p", "{x}", "--x={x}"), {"x": text}, {}) == ["p", text, f"--x={text}"]


def test_programs_are_found_as_a_shell_finds_them(tmp_path: Path) -> None:
    (tmp_path / "bin").mkdir()
    program = tmp_path / "bin" / "prog"
    program.write_text("#!/bin/sh\n")
    with pytest.raises(UserError, match="not found on PATH"):
        executable("prog", {"PATH": "bin"}, tmp_path)
    with pytest.raises(UserError, match="not executable"):
        executable("./bin/prog", {}, tmp_path)
    with pytest.raises(UserError, match="does not exist"):
        executable("./prog", {}, tmp_path)
    program.chmod(0o755)
    assert executable("prog", {"PATH": f"/nowhere{os.pathsep}bin"}, tmp_path) == str(program)
    assert executable("bin/prog", {"PATH": ""}, tmp_path) == str(program)
