"""What a pipeline delays, and which of its front ends slide."""

from __future__ import annotations

from mcu_quant.data.audio import Stages, Stft
from mcu_quant.pipelines import Behind, Block, Pipeline
from mcu_quant.pipelines.outputs import AudioOutput


def latency(pipeline: Pipeline) -> int:
    """Samples by which the audio that comes out is behind what goes in; 0 where none comes out.

    A block of audio is finished when the last block that overlaps it is, so the delay is what a block has beyond a hop.
    Where another model's audio is heard, it comes after that of the other.
    """
    if not isinstance(pipeline.output, AudioOutput):
        return 0
    before = latency(pipeline.upstream.fed) if pipeline.upstream and pipeline.behind is Behind.AUDIO else 0
    return before + pipeline.block.length - pipeline.block.hop


def slides(stages: Stages, block: Block, hop: int) -> Stft | None:
    """The transform of a front end whose frames stay what they are when the block moves on by `hop` samples, or None.

    Frames must begin at multiples of their hop, and nothing may look at the whole block before them: neither a level it
    is brought to, nor its ends (centred frames), nor a first sample without a predecessor (emphasis) that counts.
    """
    if stages.stft is None or block.normalise != "none":
        return None
    stft = stages.stft.resolved(block.length)
    if stft.frames(block.length) == 1 or stft.centre != "none" or stft.drop_last:
        return None
    aligned = (block.length - stft.length) % stft.hop == 0 and hop % stft.hop == 0
    return stft if aligned else None
