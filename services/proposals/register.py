"""The register of proposals: what lists, counts and the search for similar ones look in, and how it is kept.

Beside a proposal's row it holds the councils that it concerns and the words that it says. Both are written in the
transaction that writes the proposal, by :func:`enter`.
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple
from uuid import UUID

from sqlalchemy import ColumnElement, Row, Select, and_, case, delete, func, insert, or_, select, union
from sqlalchemy.orm import Session, selectinload, undefer

from services.proposals import access
from services.proposals.access import Way
from services.proposals.domain import similarity, wording
from services.proposals.domain.similarity import Rarity, Similarity
from services.proposals.domain.states import DECIDED, State
from services.proposals.domain.wording import Word, Wording
from services.proposals.models import (
    Proposal,
    ProposalCouncil,
    ProposalWord,
    ProposalWording,
    ReferenceCounter,
    Revision,
)
from shared.security.principal import Principal

#: By how many of the words of a text, the rarest, proposals are found; the others are looked up in what that leaves.
#: PostgreSQL takes longer to think of the best order for more of them than to find anything.
MAX_JOINED = 3
#: How rare a word is, is told by this many of the newest proposals.
SAMPLE = 1_000
#: About how many occurrences of words are looked at to find what could be similar: those of the rarest words.
MAX_OCCURRENCES = 20_000
#: How many of the proposals found by them are read, drafts among them, and how many are compared word by word.
MAX_READ = 400
MAX_COMPARED = 40
#: How many proposals are looked at, and how many of them entered anew, in a transaction.
MAX_LOOKED_AT = 1_000
BATCH_SIZE = 50

# As tables: an alias of a mapped class takes longer to make than its statement to run.
_PROPOSALS, _COUNCILS, _WORDS = (kind.__table__ for kind in (Proposal, ProposalCouncil, ProposalWord))

#: The column by which a walk goes on.
Key = ColumnElement[UUID]


# --- keeping it -----------------------------------------------------------------------------------------------------


def enter(session: Session, *proposals: Proposal) -> None:
    """Enter what proposals say now: the revision that was last handed in, or the draft before the first.

    :param proposals: are locked by this transaction, or new.
    """
    session.flush()
    _enter_councils(session, proposals)
    _enter_words(session, proposals)


class Batch(NamedTuple):
    """Some of the proposals that were entered anew: how many, and the id up to which it is done."""

    entered: int
    upto: UUID


def enter_stale(session: Session, after: UUID | None) -> Batch | None:
    """Enter some of the proposals that the register lacks, or has as another version of the service entered them.

    :param after: the id up to which that was done.
    :returns: None when that was the last proposal.
    """
    # A bounded stretch of the ids first: whatever the database takes the tables' sizes for, it reads no more than that.
    next_ones = (
        select(Proposal.id, Proposal.revision, Proposal.draft_version).order_by(Proposal.id).limit(MAX_LOOKED_AT)
    )
    stretch = (next_ones if after is None else next_ones.where(Proposal.id > after)).subquery()
    is_stale = or_(
        ProposalWording.proposal_id.is_(None),
        ProposalWording.analyser < wording.ANALYSER,
        ProposalWording.revision != stretch.c.revision,
        and_(stretch.c.revision == 0, ProposalWording.draft_version != stretch.c.draft_version),
    )
    looked_at = session.execute(
        select(stretch.c.id, is_stale.label("is_stale"))
        .outerjoin(ProposalWording, ProposalWording.proposal_id == stretch.c.id)
        .order_by(stretch.c.id)
    ).all()
    if not looked_at:
        return None
    stale = [row.id for row in looked_at if row.is_stale][:BATCH_SIZE]
    entered: Sequence[Proposal] = []
    if stale:
        # Whoever holds one of them is writing it, or entering it too.
        free = (
            select(Proposal)
            .where(Proposal.id.in_(stale))
            .options(undefer(Proposal.draft), selectinload(Proposal.revisions).undefer(Revision.content))
            .with_for_update(skip_locked=True)
        )
        entered = session.scalars(free).all()
        enter(session, *entered)
    return Batch(len(entered), stale[-1] if len(stale) == BATCH_SIZE else looked_at[-1].id)


def _enter_councils(session: Session, proposals: Sequence[Proposal]) -> None:
    entered = defaultdict(set)
    of_these = ProposalCouncil.proposal_id.in_([proposal.id for proposal in proposals])
    for proposal_id, council in session.execute(
        select(ProposalCouncil.proposal_id, ProposalCouncil.council).where(of_these)
    ):
        entered[proposal_id].add(council)
    rows = []
    for proposal in proposals:
        taking_part = {proposal.lead_council, *(proposal.participants if proposal.revision > 0 else [])}
        if gone := entered[proposal.id] - taking_part:
            session.execute(
                delete(ProposalCouncil).where(
                    ProposalCouncil.proposal_id == proposal.id, ProposalCouncil.council.in_(gone)
                )
            )
        of_proposal = {"proposal_id": proposal.id, "round_id": proposal.round_id, "state": proposal.state}
        rows += [of_proposal | {"council": council} for council in sorted(taking_part - entered[proposal.id])]
    if rows:
        session.execute(insert(ProposalCouncil), rows)


def _enter_words(session: Session, proposals: Sequence[Proposal]) -> None:
    of_these = ProposalWording.proposal_id.in_([proposal.id for proposal in proposals])
    entered = {found.proposal_id: found for found in session.scalars(select(ProposalWording).where(of_these))}
    rows: list[dict[str, Any]] = []
    for proposal in proposals:
        said = wording.of_proposal(proposal.draft if proposal.current is None else proposal.current.content)
        found = entered.get(proposal.id) or ProposalWording(proposal_id=proposal.id, analyser=0, words={})
        before = _loaded(found.words)
        # What another analysis made of the same text is not comparable.
        is_comparable = found.analyser == wording.ANALYSER
        kept = {
            stem for stem in before.keys() & said.keys() if is_comparable and before[stem].weight == said[stem].weight
        }
        if gone := before.keys() - kept:
            session.execute(
                delete(ProposalWord).where(ProposalWord.proposal_id == proposal.id, ProposalWord.word.in_(gone))
            )
        rows += [
            {"word": stem, "proposal_id": proposal.id, "weight": said[stem].weight}
            for stem in sorted(said.keys() - kept)
        ]
        found.analyser = wording.ANALYSER
        found.revision = proposal.revision
        found.draft_version = 0 if proposal.revision > 0 else proposal.draft_version
        found.words = {stem: list(word) for stem, word in said.items()}
        session.add(found)
    if rows:
        session.execute(insert(ProposalWord), rows)


def _loaded(words: dict[str, Any]) -> dict[str, Word]:
    return {stem: Word(*word) for stem, word in words.items()}


# --- lists and counts -----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Wanted:
    """What a list is asked for; every condition that is given must hold.

    :param council: leads, or takes part in the current revision.
    :param words: the stems of which every one, each given once, is among the proposal's words.
    :param reference: of one proposal.
    """

    state: str | None = None
    round_id: UUID | None = None
    council: str | None = None
    words: Sequence[str] = field(default=())
    reference: str | None = None


#: What a list shows of a proposal, none of which is its content.
ITEM = (
    Proposal.id,
    Proposal.reference,
    Proposal.round_id,
    Proposal.state,
    Proposal.revision,
    Proposal.title,
    Proposal.lead_council,
    Proposal.participants,
    Proposal.requested_pence,
    Proposal.score,
    Revision.submitted_at,
)


def listed(
    session: Session, principal: Principal, wanted: Wanted, *, after: UUID | None, limit: int
) -> Sequence[Row[Any]]:
    """Return the first of the wanted proposals that the caller may know of, in the order of their ids.

    Each way in which the caller knows of proposals is walked along its index, no further than the page needs.

    :param after: the id after which to begin.
    """
    if len(wanted.words) > MAX_JOINED:
        wanted = replace(wanted, words=_rarest_first(session, wanted.words))
    walks = []
    for key, walk in _walks(principal, wanted):
        rest = walk if after is None else walk.where(key > after)
        walks.append(select(rest.order_by(key).limit(limit).subquery().c.id))
    if not walks:
        return []
    ids = walks[0] if len(walks) == 1 else select(union(*walks).subquery().c.id)
    return session.execute(_items().where(Proposal.id.in_(ids)).order_by(Proposal.id).limit(limit)).all()


def _rarest_first(session: Session, stems: Sequence[str]) -> list[str]:
    rarity, _ = _rarity(session, stems)
    return sorted(stems, key=lambda stem: rarity.containing.get(stem, 0))


def counts(session: Session, principal: Principal, round_id: UUID) -> dict[str, int]:
    """Return how many proposals of a round the caller may know of, by state; states without any are left out."""
    found = union(*(walk for _, walk in _walks(principal, Wanted(round_id=round_id)))).subquery()
    by_state = select(found.c.state, func.count()).group_by(found.c.state)
    return dict(session.execute(by_state).all())


def _items(*more: Any) -> Select[*tuple[Any, ...]]:
    current = and_(Revision.proposal_id == Proposal.id, Revision.number == Proposal.revision)
    return select(*ITEM, *more).outerjoin(Revision, current)


def _walks(principal: Principal, wanted: Wanted) -> Iterator[tuple[Key, Select[Any]]]:
    """Yield, for each way in which the caller can know of what is wanted, a selection of ``id`` and ``state``."""
    ways = access.ways(principal)
    # A council's own people know of whatever concerns it: no other way leads to more of that.
    own = [way for way in ways if wanted.council is not None and way == Way(council=wanted.council)]
    for way in own or ways:
        if wanted.state is None or _leads_to(way, State(wanted.state)):
            yield _walk(way, wanted)


def _leads_to(way: Way, state: State) -> bool:
    if way.decided:
        return state in DECIDED
    return not (way.handed_in and state == State.DRAFT)


def _walk(way: Way, wanted: Wanted) -> tuple[Key, Select[Any]]:
    councils = sorted({council for council in (way.council, wanted.council) if council is not None})
    rows = [_COUNCILS.alias() for _ in councils]
    table = rows[0].c if rows else _PROPOSALS.c
    key: Key = table.proposal_id if rows else table.id
    walk = select(key.label("id"), table.state)
    for row, council in zip(rows, councils, strict=True):
        walk = walk.where(row.c.council == council, row.c.proposal_id == key)
    for stem in wanted.words[:MAX_JOINED]:
        word = _WORDS.alias()
        walk = walk.where(word.c.word == stem, word.c.proposal_id == key)
    if rest := wanted.words[MAX_JOINED:]:
        among = select(func.count()).where(_WORDS.c.proposal_id == key, _WORDS.c.word.in_(rest))
        walk = walk.where(among.scalar_subquery() == len(rest))
    if wanted.state is not None:
        walk = walk.where(table.state == wanted.state)
    if wanted.round_id is not None:
        walk = walk.where(table.round_id == wanted.round_id)
    # Of all states but one it is known whether they are handed in, or decided: see _leads_to.
    told = list(way.facts()) if wanted.state in (None, State.WITHDRAWN) else []
    if wanted.reference is not None:
        told.append(_PROPOSALS.c.reference == wanted.reference)
    if told and rows:
        told.append(_PROPOSALS.c.id == key)
    return key, walk.where(*told)


# --- similar ones ---------------------------------------------------------------------------------------------------


def similar_to(session: Session, proposal: Proposal, content: Mapping[str, Any]) -> list[tuple[Row[Any], Similarity]]:
    """Return the proposals that have the most in common with one, the most similar first, from a threshold on.

    :param content: what that one says, which need not be handed in.
    """
    ours = wording.of_proposal(content)
    rarity, proposals = _rarity(session, list(ours))
    scores = _telling(ours, rarity, proposals)
    if not scores:
        return []
    overlap = func.sum(ProposalWord.weight * case(scores, value=ProposalWord.word))
    candidates = (
        select(ProposalWord.proposal_id, overlap.label("overlap"))
        .where(ProposalWord.word.in_(scores))
        .group_by(ProposalWord.proposal_id)
        .order_by(overlap.desc(), ProposalWord.proposal_id.desc())
        .limit(MAX_READ)
        .subquery()
    )
    nearest = (
        _items(ProposalWording.words)
        .join(candidates, candidates.c.proposal_id == Proposal.id)
        .join(ProposalWording, ProposalWording.proposal_id == Proposal.id)
        .where(access.told_of(proposal))
        .order_by(candidates.c.overlap.desc(), Proposal.id.desc())
        .limit(MAX_COMPARED)
    )
    found = []
    for row in session.execute(nearest):
        compared = similarity.compare(ours, _loaded(row.words), rarity)
        if compared is not None and compared.score >= similarity.THRESHOLD:
            found.append((row, compared))
    found.sort(key=lambda pair: (-pair[1].score, pair[0].reference))
    return found[: similarity.MAX_FOUND]


def _rarity(session: Session, stems: Sequence[str]) -> tuple[Rarity, int]:
    """Return how rare words are among the newest proposals, and about how many proposals there are."""
    newest = select(ProposalWording.proposal_id).order_by(ProposalWording.proposal_id.desc()).limit(SAMPLE).subquery()
    sampled = session.scalar(select(func.count()).select_from(newest)) or 0
    containing = select(ProposalWord.word, func.count()).where(ProposalWord.word.in_(stems)).group_by(ProposalWord.word)
    total = sampled
    if sampled == SAMPLE:
        oldest = session.scalar(
            select(ProposalWording.proposal_id).order_by(ProposalWording.proposal_id.desc()).offset(SAMPLE - 1).limit(1)
        )
        containing = containing.where(ProposalWord.proposal_id >= oldest)
        # Counting them all would take a look at each.
        total = session.scalar(select(func.sum(ReferenceCounter.last_number)).where(ReferenceCounter.kind == "P")) or 0
    return Rarity(sampled, dict(session.execute(containing).all())), total


def _telling(ours: Wording, rarity: Rarity, proposals: int) -> dict[str, int]:
    """Return the words by which to look for what could be similar, as many of the rarest as there is time for."""
    chosen: dict[str, int] = {}
    occurrences = 0.0
    for stem, factor in similarity.telling_words(ours, rarity).items():
        occurrences += max(rarity.containing.get(stem, 0), 1) * proposals / max(rarity.proposals, 1)
        if occurrences > MAX_OCCURRENCES and chosen:
            break
        chosen[stem] = factor
    return chosen
