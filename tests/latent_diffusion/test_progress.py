"""Progress bars of sampling, and who watches them."""

from __future__ import annotations

from latent_diffusion.progress import progress, watching


def test_a_watcher_learns_of_every_state_that_is_done():
    seen, batches = [], [range(2), range(2, 4), range(4, 5)]
    with watching(lambda *what: seen.append(what)):
        for batch in progress(batches, "drawing", total=3, states=len, shown=False):
            assert not seen or seen[-1][1] == batch.start, "not before it is done"
    assert seen == [("drawing", 2), ("drawing", 4), ("drawing", 5)]


def test_nobody_watches_afterwards():
    seen = []
    with watching(lambda *what: seen.append(what)):
        pass
    assert list(progress("ab", "drawing", total=2, shown=False)) == ["a", "b"]
    assert seen == []
