from pathlib import Path

import h5py
import numpy as np
import pytest

from ondee import source
from ondee.errors import ConfigError, GridError, ReadError
from ondee.grid import Grid
from ondee.source import weather4cast
from ondee.source.weather4cast import CHANNELS, FORMAT, RADAR_GRID, SATELLITE_GRID


def satellite(folder: Path, frames: int = 3, split: str = "train") -> Path:
    """Frame t, channel c holds 200 + 10 t + c K, or c / 100 where it is a reflectance."""
    path = folder / "2019" / "HRIT" / f"boxi_0015.{split}.reflbt0.ns.h5"
    path.parent.mkdir(parents=True, exist_ok=True)
    values = np.zeros((frames, 11, 252, 252), dtype=np.float32)
    for index, name in enumerate(CHANNELS):
        solar = name in ("IR_016", "VIS006", "VIS008")
        values[:, index] = index / 100 if solar else (200 + 10 * np.arange(frames)[:, None, None] + index)
    values[0, CHANNELS.index("IR_039"), 5, 5] = -2.97
    values[0, CHANNELS.index("IR_108"), 6, 6] = np.nan
    with h5py.File(path, "w") as file:
        file.create_dataset("REFL-BT", data=values, chunks=(1, 1, 252, 252), compression="gzip", compression_opts=1)
    return path


def radar(folder: Path, frames: int = 3, split: str = "train") -> Path:
    path = folder / "2019" / "OPERA" / f"boxi_0015.{split}.rates.crop.h5"
    path.parent.mkdir(parents=True, exist_ok=True)
    values = np.full((frames, 1, 252, 252), -8888000.0, dtype=np.float32)
    values[:, 0, :, :126] = -9999000.0
    values[:, 0, 10, 200] = 2.5
    values[1, 0, 11, 200] = 640.0
    values[2, 0, 12, 200] = np.inf
    with h5py.File(path, "w") as file:
        file.create_dataset("rates.crop", data=values, compression="gzip", compression_opts=1)
    return path


def table(path: Path, *, fault: str = "") -> Path:
    """The starter kit's table: four slots of training, of which one lacks the radar, then validation and test."""
    kinds = (
        [("training", "-")] * 4 + [("validation", "validation_in")] * 2 + [("test", "test_in"), ("test", "test_buffer")]
    )
    lines = ["time,date_str,date,RATE,ACRR,DBZH,REFL-BT,all_vars,split,split_type"]
    for index, (split, kind) in enumerate(kinds):
        complete = 0 if index == 1 else 1
        clock = f"{index // 4:02d}{index % 4 * 15:02d}00"
        lines.append(f"{fault or clock},20190215,2019-02-15,1,1,1,1,{complete},{split},{kind}")
    path.write_text("\n".join(lines) + "\n")
    return path


def test_thermal_channels(tmp_path: Path) -> None:
    data = source.open(satellite(tmp_path))
    names = ["IR_039", "IR_087", "IR_097", "IR_108", "IR_120", "IR_134", "WV_062", "WV_073"]
    assert data["channel"].values.tolist() == names
    temperature = data["brightness_temperature"]
    assert temperature.shape == (3, 8, 252, 252) and temperature.attrs["units"] == "K"
    for name in names:
        expected = 200 + np.array([0, 10, 20]) + CHANNELS.index(name)
        assert temperature.sel(channel=name)[:, 100, 100].values.tolist() == expected.tolist()
    assert np.isnan(temperature[0, 0, 5, 5]) and temperature.attrs["implausible_count"] == 1
    assert temperature.attrs["implausible_extreme"] == pytest.approx(-2.97)
    assert np.isnan(temperature.sel(channel="IR_108")[0, 6, 6])


def test_solar_channels(tmp_path: Path) -> None:
    data = source.open(satellite(tmp_path), quantity="reflectance")
    assert data["channel"].values.tolist() == ["IR_016", "VIS006", "VIS008"]
    assert data["reflectance"][0, :, 9, 9].values.tolist() == pytest.approx([0.0, 0.07, 0.08])
    with pytest.raises(ConfigError, match="holds no 'rain_rate'"):
        source.open(satellite(tmp_path), quantity="rain_rate")


def test_rain(tmp_path: Path) -> None:
    rain = source.open(radar(tmp_path))["rain_rate"]
    assert bool(rain[:, :, :126].isnull().all()), "not observed"
    assert float(rain[0, 20, 130]) == 0.0, "no echo"
    assert float(rain[0, 10, 200]) == 2.5
    assert np.isnan(rain[1, 11, 200]) and rain.attrs["implausible_count"] == 1
    assert np.isnan(rain[2, 12, 200])


