"""Models in the form of the Hugging Face hub: safetensors, a config and a model card. Needs the extra `hub`."""

from infogan_lib.hub.pretrained import from_pretrained, push_to_hub, save_pretrained
from infogan_lib.model.pretrained import PretrainedGenerator

__all__ = ["PretrainedGenerator", "from_pretrained", "push_to_hub", "save_pretrained"]
