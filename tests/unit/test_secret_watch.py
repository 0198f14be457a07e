"""The watch over secrets sees what it is there for."""

from __future__ import annotations

import pytest

from tests import secret_watch


@pytest.mark.parametrize("text", ["key sk-first-000000000 in use", "Bearer gvl_" + "a" * 43])
def test_secrets_are_seen(text: str) -> None:
    assert secret_watch.find(text) is not None


@pytest.mark.parametrize("text", ["sk-a...wxyz", "gvl_abcd…", "a task-based view", "sk-"])
def test_masks_and_words_are_not(text: str) -> None:
    assert secret_watch.find(text) is None
