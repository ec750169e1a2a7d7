from etymon.text.counted import counted


def test_one_is_said_otherwise_than_several():
    assert [counted(count, "item") for count in (0, 1, 2, 1204)] == ["0 items", "1 item", "2 items", "1,204 items"]
    assert counted(1, "matrix", "matrices") == "1 matrix"
    assert counted(3, "matrix", "matrices") == "3 matrices"
