from pathlib import Path

import pytest

from etymon.errors import EtymonError
from etymon.serve.policy import read_policy

WHOLE = """
name: ours
permitted_uses: [questions about our products]
guard:
  mode: observe
  refusal: Not here.
  rules:
    - {id: weapons, terms: bomb, files: weapons.txt, sides: input}
labels: {producer: Ada & Co, visible: end, text: AI生成}
audit: {texts: true, days: 200}
"""


def test_a_policy_is_read_with_its_files(tmp_path: Path) -> None:
    (tmp_path / "weapons.txt").write_text("# ours\nmine\n\n grenade \n", "utf-8")
    (tmp_path / "policy.yaml").write_text(WHOLE, "utf-8")
    policy = read_policy(tmp_path / "policy.yaml")
    (rule,) = policy.guard.rules
    assert rule.terms == ("bomb", "mine", "grenade")
    assert (policy.guard.mode, policy.labels.visible, policy.audit.days) == ("observe", "end", 200)


def test_what_is_left_out_is_as_by_default(tmp_path: Path) -> None:
    (tmp_path / "policy.yaml").write_text("guard: {mode: off}\n", "utf-8")
    policy = read_policy(tmp_path / "policy.yaml")
    assert (policy.guard.mode, policy.guard.rules, policy.audit.texts) == ("off", (), False)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("guard: {mode: on}", "`guard.mode`"),
        ("gaurd: {}", "did you mean `guard`"),
        ("guard: {rules: [{id: a, terms: x}, {id: a, terms: y}]}", "two rules are called 'a'"),
        ("guard: {rules: [{id: a, files: gone.txt}]}", "The terms of the rule a"),
        ("guard: {rules: [{id: a, patterns: '('}]}", "no regular expression"),
        ("guard: {classifier: {url: 'file:///etc/passwd'}}", "no address of a service"),
        ("audit: {days: 0}", "`audit.days`"),
        ("- a", "holds no policy"),
        ("a: [", "not valid YAML"),
    ],
)
def test_what_is_wrong_is_named(tmp_path: Path, text: str, problem: str) -> None:
    path = tmp_path / "policy.yaml"
    path.write_text(text, "utf-8")
    with pytest.raises(EtymonError) as refused:
        read_policy(path)
    assert problem in str(refused.value)
