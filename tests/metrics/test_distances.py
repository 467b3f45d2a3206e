"""Distances of features against closed forms and plain loops."""

import numpy as np
import pytest
import sklearn

from infogan_lib.metrics.distances import density_coverage, frechet_distance, kernel_distance, precision_recall


def normal(n, d, *, mean=0.0, scale=1.0, seed=0):
    return np.random.default_rng(seed).normal(mean, scale, (n, d))


def with_moments(rows, mean, covariance):
    """The rows moved so that their mean and covariance are these exactly."""
    rows = rows - rows.mean(0)
    whitened = rows @ np.linalg.inv(np.linalg.cholesky(np.cov(rows, rowvar=False))).T
    return whitened @ np.linalg.cholesky(covariance).T + mean


def test_frechet_distance_of_known_normals():
    a, b = np.diag([1.0, 4.0, 9.0]), np.diag([4.0, 4.0, 1.0])
    real, generated = with_moments(normal(50, 3), [0, 0, 0], a), with_moments(normal(80, 3, seed=1), [1, 2, 0], b)
    # |mean|^2 + sum of (sqrt of variance differences)^2 for covariances that commute
    assert frechet_distance(real, generated) == pytest.approx(5 + (1 - 2) ** 2 + 0 + (3 - 1) ** 2, abs=1e-9)
    turn = np.linalg.qr(normal(3, 3, seed=2))[0]
    assert frechet_distance(real @ turn, generated @ turn) == pytest.approx(10, abs=1e-9)
    assert frechet_distance(generated, real) == pytest.approx(10, abs=1e-9)
    assert frechet_distance(real, real) == pytest.approx(0, abs=1e-9)
    one = frechet_distance(np.array([[0.0], [2.0]]), np.array([[3.0], [5.0], [4.0]]))
    assert one == pytest.approx(3**2 + (np.sqrt(2) - 1) ** 2, abs=1e-12)


def test_frechet_distance_of_covariances_that_do_not_commute():
    a, b = np.array([[2.0, 1.0], [1.0, 2.0]]), np.array([[1.0, 0.0], [0.0, 3.0]])
    real, generated = with_moments(normal(40, 2), [0, 0], a), with_moments(normal(40, 2, seed=1), [0, 0], b)
    # tr (AB)^(1/2) of 2 x 2 matrices is sqrt(tr AB + 2 sqrt(det AB))
    cross = np.sqrt(np.trace(a @ b) + 2 * np.sqrt(np.linalg.det(a @ b)))
    assert frechet_distance(real, generated) == pytest.approx(np.trace(a + b) - 2 * cross, abs=1e-9)


def test_frechet_distance_of_singular_covariances():
    features = normal(40, 3) @ np.diag([1.0, 1e-9, 0.0])
    assert frechet_distance(features, features) < 1e-14
    assert frechet_distance(features, features + np.array([0, 0, 2])) == pytest.approx(4, abs=1e-14)


def test_kernel_distance_as_a_double_loop():
    real, generated = normal(7, 3), normal(5, 3, mean=0.5, seed=1)

    def k(a, b):
        return (a @ b / 3 + 1) ** 3

    within_real = np.mean([k(a, b) for i, a in enumerate(real) for j, b in enumerate(real) if i != j])
    within_generated = np.mean([k(a, b) for i, a in enumerate(generated) for j, b in enumerate(generated) if i != j])
    across = np.mean([k(a, b) for a in real for b in generated])
    assert kernel_distance(real, generated) == pytest.approx(within_real + within_generated - 2 * across, abs=1e-12)
    many = normal(3000, 3)
    assert kernel_distance(many[:1500], many[1500:]) == pytest.approx(0, abs=0.05)
    assert kernel_distance(many, many + 1) > 1


def test_precision_and_recall_by_hand():
    real, generated = np.array([[0.0], [1.0], [2.0], [10.0]]), np.array([[0.5], [1.5], [30.0], [31.0]])
    # Radii of the real: 1, 1, 1, 8; of the generated: 1, 1, 1, 1.
    assert precision_recall(real, generated, neighbors=1) == (0.5, 0.75)
    assert precision_recall(generated, real, neighbors=1) == (0.75, 0.5)
    same = normal(60, 4)
    assert precision_recall(same, same) == (1.0, 1.0)
    assert precision_recall(same, same + 1000) == (0.0, 0.0)
    point = np.repeat(same[:1], 60, axis=0)
    assert precision_recall(same, point)[0] == 1.0  # collapsed onto a real image: right, and all the same
    assert precision_recall(same, point)[1] == pytest.approx(1 / 60)


def test_precision_and_recall_as_loops():
    real, generated = normal(40, 2), normal(30, 2, mean=1.0, seed=1)

    def covered(points, by, k):
        radii = [sorted(np.linalg.norm(by - b, axis=1))[k] for b in by]
        return np.mean([any(np.linalg.norm(p - b) <= r for b, r in zip(by, radii, strict=True)) for p in points])

    assert precision_recall(real, generated, neighbors=2) == (covered(generated, real, 2), covered(real, generated, 2))


