"""Arrays: their library (`xp`), their dtype and their shape.

Functions that compute find the library of their arguments here, and check their arguments here.
"""

from xpnet.arrays.namespaces import (
    Array,
    Namespace,
    cast_like,
    float_arrays,
    indices_like,
    is_float_array,
    is_number_dtype,
    namespace,
    refuse_other_than_floats,
    refuse_other_than_numbers,
)
from xpnet.arrays.shapes import (
    refuse_rank_1,
    require_affine,
    require_axis,
    require_broadcastable,
    require_class_labels,
    require_elements,
    require_floats,
    require_inner,
    require_matrix,
    require_number,
    require_probabilities,
    require_same,
)

__all__ = [
    "Array",
    "Namespace",
    "cast_like",
    "float_arrays",
    "indices_like",
    "is_float_array",
    "is_number_dtype",
    "namespace",
    "refuse_other_than_floats",
    "refuse_other_than_numbers",
    "refuse_rank_1",
    "require_affine",
    "require_axis",
    "require_broadcastable",
    "require_class_labels",
    "require_elements",
    "require_floats",
    "require_inner",
    "require_matrix",
    "require_number",
    "require_probabilities",
    "require_same",
]
