"""Images: find them, and decode each to one column of bytes.

A process that decodes loads this package alone, without NumPy.
"""

from typing import TYPE_CHECKING

from xpnet.lazy import lazy_door

if TYPE_CHECKING:
    from .decode import codecs as codecs
    from .decode import decode_image as decode_image
    from .decode import pixels as pixels
    from .decode import quiet as quiet
    from .decode_many import CHUNK as CHUNK
    from .decode_many import DecodedImages as DecodedImages
    from .decode_many import decode_all as decode_all
    from .decode_many import decode_chunk as decode_chunk
    from .decode_many import workers_for as workers_for
    from .inputs import class_folders as class_folders
    from .inputs import expand_inputs as expand_inputs
    from .inputs import path_text as path_text
    from .inputs import strip_common_folder as strip_common_folder
    from .inputs import walk_images as walk_images
    from .recipe import Recipe as Recipe

__getattr__, __dir__, __all__ = lazy_door(
    __name__,
    {
        "recipe": "Recipe",
        "inputs": "class_folders expand_inputs path_text strip_common_folder walk_images",
        "decode": "codecs decode_image pixels quiet",
        "decode_many": "CHUNK DecodedImages decode_all decode_chunk workers_for",
    },
)
