from __future__ import annotations

import logging
import re
import subprocess
import sys

import pytest

from plb_ray.errors import BadInputError
from service.logs import log_to


def test_our_loggers_write_into_the_file(tmp_path):
    """What our packages say at INFO stands in the file; what others say, and what comes after, does not."""
    path = tmp_path / "state" / "plb.log"
    before = logging.getLogger("plb").level
    with log_to(path):
        logging.getLogger("plb.migration").info("migration id=%s", "é")
        logging.getLogger("plb_ray.migration.runner").warning("careful")
        logging.getLogger("plb.control").debug("too much")
        logging.getLogger("somebody.else").warning("not ours")
    logging.getLogger("plb.migration").warning("afterwards")
    lines = path.read_text(encoding="utf-8").splitlines()
    assert [line.split(" ", 1)[1] for line in lines] == [
        "INFO plb.migration migration id=é",
        "WARNING plb_ray.migration.runner careful",
    ]
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", lines[0].split(" ")[0])
    assert logging.getLogger("plb").level == before


def test_warnings_still_reach_standard_error(tmp_path):
    """A process without logging of its own goes on to show warnings, and no information, on standard error."""
    code = (
        "import logging, sys; from pathlib import Path; from service.logs import log_to\n"
        "with log_to(Path(sys.argv[1])):\n"
        "    logging.getLogger('plb.control').info('quiet'); logging.getLogger('plb.control').warning('loud')\n"
    )
    command = [sys.executable, "-c", code, str(tmp_path / "plb.log")]
    shown = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    assert shown.stderr == "loud\n"
    assert (tmp_path / "plb.log").read_text().count("\n") == 2


def test_a_file_that_cannot_be_written(tmp_path):
    """A log in a place that is no folder is refused in one sentence."""
    (tmp_path / "file").write_text("")
    with pytest.raises(BadInputError, match=r"plb\.log: cannot be written"), log_to(tmp_path / "file" / "plb.log"):
        pass
