"""The job of a retraining with a forecaster that waits for a sign, as the job server starts it in the test."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))  # tests are not installed

from ray import cloudpickle

from service.retrain_job import main
from tests.forecast import synthetic
from tests.retrain import waiting_forecaster

for module in (synthetic, waiting_forecaster):
    cloudpickle.register_pickle_by_value(module)  # workers have plb-ray installed, but not its tests
waiting_forecaster.WaitingForecaster.folder = Path(sys.argv[sys.argv.index("--state") + 1])
sys.exit(main(make=waiting_forecaster.WaitingForecaster))