def test_density_and_coverage_by_hand():
    real, generated = np.array([[0.0], [1.0], [3.0], [10.0]]), np.array([[0.5], [2.0], [30.0]])
    # Balls of the real: [-1, 1], [0, 2], [1, 5], [3, 17]; 0.5 lies in two of them, 2 in two, 30 in none.
    assert density_coverage(real, generated, neighbors=1) == (4 / 3, 3 / 4)
    # To the second neighbor: [-3, 3], [-1, 3], [0, 6], [1, 19]; 0.5 lies in three of them, 2 in all.
    assert density_coverage(real, generated, neighbors=2) == (7 / (2 * 3), 1.0)
    same = normal(60, 4)
    point = np.repeat(same[:1], 60, axis=0)
    assert density_coverage(same, same + 1000) == (0.0, 0.0)
    assert density_coverage(same, same)[1] == 1.0
    assert density_coverage(same, point)[1] < 0.5  # collapsed onto a real image


def test_density_and_coverage_as_loops():
    real, generated = normal(40, 2), normal(30, 2, mean=1.0, seed=1)
    radii = [sorted(np.linalg.norm(real - r, axis=1))[3] for r in real]
    inside = np.array([[np.linalg.norm(g - r) <= d for r, d in zip(real, radii, strict=True)] for g in generated])
    density, coverage = density_coverage(real, generated, neighbors=3)
    assert density == pytest.approx(inside.sum() / (3 * 30), abs=1e-12)
    assert coverage == pytest.approx(inside.any(axis=0).mean(), abs=1e-12)


def test_density_and_coverage_of_equal_distributions():
    density, coverage = density_coverage(normal(4000, 2), normal(4000, 2, seed=1), neighbors=5)
    assert density == pytest.approx(1, abs=0.03)
    assert coverage == pytest.approx(1 - 0.5**5, abs=0.01)


def test_an_outlier_fools_precision_and_recall_but_hardly_density_and_coverage():
    near, far = normal(500, 2), normal(500, 2, mean=20.0, seed=1)
    near[0] = 100  # its ball holds all of the others
    assert precision_recall(near, far)[0] == 1.0
    assert density_coverage(near, far) == (1 / 5, 1 / 500)
    assert precision_recall(far, near)[1] == 1.0
    assert density_coverage(far, near)[1] == 0.0


def test_precision_and_recall_far_from_zero():
    real, generated = normal(80, 3, scale=0.01), normal(80, 3, scale=0.01, seed=1)
    assert precision_recall(real + 1e6, generated + 1e6) == pytest.approx(precision_recall(real, generated), abs=0.03)


def test_chunks_change_nothing(monkeypatch):
    real, generated = normal(100, 3), normal(90, 3, seed=1)
    whole = kernel_distance(real, generated), precision_recall(real, generated)
    density = density_coverage(real, generated)
    monkeypatch.setattr("infogan_lib.metrics.distances._CHUNK", 7)
    with sklearn.config_context(working_memory=0.005):  # MiB: six rows of distances
        assert kernel_distance(real, generated) == pytest.approx(whole[0], abs=1e-10)
        assert precision_recall(real, generated) == whole[1]
        assert density_coverage(real, generated) == density


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: frechet_distance(normal(4, 4), normal(9, 4)), "more than 4 images of each kind, but got 4 and 9"),
        (lambda: frechet_distance(normal(9, 4), normal(9, 3)), r"but got \(9, 4\), \(9, 3\)"),
        (lambda: kernel_distance(normal(1, 4), normal(9, 4)), "N and M at least 2"),
        (lambda: kernel_distance(normal(9, 1) * np.nan, normal(9, 1)), "some are NaN or infinite"),
        (lambda: precision_recall(normal(3, 2), normal(9, 2)), "3 neighbors need more than 3 images of each kind"),
        (lambda: precision_recall(normal(9, 2), normal(9, 2), neighbors=0), "neighbors must be a whole number"),
        (lambda: density_coverage(normal(5, 2), normal(9, 2)), "5 neighbors need more than 5 real images, but got 5"),
        (lambda: density_coverage(normal(9, 2), normal(9, 3)), r"but got \(9, 2\), \(9, 3\)"),
        (lambda: frechet_distance(normal(9, 2) * 1e160, normal(9, 2)), r"features must be at most 1e\+45, but got"),
        (lambda: kernel_distance(normal(9, 2), normal(9, 2) * 1e100), "features must be at most"),
        (lambda: precision_recall(normal(9, 2) * 1e160, normal(9, 2) * 1e160), "features must be at most"),
    ],
)
def test_bad_arguments_raise(call, message):
    with pytest.raises(ValueError, match=message):
        call()
