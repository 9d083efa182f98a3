"""Whether a build fits a board: what each memory region must hold, what it can, and what to do where it does not."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from mcu_quant.boards import READ_ONLY, Board, all_boards
from mcu_quant.diagnostics import Diagnostic


@dataclass(frozen=True)
class RegionFit:
    """What one memory region must hold, and what it can."""

    region: str
    holds: str
    needed_bytes: int
    available_bytes: int

    @property
    def fits(self) -> bool:
        """Whether the region is large enough."""
        return self.needed_bytes <= self.available_bytes

    @property
    def missing_bytes(self) -> int:
        """By how much it is too small; 0 where it fits."""
        return max(0, self.needed_bytes - self.available_bytes)


@dataclass(frozen=True)
class Fit:
    """Whether a build fits a board. `remedy` is empty where it does."""

    board: str
    regions: tuple[RegionFit, ...]
    remedy: str = ""

    @property
    def fits(self) -> bool:
        """Whether every region is large enough."""
        return all(r.fits for r in self.regions)

    def diagnostics(self) -> list[Diagnostic]:
        """MQ503 for each region that is too small."""
        found = []
        for r in self.regions:
            if not r.fits:
                sizes = f"{_kib(r.needed_bytes)}, there are {_kib(r.available_bytes)}: {_kib(r.missing_bytes)} too much"
                found.append(
                    Diagnostic("MQ503", f"{self.board}: {r.region}", f"{r.holds} need {sizes}", help=self.remedy)
                )
        return found


def fit(board: Board, flash_bytes: int, ram_bytes: int, placed: Mapping[str, int] = MappingProxyType({})) -> Fit:
    """Does a build fit? `flash_bytes` is code and constants, `ram_bytes` arena, state, static data and stack.

    `ram_bytes` is of the arena memory, which is one bank: an arena cannot be split. `placed` is what was put into other
    regions, in bytes.
    """
    regions = _region_fits(board, flash_bytes, ram_bytes)
    regions += tuple(
        RegionFit(name, "what was placed there", size, board.region(name).usable_bytes) for name, size in placed.items()
    )
    if all(r.fits for r in regions):
        return Fit(board.id, regions)
    return Fit(board.id, regions, _remedy(board, regions, flash_bytes, ram_bytes))


def _region_fits(board: Board, flash_bytes: int, ram_bytes: int) -> tuple[RegionFit, ...]:
    program, arena = board.program_memory, board.arena_memory
    return (
        RegionFit(program.name, "code and weights", flash_bytes, program.usable_bytes),
        RegionFit(arena.name, "working memory, state and stack", ram_bytes, arena.usable_bytes),
    )


def _remedy(board: Board, regions: tuple[RegionFit, ...], flash_bytes: int, ram_bytes: int) -> str:
    """What the user can do: smaller formats for what is too large, and the smallest boards that would do."""
    program, arena = regions[:2]
    advice = []
    if not program.fits:
        advice.append("store more weights in 8 bits (--preset s8, or --set OPERATOR=s8 for the largest)")
    if not arena.fits:
        advice.append("give the operators with the largest edges a smaller format (s8 takes a quarter of f32)")
    products = [b for b in all_boards() if _is_product(b)]
    larger = [b for b in products if all(r.fits for r in _region_fits(b, flash_bytes, ram_bytes))]
    larger.sort(key=lambda b: (b.arena_memory.usable_bytes, b.program_memory.usable_bytes))
    if larger:
        advice.append(f"or take a board with more memory: {', '.join(b.id for b in larger[:3])}")
    return "; ".join(advice)


def _is_product(board: Board) -> bool:
    """A board with non-volatile memory, unlike the FPGA images that emulators know."""
    return board.program_memory.kind in READ_ONLY


def _kib(size: int) -> str:
    return f"{size / 1024:.1f} KiB" if size >= 1024 else f"{size} bytes"
