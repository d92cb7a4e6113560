import subprocess
import sys
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


DRIVER = """
import ray
from plb_ray.cluster.runtime import check_provenance, start_ray, stop_ray
start_ray(num_cpus=1, object_store_bytes=80 * 1024 * 1024)
print(ray.get(ray.remote(num_cpus=0)(lambda: str(check_provenance())).remote()))
stop_ray()
"""


@pytest.mark.ray
def test_a_folder_named_models_beside_the_caller_does_not_reach_the_workers(tmp_path):
    """Started from a folder with a package `models` of its own, a worker imports ours, and nothing else is printed."""
    (tmp_path / "here" / "models").mkdir(parents=True)
    (tmp_path / "here" / "models" / "__init__.py").touch()
    (tmp_path / "driver.py").write_text(DRIVER)
    command = [sys.executable, str(tmp_path / "driver.py")]
    done = subprocess.run(command, cwd=tmp_path / "here", capture_output=True, text=True, timeout=150, check=False)
    assert (done.stdout, done.stderr, done.returncode) == (f"{ROOT}\n", "", 0)
