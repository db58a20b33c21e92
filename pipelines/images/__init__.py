"""Images: find the files, and decode each into one column of bytes.

The processes that decode load only this package, and no NumPy.
"""

from typing import TYPE_CHECKING

from xpnet.lazy import lazy_door

if TYPE_CHECKING:
    from .cluster import Cluster as Cluster
    from .cluster import part_size as part_size
    from .cluster_worker import Needs as Needs
    from .cluster_worker import file_digest as file_digest
    from .contents import exists as exists
    from .contents import read_content as read_content
    from .contents import why_no_image as why_no_image
    from .decode import codec_versions as codec_versions
    from .decode import decode_to_bytes as decode_to_bytes
    from .decode import usual_pillow as usual_pillow
    from .decode_many import CHUNK_SIZE as CHUNK_SIZE
    from .decode_many import DecodedImages as DecodedImages
    from .decode_many import Decoders as Decoders
    from .decode_many import begin_decoding as begin_decoding
    from .decode_many import decode_all as decode_all
    from .decode_many import decode_chunk as decode_chunk
    from .decode_many import decoders_for as decoders_for
    from .decode_many import in_batches as in_batches
    from .decode_many import open_decoders as open_decoders
    from .decode_many import workers_for as workers_for
    from .inputs import archives_named as archives_named
    from .inputs import class_folders as class_folders
    from .inputs import count_images_in as count_images_in
    from .inputs import damaged_archive as damaged_archive
    from .inputs import expand_inputs as expand_inputs
    from .inputs import file_names as file_names
    from .inputs import holds_images as holds_images
    from .inputs import is_archive as is_archive
    from .inputs import is_folder as is_folder
    from .inputs import joined as joined
    from .inputs import name_text as name_text
    from .inputs import passed_over_text as passed_over_text
    from .inputs import path_text as path_text
    from .inputs import strip_common_folder as strip_common_folder
    from .inputs import subfolders as subfolders
    from .inputs import walk_images as walk_images
    from .libraries import decoding_libraries as decoding_libraries
    from .parquet_images import PARQUET_SUFFIXES as PARQUET_SUFFIXES
    from .parquet_images import open_parquet as open_parquet
    from .read_ahead import read_all as read_all
    from .recipe import DECODERS as DECODERS
    from .recipe import Recipe as Recipe
    from .recipe import versions_text as versions_text
    from .remote import is_bucket as is_bucket
    from .remote import is_remote as is_remote
    from .remote import require_bucket_writable as require_bucket_writable
    from .remote import send_to_bucket as send_to_bucket
    from .worker import DIED as DIED
    from .workers import Workers as Workers

__getattr__, __dir__, __all__ = lazy_door(
    __name__,
    {
        "recipe": "DECODERS Recipe versions_text",
        "cluster": "Cluster part_size",
        "cluster_worker": "Needs file_digest",
        "contents": "exists read_content why_no_image",
        "inputs": (
            "archives_named class_folders count_images_in damaged_archive expand_inputs file_names "
            "holds_images is_archive is_folder joined name_text passed_over_text path_text "
            "strip_common_folder subfolders walk_images"
        ),
        "decode": "codec_versions decode_to_bytes usual_pillow",
        "libraries": "decoding_libraries",
        "decode_many": (
            "CHUNK_SIZE DecodedImages Decoders begin_decoding decode_all decode_chunk decoders_for "
            "in_batches open_decoders workers_for"
        ),
        "parquet_images": "PARQUET_SUFFIXES open_parquet",
        "read_ahead": "read_all",
        "remote": "is_bucket is_remote require_bucket_writable send_to_bucket",
        "worker": "DIED",
        "workers": "Workers",
    },
)
