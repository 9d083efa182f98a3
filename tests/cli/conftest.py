"""A small project, the firmware built from it, and ways to run command lines."""

import json
import shutil

import pytest

from mcu_quant import api
from mcu_quant.cli import main
from tests import streaming_model

#: What the tests of folders are written for, whatever the planner would choose.
PRESET = api.PrecisionRequest("tinydenoiser")


@pytest.fixture
def cli(capsys):
    """Runs a command line; returns exit status, stdout and stderr."""

    def run(*args):
        capsys.readouterr()
        with pytest.raises(SystemExit) as leaving:
            main([str(a) for a in args], prog_name="mcu-quant")
        out, err = capsys.readouterr()
        return leaving.value.code, out, err

    return run


@pytest.fixture
def failing(cli):
    """Runs a command line that must fail, in both forms; returns the codes of its diagnostics, and their texts."""

    def run(status, *args):
        code, out, err = cli(*args)
        assert code == status, err
        assert out == ""
        assert "Traceback" not in err
        code, out, noise = cli(*args, "--format", "json")
        assert (code, noise) == (status, "")
        found = json.loads(out)["diagnostics"]
        for d in found:
            assert f"{d['severity']}[{d['code']}]" in err
            assert d["help"] or d["code"] == "MQ999", f"{d['code']} has no remedy"
        return [d["code"] for d in found if d["severity"] == "error"], err

    return run


@pytest.fixture(scope="session")
def project(tmp_path_factory):
    """A folder with a model, its pipeline, and speech."""
    made = tmp_path_factory.mktemp("project")
    streaming_model.write(made)
    streaming_model.speech(made / "speech")
    return made


@pytest.fixture(scope="session")
def built(project):
    """A firmware folder of that model."""
    request = api.BuildRequest(
        api.Source(project / "tiny.onnx"), "nucleo_f446re", project / "fw", PRESET, project / "speech"
    )
    api.build(request)
    return project / "fw"


@pytest.fixture
def copied(built, tmp_path):
    """The firmware folder and its project in a place of its own, to be spoilt."""
    shutil.copytree(built.parent, tmp_path / "project")
    return tmp_path / "project" / "fw"
