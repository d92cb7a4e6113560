import sys

import pytest
import ray.cloudpickle

from plb_ray.cluster.runtime import start_ray, stop_ray
from tests.forecast import synthetic


@pytest.fixture(scope="session")
def ray_here():
    """One small Ray on this machine for all tests that ask for it."""
    start_ray(num_cpus=2, object_store_bytes=100 * 1024 * 1024)
    ray.cloudpickle.register_pickle_by_value(synthetic)  # workers have plb-ray installed, but not its tests
    yield
    stop_ray()


@pytest.fixture
def ray_with_fakes(ray_here, request):
    """The same, for a test module whose own classes travel to the workers."""
    module = sys.modules[request.module.__name__]
    ray.cloudpickle.register_pickle_by_value(module)
    yield
    ray.cloudpickle.unregister_pickle_by_value(module)
