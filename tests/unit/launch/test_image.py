"""`--image` is held to the grammar of references, by one check for all targets."""

import pytest

from hpo_pipe.launch.image import MAX_NAME, check_image, is_image
from hpo_pipe.launch.targets.docker import TARGET as DOCKER
from hpo_pipe.launch.targets.kubernetes import TARGET as KUBERNETES
from storage_schema.errors import UserError
from tests.unit.launch.orders import order

DIGEST = "sha256:" + "0a" * 32


@pytest.mark.parametrize(
    "text",
    [
        *("train", "train:7", "team/train", "train:V7_final-2", "a.b/c", "a__b--c.d/e", f"train@{DIGEST}"),
        *("111122223333.dkr.ecr.eu-west-1.amazonaws.com/train:7", "localhost:5000/x", "[::1]:5000/x"),
        *(f"Registry.Example.COM:443/team/train:7@{DIGEST}", "x" * MAX_NAME),
    ],
)
def test_a_reference(text: str) -> None:
    assert is_image(text)
    check_image(text)


@pytest.mark.parametrize(
    "text",
    [
        *(
            "I/UP",
            "Train",
            "team/Train:7",
            "-x",
            "x-",
            "x/",
            "/x",
            "x//y",
            "a..b",
            "a___b",
            "x:",
            "x:.7",
            "x y",
        ),
        *(
            "x:" + "1" * 129,
            "x@sha256:0a",
            f"x@{DIGEST.upper()}",
            "host:port/x",
            "https://host/x",
            "é",
            "x\n",
        ),
        *("x" * (MAX_NAME + 1), "x/" * 400 + "x"),
    ],
)
def test_no_reference(text: str) -> None:
    assert not is_image(text)
    with pytest.raises(UserError, match=r"^--image is '.*', expected something like ACCOUNT\.dkr"):
        check_image(text)


def test_upper_case_is_named_where_it_is_the_only_mistake() -> None:
    with pytest.raises(UserError, match=r"x:1; a repository is written in lower case$"):
        check_image("I/UP:Tag")
    with pytest.raises(UserError, match=r"x:1$"):
        check_image("I//UP")
    check_image("")


@pytest.mark.parametrize("target", [KUBERNETES, DOCKER])
def test_other_targets_than_those_of_aws_hold_to_it(target: object) -> None:
    with pytest.raises(UserError, match=r"--image is 'I/UP'.*lower case"):
        order(target, {}, image="I/UP")  # type: ignore[arg-type]
