"""Transactional steps: whenever the process dies, the effect is there once."""

from __future__ import annotations

import asyncio
import os
import pwd
import shutil
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import aiosqlite
import asyncpg  # pyright: ignore[reportMissingTypeStubs]
import psycopg
import pytest

from polos import Client, NoRetry, Server, Worker, WorkflowContext, workflow
from polos.codec import codec_of
from polos.transaction import TABLE, run, work_of

KEY = "polos_test"
CODEC = codec_of(int)


def reserve_sqlite(connection: sqlite3.Connection, seats: int) -> int:
    connection.execute("INSERT INTO seats (n) VALUES (?)", (seats,))
    return seats


async def reserve_aiosqlite(connection: aiosqlite.Connection, seats: int) -> int:
    await connection.execute("INSERT INTO seats (n) VALUES (?)", (seats,))
    return seats


def reserve_psycopg(connection: psycopg.Connection, seats: int) -> int:
    connection.execute("INSERT INTO seats (n) VALUES (%s)", (seats,))
    return seats


async def reserve_psycopg_async(connection: psycopg.AsyncConnection, seats: int) -> int:
    await connection.execute("INSERT INTO seats (n) VALUES (%s)", (seats,))
    return seats


async def reserve_asyncpg(connection: Any, seats: int) -> int:
    await connection.execute("INSERT INTO seats (n) VALUES ($1)", seats)
    return seats


def seats_of(path: Path) -> list[int]:
    connection = sqlite3.connect(path)
    try:
        return [n for (n,) in connection.execute("SELECT n FROM seats")]
    finally:
        connection.close()


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "seats.db"
    connection = sqlite3.connect(path)
    connection.execute("CREATE TABLE seats (n INTEGER)")
    connection.close()
    return path


async def test_sqlite_does_it_once(file: Path) -> None:
    for seats in (2, 3):
        assert await run(file, KEY, work_of(reserve_sqlite, (seats,), {}), CODEC) == 2
    connection = sqlite3.connect(file, check_same_thread=False)
    assert await run(connection, "other", work_of(reserve_sqlite, (4,), {}), CODEC) == 4
    connection.close()
    async with aiosqlite.connect(file, isolation_level=None) as other:
        for key in (KEY, "third"):
            await run(other, key, work_of(reserve_aiosqlite, (5,), {}), CODEC)
    assert seats_of(file) == [2, 4, 5]


async def test_an_error_rolls_back_both(file: Path) -> None:
    def fails(connection: sqlite3.Connection) -> int:
        reserve_sqlite(connection, 1)
        raise ValueError("no")

    def commits(connection: sqlite3.Connection) -> int:
        reserve_sqlite(connection, 7)
        connection.execute("COMMIT")
        return 1

    with pytest.raises(ValueError, match="no"):
        await run(file, KEY, work_of(fails, (), {}), CODEC)
    assert seats_of(file) == []
    assert await run(file, KEY, work_of(reserve_sqlite, (2,), {}), CODEC) == 2
    with pytest.raises(NoRetry, match="ended the transaction by itself"):
        await run(file, "other", work_of(commits, (), {}), CODEC)
    with pytest.raises(NoRetry, match="no database"):
        await run({}, KEY, work_of(commits, (), {}), CODEC)


async def test_two_attempts_at_once_do_it_once(file: Path) -> None:
    attempts = [run(file, KEY, work_of(reserve_sqlite, (n,), {}), CODEC) for n in range(8)]
    results = await asyncio.gather(*attempts)
    assert seats_of(file) == [results[0]]
    assert len(set(results)) == 1


