import pytest

from ondee import engine
from ondee.errors import ConfigError, ReadError


def square(number):
    return number * number


def refuse(number):
    raise ReadError("no", where=number, fix="yes")


@pytest.mark.parametrize("workers", [1, 2])
def test_every_task_comes_back_with_its_result(workers):
    assert sorted(engine.run(square, range(7), workers=workers)) == [(n, n * n) for n in range(7)]


@pytest.mark.parametrize("workers", [1, 2])
def test_an_error_crosses_the_process_border_whole(workers):
    with pytest.raises(ReadError) as caught:
        list(engine.run(refuse, [3, 4], workers=workers))
    assert caught.value.fix == "yes" and caught.value.where in ("3", "4")


def test_no_scheduler_is_an_error_with_its_way_out():
    pytest.importorskip("distributed")
    with pytest.raises(ConfigError, match="dask scheduler"):
        list(engine.run(square, [1], cluster="nowhere:not-a-port"))
