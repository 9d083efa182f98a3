"""Facts of the STM32, nRF and RP boards against the Python package modm-devices, made from the vendors' own databases.

What is known to be wrong there is listed with its reason; a test fails when an error of the list is no longer met.
"""

from functools import cache
from pathlib import Path

import modm_devices
import pytest
from modm_devices.parser import DeviceParser

from mcu_quant import boards
from mcu_quant.boards import Board

FAMILIES = ("STM32", "nRF", "RP")

#: Parts that the package does not have.
MISSING = ("STM32N6", "nRF54")

#: Board -> the file and the part in the package, where the part number does not say it.
PARTS = {
    "nRF52840": "nrf52840-qiaa",
    "nRF5340": "nrf5340-qkaa@app",
    "RP2350A": "rp2350",
    "STM32H747XIH6": "stm32h747xih6@m7",
}

FPU = {None: "none", "fpv4-sp-d16": "sp", "fpv5-sp-d16": "sp", "fpv5-d16": "dp"}

#: Same bytes at a second address: neither side need list both.
ALIASES = {"code", "itcm_flash"}

#: (board, what) -> why the package is not right, or means something else.
KNOWN = {
    ("raspberry_pi_pico2", "memory"): "it has the RP2040's 264 KiB; the RP2350 has 520",
    ("nucleo_l4r5zi", "memory"): "it lists SRAM2 at 0x10000000 alone, where it is too; it also follows SRAM1",
    ("nucleo_l4r5zi", "wait states"): "4 at 120 MHz; firmware that works there uses 5 (EdgeMark)",
    ("stm32h747i_disco", "memory"): "it gives SRAM1 to SRAM3 and the second flash bank to the Cortex-M4 alone",
}

#: The package knows the Arm cores of the RP2350 only.
TESTED = [
    b
    for b in boards.all_boards()
    if b.mcu.startswith(FAMILIES) and not b.mcu.startswith(MISSING) and b.core.architecture.startswith("armv")
]


@cache
def catalogue() -> dict[str, object]:
    """Every part of the families in question, by its identifier."""
    folder = Path(modm_devices.__file__).parent / "resources" / "devices"
    prefixes = ("stm32f4-", "stm32f7-", "stm32g0-", "stm32h7-", "stm32l4-", "stm32u3-", "stm32u5-", "nrf5", "rp2")
    files = [f for f in folder.rglob("*.xml") if f.name.startswith(prefixes)]
    found = (d for f in files for d in DeviceParser().parse(str(f)).get_devices())
    return {d.identifier.string: d for d in found}


def drivers(board: Board) -> dict[str, dict]:
    name = PARTS.get(board.mcu, board.mcu.lower())
    device = catalogue().get(name)
    assert device is not None, f"{name} is not in modm-devices"
    return {d["name"]: d for d in device.properties["driver"]}


def joined(spans: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """Half-open address ranges, those that touch put together."""
    found: list[tuple[int, int]] = []
    for start, end in sorted(spans):
        if found and start <= found[-1][1]:
            found[-1] = (found[-1][0], max(end, found[-1][1]))
        else:
            found.append((start, end))
    return found


def agree(board: Board, what: str, ours: object, theirs: object) -> None:
    """Equal, unless it is known that they are not: then they must not be."""
    if (board.id, what) in KNOWN:
        assert ours != theirs, f"no longer an error: {KNOWN[board.id, what]}"
    else:
        assert ours == theirs


def test_most_boards_are_compared() -> None:
    assert len(TESTED) >= 15
    assert {b for b, _ in KNOWN} <= {b.id for b in TESTED}


@pytest.mark.parametrize("board", TESTED, ids=lambda b: b.id)
def test_the_core_and_its_floating_point_unit(board: Board) -> None:
    core = drivers(board)["core"]
    agree(board, "core", board.core.name, core["type"])
    agree(board, "fpu", board.core.fpu, FPU[core.get("fpu")])


@pytest.mark.parametrize("board", TESTED, ids=lambda b: b.id)
def test_the_banks_cover_the_same_addresses(board: Board) -> None:
    theirs = [
        (int(m["start"], 16), int(m["start"], 16) + int(m["size"]))
        for m in drivers(board)["core"]["memory"]
        if m["name"] not in ALIASES and (m.get("alias", "itcm_flash") == "itcm_flash")
    ]
    ours = [(r.address, r.end) for r in board.memory if r.kind not in ("xip", "psram")]
    agree(board, "memory", joined(ours), joined(theirs))


@pytest.mark.parametrize("board", TESTED, ids=lambda b: b.id)
def test_code_runs_from_the_banks_that_say_so(board: Board) -> None:
    access = {int(m["start"], 16): m["access"] for m in drivers(board)["core"]["memory"]}
    stated = [r for r in board.memory if r.execute is not None and r.address in access]
    agree(board, "execute", {r.name: r.execute for r in stated}, {r.name: "x" in access[r.address] for r in stated})


@pytest.mark.parametrize("board", [b for b in TESTED if b.mcu.startswith("STM32")], ids=lambda b: b.id)
def test_flash_wait_states_at_every_clock(board: Board) -> None:
    levels = drivers(board)["flash"]["latency"]
    highest = max(levels, key=lambda level: int(level["vcore-min"]))["wait-state"]
    # the flash of an H7 with 400 MHz and more hangs on a bus at half the core clock
    halved = board.mcu.startswith(("STM32H74", "STM32H75"))
    theirs, ours = {}, {}
    for clock in board.clocks:
        bus = clock.hz // 2 if halved else clock.hz
        theirs[clock.name] = min(int(s["ws"]) for s in highest if bus <= int(s["hclk-max"]))
        ours[clock.name] = clock.flash_wait_states
    agree(board, "wait states", ours, theirs)