@pytest.fixture(scope="session")
def postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A PostgreSQL server of our own; not as root, which it refuses."""
    programs = sorted(Path("/usr/lib/postgresql").glob("*/bin"))
    found = shutil.which("initdb")
    if not programs and not found:
        pytest.skip("no PostgreSQL server programs on this machine")
    bin = programs[-1] if programs else Path(str(found)).parent
    directory = tmp_path_factory.mktemp("postgres")
    as_user: list[str] = []
    if os.getuid() == 0:
        user = pwd.getpwnam("nobody")
        as_user = ["setpriv", f"--reuid={user.pw_uid}", f"--regid={user.pw_gid}", "--clear-groups"]
        os.chown(directory, user.pw_uid, user.pw_gid)
        for parent in directory.parents:
            if parent.stat().st_uid == 0 and str(parent).startswith("/tmp/"):
                parent.chmod(0o755)
    data = directory / "data"
    init = [*as_user, str(bin / "initdb"), "-D", str(data), "-U", "polos", "-A", "trust", "-N"]
    subprocess.run(init, check=True, capture_output=True, cwd=directory)
    options = f"-k {directory} -c listen_addresses= -c fsync=off"
    control = [*as_user, str(bin / "pg_ctl"), "-D", str(data), "-w"]
    log = str(directory / "log")
    subprocess.run([*control, "-l", log, "-o", options, "start"], check=True, cwd=directory)
    yield f"host={directory} user=polos dbname=postgres"
    subprocess.run([*control, "-m", "immediate", "stop"], check=True, cwd=directory)


async def test_postgres_does_it_once(postgres: str) -> None:
    with psycopg.connect(postgres, autocommit=True) as plain:
        plain.execute("CREATE TABLE seats (n INTEGER)")
        for seats in (2, 3):
            work = work_of(reserve_psycopg, (seats,), {})
            assert await run(plain, KEY, work, CODEC) == 2
    async with await psycopg.AsyncConnection.connect(postgres, autocommit=True) as other:
        for key in (KEY, "second"):
            await run(other, key, work_of(reserve_psycopg_async, (5,), {}), CODEC)
    host = postgres.split()[0].removeprefix("host=")
    driver: Any = asyncpg
    pool = await driver.create_pool(
        host=host, user="polos", database="postgres", min_size=1, max_size=6
    )
    attempts = [run(pool, "third", work_of(reserve_asyncpg, (n,), {}), CODEC) for n in range(6)]
    results = await asyncio.gather(*attempts)
    assert await run(pool, KEY, work_of(reserve_asyncpg, (9,), {}), CODEC) == 2
    rows = [row[0] for row in await pool.fetch("SELECT n FROM seats")]
    assert rows == [2, 5, results[0]]
    assert len(set(results)) == 1
    assert await pool.fetchval(f"SELECT count(*) FROM {TABLE}") == 3
    await pool.close()


CRASHER = """
import os, signal, sqlite3, sys
from polos import WorkflowContext, serve, workflow

FILE, ONCE = sys.argv[1], sys.argv[2]

def reserve(connection: sqlite3.Connection, seats: int) -> int:
    connection.execute("INSERT INTO seats (n) VALUES (?)", (seats,))
    return seats

class Dying(sqlite3.Connection):
    def execute(self, sql, *rest):
        done = super().execute(sql, *rest)
        if sql == "COMMIT" and not os.path.exists(ONCE):
            open(ONCE, "w").close()
            os.kill(os.getpid(), signal.SIGKILL)
        return done

@workflow(id="reserving")
async def reserving(ctx: WorkflowContext, seats: int) -> int:
    connection = sqlite3.connect(FILE, factory=Dying, check_same_thread=False)
    return await ctx.transaction("reserve", connection, reserve, seats)

serve()
"""


async def test_a_death_behind_the_commit_repeats_nothing(
    server: Server, file: Path, tmp_path: Path
) -> None:
    (tmp_path / "app.py").write_text(CRASHER)
    address = server.address
    environment = {**os.environ, "POLOS_URL": address.url, "POLOS_TOKEN": address.token}
    command = [sys.executable, str(tmp_path / "app.py"), str(file), str(tmp_path / "once")]
    async with Client(address.url, address.token) as client:
        run_of = await client.start("reserving", 3)
        first = await asyncio.create_subprocess_exec(*command, env=environment)
        assert await first.wait() == -signal.SIGKILL
        assert seats_of(file) == [3]
        second = await asyncio.create_subprocess_exec(*command, env=environment)
        assert await run_of.result() == 3
        second.terminate()
        await second.wait()
    assert seats_of(file) == [3]


async def test_a_transaction_is_a_step(server: Server, file: Path) -> None:
    @workflow(id="transacting")
    async def transacting(ctx: WorkflowContext, seats: int) -> list[int]:
        first = await ctx.transaction("reserve", file, reserve_sqlite, seats)
        second = await ctx.transaction("reserve", file, reserve_sqlite, seats + 1)
        return [first, second]

    address = server.address
    async with Client(address.url, address.token) as client:
        worker = Worker([transacting], url=address.url, token=address.token)
        serving = asyncio.create_task(worker.run())
        assert await transacting.run(1, client=client) == [1, 2]
        worker.drain()
        await serving
    assert seats_of(file) == [1, 2]
