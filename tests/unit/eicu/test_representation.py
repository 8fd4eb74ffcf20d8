"""Hours as ids and numbers: the vocabulary's blocks, the scaling, the padding, and the dense inputs they stand for."""

import polars as pl
import pytest
import torch

from fl_app.eicu.encode import encode
from fl_app.eicu.representation import BENCHMARK, to_dense
from fl_app.eicu.variables import CATEGORICAL, CLINICAL_RANGES, NUMERIC
from fl_app.eicu.vocabulary import Names, fixed_vocabulary, lay_out
from fl_app.learning.models import logistic_regression
from fl_app.plugins import ModelSpec

HOUR = {
    "patientunitstayid": 7, "hour": 1, "hospitalid": 56, "apacheadmissiondx": "nodx", "ethnicity": "Caucasian",
    "gender": "Male", "GCS Total": 15.0, "Eyes": 4.0, "Motor": 6.0, "Verbal": 5.0,
    **{name: sum(CLINICAL_RANGES[name]) / 2 for name in NUMERIC},
}  # fmt: skip


def rows(*changes: dict[str, object]) -> pl.DataFrame:
    return pl.DataFrame([HOUR | change for change in changes])


def labels(**by_stay: int) -> pl.DataFrame:
    return pl.DataFrame(
        {"patientunitstayid": [int(name[1:]) for name in by_stay], "label": list(by_stay.values())},
        schema={"patientunitstayid": pl.Int64, "label": pl.Int64},
    )


def test_the_blocks_fill_429_ids_without_overlap() -> None:
    ends = [1]
    for field in fixed_vocabulary().fields:
        assert field.first == ends[-1]
        ends.append(field.first + field.size)
    assert [field.field for field in fixed_vocabulary().fields] == list(CATEGORICAL)
    assert ends[-1] == 429
    assert BENCHMARK.inputs == 50 * (429 + 13) == 22_100


def test_the_ids_of_a_known_hour_are_the_documented_ones() -> None:
    # nodx 2; African American 391, Asian 392, Caucasian 393; Male 398; 15 of 1..15 from 399; the ends of the rest.
    assert fixed_vocabulary().ids(rows({})).row(0) == (2, 393, 398, 413, 417, 423, 428)


def test_what_is_not_listed_has_the_unknown_id_of_its_field() -> None:
    unknown = {"apacheadmissiondx": "A new disease", "ethnicity": "Martian", "gender": "Other"}
    assert fixed_vocabulary().ids(rows(unknown)).row(0)[:3] == (1, 390, 396)


def test_scores_are_truncated_and_kept_in_their_block() -> None:
    found = fixed_vocabulary().ids(rows({"GCS Total": 14.9, "Eyes": 0.0}, {"GCS Total": 16.0, "Eyes": 5.0}))
    assert found["GCS Total"].to_list() == [412, 413]
    assert found["Eyes"].to_list() == [414, 417]


def test_every_diagnosis_has_an_id_of_its_own() -> None:
    field = fixed_vocabulary().fields[0]
    assert isinstance(field, Names)
    found = fixed_vocabulary().ids(rows(*({"apacheadmissiondx": name} for name in field.known)))
    assert found["apacheadmissiondx"].to_list() == list(range(2, 2 + len(field.known)))


def test_more_diagnoses_than_reserved_ids_are_refused() -> None:
    lay_out("full", [f"diagnosis {number}" for number in range(387)])
    with pytest.raises(ValueError, match="room for 387"):
        lay_out("too full", [f"diagnosis {number}" for number in range(388)])


def test_the_middle_of_a_range_is_0_and_its_ends_are_minus_1_and_1() -> None:
    low = {name: CLINICAL_RANGES[name][0] for name in NUMERIC}
    high = {name: CLINICAL_RANGES[name][1] for name in NUMERIC}
    values = encode(rows(low, {"hour": 2}, high | {"hour": 3}), labels(s7=1)).values[0, :3]
    assert torch.allclose(values, torch.tensor([[-1.0], [0.0], [1.0]]).expand(3, 13), atol=1e-6)


def test_hours_stand_one_after_the_other_and_the_rest_is_padding() -> None:
    encoded = encode(rows({"hour": 3}, {"hour": 9}, {"patientunitstayid": 8, "hour": 5}), labels(s8=1, s7=0))
    assert encoded.ids.shape == (2, 50, 7)
    assert (encoded.ids != 0).any(2).sum(1).tolist() == [2, 1]
    assert encoded.stays.tolist() == [7, 8]
    assert encoded.labels.tolist() == [0, 1]
    assert not encoded.values[:, 2:].any()


def test_hours_beyond_the_fiftieth_are_left_out() -> None:
    encoded = encode(rows(*({"hour": hour} for hour in range(1, 61))), labels(s7=1))
    assert (encoded.ids != 0).all(2).all(1).tolist() == [True]


def test_the_dense_form_has_a_one_per_id_and_the_numbers_behind_them() -> None:
    dense = to_dense(encode(rows({}, {"hour": 2, "age": 89.0}), labels(s7=1)).features()).view(50, 442)
    assert dense[0].nonzero().flatten().tolist() == [2, 393, 398, 413, 417, 423, 428]
    assert dense[1].nonzero().flatten().tolist() == [2, 393, 398, 413, 417, 423, 428, 429 + NUMERIC.index("age")]
    assert not dense[2:].any()


def test_the_logistic_regression_reads_both_forms_as_the_same_function() -> None:
    torch.manual_seed(0)
    model = logistic_regression(ModelSpec({}, 2))
    batch = {"ids": torch.randint(0, 429, (4, 50, 7)), "values": torch.randn(4, 50, 13)}
    batch["ids"][:, 40:], batch["values"][:, 40:] = 0, 0
    # Two equal ids in an hour are one input of the dense form; real hours never have them, random ones may.
    for hour in batch["ids"].view(-1, 7):
        distinct = hour.unique()
        hour[:] = 0
        hour[: len(distinct)] = distinct
    assert torch.allclose(model(batch), model(to_dense(batch)), atol=1e-4)
