from __future__ import annotations

import asyncio
import email.utils
import itertools
import ssl
import time
from typing import TYPE_CHECKING

import pytest
from aiohttp import (
    ClientConnectorCertificateError,
    ClientPayloadError,
    ClientResponseError,
    RequestInfo,
    ServerDisconnectedError,
)
from aiohttp.client_reqrep import ConnectionKey
from multidict import CIMultiDict, CIMultiDictProxy
from yarl import URL

from volumen.errors import SourceError
from volumen.sources.remote.retry import Patience, passing, retry_after

if TYPE_CHECKING:
    from collections.abc import Iterator

QUICK = Patience(tries=5, first_s=0.5, longest_s=1.5, total_s=60)


def refusal(status: int, **headers: str) -> ClientResponseError:
    given = CIMultiDictProxy(CIMultiDict({name.replace("_", "-"): value for name, value in headers.items()}))
    request = RequestInfo(URL("http://host/a"), "GET", given, URL("http://host/a"))
    return ClientResponseError(request, (), status=status, headers=given)


@pytest.fixture
def pauses(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[float]]:
    """Pauses that were made; none is really waited for, and the clock goes on by each."""
    made: list[float] = []
    begun = time.monotonic()

    async def pause(seconds: float) -> None:
        made.append(seconds)

    monkeypatch.setattr("volumen.sources.remote.retry.asyncio.sleep", pause)
    monkeypatch.setattr("volumen.sources.remote.retry.time.monotonic", lambda: begun + sum(made))
    return made


def ask(patience: Patience, *failures: Exception) -> tuple[str, int]:
    """Persist with something that fails so and then answers; return the answer and the number of tries."""
    pending, tries = iter(failures), itertools.count(1)
    count = 0

    async def one() -> str:
        nonlocal count
        count = next(tries)
        failure = next(pending, None)
        if failure is not None:
            raise failure
        return "answer"

    return asyncio.run(patience.persist(one)), count


@pytest.mark.parametrize(
    "failure",
    [refusal(status) for status in (408, 429, 500, 502, 503, 504)]
    + [ClientPayloadError(), ServerDisconnectedError(), ConnectionResetError(), TimeoutError()],
    ids=repr,
)
def test_what_may_pass_is_asked_again(failure: Exception, pauses: list[float]) -> None:
    assert ask(QUICK, failure, failure) == ("answer", 3)
    assert len(pauses) == 2


@pytest.mark.parametrize(
    "failure", [*(refusal(status) for status in (400, 401, 403, 404, 416)), ValueError()], ids=repr
)
def test_what_will_not_pass_is_raised_at_once(failure: Exception, pauses: list[float]) -> None:
    with pytest.raises(type(failure)):
        ask(QUICK, failure)
    assert not pauses


def test_a_wrong_certificate_is_never_asked_again() -> None:
    key = ConnectionKey("host", 443, True, True, None, None, None)
    assert not passing(ClientConnectorCertificateError(key, ssl.CertificateError()))


def test_tries_and_pauses_are_bounded(pauses: list[float]) -> None:
    with pytest.raises(ClientResponseError):
        ask(QUICK, *[refusal(503)] * 5)
    assert len(pauses) == 4
    assert all(0 <= pause <= top for pause, top in zip(pauses, (0.5, 1.0, 1.5, 1.5), strict=True))


def test_pauses_are_spread_evenly(pauses: list[float]) -> None:
    for _ in range(400):
        ask(QUICK, refusal(500))
    assert len(pauses) == 400
    # of 400 even draws from 0 to 0.5 the mean's standard error is 0.0072
    assert sum(pauses) / 400 == pytest.approx(0.25, abs=5 * 0.0072)


def test_the_server_s_own_pause_is_kept(pauses: list[float]) -> None:
    ask(QUICK, refusal(429, Retry_After="7"))
    at = email.utils.formatdate(time.time() + 20, usegmt=True)
    ask(QUICK, refusal(503, Retry_After=at))
    assert pauses[0] == 7
    assert pauses[1] == pytest.approx(20, abs=1.5)


def test_a_pause_that_is_too_long_is_an_error_that_says_so(pauses: list[float]) -> None:
    with pytest.raises(SourceError, match="left alone for 3600 s"):
        ask(QUICK, refusal(429, Retry_After="3600"))
    with pytest.raises(ClientResponseError):
        ask(Patience(tries=1000, first_s=100, longest_s=100, total_s=60), *[refusal(500)] * 1000)
    assert sum(pauses) <= 60


def test_a_pause_that_makes_no_sense_is_none() -> None:
    past = email.utils.formatdate(time.time() - 1000, usegmt=True)
    assert [retry_after({"Retry-After": said}) for said in (past, "-3", "", "nan")] == [0.0] * 4
