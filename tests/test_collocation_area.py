import numpy as np
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st

from ondee.collocation import area
from ondee.collocation.area import cell_area, weights
from ondee.errors import GridError
from ondee.grid import LATITUDE_LONGITUDE, LOCAL, Grid, transformer

LAEA = "+proj=laea +lat_0=55 +lon_0=10 +x_0=1950000 +y_0=-2100000 +ellps=WGS84"
STEREO = "+proj=stere +lat_0=90 +lat_ts=45 +lon_0=0 +a=6378137 +rf=298.252840776245"
GEOS = "+proj=geos +h=35785831 +lon_0=0 +a=6378169 +rf=295.488065897014"

# A cell has not quite the same area on the ellipsoids of two projections.
AREA_OF_ELLIPSOIDS = 4e-4


def around(crs, longitude, latitude, nx, ny, size):
    """A grid of square cells around a place."""
    x, y = transformer(LATITUDE_LONGITUDE, crs).transform(longitude, latitude)
    return Grid(crs, x - size * nx / 2, y + size * ny / 2, size, size, nx, ny)


@pytest.fixture(autouse=True)
def _cache(tmp_path, monkeypatch):
    monkeypatch.setenv("ONDEE_CACHE", str(tmp_path))


PAIRS = {
    "stereographic to latitude-longitude": (
        around(STEREO, 2, 46, 90, 90, 1000),
        around(LATITUDE_LONGITUDE, 2, 46, 5, 5, 0.1),
    ),
    "equal-area to latitude-longitude": (
        around(LAEA, 2, 46, 60, 60, 2000),
        around(LATITUDE_LONGITUDE, 2, 46, 6, 6, 0.1),
    ),
    "latitude-longitude to geostationary": (
        around(LATITUDE_LONGITUDE, 2, 46, 200, 200, 0.01),
        around(GEOS, 2, 46, 20, 20, 3000.4),
    ),
    "geostationary to equal-area": (around(GEOS, 2, 46, 40, 60, 3000.4), around(LAEA, 2, 46, 50, 50, 1000)),
    "stereographic to equal-area": (around(STEREO, 2, 46, 90, 90, 1000), around(LAEA, 2, 46, 20, 20, 2500)),
}


@pytest.mark.parametrize("pair", PAIRS.values(), ids=PAIRS.keys())
def test_a_target_inside_the_source_is_wholly_covered(pair):
    matrix = weights(*pair, cache=False)
    np.testing.assert_allclose(matrix.reach(), 1.0, atol=5e-5)


@pytest.mark.parametrize("pair", PAIRS.values(), ids=PAIRS.keys())
def test_weights_are_the_areas_of_clipped_polygons(pair):
    source, target = pair
    matrix = weights(source, target, cache=False).matrix()
    ellipsoid = target.projection.ellipsoid
    plane = f"+proj=cea +lon_0=2 +a={ellipsoid.semi_major_metre} +b={ellipsoid.semi_minor_metre}"
    to_plane = transformer(target.crs, plane)
    into_target = transformer(source.crs, target.crs)
    x, y = into_target.transform(*np.meshgrid(source.x_edges, source.y_edges))
    rng = np.random.default_rng(0)
    for cell in rng.choice(target.nx * target.ny, 4, replace=False):
        row, column = divmod(int(cell), target.nx)
        box = shapely.box(
            target.x_edges[column], target.y_edges[row + 1], target.x_edges[column + 1], target.y_edges[row]
        )
        whole = _true_area(box, to_plane)
        found = matrix[[int(cell)]].tocoo()
        assert found.nnz > 0
        for index, share in zip(found.col, found.data, strict=True):
            i, j = divmod(int(index), source.nx)
            corners = [(x[a, b], y[a, b]) for a, b in ((i, j), (i, j + 1), (i + 1, j + 1), (i + 1, j))]
            piece = box.intersection(shapely.Polygon(corners))
            assert _true_area(piece, to_plane) / whole == pytest.approx(float(share), rel=2e-4, abs=1e-6)


def _true_area(polygon, to_plane):
    """Area on the ellipsoid, edges split finely."""
    fine = shapely.segmentize(polygon, max(polygon.length / 200, 1e-12))
    return shapely.transform(fine, lambda xy: np.stack(to_plane.transform(xy[:, 0], xy[:, 1]), axis=1)).area


def test_cell_areas_add_up_to_the_ellipsoid():
    whole = Grid(LATITUDE_LONGITUDE, -180, 90, 1.0, 1.0, 360, 180)
    assert cell_area(whole).sum() == pytest.approx(5.1006562e14, rel=1e-6)
    # An equal-area projection keeps the area of a cell.
    np.testing.assert_allclose(cell_area(around(LAEA, 2, 46, 10, 10, 2000)), 4e6, rtol=2e-5)


