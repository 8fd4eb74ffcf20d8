"""Reading federation.yaml: every problem at once, each with its line, and never a traceback."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from infra.errors import InvalidFederation
from infra.federation.load import load, load_federation

CHECKOUT = Path(__file__).parents[3]
EXAMPLE = (CHECKOUT / "federation.yaml").read_text("utf-8")


def test_the_example_loads_and_there_is_nothing_to_say_about_it():
    loaded = load(CHECKOUT / "federation.yaml")
    assert [site.id for site in loaded.federation.participants] == ["hospital-a", "hospital-b"]
    assert loaded.notices == ()


def test_all_problems_of_a_file_come_at_once_each_with_its_line(tmp_path):
    file = tmp_path / "federation.yaml"
    file.write_text(
        """\
name: Eicu Federation
region: us-east-1
images: {us-east-1: ami-0fed0000000000001}
aggregator:
  account: 012345670123
  profile: aggregator
  cidr: 10.30.0.0/16
  instance_typ: g4dn.xlarge
participants:
  - id: hospital-a
    account: "111111111111"
    profile: hospital-a
    cidr: 10.30.0.0/16
    instance_type: g4dn.xlrge
  - id: hospital-a
    account: "222222222222"
    cidr: 10.20.1.0/16
training:
  model: logistc_regression
  rounds: 0
