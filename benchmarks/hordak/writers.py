"""Writers that post with django-hordak as fast as they can; runs in an environment that has only that and its driver.

``python writers.py URL prepare WRITERS`` makes the tables and an account for each writer, and writes the movements that
come as JSON: a list of what each changes, in pence by account, among them ``available``, from which the writers take.
``python writers.py URL WAY
FIRST WRITERS SECONDS`` says that it is ready, waits for a line, and prints how many transactions its writers committed
and how many seconds that took. The way is ``bare``, or ``careful``: never below zero, whoever else writes.
"""

import json
import sys
import threading
import time
from urllib.parse import unquote, urlsplit

import django
from django.conf import settings


def configure(url: str) -> None:
    """Point Django at a database. It keeps its connections, each of which belongs to a thread."""
    address = urlsplit(url)
    settings.configure(
        DATABASES={
            "default": {
                "ENGINE": "django.db.backends.postgresql",
                "HOST": address.hostname,
                "PORT": address.port,
                "USER": unquote(address.username or ""),
                "PASSWORD": unquote(address.password or ""),
                "NAME": address.path[1:],
                "CONN_MAX_AGE": None,
            }
        },
        INSTALLED_APPS=["django.contrib.contenttypes", "django.contrib.auth", "mptt", "hordak"],
        DEFAULT_CURRENCY="GBP",
        CURRENCIES=["GBP"],
        DEFAULT_AUTO_FIELD="django.db.models.AutoField",
        USE_TZ=True,
    )
    django.setup()


def prepare(writers: int, movements: list[dict[str, int]]) -> None:
    """Make the tables and the accounts, and write what has moved. Django-hordak's own triggers check it all."""
    from django.core.management import call_command
    from django.db import transaction
    from hordak.models import Account, Leg, Transaction
    from hordak.utilities.currency import Money

    call_command("migrate", verbosity=0)
    of_writers = [f"writer {number}" for number in range(writers)]
    others = sorted({name for moved in movements for name in moved} - {"available"})
    accounts = {
        name: Account.objects.create(name=name, code=f"{number:03d}", type="AS", currencies=["GBP"])
        for number, name in enumerate(["available", *of_writers, *others])
    }
    with transaction.atomic():
        written = Transaction.objects.bulk_create([Transaction() for _ in movements])
        Leg.objects.bulk_create(
            [
                Leg(
                    transaction=each,
                    account=accounts[name],
                    **{"debit" if pence > 0 else "credit": Money(abs(pence), "GBP") / 100},
                )
                for each, moved in zip(written, movements, strict=True)
                for name, pence in moved.items()
            ]
        )


def write(way: str, first: int, writers: int, seconds: float) -> None:
    """Post until the time is over."""
    from django.db import transaction
    from hordak.models import Account
    from hordak.utilities.currency import Money

    penny = Money("0.01", "GBP")
    ready, go = threading.Barrier(writers + 1), threading.Event()
    until = [0.0]
    posted = [0] * writers

    def post(place: int) -> None:
        both = [Account.objects.get(code="000"), Account.objects.get(code=f"{first + place + 1:03d}")]

        def one(number: int) -> None:
            source, destination = both if number % 2 == 0 else both[::-1]
            with transaction.atomic():
                if way == "careful":
                    locked = Account.objects.select_for_update().get(pk=source.pk)
                    if locked.get_balance()["GBP"] < penny:
                        raise RuntimeError("there is nothing left to move")
                source.transfer_to(destination, penny)

        one(0)
        one(1)
        ready.wait()
        go.wait()
        while time.perf_counter() < until[0]:
            one(posted[place])
            posted[place] += 1

    threads = [threading.Thread(target=post, args=(place,)) for place in range(writers)]
    for thread in threads:
        thread.start()
    ready.wait()
    print("ready", flush=True)
    sys.stdin.readline()
    started = time.perf_counter()
    until[0] = started + seconds
    go.set()
    for thread in threads:
        thread.join()
    print(json.dumps({"postings": sum(posted), "seconds": time.perf_counter() - started}))


if __name__ == "__main__":
    configure(sys.argv[1])
    if sys.argv[2] == "prepare":
        prepare(int(sys.argv[3]), json.load(sys.stdin))
    else:
        write(sys.argv[2], int(sys.argv[3]), int(sys.argv[4]), float(sys.argv[5]))
