"""The CloudFormation template, read, and worked out for given parameters as CloudFormation would."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import yaml

TEMPLATE = Path(__file__).parents[2] / "infra" / "cloudformation" / "hpo-pipe.yaml"
ACCOUNT, REGION = "111122223333", "eu-west-1"
PSEUDO = {
    "AWS::AccountId": ACCOUNT,
    "AWS::Partition": "aws",
    "AWS::Region": REGION,
    "AWS::StackName": "hpo-first",
    "AWS::URLSuffix": "amazonaws.com",
}
GIVEN = {
    "BucketName": "team-bucket",
    "Study": "studies/first",
    "StudyName": "first",
    "SubnetIds": "subnet-1,subnet-2",
    "SecurityGroupIds": "sg-1",
}
COORDINATOR = {"CoordinatorImage": f"{ACCOUNT}.dkr.ecr.{REGION}.amazonaws.com/coordinator:1"}
WORKER = {"WorkerImage": f"{ACCOUNT}.dkr.ecr.{REGION}.amazonaws.com/worker:1"}
ABSENT = object()


class _Loader(yaml.SafeLoader):
    """YAML with CloudFormation's short forms, as their long forms."""


def _long(loader: yaml.SafeLoader, suffix: str, node: yaml.Node) -> dict[str, Any]:
    if isinstance(node, yaml.ScalarNode):
        value: Any = loader.construct_scalar(node)
    elif isinstance(node, yaml.SequenceNode):
        value = loader.construct_sequence(node, deep=True)
    else:
        value = loader.construct_mapping(node, deep=True)  # type: ignore[arg-type]
    if suffix == "GetAtt":
        value = value.split(".")
    return {suffix if suffix in ("Ref", "Condition") else f"Fn::{suffix}": value}


_Loader.add_multi_constructor("!", _long)


def template() -> dict[str, Any]:
    """Return the template as it is written."""
    read: dict[str, Any] = yaml.load(TEMPLATE.read_text("utf-8"), _Loader)
    return read


class Stack:
    """The resources that the template makes with these parameters; what only AWS knows is ``<Resource.Attribute>``."""

    def __init__(self, **parameters: str) -> None:
        self._template = template()
        self._parameters = {
            **{
                name: self._typed(name, str(made["Default"]))
                for name, made in self._declared()
                if "Default" in made
            },
            **{name: self._typed(name, value) for name, value in (GIVEN | parameters).items()},
        }
        self.resources = {
            name: {key: self._value(value) for key, value in made.items() if key != "Condition"}
            for name, made in self._template["Resources"].items()
            if self._holds(made.get("Condition"))
        }

    def __getitem__(self, name: str) -> dict[str, Any]:
        """Return a resource's properties."""
        properties: dict[str, Any] = self.resources[name]["Properties"]
        return properties

    def __contains__(self, name: str) -> bool:
        return name in self.resources

    def document(self, name: str) -> dict[str, Any]:
        """Return the policy document of a resource."""
        found: dict[str, Any] = self[name]["PolicyDocument"]
        return found

    def _declared(self) -> Any:
        return self._template["Parameters"].items()

    def _typed(self, name: str, value: str) -> Any:
        kind = self._template["Parameters"][name]["Type"]
        return value.split(",") if "List" in kind else value

    def _holds(self, condition: str | None) -> bool:
        return condition is None or bool(self._value(self._template["Conditions"][condition]))

    def _value(self, value: Any) -> Any:
        if isinstance(value, list):
            return [made for each in value if (made := self._value(each)) is not ABSENT]
        if not isinstance(value, dict):
            return value
        if len(value) == 1:
            ((name, said),) = value.items()
            if name in ("Ref", "Condition") or name.startswith("Fn::"):
                return self._function(name, said)
        return {key: made for key, each in value.items() if (made := self._value(each)) is not ABSENT}

    def _function(self, name: str, said: Any) -> Any:
        match name:
            case "Ref":
                return self._ref(said)
            case "Condition":
                return self._holds(said)
            case "Fn::GetAtt":
                return f"<{'.'.join(said)}>"
            case "Fn::Sub":
                return re.sub(r"\$\{([A-Za-z:.]+)\}", lambda found: str(self._named(found[1])), said)
            case "Fn::If":
                return self._value(said[1] if self._holds(said[0]) else said[2])
            case "Fn::Not":
                return not self._value(said[0])
            case "Fn::And":
                return all(map(self._value, said))
            case "Fn::Equals":
                left, right = map(self._value, said)
                return str(left) == str(right)
            case "Fn::Join":
                return said[0].join(self._value(said[1]))
            case "Fn::Base64":
                return self._value(said)
        raise AssertionError(f"no {name} was used so far")

    def _named(self, name: str) -> Any:
        return f"<{name}>" if "." in name and "::" not in name else self._ref(name)

    def _ref(self, name: str) -> Any:
        if name == "AWS::NoValue":
            return ABSENT
        if name in PSEUDO:
            return PSEUDO[name]
        if name in self._parameters:
            return self._parameters[name]
        assert name in self._template["Resources"], name
        return f"<{name}>"
