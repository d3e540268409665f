"""The parameters of focal loss, as the configuration gives them."""

import pytest
from pydantic import ValidationError

from components.model.settings import Focal, Training


def test_alpha_by_label_is_in_the_order_of_the_labels_and_neutral_for_others() -> None:
    """Of several labels, alpha 0.5 counts both states alike; of exclusive ones, 1 is no factor."""
    focal = Focal(gamma=1.5, alpha={"dog": 0.25})
    assert focal.by_label(["cat", "dog"], exclusive=False) == [0.5, 0.25]
    assert focal.by_label(["cat", "dog"], exclusive=True) == [1.0, 0.25]
    assert Focal(alpha=0.3).by_label(["cat", "dog"], exclusive=True) == 0.3
    assert (Focal().gamma, Focal().by_label(["cat"], exclusive=True)) == (2.0, None)


@pytest.mark.parametrize(
    ("training", "told"),
    [
        ({"focal": {"gamma": 1}}, "focal: loss is cross_entropy; remove the key, or set loss: focal"),
        ({"loss": "focal", "focal": {"gamma": -1}}, "greater than or equal to 0"),
        ({"loss": "focal", "focal": {"alpha": {"cat": 1.5}}}, "less than or equal to 1"),
    ],
)
def test_what_focal_loss_cannot_use_is_refused(training: dict[str, object], told: str) -> None:
    with pytest.raises(ValidationError, match=told):
        Training.model_validate(training)