policy: {quorum: 9}
"""
    )
    with pytest.raises(InvalidFederation) as caught:
        load_federation(file)
    places = [re.sub(r"^.*federation\.yaml:", "", problem.where) for problem in caught.value.problems]
    assert places == [
        "1  name",
        "5  aggregator.account",
        "8  aggregator.instance_typ",
        "13  participants[0].cidr",
        "14  participants[0].instance_type",
        "15  participants[1].id",
        "15  participants[1].profile",
        "17  participants[1].cidr",
        "19  training.model",
        "20  training.rounds",
        "21  policy.quorum",
    ]


def test_a_problem_says_what_was_found_what_is_allowed_and_what_to_do(problems, data):
    data["participants"][1]["cidr"] = "10.10.0.0/16"
    problem = problems(data)["participants[1].cidr"]
    assert problem.found == "10.10.0.0/16 overlaps hospital-a (10.10.0.0/16)."
    assert "do not overlap" in problem.allowed
    assert problem.remedy == "Free here: 10.11.0.0/16."


def test_the_path_in_a_message_is_the_path_that_was_given(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("other.yaml").write_text("name: eicu\n")
    with pytest.raises(InvalidFederation, match=r"^other\.yaml:1  region: is missing\."):
        load_federation(Path("other.yaml"))


def test_a_check_that_rests_on_a_wrong_value_is_not_believed(problems, data):
    """Both accounts are wrong in the same way; that they are equal means nothing then."""
    for site in data["participants"]:
        site["account"] = "1234"
    assert list(problems(data)) == ["participants[0].account", "participants[1].account"]


def test_negative_control_equal_accounts_that_are_right_are_a_problem(problems, data):
    for site in data["participants"]:
        site["account"] = "123412341234"
    assert list(problems(data)) == ["participants[1].account"]


@pytest.mark.parametrize(
    ("content", "line", "words"),
    [
        ("name: eicu\nregion: [us-east-1\n", 3, "expected"),
        ("name: eicu\n\tregion: us-east-1\n", 2, "cannot start any token"),
        ("name: eicu\n---\nname: other\n", 2, "single document|another document"),
        ("name: eicu\nregion: us-east-1\nname: other\n", 3, "second time, after line 1"),
        ("name: !!python/object:os.system {}\n", 1, "constructor"),
        ("name: &a [*a]\n", 1, "contains itself|undefined alias"),
        ("name: eicu\nregion: 2026-13-45\n", 2, "2026-13-45 cannot be read: month must be in 1"),
        ("? [a, b]\n: 1\n", 1, "a key that is a list"),
        ("name: ei\x07cu\n", 1, "special characters"),
        ("", 1, "empty"),
        ("# nothing but a comment\n", 1, "empty"),
        ("- a\n- b\n", 1, "not a mapping"),
        ("just text\n", 1, "not a mapping"),
    ],
)
def test_text_that_is_no_federation_is_refused_with_its_line(tmp_path, content, line, words):
    file = tmp_path / "federation.yaml"
    file.write_text(content)
    with pytest.raises(InvalidFederation) as caught:
        load_federation(file)
    found = {problem.where.partition("  ")[0]: str(problem) for problem in caught.value.problems}
    assert re.search(words, found[f"{file}:{line}"]), found


def test_a_key_that_stands_twice_does_not_hide_the_other_problems(problems):
    found = problems(EXAMPLE.replace("  epochs: 1\n", "  epochs: 1\n  rounds: 7\n  seeds: 3\n"))
    assert set(found) == {"training.rounds", "training.seeds"}


def test_a_few_lines_of_aliases_cannot_fill_the_memory(tmp_path):
    file = tmp_path / "federation.yaml"
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 9)]
    file.write_text("\n".join(lines))
    with pytest.raises(InvalidFederation, match="more than 100000 values"):
        load_federation(file)


def test_anchors_and_merge_keys_may_be_used(tmp_path):
    file = tmp_path / "federation.yaml"
    text = EXAMPLE.replace("  - id: hospital-a\n", "  - &site\n    id: hospital-a\n    volume_gib: 200\n")
    file.write_text(text.replace("  - id: hospital-b\n", "  - <<: *site\n    id: hospital-b\n"))
    assert [site.volume_gib for site in load_federation(file).participants] == [200, 200]


def test_a_missing_file_a_folder_and_bytes_that_are_not_utf8_are_named(tmp_path):
    with pytest.raises(InvalidFederation, match=r"nowhere\.yaml: there is no such file"):
        load_federation(tmp_path / "nowhere.yaml")
    with pytest.raises(InvalidFederation, match="is a folder"):
        load_federation(tmp_path)
    latin = tmp_path / "latin.yaml"
    latin.write_bytes("name: eicu\n# Universitätsklinikum\n".encode("latin-1"))
    with pytest.raises(InvalidFederation, match=r"latin\.yaml:2: is not UTF-8"):
        load_federation(latin)


def test_a_byte_order_mark_does_no_harm(tmp_path):
    file = tmp_path / "federation.yaml"
    file.write_bytes(b"\xef\xbb\xbf" + EXAMPLE.encode())
    assert load_federation(file).name == "eicu"


def test_a_merged_value_is_found_where_it_is_written_and_an_own_one_where_that_is(problems, tmp_path):
    text = EXAMPLE.replace("  - id: hospital-a\n", "  - &site\n    id: hospital-a\n    port: 1\n")
    text = text.replace("  - id: hospital-b\n", "  - id: hospital-b\n    cidr: 8.8.0.0/16\n    <<: *site\n")
    text = text.replace("    cidr: 10.20.0.0/16\n", "")
    line = {content.strip(): number for number, content in enumerate(text.splitlines(), start=1)}
    found = {place: problem.where.partition("  ")[0] for place, problem in problems(text).items()}
    file = tmp_path / "federation.yaml"
    assert found == {
        "participants[0].port": f"{file}:{line['port: 1']}",
        "participants[1].port": f"{file}:{line['port: 1']}",
        "participants[1].cidr": f"{file}:{line['cidr: 8.8.0.0/16']}",
    }


@pytest.mark.parametrize("value", ["!!timestamp x", "!!bool x", "!!int ''", "!!float y", "2026-02-30"])
def test_a_value_that_is_not_what_its_form_says_is_named_with_its_line(problems, value):
    (problem,) = problems(EXAMPLE.replace("seed: 0", f"seed: {value}")).values()
    assert "cannot be read" in problem.found
    assert problem.allowed == "Put it in quotes."


_SETTINGS = settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)


@_SETTINGS
@given(text=st.text(st.characters(codec="utf-8"), max_size=200))
def test_any_text_loads_or_is_refused_in_words(tmp_path, text):
    _loads_or_is_refused(tmp_path, text)


_SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.dates() | st.text(max_size=20)
_VALUES = st.recursive(
    _SCALARS,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.text(max_size=8) | st.integers() | st.booleans(), inner, max_size=3)
    ),
    max_leaves=5,
)


def _paths(value, path=()):
    yield path
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in items:
        yield from _paths(inner, (*path, key))


_PATHS = [path for path in _paths(yaml.safe_load(EXAMPLE)) if path]
_KEYS = st.sampled_from(["data", "gpu_mapping", "tags", "images", "options", "policy", "tracking", "enable_dp", "x"])


@_SETTINGS
@given(edits=st.lists(st.tuples(st.sampled_from(_PATHS), st.none() | _KEYS, _VALUES), min_size=1, max_size=4))
def test_the_example_with_anything_put_anywhere_loads_or_is_refused_in_words(tmp_path, edits):
    data = yaml.safe_load(EXAMPLE)
    for path, new_key, value in edits:
        holder = data
        for part in path[:-1]:
            holder = holder[part] if isinstance(holder, dict | list) and _has(holder, part) else None
        if isinstance(holder, dict | list) and _has(holder, path[-1]):
            if new_key and isinstance(holder[path[-1]], dict):
                holder[path[-1]][new_key] = value
            else:
                holder[path[-1]] = value
    _loads_or_is_refused(tmp_path, yaml.safe_dump(data, allow_unicode=True))


def _has(holder, part):
    return part in holder if isinstance(holder, dict) else isinstance(part, int) and part < len(holder)


def _loads_or_is_refused(folder, text):
    file = folder / "federation.yaml"
    file.write_text(text, "utf-8", newline="")
    for problem in _problems(file):
        assert problem.where.startswith(str(file))
        assert "pydantic" not in str(problem)
        assert "Input should" not in str(problem)


def _problems(file):
    try:
        load_federation(file)
    except InvalidFederation as invalid:
        return invalid.problems or ["an error without a problem"]
    return ()
