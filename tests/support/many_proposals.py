"""A great many proposals, as a partnership has after years: their texts from a seed, their rows in bulk.

The words are spread as in a language: some that nearly every proposal says, those of its subject, which a few in a
hundred say, and a long tail of names, most of which stand once or twice.
"""

import io
import json
import random
import re
from collections.abc import Iterable, Iterator, Sequence
from datetime import date, datetime, timedelta
from itertools import accumulate
from typing import Any
from uuid import UUID

from sqlalchemy import insert

from services.proposals.domain import wording
from services.proposals.domain.content_hash import content_hash
from services.proposals.domain.states import DECIDED, State
from services.proposals.models import (
    Participation,
    Proposal,
    ProposalCouncil,
    ProposalWording,
    ReferenceCounter,
    Revision,
    Round,
)
from shared import clock, councils, ids
from shared.storage.database import Database
from tests.support.proposals import CRITERIA, content

#: It takes part in a few proposals only, however many there are, and so does the rare word; most say the common one.
SMALL_COUNCIL, RARE_WORD, COMMON_WORD = "S12000023", "zeppelin", "service"

_SUBJECTS = """
payment bill account card receipt invoice debt arrears instalment refund
bin refuse crew collection recycling bulky uplift skip landfill compost
school pupil meal parent teacher classroom nursery attendance catering dinner
taxi licence driver vehicle hire applicant renewal fee plate inspection
pothole road cyclist defect camera carriageway resurfacing gritting winter junction
damp mould tenant house repair humidity sensor ventilation landlord insulation
planning application architect drawing objection validation consent appeal warrant site
telecare alarm fall older telephone analogue pendant responder hub carer
badge disabled parking bay permit evidence mobility concession ticket warden
library book reader loan branch archive catalogue reservation ebook reading
benefit claim award assessment income household hardship grant welfare crisis
cemetery burial lair bereavement funeral cremation plot memorial headstone register
tree woodland survey branch biodiversity habitat pollinator hedgerow planting canopy
lamp lighting street column energy dimming lantern outage bulb darkness
payroll employee salary pension timesheet overtime payslip expenses absence rota
committee councillor agenda minute vote chamber webcast motion paper quorum
flood river gauge rainfall culvert warning embankment drain storm pumping
leisure swimming gym membership class booking pitch hall court timetable
fostering adoption child family social worker placement safeguarding referral guardian
homeless shelter tenancy eviction advice prevention letting furniture void allocation
procurement supplier contract tender framework spend catalogue purchase order auction
identity login password verification credential directory single signon token session
chatbot enquiry message transcript webchat escalation answer intent contact queue
broadband fibre mast coverage rural duct network router wayleave connectivity
bus transport route passenger timetable fare stop escort minibus accessible
food hygiene inspector premises kitchen sampling allergen rating outbreak restaurant
noise complaint neighbour nuisance monitor decibel nightclub abatement bark witness
asset building condition boiler maintenance estate valuation lease depot facility
cloud server migration datacentre storage backup hosting licence workload resilience
data dashboard dataset analytics warehouse quality matching record indicator model
training skills apprentice course learner mentor digital champion workshop literacy
tourism visitor attraction trail ferry harbour island heritage museum castle
election polling elector register ballot postal count station canvass presiding
carbon emission heat pump solar charging fleet electric net zero
mapping gis boundary coordinate aerial layer address gazetteer parcel imagery
workflow robot automation spreadsheet script repetitive handoff form scanning mailroom
""".strip().splitlines()
_EVERYDAY = re.findall(
    r"\w+",
    """
    council service online citizen resident staff time need digital save report use improve phone call form
    share system people local cost team website information request reduce access find manage support
    """,
)
_WEIGHTS = list(accumulate(1 / rank for rank in range(1, len(_EVERYDAY) + 1)))
_SYLLABLES = re.findall(
    r"\w+",
    """
    an ar ben bor cal dun el fen gar hal in kel lor mar nor or pen ros sel tor ul ven wick yar
    """,
)
_TAIL = 30_000
_TAIL_WEIGHTS = list(accumulate(1 / (rank + 20) for rank in range(_TAIL)))