@settings(max_examples=25, deadline=None)
@given(
    offset=st.tuples(st.floats(-0.3, 0.3), st.floats(-0.3, 0.3)),
    size=st.floats(700, 4000),
    step=st.sampled_from([0.05, 0.1, 0.25]),
    crs=st.sampled_from([LAEA, STEREO, LATITUDE_LONGITUDE, GEOS]),
    onto=st.sampled_from([LAEA, STEREO, LATITUDE_LONGITUDE, GEOS]),
    seed=st.integers(0, 2**32 - 1),
)
def test_rain_is_conserved(offset, size, step, crs, onto, seed):
    """Σ rain × area over the cells equals Σ rain × area over the pixels, where the rain lies inside the target."""
    unit = 1 / 111e3 if crs == LATITUDE_LONGITUDE else 1.0
    source = around(crs, 2 + offset[0], 46 + offset[1], 30, 30, size * unit)
    rain = np.random.default_rng(seed).gamma(0.3, 4.0, source.shape)
    west, south, east, north = source.region()
    cell = step if onto == LATITUDE_LONGITUDE else step * 111e3
    reach = 2 * int(max(east - west, north - south) / step) + 8
    target = around(onto, (west + east) / 2, (south + north) / 2, reach, reach, cell)
    matrix = weights(source, target, cache=False)
    cells = matrix.matrix().astype(np.float64) @ rain.ravel()
    before = float((rain * cell_area(source)).sum())
    after = float((cells.reshape(target.shape) * cell_area(target)).sum())
    assert after == pytest.approx(before, rel=AREA_OF_ELLIPSOIDS)


def test_a_local_plane_meets_only_its_like():
    here = Grid(LOCAL, 0, 20_000, 1000, 1000, 20, 20)
    coarse = Grid(LOCAL, 0, 20_000, 10_000, 10_000, 2, 2)
    assert weights(here, coarse, cache=False).share == pytest.approx(0.01)
    with pytest.raises(GridError, match="position"):
        weights(here, around(LAEA, 2, 46, 5, 5, 1000), cache=False)


def test_grids_that_do_not_meet_are_refused():
    with pytest.raises(GridError, match="do not overlap"):
        weights(around(LAEA, 2, 46, 5, 5, 1000), around(LATITUDE_LONGITUDE, 20, 46, 5, 5, 0.1), cache=False)


def test_what_the_satellite_does_not_see_has_no_weight():
    disk = Grid(GEOS, -5_600_000, 5_600_000, 70_000, 70_000, 160, 160)
    target = Grid(LATITUDE_LONGITUDE, 20, 80, 5.0, 5.0, 10, 6)
    reach = weights(disk, target, cache=False).reach()
    assert reach[-1, 0] > 0.9
    assert reach[0, -1] == 0


def test_the_cache_gives_the_same_weights_and_survives_damage(tmp_path, monkeypatch):
    source, target = PAIRS["stereographic to equal-area"]
    first = weights(source, target)
    (kept,) = tmp_path.glob("weights-*.npz")
    area._remembered.cache_clear()
    again = weights(source, target)
    for name in ("start", "index", "share"):
        np.testing.assert_array_equal(getattr(first, name), getattr(again, name))
    kept.write_bytes(kept.read_bytes()[:200])
    area._remembered.cache_clear()
    np.testing.assert_array_equal(weights(source, target).share, first.share)


def test_a_footprint_reaches_beyond_the_cell_and_stays_normalised():
    source = around(LAEA, 2, 46, 120, 120, 1000)
    target = around(LAEA, 2, 46, 10, 10, 3000)
    plain, seen = weights(source, target, cache=False), weights(source, target, footprint=1.6, cache=False)
    np.testing.assert_allclose(seen.reach(), 1.0, atol=1e-5)
    assert np.diff(seen.start).min() > 3 * np.diff(plain.start).max()
    point = np.zeros(source.shape)
    point[60:63, 60:63] = 1.0
    image = (seen.matrix() @ point.ravel()).reshape(target.shape)
    row, column = np.unravel_index(image.argmax(), image.shape)
    middle = image[row, column]
    # Half the peak at 0.8 cells from the centre: between the neighbour at 1 cell and the peak.
    expected = np.exp(-0.5 * (1 / (1.6 / 2.3548)) ** 2)
    assert image[row, column + 1] / middle == pytest.approx(expected, abs=0.06)
    for width in (-1.0, 0.1, 30.0):
        with pytest.raises(GridError, match="footprint"):
            weights(source, target, footprint=width)


@pytest.mark.parametrize("width", [0.8, 1.0, 1.6, 2.5])
def test_a_footprint_is_as_wide_as_it_says(width):
    """Moments of the response of one cell along its row."""
    source = Grid(LAEA, 0.0, 0.0, 100.0, 1000.0, 210, 21)
    target = Grid(LAEA, 0.0, 0.0, 1000.0, 1000.0, 21, 21)
    made = weights(source, target, footprint=width, cache=False).matrix()
    response = made[[10 * target.nx + 10]].toarray().reshape(source.shape).sum(axis=0)
    distance = (source.x - target.x[10]) / 1000.0
    centre = (response * distance).sum() / response.sum()
    deviation = np.sqrt((response * (distance - centre) ** 2).sum() / response.sum())
    assert centre == pytest.approx(0.0, abs=1e-5)
    assert deviation * np.sqrt(8 * np.log(2)) == pytest.approx(width, rel=0.01)
