"""Random spaces as the JSON of a study, and what they mean, worked out without the product's code for it."""

from __future__ import annotations

import itertools

from hypothesis import strategies as st

from hpo_pipe.space import Space

UNIT = st.floats(0, 1)
NAMES = ("a", "b", "c", "d", "e", "f")


@st.composite
def floats(draw, countable):
    scale = draw(st.sampled_from(["linear", "log", "reverse-log", "logit"]))
    low = draw(st.sampled_from([0.001, 0.1, 0.25]))
    high = draw(st.sampled_from([0.5, 0.9, 0.999]))
    stepped = scale in ("linear", "log") and (countable or draw(st.booleans()))
    if countable or stepped:
        return {"type": "float", "min": 0.1, "max": high, "step": 0.15, "log": draw(st.booleans())}
    if scale == "linear":
        low, high = draw(st.sampled_from([(-1e6, 3.0), (0.1, 0.7), (1e5, 1e5 + 1), (-1.0, 1.0)]))
    return {"type": "float", "min": low, "max": high, "scale": scale}


@st.composite
def integers(draw, countable):
    low, log = draw(st.integers(1, 9)), draw(st.booleans())
    step = draw(st.integers(1, 2 * low - 1 if log else 4))
    width = draw(st.integers(0, 12 if countable else 10**5))
    return {"type": "int", "min": low, "max": low + width, "log": log, "step": step}


VALUES = st.lists(
    st.sampled_from([1, 1.0, True, False, "x", "y", None, [1, 2], 2.5, 7]),
    min_size=1,
    max_size=4,
    unique_by=repr,
)
LISTED = st.builds(
    lambda kind, values: {"type": kind, "values": values}, st.sampled_from(["categorical", "ordinal"]), VALUES
)
OTHERS = st.sampled_from(
    [{"type": "bool"}, {"type": "constant", "value": 3}, {"type": "ordinal", "values": [4, 2, 9]}]
)


@st.composite
def conditions(draw, items, most=2):
    """A clause on some of `items`, of values and ranges that they can take."""
    clause = {}
    for item in draw(
        st.lists(st.sampled_from(items), min_size=1, max_size=most, unique_by=lambda i: i["name"])
    ):
        (parameter,) = Space.from_json([item]).parameters
        values = [parameter.decode(draw(UNIT)) for _ in range(draw(st.integers(1, 3)))]
        numbers = all(
            isinstance(v, int | float) and not isinstance(v, bool) for v in item.get("values", values)
        )
        if item["type"] == "bool":
            numbers = False
        if numbers and (parameter.size is None or draw(st.booleans())):
            bounds = {"min": min(values), "max": max(values)}
            clause[item["name"]] = {
                n: bounds[n] for n in draw(st.sampled_from([("min",), ("max",), ("min", "max")]))
            }
        else:
            clause[item["name"]] = values
    return clause


@st.composite
def priors(draw, item):
    (parameter,) = Space.from_json([item]).parameters
    if item["type"] == "constant" or draw(st.booleans()):
        return {}
    if item["type"] in ("bool", "categorical", "ordinal") and draw(st.booleans()):
        weight = st.floats(0.01, 10)
        return {"probabilities": draw(st.lists(weight, min_size=parameter.size, max_size=parameter.size))}
    confidence = draw(st.sampled_from(["low", "medium", "high"]) | st.floats(0.01, 0.999))
    return {"prior": {"value": parameter.decode(draw(UNIT)), "confidence": confidence}}


@st.composite
def spaces(draw, countable=False, with_priors=True):
    """Return (space, its JSON, its constraints): parents may stand behind their children."""
    items = []
    for name in NAMES[: draw(st.integers(1, len(NAMES)))]:
        item = {"name": name, **draw(st.one_of(floats(countable), integers(countable), LISTED, OTHERS))}
        if items and draw(st.booleans()):
            item["when"] = draw(conditions([{k: v for k, v in i.items() if k != "when"} for i in items]))
        if with_priors:
            item |= draw(priors({k: v for k, v in item.items() if k != "when"}))
        items.append(item)
    bare = [{k: v for k, v in item.items() if k not in ("when", "prior", "probabilities")} for item in items]
    constraints = {"forbidden": draw(st.lists(conditions(bare, 3), max_size=3))}
    items = draw(st.permutations(items))
    return Space.from_json(items, constraints=constraints), items, constraints


def holds(condition, value):
    """Tell whether a condition of the JSON holds for a value."""
    if isinstance(condition, dict):
        return condition.get("min", value) <= value <= condition.get("max", value)
    wanted = condition if isinstance(condition, list) else [condition]
    return any(type(one) is type(value) and one == value for one in wanted)


def meant(items, values):
    """Return the active ones of `values`, a value for every parameter, by asking for parents again and again."""
    by_name = {item["name"]: item for item in items}

    def is_active(name):
        clause = by_name[name].get("when", {})
        return all(
            is_active(parent) and holds(condition, values[parent]) for parent, condition in clause.items()
        )

    return {item["name"]: values[item["name"]] for item in items if is_active(item["name"])}


def is_forbidden(constraints, active):
    """Tell whether a combination of the constraints holds for a configuration."""
    return any(
        all(name in active and holds(condition, active[name]) for name, condition in clause.items())
        for clause in constraints["forbidden"]
    )


def all_meant(space, items, constraints, listed):
    """Return the different allowed configurations of a countable space as identities; `listed` are the values."""
    found = set()
    for combination in itertools.product(*listed):
        active = meant(items, dict(zip(space.names, combination, strict=True)))
        if not is_forbidden(constraints, active):
            found.add(space.identity(active))
    return found