def test_both_lie_in_one_plane() -> None:
    assert RADAR_GRID.is_local and SATELLITE_GRID.is_local
    middle = SATELLITE_GRID.crop(slice(105, 147), slice(105, 147))
    assert (middle.west, middle.east, middle.south, middle.north) == (
        RADAR_GRID.west,
        RADAR_GRID.east,
        RADAR_GRID.south,
        RADAR_GRID.north,
    )


def test_unknown_times_are_said_to_be_unknown(tmp_path: Path) -> None:
    images, rain = source.open(satellite(tmp_path)), source.open(radar(tmp_path))
    assert images["time"].attrs["label"] == "unknown" and "true times unknown" in images.attrs["time_comment"]
    assert (images["time"].values == rain["time"].values).all()
    assert images["time"].values[1] - images["time"].values[0] == np.timedelta64(15, "m")
    assert "position unknown" in images.attrs["grid_comment"]


def test_times_of_the_starter_kit(tmp_path: Path) -> None:
    table(tmp_path / "timestamps_and_splits_2019.csv")
    rain = source.open(radar(tmp_path), start="2019-02-15T00:30")
    expected = np.array(["2019-02-15T00:30", "2019-02-15T00:45"], dtype="datetime64[ns]")
    assert (rain["time"].values == expected).all(), "the slot without radar is not counted as a frame"
    assert rain["time"].attrs["label"] == "unknown" and "window" in rain.attrs["time_comment"]
    window = (rain["time_bounds"].values[0] - rain["time"].values[0]) / np.timedelta64(1, "m")
    assert window.tolist() == [-10, 5]
    assert float(rain["rain_rate"][0, 10, 200]) == 2.5
    images = source.open(satellite(tmp_path, 2, "val"))
    assert images["time"].attrs["label"] == "start" and "time_comment" not in images.attrs
    assert images["time"].values[0] == np.datetime64("2019-02-15T01:00", "ns")
    assert source.open(satellite(tmp_path, 1, "test"))["time"].values[0] == np.datetime64("2019-02-15T01:30", "ns")
    with pytest.raises(ReadError, match="no 5 slots"):
        source.open(satellite(tmp_path, 5))


def test_a_damaged_time_table_is_refused(tmp_path: Path) -> None:
    table(tmp_path / "2019.csv", fault="noon").rename(tmp_path / "timestamps_and_splits_2019.csv")
    with pytest.raises(ReadError, match="time table cannot be read"):
        source.open(radar(tmp_path))


def test_frames(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = satellite(tmp_path)
    part = source.open(path, frames=(1, 3))
    assert part.sizes["time"] == 2 and float(part["brightness_temperature"][0, 1, 0, 0]) == 212.0
    for wrong in ((2, 2), (-1, 2), (0, 4), (1,), ("a", "b")):
        with pytest.raises(ConfigError):
            source.open(path, frames=wrong)
    monkeypatch.setattr(weather4cast, "_LARGEST", 4 * 8 * 252 * 252 * 2)
    assert source.open(path, frames=(0, 2)).sizes["time"] == 2
    with pytest.raises(ConfigError, match="would fill"):
        source.open(path)


def test_regions_and_mixtures_are_refused(tmp_path: Path) -> None:
    with pytest.raises(GridError, match="position on the Earth is unknown"):
        source.open(satellite(tmp_path), region=(0, 40, 10, 50))
    with pytest.raises(ReadError, match="products are mixed"):
        source.open(satellite(tmp_path), radar(tmp_path))
    assert not Grid.of(source.open(radar(tmp_path))).is_geographic


def test_another_shape_is_refused(tmp_path: Path) -> None:
    path = radar(tmp_path)
    with h5py.File(path, "r+") as file:
        del file["rates.crop"]
        file.create_dataset("rates.crop", shape=(2, 11, 252, 252), dtype="f4")
    with pytest.raises(ReadError, match=r"no variable rates\.crop of shape"):
        source.open(path)


def test_cut_files_are_refused(tmp_path: Path) -> None:
    path = radar(tmp_path)
    content = path.read_bytes()
    for length in np.random.default_rng(4).integers(0, len(content) - 1, 20):
        path.write_bytes(content[:length])
        with pytest.raises(ReadError):
            source.open(path)


def test_recognising() -> None:
    assert FORMAT.recognise(Path("roxi_0004.val.reflbt0.ns.h5"), b"")
    assert not FORMAT.recognise(Path("boxi_0015.pred.h5"), b"")
