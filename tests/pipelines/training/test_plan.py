"""Plans: the model, the optimizer and the settings that follow from the choices of the user."""

from typing import Any

import numpy as np
import pytest

from xpnet.data import ColumnMatrix
from xpnet.errors import ConfigurationError, DataError, UsageError
from xpnet.nn import OPTIMIZERS, Layer, LogisticRegression, Network, SoftmaxRegression
from xpnet.pipelines.datasets import Dataset, with_labels_for
from xpnet.pipelines.training import Plan
from xpnet.pipelines.training.plan import choose_model


def data(n_classes: int, m: int = 12) -> Dataset:
    names = tuple("abcdefgh"[:n_classes])
    Y = np.arange(m)[None] % n_classes if n_classes else np.linspace(0, 1, m)[None]
    return Dataset(ColumnMatrix(np.ones((m, 4))), Y, names)


def test_the_labels_choose_the_model() -> None:
    assert choose_model(Plan(), data(2)) == LogisticRegression(4)
    assert choose_model(Plan(), data(3)) == SoftmaxRegression(4, 3)
    assert choose_model(Plan(), data(0)).output == "identity"
    network = choose_model(Plan(hidden="8:relu,4:relu+2:tanh"), data(2))
    assert (network.n_out, network.output, [layer.units for layer in network.hidden]) == (
        1,
        "sigmoid",
        [8, 6],
    )
    assert choose_model(Plan(hidden="8"), data(3)).output == "softmax"
    assert choose_model(Plan("softmax"), data(2)) == SoftmaxRegression(4, 2)


