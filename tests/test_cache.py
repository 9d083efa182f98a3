"""The cache is bounded: what nobody used for longest goes first, and nothing that may be in use."""

import os
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from mcu_quant import cache
from mcu_quant.diagnostics import DiagnosticError

HOUR = 3600.0


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("MCU_QUANT_CACHE", str(tmp_path))
    monkeypatch.setenv("MCU_QUANT_CACHE_MIB", "2")
    own = cache.cache_folder()
    own.mkdir()
    return own


def aged(path, hours, size=2**20 - 1024):
    """A file of so many bytes, used last so many hours ago."""
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(bytes(size))
    used = time.time() - hours * HOUR
    os.utime(path, (used, used))
    return path


def test_the_oldest_go_until_the_rest_is_small_enough(folder):
    oldest, old, newer = aged(folder / "a.so", 30), aged(folder / "qemu" / "b.o", 20), aged(folder / "c.json", 10)
    cache.clean()
    assert [p.exists() for p in (oldest, old, newer)] == [False, True, True]


def test_what_somebody_else_keeps_beside_it_stays(folder):
    others = [aged(folder.parent / "thesis.tex", 3000), aged(folder.parent / "tmpnotes" / "b", 3000)]
    oldest = [aged(folder / f"{i}.so", 40 + i) for i in range(3)]
    cache.clean()
    assert all(p.exists() for p in others)
    assert not all(p.exists() for p in oldest)


def test_what_is_used_again_is_new(folder):
    first, second, third = (aged(folder / f"{i}.so", 30 - i) for i in range(3))
    assert cache.cached(first, lambda made: pytest.fail("it was there")) == first
    cache.clean()
    assert [p.exists() for p in (first, second, third)] == [True, False, True]


def test_what_another_process_may_be_about_to_open_stays(folder):
    fresh = [aged(folder / f"{i}.so", 0.5) for i in range(5)]
    cache.clean()
    assert all(p.exists() for p in fresh)


def test_what_interrupted_runs_left_goes_after_a_day(folder):
    (folder / "tmpfolder").mkdir()
    left = aged(folder / "tmpfolder" / "program", 50, 10)
    aged(folder / "scores" / "tmpfile", 50, 10)
    os.utime(left.parent, (0, 0))
    running = aged(folder / "tmprunning" / "program", 50, 10)  # in a folder that changed just now
    os.utime(running, None)
    cache.clean()
    assert not left.parent.exists() and not (folder / "scores" / "tmpfile").exists()
    assert running.exists()


def test_making_something_new_cleans_once_an_hour(folder):
    old = [aged(folder / f"{i}.so", 30 - i) for i in range(4)]
    cache.cached(folder / "new.so", lambda made: made.write_bytes(bytes(2**20)))
    assert [p.exists() for p in old] == [False, False, False, True]  # the new one takes its bytes, too
    again = [aged(folder / f"again{i}.so", 40) for i in range(4)]
    cache.write(folder / "more.json", "{}")
    assert all(p.exists() for p in again)
    os.utime(folder / "cleaned", (0, 0))
    cache.write(folder / "more.json", "{}")
    assert not any(p.exists() for p in again[:3])


def test_what_cannot_be_made_leaves_nothing(folder):
    def fail(made):
        made.write_bytes(b"half")
        raise ValueError

    with pytest.raises(ValueError):
        cache.cached(folder / "sub" / "a.so", fail)
    assert not list((folder / "sub").iterdir())


def test_a_limit_that_is_no_number_is_refused(monkeypatch):
    monkeypatch.setenv("MCU_QUANT_CACHE_MIB", "1G")
    with pytest.raises(DiagnosticError, match="MCU_QUANT_CACHE_MIB"):
        cache.limit_bytes()


def test_many_at_once_do_not_trip_over_each_other(folder, monkeypatch):
    monkeypatch.setattr(cache, "FRESH_S", -1.0)  # everything may go at any time, and everybody cleans
    monkeypatch.setattr(cache, "ABANDONED_S", HOUR)
    monkeypatch.setenv("MCU_QUANT_CACHE_MIB", "0")

    def work(n):
        for k in range(20):
            cache.cached(folder / f"sub{n % 2}" / f"{k}.so", lambda made: made.write_bytes(bytes(1000)))
            cache.write(folder / "scores" / f"{k}.json", "{}")

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(work, range(8)))
    cache.clean()
    assert cache.size_bytes() == 0
