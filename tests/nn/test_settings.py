"""Settings: values that are refused."""

from typing import Any

import pytest

from xpnet.errors import ConfigurationError
from xpnet.nn import Settings


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"learning_rate": 0}, "learning_rate is 0, expected more than 0"),
        ({"learning_rate": -1.0}, "learning_rate is -1.0"),
        ({"learning_rate": float("nan")}, "learning_rate is nan"),
        ({"epochs": 0}, "epochs is 0, expected a whole number of at least 1"),
        ({"batch_size": 1.5}, "batch_size is 1.5"),
        ({"patience": -1}, "patience is -1"),
        ({"metric_examples": -1}, "metric_examples is -1, expected a whole number of at least 0"),
        ({"metric_examples": 1e3}, "metric_examples is 1000.0"),
        ({"l2": -0.1}, "l2 is -0.1, expected at least 0"),
        ({"clip": 0}, "clip is 0"),
        ({"dropout": 1.0}, "dropout is 1.0, expected at least 0 and below 1"),
        ({"label_smoothing": -0.1}, "label_smoothing is -0.1"),
        ({"dtype": "float16"}, "dtype is 'float16', expected 'float32' or 'float64'"),
    ],
)
def test_settings_that_are_not_possible_are_refused(values: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        Settings(**values)
