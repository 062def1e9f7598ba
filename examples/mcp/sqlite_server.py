"""Tools that read a SQLite file.

In the configuration of phial serve:

    [mcp.shop]
    command = ["python3", "examples/mcp/sqlite_server.py", "shop.db"]
"""

import argparse
import json
import pathlib
import sqlite3

from protocol import Server, Tool

# More is of no use to a model.
ROWS_MAX = 100


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("file")
    parser.add_argument("--http", type=int, metavar="PORT", help="instead of standard streams")
    arguments = parser.parse_args()
    address = pathlib.Path(arguments.file).resolve().as_uri() + "?mode=ro"

    def rows(query):
        # A connection each: with HTTP, calls come in threads.
        connection = sqlite3.connect(address, uri=True)
        try:
            cursor = connection.execute(query)
            names = [column[0] for column in cursor.description or []]
            return [dict(zip(names, row)) for row in cursor.fetchmany(ROWS_MAX + 1)]
        finally:
            connection.close()

    def list_tables():
        tables = rows("SELECT name, sql FROM sqlite_master WHERE type = 'table' ORDER BY name")
        return json.dumps(tables, ensure_ascii=False)

    def query(sql):
        found = rows(sql)
        if len(found) > ROWS_MAX:
            raise ValueError(f"more than {ROWS_MAX} rows; ask for fewer")
        return json.dumps(found, ensure_ascii=False, default=str)

    text = {"type": "string", "description": "One SELECT statement of SQLite"}
    Server(
        "sqlite",
        [
            Tool("list_tables", "Lists the tables with their columns", {}, [], list_tables),
            Tool("query", "Runs a query that only reads", {"sql": text}, ["sql"], query),
        ],
    ).serve(arguments.http)


if __name__ == "__main__":
    main()
