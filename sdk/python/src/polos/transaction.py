"""Transactional steps: the effect and a marker row commit together in the user's own database, so
that the effect happens exactly once, whenever the process dies.

The marker's key is the step's idempotency key. An attempt that finds it there takes the result that
stands in it, and does nothing. Of two attempts at once the second one waits for the first."""

from __future__ import annotations

import asyncio
import inspect
import sqlite3
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, cast

from polos.codec import Codec
from polos.errors import NoRetry
from polos.value import Value

Work = Callable[[Any], Any]
"""The user's function with its arguments, given the connection."""

TABLE = "polos_transactions"
_CREATE = (
    f"CREATE TABLE IF NOT EXISTS {TABLE} "
    "(key TEXT PRIMARY KEY, result TEXT, at TIMESTAMP DEFAULT CURRENT_TIMESTAMP)"
)
_MARK = f"INSERT INTO {TABLE} (key) VALUES ({{0}}) ON CONFLICT DO NOTHING"
_FOUND = f"SELECT result FROM {TABLE} WHERE key = {{0}}"
_KEEP = f"UPDATE {TABLE} SET result = {{0}} WHERE key = {{1}}"


class _Statements:
    """The statements in one driver's way to write parameters."""

    def __init__(self, *parameters: str) -> None:
        self.mark = _MARK.format(*parameters)
        self.found = _FOUND.format(*parameters)
        self.keep = _KEEP.format(*parameters)


_QUESTION = _Statements("?", "?")
_PERCENT = _Statements("%s", "%s")
_DOLLAR = _Statements("$1", "$2")


async def run(database: Any, key: str, work: Work, codec: Codec) -> Any:
    """Does the work in one transaction with its marker, once per key; gives its result."""
    driver = type(database).__module__.split(".")[0]
    if isinstance(database, str | Path):
        text = await asyncio.to_thread(_sqlite_file, database, key, work, codec)
    elif isinstance(database, sqlite3.Connection):
        text = await asyncio.to_thread(_sqlite, database, key, work, codec)
    elif driver == "aiosqlite":
        text = await _aiosqlite(database, key, work, codec)
    elif driver == "asyncpg":
        text = await _asyncpg(database, key, work, codec)
    elif driver in ("psycopg", "psycopg_pool"):
        text = await _psycopg(database, key, work, codec)
    else:
        raise NoRetry(
            f"`{type(database).__name__}` is no database that `ctx.transaction` knows",
            hint="give a connection or a pool of psycopg or asyncpg, a connection of sqlite3 or "
            "aiosqlite, or the path of an SQLite file",
        )
    return codec.decode(Value(text=text), "the result in the marker")


def _encoded(codec: Codec, result: Any) -> str:
    return codec.encode(result, "the result of the transaction").text


def _sqlite_file(path: str | Path, key: str, work: Work, codec: Codec) -> str:
    connection = sqlite3.connect(path, timeout=30)
    try:
        return _sqlite(connection, key, work, codec)
    finally:
        connection.close()


def _sqlite(connection: sqlite3.Connection, key: str, work: Work, codec: Codec) -> str:
    if connection.in_transaction:
        raise NoRetry(
            "the connection is in a transaction already", hint="commit it, or give another"
        )
    connection.execute(_CREATE)
    connection.execute("BEGIN IMMEDIATE")
    try:
        found = connection.execute(_QUESTION.found, (key,)).fetchone()
        if found is not None:
            connection.execute("ROLLBACK")
            return found[0]
        connection.execute(_QUESTION.mark, (key,))
        result = work(connection)
        if inspect.iscoroutine(result):
            result.close()
            raise NoRetry("a transaction of sqlite3 takes a function that is not async")
        text = _encoded(codec, result)
        _check_open(connection.in_transaction)
        connection.execute(_QUESTION.keep, (text, key))
        connection.execute("COMMIT")
        return text
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise


def _check_open(is_open: bool) -> None:
    if not is_open:
        raise NoRetry(
            "the function has ended the transaction by itself",
            hint="leave commit and rollback to `ctx.transaction`: raise an error to roll back",
        )


