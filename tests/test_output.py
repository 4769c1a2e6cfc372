import pytest

from archives import radar
from ondee.errors import ConfigError, StoreError
from ondee.output import locked, whole, write_netcdf


def test_a_file_appears_whole_or_not_at_all(tmp_path):
    target = tmp_path / "a.txt"
    with pytest.raises(ZeroDivisionError), whole(target) as draft:
        draft.write_text("half")
        raise ZeroDivisionError
    assert list(tmp_path.iterdir()) == []
    with whole(target) as draft:
        draft.write_text("whole")
        assert not target.exists()
    assert target.read_text() == "whole" and len(list(tmp_path.iterdir())) == 1


def test_nothing_is_replaced_untold(tmp_path):
    target = tmp_path / "a.nc"
    write_netcdf(radar(["2018-06-04T12:00"]), target)
    before = target.read_bytes()
    with pytest.raises(StoreError, match="exists"), whole(target):
        pass
    with pytest.raises(ConfigError, match="exists"):
        write_netcdf(radar(["2018-06-04T12:05"]), target)
    assert target.read_bytes() == before
    write_netcdf(radar(["2018-06-04T12:05"]), target, force=True)
    assert target.read_bytes() != before


def test_what_the_disk_says_is_passed_on(tmp_path):
    with pytest.raises(StoreError, match="cannot be written: No such file"), whole(tmp_path / "no" / "a") as draft:
        draft.write_text("x")


def test_a_lock_holds_one_and_leaves_nothing(tmp_path):
    with locked(tmp_path / "store"):
        with pytest.raises(StoreError, match="another process"), locked(tmp_path / "store"):
            pass
        assert (tmp_path / "store.lock").exists()
    assert list(tmp_path.iterdir()) == []
    with locked(tmp_path / "store"):
        pass