_DECIDED = [State.REJECTED] * 9 + [State.FUNDED] * 6 + [State.APPROVED] * 2 + [State.NOT_FUNDED] + [State.WITHDRAWN] * 2
_OPEN = [State.DRAFT] * 5 + [State.SUBMITTED] * 8 + [State.UNDER_ASSESSMENT] * 5 + [State.CHANGES_REQUESTED] * 2


def texts(count: int, *, seed: int = 2016) -> Iterator[dict[str, Any]]:
    """Yield the content of proposals, as JSON: always the same ones for a seed."""
    chance = random.Random(seed)
    alike = content()
    [benefit] = alike["benefits"]
    rare = {1, count // 4, count // 2, count - 20, count - 10}
    everyone = [code for code in councils.all_councils() if code != SMALL_COUNCIL]
    for number in range(count):
        subject = chance.choice(_SUBJECTS).split()
        named = [_name(chance), _name(chance)]
        taking_part = chance.sample(everyone, chance.randint(2, 6))
        if number in rare:
            taking_part[-1] = SMALL_COUNCIL
            named.append(RARE_WORD)
        lead, *others = taking_part

        def said(of_subject: int, of_everyday: int, names: Sequence[str] = (), subject: list[str] = subject) -> str:
            words = chance.sample(subject, of_subject) + list(names)
            words += chance.choices(_EVERYDAY, cum_weights=_WEIGHTS, k=of_everyday)
            chance.shuffle(words)
            return " ".join(words).capitalize()

        yield {
            **alike,
            "title": said(3, 3, named[:1]),
            "user_need": said(5, 8) + ".",
            "problem": said(5, 8, named[1:]) + ".",
            "lead_council": lead,
            "participants": others,
            "benefits": [
                {
                    **benefit,
                    "title": said(2, 2),
                    "owner_council": lead,
                    "targets": [{**benefit["targets"][0], "council": lead}],
                }
            ],
        }


def _name(chance: random.Random) -> str:
    [rank] = chance.choices(range(_TAIL), cum_weights=_TAIL_WEIGHTS)
    letters = []
    for _ in range(4):
        rank, place = divmod(rank, len(_SYLLABLES))
        letters.append(_SYLLABLES[place])
    return "".join(letters)


def fill(database: Database, count: int, *, per_round: int, seed: int = 2016) -> list[UUID]:
    """Write proposals into an empty PostgreSQL; returns their ids.

    They are in rounds, of which the last one is still open and the others are decided.
    """
    chance = random.Random(seed)
    began = clock.now() - timedelta(seconds=count)
    rounds = [_round(number, began) for number in range(1, -(-count // per_round) + 1)]
    rows: dict[Any, list[dict[str, Any]]] = {
        table: [] for table in (Proposal, Revision, Participation, ProposalCouncil, ProposalWording)
    }
    made = []
    with database.engine.begin() as connection:
        # Foreign keys and guards are looked after by what wrote the rows.
        connection.exec_driver_sql("SET LOCAL session_replication_role = replica")
        connection.exec_driver_sql("SET LOCAL statement_timeout = 0")
        connection.execute(insert(Round), rounds)
        connection.execute(
            insert(ReferenceCounter),
            [
                {"kind": "P", "year": 2026, "last_number": count},
                {"kind": "R", "year": 2026, "last_number": len(rounds)},
            ],
        )
        for number, said in enumerate(texts(count, seed=seed)):
            called = rounds[number // per_round]
            state = chance.choice(_OPEN if called is rounds[-1] else _DECIDED)
            moment = began + timedelta(seconds=number)
            # Some were withdrawn before they were ever handed in.
            handed_in = state != State.DRAFT and (state != State.WITHDRAWN or chance.random() < 0.5)
            made.append(_write(rows, called, number, said, state, moment, handed_in=handed_in))
            if number % 2_000 == 1_999:
                _flush(connection, rows)
        _flush(connection, rows)
        weight = " + ".join(f"{weight} * ((place >> {bit}) & 1)" for bit, weight in enumerate(wording.FIELDS.values()))
        connection.exec_driver_sql(
            f"""
            INSERT INTO proposal_words (word, proposal_id, weight)
            SELECT word, proposal_id, {weight} FROM (
                SELECT key AS word, proposal_id, (value ->> 0)::int AS place FROM proposal_wordings, jsonb_each(words)
                ORDER BY 1, 2
            ) AS words
            """
        )
    with database.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.exec_driver_sql("SET statement_timeout = 0")
        connection.exec_driver_sql("VACUUM ANALYZE")
    return made


def _round(number: int, at: datetime) -> dict[str, Any]:
    return {
        "id": ids.new_id(),
        "reference": f"R-2026-{number:04}",
        "version": 1,
        "title": f"Round {number}",
        "opens_on": date(2026, 1, 1),
        "closes_on": date(2099, 12, 31),
        "criteria": CRITERIA,
        "min_participants": 2,
        "quorum": 2,
        "ceiling_pence": 40_000_000,
        "opened_at": at,
        "opened_by": "cdo@commonweal.example",
    }


def _write(
    rows: dict[Any, list[dict[str, Any]]],
    called: dict[str, Any],
    number: int,
    said: dict[str, Any],
    state: State,
    at: datetime,
    *,
    handed_in: bool,
) -> UUID:
    proposal_id, author = ids.new_id(), f"proposer@{said['lead_council']}.example"
    rules = {name: called[name] for name in ("criteria", "min_participants", "quorum", "ceiling_pence")}
    is_withdrawn = state == State.WITHDRAWN
    rows[Proposal].append(
        {
            "id": proposal_id,
            "reference": f"P-2026-{number + 1:04}",
            "version": 1,
            "round_id": called["id"],
            "rules": rules,
            "state": state.value,
            "lead_council": said["lead_council"],
            "participants": said["participants"],
            "title": said["title"],
            "requested_pence": said["requested_pence"],
            "draft": said,
            "draft_version": 1,
            "revision": int(handed_in),
            "score": "71.33" if state in DECIDED else None,
            "created_at": at,
            "created_by": author,
            "withdrawn_at": at if is_withdrawn else None,
            "withdrawn_by": author if is_withdrawn else None,
            "withdrawal_reason": "Built elsewhere." if is_withdrawn else None,
        }
    )
    taking_part = [said["lead_council"], *(said["participants"] if handed_in else [])]
    rows[ProposalCouncil] += [
        {"proposal_id": proposal_id, "council": council, "round_id": called["id"], "state": state.value}
        for council in taking_part
    ]
    rows[ProposalWording].append(
        {
            "proposal_id": proposal_id,
            "analyser": wording.ANALYSER,
            "revision": int(handed_in),
            "draft_version": int(not handed_in),
            "words": {stem: list(word) for stem, word in wording.of_proposal(said).items()},
        }
    )
    if handed_in:
        rows[Revision].append(
            {
                "proposal_id": proposal_id,
                "number": 1,
                "content": said,
                "content_hash": content_hash(said),
                "rules": rules,
                "submitted_at": at,
                "submitted_by": author,
            }
        )
        rows[Participation] += [
            {
                "proposal_id": proposal_id,
                "revision": 1,
                "council": council,
                "position": position,
                "answer": "confirmed",
                "answered_at": at,
                "answered_by": f"sponsor@{council}.example",
                "reason": None,
            }
            for position, council in enumerate(taking_part)
        ]
    return proposal_id


def _flush(connection: Any, rows: dict[Any, list[dict[str, Any]]]) -> None:
    cursor = connection.connection.cursor()
    for table, waiting in rows.items():
        if waiting:
            columns = list(waiting[0])
            lines = io.StringIO("".join(_line(row[name] for name in columns) for row in waiting))
            cursor.copy_expert(f"COPY {table.__tablename__} ({', '.join(columns)}) FROM STDIN", lines)
        waiting.clear()


def _line(values: Iterable[Any]) -> str:
    return "\t".join(map(_copied, values)) + "\n"


def _copied(value: Any) -> str:
    if value is None:
        return "\\N"
    if isinstance(value, dict | list):
        value = json.dumps(value)
    return str(value).replace("\\", "\\\\").replace("\t", "\\t").replace("\n", "\\n")
