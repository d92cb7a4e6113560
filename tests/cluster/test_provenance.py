from pathlib import Path

import pytest

from plb_ray.cluster.runtime import PACKAGES, check_provenance
from plb_ray.errors import BadInputError

ROOT = Path(__file__).resolve().parents[2]


def test_our_packages_lie_side_by_side():
    """In a sound environment all four are found in one folder."""
    assert check_provenance() == ROOT


def test_a_package_from_elsewhere_is_refused():
    """A package that lies somewhere else is named, with the place it would have come from."""
    with pytest.raises(BadInputError, match=r"'numpy' of plb-ray is found in .*site-packages"):
        check_provenance((*PACKAGES, "numpy"))


def test_a_missing_package_is_refused():
    """A package that is not there is named."""
    with pytest.raises(BadInputError, match="'no_such_package' of plb-ray cannot be found"):
        check_provenance((*PACKAGES, "no_such_package"))