async def _aiosqlite(connection: Any, key: str, work: Work, codec: Codec) -> str:
    await connection.execute(_CREATE)
    await connection.execute("BEGIN IMMEDIATE")
    try:
        async with connection.execute(_QUESTION.found, (key,)) as cursor:
            found = await cursor.fetchone()
        if found is not None:
            await connection.execute("ROLLBACK")
            return found[0]
        await connection.execute(_QUESTION.mark, (key,))
        text = _encoded(codec, await work(connection))
        _check_open(connection.in_transaction)
        await connection.execute(_QUESTION.keep, (text, key))
        await connection.execute("COMMIT")
        return text
    except BaseException:
        if connection.in_transaction:
            await connection.execute("ROLLBACK")
        raise


async def _asyncpg(database: Any, key: str, work: Work, codec: Codec) -> str:
    if hasattr(database, "acquire"):
        async with database.acquire() as connection:
            return await _asyncpg(connection, key, work, codec)
    await _asyncpg_table(database)
    async with database.transaction():
        marked: str = await database.execute(_DOLLAR.mark, key)
        if marked.endswith(" 0"):
            return await database.fetchval(_DOLLAR.found, key)
        text = _encoded(codec, await work(database))
        await database.execute(_DOLLAR.keep, text, key)
    return text


async def _asyncpg_table(connection: Any) -> None:
    # Two sessions that create a table at once may collide in the catalogue.
    if await connection.fetchval(f"SELECT to_regclass('{TABLE}')") is None:
        async with connection.transaction():
            await connection.execute("SELECT pg_advisory_xact_lock(7660655)")
            await connection.execute(_CREATE)


async def _psycopg(database: Any, key: str, work: Work, codec: Codec) -> str:
    kind: Any = type(database)  # pyright: ignore[reportUnknownVariableType]
    is_pool = kind.__module__.split(".")[0] == "psycopg_pool"
    if kind.__name__.startswith("Async"):
        if is_pool:
            async with database.connection() as connection:
                return await _psycopg_async(connection, key, work, codec)
        return await _psycopg_async(database, key, work, codec)
    if is_pool:

        def pooled() -> str:
            with database.connection() as connection:
                return _psycopg_sync(connection, key, work, codec)

        return await asyncio.to_thread(pooled)
    return await asyncio.to_thread(_psycopg_sync, database, key, work, codec)


async def _psycopg_async(connection: Any, key: str, work: Work, codec: Codec) -> str:
    async with connection.transaction():
        cursor = await connection.execute(f"SELECT to_regclass('{TABLE}')")
        if next(iter(await cursor.fetchone())) is None:
            await connection.execute("SELECT pg_advisory_xact_lock(7660655)")
            await connection.execute(_CREATE)
    async with connection.transaction():
        cursor = await connection.execute(_PERCENT.mark, (key,))
        if cursor.rowcount == 0:
            cursor = await connection.execute(_PERCENT.found, (key,))
            return _first(await cursor.fetchone())
        text = _encoded(codec, await work(connection))
        await connection.execute(_PERCENT.keep, (text, key))
    return text


def _psycopg_sync(connection: Any, key: str, work: Work, codec: Codec) -> str:
    with connection.transaction():
        if next(iter(connection.execute(f"SELECT to_regclass('{TABLE}')").fetchone())) is None:
            connection.execute("SELECT pg_advisory_xact_lock(7660655)")
            connection.execute(_CREATE)
    with connection.transaction():
        if connection.execute(_PERCENT.mark, (key,)).rowcount == 0:
            return _first(connection.execute(_PERCENT.found, (key,)).fetchone())
        text = _encoded(codec, work(connection))
        connection.execute(_PERCENT.keep, (text, key))
    return text


def _first(row: Any) -> str:
    """The first column, also of a connection that gives dictionaries."""
    if isinstance(row, dict):
        return cast("dict[str, str]", row)["result"]
    return row[0]


def work_of(function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Work:
    """The function with its arguments, given the connection."""

    def work(connection: Any) -> Awaitable[Any] | Any:
        return function(connection, *args, **kwargs)

    return work
