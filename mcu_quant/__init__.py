"""mcu-quant: ONNX speech models in, tested mixed-precision C firmware and a board report out.

The public interface, loaded when first used, so that `import mcu_quant` costs nothing:

    from mcu_quant import BuildRequest, Source, TestRequest, build, test_folder

    made = build(BuildRequest(Source(Path("model.onnx")), "nucleo_h743zi2", Path("firmware")))
    print(made.report["fits"], test_folder(TestRequest(made.folder)).passed)
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from mcu_quant.version import VERSION

__version__ = VERSION

#: Public name -> module that defines it.
_PUBLIC = {
    "BuildRequest": "mcu_quant.api",
    "BuildResult": "mcu_quant.api",
    "Diagnostic": "mcu_quant.diagnostics",
    "DiagnosticError": "mcu_quant.diagnostics",
    "FolderSession": "mcu_quant.emulator.folder",
    "PlanRequest": "mcu_quant.api",
    "PlanResult": "mcu_quant.api",
    "PrecisionPlan": "mcu_quant.precision.plan",
    "PrecisionRequest": "mcu_quant.api",
    "ProgramSession": "mcu_quant.emulator.program",
    "ReportRequest": "mcu_quant.api",
    "RunRequest": "mcu_quant.api",
    "RunResult": "mcu_quant.api",
    "Source": "mcu_quant.api",
    "TestRequest": "mcu_quant.api",
    "TestResult": "mcu_quant.api",
    "build": "mcu_quant.api",
    "inspect": "mcu_quant.api",
    "make_plan": "mcu_quant.api",
    "report": "mcu_quant.api",
    "run_folder": "mcu_quant.api",
    "test_folder": "mcu_quant.api",
}

if TYPE_CHECKING:
    from mcu_quant.api import (
        BuildRequest,
        BuildResult,
        PlanRequest,
        PlanResult,
        PrecisionRequest,
        ReportRequest,
        RunRequest,
        RunResult,
        Source,
        TestRequest,
        TestResult,
        build,
        inspect,
        make_plan,
        report,
        run_folder,
        test_folder,
    )
    from mcu_quant.diagnostics import Diagnostic, DiagnosticError
    from mcu_quant.emulator.folder import FolderSession
    from mcu_quant.emulator.program import ProgramSession
    from mcu_quant.precision.plan import PrecisionPlan

__all__ = [
    "BuildRequest",
    "BuildResult",
    "Diagnostic",
    "DiagnosticError",
    "FolderSession",
    "PlanRequest",
    "PlanResult",
    "PrecisionPlan",
    "PrecisionRequest",
    "ProgramSession",
    "ReportRequest",
    "RunRequest",
    "RunResult",
    "Source",
    "TestRequest",
    "TestResult",
    "build",
    "inspect",
    "make_plan",
    "report",
    "run_folder",
    "test_folder",
]


def __getattr__(name: str) -> Any:
    if name in _PUBLIC:
        return getattr(importlib.import_module(_PUBLIC[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
