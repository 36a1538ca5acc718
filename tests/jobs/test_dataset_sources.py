"""Sources as named on a command line."""

import pytest

from imitation.data.sources.load import HUB
from imitation.errors import UserError
from imitation.jobs.dataset_sources import presets, sources_of


def test_names_are_their_own():
    paths = ["a/chat.jsonl", "b/chat.parquet", "hub:org/set:config@test", "preset:hc3"]
    found = sources_of(paths, [1, 2, 3, 4], ["w", "x", "y", "z"])
    assert [s.name for s in found] == ["chat", "chat-2", "set:config", "hc3"]
    assert [s.weight for s in found] == [1, 2, 3, 4]
    assert [s.licence for s in found] == ["w", "x", "y", "z"]
    assert found[3].path.startswith(HUB)
    assert found[3].files == "all.jsonl"


@pytest.mark.parametrize("name", presets())
def test_presets_are_complete(name):
    table = presets()[name]
    assert set(table) >= {"path", "licence", "about"}
    assert set(table) <= {"path", "files", "licence", "about"}
    (source,) = sources_of([f"preset:{name}"])
    assert (source.path, source.licence) == (table["path"], table["licence"])
    assert source.path.startswith(HUB)


@pytest.mark.parametrize(
    ("paths", "weights", "message"),
    [
        (["preset:sharegtp"], [], "sharegpt"),
        (["a"], [1, 2], "2 weights for 1 sources"),
        (["a", "b"], [1, -1], "0 or more"),
        (["a"], [float("nan")], "0 or more"),
    ],
)
def test_what_is_refused(paths, weights, message):
    with pytest.raises(UserError, match=message):
        sources_of(paths, weights)