@pytest.mark.parametrize(
    ("plan", "classes", "said"),
    [
        (Plan("logistic"), 3, "two classes, and the data has 3: use softmax"),
        (Plan("logistic", "8"), 2, "no hidden layers"),
        (Plan("network"), 2, "needs --hidden"),
    ],
)
def test_a_model_that_does_not_fit_is_refused(plan: Plan, classes: int, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        choose_model(plan, data(classes))


def test_invalid_layers_are_refused() -> None:
    with pytest.raises(ConfigurationError, match="'rleu', expected one of"):
        choose_model(Plan(hidden="8:rleu"), data(2))


@pytest.mark.parametrize(
    ("options", "classes", "optimizer"),
    [
        ({}, 2, "lbfgs"),
        ({"l2": 3.0, "class_weight": "balanced", "iterations": 50}, 3, "lbfgs"),
        ({"epochs": 5}, 2, "adam"),
        ({"learning_rate": 0.1}, 2, "adam"),
        ({"patience": 2}, 3, "adam"),
        ({"iterations": 100, "learning_rate": 0.1}, 2, "sgd"),
        ({"hidden": "8"}, 2, "adam"),
        ({"hidden": "8", "iterations": 10}, 2, "adam"),
        ({}, 0, "adam"),
        ({"optimizer": "momentum"}, 2, "momentum"),
    ],
)
def test_the_optimizer_follows(options: dict, classes: int, optimizer: str) -> None:
    plan = Plan(**options)
    assert plan.optimizer_for(choose_model(plan, data(classes))) == optimizer


def test_settings_are_those_of_the_plan() -> None:
    plan = Plan(optimizer="sgd", iterations=7, learning_rate=0.5, l2=2.0, seed=3, schedule="cosine")
    settings = plan.settings(LogisticRegression(4), 100)
    assert (settings.epochs, settings.batch_size, settings.learning_rate) == (7, None, 0.5)
    assert (settings.l2, settings.seed, settings.initializer) == (2.0, 3, "zeros")
    assert settings.optimizer == OPTIMIZERS["sgd"]


def test_a_learning_rate_of_0_is_refused_and_not_replaced() -> None:
    with pytest.raises(ConfigurationError, match="learning_rate is 0"):
        Plan(learning_rate=0.0, epochs=1).settings(LogisticRegression(4), 100)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"iterations": 5, "epochs": 5}, "leave out --epochs"),
        ({"iterations": 5, "batch_size": 5}, "leave out --epochs and --batch-size"),
        ({"optimizer": "lbfgs", "dropout": 0.1}, "does not use --dropout"),
        (
            {"optimizer": "lbfgs", "learning_rate": 0.1},
            "does not use --learning-rate: leave it out, or choose",
        ),
        ({"model": "cnn"}, "--model is 'cnn', expected one of logistic"),
        ({"optimizer": "sgdd"}, "--optimizer is 'sgdd'"),
    ],
)
def test_contradictions_are_refused(options: dict, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        Plan(**options)


@pytest.mark.parametrize(
    ("plan", "classes"),
    [
        (Plan(l2="auto", epochs=3), 2),
        (Plan(l2="auto", optimizer="sgd", iterations=3), 3),
        (Plan(l2="auto", hidden="8"), 2),
        (Plan(l2="auto", iterations=3), 0),
        (Plan(l2="auto", l1=1.0), 2),
    ],
)
def test_only_trainings_that_can_choose_a_penalty_are_asked_to(plan: Plan, classes: int) -> None:
    with pytest.raises(
        UsageError, match="--l2 auto chooses the penalty of linear models that are trained by"
    ):
        choose_model(plan, data(classes))


def test_a_penalty_can_be_chosen_for_linear_models() -> None:
    for classes in (0, 2, 3):
        choose_model(Plan(l2="auto"), data(classes))
    choose_model(Plan(l2="auto", class_weight="balanced", iterations=50, features="patches"), data(2))
    with pytest.raises(UsageError, match="l2 is 'automatic', expected a number or 'auto'"):
        Plan(l2="automatic")
    with pytest.raises(UsageError, match="--optimizer ridge does not use --l2: leave it out"):
        Plan(l2="auto", optimizer="ridge")


def test_a_regression_needs_two_examples() -> None:
    table = Dataset(ColumnMatrix(np.ones((1, 1))), np.array([[10.0]]), ())
    with pytest.raises(DataError, match="there is 1 example: a regression needs at least 2"):
        choose_model(Plan(), table)


def test_lbfgs_is_not_for_networks() -> None:
    plan = Plan(optimizer="lbfgs", hidden="8")
    with pytest.raises(UsageError, match="for logistic and softmax"):
        plan.optimizer_for(choose_model(plan, data(2)))


def test_numbers_become_classes_and_classes_numbers() -> None:
    table = Dataset(ColumnMatrix(np.ones((4, 1))), np.array([[10.0, 2.0, 10.0, 0.5]]), ())
    classes = with_labels_for("softmax", table)
    assert classes.classes == ("0.5", "2", "10")
    assert classes.Y.tolist() == [[2, 1, 2, 0]]
    assert with_labels_for("regression", classes).Y.tolist() == table.Y.tolist()
    assert with_labels_for(None, table) is table
    with pytest.raises(DataError, match="needs numbers"):
        with_labels_for("regression", data(2))


@pytest.mark.parametrize(
    ("m", "batch_size", "epochs"), [(10, 10, 1000), (341, 32, 91), (5000, 256, 50), (10**6, 256, 20)]
)
def test_few_examples_get_small_batches_and_more_epochs(m: int, batch_size: int, epochs: int) -> None:
    settings = Plan(hidden="4").settings(choose_model(Plan(hidden="4"), data(2)), m)
    assert (settings.batch_size, settings.epochs) == (batch_size, epochs)


@pytest.mark.parametrize(
    ("plan", "closed"),
    [
        (Plan(), True),
        (Plan(l2=2.0, dtype="float64", model="regression", seed=3), True),
        (Plan(epochs=5), False),
        (Plan(iterations=5), False),
        (Plan(optimizer="adam"), False),
        (Plan(learning_rate=0.1), False),
        (Plan(patience=3), False),
        (Plan(batch_size=8), False),
        (Plan(class_weight="balanced"), False),
    ],
)
def test_linear_regression_is_solved_unless_steps_are_asked_for(plan: Plan, closed: bool) -> None:
    model = Network(3, 1, "identity")
    assert plan.is_closed_form(model, 50) is closed
    assert plan.is_full_batch(model, 50) is closed
    assert not plan.is_closed_form(Network(3, 1, "identity", (Layer.parse("4"),)), 50)
    assert not plan.is_closed_form(LogisticRegression(3), 50)
    assert not plan.is_closed_form(Network(5000, 1, "identity"), 5000)


@pytest.mark.parametrize(
    ("choice", "said"),
    [
        ({"epochs": 0}, "epochs is 0, expected a whole number, 1 or more"),
        ({"iterations": 1.5}, "iterations is 1.5"),
        ({"batch_size": True}, "batch_size is True"),
        ({"seed": -1}, "seed is -1, expected a whole number, 0 or more"),
        ({"patience": "3"}, "patience is '3'"),
        ({"l2": "3"}, "l2 is '3', expected a number"),
        ({"hidden": [8]}, r"hidden is \[8\], expected text"),
    ],
)
def test_values_of_another_kind_are_refused(choice: dict[str, Any], said: str) -> None:
    with pytest.raises(UsageError, match=said):
        Plan(**choice)


def test_whole_numbers_of_numpy_are_whole_numbers() -> None:
    assert Plan(epochs=np.int64(2), seed=np.int32(3)).epochs == 2  # type: ignore[arg-type]
