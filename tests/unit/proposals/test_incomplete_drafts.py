"""Whatever a draft lacks, it can be compared, and its words can be found."""

from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from services.proposals.domain import wording
from services.proposals.domain.comparison import compare
from services.proposals.domain.sign_off import Parts, councils_of
from shared.proposal_content import ProposalDraft
from tests.support.proposals import content


def _pruned(value: Any, keep: Any, *, top: bool = False) -> Any:
    """Return a content without some of what it says. :param keep: tells of each field whether it stays."""
    if isinstance(value, dict):
        return {
            name: _pruned(inner, keep)
            for name, inner in value.items()
            if (top and name in ProposalDraft.NEEDED) or keep()
        }
    if isinstance(value, list):
        return [_pruned(inner, keep) for inner in value if not isinstance(inner, str) or keep()]
    return value


@settings(deadline=None, suppress_health_check=list(HealthCheck))
@given(st.data())
def test_whatever_a_draft_lacks_it_can_be_compared_and_read(data: st.DataObject) -> None:
    def keep() -> bool:
        return data.draw(st.integers(0, 4)) > 0

    one, other = (_pruned(content(), keep, top=True) for _ in range(2))
    for draft in (one, other):
        assert ProposalDraft().dump(ProposalDraft(unknown="raise").load(draft)) == draft
        assert wording.of_proposal(draft)
        assert compare(draft, draft) == []
    there, back = compare(one, other), compare(other, one)
    assert [(change.path, change.before, change.after) for change in there] == [
        (change.path, change.after, change.before) for change in back
    ]
    for change in there:
        assert change.sentence.endswith(".")
        assert change.dotted_path
        assert councils_of(change, Parts(one), Parts(other)) >= frozenset()
