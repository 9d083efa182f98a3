"""Audio in, audio or decisions out: front end, models and back end as one graph.

A pipeline (`mcu_quant/pipelines`) says how samples become the inputs of a model and what becomes of its outputs.
`compose` makes one graph of all that, whose input is `audio_in`, samples of 16 bits; the rest of the system sees a
model like any other. `AudioReference` is what that graph must compute: the definitions of front and back end in numpy,
and the models in onnxruntime.
"""

from mcu_quant.audio.compose import AUDIO_IN, AUDIO_OUT, Stage, compose
from mcu_quant.audio.latency import latency
from mcu_quant.audio.reference import AudioReference

__all__ = ["AUDIO_IN", "AUDIO_OUT", "AudioReference", "Stage", "compose", "latency"]
